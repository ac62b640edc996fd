"""Inference: ranks on synthetic sheets are uniform, a known model is found again, what is not known is not claimed."""

from __future__ import annotations

import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.pricing.closed import cache_from_step, cost_above, fill_from_ratio, misfits
from ridgeline.pricing.infer import Inference
from ridgeline.pricing.market import load_market, market_text, write_market
from ridgeline.pricing.open_weights import truth_of
from ridgeline.pricing.population import draw
from ridgeline.pricing.recognise import recognise
from ridgeline.pricing.selling import Shown, expected
from ridgeline.pricing.sheet import Sheet, Step
from ridgeline.pricing.spelling import find_sheet, sheets
from ridgeline.pricing.weights import information, pareto_tail
from ridgeline.roofline import balance_batch

MTOK = 1e-6


@pytest.fixture(scope="module")
def inference() -> Inference:
    return Inference(load_market(), 1 << 15)


def test_ranks_on_synthetic_sheets_are_uniform(inference: Inference) -> None:
    """Simulation-based calibration (Talts et al., arXiv:1804.06788): models and sheets drawn as the prior and the
    likelihood say, by another piece of code; the truth's rank in its posterior must be uniform.
    """
    market, count = inference.market, 400
    selling, stream = market.selling, np.random.default_rng(7)
    truth = draw(market.models, count, stream)
    batch = market.machine.batch.mean + market.machine.batch.sd * stream.standard_normal(count)
    mean = expected(truth.experts, truth.active, truth.total, truth.cache, np.exp(batch), market, inference.chip)
    scale = np.sqrt(selling.tails / stream.chisquare(selling.tails, count))
    z = scale * stream.standard_normal((3, count))
    flat = stream.random(count) < 1 / (1 + np.exp(-mean.has_flat))
    cached = stream.random(count) < 1 / (1 + np.exp(-mean.has_cached))
    context = mean.context + market.signs.context.sd * stream.standard_t(selling.tails, count)
    one = mean.flat + selling.flat_noise * z[0]
    low = mean.input + selling.markup.sd * z[0] + selling.input_noise * z[1]
    high = mean.output + selling.markup.sd * z[0] + selling.output_noise * z[2]
    ranks = {name: np.empty(count) for name in ("active", "total", "cache", "batch")}
    for i in range(count):
        seen = Shown(
            input=one[i] if flat[i] else low[i], output=one[i] if flat[i] else high[i], flat=bool(flat[i]),
            cached=float(cached[i]), context=context[i],
        )  # fmt: skip
        weights = inference.weigh(seen)
        for name in ("active", "total", "cache"):
            ranks[name][i] = weights[getattr(inference.models, name) < getattr(truth, name)[i]].sum()
        ranks["batch"][i] = weights[inference.batch < batch[i]].sum()
    for name, rank in ranks.items():
        bins = np.histogram(rank, 10, (0, 1))[0]
        assert ((bins - count / 10) ** 2 / (count / 10)).sum() < 27.9, name  # chi-square, 9 degrees, 0.1%


@pytest.mark.parametrize("model", ["llama-3.1-70b", "deepseek-v3", "qwen3-30b-a3b", "llama-3.1-8b", "glm-4.6"])
def test_a_sheet_at_cost_and_average_markup_gives_its_model_back(inference: Inference, model: str) -> None:
    """Forward and inverse: prices made from an architecture are explained by it, inside the interval."""
    truth = truth_of(model)
    market = inference.market
    mean = expected(
        np.array([truth.experts]), *(np.log10([x]) for x in (truth.active, truth.total, truth.cache)),
        batch=float(np.exp(market.machine.batch.mean)), market=market, chip=inference.chip,
    )  # fmt: skip
    sheet = Sheet(name=model, input=float(np.exp(mean.input[0])), output=float(np.exp(mean.output[0])))
    found = inference.posterior(sheet, whole=False)
    for name in ("active", "total"):
        low, _, high = found.beliefs[name].posterior
        assert low < getattr(truth, name) < high
    for name, (low, middle, high) in found.predicted.items():
        assert low < getattr(sheet, name) < high
        assert middle == pytest.approx(getattr(sheet, name), rel=0.6)


def test_a_price_cut_keeps_overlapping_intervals(inference: Inference) -> None:
    """o3 fell by 80% in a day: the model behind it did not change."""
    before, after = (inference.posterior(each) for each in sheets() if each.name == "o3")
    assert before.sheet.output == pytest.approx(5 * after.sheet.output)
    for name in ("active", "total", "cache"):
        assert before.beliefs[name].posterior[0] < after.beliefs[name].posterior[2]


def test_what_one_sheet_cannot_tell_says_so(inference: Inference) -> None:
    """Margin, utilisation, efficiency and rent: one product. KV bytes: nothing beyond the prior without more signs."""
    found = inference.posterior(Sheet(name="m", input=0.3 * MTOK, output=1.2 * MTOK), whole=False)
    for name in ("margin", "utilisation", "efficiency", "rent", "cache", "batch"):
        assert not found.beliefs[name].identified, name
    assert found.beliefs["active"].identified
    assert {(one, other): value for one, other, value in found.ridges}["total", "markup"] < -0.7


