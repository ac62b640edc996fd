"""Measured steps with their parts, as arrays that a fit evaluates in one call. Knows no constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from ridgeline.training.forward import Forward
from ridgeline.training.framework import Factors
from ridgeline.training.stages import Stages
from ridgeline.training.step import Parts, step_parts, step_time
from ridgeline.validate.training.row import Question

WEIGHT = 3.0
"""Rows that a place of n rows counts as are WEIGHT sqrt(n), against a prior of one."""
Groups = list[tuple[Parts, np.ndarray]]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Questions with a measured rate, and their parts."""

    questions: tuple[Question, ...]
    parts: tuple[Parts, ...]

    @classmethod
    def of(cls, questions: Sequence[Question]) -> Sample:
        """The sample of questions of which a rate was measured."""
        known = tuple(q for q in questions if q.rate > 0)
        parts = tuple(
            step_parts(
                q.model, q.system, q.precision, q.layout, q.seq, q.batch, q.habits,
                uneven=0.0, frozen=q.frozen, fused=q.fused, age=q.age, fault=q.fault, dropless=q.dropless,
            )
            for q in known
        )  # fmt: skip
        return cls(questions=known, parts=parts)

    def where(self, chosen: Callable[[Question], bool]) -> Sample:
        """The questions that are chosen."""
        pairs = [(q, p) for q, p in zip(self.questions, self.parts, strict=True) if chosen(q)]
        return Sample(questions=tuple(q for q, _ in pairs), parts=tuple(p for _, p in pairs))

    @property
    def groups(self) -> Groups:
        """Parts as arrays with their places in the sample, by what cannot be an array."""
        keys = [(p.schedule, p.frozen) for p in self.parts]
        out: Groups = []
        for key in sorted(set(keys)):
            places = np.array([i for i, k in enumerate(keys) if k == key])
            out.append((_stack([self.parts[i] for i in places]), places))
        return out

    @property
    def seconds(self) -> np.ndarray:
        """Measured seconds of a step."""
        return np.array([q.batch * q.seq / (q.rate * q.layout.chips) for q in self.questions])

    def weights(self) -> np.ndarray:
        """Weight of each row: a place of n rows counts as WEIGHT sqrt(n)."""
        places = [q.place for q in self.questions]
        return np.array([WEIGHT / np.sqrt(places.count(place)) for place in places])


def _stack(parts: Sequence[Parts]) -> Parts:
    """Parts of many rows as one with arrays."""

    def column(rows: Sequence[Any], name: str) -> Any:
        values = [getattr(row, name) for row in rows]
        if isinstance(values[0], msgspec.Struct):
            kind = type(values[0])
            return kind(**{field: column(values, field) for field in kind.__struct_fields__})
        return values[0] if isinstance(values[0], str | bool) else np.array(values, dtype=float)

    assert isinstance(parts[0].forward, Forward)
    assert isinstance(parts[0].stages, Stages)
    return Parts(**{name: column(parts, name) for name in Parts.__struct_fields__})


def estimates(sample: Sample, factors: Factors, groups: Groups | None = None) -> np.ndarray:
    """Seconds of a step of every row with one set of constants."""
    out = np.zeros(len(sample.questions))
    for parts, places in groups if groups is not None else sample.groups:
        out[places] = step_time(parts, factors).seconds
    return out
