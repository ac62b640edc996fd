"""Price sheets: every way of writing one means the same, and what is none is refused by its name."""

import json
import math

import pytest

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.pricing.litellm import find_litellm, load_litellm, priced, read_litellm
from ridgeline.pricing.sheet import Mode, Sheet, Step, Write, lines
from ridgeline.pricing.spelling import find_sheet, read_price, read_steps, read_toml, sheets, write_sheet

MTOK = 1e-6
PRO = {
    "input_cost_per_token": 2e-6, "output_cost_per_token": 12e-6, "cache_read_input_token_cost": 0.2e-6,
    "input_cost_per_token_above_200k_tokens": 4e-6, "output_cost_per_token_above_200k_tokens": 18e-6,
    "cache_read_input_token_cost_above_200k_tokens": 0.4e-6, "cache_creation_input_token_cost": 2.5e-6,
    "cache_creation_input_token_cost_above_1hr": 4e-6, "input_cost_per_token_batches": 1e-6,
    "output_cost_per_token_batches": 6e-6, "litellm_provider": "us", "mode": "chat", "max_input_tokens": 1048576,
}  # fmt: skip


def sheet(**changes):
    return Sheet(**({"name": "m", "input": 2 * MTOK, "output": 12 * MTOK} | changes))


def test_a_sheet_written_to_a_file_is_read_back(tmp_path):
    """What `menu` writes must be what `infer` reads: all lines, to the last digit that prices have."""
    made = sheet(
        provider="us", date="2026-11", context=1e6, cached=0.2 * MTOK, storage=4.5 * MTOK / 3600,
        writes=(Write(hold=300, price=2.5 * MTOK), Write(hold=3600, price=4 * MTOK)),
        steps=(Step(above=200e3, input=4 * MTOK, output=18 * MTOK, cached=0.4 * MTOK),),
        modes=(Mode(name="batch", input=1 * MTOK, output=6 * MTOK),),
    )  # fmt: skip
    path = tmp_path / "m.toml"
    path.write_text(write_sheet(made))
    again = read_toml(path)
    assert [(line.name, line.unit) for line in lines(again)] == [(line.name, line.unit) for line in lines(made)]
    assert [line.price for line in lines(again)] == pytest.approx([line.price for line in lines(made)], rel=1e-9)
    assert (again.provider, again.context) == ("us", 1e6)


