"""What may be asked over the network, and a question's answer: the document that the command prints with --json.

A question is a command and texts by name, as on the command line. Nothing that reads or writes a file can be asked:
only the options that are listed here, a model by its name in the catalogue or as the text of a config.json, and sizes
within limits. Knows neither HTTP nor pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import msgspec

from ridgeline.catalog import BUILT_IN
from ridgeline.cli.options import GROUPS, PLAN, STEP
from ridgeline.errors import InputError, UnknownNameError

Texts = Mapping[str, Sequence[str]]
"""Values of each name, in the order in which they were given."""
LONGEST = 400
"""Characters of a value."""
LONGEST_CONFIG = 100_000
"""Characters of a config.json."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:()=+-]{0,120}")
_EXAMPLES = {"model": "deepseek-v3", "system": "gb200-nvl72", "name": "deepseek-v3"}
_CLOSED = ("catalog",)
"""Fields of a scenario that name files."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A command that may be asked."""

    words: tuple[str, ...] = ("model", "system")
    """Names of its words, in order."""
    fields: tuple[str, ...] = ()
    """Options of the scenario."""
    own: tuple[str, ...] = ()
    """Options of its own."""
    limits: Mapping[str, float] = {}
    """The most of a number."""
    slow: bool = False
    """Whether it may take longer than a page can wait: it then runs in a process of its own."""


_SHEETS = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,:@-]*")
"""Names of price sheets; a file's has a dot or a slash."""
_MENU = tuple(
    name
    for names in GROUPS.values()
    for name in names
    if name not in ("phase", "context", "isl", "osl", "cached", "objective")
)
_TRAIN = (
    "chips", "tokens", "seq", "batch", "tp", "pp", "vp", "cp", "ep", "etp", "dp", "micro_batch", "zero", "recompute",
    "schedule", "stages", "sp", "offload", "dtype", "framework", "price", "set",
)  # fmt: skip
_PIPELINE = ("stages", "micro_batches", "virtual", "forward", "gradient", "weight", "message", "together", "kept")
_TRAFFIC = ("rate", "requests", "arrivals", "concurrency", "seed", "replicas", "router", "slo", "scheduler")
_SHEET = ("input", "output", "cached", "above", "write", "mode", "context", "draws")
_LIFE = (
    "isl", "osl", "hit", "weights", "kv", "engine", "overlap", "tpot", "ttft", "pools", "price", "utilisation", "chips",
    "memory_utilisation", "set",
)  # fmt: skip
_LIVED = (
    "peak", "life", "ramp", "half_life", "ship", "mfu", "rl_tokens", "rl_cost", "rl_chips", "rl_sequences", "rl_mean",
    "rl_most", "tokens",
)  # fmt: skip
QUESTIONS: dict[str, Question] = {
    "step": Question(fields=STEP),
    "explain": Question(words=("model", "system", "numbers"), fields=STEP),
    "cite": Question(fields=STEP),
    "model": Question(words=("name",), own=("cache",)),
    "catalog": Question(words=("kind", "name")),
    "plan": Question(fields=PLAN, own=("top", "over", "emit", "emit_plan"), limits={"top": 50}, slow=True),
    "modes": Question(fields=PLAN, slow=True),
    "compare": Question(fields=PLAN, own=("over",), slow=True),
    "sensitivity": Question(fields=PLAN, slow=True),
    "sweep": Question(fields=STEP, own=("over", "columns"), slow=True),
    "cache": Question(
        fields=("isl", "osl", "context", "ttft", "kv", "price", "set"), own=("reuse", "premiums"), slow=True
    ),
    "menu": Question(
        fields=_MENU, own=("isl", "osl", "margin", "tiers", "fast", "ttl", "batch_utilisation", "beside"), slow=True
    ),
    "infer": Question(words=("sheet",), own=_SHEET, limits={"draws": 262_144}, slow=True),
    "lifetime": Question(fields=_LIFE, own=_LIVED, limits={"rl_chips": 100_000, "rl_sequences": 20_000}, slow=True),
    "train": Question(fields=_TRAIN, own=("top", "emit"), limits={"top": 20}, slow=True),
    "pipeline": Question(
        words=("schedule",), own=_PIPELINE, limits={"stages": 64, "micro_batches": 256, "virtual": 8}, slow=True
    ),
    "lecture": Question(words=("part",), slow=True),
    "simulate": Question(fields=STEP, own=_TRAFFIC, limits={"requests": 200_000, "replicas": 128}, slow=True),
    "capacity": Question(fields=STEP, own=_TRAFFIC, limits={"requests": 20_000}, slow=True),
}


