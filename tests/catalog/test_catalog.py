"""The catalogue: every value has a source, names are found, user entries win, and no file breaks the reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from ridgeline.catalog import BUILT_IN, Catalog, Provenance, loader, references
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.hardware import Chip, Medium, System, load_chip, load_medium, load_system

LOADERS = {"chips": load_chip, "systems": load_system, "media": load_medium}
ENTRIES = [(kind, name) for kind in LOADERS for name in BUILT_IN.names(kind)]
CHIP = """
title = "My chip"
vendor = "me"
memory = "HBM9"
source = "my invoice"
hbm_capacity = "100 GB"
hbm_bandwidth = { value = "5 TB/s", source = "my measurement", date = "2026-01", note = "hot" }
[peak]
bf16 = "1 PFLOP/s"
"""
SYSTEM = """
title = "My box"
chip = "mine"
source = "my invoice"
[domain]
size = 4
bandwidth = "400 GB/s"
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    for kind, text in (("chips", CHIP), ("systems", SYSTEM)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "mine.toml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_number_has_a_source_that_can_be_cited(kind: str, name: str) -> None:
    entry = LOADERS[kind](name)
    assert entry.value.name == name
    assert entry.value.origin == f"{kind}/{name}.toml"
    assert entry.sources
    for field, provenance in entry.sources.items():
        assert provenance.date, field
        for key in provenance.source.split("; "):
            assert key in references(), field
        assert all(BUILT_IN.citations(provenance.source))


def test_every_citation_is_used() -> None:
    """A reference that nothing cites is a leftover."""
    root = Path(BUILT_IN.folders[-1])
    text = "".join(path.read_text() for path in root.rglob("*.toml") if path.name != "references.toml")
    assert [key for key in references() if key not in text] == []


@pytest.mark.parametrize("kind", LOADERS)
def test_names_and_aliases_are_unique(kind: str) -> None:
    """Else which entry a name means would depend on the order of files."""
    aliases = [alias for name in BUILT_IN.names(kind) for alias in LOADERS[kind](name).value.aliases]
    assert len(aliases) == len(set(aliases))
    assert [alias for alias in aliases if alias in BUILT_IN.names(kind) and kind != "systems"] == []


@pytest.mark.parametrize("name", ["hgx-h100", "h100", "H100-SXM", " H100 ", "h100 sxm"])
def test_a_name_is_found_however_it_is_spelt(name: str) -> None:
    assert load_system(name).value.name == "hgx-h100"


@pytest.mark.parametrize(
    ("kind", "wrong", "near"),
    [
        ("systems", "hgx-h10", "hgx-h100"),
        ("systems", "gb200-nv72", "gb200-nvl72"),
        ("chips", "h10O", "h100"),
    ],
)
def test_unknown_name_suggests(kind: str, wrong: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean .*{near}"):
        LOADERS[kind](wrong)


@pytest.mark.parametrize(
    "name", ["", "../dtypes", "../../hardware", "/etc/passwd", "a\0b", "*", "x" * 10_000, "h100\nh200"]
)
def test_hostile_names_are_unknown_names(name: str) -> None:
    """A name never leaves its folder, and the message stays one line."""
    with pytest.raises(UnknownNameError) as refusal:
        load_system(name)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_one_system_reads_two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """By file name no other entry is opened: a command that needs one system starts in milliseconds."""
    opened: list[str] = []
    read = loader._bytes
    monkeypatch.setattr(loader, "_bytes", lambda path: opened.append(path.name) or read(path))
    Catalog(folders=(*BUILT_IN.folders, Path("nowhere"))).read("systems", "gb200-nvl72", System)
    assert sorted(opened) == ["gb200-nvl72.toml", "gb200.toml"]


# --- a catalogue of one's own ------------------------------------------------------------------------------------


def test_users_entries_are_read_and_keep_their_sources(mine: Path) -> None:
    entry = load_system("mine", BUILT_IN.under(mine))
    assert entry.value.chip.hbm_bandwidth == 5e12
    assert entry.value.chip.name == "mine"
    provenance = entry.sources["chip.hbm_bandwidth"]
    assert provenance == Provenance(text="5 TB/s", source="my measurement", date="2026-01", note="hot")
    assert entry.sources["domain.size"].source == "my invoice"
    assert BUILT_IN.citations("my invoice") == ["my invoice"]


def test_users_entry_wins_over_a_built_in_one(mine: Path) -> None:
    (mine / "chips" / "h100.toml").write_text(CHIP)
    catalog = BUILT_IN.under(mine)
    assert load_system("hgx-h100", catalog).value.chip.title == "My chip"
    assert load_system("hgx-h100").value.chip.title != "My chip"


def test_a_system_may_spell_out_its_chip(mine: Path) -> None:
    inline = SYSTEM.replace('chip = "mine"\n', "") + "[chip]\nname = 'inline'\n" + CHIP.replace("[peak]", "[chip.peak]")
    (mine / "systems" / "inline.toml").write_text(inline)
    assert load_system("inline", BUILT_IN.under(mine)).value.chip.hbm_capacity == 100e9


def test_a_price_file_adds_to_a_built_in_system(mine: Path) -> None:
    (mine / "prices").mkdir()
    prices = '[[prices]]\nkind = "rented"\nrate = "$1/h"\nsource = "offer"\ndate = "2026-02"\n'
    (mine / "prices" / "hgx-h100.toml").write_text(prices)
    entry = load_system("h100", BUILT_IN.under(mine))
    assert entry.value.price().rate == pytest.approx(1 / 3600)
    assert entry.value.price("owned") == load_system("h100").value.price("owned")
    assert entry.sources["prices/hgx-h100.toml: prices.0.rate"].source == "offer"


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(InputError, match="nowhere"):
        BUILT_IN.under("nowhere")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("hbm_bandwidth", "hbm_bandwith", ["mine.toml", "hbm_bandwith", "did you mean hbm_bandwidth"]),
        ("bf16 =", "bf61 =", ["mine.toml: peak", "did you mean bf16"]),
        ("note =", "nota =", ["hbm_bandwidth", "did you mean note"]),
        ('value = "5 TB/s", ', "", ["hbm_bandwidth", "expected a value"]),
        ('source = "my invoice"', "", ["hbm_capacity", "no source"]),
        ('"100 GB"', "100", ["hbm_capacity", "141 GB"]),
        ('"100 GB"', '"100 GB/s"', ["hbm_capacity", "a bandwidth"]),
        ('"100 GB"', '"-100 GB"', ["hbm_capacity", "negative"]),
        ('"100 GB"', '"0 GB"', ["hbm_capacity", "> 0"]),
        ('"100 GB"', "nan", ["hbm_capacity"]),
        ('"100 GB"', "[]", ["hbm_capacity"]),
        ('"100 GB"', "2026-01-01", ["hbm_capacity"]),
        ('"HBM9"', "9", ["memory"]),
        ('vendor = "me"', "", ["vendor"]),
        ('[peak]\nbf16 = "1 PFLOP/s"', 'peak = "fast"', ["peak", "expected a table"]),
        ('"My chip"', '"My chip', ["not valid TOML"]),
        ('"My chip"', '"My chip"\ntitle = "again"', ["not valid TOML"]),
        ('"My chip"', "[" * 5000 + "]" * 5000, ["nested too deeply"]),
        ('"My chip"', "9" * 10_000, ["mine.toml"]),
        ('"My chip"', '"' + "x" * 2_000_000 + '"', ["larger than"]),
        ('"My chip"', '"\0"', ["not valid TOML"]),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(mine: Path, old: str, new: str, words: list[str]) -> None:
    assert old in CHIP
    (mine / "chips" / "mine.toml").write_text(CHIP.replace(old, new))
    with pytest.raises(InputError) as refusal:
        load_chip("mine", BUILT_IN.under(mine))
    message = str(refusal.value)
    assert "mine.toml" in message
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("size = 4", "size = 0", ">= 1"),
        ("size = 4", 'size = "4"', "int"),
        ('"400 GB/s"', '"400 GB/s"\ntopology = "torus"', "torus"),
        ('chip = "mine"', 'chip = "mime"', "did you mean mine"),
        ("[domain]", "prices = [1]\n[domain]", "expected a table"),
    ],
)
def test_a_bad_system_is_refused(mine: Path, old: str, new: str, word: str) -> None:
    (mine / "systems" / "mine.toml").write_text(SYSTEM.replace(old, new))
    with pytest.raises(InputError, match=word) as refusal:
        load_system("mine", BUILT_IN.under(mine))
    assert "\n" not in str(refusal.value)


def test_not_utf8_and_not_readable(mine: Path) -> None:
    (mine / "chips" / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not valid TOML"):
        load_chip("mine", BUILT_IN.under(mine))


def test_shapes_are_what_the_loaders_return() -> None:
    assert isinstance(load_chip("h100").value, Chip)
    assert isinstance(load_medium("hdd").value, Medium)
