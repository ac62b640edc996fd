"""Measured kernels, as seconds beside what the laws of `efficiency.py` need of each shape.

Reads a folder of parquet tables named `system__group__engine__version__table.parquet`, as collected by aiconfigurator
(columns: shapes, number formats, latency in milliseconds, expert exchanges in microseconds). Kept are shapes that
serving meets, and at each the fastest kernel that an engine has, since engines choose. What is left out: `LEFT_OUT`.

The tables time one attention over and over, so that keys and values that fit the chip's own cache are read from there,
up to 2.6 times as fast as from HBM. In a model other layers come between: such rows say nothing of it (`_cold`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np

from ridgeline.collectives import message_time
from ridgeline.efficiency import ANY, HOST, generation, kernel_format
from ridgeline.hardware import Chip, format_bytes, load_chip, load_system, math_format
from ridgeline.messages import Kind, Message, distinct_groups

SYSTEMS = {
    "a100_sxm": ("a100-80", "hgx-a100-80"),
    "h100_sxm": ("h100", "hgx-h100"),
    "h200_sxm": ("h200", "hgx-h200"),
    "b200_sxm": ("b200", "hgx-b200"),
    "b300_sxm": ("b300", "hgx-b300"),
    "gb200": ("gb200", "gb200-nvl72"),
    "rtx_pro_6000_server": ("rtx-pro-6000", "rtx-pro-6000"),
}
"""Chip and system of the catalogue by the tables' system name."""
FORMATS = {"bfloat16": "bf16", "half": "bf16", "int4_wo": "int4", "w4a16_mxfp4": "mxfp4", "w4a8_mxfp4_mxfp8": "mxfp4"}
CACHE = {
    "a100-80": 40e6,
    "h100": 50e6,
    "h200": 50e6,
    "b200": 126e6,
    "b300": 126e6,
    "gb200": 126e6,
    "rtx-pro-6000": 128e6,
}
"""Bytes of the last cache before HBM (NVIDIA's architecture papers and data sheets)."""
COLD, SMALL = 1.25, 0.03
"""Reads of more than COLD caches come from HBM; of those below SMALL caches neither hardly matters."""
LEFT_OUT = {
    ("gemm", "vllm", "fp8_block", ANY): "65 to 390 us each whatever the size: the host was timed, not the kernel",
    ("experts", "vllm", "fp8", "hopper"): "1.5 us per expert read: twice as slow as whole steps that were measured",
    ("experts", "sglang", "mxfp4", "hopper"): "21% of HBM bandwidth: whole steps that were measured take a third of it",
    ("decode latent", "sglang", "fp8", "hopper"): "7% of HBM bandwidth: a fallback that no deployment runs",
    ("decode attention", "trtllm", "bf16", "ampere"): "1.3 to 1.7 times as fast as HBM is, of caches of any size",
}
"""By family, engine, stored format, and generation of chips (ANY: all)."""
WITHOUT_PEERS = {("rtx_pro_6000_server", "sglang", "0.5.10"), ("rtx_pro_6000_server", "trtllm", "1.3.0rc10")}
"""Tables of a machine whose two cards do not reach each other's memory: to the microsecond alike whatever the engine,
from 16 KB on four times as long as in later tables of the same card, and no faster than 15 GB/s, not 37."""
ONE_SIDED = "NVLinkOneSided"
"""The exchange that TensorRT-LLM chooses on one NVLink domain since 1.2; the table's `balanced` tokens choose experts
of as many ranks as they can."""
MOST = 3000
"""Rows kept of one group of readings, drawn so that each doubling of the tokens counts the same."""

Columns = dict[str, Any]


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """Measured times of one family of kernels or messages; arrays of one length, all in seconds but ranks and depth."""

    family: str
    chip: str
    format: str
    engine: str
    inputs: tuple[Any, ...]
    """Arguments of `kernel_time` (math, memory, activations, depth, scores) or of `link_time` (wire, ranks)."""
    seconds: Any


def kernel_readings(folder: Path) -> Iterator[Readings]:
    """All kernels of the folder's tables."""
    for family, (table, shape, where, law) in _KERNELS.items():
        for system, engine, file in _newest(folder, table):
            chip = load_chip(SYSTEMS[system][0]).value
            data = _fastest(file, shape, where)
            labels = _labels(data, chip)
            for stored in sorted(set(labels.tolist())):
                if stored == "-" or _left_out(family, engine, stored, chip):
                    continue
                cold = _cold(chip, law(data, stored)["memory"]) if family.startswith("decode") else True
                picked = _spread((labels == stored) & cold, data[shape[1]])
                rows = {name: column[picked] for name, column in data.items()}
                if picked.size >= 20:
                    yield _kernel(family, chip, stored, engine, law(rows, stored), rows["latency"] * 1e-3)


