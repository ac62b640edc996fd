"""What the lecture says of training layouts (chapters 3 and 4), recomputed: bubbles, weights per micro-batch, racks.

Claims are numbered as in the project's list of the lecture's claims.
"""

from __future__ import annotations

import pytest

from ridgeline.training.bubble import bubble_time, idle_share
from ridgeline.training.layout import TrainingLayout
from ridgeline.training.question import TrainingQuestion, asked
from ridgeline.training.run import TrainingRun, train
from ridgeline.training.search import search


def run(layout: TrainingLayout, **fields: object) -> TrainingRun:
    return train(asked(TrainingQuestion.read(fields)).setting, layout)


@pytest.mark.parametrize(("m", "share"), [(4, 0.43), (8, 0.27), (16, 0.16), (32, 0.086)])
def test_training_bubble(m: int, share: float) -> None:
    """C066: with four stages 43% of the time is idle at 4 micro-batches, 8.6% at 32; C065: at one, three quarters."""
    assert idle_share(4, 1, m) == pytest.approx(share, abs=0.005)
    assert idle_share(4, 1, 1) == 0.75


def test_the_bubble_can_hold_gradients_of_weights() -> None:
    """Zero-bubble schedules: what waits in 1F1B is filled with weight gradients, which nobody waits for."""
    assert bubble_time("zb-h2", 4, 1, 1.0, 2.0, 1.0) == 0 < bubble_time("1f1b", 4, 1, 1.0, 2.0, 1.0)


def test_a_pipeline_reads_its_weights_for_every_micro_batch() -> None:
    """C161: the same batch in smaller micro-batches takes longer, though its FLOPs are the same."""
    ask = {"model": "llama-3-70b", "system": "hgx-h100", "chips": 64, "batch": 256}
    small, large = (run(TrainingLayout(tp=8, pp=8, micro_batch=b), **ask) for b in (1, 2))
    assert small.floor.math == pytest.approx(large.floor.math)
    per_layer = [each.time.parts["matrices"] + each.time.parts["host"] for each in (small, large)]
    assert per_layer[0] > per_layer[1]


def test_a_smaller_batch_is_worse_for_the_system() -> None:
    """C160: with the same chips, fewer sequences per step mean fewer tokens per second: bubble and messages stay."""
    rates = [
        run(TrainingLayout(tp=8, pp=8, dp=16), model="llama-3.1-405b", system="hgx-h100", chips=1024, batch=b).rate
        for b in (256, 512, 2048)
    ]
    assert rates == sorted(rates)


def test_a_rack_replaces_stages() -> None:
    """C088: experts spread over a whole scale-up domain leave little for a pipeline to do. DeepSeek-V3 on 256 chips
    needs stages across boxes of 8 H200; in racks of 72 the best layout has fewer.
    """
    ask = {"model": "deepseek-v3", "chips": 256, "batch": 4096, "dtype": "fp8", "gradients": "bf16", "moments": "bf16"}
    boxes = search(TrainingQuestion.read(ask | {"system": "hgx-h200"})).best[0].layout
    racks = search(TrainingQuestion.read(ask | {"system": "gb200-nvl72"})).best[0].layout
    assert racks.pp < boxes.pp or (racks.pp == 1 and boxes.pp == 1 and racks.ep > boxes.ep)
