"""KV tiers from the catalogue: what a medium is to a replica, in blocks and seconds.

    blocks = devices * capacity / bytes of a block        read, write = bytes of a block / (devices * bandwidth)
    path   = bytes of a block on the fullest chip / link to the host, over the attention-data ranks

A block is kept once, however many chips hold a copy of it. "ddr5:devices=2,ttl=1h,mode=back" is a medium of the
catalogue with options; any other name is a store that says its capacity, read and write. Each replica has such a tier,
or, with "shared=yes", all have one. Knows no queue.
"""

from __future__ import annotations

from collections.abc import Sequence

from ridgeline.catalog import Catalog
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.hardware import format_bytes, known, load_medium
from ridgeline.memory import device_memory
from ridgeline.model.kv import total_stored
from ridgeline.scenario import Scenario
from ridgeline.simulate.hierarchy import KvTier
from ridgeline.subject import Subject
from ridgeline.units import parse

UNITS = {"capacity": "B", "read": "B/s", "write": "B/s", "latency": "s", "ttl": "s", "devices": "1"}
WORDS = {"mode": ("through", "back"), "shared": ("no", "yes")}
"""Options that are words, the usual one first."""


def kv_tiers(texts: Sequence[str], scenario: Scenario, found: Subject, block: int) -> tuple[tuple[KvTier, ...], float]:
    """Tiers as they are spelled, and seconds per block on the chip's link.

    Raises
    ------
    InputError
        For a spelling that is none, a store without capacity or bandwidth, one named twice, a model that keeps nothing
        per token, and a chip whose link to its host is unknown.
    """
    if not texts:
        return (), 0.0
    context = scenario.isl + scenario.osl / 2
    size = float(total_stored(found.model, float(context), format_bytes(found.precision.kv))) / context * block
    if not size:
        raise InputError(f"--kv-tier with {found.model.name}", "a model that keeps keys and values")
    tiers = tuple(_tier(text, found.catalog, size) for text in texts)
    if len({tier.name for tier in tiers}) < len(tiers):
        raise InputError(f"--kv-tier {', '.join(tier.name for tier in tiers)}", "each once")
    held = device_memory(
        found.model, scenario.layout, found.precision, capacity=found.system.chip.usable, seqs=1, context=context
    )
    mine = float(held.cache_per_sequence) / context * block
    return tiers, mine / known(found.system.chip, "host_link") / int(scenario.dp)


def _tier(text: str, catalog: Catalog, size: float) -> KvTier:
    """A tier from its spelling; `size`: bytes of a block."""
    name, _, rest = (part.strip() for part in text.partition(":"))
    given: dict[str, float] = {}
    said: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise InputError(
                f"--kv-tier {text!r}", "options as key=value", "such as ddr5:capacity=1TB,ttl=1h,mode=back"
            )
        if key not in (*UNITS, *WORDS):
            raise UnknownNameError(f"option of KV tier {name}", key, (*UNITS, *WORDS))
        if key in given or key in said:
            raise InputError(f"--kv-tier {text!r}", f"{key} once")
        if key in WORDS:
            if value not in WORDS[key]:
                raise UnknownNameError(f"{key} of KV tier {name}", value, WORDS[key])
            said[key] = value
            continue
        given[key] = parse(value, UNITS[key], f"{key} of KV tier {name}")
        if not given[key] > 0 and key not in ("latency",):
            raise InputError(f"--kv-tier {text!r}", f"a {key} above 0")
    if not {"capacity", "read", "write"} <= given.keys():
        try:
            medium = load_medium(name, catalog).value
        except UnknownNameError as error:
            expected = "a medium of the catalogue, or a store with capacity, read and write"
            raise InputError(f"--kv-tier {text!r}", expected, "ridgeline catalog media") from error
        given = {"capacity": medium.capacity, "read": medium.read, "write": medium.write, **given}
    devices = given.get("devices", 1.0)
    return KvTier(
        name=name,
        blocks=int(devices * given["capacity"] // size),
        read=size / (devices * given["read"]),
        write=size / (devices * given["write"]),
        latency=given.get("latency", 0.0),
        ttl=given.get("ttl", float("inf")),
        write_through=said.get("mode") != "back",
        shared=said.get("shared") == "yes",
    )
