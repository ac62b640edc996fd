"""One question about training: a model, a system, tokens, a batch, and as much of a layout as is decided.

It reads and prints as a command line. Degrees that are 0, and words that are empty, are searched. Knows names and
units; computes nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from ridgeline.catalog import BUILT_IN
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.hardware import System, load_system
from ridgeline.model import Architecture, load_model
from ridgeline.precision import resolve
from ridgeline.scenario import exact, units_of
from ridgeline.training.bubble import SCHEDULES
from ridgeline.training.framework import frameworks
from ridgeline.training.goodput import CHIP_MTBF, RESTART, STORAGE
from ridgeline.training.layout import OFFLOAD, RECOMPUTE
from ridgeline.training.run import Setting
from ridgeline.units import parse
from ridgeline.whatif import changed

DEGREES = ("tp", "pp", "vp", "cp", "ep", "etp", "dp", "micro_batch")
"""Degrees of a layout; 0 where they are to be searched."""
DTYPES = ("bf16", "fp8", "mxfp8", "nvfp4", "mxfp4")
POSITIVE = ("chips", "tokens", "seq", "batch", *DEGREES)
"""Numbers of which a zero that is spelt out is a slip."""
TOKENS_PER_STEP = 4 * 2**20
"""Tokens of a step where no batch is given."""
PER_PARAMETER = 20.0
"""Tokens per parameter where no number of tokens is given: the compute-optimum of arXiv:2203.15556."""
MOST = {"chips": 10_000_000, "batch": 10_000_000, "seq": 100_000_000}


class TrainingQuestion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked. Quantities may be text with a unit ("15T", "8k", "$2/h") or SI numbers.

    Raises
    ------
    InputError
        For a quantity that cannot be read, is negative or absurd, and for an unknown word.
    """

    model: str
    """Name in the catalogue, or path of a Hugging Face config.json or a model's TOML file."""
    system: str
    """Name in the catalogue."""
    chips: Annotated[int, "1"] = 0
    """Chips of the job; 0: the system's own number."""
    tokens: Annotated[float, "tok"] = 0.0
    """Tokens to train on; 0: 20 per parameter."""
    seq: Annotated[int, "tok"] = 4096
    """Tokens of a sequence."""
    batch: Annotated[int, "1"] = 0
    """Sequences of a step, on all chips; 0: about 4 million tokens."""
    tp: Annotated[int, "1"] = 0
    """Tensor parallelism: ranks that share heads and feed-forward width; 0: searched, like the next ones."""
    pp: Annotated[int, "1"] = 0
    """Pipeline parallelism: stages of layers."""
    vp: Annotated[int, "1"] = 0
    """Chunks of a stage that are not neighbours (virtual stages, interleaving)."""
    cp: Annotated[int, "1"] = 0
    """Context parallelism: ranks that share the tokens of a sequence."""
    ep: Annotated[int, "1"] = 0
    """Expert parallelism: ranks that share out whole experts."""
    etp: Annotated[int, "1"] = 0
    """Tensor parallelism inside experts."""
    dp: Annotated[int, "1"] = 0
    """Data parallelism; 0: what the chips leave."""
    micro_batch: Annotated[int, "1"] = 0
    """Sequences of a micro-batch."""
    zero: str = ""
    """What data-parallel ranks share out: 0 nothing, 1 optimizer, 2 also gradients, 3 also weights (FSDP)."""
    hybrid_shard: Annotated[int, "1"] = 0
    """Ranks that share one copy of it; 0: all."""
    recompute: str = ""
    """none, selective (the core of attention), full, or reversible (layers that are inverted)."""
    schedule: str = "1f1b"
    """gpipe, 1f1b (interleaved with --vp), zb-h1, zb-h2, zb-v or dualpipe."""
    stages: str = "even"
    """even, or balanced: embedding and head count as layers when layers are dealt to stages."""
    sp: str = "on"
    """off: tensor ranks do not share the tokens of norms and residuals (sequence parallelism)."""
    offload: str = ""
    """To the host's memory: optimizer, activations or both."""
    dtype: str = "bf16"
    """Format of the matrices: bf16, fp8, mxfp8, nvfp4 or mxfp4; attention, embedding and head stay in bf16."""
    gradients: str = ""
    """fp32 or bf16: what a step accumulates gradients in; empty: the framework's habit."""
    moments: str = ""
    """fp32 or bf16: the optimizer's two moments; empty: the framework's habit."""
    framework: str = "megatron"
    """Whose measured habits and overheads count: megatron, torchtitan, foundry, maxtext, nanotron, ..."""
    adapters: str = ""
    """on: only low-rank adapters are trained (LoRA)."""
    mtp: str = "on"
    """off: without the model's layers for multi-token prediction."""
    uneven: Annotated[float, "1"] = 0.0
    """Variance of the experts' popularity; 0: a router that balances them; real traffic of uncontrolled ones: 2."""
    price: str = ""
    """Price per chip ("$2/h"), or a kind (owned, rented, on-demand, neocloud); empty: the first known."""
    chip_mtbf: Annotated[float, "s"] = CHIP_MTBF
    """Time between failures of one chip with its share of host and network."""
    storage: Annotated[float, "B/s"] = STORAGE
    """Rate at which each chip writes checkpoints."""
    restart: Annotated[float, "s"] = RESTART
    """From a failure to the next step."""
    overflow: Annotated[float, "1"] = 0.1
    """Most chance of running out of memory that a searched layout may have."""
    set: str = ""
    """What if: values of the system or of its experts, "chip.hbm_bandwidth=2x,domain.size=144"."""
    catalog: str = ""
    """Folder of a catalogue of one's own."""

    def __post_init__(self) -> None:
        for name, unit in units_of(TrainingQuestion).items():
            value = parse(getattr(self, name), unit, f"--{name.replace('_', '-')}")
            if (name in POSITIVE and name != "tokens") or name == "hybrid_shard":
                if value != int(value):
                    raise InputError(f"--{name.replace('_', '-')} {value:g}", "a whole number")
                value = int(value)
            msgspec.structs.force_setattr(self, name, value)
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise InputError(f"--{name} {getattr(self, name)}", f"at most {most:,}")
        words = {
            "zero": ("", "0", "1", "2", "3"), "recompute": ("", *RECOMPUTE), "schedule": SCHEDULES,
            "stages": ("even", "balanced"), "sp": ("on", "off"), "offload": OFFLOAD, "dtype": DTYPES,
            "gradients": ("", "fp32", "bf16"), "moments": ("", "fp32", "bf16"), "adapters": ("", "on", "off"),
            "mtp": ("on", "off"),
        }  # fmt: skip
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise UnknownNameError(f"--{name}", str(getattr(self, name))[:60], filter(None, known))
        frameworks().habit(self.framework)
        if not self.seq:
            raise InputError("--seq 0", "at least 1 token")
        if not 0 < self.overflow <= 1:
            raise InputError(f"--overflow {self.overflow:g}", "a chance above 0 and at most 1", 'such as "10%"')

    @classmethod
    def read(cls, texts: Mapping[str, Any]) -> TrainingQuestion:
        """A question from the words and options of a command line (InputError)."""
        found = cls(**texts)
        for name in POSITIVE:
            if texts.get(name) and not getattr(found, name):
                raise InputError(f"--{name.replace('_', '-')} {texts[name]}", "at least 1, or leave it out")
        return found

    def to_cli(self) -> str:
        """The command line that asks the same."""
        fields = self.__struct_fields__
        defaults = dict(zip(fields[-len(self.__struct_defaults__) :], self.__struct_defaults__, strict=True))
        words, units = ["ridgeline", "train", self.model, self.system], units_of(TrainingQuestion)
        for name in fields[2:]:
            value = getattr(self, name)
            if value != defaults[name]:
                words += [f"--{name.replace('_', '-')}", exact(value, units[name]) if name in units else value]
        return shlex.join(words)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a question's names stand for."""

    question: TrainingQuestion
    model: Architecture
    system: System
    chips: int
    tokens: float
    batch: int
    setting: Setting
    price: float | None
    """Dollars per chip and second."""


