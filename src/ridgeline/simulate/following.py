"""Requests that arrive when others end: turns of a session after those before, and in a closed loop somebody new.

Those that will arrive lie in a heap, the next one first; so do those that a fleet hands out more than once. Plain
Python that `compiled.py` compiles in place of functions of `engine.py`, where all requests are queued from the
beginning. Knows no batch.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.engine import (
    ARRIVAL,
    CHILD,
    CLOSED,
    COMING,
    CUT,
    LATER,
    NOW,
    PARENT,
    ROUTED,
    SIBLING,
    THINK,
    State,
    queue,
)
from ridgeline.simulate.ticks import FAR


def rise(jobs: np.ndarray, heap: np.ndarray, place: int, job: int) -> None:
    """Put a request into the heap of arrivals, earliest first, then lowest number: at a place or above."""
    when = jobs[ARRIVAL, job]
    while place > 0:
        above = heap[(place - 1) // 2]
        if jobs[ARRIVAL, above] < when or (jobs[ARRIVAL, above] == when and above < job):
            break
        heap[place] = above
        place = (place - 1) // 2
    heap[place] = job


def sink(jobs: np.ndarray, heap: np.ndarray, g: np.ndarray, place: int, job: int) -> None:
    """Put a request into the heap at a place or below."""
    when = jobs[ARRIVAL, job]
    while 2 * place + 1 < g[COMING]:
        below = 2 * place + 1
        if below + 1 < g[COMING]:
            one, other = heap[below], heap[below + 1]
            if jobs[ARRIVAL, other] < jobs[ARRIVAL, one] or (
                jobs[ARRIVAL, other] == jobs[ARRIVAL, one] and other < one
            ):
                below += 1
        one = heap[below]
        if when < jobs[ARRIVAL, one] or (when == jobs[ARRIVAL, one] and job < one):
            break
        heap[place] = one
        place = below
    heap[place] = job


def push(jobs: np.ndarray, heap: np.ndarray, g: np.ndarray, job: int) -> None:
    """Let a request arrive."""
    g[COMING] += 1
    rise(jobs, heap, g[COMING] - 1, job)


def pop(jobs: np.ndarray, heap: np.ndarray, g: np.ndarray) -> int:
    """Take the earliest request out of the heap."""
    job = heap[0]
    g[COMING] -= 1
    sink(jobs, heap, g, 0, int(heap[g[COMING]]))
    return job


def sooner(jobs: np.ndarray, links: np.ndarray, heap: np.ndarray, g: np.ndarray, when: int) -> None:
    """In a closed loop without anybody left to start: the last of those started since comes at a time, if later.

    Replicas are not simulated in the order of time, so that a place that was free later has been filled before.
    """
    last = -1
    for i in range(g[COMING]):
        latest = when if last < 0 else jobs[ARRIVAL, heap[last]]
        if links[PARENT, heap[i]] == -1 and jobs[ARRIVAL, heap[i]] > latest:
            last = i
    if last >= 0:
        job = heap[last]
        jobs[ARRIVAL, job] = when
        rise(jobs, heap, last, job)


def follow(s: State, job: int) -> None:
    """Let those arrive that wait for the end of a request: its follow-ups, or, in a closed loop, somebody new."""
    jobs, links, heap, g, b = s.jobs, s.links, s.heap, s.g, s.b
    if links.shape[1] == 0:
        return
    child = links[CHILD, job]
    if child < 0 and b[CLOSED]:
        while g[LATER] < links.shape[1] and links[PARENT, g[LATER]] != -1:
            g[LATER] += 1
        if g[LATER] < links.shape[1]:
            jobs[ARRIVAL, g[LATER]] = b[NOW]
            push(jobs, heap, g, g[LATER])
            g[LATER] += 1
        else:
            sooner(jobs, links, heap, g, b[NOW])
    while child >= 0:
        jobs[ARRIVAL, child] = b[NOW] + links[THINK, child]
        push(jobs, heap, g, child)
        child = links[SIBLING, child]


def arrive(jobs: np.ndarray, heap: np.ndarray, g: np.ndarray, b: np.ndarray) -> None:
    """Queue those who have arrived when the next plan is made."""
    while not b[ROUTED] and g[COMING] > 0 and jobs[ARRIVAL, heap[0]] <= b[CUT]:
        job = pop(jobs, heap, g)
        queue(jobs, b, job)


def next_coming(s: State) -> int:
    """When the first in the heap arrives; FAR: nobody does, or somebody else hands them out."""
    return s.jobs[ARRIVAL, s.heap[0]] if s.g[COMING] > 0 and not s.b[ROUTED] else FAR
