"""Pipeline schedules by name: GPipe, 1F1B, interleaved, zero bubble H1, H2 and V, V-Half, V-Min, DualPipe, DualPipeV.

p devices, m micro-batches, v chunks of layers per device. The orders are those of the papers:

    gpipe         all forwards, then all backwards (2019, arXiv 1811.06965)
    1f1b          p - i forwards on device i, then a backward and a forward in turn (PipeDream-flush, 2006.09503)
    interleaved   1f1b over v chunks per device, in groups of p micro-batches (Megatron-LM, 2104.04473)
    zb-h1, zb-h2  backward divided; i (2 i) gradients of weights wait on device i (2401.10241)
    zb-v          two chunks per device, placed as a V (2401.10241)
    v-half, v-min the same V with a building block of period 6 whose offsets bound what is kept (2405.15362)
    dualpipe      two copies of the model in opposite directions; forward beside backward (DeepSeek-V3, 2412.19437)
    dualpipev     its half: one copy, two chunks per device placed as a V (github.com/deepseek-ai/DualPipe)

Knows no times.
"""

from __future__ import annotations

from collections.abc import Callable

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.training.pipeline.program import Program, Writer


def program(name: str, devices: int, micro: int, chunks: int = 1) -> Program:
    """The program of a schedule.

    Parameters
    ----------
    name
        A key of `SCHEDULES`.
    devices
        p, 1 or more.
    micro
        m, micro-batches of a step.
    chunks
        v of "interleaved"; the others have their own.

    Raises
    ------
    UnknownNameError
        For another name.
    InputError
        For numbers that the schedule cannot run with.
    """
    if name not in SCHEDULES:
        raise UnknownNameError("schedule", name, SCHEDULES)
    if devices < 1:
        raise InputError(f"--stages {devices}", "1 or more")
    if micro < 1:
        raise InputError(f"--micro-batches {micro}", "1 or more")
    if chunks < 1:
        raise InputError(f"--virtual {chunks}", "1 or more")
    if chunks > 1 and name != "interleaved":
        raise InputError(f"--virtual {chunks} with {name}", "1: only interleaved has a number of chunks to choose")
    return SCHEDULES[name](devices, micro, chunks)


def _straight(name: str, p: int, m: int, writers: list[Writer]) -> Program:
    places = (tuple(range(p)),)
    return Program(name=name, stages=p, micro=m, places=places, slots=tuple(w.slots for w in writers), share=1.0)


def _gpipe(p: int, m: int, _: int) -> Program:
    writers = [Writer(p, m, [(i, 0)]) for i in range(p)]
    for w in writers:
        for _ in range(m):
            w.forward()
        for _ in range(m):
            w.backward()
    return _straight("gpipe", p, m, writers)


def _one_forward_one_backward(p: int, m: int, _: int) -> Program:
    writers = [Writer(p, m, [(i, 0)]) for i in range(p)]
    for i, w in enumerate(writers):
        warm = min(p - i - 1, m)
        for _ in range(warm):
            w.forward()
        for _ in range(m - warm):
            w.forward()
            w.backward()
        for _ in range(warm):
            w.backward()
    return _straight("1f1b", p, m, writers)


