"""One question to Ridgeline: a model, a system, a layout, a workload and options, in four spellings.

The same scenario reads and prints as a command line, a TOML file, a URL query and Python keywords:

    ridgeline step llama-3-70b hgx-h100 --tp 8 --batch 64 --context 8k
    model=llama-3-70b&system=hgx-h100&tp=8&batch=64&context=8k

Only what differs from the defaults is printed, exactly enough to read back the same numbers. Numbers may be arrays (in
Python): everything computed from the scenario then has their shape. Knows names, units and options; computes nothing.
"""

from __future__ import annotations

import shlex
import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any, get_args, get_type_hints
from urllib.parse import parse_qsl, urlencode

import msgspec

from ridgeline.arrays import Array, traced
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.layout import Layout
from ridgeline.units import parse, show
from ridgeline.work import Segment

PHASES = ("decode", "prefill", "mixed")
TWO_BATCH = "two-batch"
"""Overlap of two micro-batches, as in DeepSeek's engine, SGLang (TBO) and vLLM (DBO)."""
POOLS = ("aggregated", "disaggregated")
OBJECTIVES = ("cost", "throughput", "speed", "energy")
MOST = {"chips": 10_000_000, "prefill_chips": 10_000_000, "verify": 1_000, "skew": 10}
"""Values beyond which a number is a slip of the keyboard."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked. Quantities may be given as text with a unit ("8k", "20 ms", "$2/h") or as SI numbers.

    Raises
    ------
    InputError
        For a quantity that cannot be read, is negative, not finite or absurd, and for an unknown phase.
    """

    model: str
    """Name in the catalogue, or path of a Hugging Face config.json or a model's TOML file."""
    system: str
    """Name in the catalogue."""
    chips: Annotated[Array, "1"] = 0
    """Chips at hand; 0: the system's own number."""
    tp: Annotated[Array, "1"] = 1
    """Tensor parallelism: ranks that share heads and feed-forward width."""
    pp: Annotated[Array, "1"] = 1
    """Pipeline parallelism: stages of layers."""
    dp: Annotated[Array, "1"] = 1
    """Attention ranks with sequences of their own, which share the experts."""
    ep: Annotated[Array, "1"] = 1
    """Expert parallelism: ranks that share out whole experts."""
    cp: Annotated[Array, "1"] = 1
    """Context parallelism: ranks that share the tokens of a sequence."""
    redundant: Annotated[Array, "1"] = 0
    """Copies of experts beyond one of each, so that experts + redundant divide by ep."""
    phase: str = "decode"
    """decode, prefill, or mixed (a decode step that carries one prompt on each attention rank)."""
    batch: Annotated[Array, "1"] = 1
    """Sequences in the replica (decode), or prompts (prefill)."""
    context: Annotated[Array, "tok"] = 0
    """Tokens in the cache per sequence in decode; 0: isl + osl / 2."""
    isl: Annotated[Array, "tok"] = 4096
    """Prompt tokens per request."""
    osl: Annotated[Array, "tok"] = 1024
    """Output tokens per request."""
    cached: Annotated[Array, "tok"] = 0
    """Of the prompt, tokens already in the cache."""
    hit: Annotated[float, "1"] = 0.0
    """The same as a share of the prompt: hit rate of the prefix cache."""
    chunk: Annotated[Array, "tok"] = 0
    """Prompt tokens per rank in a prefill step (max_num_batched_tokens); 0: 8192, and a plan tries several."""
    verify: Annotated[Array, "1"] = 1
    """Tokens computed per sequence and decode step: 1 + drafts under speculative decoding."""
    accepted: Annotated[Array, "1"] = 1
    """Tokens gained per sequence and decode step, on average."""
    acceptance: Annotated[float, "1"] = 0.0
    """Chance that a drafted token is accepted: accepted is then 1 + a + a^2 + ... over the drafts."""
    weights: str = ""
    """Stored format ("fp8", "nvfp4,attention=bf16"); empty: as published."""
    kv: str = ""
    """Format of the cache; empty: bf16."""
    activations: str = ""
    """Format of the activations in matrix multiplications; empty: as narrow as the weights and the chip allow."""
    engine: str = ""
    """Serving engine whose kernels and overheads the estimate uses (vllm, sglang, trtllm); empty: all together."""
    overlap: str = ""
    """two-batch: halves of the batch take turns, messages of one behind kernels of the other, where faster."""
    skew: Annotated[float, "1"] = 0.0
    """Exponent of the experts' popularity; 0: uniform routing."""
    memory_utilisation: Annotated[float, "1"] = 0.9
    """Share of the memory that weights, cache and activations may fill."""
    utilisation: Annotated[float, "1"] = 1.0
    """Share of the paid time in which the chips work at this operating point."""
    price: str = ""
    """Price per chip ("$2/h"), or a kind (owned, rented, on-demand, neocloud); empty: the first known."""
    tpot: Annotated[Array, "s"] = 0.0
    """Longest allowed time per output token; 0: none."""
    ttft: Annotated[Array, "s"] = 0.0
    """Longest allowed time to first token; 0: none."""
    e2e: Annotated[float, "s"] = 0.0
    """Longest allowed time to the last token; 0: none."""
    user_rate: Annotated[float, "tok/s"] = 0.0
    """Fewest tokens per second of a user, 1 / TPOT; 0: none."""
    budget: Annotated[float, "USD/s"] = 0.0
    """Most money per time for all chips together; 0: no limit."""
    power: Annotated[float, "W"] = 0.0
    """Most power of all chips together; 0: no limit."""
    pools: str = ""
    """aggregated (each replica does prefill and decode) or disaggregated (a pool for each); empty: the better."""
    objective: str = "cost"
    """What is best: cost ($/Mtok), throughput (tok/s/chip), speed (tok/s of a user) or energy (tok/J)."""
    prefill_system: str = ""
    """System of the prefill pool; empty: the same as for decode."""
    prefill_chips: Annotated[int, "1"] = 0
    """Chips of the prefill pool; 0: shared out of all chips; of another system: its own number."""
    set: str = ""
    """What if: values of the system or of its experts, "chip.hbm_bandwidth=2x,domain.size=144,experts.count=512"."""
    catalog: str = ""
    """Folder of a catalogue of one's own."""

    def __post_init__(self) -> None:
        if "jax" in sys.modules and any(traced(getattr(self, name)) for name in units()):
            return  # stands in for a scenario that was checked
        for name, (unit, default, settled) in _quantities().items():
            value = getattr(self, name)
            if value is default:
                if settled is not default:
                    msgspec.structs.force_setattr(self, name, settled)
                continue
            if getattr(value, "ndim", None) == 0:
                value = value.item()
            if isinstance(value, str) or type(value) in (int, float, bool):
                msgspec.structs.force_setattr(self, name, _number(parse(value, unit, f"--{name.replace('_', '-')}")))
        if self.phase not in PHASES:
            raise UnknownNameError("phase", self.phase, PHASES)
        for name in ("batch", "verify", "accepted", "isl", "osl"):
            if not _least(getattr(self, name)) > 0:
                raise InputError(f"--{name} {_least(getattr(self, name))}", "more than 0")
        if positive_number(self.cached) and self.hit:
            raise InputError("--cached and --hit", "one of them", "--hit is --cached as a share of --isl")
        if not 0 <= self.hit < 1:
            raise InputError(f"--hit {self.hit}", "a share from 0 to below 1", 'such as "56%"')
        if not _least(self.isl - self.prefix) > 0:
            raise InputError(f"--cached {self.cached}", f"fewer tokens than the prompt has, --isl {self.isl}")
        if self.acceptance and not (isinstance(self.accepted, (int, float)) and self.accepted == 1):
            raise InputError("--accepted and --acceptance", "one of them", "--accepted follows from --acceptance")
        if not 0 <= self.acceptance <= 1:
            raise InputError(f"--acceptance {self.acceptance}", "a chance from 0 to 1", 'such as "80%"')
        for name, known in (("pools", ("", *POOLS)), ("objective", OBJECTIVES), ("overlap", ("", TWO_BATCH))):
            if getattr(self, name) not in known:
                raise UnknownNameError(name, getattr(self, name)[:60], filter(None, known))
        if not _least(self.verify - self.accepted) >= 0:
            raise InputError(f"--accepted {self.accepted}", f"at most the tokens computed, --verify {self.verify}")
        for name in ("chips", "prefill_chips"):
            if isinstance(getattr(self, name), float):
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}", "a whole number")
        for name, most in MOST.items():
            if not -_least(-1 * getattr(self, name)) <= most:
                raise InputError(f"--{name} {getattr(self, name)}", f"at most {most:,}")
        for name in ("utilisation", "memory_utilisation"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise InputError(
                    f"--{name.replace('_', '-')} {value}", "a share above 0 and at most 1", 'such as "60%"'
                )

    @property
    def layout(self) -> Layout:
        """Its degrees of parallelism."""
        return Layout(tp=self.tp, pp=self.pp, dp=self.dp, ep=self.ep, cp=self.cp, redundant=self.redundant)

    @property
    def prefix(self) -> Array:
        """Tokens of the prompt that are already in the cache."""
        return self.hit * self.isl if self.hit else self.cached

    @property
    def gained(self) -> Array:
        """Tokens gained per sequence and decode step: as given, or 1 + a + ... + a^(verify - 1)."""
        if not self.acceptance:
            return self.accepted
        return self.verify if self.acceptance == 1 else (1 - self.acceptance**self.verify) / (1 - self.acceptance)

    @property
    def decode_context(self) -> Array:
        """Tokens in the cache of a decoding sequence: as given, or the mean over its life, isl + osl / 2."""
        if isinstance(self.context, (int, float)) and self.context == 0:
            return self.isl + self.osl / 2
        return self.context

    @property
    def segments(self) -> list[Segment]:
        """The step's groups of sequences."""
        decode = Segment(seqs=self.batch, new=self.verify, past=self.decode_context, sampled=self.verify)
        count = self.batch if self.phase == "prefill" else self.dp
        prompts = Segment(seqs=count, new=self.isl - self.prefix, past=self.prefix, prefill=True)
        return {"decode": [decode], "prefill": [prompts], "mixed": [decode, prompts]}[self.phase]

    # --- spellings ----------------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, fields: Mapping[str, Any], origin: str = "scenario") -> Scenario:
        """A scenario from names and values as any of the spellings gives them.

        Raises
        ------
        InputError
            For a missing model or system, an unknown field, or a value that cannot be read.
        """
        fields = {name.replace("-", "_"): value for name, value in fields.items()}
        for name in fields:
            if name not in cls.__struct_fields__:
                raise UnknownNameError(f"key in {origin}", name, cls.__struct_fields__)
        for name in ("model", "system"):
            if name not in fields:
                raise InputError(origin, f"a {name} is needed", f'such as {name} = "{_EXAMPLE[name]}"')
        wrong = [n for n, v in fields.items() if n not in units() and not isinstance(v, str)]
        if wrong:
            raise InputError(f"{origin}: {wrong[0]} = {fields[wrong[0]]!r}", "text")
        return cls(**fields)

    @classmethod
    def from_toml(cls, text: str, origin: str = "scenario") -> Scenario:
        """A scenario from TOML text with one key per field (InputError if it is none)."""
        try:
            return cls.read(tomllib.loads(text), origin)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(origin, f"not TOML: {error}") from None

    @classmethod
    def from_query(cls, text: str) -> Scenario:
        """A scenario from a URL query, with or without the question mark."""
        return cls.read(dict(parse_qsl(text.removeprefix("?"), keep_blank_values=True)), "query")

    def changed(self) -> dict[str, str]:
        """Fields that differ from their defaults, as text that reads back exactly."""
        defaults = _defaults()
        out: dict[str, str] = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name in units():
                if not (isinstance(value, (int, float)) and value == defaults[name]):
                    out[name] = exact(value, units()[name])
            elif value != defaults.get(name):
                out[name] = value
        return out

    def to_cli(self, command: str = "step") -> str:
        """The command line that asks the same."""
        fields = self.changed()
        words = ["ridgeline", command, fields.pop("model"), fields.pop("system")]
        for name, value in fields.items():
            words += [f"--{name.replace('_', '-')}", value]
        return shlex.join(words)

    def to_toml(self) -> str:
        """TOML text that asks the same."""
        return "".join(f"{name} = {_literal(value, json=True)}\n" for name, value in self.changed().items())

    def to_query(self) -> str:
        """A URL query that asks the same."""
        return urlencode(self.changed())

    def to_python(self) -> str:
        """Python that asks the same."""
        return f"Scenario({', '.join(f'{name}={_literal(value)}' for name, value in self.changed().items())})"


_EXAMPLE = {"model": "deepseek-v3", "system": "gb200-nvl72"}


def units() -> dict[str, str]:
    """Unit of each field that is a quantity."""
    return units_of(Scenario)


@lru_cache(maxsize=8)
def units_of(question: type) -> dict[str, str]:
    """Unit of each field of a question that is a quantity."""
    hints = get_type_hints(question, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items() if len(get_args(hint)) == 2}


@lru_cache(maxsize=1)
def _quantities() -> dict[str, tuple[str, Any, float]]:
    """Unit, default, and default as `_number` has it, of each field of a scenario that is a quantity."""
    defaults = _defaults()
    return {name: (unit, defaults[name], _number(defaults[name])) for name, unit in units().items()}


@lru_cache(maxsize=1)
def _defaults() -> dict[str, Any]:
    return dict(zip(reversed(Scenario.__struct_fields__), reversed(Scenario.__struct_defaults__), strict=False))


def exact(value: Array, unit: str) -> str:
    """Shortest text with a unit that `units.parse` reads back as the same number; arrays as a comma-separated list."""
    if not isinstance(value, (int, float)):
        return ",".join(exact(float(v), unit) for v in value.ravel())
    if unit in ("1", "tok"):
        return repr(int(value)) if value == int(value) else repr(float(value))
    for digits in range(1, 18):
        text = show(value, unit, digits)
        with suppress(InputError):  # rounded up beyond what may be meant
            if parse(text, unit) == value:
                return text
    return f"{value!r} {unit}"


def _literal(text: str, *, json: bool = False) -> str:
    """A value as TOML or Python writes it: whole numbers bare, all else quoted."""
    if text.isdigit():
        return text
    return msgspec.json.encode(text).decode() if json else repr(text)


def _number(value: float) -> float:
    """Whole numbers as int, so that degrees and counts print and divide as such."""
    return int(value) if value == int(value) else value


def positive_number(value: Array) -> bool:
    """Whether a number, or any number of an array, is above 0."""
    return -_least(-1 * value) > 0


def _least(value: Array) -> float:
    return value if isinstance(value, (int, float)) else value.min()