def test_litellm_keys_become_lines():
    """Each key of the format once: the meaning of suffixes is litellm's, 5 minutes and an hour, batches, steps."""
    found = read_litellm("pro", PRO)
    assert found.steps == (Step(above=200e3, input=4e-6, output=18e-6, cached=0.4e-6),)
    assert [(write.hold, write.price) for write in found.writes] == [(300.0, 2.5e-6), (3600.0, 4e-6)]
    assert found.modes == (Mode(name="batch", input=1e-6, output=6e-6),)
    tiers = [{"range": [32000 * i, 32000 * (i + 1)], "input_cost_per_token": 1e-6 * (i + 1),
              "output_cost_per_token": 4e-6 * (i + 1)} for i in range(3)]  # fmt: skip
    tiered = read_litellm("qwen", {"mode": "chat", "tiered_pricing": tiers})
    assert (tiered.input, [step.above for step in tiered.steps]) == (1e-6, [32e3, 64e3])


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"output_cost_per_token": None}, "no output price"),
        ({"input_cost_per_token": 2.0}, "is it $/Mtok?"),
        ({"input_cost_per_token": 2e-12}, "is it $/token?"),
        ({"input_cost_per_token": 0.0}, "above zero"),
        ({"output_cost_per_token": -1e-6}, "above zero"),
        ({"output_cost_per_token": "12"}, "a number"),
        ({"mode": "embedding"}, "a text model"),
        ({"cache_read_input_token_cost": 5e-6}, "no dearer than input"),
        ({"input_cost_per_token_above_200k_tokens": 1e-6}, "cheaper than below"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(entry, says):
    """The issue's list of bad input: what is missing, zero, negative or off by a million says so."""
    with pytest.raises(InputError, match=says.replace("?", r"\?").replace("$", r"\$")):
        read_litellm("pro", PRO | entry)


def test_steps_out_of_order_and_nan():
    """Prices from a user's own program, not from a file."""
    one, two = (Step(above=a, input=4 * MTOK, output=18 * MTOK) for a in (100e3, 200e3))
    with pytest.raises(InputError, match="out of order"):
        sheet(steps=(two, one))
    for bad in (math.nan, math.inf):
        with pytest.raises(InputError, match="not a price"):
            sheet(output=bad)


@pytest.mark.parametrize("text", ["2", "$2", "2.0", "$2/Mtok", "$2e-6/tok", "$0.002/ktok"])
def test_ways_to_write_a_price(text):
    """A bare number is per million tokens, as every price page has it; units are read."""
    assert read_price(text, "--input") == pytest.approx(2 * MTOK)


@pytest.mark.parametrize(
    ("text", "says"),
    [("€2", "US dollars"), ("2 EUR/Mtok", "US dollars"), ("0.000002", "token"), ("0", "above zero"), ("x", "number"),
     ("-1", "negative"), ("nan", "number"), ("$2/h", "expected")],
)  # fmt: skip
def test_what_is_no_price(text, says):
    """Currency, per-token confusion, zero and nonsense each have their own words."""
    with pytest.raises(InputError, match=says):
        read_price(text, "--input")


def test_flags_of_steps():
    """The issue's example: --above 200k:4/18."""
    assert read_steps("200k:4/18") == (Step(above=200e3, input=4e-6, output=18e-6),)
    with pytest.raises(InputError, match="THRESHOLD"):
        read_steps("4/18")


def test_ambiguous_and_unknown_names(tmp_path):
    """A name that several sellers have with different prices lists them; one with one price needs no more."""
    path = tmp_path / "prices.json"
    cheap = PRO | {"input_cost_per_token": 1.9e-6}
    path.write_text(json.dumps({"sample_spec": {}, "a/pro": PRO, "b/pro": cheap, "a/mini": PRO, "b/mini": PRO}))
    entries = load_litellm(path)
    assert priced(entries) == ["a/pro", "b/pro", "a/mini", "b/mini"]
    with pytest.raises(InputError, match="2 names: a/pro, b/pro"):
        find_litellm(entries, "pro", "prices.json")
    assert find_litellm(entries, "mini", "prices.json") == "a/mini"
    assert find_litellm(entries, "b/pro", "prices.json") == "b/pro"
    with pytest.raises(UnknownNameError, match="did you mean a/mini"):
        find_litellm(entries, "a/mimi", "prices.json")


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"input_cost_per_token": NaN}}'])
def test_files_that_are_no_sheet(tmp_path, text):
    """Broken JSON, NaN, lists: refused when the file is read."""
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(InputError):
        load_litellm(path)


def test_toml_without_output_or_with_a_typo(tmp_path):
    """A small file of one's own is read as strictly as the catalogue."""
    path = tmp_path / "mine.toml"
    path.write_text('input = "$2/Mtok"\n')
    with pytest.raises(InputError, match="no output price"):
        read_toml(path)
    path.write_text('input = "$2/Mtok"\noutput = "$12/Mtok"\ncache = "$1/Mtok"\n')
    with pytest.raises(UnknownNameError, match="cached"):
        read_toml(path)
    path.write_text("input = nan\noutput = 2\n")
    with pytest.raises(InputError, match="expected text"):
        read_toml(path)


def test_the_catalogues_sheets_are_sheets():
    """Every one passes its own checks, has a date and a source; the newest of a name is found."""
    known = sheets()
    assert len(known) > 30
    assert all(each.date and each.source and each.provider for each in known)
    assert find_sheet("o3").output == pytest.approx(8 * MTOK)
    with pytest.raises(UnknownNameError, match=r"gemini-2\.5-pro"):
        find_sheet("gemini-2.5-por")
