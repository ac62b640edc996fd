"""Price sheets in the format of litellm's `model_prices_and_context_window.json`: one object per model, $ per token.

    input_cost_per_token   output_cost_per_token   cache_read_input_token_cost   cache_creation_input_token_cost
    ..._above_200k_tokens (a step)   ..._above_1hr (a longer write)   ..._batches, _flex, _priority, ... (a mode)
    tiered_pricing: [{range: [0, 32000], input_cost_per_token: ...}, ...]

Only models that read and write text are price sheets here; images, audio and search are left out. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.pricing.sheet import Mode, Sheet, Step, Write

LARGEST = 100_000_000
"""Bytes of a file beyond which it is not read."""
TEXT = ("chat", "responses", "completion")
"""Values of `mode` that mean text in, text out."""
_IN, _OUT, _HIT = "input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"
_WRITE = "cache_creation_input_token_cost"
_OLD_HIT = "input_cost_per_token_cache_hit"
_ABOVE = re.compile(rf"{_IN}_above_(\d+)k_tokens")
_HOLDS = {"": 300.0, "_above_1hr": 3600.0, "_above_12hr": 43200.0}
"""Guaranteed seconds of cache writes; without a word it is five minutes."""
_MODES = {"batches": "batch"} | {name: name for name in ("flex", "priority", "fast", "ultrafast", "balanced")}
_OWN = "provider_specific_entry"
_SHOWN = 12


def load_litellm(path: Path | str) -> dict[str, dict[str, Any]]:
    """All entries of a file by name.

    Raises
    ------
    InputError
        No such file, no JSON (which has no NaN), or not an object of objects.
    """
    try:
        if Path(path).stat().st_size > LARGEST:
            raise InputError(str(path), f"is larger than {LARGEST // 10**6} MB, not a price sheet")
        found = msgspec.json.decode(Path(path).read_bytes())
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(str(path), f"is not valid JSON ({str(error)[:120]})", "NaN is no JSON number") from None
    if not isinstance(found, dict) or not any(isinstance(value, dict) for value in found.values()):
        raise InputError(str(path), "expected an object with one object per model, as litellm has it")
    return {key: value for key, value in found.items() if isinstance(value, dict) and key != "sample_spec"}


def priced(entries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the entries that are text models with prices of input and output above zero."""
    return [name for name, entry in entries.items() if _text(entry) and all(_base(entry).get(k) for k in (_IN, _OUT))]


def find_litellm(entries: Mapping[str, Mapping[str, Any]], name: str, where: str) -> str:
    """The full name of a model: as given, or the one that ends in it after a slash.

    Raises
    ------
    InputError
        Several match with different prices: lists them.
    UnknownNameError
        None matches.
    """
    if name in entries:
        return name
    key = name.lower().strip()
    ends = [full for full in entries if full.lower().rsplit("/", 1)[-1] == key]
    near = ends or [full for full in entries if key and key in full.lower()]
    same = {_prices(entries[full]) for full in ends}
    if ends and len(same) == 1:
        return ends[0]
    if near:
        listed = ", ".join(near[:_SHOWN]) + (f" and {len(near) - _SHOWN} more" if len(near) > _SHOWN else "")
        kind = "ends" if ends else "contains"
        raise InputError(
            f"model {name!r:.80} in {where}", f"{kind} {len(near)} names: {listed}", "give one of them in full"
        )
    raise UnknownNameError(f"model in {where}", name[:80], entries)


def read_litellm(name: str, entry: Mapping[str, Any], date: str = "") -> Sheet:
    """The sheet of one entry.

    Raises
    ------
    InputError
        No price of input or output, a price that is none, or any fault that `sheet.check` finds.
    """
    if not _text(entry):
        raise InputError(f"{name}: mode {entry.get('mode')!r}", f"a text model ({', '.join(TEXT)})")
    base = _base(entry)
    for key, kind in ((_IN, "input"), (_OUT, "output")):
        if base.get(key) is None:
            raise InputError(f"{name}: no {kind} price", f"a number of $ per token in {key}")

    def price(table: Mapping[str, Any], key: str) -> float | None:
        value = table.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{name}: {key} {value!r:.40}", "a number of $ per token")
        return float(value)

    def prices(table: Mapping[str, Any], suffix: str = "") -> dict[str, Any]:
        hit = price(table, f"{_HIT}{suffix}")
        return {"input": price(table, _IN + suffix), "output": price(table, _OUT + suffix), "cached": hit or None}

    writes = [(hold, price(entry, _WRITE + suffix)) for suffix, hold in _HOLDS.items()]
    thresholds = sorted(int(m[1]) for key in entry if (m := _ABOVE.fullmatch(key)))
    steps = [(1000.0 * k, prices(entry, f"_above_{k}k_tokens")) for k in thresholds] or [
        (float(tier["range"][0]), prices(tier)) for tier in _tiers(entry)[1:]
    ]
    first: dict[str, Any] = prices(base)
    modes = [(mode, prices(entry, f"_{suffix}")) for suffix, mode in _MODES.items()]
    if factor := price(entry.get(_OWN) or {}, "fast"):  # Anthropic's fast mode is a factor on all lines
        modes = [*(each for each in modes if each[0] != "fast"), ("fast", _times(first, factor))]
    first["cached"] = first["cached"] or price(entry, _OLD_HIT) or None
    return Sheet(
        name=name,
        provider=str(entry.get("litellm_provider", "")),
        date=date,
        source=str(entry.get("source", "")),
        context=float(limit) if isinstance(limit := entry.get("max_input_tokens"), int | float) else 0.0,
        **first,
        writes=tuple(Write(hold=hold, price=value) for hold, value in writes if value),
        steps=tuple(Step(above=above, **each) for above, each in steps if each["input"] and each["output"]),
        modes=tuple(Mode(name=mode, **each) for mode, each in modes if each["input"] and each["output"]),
    )


def read_all(
    entries: Mapping[str, Mapping[str, Any]], names: Iterable[str], date: str = ""
) -> tuple[list[Sheet], list[str]]:
    """The sheets of some entries, and why others are none."""
    sheets, refused = [], []
    for name in names:
        try:
            sheets.append(read_litellm(name, entries[name], date))
        except InputError as error:
            refused.append(str(error))
    return sheets, refused


def _times(prices: Mapping[str, Any], factor: float) -> dict[str, Any]:
    return {name: value * factor if value else None for name, value in prices.items()}


def _text(entry: Mapping[str, Any]) -> bool:
    return entry.get("mode") in (*TEXT, None)


def _tiers(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Prices by range of context, if the entry has them as a list."""
    tiers = entry.get("tiered_pricing")
    whole = isinstance(tiers, list) and all(
        isinstance(tier, dict) and isinstance(tier.get("range"), list) and tier["range"] for tier in tiers
    )
    return list(tiers) if isinstance(tiers, list) and whole else []


def _base(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where the prices of short requests stand: in the entry, or in the first of its tiers."""
    tiers = _tiers(entry)
    return entry if entry.get(_IN) is not None or not tiers else tiers[0]


def _prices(entry: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """All prices of an entry, comparable."""
    return tuple(sorted((key, str(value)) for key, value in entry.items() if "cost" in key or key == "tiered_pricing"))
