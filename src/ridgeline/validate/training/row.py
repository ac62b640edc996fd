"""One row of a table of training runs as a question and a measurement.

Two tables are recognised by their columns: published runs (`source_id`, `hardware`, `n_gpus`, `gbs_seq`, ...) and
nanotron's sweep on H100 (`nodes`, `gpus`, `grad_acc`, `zero`, ...). What a row leaves out is taken from what its source
says of all its runs (`UNSTATED`), and named under `assumed`.

    tokens per second and chip = batch * seq / (step time * chips) = FLOP/s per chip / FLOPs per token

Knows no law of time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from ridgeline.errors import InputError
from ridgeline.hardware import System, load_system
from ridgeline.layout import Divisors
from ridgeline.model import Architecture
from ridgeline.precision import Precision, resolve
from ridgeline.training.conventions import flop_per_token
from ridgeline.training.framework import NEWEST, Habits, frameworks
from ridgeline.training.layout import Job, TrainingLayout, check
from ridgeline.validate.training.shape import Row, architecture, ultrascale
from ridgeline.validate.training.sources import (
    CONVENTION,
    DATES,
    DISAGREE,
    DROPOUT,
    FAULT,
    FAULTY,
    FORMATS,
    FRAMEWORKS,
    LENGTHS,
    NEEDED,
    NETWORKS,
    PUBLISHED,
    STAGES,
    SWEEP,
    SYSTEMS,
    UNKNOWN,
    UNSTATED,
)
from ridgeline.whatif import changed


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a row asks, and what was measured."""

    id: str
    source: str
    place: tuple[str, str, str]
    """Source, model and chip: what is held out together."""
    model: Architecture
    system: System
    precision: Precision
    layout: TrainingLayout
    seq: int
    batch: int
    framework: str
    habits: Habits
    frozen: bool
    dropout: bool
    fused: bool
    assumed: tuple[str, ...]
    """Settings that the row does not give."""
    stated: bool
    """Whether the row says what is computed again, without which its memory is a guess."""
    age: float
    """Years between the software's release and NEWEST; 0 where it is not given."""
    dropless: bool = True
    """Whether experts take all tokens that are sent to them, so that the host waits for their numbers."""
    fault: float = 0.0
    """Seconds that a micro-batch waits at each neighbour of a stage, on a cluster known to be broken."""
    rate: float
    """Tokens per second and chip; 0: not measured."""
    memory: float
    """Bytes; 0: not measured."""
    out_of_memory: bool | None
    """None: it failed, but not known why, or was not tried to the end."""


def kind(columns: Sequence[str]) -> str:
    """Which table of training runs columns belong to: "published", "sweep", or "" for neither."""
    if all(name in columns for name in SWEEP):
        return "sweep"
    return "published" if all(name in columns for name in PUBLISHED) else ""


def question(row: Row, number: int, table: Sequence[Row], what: str) -> Question:
    """A row of a table of the kind `what` as a question.

    Raises
    ------
    InputError
        Naming what the row lacks, or what cannot be.
    """
    return _sweep(row, number) if what == "sweep" else _published(row, number, table)


def _number(row: Row, name: str, blank: float = 0.0) -> float:
    text = (row.get(name) or "").strip()
    if not text:
        return blank
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{name} {text[:40]!r}", "a number") from None
    if not 0 <= value < 1e15:
        raise InputError(f"{name} {text[:40]!r}", "a number from 0 on")
    return value


def _degree(row: Row, name: str, blank: int = 1) -> int:
    value = _number(row, name, blank)
    if value < 1 or value != int(value):
        raise InputError(f"{name} {row[name][:40]!r}", "a whole number from 1")
    return int(value)


@lru_cache(maxsize=64)
def system_of(hardware: str, model: Architecture) -> System:
    """The system that a table calls `hardware` (InputError)."""
    text = hardware.partition(" (paper)")[0].strip()
    name = next((SYSTEMS[key] for key in sorted(SYSTEMS, key=len, reverse=True) if text.startswith(key)), "")
    if not name:
        raise InputError(f"hardware {hardware[:40]!r}", f"one of {', '.join(SYSTEMS)}")
    system = load_system(name).value
    for key, change in NETWORKS.items():
        if key in hardware:
            system = changed(system, model, change)[0]
    return system


def _recompute(text: str) -> int:
    text = text.strip().lower()
    if text.startswith(("full", "yes")):
        return 2
    return 0 if text in ("", "[]", "none") or text.startswith("none") else 1


