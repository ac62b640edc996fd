"""What a scenario's names stand for: model, system and number formats, looked up once and checked against each other.

Knows no time; what a layout needs of a model is `layout.Divisors`.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ridgeline.catalog import BUILT_IN, Catalog, Provenance
from ridgeline.errors import InputError
from ridgeline.hardware import System, load_system
from ridgeline.layout import Divisors
from ridgeline.model import Architecture, load_model
from ridgeline.precision import Precision, resolve
from ridgeline.scenario import Scenario
from ridgeline.whatif import changed


class Subject(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a scenario's names stand for: the model, the system, and the number formats of one on the other."""

    model: Architecture
    system: System
    precision: Precision
    chips: int
    catalog: Catalog
    sources: dict[str, Provenance]
    """Who says each value of the system, by dotted path."""


def subject(scenario: Scenario) -> Subject:
    """Look up a scenario's names and check that they go together.

    Raises
    ------
    InputError
        For unknown names and formats, and for a layout that does not divide the model.
    """
    s = scenario
    look_up = _looked_up if s.model.lstrip().startswith("{") else _kept  # the text of a config.json is not kept
    found = look_up(s.model, s.system, s.set, (s.weights, s.kv, s.activations), int(s.chips), s.catalog)
    if all(isinstance(degree, (int, float)) for degree in msgspec.structs.astuple(scenario.layout)):
        Divisors.of(found.model).check(scenario.layout, found.model.name)
    elif not Divisors.of(found.model).valid(scenario.layout).all():
        raise InputError(
            f"layouts of {found.model.name}", "an array in which all degrees divide it", "see layout.Divisors.valid"
        )
    return found


def _looked_up(name: str, on: str, what: str, formats: tuple[str, str, str], chips: int, folder: str) -> Subject:
    catalog = BUILT_IN.under(folder) if folder else BUILT_IN
    model = load_model(name, catalog)
    entry = load_system(on, catalog)
    system, model, what_if = changed(entry.value, model, what)
    return Subject(
        model=model,
        system=system,
        precision=resolve(model, system.chip, *formats),
        chips=chips or system.default_chips,
        catalog=catalog,
        sources=entry.sources | {path: Provenance(text=text, source="--set") for path, text in what_if.items()},
    )


_kept = lru_cache(maxsize=512)(_looked_up)
