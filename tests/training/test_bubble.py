"""Closed forms of pipelines, against published values; the event simulation has its own tests."""

from __future__ import annotations

import pytest

from ridgeline.training.bubble import SCHEDULES, bubble_time, idle_share, in_flight


@pytest.mark.parametrize(
    ("m", "v", "share"),
    [(1, 1, 7.0), (8, 1, 0.875), (32, 1, 0.21875), (8, 2, 0.4375), (32, 8, 0.02734)],
)
def test_ultrascale_playbook(m: int, v: int, share: float) -> None:
    """(p - 1) / (v m) of the ideal time on 8 stages: values of the playbook's figure pp_bubblesize."""
    assert bubble_time("1f1b", 8, v, 1.0, 2.0, 1.0) / (3.0 * m) == pytest.approx(share, abs=1e-5)


def test_zero_bubble_by_the_authors_table() -> None:
    """sail-sg/zero-bubble: with F = B = W, H1 is a third of 1F1B's bubble and H2 none."""
    whole = bubble_time("1f1b", 8, 1, 1.0, 2.0, 1.0)
    assert bubble_time("zb-h1", 8, 1, 1.0, 2.0, 1.0) == pytest.approx(whole / 3)
    assert bubble_time("zb-h2", 8, 1, 1.0, 2.0, 1.0) == 0


def test_lecture_bubble() -> None:
    """C066: (P - 1) / (m + P - 1)."""
    assert idle_share(4, 1, 4) == pytest.approx(3 / 7)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_schedule_waits_a_negative_time_or_holds_more_than_all(schedule: str) -> None:
    for p in (1, 2, 8):
        for m in (1, 4, 64):
            assert bubble_time(schedule, p, 1, 1.0, 1.5, 0.8) >= 0
            assert 0 < in_flight(schedule, p, 1, m) <= m
    assert bubble_time(schedule, 1, 1, 1.0, 2.0, 1.0) == 0


def test_korthikanti_interleaving_holds_more() -> None:
    """arXiv:2205.05198: first-stage memory grows by 1 + (p - 1) / (p v)."""
    assert in_flight("1f1b", 8, 4, 64) == pytest.approx(8 * (1 + 7 / (8 * 4)))