def _zero(text: str) -> int:
    text = text.lower()
    if "no reshard" in text or "shard_grad_op" in text:
        return 2
    for level in "0123":
        if f"zero-{level}" in text:
            return int(level)
    return 3 if "fsdp" in text else 1


def _published(row: Row, number: int, table: Sequence[Row]) -> Question:
    source = row.get("source_id", "")
    stated = {name: text for name, text in row.items() if text}
    assumed = {**UNSTATED.get(source, {}), "seq": LENGTHS.get((source, row.get("model", "")), "")}
    if source == "KORT22F1":
        assumed["pp"] = STAGES.get(row.get("model", ""), "")
        assumed["mbs"] = "4" if row.get("model") == "Megatron-22B" else "1"
        assumed["vp"] = "3" if assumed["pp"] in ("8", "35") else "1"
    extra = {name: text for name, text in assumed.items() if text and not stated.get(name)}
    row = {**row, **extra}
    model = architecture(row, table)
    if not row.get("seq"):
        raise InputError("seq", "missing")
    seq, chips = _degree(row, "seq"), _degree(row, "n_gpus", 0) if row.get("n_gpus") else 0
    if "(w/ MTP)" in row["model"] or (row["model"].startswith("DeepSeekV3") and "w/o" not in row["model"]):
        model = with_drafts(model)
    framework = _framework(row, source)
    tp, pp, cp, ep = (_degree(row, name) for name in ("tp", "pp", "cp", "ep"))
    if not chips:
        chips = tp * pp * cp
    if chips % (tp * pp * cp):
        raise InputError(f"n_gpus {chips}", f"a multiple of tp * pp * cp = {tp * pp * cp}")
    dp = chips // (tp * pp * cp)
    batch = round(_number(row, "gbs_seq"))
    if not batch and _number(row, "step_time_s") and _number(row, "tok_s_gpu"):
        batch = round(_number(row, "step_time_s") * _number(row, "tok_s_gpu") / seq * chips)
    if 0 < batch < dp and framework == "maxtext" and dp % batch == 0:
        dp, cp = batch, cp * dp // batch  # chips beyond the batch share its sequences
    mbs = _degree(row, "mbs", 0) if row.get("mbs") else 0
    if source == "TT" and pp > 1 and mbs:
        mbs = max(mbs // pp, 1)  # the column has the batch of a rank, which is cut into as many parts as stages
    if not batch:
        batch = dp * (mbs or 1) * (1 if pp == 1 else UNKNOWN * pp)
        extra["gbs_seq"] = str(batch)
    if not mbs and framework == "maxtext":
        mbs = max(batch // dp, 1)
        extra["mbs"] = str(mbs)
    if not mbs:
        mbs = 1 if pp > 1 else max(1, min(batch // dp, 4))
        while mbs > 1 and batch % (dp * mbs):
            mbs -= 1
        extra["mbs"] = str(mbs)
    elif source == "BLOOM" and batch % (dp * mbs):
        batch = max(batch // (dp * mbs), 1) * dp * mbs  # the log's samples, rounded to whole micro-batches
    vp = max(len(model.layers) // pp, 1) if row.get("vp") == "layers" else _degree(row, "vp")
    if "Interleaved" in row.get("notes", "") and vp == 1:
        vp = 2
    recompute = _recompute(row.get("recompute", ""))
    sp = not (source in DROPOUT and "SP" not in row.get("recompute", ""))
    etp = 1
    zero = _zero(row.get("sharding", ""))
    if framework == "torchtitan" and pp > 1:
        zero = 1  # stages keep weights and gradients whole between micro-batches
    layout = TrainingLayout(
        tp=tp, pp=pp, vp=vp if pp > 1 else 1, cp=cp, dp=dp, ep=ep, etp=etp, micro_batch=mbs, recompute=recompute,
        zero=zero, sp=sp, balanced=False, schedule=extra.get("schedule", "1f1b"),
    )  # fmt: skip
    divisors = Divisors.of(model)
    relaxed = (
        msgspec.structs.replace(divisors, heads=(), kv_heads=(), widths=())
        if model.name.startswith("GPT-")
        else divisors
    )
    m = batch // (dp * mbs)
    if layout.vp > 1 and m % pp:
        layout = msgspec.structs.replace(layout, vp=1)
        extra["vp"] = "1"
    check(layout, relaxed, Job(batch=batch, seq=seq, chips=chips), model.name)
    system = system_of(row["hardware"], model)
    number_format = FORMATS.get(row["precision"].split(" ")[0].lower())
    if not number_format:
        raise InputError(f"precision {row['precision'][:40]!r}", f"one of {', '.join(FORMATS)}")
    status = row.get("status", "").lower()
    return Question(
        id=f"{source}:{number}",
        source=source,
        place=(source, row["model"], system.chip.name),
        model=model,
        system=system,
        precision=resolve(model, system.chip, number_format, "bf16"),
        layout=layout,
        seq=seq,
        batch=batch,
        framework=framework,
        habits=_habits(framework, source),
        frozen=row.get("task", "").lower() == "lora",
        dropout=source in DROPOUT,
        fused=source not in DROPOUT,
        assumed=tuple(sorted(set(extra) | {name for name in NEEDED if not stated.get(name)})),
        stated=bool(stated.get("recompute")),
        age=_age(row),
        dropless="tokendrop" not in row["model"],
        rate=0.0 if pp > 1 and "gbs_seq" in extra else _rate(row, model, seq, batch, chips, source),
        memory=_number(row, "mem_gb") * (2**30 if source in ("KORT22F1", "TT") else 1e9),
        out_of_memory=True if "oom" in status else False if status == "ok" else None,
    )


def with_drafts(model: Architecture) -> Architecture:
    """The model with its layers for multi-token prediction as layers, and a head for each."""
    if not model.mtp:
        return model
    return msgspec.structs.replace(model, name=f"{model.name}+mtp", layers=model.layers + model.mtp)


def _framework(row: Row, source: str) -> str:
    """Which framework ran a row: DeepSpeed where a table of Megatron's compares itself with ZeRO-3."""
    if source == "MEG21T2" and row.get("sharding") == "ZeRO-3":
        return "deepspeed"
    return FRAMEWORKS.get(source, "megatron")


def _habits(framework: str, source: str) -> Habits:
    """Habits of a row's framework; recipes of large mixtures in Megatron-Bridge keep gradients and moments in bf16."""
    habits = frameworks().habit(framework)
    return msgspec.structs.replace(habits, gradients=2.0, states=8.0) if source == "MBRC" else habits


def _age(row: Row) -> float:
    """Years by which NVIDIA's container of a row is older than NEWEST."""
    found = re.search(r"\b(\d\d)\.(\d\d)(?:\.\d+)? NeMo Container", row.get("notes", ""))
    if found:
        return NEWEST - (2000 + int(found[1]) + (int(found[2]) - 1) / 12)
    return NEWEST - DATES.get(row.get("source_id", ""), NEWEST)


def _rate(row: Row, model: Architecture, seq: int, batch: int, chips: int, source: str) -> float:
    """Measured tokens per second and chip; 0 if there is no measurement."""
    reached = _number(row, "tflops_gpu") * 1e12 / float(flop_per_token(model, seq, CONVENTION.get(source, "nvidia")))
    if step := _number(row, "step_time_s"):
        rate = batch * seq / step / chips
        if source in CONVENTION and reached and abs(rate / reached - 1.0) > DISAGREE:
            raise InputError(
                "step_time_s and tflops_gpu", f"numbers that agree, not {rate / reached:.2f} of each other"
            )
        return rate
    if rate := _number(row, "tok_s_gpu"):
        return rate
    return reached


def _sweep(row: Row, number: int) -> Question:
    model = ultrascale(row["model"])
    system = load_system("hgx-h100").value
    tp, pp, dp, chips = (_degree(row, name) for name in ("tp", "pp", "dp", "gpus"))
    layout = TrainingLayout(
        tp=tp, pp=pp, dp=dp, micro_batch=_degree(row, "mbs"), zero=int(_number(row, "zero")), balanced=True,
        schedule="1f1b",
    )  # fmt: skip
    batch = layout.dp * layout.micro_batch * _degree(row, "grad_acc")
    check(layout, Divisors.of(model), Job(batch=batch, seq=4096, chips=chips), model.name)
    status = row.get("status", "")
    return Question(
        id=f"ultrascale:{number}",
        source="ultrascale",
        place=("ultrascale", row["model"], system.chip.name),
        model=model,
        system=system,
        precision=resolve(model, system.chip, "bf16", "bf16"),
        layout=layout,
        seq=4096,
        batch=batch,
        framework="nanotron",
        habits=frameworks().habit("nanotron"),
        frozen=False,
        dropout=False,
        fused=True,
        assumed=(),
        stated=True,
        age=0.0,
        fault=FAULT if chips >= FAULTY else 0.0,
        rate=_number(row, "tok_s_gpu"),
        memory=_number(row, "gpu_mem_gb") * 2**30,
        out_of_memory=True if re.search("oom", status) else False if status == "ok" else None,
    )
