"""SGLang's waiting queue: whom the next plan sees, and in which order.

In order of arrival, retracted requests behind those seen. With `LPM`, while at most 128 wait, those seen are sorted
before each plan by rank, and stay so; of equals the order stays:

    rank = -(pages of the longest match in the radix tree)
           1, so last, with a match of at most 32 tokens and 32 tokens shared with a request before it that has such a
           match too and is not last itself: that one computes them, and the next plan finds them

Plain Python that `compiled.py` compiles before `sglang.py`, which calls it. Knows no other order, and no priorities.
Source: sgl-project/sglang managers/schedule_policy.py.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.engine import ARRIVAL, BEHIND, CUT, GIVEN, HEAD, PROMPT, QUEUED, SEEN, TAIL
from ridgeline.simulate.pool import BLOCK, Cache
from ridgeline.simulate.radix import END as PAGES
from ridgeline.simulate.radix import content, walk

SHORT_QUEUE = 128
"""Waiting requests up to which the longest match goes first."""
ALIKE = 32
"""Tokens that a request shares with one before it in the queue, but at most finds in the tree, to be put last."""


def see(jobs: np.ndarray, b: np.ndarray) -> None:
    """Note who is the last of the queue that the next plan sees."""
    seen = b[SEEN]
    behind = b[HEAD] if seen < 0 else jobs[BEHIND, seen]
    while behind >= 0 and jobs[ARRIVAL, behind] <= b[CUT]:
        seen = behind
        behind = jobs[BEHIND, seen]
    b[SEEN] = seen


def wait_again(jobs: np.ndarray, b: np.ndarray, job: int) -> None:
    """Put a retracted request behind all whom the next plan sees."""
    last = b[SEEN]
    if last < 0:
        jobs[BEHIND, job] = b[HEAD]
        b[HEAD] = job
    else:
        jobs[BEHIND, job] = jobs[BEHIND, last]
        jobs[BEHIND, last] = job
    if jobs[BEHIND, job] < 0:
        b[TAIL] = job
    b[SEEN] = job
    b[QUEUED] += 1


def rank(jobs: np.ndarray, cache: Cache, b: np.ndarray) -> bool:
    """Sort the queue by matches, longest first, and those last of whom one before them computes the beginning.

    False, without a match, if it is too long for that or stays as it is.
    """
    if len(cache.ids) == 0 or b[SEEN] < 0:
        return False
    job, waiting, page, n = b[HEAD], 1, b[BLOCK], len(cache.hits)
    while job != b[SEEN]:
        job = jobs[BEHIND, job]
        waiting += 1
        if waiting > SHORT_QUEUE:
            return False
    nodes, ranks = cache.held[n : 2 * n], cache.held[2 * n :]
    rest, job = jobs[BEHIND, b[SEEN]], b[HEAD]
    while job != rest:
        length = jobs[PROMPT, job] + jobs[GIVEN, job]
        node, _ = walk(cache, b, job, (length - 1) // page, False)
        nodes[job], ranks[job] = node, -cache.nodes[node, PAGES]
        if -ranks[job] * page <= ALIKE and length >= ALIKE:
            mine, other = content(cache, b, job, (ALIKE - 1) // page), b[HEAD]
            while other != job and ranks[job] <= 0:
                if ranks[other] <= 0 and -ranks[other] * page <= ALIKE <= jobs[PROMPT, other] + jobs[GIVEN, other]:
                    ranks[job] = 1 if content(cache, b, other, (ALIKE - 1) // page) == mine else ranks[job]
                other = jobs[BEHIND, other]
        job = jobs[BEHIND, job]
    first = last = b[HEAD]
    job = jobs[BEHIND, first]
    while job != rest:
        behind = jobs[BEHIND, job]
        if ranks[last] <= ranks[job]:
            jobs[BEHIND, last] = job
            last = job
        elif ranks[job] < ranks[first]:
            jobs[BEHIND, job] = first
            first = job
        else:
            before = first
            while ranks[jobs[BEHIND, before]] <= ranks[job]:
                before = jobs[BEHIND, before]
            jobs[BEHIND, job] = jobs[BEHIND, before]
            jobs[BEHIND, before] = job
        job = behind
    jobs[BEHIND, last] = rest
    b[HEAD], b[SEEN] = first, last
    if rest < 0:
        b[TAIL] = last
    return True


def match(jobs: np.ndarray, cache: Cache, b: np.ndarray, job: int, ranked: bool) -> int:
    """The node up to which a waiting request is remembered; 0: from the beginning it is not."""
    if len(cache.ids) == 0:
        return 0
    if ranked:
        return cache.held[len(cache.hits) + job]
    node, _ = walk(cache, b, job, (jobs[PROMPT, job] + jobs[GIVEN, job] - 1) // b[BLOCK], False)
    return node
