"""Pieces of a pass through pipeline stages, against a schedule that is stepped through."""

from __future__ import annotations

import numpy as np
import pytest

from ridgeline.validate.passes import HALVED, cut, waves
from ridgeline.validate.points import predict

OFFLINE = np.array([False])


def schedule(stages: int, pieces: int, passes: int) -> float:
    """When the last piece leaves the last stage, of a pass at a time, each stage of which takes one second."""
    free, left = [0.0] * stages, [0.0] * pieces
    for _ in range(passes):
        for piece in range(pieces):
            for stage in range(stages):
                free[stage] = left[piece] = max(free[stage], left[piece]) + 1.0
    return max(left)


@pytest.mark.parametrize("stages", [1, 2, 3, 8])
@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 16])
def test_times_are_those_of_a_schedule(stages: int, pieces: int) -> None:
    """A piece takes a second in each stage: the first pass fills the pipeline, later ones keep it full."""
    found = cut("any", np.array([float(pieces)]), np.array([1.0]), 1, OFFLINE)
    found = type(found)(seqs=found.seqs, new=found.new, past=found.past, count=np.array([float(pieces)]))
    assert stages * found.filled(stages).item() == schedule(stages, pieces, 1)
    more = schedule(stages, pieces, 41) - schedule(stages, pieces, 1)
    assert stages * found.steady(stages).item() * 40 == more


@pytest.mark.parametrize("engine", ["any", "llama.cpp", *HALVED])
@pytest.mark.parametrize("stages", [1, 3, 4])
def test_pieces_make_the_whole(engine: str, stages: int) -> None:
    """Every token of the batch is in one piece, and pieces see on average half of what the prompt has beside them."""
    batch, new = np.array([1.0, 6.0, 128.0]), np.array([1024.0, 20.0, 513.0])
    found = cut(engine, batch, new, stages, np.zeros(3, bool))
    assert found.seqs * found.new * found.count == pytest.approx(batch * new)
    assert found.past == pytest.approx((new - found.new) / 2)


def test_one_prompt_in_pieces_goes_through_stages_at_once() -> None:
    """llama.cpp computes 512 tokens at a time: four cards take 5/8 of one card's time for 1,024, not all of it."""
    row = {"model": "llama-3-8b", "chip": "h100-pcie", "engine": "llama.cpp", "weight_dtype": "fp16"}
    row |= {"mode": "prefill", "metric": "ttft_s", "isl": "1024", "batch": "1"}
    one, four = predict([row | {"pp": "1", "chips": "1"}, row | {"pp": "4", "chips": "4"}])
    assert four.estimate / one.estimate == pytest.approx(5 / 8, abs=0.03)


def test_the_first_token_is_the_prefill_s() -> None:
    """A static batch with one token of output is a prefill, and each more is a decode step."""
    row = {"model": "gpt-20b", "chip": "a100", "engine": "FasterTransformer", "weight_dtype": "fp16", "batch": "4"}
    row |= {"mode": "static", "metric": "e2e_s", "isl": "60", "context": "", "tp": "2", "chips": "2"}
    prefill, one, two = predict([row | {"mode": "prefill", "metric": "ttft_s"}, row | {"osl": "1"}, row | {"osl": "2"}])
    assert one.estimate == pytest.approx(prefill.estimate)
    assert two.estimate > one.estimate


def preempted(batch: int, isl: int, osl: int, tokens: int) -> int:
    """Steps of a scheduler that admits whole prompts in order and puts the latest back where the cache is full."""
    waiting, running, steps = [0] * batch, list[int](), 0  # tokens that each has put out
    while waiting or running:
        while running and sum(running) + len(running) * (isl + 1) > tokens:
            waiting.insert(0, running.pop())
        while waiting and sum(running) + len(running) * (isl + 1) + isl + waiting[0] + 1 <= tokens:
            running.append(waiting.pop(0))
        running = [done for each in running if (done := each + 1) < osl]
        steps += 1
    return steps


@pytest.mark.parametrize(("isl", "osl"), [(128, 512), (512, 512)])
@pytest.mark.parametrize("batch", [8, 16, 32, 64, 128])
def test_waves_are_a_scheduler_s(isl: int, osl: int, batch: int) -> None:
    """Nobody reserves room for answers to come: half as many lifetimes again as whole requests would need is too many.

    The law is within an eighth of a scheduler that is stepped through, in a cache for 22 to 36 whole requests.
    """
    row = (np.array(float(each)) for each in (batch, 23000, isl, osl))
    assert waves(*row) == pytest.approx(preempted(batch, isl, osl, 23000) / osl, rel=0.125)


def test_packed_matrices_are_written_out_for_prompts() -> None:
    """llama.cpp's prompts in 4 bits take longer than in 16 on the same card, its single tokens a third."""
    row = {"model": "llama-3-8b", "chip": "rtx-3090", "engine": "llama.cpp", "batch": "1", "isl": "1024"}
    prompt = row | {"mode": "prefill", "metric": "ttft_s"}
    token = row | {"mode": "decode_step", "metric": "tpot_s", "context": "512"}
    packed, wide = ({"weight_dtype": "int4"}, {"weight_dtype": "fp16"})
    found = [each.estimate for each in predict([prompt | packed, prompt | wide, token | packed, token | wide])]
    assert found[0] > found[1]
    assert found[2] < 0.5 * found[3]
