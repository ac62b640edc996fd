"""How many training layouts a CPU second, and a whole search: `make bench`, or `python benchmarks/bench_train.py`.

Every layout gets its step time with its parts, the floor, the interval, memory with its parts and the chance of running
out. Rates are of this process's CPU time.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from ridgeline.training.question import Asked, TrainingQuestion, asked
from ridgeline.training.search import evaluate, search
from ridgeline.training.space import layouts

CASES = {
    "dense": {"model": "llama-3.1-405b", "chips": 2048, "batch": 15360},
    "experts": {"model": "deepseek-v3", "chips": 2048, "batch": 15360},
}


def case(name: str) -> tuple[Asked, Any]:
    """A question and all its layouts."""
    found = asked(TrainingQuestion.read({"system": "hgx-h100", "dtype": "fp8"} | CASES[name]))
    return found, layouts(found)


@pytest.mark.parametrize("name", CASES)
def test_layouts_per_second(benchmark: Any, name: str) -> None:
    """Target on one core: 1,000,000 layouts/s."""
    found, space = case(name)
    seconds, _, _ = benchmark(evaluate, found, space)
    benchmark.extra_info["points_per_s"] = len(seconds) / benchmark.stats["median"]
    assert (seconds > 0).all()


def test_search_405b(benchmark: Any) -> None:
    """Target: 405B on 16,384 chips in 2 s."""
    question = TrainingQuestion(model="llama-3.1-405b", system="hgx-h100", chips=16384, seq=8192, batch=2048)
    found = benchmark(search, question)
    assert found.fitting > 0


def main() -> None:
    """Print the rates."""
    for name in CASES:
        found, space = case(name)
        evaluate(found, space)
        best = float("inf")
        for _ in range(5):
            begin = time.process_time()
            evaluate(found, space)
            best = min(best, time.process_time() - begin)
        print(f"{name:>8}: {len(space.tp):>9,} layouts, {len(space.tp) / best:,.0f} per CPU s")
    question = TrainingQuestion(model="llama-3.1-405b", system="hgx-h100", chips=16384, seq=8192, batch=2048)
    begin = time.process_time()
    found = search(question)
    print(f"405B on 16,384 chips: {found.evaluated:,} layouts in {time.process_time() - begin:.2f} CPU s")


if __name__ == "__main__":
    main()
