"""`lifetime`: kinds of tokens, both rules and the reverse in one answer; mistakes are one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Runner

ASKED = "lifetime llama-3-8b hgx-h100 --isl 3k --osl 1k --chips 1"


def test_all_parts_agree(run: Runner) -> None:
    line = f"{ASKED} --hit 50% --peak 5Mtok/s --life '1 years' --ship 50% --rl-tokens 1T --tokens 15T"
    found = run(f"{line} --json").json
    assert run(f"{found['line']} --json").json == found
    kinds = {each["name"]: each for each in found["kinds"]}
    assert sum(each["share"] for each in kinds.values()) == pytest.approx(1)
    assert kinds["cached"]["usd_per_tok"] < kinds["input"]["usd_per_tok"] < kinds["output"]["usd_per_tok"]
    inference = 0.5 * sum(each["flop_per_parameter_and_tok"] * each["tokens_tok"] for each in kinds.values())
    assert found["thirds_tok"] == pytest.approx(inference / 6)
    assert found["halves_tok"] == pytest.approx(inference / 12)
    assert found["over_training"]["low"] < found["over_training"]["median"] < found["over_training"]["high"]
    assert found["rl_flop_per_parameter_and_tok"] > 20  # a public stack's rollouts are far dearer than the lecture's
    for each in found["laws"]:
        assert each["pre_training_share"] + each["rl_share"] + each["inference_share"] == pytest.approx(1)
    out = run(line).out
    assert "Backwards" in out
    assert "what drives it" in out


def test_the_reverse_is_the_inverse(run: Runner) -> None:
    """The tokens that a life calls for, asked backwards, call for that life."""
    base = f"{ASKED} --peak 5Mtok/s --life '1 years'"
    found = {each["law"]: each for each in run(f"{base} --json").json["laws"]}
    d = found["besiroglu"]["tokens_tok"]
    back = {each["law"]: each for each in run(f"{base} --tokens {d} --json").json["laws"]}
    assert back["besiroglu"]["implied_peak_tok_per_s"] == pytest.approx(5e6, rel=1e-6)


def test_idle_serving_chips_are_paid_once(run: Runner) -> None:
    """Half the utilisation doubles what a token costs, and no more."""
    full, half = (run(f"{ASKED} --utilisation {share} --json").json["kinds"] for share in ("100%", "50%"))
    for one, two in zip(full, half, strict=True):
        assert two["usd_per_tok"] == pytest.approx(2 * one["usd_per_tok"])
        assert two["flop_per_parameter_and_tok"] == pytest.approx(2 * one["flop_per_parameter_and_tok"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--peak 0tok/s", "above 0"),
        ("--life 0s", "above 0"),
        ("--life 5", "no unit"),
        ("--ship 0", "at most 1"),
        ("--ship 200%", "at most 1"),
        ("--mfu 0", "at most 1"),
        ("--half-life 0s", "above 0"),
        ("--rl-tokens 1T --stack no", "unknown stack"),
        ("--rl-tokens 1T --rl-chips 0", "--rl-chips"),
        ("--hit 100%", "below 1"),
    ],
)
def test_mistakes_are_one_line(run: Runner, more: str, message: str) -> None:
    result = run(f"{ASKED} {more}")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
