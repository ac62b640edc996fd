"""Several tenants of one deployment, each with requests of its own kind, rate, priority and objectives.

    chat: rate=20; isl=lognormal:mean=512,cv=1; osl=200; priority=0; ttft=1s     batch: rate=2; isl=8k; priority=1

Requests are shared out by rate, so that all tenants send until about the same time. Each tenant draws from random
streams of its own, so that one changes nothing of another. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.units import parse
from ridgeline.workload.requests import Requests
from ridgeline.workload.workload import Workload

LIMITS = ("ttft", "tpot", "e2e")
OWN = ("rate", "isl", "osl", "arrivals", "turns", "think", "prefix", "groups")
"""Options of a workload that each tenant may have of its own."""


class Tenant(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Who sends requests, and what for."""

    name: str
    given: dict[str, str]
    """Its own options, as they are spelled."""
    priority: int = 0
    """Smaller is served first, under a policy that knows priorities."""
    limits: dict[str, float]
    """Longest times of a request in seconds, by "ttft", "tpot", "e2e"."""


def tenant(text: str) -> Tenant:
    """Read a tenant.

    Raises
    ------
    InputError
        For what is no name with options, an unknown option or one given twice, and a priority or limit that is none.

    Examples
    --------
    >>> found = tenant("chat: rate=20; isl=512; priority=1; ttft=1s")
    >>> found.name, found.given, found.priority, found.limits
    ('chat', {'rate': '20', 'isl': '512'}, 1, {'ttft': 1.0})
    """
    name, colon, rest = (part.strip() for part in text.partition(":"))
    if not name or not colon:
        raise InputError(f"--tenant {text!r}", "a name and options", 'such as "chat: rate=20; isl=512; priority=0"')
    given: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in rest.split(";"))):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise InputError(f"--tenant {text!r}", "options as key=value, between semicolons", f"not {part!r}")
        if key not in (*OWN, *LIMITS, "priority"):
            raise UnknownNameError(f"option of tenant {name}", key, (*OWN, *LIMITS, "priority"))
        if key in given:
            raise InputError(f"--tenant {text!r}", f"{key} once")
        given[key] = value
    limits = {key: parse(given.pop(key), "s", f"{key} of tenant {name}") for key in LIMITS if key in given}
    if not all(limits.values()):
        raise InputError(f"--tenant {text!r}", "limits above 0")
    priority = given.pop("priority", "0")
    if not priority.lstrip("-").isdigit():
        raise InputError(f"priority {priority} of tenant {name}", "a whole number; smaller is served first")
    return Tenant(name=name, given=given, priority=int(priority), limits=limits)


class Mixture(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Tenants and their workloads."""

    tenants: tuple[Tenant, ...]
    workloads: tuple[Workload, ...]

    @classmethod
    def of(cls, tenants: Sequence[Tenant], requests: int, usual: Mapping[str, Any]) -> Mixture:
        """The workloads of tenants; what one does not say is as `usual` has it, in the spelling of `Workload.read`.

        Raises
        ------
        InputError
            For two tenants of one name, one without a rate, fewer requests than tenants, and a spelling that is none.
        """
        names = [each.name for each in tenants]
        if len(set(names)) < len(names):
            raise InputError(f"tenants {', '.join(names)}", "names of their own")
        rates: list[float] = []
        for each in tenants:
            rate = parse(each.given["rate"], "1", f"rate of tenant {each.name}") if "rate" in each.given else 0.0
            if not rate > 0:
                raise InputError(f"tenant {each.name} without a rate", "requests per second, above 0", "rate=2")
            rates.append(rate)
        shares = np.diff(np.rint(np.cumsum([0.0, *rates]) / sum(rates) * requests)).astype(int).tolist()
        if min(shares) < 1:
            raise InputError(f"{requests} requests of {len(names)} tenants", "at least one of each", "--requests 10k")
        made = []
        for each, rate, count in zip(tenants, rates, shares, strict=True):
            own = {
                **usual,
                **{key: value for key, value in each.given.items() if key in ("isl", "osl", "turns", "think")},
            }
            own["prefix"] = int(
                parse(each.given.get("prefix") or own["prefix"], "tok", f"prefix of tenant {each.name}")
            )
            own["groups"] = int(parse(each.given.get("groups") or own["groups"], "1", f"groups of tenant {each.name}"))
            own["arrive"] = each.given.get("arrivals", own["arrive"])
            made.append(Workload.read(**{**own, "rate": rate, "requests": count}))
        return cls(tenants=tuple(tenants), workloads=tuple(made))

    def draw(self, seed: int, replication: int = 0) -> Requests:
        """The requests of all, in the order of their arrival."""
        return mixed(
            [each.draw(seed, replication, i + 1) for i, each in enumerate(self.workloads)],
            [each.priority for each in self.tenants],
        )


def mixed(parts: Sequence[Requests], priorities: Sequence[int]) -> Requests:
    """Requests of several tenants in an open loop, as one: sorted by arrival, sessions and hash ids kept apart."""
    sizes = [len(part) for part in parts]
    begin = np.cumsum([0, *sizes])
    arrival = np.concatenate([part.arrival for part in parts])
    order = np.argsort(arrival, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    named = any(part.hash_ids is not None for part in parts)
    counts = np.zeros(len(order), np.int64)
    ids: list[np.ndarray] = []
    sessions, after, think = (np.zeros(len(order), kind) for kind in (np.int64, np.int64, np.float64))
    known = opened = 0
    for part, first, size in zip(parts, begin[:-1].tolist(), sizes, strict=True):
        mine = slice(first, first + size)
        if part.hash_offsets is not None and part.hash_ids is not None:
            counts[mine] = np.diff(part.hash_offsets)
            ids.append(part.hash_ids + known)
            known += int(part.hash_ids.max(initial=-1)) + 1
        session = np.arange(size) if part.session is None else part.session
        sessions[mine] = session + opened
        opened += int(session.max()) + 1
        follows = np.full(size, -1) if part.after is None else part.after
        after[mine] = np.where(follows >= 0, place[first + np.maximum(follows, 0)], -1)
        think[mine] = 0.0 if part.think is None else part.think
    linked = bool((after >= 0).any())
    old = np.concatenate([[0], np.cumsum(counts)])
    offsets = np.concatenate([[0], np.cumsum(counts[order])])
    gather = np.repeat(old[:-1][order] - offsets[:-1], counts[order]) + np.arange(offsets[-1])
    return Requests(
        arrival=arrival[order],
        prompt=np.concatenate([part.prompt for part in parts])[order],
        output=np.concatenate([part.output for part in parts])[order],
        session=sessions[order],
        after=after[order] if linked else None,
        think=think[order] if linked else None,
        tenant=np.repeat(np.arange(len(parts)), sizes)[order],
        priority=np.repeat(np.array(priorities), sizes)[order],
        hash_offsets=offsets if named else None,
        hash_ids=np.concatenate(ids)[gather] if named else None,
        hash_block=max(part.hash_block for part in parts),
    )
