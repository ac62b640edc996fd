"""The API's own description (OpenAPI 3.1), made from the questions and from the help of the command line."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

from ridgeline.cli.app import COMMANDS
from ridgeline.cli.options import described
from ridgeline.scenario import units
from ridgeline.web.question import LONGEST, QUESTIONS, Question

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("given", "expected", "fix")},
            "required": ["given", "expected"],
        }
    },
    "required": ["error"],
}
_NEEDED = ("model", "system")


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """All questions, their options with units and defaults, and what may come back."""
    paths = {f"/api/{name}": {"get": _operation(name, known)} for name, known in QUESTIONS.items()}
    step = QUESTIONS["step"]
    paths["/api/board"] = {"get": _operation("step", step) | {"summary": "The blackboard's pictures of a point."}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ridgeline", "version": "1", "description": "How language models are trained and served."},
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


def _operation(name: str, known: Question) -> dict[str, Any]:
    function = getattr(import_module(f"ridgeline.cli.{name}"), name)
    texts = {p.name: described(p) for p in function.__signature__.parameters.values()}
    fields = (*known.words, *known.fields, *known.own)
    failed = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    return {
        "summary": COMMANDS[name],
        "operationId": name,
        "parameters": [
            {
                "name": field,
                "in": "query",
                "required": field in _NEEDED and field in known.words and bool(known.fields),
                "description": texts.get(field, ""),
                "schema": {"type": "string", "maxLength": LONGEST},
                **({"x-unit": units()[field]} if field in units() else {}),
            }
            for field in dict.fromkeys(fields)
            if field != "catalog"
        ],
        "responses": {
            "200": {"description": "What the command prints with --json.", "content": {"application/json": {}}},
            "413": {"description": "Too large.", **failed},
            "422": {"description": "Refused: what was given, what was expected, the likely fix.", **failed},
            "503": {"description": "Takes too long, or too many ask at once.", **failed},
        },
    }
