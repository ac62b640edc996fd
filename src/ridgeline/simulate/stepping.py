"""The step law of a model on a system, taken from the estimate: what a simulation needs, tabulated once.

The estimate adds operations, so a step's time falls into what its tokens take together (matrices, experts, messages,
norms), what its sequences take (logits, the host), attention of decoding sequences, and attention of chunks:

    tokens[T]       a step of T tokens without attention and logits
    sequences[m]    logits and host of m sequences
    decode(n, S)    a whole decode step, at knots of the mean context, the windows of the layers among them
    chunk           the second of two equal chunks in a step; what the first takes more is `first`, which is affine in
                    the tokens it sees, but for windows and picked entries, beyond which it grows no more

With drafts a decode step computes 1 + drafts positions of each sequence, and the drafts. With attention-data
parallelism the sequences are spread evenly over ranks. Decoding sequences of one step count with their mean context, as
in the estimate. Where the estimate is its floor (a few tokens through experts on one chip) terms do not add, and the
law is up to 5% off. Where an engine has a factor on prefills (kernels that nobody measured), the estimate takes a step
of many decodes and a few tokens of a prompt as a whole with it, the law only the prompt: it is up to 30% below there.
Knows no queue.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from ridgeline.estimate import estimate
from ridgeline.scenario import Scenario
from ridgeline.simulate.law import StepLaw, quantised
from ridgeline.subject import Subject
from ridgeline.timing import Step, step
from ridgeline.work import Segment

LONGEST = 2**21
"""Tokens of context up to which knots reach; beyond, the last piece goes on."""
CHECKS = 400
"""Random steps of each kind that are compared with the estimate."""


class Stepping:
    """Seconds of steps of one scenario, by the estimate, with the parts that the law is made of."""

    def __init__(self, scenario: Scenario, found: Subject) -> None:
        self.scenario, self.found = scenario, found
        self.spread = int(scenario.dp * scenario.pp)
        self.verify = int(scenario.verify)

    def step(self, segments: list[Segment], drafts: int = 0) -> Step:
        """A step of some segments."""
        s, f = self.scenario, self.found
        return step(f.model, f.system, s.layout, segments, f.precision, skew=s.skew, drafts=drafts)

    def decoding(self, count: np.ndarray, mean: np.ndarray) -> Segment:
        """Decoding sequences with some cached tokens each."""
        return Segment(seqs=count, new=self.verify, past=mean, sampled=self.verify)

    def seconds(self, made: Step) -> np.ndarray:
        """What it takes by the estimate."""
        f = self.found
        return np.asarray(estimate(made, f.model, f.system, self.scenario.layout, self.scenario.engine).seconds, float)

    def tokens(self, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Seconds of `count` tokens without attention, logits and sequences; which resource binds with attention."""
        f, s = self.found, self.scenario
        made = self.step([Segment(seqs=count, new=1, past=0, sampled=0)])
        found = estimate(_without_attention(made), f.model, f.system, s.layout, s.engine)
        quick = msgspec.structs.replace(found.engine, sequence=0.0)
        return np.asarray(found.terms.total(quick), float), np.broadcast_to(made.time.binding, count.shape)

    def sequences(self, count: np.ndarray) -> np.ndarray:
        """Seconds of logits and host work of `count` sequences."""
        f, s = self.found, self.scenario
        both = []
        for sampled in (0, 1):
            made = _without_attention(self.step([Segment(seqs=count, new=1, past=0, sampled=sampled)]))
            both.append(estimate(made, f.model, f.system, s.layout, s.engine))
        bare, full = both
        quick = msgspec.structs.replace(full.engine, sequence=0.0)
        return np.asarray(full.terms.total(full.engine) - bare.terms.total(quick), float)


def step_law(scenario: Scenario, found: Subject, most_tokens: int, most_sequences: int) -> StepLaw:
    """The law of steps of at most so many tokens and sequences, checked against the estimate on random steps."""
    steps = Stepping(scenario, found)
    many = np.arange(1.0, most_sequences + 1)
    total = np.arange(1.0, max(most_tokens, most_sequences * steps.verify) + 1)
    token_seconds, binds_mixed = steps.tokens(total)
    sequence_seconds = steps.sequences(many)
    contexts = _contexts(found)
    n, mean = (grid.ravel() for grid in np.meshgrid(many, contexts, indexing="ij"))
    made = steps.step([steps.decoding(n, mean)], steps.verify - 1)
    decode = steps.seconds(made).reshape(len(many), -1)
    binds = np.broadcast_to(made.time.binding, n.shape).reshape(len(many), -1)
    new, past = _grown(1, max(most_tokens, 2), 8), np.concatenate([[0.0, 1.0], _grown(16, LONGEST, 4)])
    chunk, first = _chunks(steps, new, past)
    law = quantised(
        tokens=np.append(0.0, token_seconds),
        sequences=np.append(0.0, sequence_seconds),
        contexts=contexts,
        decode=np.vstack([0 * contexts, decode]),
        new=new,
        past=past,
        chunk=chunk,
        first=first,
        binds=np.vstack([0 * contexts, binds]),
        binds_mixed=np.append(0, binds_mixed),
    )
    law = msgspec.structs.replace(law, verify=steps.verify)
    largest, median = deviation(law, steps, most_tokens)
    return msgspec.structs.replace(law, deviation=largest, median_deviation=median)


