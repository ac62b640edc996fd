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
_TEXT = {"type": "string", "maxLength": LONGEST}
_ONE = [_TEXT, {"type": "number"}, {"type": "boolean"}]
_VALUE = {"anyOf": [*_ONE, {"type": "array", "items": {"anyOf": _ONE}}]}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """All questions, their options with units and defaults, and what may come back."""
    paths = {f"/api/{name}": _operations(name, name, known) for name, known in QUESTIONS.items()}
    board = _operations("board", "step", QUESTIONS["step"])
    text = {"summary": "The blackboard's pictures of a point."}
    paths["/api/board"] = {method: operation | text for method, operation in board.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ridgeline", "version": "1", "description": "How language models are trained and served."},
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


def _operations(path: str, command: str, known: Question) -> dict[str, Any]:
    """The question with its options in the query, and as an object."""
    function = getattr(import_module(f"ridgeline.cli.{command}"), command)
    texts = {p.name: described(p) for p in function.__signature__.parameters.values()}
    fields = [field for field in dict.fromkeys((*known.words, *known.fields, *known.own)) if field != "catalog"]
    needed = [field for field in _NEEDED if field in known.words and known.fields]
    described_as = {
        field: {"description": texts.get(field, ""), **({"x-unit": units()[field]} if field in units() else {})}
        for field in fields
    }
    failed = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    events = {"text/event-stream": {"schema": {"type": "string"}}} if known.slow else {}
    shared = {
        "summary": COMMANDS[command],
        "responses": {
            "200": {
                "description": "What the command prints with --json; as events, progress comes before it.",
                "content": {"application/json": {"schema": {"type": "object"}}, **events},
            },
            "413": {"description": "Too large.", **failed},
            "422": {"description": "Refused: what was given, what was expected, the likely fix.", **failed},
            "503": {"description": "Takes too long, or too many ask at once.", **failed},
        },
    }
    query = [
        {"name": field, "in": "query", "required": field in needed, "schema": _TEXT, **told}
        for field, told in described_as.items()
    ]
    body = {
        "type": "object",
        "properties": {field: _VALUE | told for field, told in described_as.items()},
        "required": needed,
        "additionalProperties": False,
    }
    if "model" in body["properties"]:
        body["properties"]["model"] = {"anyOf": [_TEXT, {"type": "object"}], **described_as["model"]}
    return {
        "get": {"operationId": path, "parameters": query, **shared},
        "post": {
            "operationId": f"{path}_body",
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            **shared,
        },
    }
