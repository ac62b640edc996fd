"""Context steps of a price sheet: where a price may rise with the length of the prompt so that each line pays its cost.

Requests sorted by length are cut into at most n tiers; in each tier, and for each line (input, output), the price is
what the tier's tokens cost on average, so that every tier pays for itself:

    price(tier) = sum c t / sum t          t: tokens of a request on that line, c: their cost, $/tok

A request then pays too much or too little. The thresholds are those for which least money is wrong,

    wrong = sum over requests and lines of |price t - c t|

and half of it over the whole cost is the share that passes from some customers to others: the cross-subsidy. The
search is exact: with W(i, j) the wrong money of one tier of the requests i to j, the least of k tiers that end at j is
the least over i of those of k - 1 tiers that end before i plus W(i, j). Knows no deployment and no demand.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one price."""

    above: float
    """Tokens of prompt that all of its requests have more of; 0 for the first."""
    first: int
    """Its requests, from `first` to before `end`."""
    end: int
    prices: tuple[float, ...]
    """$/tok of each line, at cost."""


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """Tiers of least wrong money."""

    tiers: tuple[Tier, ...]
    moved: float
    """Share of the cost that some requests pay for others."""

    def paid(self, tokens: np.ndarray) -> np.ndarray:
        """$ of each request, at cost: prices of its tier times its tokens; ``float64[requests]``."""
        out = np.empty(tokens.shape[1])
        for tier in self.tiers:
            out[tier.first : tier.end] = np.array(tier.prices) @ tokens[:, tier.first : tier.end]
        return out


def wrong_money(tokens: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """W(i, j) for all i <= j, infinite for others: ``float64[n, n]``, $.

    Parameters
    ----------
    tokens
        ``float64[lines, n]``: tokens of each line, with the weight of the request; above 0.
    cost
        ``float64[lines, n]``, $/tok.
    """
    n = tokens.shape[1]
    money = tokens * cost
    sums = [np.concatenate([np.zeros((len(tokens), 1)), np.cumsum(x, axis=1)], axis=1) for x in (tokens, money)]
    out = np.full((n, n), np.inf)
    for i in range(n):
        size, worth = (x[:, i + 1 :] - x[:, i : i + 1] for x in sums)
        price = worth / size  # [lines, j]
        gap = np.abs(price[:, :, None] * tokens[:, None, i:] - money[:, None, i:]).sum(axis=0)
        out[i, i:] = np.tril(gap).sum(axis=1)
    return out


def steps(length: np.ndarray, tokens: np.ndarray, cost: np.ndarray, most: int) -> tuple[Steps, ...]:
    """The best 1, 2, ... `most` tiers (fewer where there are fewer different lengths).

    Parameters
    ----------
    length
        ``float64[n]``: tokens of prompt, ascending and all different.
    tokens, cost
        As of `wrong_money`.
    """
    n = len(length)
    wrong = wrong_money(tokens, cost)
    whole = float((tokens * cost).sum())
    least, begins = [wrong[0]], [np.zeros(n, dtype=int)]
    for _ in range(1, min(most, n)):
        before = np.concatenate([[np.inf], least[-1][:-1]])  # of the tiers that end before i
        every = before[:, None] + wrong
        begins.append(every.argmin(axis=0))
        least.append(every.min(axis=0))
    out: list[Steps] = []
    for k in range(len(least)):
        ends, j = [n], n - 1
        for level in range(k, 0, -1):
            begin = int(begins[level][j])
            ends.append(begin)
            j = begin - 1
        edges = [0, *reversed(ends)]
        tiers = []
        for a, b in pairwise(edges):
            money = (tokens[:, a:b] * cost[:, a:b]).sum(axis=1) / tokens[:, a:b].sum(axis=1)
            tiers.append(Tier(above=float(length[a - 1]) if a else 0.0, first=a, end=b, prices=tuple(money.tolist())))
        out.append(Steps(tiers=tuple(tiers), moved=float(least[k][-1]) / 2 / whole))
    return tuple(out)


class Lengths(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Requests of like length together: ``float64[n]`` each."""

    share: np.ndarray
    """Of all requests."""
    isl: np.ndarray
    """Mean tokens of prompt."""
    osl: np.ndarray
    """Mean tokens of answer."""
    longest: np.ndarray
    """Tokens of the longest prompt, ascending."""

    def rows(self, keep: np.ndarray) -> Lengths:
        """Some of the groups; shares stay those of all requests."""
        return Lengths(**{name: getattr(self, name)[keep] for name in Lengths.__struct_fields__})

    def coarser(self, most: int) -> Lengths:
        """At most so many groups.

        They have alike shares of requests and of tokens, halved between both, so that the few long ones are told apart.
        """
        if len(self.share) <= most:
            return self
        tokens = self.share * self.isl
        weight = (self.share / self.share.sum() + tokens / tokens.sum()) / 2
        level = np.cumsum(weight) - weight / 2
        of = np.unique(np.floor(level * most), return_inverse=True)[1]
        size = np.bincount(of, self.share)
        ends = np.append(np.flatnonzero(np.diff(of)), len(of) - 1)
        return Lengths(
            share=size,
            isl=np.bincount(of, tokens) / size,
            osl=np.bincount(of, self.share * self.osl) / size,
            longest=self.longest[ends],
        )


def grouped(prompt: np.ndarray, output: np.ndarray, most: int) -> Lengths:
    """Requests, one value each, in at most `most` groups of neighbouring prompts."""
    values, of, counts = np.unique(prompt, return_inverse=True, return_counts=True)
    every = Lengths(
        share=counts / len(prompt), isl=values.astype(float), osl=np.bincount(of, output) / counts,
        longest=values.astype(float),
    )  # fmt: skip
    return every.coarser(most)