def _kernel(family: str, chip: Chip, stored: str, engine: str, counts: Columns, seconds: Any) -> Readings:
    peak, bandwidth = chip.math_rate(math_format(stored, stored, chip)), chip.hbm_bandwidth
    zero = np.zeros_like(seconds)
    inputs = (
        counts["flop"] / peak,
        counts["memory"] / bandwidth,
        counts["activations"] / bandwidth,
        counts["depth"] + zero,
        counts.get("scores", zero),
    )
    name = kernel_format(stored, chip)
    return Readings(family=family, chip=chip.name, format=name, engine=engine, inputs=inputs, seconds=seconds)


def _gemm(r: Columns, stored: str) -> Columns:
    m, n, k = r["m"], r["n"], r["k"]
    return {"flop": 2 * m * n * k, "memory": n * k * format_bytes(stored), "activations": 2 * m * (n + k), "depth": k}


def _seen(r: Columns, tokens: Any) -> Any:
    return np.where(r["window_size"] > 0, np.minimum(r["window_size"], tokens), tokens)


def _prefill(r: Columns, stored: str) -> Columns:
    B, S, h, kv, d = (r[name] for name in ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim"))
    w = _seen(r, S)
    scores = B * h * (w * (w + 1) / 2 + (S - w) * w)
    memory = B * S * 2 * kv * d * format_bytes(stored)
    return {"flop": 4 * d * scores, "memory": memory, "activations": 4 * B * S * h * d, "depth": w, "scores": scores}


def _decode(r: Columns, stored: str) -> Columns:
    B, h, kv, d = (r[name] for name in ("batch_size", "num_heads", "num_key_value_heads", "head_dim"))
    w = _seen(r, r["step"] + 1)
    scores, memory = B * h * w, B * w * 2 * kv * d * format_bytes(stored)
    return {"flop": 4 * d * scores, "memory": memory, "activations": 4 * B * h * d, "depth": w, "scores": scores}


def _latent(r: Columns, stored: str, tokens: Any, scores: Any, width: int) -> Columns:
    """Latent attention of DeepSeek-V3: `width` multiply-adds per score, caches of 512 + 64 elements, values of 128."""
    memory = r["batch_size"] * r["seen"] * 576 * format_bytes(stored)
    activations = 2 * tokens * r["num_heads"] * (576 + 128)
    return {
        "flop": 2 * width * scores,
        "memory": memory,
        "activations": activations,
        "depth": r["seen"],
        "scores": scores,
    }


def _prefill_latent(r: Columns, stored: str) -> Columns:
    B, S, h = r["batch_size"], r["isl"], r["num_heads"]
    return _latent(r | {"seen": S}, stored, B * S, B * h * S * (S + 1) / 2, 128 + 64 + 128)


def _decode_latent(r: Columns, stored: str) -> Columns:
    B, S, h = r["batch_size"], r["step"] + 1, r["num_heads"]
    return _latent(r | {"seen": S}, stored, B, B * h * S, 512 + 64 + 512)


def _routed(tokens: Any, experts: Any, active: Any) -> Any:
    """Experts that get a token where loads are drawn as the tables' power law of exponent 1 draws them: log-uniform
    between 1 and 0.8 tokens (few visits: 0.01 and 2), scaled to the visits and rounded. Of visits that rounding loses
    the busiest experts get one each.
    """
    out = np.empty_like(tokens)
    for n, e, k in sorted(set(zip(tokens, experts, active, strict=True))):
        low, high = (1.0, max(0.8 * n, 1.0)) if n * k > e else (0.01, 2.0)
        loads = low * (high / low) ** ((np.arange(e) + 0.5) / e)
        visits = np.rint(loads * (n * k / loads.sum()))
        met = max(np.sum(visits > 0), min(n * k - visits.sum(), e))
        out[(tokens == n) & (experts == e) & (active == k)] = min(max(met, k), n * k)
    return out


def _experts(r: Columns, stored: str) -> Columns:
    N, H, k, E = r["num_tokens"], r["hidden_size"], r["topk"], r["num_experts"]
    width, visits = r["inter_size"] / r["moe_tp_size"], N * k
    distinct = _routed(N, E, k)
    return {
        "flop": 6 * visits * H * width,
        "memory": 3 * distinct * H * width * format_bytes(stored),
        "activations": 2 * visits * (2 * H + 3 * width),
        "depth": distinct,
    }


# By family: table, columns of a shape (formats, size, the rest), condition, law.
_HEADS = ["num_heads", "num_key_value_heads", "head_dim", "window_size"]
# Heads in groups, as nearly all models have them. A multi-head attention takes what the same constants say, within 10%
# in the median, but with an fp8 cache in TensorRT-LLM on Hopper: another kernel, 1.3 to 1.5 times as slow.
_HEADS_MET = "head_dim between 64 and 256 and num_heads / num_key_value_heads between 2 and 32"
_EXPERT = ["hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size"]
_KERNELS: dict[str, tuple[str, list[str], str, Any]] = {
    "gemm": (
        "gemm_perf",
        ["gemm_dtype", "m", "n", "k"],
        "least(n, k) >= 512 and greatest(n, k) < 20000 and m <= 16384",
        _gemm,
    ),
    "prefill attention": (
        "context_attention_perf",
        ["kv_cache_dtype", "isl", "batch_size", *_HEADS],
        f"{_HEADS_MET} and window_size = 0 and isl >= 64 and batch_size * isl <= 65536",
        _prefill,
    ),
    "decode attention": (
        "generation_attention_perf",
        ["kv_cache_dtype", "batch_size", "step", *_HEADS],
        f"{_HEADS_MET} and step >= 63 and batch_size <= 512",
        _decode,
    ),
    "prefill latent": (
        "context_mla_perf",
        ["kv_cache_dtype", "isl", "batch_size", "num_heads"],
        "isl >= 64 and batch_size * isl <= 65536",
        _prefill_latent,
    ),
    "decode latent": (
        "generation_mla_perf",
        ["kv_cache_dtype", "batch_size", "step", "num_heads"],
        "step >= 63",
        _decode_latent,
    ),
    # Experts of one rank: under expert parallelism the tables mean different things. Ungated models left out.
    "experts": (
        "moe_perf",
        ["moe_dtype", "num_tokens", *_EXPERT],
        "moe_ep_size = 1 and distribution = 'power_law_1.01' and num_tokens <= 16384 and topk <= 10"
        " and hidden_size != 2688 and inter_size >= 128 * moe_tp_size",
        _experts,
    ),
}


def link_readings(folder: Path) -> Iterator[Readings]:
    """All collectives and expert exchanges of the folder's tables, inside one scale-up domain."""
    for kind in ("all_reduce", "all_gather", "reduce_scatter", "alltoall"):
        where = f"op_name = '{kind}' and nccl_dtype = 'half'"
        name = "all_to_all" if kind == "alltoall" else kind
        for system, _, file in _newest(folder, "nccl_perf", engine="nccl"):
            yield _link(name, system, "nccl", _fastest(file, ["num_gpus", "message_size"], where))
    for system, engine, file in _newest(folder, "custom_allreduce_perf"):
        yield _link("all_reduce", system, engine, _captured(file))
    for system, engine, version in sorted(WITHOUT_PEERS):
        for file in folder.glob(f"{system}__*__{engine}__{version}__custom_allreduce_perf.parquet"):
            yield msgspec.structs.replace(_link("all_reduce", system, engine, _captured(file)), format=HOST)
    shape = ["num_token", "hidden_size", "num_topk", "num_experts"]
    for system, engine, file in _newest(folder, "wideep_deepep_normal_perf"):
        quick = file.with_name(file.name.replace("normal", "ll"))
        for name, width in (("dispatch", 1.0), ("combine", 2.0)):
            many = _fastest(file, shape, "num_token >= 256", f"{name}_transmit_us")
            few = _fastest(quick, shape, "num_token <= 256", f"{name}_avg_t_us")
            for data, routing in ((few, "experts"), (many, "random")):
                ranks = np.full(len(data["latency"]), 4.0 if system == "gb200" else 8.0)
                yield _exchange(name, system, engine, data, ranks, width, routing, 1e-6)
    shape = ["num_tokens", "hidden_size", "topk", "num_experts", "moe_ep_size"]
    for system, engine, file in _newest(folder, "trtllm_alltoall_perf"):
        for name, width in (("dispatch", format_bytes("nvfp4")), ("combine", 2.0)):
            where = f"op_name = 'alltoall_{name}' and moe_dtype = 'nvfp4' and kernel_source = '{ONE_SIDED}'"
            data = _fastest(file, shape, where)
            yield _exchange(name, system, engine, data, data["moe_ep_size"], width, "balanced", 1e-3)


def _captured(file: Path) -> Columns:
    """All-reduces of an engine's own table, of kernels in a captured graph."""
    return _fastest(file, ["num_gpus", "message_size"], "kernel_source not like '%eager'")


def _exchange(
    name: str, system: str, engine: str, r: Columns, ranks: Any, width: float, routing: str, unit: float
) -> Readings:
    """`routing`: a token goes to all its `experts`, to as many ranks as it can, or to those of experts at random."""
    tokens, hidden, topk, experts = list(r.values())[:4]
    copies = np.minimum(topk, ranks) if routing == "balanced" else topk
    if routing == "random":
        copies = np.array([distinct_groups(n, e, int(k)) for n, e, k in zip(ranks, experts, topk, strict=True)])
    sent = tokens * copies * hidden * width * (1 - 1 / ranks)
    return _reading(name, system, engine, _wire("all_to_all", system, ranks, sent), ranks, r["latency"] * unit)


def _link(name: Any, system: str, engine: str, r: Columns) -> Readings:
    sent = 2.0 * r["message_size"]
    if name == "all_to_all":
        sent = sent * (1 - 1 / r["num_gpus"])
    wire = _wire(name, system, r["num_gpus"], sent)
    return _reading(name, system, engine, wire, r["num_gpus"], r["latency"] * 1e-3)


def _wire(kind: Kind, system: str, ranks: Any, sent: Any) -> Any:
    """Seconds of the message at peak bandwidth, without latency."""
    known = load_system(SYSTEMS[system][1]).value
    quiet = msgspec.structs.replace(known, domain=msgspec.structs.replace(known.domain, latency=0.0))
    return message_time(Message(name=kind, kind=kind, ranks=ranks, stride=1.0, bytes=sent), quiet)


def _reading(name: str, system: str, engine: str, wire: Any, ranks: Any, seconds: Any) -> Readings:
    chip = SYSTEMS[system][0]
    return Readings(family=name, chip=chip, format="", engine=engine, inputs=(wire, ranks), seconds=seconds)


def _newest(folder: Path, table: str, engine: str = "") -> Iterator[tuple[str, str, Path]]:
    """System, engine and file of a table, the newest version of each."""
    found: dict[tuple[str, str], Path] = {}
    paths = folder.glob(f"*__{engine or '*'}__*__{table}.parquet")
    for path in sorted(paths, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name.split("__")[3])]):
        system, _, who, *_ = path.name.split("__")
        found[system, who] = path
    return ((system, who, path) for (system, who), path in sorted(found.items()))