def _chunks(steps: Stepping, new: np.ndarray, past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds per new token of a chunk at knots, and knots and seconds of what a step's first chunk takes more."""
    c, before = (grid.ravel() for grid in np.meshgrid(new, past, indexing="ij"))
    spread = steps.spread
    rest: list[np.ndarray] = []
    whole = c
    for count in (spread, 2 * spread):
        whole = steps.seconds(steps.step([Segment(seqs=count + 0 * c, new=c, past=before, prefill=True)]))
        base, _ = steps.tokens(count * c)
        logits = steps.sequences(np.array([float(count)]))
        rest.append(whole - base - logits)
    each = np.maximum((rest[1] - rest[0]) / spread, 0.0)
    first = rest[0] - each * spread
    knots = np.array(sorted({0.0, *_grown(1024, LONGEST, 1).tolist(), *_kinks(steps.found)}))
    hats = np.array([np.interp(c + before, knots, row) for row in np.eye(len(knots))]).T / whole[:, None]
    level = np.linalg.lstsq(hats, first / whole, rcond=None)[0]
    return (each / c).reshape(len(new), -1), np.array([knots, np.maximum.accumulate(np.maximum(level, 0.0))])


def _kinks(found: Subject) -> set[float]:
    """Contexts beyond which some layer reads no more: windows, and entries that are picked."""
    kinks: set[float] = set()
    for layer, _ in found.model.kinds:
        for mixer in layer.mixers:
            indexer = getattr(mixer, "indexer", None)
            for window in (getattr(mixer, "window", 0), getattr(indexer, "topk", 0)):
                kinks |= {float(window)} if window else set()
    return kinks


def _without_attention(made: Step) -> Step:
    """A step without what depends on cached tokens."""
    layers = tuple(
        msgspec.structs.replace(layer, operations=tuple(o for o in layer.operations if not _attends(o[0].family)))
        for layer in made.layers
    )
    return msgspec.structs.replace(made, layers=layers)


def _attends(family: str) -> bool:
    return family == "recurrence" or family.endswith((" attention", " latent"))


def _contexts(found: Subject) -> np.ndarray:
    """Knots of the mean context: from 0, two in each doubling, and the windows of the model's layers."""
    return np.array(sorted({0.0, 1.0, *map(float, _grown(16, LONGEST, 2)), *_kinks(found)}))


def _grown(first: float, most: float, per_doubling: int) -> np.ndarray:
    """Whole numbers from `first` that grow evenly on a logarithmic scale, to the first that is at least `most`."""
    count = math.ceil(math.log2(most / first) * per_doubling) + 1
    grown = np.rint(first * 2.0 ** (np.arange(count) / per_doubling))
    return grown[np.diff(grown, prepend=-1.0) > 0]


def deviation(law: StepLaw, steps: Stepping, most_tokens: int, seed: int = 0) -> tuple[float, float]:
    """Largest and median |law / estimate - 1| over random decode steps, prefill steps, and steps with both."""
    rng = np.random.default_rng(seed)

    def draw(low: float, high: float) -> np.ndarray:
        return np.floor(np.exp(rng.uniform(math.log(low), math.log(high + 1), CHECKS)))

    most = law.most_sequences
    n, mean = draw(1, most), draw(1, 131072)
    new, past = draw(1, most_tokens), np.floor(draw(1, 65536) * rng.integers(0, 2, CHECKS))
    chunk = Segment(seqs=1.0 + 0 * new, new=new, past=past, prefill=True)
    decodes = [steps.decoding(n, mean)]
    cases = [(n, mean, 0 * new, decodes), (0 * n, mean, new, [chunk])]
    if (
        min(most, most_tokens // steps.verify) > 1
    ):  # a chunk takes one of the sequences, and leaves a token to each of the others
        some = np.minimum(new, most_tokens - 1)
        few = np.minimum(np.minimum(n, most - 1), np.maximum((most_tokens - some) // steps.verify, 1))
        both = [steps.decoding(few, mean), Segment(seqs=1.0 + 0 * new, new=some, past=past, prefill=True)]
        cases += [(few, mean, some, both)]
    if steps.spread > 1:
        cases = cases[:1]  # one chunk is never spread evenly
    errors = []
    for count, context, tokens, segments in cases:
        truth = steps.seconds(steps.step(segments, steps.verify - 1 if count.any() else 0))
        mine = [
            law.seconds(int(a), int(a * b), [(int(c), int(p))] if c else [])
            for a, b, c, p in zip(count, context, tokens, past, strict=True)
        ]
        errors.append(np.abs(np.array(mine) / truth - 1.0))
    error = np.sort(np.concatenate(errors))
    middle = error[(len(error) - 1) // 2 : len(error) // 2 + 1]  # np.median imports much
    return float(error[-1]), float(middle.mean())