def test_the_posterior_of_parts_is_consistent(inference: Inference) -> None:
    """Sparsity and B* are one quantity on one machine; weights add up to one; the prior is the same for all sheets."""
    found = inference.posterior(find_sheet("gpt-5"))
    assert found.weights.sum() == pytest.approx(1)
    sparsity, balance = found.beliefs["sparsity"].posterior, found.beliefs["B*"].posterior
    assert [b / s for b, s in zip(balance, sparsity, strict=True)] == pytest.approx([balance[0] / sparsity[0]] * 3)
    other = inference.posterior(find_sheet("o3"))
    assert other.beliefs["active"].prior == found.beliefs["active"].prior


def test_a_sheet_that_no_model_explains_is_named(inference: Inference) -> None:
    """Not silently the prior: the price that is out of all proportion has a name."""
    found = inference.posterior(Sheet(name="m", input=0.002 * MTOK, output=90 * MTOK), whole=False)
    assert "ratio of output to input" in found.unexplained
    found = inference.posterior(Sheet(name="m", input=8000 * MTOK, output=9000 * MTOK), whole=False)
    assert "input price" in found.unexplained


def test_too_few_draws_are_refused() -> None:
    """What did not converge is not reported."""
    with pytest.raises(InputError, match="effective draws"):
        Inference(load_market(), 1000).posterior(find_sheet("gemini-3.1-pro"))


@pytest.mark.parametrize("k", [0.3, 0.6, 1.0])
def test_pareto_tail_finds_the_shape(k: float) -> None:
    """Weights drawn from a Pareto distribution of known shape."""
    found = [pareto_tail(np.random.default_rng(seed).random(1 << 15) ** -k) for seed in range(8)]
    assert np.mean(found) == pytest.approx(k, abs=0.08)


def test_information_is_that_of_two_normals() -> None:
    """ln(s0/s1) + s1^2 / (2 s0^2) - 1/2 for a posterior of the same mean; none for equal weights."""
    x = np.sort(np.random.default_rng(1).standard_normal(1 << 16))
    weights = np.exp(-0.5 * x**2 * (1 / 0.25 - 1))
    assert information(weights / weights.sum()) == pytest.approx(np.log(2) + 1 / 8 - 0.5, abs=0.03)
    assert information(np.full(1 << 14, 1 / (1 << 14))) < 1e-3


def test_beliefs_are_a_file_that_can_be_edited(tmp_path) -> None:
    """What is printed is read back the same; a change has its effect; a slip is named."""
    path = tmp_path / "priors.toml"
    path.write_text(market_text())
    assert load_market(str(path)) == load_market()
    path.write_text(write_market(load_market()))
    assert load_market(str(path)).selling.markup.sd == pytest.approx(load_market().selling.markup.sd, rel=1e-3)
    path.write_text(market_text().replace("elasticity =", "elastic ="))
    with pytest.raises(InputError, match="elastic"):
        load_market(str(path))
    path.write_text(market_text().replace("sd = 0.6558", "sd = -1"))
    with pytest.raises(InputError, match="not above zero"):
        load_market(str(path))


def test_the_lectures_closed_forms() -> None:
    """R. Pope in D. Patel's lecture (2026): 100e9 parameters, r = 300, a step at 200k tokens; and its variants."""
    assert cache_from_step(100e9, 1.0, 300, 200e3) == pytest.approx(1667, abs=1)
    assert cache_from_step(100e9, 0.5, 300, 200e3) == pytest.approx(833, abs=1)
    assert cache_from_step(100e9, 2.0, 300, 200e3) == pytest.approx(3333, abs=1)
    assert [cache_from_step(100e9, 1.0, 300, 200e3, fill) for fill in (1 / 3, 1 / 2, 1)] == pytest.approx(
        [1111, 833, 0], abs=1
    )
    assert (cost_above(300e3, 200e3, 0.0), cost_above(1e6, 200e3, 0.0)) == (1.5, 5.0)
    assert fill_from_ratio(5.0) == 5.0  # B = B*/5 at short context,
    assert fill_from_ratio(5.0, 4.0) == 1.0  # or L = 4 L* at B*
    assert balance_batch(300, 256, 32) == 2400


def test_lines_that_one_operating_point_cannot_explain() -> None:
    """The step at 200k needs B far above B*, output at 6x input needs B*/6; input doubles, output rises by half."""
    found = misfits(find_sheet("gemini-3.1-pro"))
    assert len(found) == 2
    assert "B*/6" in found[0]
    assert "input rises 2x" in found[1]
    dense = Sheet(name="m", input=MTOK, output=MTOK, steps=(Step(above=2e5, input=MTOK, output=1.5 * MTOK),))
    assert misfits(dense) == []


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("fireworks_ai/accounts/fireworks/models/llama-v3p1-70b-instruct", "llama-3.1-70b"),
        ("meta.llama3-1-8b-instruct-v1:0", "llama-3.1-8b"),
        ("deepinfra/deepseek-ai/DeepSeek-R1-0528", "deepseek-r1"),
        ("deepseek-r1-distill-llama-70b", "llama-3.1-70b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("groq/llama-3.3-70b-versatile", "llama-3.1-70b"),
        ("qwen3-vl-235b-a22b-thinking", "qwen3-vl-235b-a22b"),
        ("gpt-4o", ""),
        ("glm-4.5-x", ""),
        ("deepseek-chat", ""),
        ("hermes-2-pro-llama-3-8b", ""),
    ],
)
def test_names_on_price_lists(name: str, model: str) -> None:
    """Known spellings of known models; what is not sure is not recognised."""
    assert recognise(name) == model