def asked(question: TrainingQuestion) -> Asked:
    """Look up a question's names and fill in what it leaves open.

    Raises
    ------
    InputError
        For unknown names, a chip that does not compute in the format, and a price that is not known.
    """
    q = question
    catalog = BUILT_IN.under(q.catalog) if q.catalog else BUILT_IN
    model = load_model(q.model, catalog)
    system, model, _ = changed(load_system(q.system, catalog).value, model, q.set)
    if model.mtp and q.mtp == "on":
        model = msgspec.structs.replace(model, layers=model.layers + model.mtp)
    chips = q.chips or system.default_chips
    precision = resolve(model, system.chip, q.dtype, "bf16")
    for part in precision.math:
        system.chip.math_rate(precision.of(part)[1])
    if q.dtype != "bf16" and precision.of("attention")[1] == "bf16":
        raise InputError(f"--dtype {q.dtype}", f"a format that {system.chip.name} multiplies in", "--dtype bf16")
    habits = frameworks().habit(q.framework)
    changes: dict[str, float] = {}
    if q.gradients:
        changes |= {"gradients": 4.0 if q.gradients == "fp32" else 2.0}
    if q.moments:
        changes |= {"states": 12.0 if q.moments == "fp32" else 8.0}
    batch = q.batch or max(TOKENS_PER_STEP // q.seq, 1)
    given = q.price
    if given.startswith("$") or given[:1].isdigit():
        price: float | None = parse(given, "USD/s", "--price")
    else:
        price = system.price(given).rate if given or system.prices else None
    return Asked(
        question=q,
        model=model,
        system=system,
        chips=chips,
        tokens=q.tokens or PER_PARAMETER * model.parameters,
        batch=batch,
        price=price,
        setting=Setting(
            model=model, system=system, precision=precision, seq=q.seq, batch=batch, framework=q.framework,
            habits=msgspec.structs.replace(habits, **changes), frozen=q.adapters == "on", uneven=q.uneven,
        ),
    )  # fmt: skip