def _fastest(file: Path, shape: list[str], where: str, latency: str = "latency") -> Columns:
    """The shortest latency at each shape; a column that a table lacks is 0."""
    with duckdb.connect() as db:
        have = {row[0] for row in db.sql(f"describe select * from '{file}'").fetchall()}
        columns = ", ".join(name if name in have else f"0 as {name}" for name in shape)
        keys = ", ".join(shape)
        query = f"select {keys}, min(t) as latency from (select {columns}, {latency} as t from '{file}' where {where}) "
        data = db.execute(f"{query} group by {keys} order by {keys}").fetchnumpy()
    return {name: np.asarray(column, None if column.dtype == object else float) for name, column in data.items()}


def _labels(data: Columns, chip: Chip) -> Any:
    """Stored format of each row; MXFP4 with wide and with narrow activations are kept apart by what the chip has."""
    names = next(iter(data.values())).astype(str)
    unused = "w4a16_mxfp4" if chip.peak.fp4 else "w4a8_mxfp4_mxfp8"
    kept = np.isin(names, ["bfloat16", "fp8", "fp8_block", "nvfp4", "int4_wo", "w4a16_mxfp4", "w4a8_mxfp4_mxfp8"])
    return np.array([FORMATS.get(n, n) if k and n != unused else "-" for n, k in zip(names, kept, strict=True)])


def _left_out(family: str, engine: str, stored: str, chip: Chip) -> bool:
    return any((family, engine, stored, place) in LEFT_OUT for place in (generation(chip.name), ANY))


def _cold(chip: Chip, size: Any) -> Any:
    """Which reads of `size` bytes, time and again, come from HBM, or are so few that it does not matter."""
    kept = CACHE[chip.name]
    return (size > COLD * kept) | (size < SMALL * kept)


def _spread(mask: Any, size: Any) -> Any:
    """At most MOST of the rows in `mask`, drawn so that each doubling of `size` is as likely."""
    rows = np.flatnonzero(mask)
    if rows.size <= MOST:
        return rows
    octave = np.log2(np.maximum(size[rows], 1)).astype(int)
    chance = 1.0 / np.bincount(octave)[octave]
    return np.random.default_rng(0).choice(rows, MOST, replace=False, p=chance / chance.sum())