def _interleaved(p: int, m: int, v: int) -> Program:
    """Virtual micro-batch k of n = m v is micro-batch (k // (p v)) p + k % p of chunk (k // p) % v."""
    if m % p and v > 1:
        raise InputError(
            f"--micro-batches {m} on {p} stages", "a multiple of the stages", "as Megatron-LM's interleaving needs it"
        )
    if v == 1:
        return _renamed(_one_forward_one_backward(p, m, 1), "interleaved")
    n = m * v
    slots = []
    for i in range(p):
        w = Writer(p * v, m, [(chunk * p + i, 0) for chunk in range(v)])
        order = [(k // p) % v for k in range(n)]
        warm = n if m == p else min(2 * (p - i - 1) + (v - 1) * p, n)
        for chunk in order[:warm]:
            w.forward(chunk)
        for k in range(n - warm):
            w.forward(order[warm + k])
            w.backward(v - 1 - order[k])
        for chunk in order[n - warm :]:
            w.backward(v - 1 - chunk)
        slots.append(w.slots)
    places = (tuple(range(p)) * v,)
    return Program(name="interleaved", stages=p * v, micro=m, places=places, slots=tuple(slots), share=1 / v)


def _renamed(found: Program, name: str) -> Program:
    from msgspec.structs import replace

    return replace(found, name=name)


def _zero_bubble(name: str, wait: int) -> Callable[[int, int, int], Program]:
    """`wait` gradients of weights wait per device that comes before; as many more forwards come first for H2."""

    def made(p: int, m: int, _: int) -> Program:
        writers = [Writer(p, m, [(i, 0)]) for i in range(p)]
        for i, w in enumerate(writers):
            warm = min(wait * (p - 1 - i), m - 1)
            for _ in range(warm):
                w.forward()
            for k in range(m):
                if warm + k < m:
                    w.forward()
                w.gradient()
                if k >= wait * i or warm + k >= m - 1:
                    w.weight()
            w.flush()
        return _straight(name, p, m, writers)

    return made


def _zero_bubble_v(p: int, m: int, _: int) -> Program:
    """Stage i and stage 2p - 1 - i on device i."""
    if m < 2 * p:
        raise InputError(f"--micro-batches {m} on {p} stages of zb-v", f"{2 * p} or more: twice the stages")
    slots = []
    for i in range(p):
        w = Writer(2 * p, m, [(i, 0), (2 * p - 1 - i, 0)])
        for _ in range(2 * (p - i) - 1):
            w.forward(0)
        for _ in range(i):
            w.forward(1)
            w.forward(0)
        for _ in range(p - i):
            w.forward(1)
            w.gradient(1)
            w.weight()
        while w.next[1][0] < w.next[0][0] or w.next[0][0] < m:
            if w.next[0][0] < m:
                w.forward(0)
            w.gradient(0)
            w.weight()
            w.forward(1)
            w.gradient(1)
            w.weight()
        for _ in range(i):
            w.gradient(0)
            w.gradient(1)
        for _ in range(p - i):
            w.gradient(0)
            w.weight()
        w.flush()
        slots.append(w.slots)
    places = ((*range(p), *reversed(range(p))),)
    return Program(name="zb-v", stages=2 * p, micro=m, places=places, slots=tuple(slots), share=0.5)


def _v_half(p: int, i: int) -> tuple[int, int, int, int]:
    """Times of F0, F1, B1 and B0 of the first micro-batch on device i, where F = B = W = 1."""
    room = 3 * (p % 2 == 0)
    return 2 * i, 3 * p - i - 2, 3 * p + room + 2 * i - 1, 6 * p + room - i - 2


def _v_min(p: int, i: int) -> tuple[int, int, int, int]:
    """The same of V-Min."""
    room = 2 * (p % 3 == 0)
    return i, 2 * p - i - 1, 2 * p + room + i, 4 * p + room - i - 1


def _block(name: str, times: Callable[[int, int], tuple[int, int, int, int]]) -> Callable[[int, int, int], Program]:
    """A building block repeated every 6 times, gradients of weights in the gaps; the order alone is kept."""

    def made(p: int, m: int, _: int) -> Program:
        slots = []
        for i in range(p):
            w = Writer(2 * p, m, [(i, 0), (2 * p - 1 - i, 0)])
            write = (
                lambda w=w: w.forward(0),
                lambda w=w: w.forward(1),
                lambda w=w: w.gradient(1),
                lambda w=w: w.gradient(0),
            )
            events = sorted((start + 6 * k, part) for part, start in enumerate(times(p, i)) for k in range(m))
            before = events[0][0]
            for at, part in events:
                for _ in range(min(at - before - 1, len(w.pending))):
                    w.weight()
                write[part]()
                before = at
            w.flush()
            slots.append(w.slots)
        places = ((*range(p), *reversed(range(p))),)
        return Program(name=name, stages=2 * p, micro=m, places=places, slots=tuple(slots), share=0.5)

    return made


def _dual(w: Writer, half: int, i: int, each: int, *, middle: bool) -> None:
    """The eight steps of DualPipe on device i of `half` devices, `each` micro-batches in each direction or chunk."""
    for _ in range(2 * (half - i - 1)):
        w.forward(0)
    for _ in range(i + 1):
        w.forward(0)
        w.forward(1)
    for _ in range(half - i - 1):
        w.gradient(1)
        w.weight()
        w.forward(1)
    for k in range(each - 2 * half + i + 1):
        if k == 0 and middle:
            w.forward(0)
            w.backward(1)
        else:
            w.together(0, 1)
        w.together(1, 0)
    for _ in range(half - i - 1):
        w.backward(1)
        w.together(1, 0)
    for k in range(2 * (i + 1)):
        if k > i:
            w.gradient(1 - k % 2)
        else:
            w.backward(1 - k % 2)
    for _ in range(half - i - 1):
        w.weight()
        w.gradient(0)
    w.flush()


def _dualpipe(p: int, m: int, _: int) -> Program:
    if p % 2:
        raise InputError(f"--stages {p} of dualpipe", "an even number: devices face each other in pairs")
    if m % 2 or m < 2 * p:
        raise InputError(
            f"--micro-batches {m} on {p} stages of dualpipe", f"an even number, {2 * p} or more: twice the stages"
        )
    slots = []
    for d in range(p):
        i = min(d, p - 1 - d)
        first, second = ((d, 0), (p - 1 - d, m // 2))
        w = Writer(p, m, [first, second] if d < p // 2 else [second, first])
        _dual(w, p // 2, i, m // 2, middle=i == p // 2 - 1)
        slots.append(w.slots)
    places = (tuple(range(p)), tuple(reversed(range(p))))
    return Program(name="dualpipe", stages=p, micro=m, places=places, slots=tuple(slots), share=1.0, copies=2)


def _dualpipev(p: int, m: int, _: int) -> Program:
    if m < 2 * p:
        raise InputError(f"--micro-batches {m} on {p} stages of dualpipev", f"{2 * p} or more: twice the stages")
    slots = []
    for i in range(p):
        w = Writer(2 * p, m, [(i, 0), (2 * p - 1 - i, 0)])
        _dual(w, p, i, m, middle=i == p - 1)
        slots.append(w.slots)
    places = ((*range(p), *reversed(range(p))),)
    return Program(name="dualpipev", stages=2 * p, micro=m, places=places, slots=tuple(slots), share=0.5)


SCHEDULES: dict[str, Callable[[int, int, int], Program]] = {
    "gpipe": _gpipe,
    "1f1b": _one_forward_one_backward,
    "interleaved": _interleaved,
    "zb-h1": _zero_bubble("zb-h1", 1),
    "zb-h2": _zero_bubble("zb-h2", 2),
    "zb-v": _zero_bubble_v,
    "v-half": _block("v-half", _v_half),
    "v-min": _block("v-min", _v_min),
    "dualpipe": _dualpipe,
    "dualpipev": _dualpipev,
}
"""Every schedule, as a function of devices, micro-batches and chunks."""