def answer(command: str, texts: Texts) -> dict[str, Any]:
    """The document that answers a question.

    Raises
    ------
    UnknownNameError
        For a command or an option that may not be asked.
    InputError
        For what the command refuses, for values over the limits, and for names of files.
    """
    asked = checked(command, texts)
    function, known = _function(command), QUESTIONS[command]
    for name, parameter in function.__signature__.parameters.items():
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_ONLY and not asked.get(name):
            raise InputError(command, f"{name} is needed", f"such as {name}={_EXAMPLES.get(name, '...')}")
    words = [value for name in known.words for value in asked.get(name, ())]
    if set(asked) <= {*known.words, *known.fields}:
        options = {name: values[-1] for name, values in asked.items() if name not in known.words}
        return function.report(*words, **options).document()
    line = [f"--{name.replace('_', '-')}={value}" for name in asked if name not in known.words for value in asked[name]]
    _, bound, *_ = _program().parse_args([command, *line, "--", *words])  # after "--" no word is an option
    flags = {name: value for name, value in bound.kwargs.items() if name not in ("json", "csv")}
    return function.report(*bound.args, **flags).document()


def checked(command: str, texts: Texts) -> dict[str, list[str]]:
    """The texts of a question if it may be asked; errors as `answer`."""
    known = QUESTIONS.get(command)
    if known is None:
        raise UnknownNameError("question", command[:60], QUESTIONS)
    allowed = [*known.words, *(name for name in known.fields if name not in _CLOSED), *known.own]
    out: dict[str, list[str]] = {}
    for name, values in texts.items():
        key = name.replace("-", "_")
        if key not in allowed:
            raise UnknownNameError(f"option of {command}", name[:60], allowed)
        for value in values:
            longest = LONGEST_CONFIG if key == "model" and value.lstrip().startswith("{") else LONGEST
            if len(value) > longest or any(ord(sign) < 32 and sign not in "\n\r\t" for sign in value):
                raise InputError(f"{name}", f"at most {longest:,} characters of text")
        out[key] = list(values)
    for name in ("model", "system", "name", "kind", "part", "prefill_system"):
        out.update({name: [_named(name, value) for value in out.get(name, ())]} if name in out else {})
    for value in out.get("sheet", ()):
        if value and value not in names()["sheets"]:
            raise UnknownNameError("price sheet", value[:60], names()["sheets"])
    for value in out.get("beside", ()):
        if value and not _SHEETS.fullmatch(value):
            raise InputError(f"beside {value[:60]!r}", "names of price sheets of the catalogue")
    for name, most in known.limits.items():
        for value in out.get(name, ()):
            if re.fullmatch(r"[\d.]+[kKMG]?i?", value) and _number(value) > most:
                raise InputError(f"{name} {value}", f"at most {most:,.0f} here", "the command line has no such limit")
    return out


@lru_cache(maxsize=1)
def names() -> dict[str, list[str]]:
    """Names of the catalogue that a page lets choose from."""
    sheets = answer("catalog", {"kind": ["sheets"]})["entries"]
    out = {kind: BUILT_IN.names(kind) for kind in ("models", "systems")}
    return out | {"sheets": [each["name"] for each in sheets]}


def _named(kind: str, value: str) -> str:
    """A name that cannot be a file: one of the catalogue, or a config.json as text."""
    if kind in ("model", "name") and value.lstrip().startswith("{"):
        return value
    if kind in ("kind", "name", "part"):
        wrong = value and not _NAME.fullmatch(value)
    elif kind == "model":
        return _model(value)
    else:
        wrong = not all(_NAME.fullmatch(part) for part in value.split(","))
    if wrong:
        raise InputError(f"{kind} {value[:60]!r}", "a name of the catalogue")
    return value


@lru_cache(maxsize=256)
def _model(name: str) -> str:
    return BUILT_IN.find("models", name.rsplit("/", 1)[-1]).stem


def _number(text: str) -> float:
    from ridgeline.units import parse

    return parse(text, "1")


@lru_cache(maxsize=64)
def _function(command: str) -> Any:
    return getattr(import_module(f"ridgeline.cli.{command}"), command)


@lru_cache(maxsize=1)
def _program() -> Any:
    from ridgeline.cli.app import app

    return app()
