"""Single collectives and single kernels held against measurements: the parts that steps are made of.

    mode "collective"   `efficiency.link_time` of one message of `bytes` on `chips` ranks
    mode "kernel"       `efficiency.kernel_time` of one matrix of m x k by k x n

The library's version is not known, so the interval is the error of the constants that all libraries share on the chip.
Sizes of all-gathers and reduce-scatters are taken as whole buffers, as nccl-tests has them, unless the notes have sizes
per GPU: then each rank's own part. Knows no model and no engine's steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from ridgeline.collectives import message_time, wire_time
from ridgeline.efficiency import (
    Row,
    kernel_constants,
    kernel_time,
    link_constants,
    link_time,
    provenance,
)
from ridgeline.errors import InputError
from ridgeline.hardware import System, format_bytes, math_format
from ridgeline.messages import Kind, Message
from ridgeline.scenario import Scenario
from ridgeline.subject import subject

MODES = ("collective", "kernel")
METRIC = "latency_s"
KINDS = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "a2a_dispatch": "dispatch",
    "a2a_combine": "combine",
    "p2p_unidirectional": "send",
}
"""Collectives by the names of measurements, and the constants that are theirs."""
SHARDED, PER_RANK = ("all_gather", "reduce_scatter"), "per-gpu data size"
"""In vLLM's figures of GB200, read as whole buffers an all-gather would get slower per link the more ranks it has (248
GB/s of two, 154 of four); read as parts, it gets to 495 and 616 GB/s of the link's 900, as elsewhere."""
LIBRARIES = {"NCCL": "nccl", "TensorRT-LLM": "trtllm", "DeepEP": "sglang"}
"""Whose constants a library has, by the first word of its name; DeepEP was timed inside SGLang."""
Single = tuple[float, float, float, str, str]
"""Floor, estimate, error in its logarithm, what binds, and what it rests on."""
_PLAIN = "llama-2-7b"
"""Any model: a scenario names one."""


def single(row: Mapping[str, str], numbers: Mapping[str, float]) -> Single:
    """Seconds of one message or kernel.

    Raises
    ------
    InputError
        For an operation without a law, a number that it needs, or a chip that is not known.
    """
    system = subject(Scenario.read({"model": _PLAIN, "system": row["chip"]})).system
    return (_collective if row["mode"] == "collective" else _matrix)(row, numbers, system)


def _collective(row: Mapping[str, str], n: Mapping[str, float], system: System) -> Single:
    op, ranks = row["op"], int(n["chips"])
    if op not in KINDS:
        raise InputError(f"op {op!r}", f"one of {', '.join(KINDS)}: no law for it")
    if not n["bytes"]:
        raise InputError("bytes_per_rank", "missing")
    if ranks > system.domain.size and system.network.bandwidth is None:
        raise InputError(system.name, "no known bandwidth between its domains")
    exchange = op.startswith("a2a")
    kind = cast(Kind, "all_to_all" if exchange else KINDS[op])  # what is no exchange is called alike on both sides
    inside = min(ranks, system.domain.size)
    shard = op in SHARDED and PER_RANK in row.get("notes", "").lower()
    size = n["bytes"] * (ranks if shard else 1)
    message = Message(
        name=op,
        kind=kind,
        ranks=ranks,
        stride=1,
        bytes=size * (inside - 1) / ranks if exchange else size,
        far_bytes=size * (ranks - inside) / ranks if exchange else 0.0,
    )
    peer_access = system.domain.peer_access
    name = kind if ranks > inside else KINDS[op]  # across nodes as in `estimate.py`
    constants = link_constants(name, system.chip, _library(row.get("engine", "")), peer_access)
    estimate = float(link_time(constants, wire_time(message, system), ranks))
    shared = link_constants(name, system.chip, peer_access=peer_access)
    return _answer(float(message_time(message, system)), estimate, "comms", (constants, shared), system)


def _matrix(row: Mapping[str, str], n: Mapping[str, float], system: System) -> Single:
    if row["op"] != "gemm":
        raise InputError(f"op {row['op']!r}", "gemm: no law for another kernel without its model")
    if not (n["m"] and n["n"] and n["k"]):
        raise InputError("m, n, k", "missing")
    chip, stored = system.chip, row["weight_dtype"]
    peak = getattr(chip.peak, math_format(stored, stored, chip))
    math_seconds = 2.0 * n["m"] * n["n"] * n["k"] / peak
    memory = n["n"] * n["k"] * format_bytes(stored) / chip.hbm_bandwidth
    activations = n["m"] * (n["k"] + n["n"]) * 2.0 / chip.hbm_bandwidth
    constants = kernel_constants("gemm", chip, stored)
    estimate = float(kernel_time(constants, math_seconds, memory, activations, n["k"]))
    binding = "math" if math_seconds > memory else "memory"
    return _answer(max(math_seconds, memory), estimate, binding, (constants,), system)


def _answer(floor: float, estimate: float, binding: str, rows: Sequence[Row], system: System) -> Single:
    """The error is the largest of the constants' in question; they rest on what the first does."""
    return floor, max(estimate, floor), max(row.error for row in rows), binding, provenance(rows[0], system.chip)


def _library(name: str) -> str:
    return next((known for prefix, known in LIBRARIES.items() if name.startswith(prefix)), "any")


def interval(answer: Single) -> tuple[float, float]:
    """Seconds between which four of five measurements lie."""
    floor, estimate, error, _, _ = answer
    return max(estimate * math.exp(-error), floor), estimate * math.exp(error)
