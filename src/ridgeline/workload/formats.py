"""Which trace a file is: told by the names of its columns.

A column means the same in every format, so that a plain CSV of one's own works under any of the names below; case,
spaces and underscores do not count. Times are seconds, or date and time; in JSON lines, and under a name that ends in
"ms", they are milliseconds. Knows no file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from ridgeline.errors import InputError, UnknownNameError

MEANING = {
    "time": ("arrival", "arrival time", "arrived at", "timestamp", "time"),
    "prompt": ("prompt", "prompt tokens", "prompt length", "context tokens", "request tokens", "num prefill tokens",
               "input", "input tokens", "input toks", "input length", "input len", "isl"),
    "output": ("output", "output tokens", "output toks", "output length", "output len", "osl", "generated tokens",
               "response tokens", "num decode tokens", "completion tokens"),
    "session": ("session", "session id", "conversation id"),
    "tenant": ("tenant", "tenant id"),
    "priority": ("priority",),
    "delay": ("delay",),
    "hashes": ("hash ids",),
}  # fmt: skip
"""Of each meaning the names that columns have for it."""

OPTIONAL = ("timestamp", "hash_ids", "session_id", "delay", "priority")
"""Keys that a line of JSON may have although the first has not."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A public trace format."""

    name: str
    columns: tuple[str, ...]
    """Columns by which it is told."""
    lines: bool = False
    """JSON lines rather than CSV."""
    skips: str = ""
    """Why rows with no answer are skipped (and counted) rather than refused; empty: they are refused."""
    block: int = 0
    """Tokens that a hash id stands for."""
    what: str
    source: str
    licence: str


FORMATS = (
    Format(
        name="azure",
        columns=("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
        what="Azure LLM inference traces of 2023 and 2024: conversation and code",
        source="https://github.com/Azure/AzurePublicDataset",
        licence="CC-BY-4.0",
    ),
    Format(
        name="burstgpt",
        columns=("Timestamp", "Model", "Request tokens", "Response tokens"),
        skips="failed requests, which have no answer",
        what="BurstGPT: ChatGPT and GPT-4 of a university campus, 2022 to 2024",
        source="https://github.com/HPMLL/BurstGPT",
        licence="CC-BY-4.0",
    ),
    Format(
        name="mooncake",
        columns=("input_length", "output_length"),
        lines=True,
        block=512,
        what="Mooncake: conversation, tool and agent, synthetic, with hashes of 512-token blocks",
        source="https://github.com/kvcache-ai/Mooncake",
        licence="Apache-2.0",
    ),
    Format(
        name="vidur",
        columns=("num_prefill_tokens", "num_decode_tokens"),
        what="Vidur's processed traces; without arrived_at they are lengths only",
        source="https://github.com/microsoft/vidur",
        licence="MIT",
    ),
    Format(
        name="llmservingsim",
        columns=("arrival_time_s", "input_toks", "output_toks"),
        what="LLMServingSim's request sets",
        source="https://github.com/casys-kaist/LLMServingSim",
        licence="MIT",
    ),
    Format(
        name="plain",
        columns=(),
        what="a CSV of one's own: arrival,prompt,output",
        source="",
        licence="",
    ),
)


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Where a file has what."""

    format: Format
    place: dict[str, int]
    """Of each meaning the number of its column."""
    scale: float
    """Seconds per unit of time."""
    ignored: tuple[str, ...]
    """Columns that mean nothing here."""
    names: tuple[str, ...]
    """All columns, as the file has them."""


def columns(header: Sequence[str], *, lines: bool, name: str, origin: str) -> Columns:
    """What the columns of a file mean.

    Parameters
    ----------
    header
        Names of the columns; of JSON lines, the keys of the first.
    lines
        Whether the file is of JSON lines.
    name
        Format that the user says it is; empty: told by the columns.
    origin
        The file, for messages.

    Raises
    ------
    InputError
        For an unknown format, columns that are not those of the format, two of one meaning, and no prompt or output.
    """
    names = [field.strip().strip('"') for field in header]
    if name:
        found = next((format for format in FORMATS if format.name == name), None)
        if found is None:
            raise UnknownNameError("trace format", name, [format.name for format in FORMATS])
        missing = [column for column in found.columns if _plain(column) not in map(_plain, names)]
        if missing or (found.lines != lines and found.columns):
            kind = "JSON lines" if found.lines else "CSV"
            raise InputError(
                f"{origin}: {', '.join(names)[:200]}", f"{kind} of the format {name}, with {', '.join(found.columns)}"
            )
    else:
        known = {_plain(column) for column in names}
        fitting = (f for f in FORMATS if f.lines == lines and known.issuperset(map(_plain, f.columns)))
        found = next(fitting, FORMATS[-1])
    place: dict[str, int] = {}
    ignored: list[str] = []
    scale = 1e-3 if lines else 1.0
    for i, column in enumerate(names):
        meaning, milli = _meaning(column)
        if not meaning:
            ignored.append(column)
        elif meaning in place:
            raise InputError(f"{origin}: {names[place[meaning]]}, {column}", f"one column for the {meaning}")
        else:
            place[meaning] = i
            scale = 1e-3 if meaning == "time" and milli else scale
    for meaning in ("prompt", "output"):
        if meaning not in place:
            given = ", ".join(names)[:200] or "no columns"
            raise InputError(
                f"{origin}: {given}", f"a column for the {meaning} tokens", f"such as {MEANING[meaning][0]!r}"
            )
    for name in OPTIONAL if lines else ():
        if _meaning(name)[0] not in place:
            place[_meaning(name)[0]] = len(names)
            names.append(name)
    return Columns(format=found, place=place, scale=scale, ignored=tuple(ignored), names=tuple(names))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _meaning(column: str) -> tuple[str, bool]:
    """What a column means, and whether it is in milliseconds; empty: nothing here."""
    words = _plain(column)
    for meaning, names in MEANING.items():
        for name in map(_plain, names):
            if words == name or (meaning == "time" and words in (name + "s", name + "ms", name + "seconds")):
                return meaning, words == name + "ms"
    return "", False
