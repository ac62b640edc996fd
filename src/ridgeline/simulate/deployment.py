"""What a scenario's names mean to a simulation: the engine's limits, its KV blocks, and the law of its steps.

    blocks = floor( (memory - weights - activations - reserve - logits) / (cache bytes per token * block size) )

per attention-data rank, times the ranks, which are filled evenly. Bytes per token are those at the middle of a
request's life, which matters for windows and recurrent states. Limits are the engine's own defaults unless given.
Knows no queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ridgeline.errors import InputError
from ridgeline.memory import device_memory
from ridgeline.scenario import Scenario
from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.media import kv_tiers
from ridgeline.simulate.settings import Engine
from ridgeline.simulate.stepping import step_law
from ridgeline.subject import Subject, subject
from ridgeline.units import show

LARGE = 70 * 2**30
"""Bytes of device memory from which vLLM's defaults are larger (not on A100; vllm/engine/arg_utils.py)."""

CHUNKS = ((35, 2048), (60, 4096), (160, 8192), (float("inf"), 16384))
"""SGLang: chunked_prefill_size for devices below so many GiB (sglang/srt/server_args.py). Its max_running_requests is
2048 or more, by cache and longest context; 2048 here."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One replica of a scenario, ready to be simulated."""

    scenario: Scenario
    subject: Subject
    law: StepLaw
    engine: Engine
    chips: int
    """Chips of the replica."""


def deployment(
    scenario: Scenario,
    *,
    tokens: int = 0,
    sequences: int = 0,
    block: int | None = None,
    blocks: int = 0,
    scheduler: str = "",
    tiers: Sequence[str] = (),
    **options: Any,
) -> Deployment:
    """The replica that a scenario describes; 0: the engine's default, or what memory holds.

    Parameters
    ----------
    tokens, sequences
        max_num_batched_tokens and max_num_seqs, of all attention-data ranks together.
    block
        Tokens per KV block; None: 16, or, as SGLang has it, 1.
    scheduler
        "vllm" or "sglang"; empty: that of the scenario's engine, vLLM's if it is another.
    tiers
        KV tiers below HBM, nearest first, as `media` spells them.
    options
        Switches of `Engine`.

    Raises
    ------
    InputError
        For unknown names, a layout that does not fit the model or the chips, and weights that do not fit in memory.
    """
    found = subject(scenario)
    drafts = int(scenario.verify) - 1
    if drafts and not scenario.acceptance:
        given = f"--verify {scenario.verify}" + (f" --accepted {scenario.accepted}" if scenario.accepted != 1 else "")
        raise InputError(given, "the chance that a draft is accepted, from which it is drawn", "--acceptance 80%")
    if scenario.layout.chips > found.chips:
        given = f"a layout of {scenario.layout.chips} chips ({scenario.layout})"
        raise InputError(
            given, f"at most the {found.chips} chips of {found.system.name}", "smaller degrees, or --chips"
        )
    scheduler = scheduler or ("sglang" if scenario.engine == "sglang" else "vllm")
    if block is None:
        block = 1 if scheduler == "sglang" else 16
    if block < 1:
        raise InputError(f"block_size {block}", "at least 1 token")
    chip, ranks = found.system.chip, int(scenario.dp)
    if scheduler == "sglang":
        usual, many = next(chunk for most, chunk in CHUNKS if chip.usable < most * 2**30), 2048
    else:
        large = chip.usable >= LARGE and "a100" not in chip.name
        usual, many = (8192, 1024) if large else (2048, 256)
    tokens = tokens or usual * ranks
    sequences = sequences or min(many * ranks, tokens)
    kept, path = kv_tiers(tiers, scenario, found, block)
    settings = Engine(
        max_num_batched_tokens=tokens,
        max_num_seqs=sequences,
        block_size=block,
        blocks=blocks or kv_blocks(scenario, found, tokens, sequences, block),
        scheduler=scheduler,
        drafts=drafts,
        acceptance=(float(scenario.acceptance),) if drafts else (),
        tiers=kept,
        path=path,
        **options,
    )
    return Deployment(
        scenario=scenario,
        subject=found,
        law=step_law(scenario, found, tokens, sequences),
        engine=settings,
        chips=int(scenario.layout.chips),
    )


def kv_blocks(scenario: Scenario, found: Subject, tokens: int, sequences: int, block: int) -> int:
    """KV blocks that the memory of a replica holds beside weights, activations and logits.

    Raises
    ------
    InputError
        If not even one block fits.
    """
    context = scenario.isl + scenario.osl / 2
    ranks = int(scenario.dp)
    held = device_memory(
        found.model,
        scenario.layout,
        found.precision,
        capacity=found.system.chip.usable,
        seqs=1,
        context=context,
        chunk=tokens / ranks,
        utilisation=scenario.memory_utilisation,
        drafts=int(scenario.verify) > 1,
    )
    logits = held.logits_per_sequence * sequences / ranks
    room = held.capacity - held.weights - held.activations - held.reserve - logits
    blocks = int(room * context // (held.cache_per_sequence * block)) * ranks if held.cache_per_sequence else 0
    if room <= 0 or (blocks < 1 and held.cache_per_sequence):
        parts = f"weights {show(held.weights, 'B')}, reserve {show(held.reserve, 'B')} of {show(held.capacity, 'B')}"
        raise InputError(
            f"{found.model.name} on {found.system.name} ({scenario.layout})",
            f"leaves no room for a cache on a chip ({parts})",
            "more chips per replica (--tp), or narrower weights",
        )
    return blocks
