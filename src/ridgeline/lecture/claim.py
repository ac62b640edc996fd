"""A claim of the lecture as data: what is said, by whom, which number, and what goes into its check.

One TOML file per chapter in `claims/`; each table is a claim. `said` holds the inputs as the lecture has them, `real`
those of a named model and system, `otherwise` those without the assumption that a claim needs. Knows no law.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from ridgeline.errors import UnknownNameError

Inputs = dict[str, Any]
CHAPTERS = {
    "speakers": "Who spoke",
    "batch": "Batches, trains and fast mode",
    "experts": "Experts inside a rack",
    "pipeline": "What pipelining buys",
    "wall": "The memory wall",
    "overtraining": "Beyond Chinchilla",
    "prices": "What prices give away",
    "ciphers": "Networks and ciphers",
}
"""Files of claims in the order of the lecture, with their titles."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One claim. Without `stated` it says that something is so, and its check says yes or no."""

    id: str = ""
    chapter: str = ""
    says: str
    """The statement, in our words."""
    equation: str = ""
    stated: str = ""
    """The number: "20 ms", "2000..3000", ">= 8"; empty: a statement that holds or does not."""
    unit: str = "1"
    within: float = 0.05
    """Relative tolerance of a single stated number: what the speaker's own rounding leaves open."""
    heard: Literal["lecture", "summaries"] = "lecture"
    """Whether the transcript has it, or only summaries that others published."""
    conflict: str = ""
    """Where transcript and summaries, or the summaries among themselves, say different things."""
    assuming: str = ""
    """What has to be assumed for it to hold."""
    because: str = ""
    """Why it fails or cannot be computed, or what there is to know about it."""
    judged: Literal["said", "real"] = "said"
    """Whether the claim is about the lecture's own numbers or about the world."""
    said: Inputs | None = None
    otherwise: Inputs | None = None
    """The same without the assumption."""
    real: list[Inputs] = []
    evidence: Literal["", "confirmed", "refuted"] = ""
    """What reading the sources says of a statement that no law computes; `because` names them."""
    differs: str = ""
    """Where this verdict is not that of the ledger that the lecture was first taken apart in: why."""
    source: str = ""
    """Keys of the catalogue's references, or text, beyond the lecture itself."""


@lru_cache(maxsize=1)
def claims() -> dict[str, Claim]:
    """All claims by id, in the order of the lecture."""
    out: dict[str, Claim] = {}
    for chapter in CHAPTERS:
        path = Path(__file__).parent / "claims" / f"{chapter}.toml"
        for key, table in tomllib.loads(path.read_text("utf-8")).items():
            out[key] = msgspec.convert(table | {"id": key, "chapter": chapter}, Claim)
    return out


def chapters(asked: str = "") -> list[Claim]:
    """The claims of a chapter (by name or number), one claim by its id, or all.

    Raises
    ------
    UnknownNameError
        If there is neither chapter nor claim of this name.
    """
    known = claims()
    if not asked:
        return list(known.values())
    if (one := known.get(asked.upper())) is not None:
        return [one]
    names = dict(zip(map(str, range(len(CHAPTERS))), CHAPTERS, strict=True)) | {name: name for name in CHAPTERS}
    if asked.lower() not in names:
        raise UnknownNameError("chapter or claim", asked[:60], [*CHAPTERS, *known], "0 to 7, or C001 to C165")
    return [claim for claim in known.values() if claim.chapter == names[asked.lower()]]
