"""What is believed before a sheet is seen: of the models on sale, the machine, and those who sell.

All of it is one file, `catalog/market.toml`, which `ridgeline infer --print-priors` prints and `--priors FILE`
replaces. It was learnt from models whose architecture is public (`ridgeline.validate.market`). Knows no sheet.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from ridgeline.catalog import BUILT_IN, Catalog
from ridgeline.errors import InputError
from ridgeline.hardware import format_bytes, load_system, math_format

FILE = "market.toml"
_INLINE = 4
"""Values of a table that is written on one line."""


class Normal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A normal distribution; of what, and in which units, says the field."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise ValueError(f"sd {self.sd} is not above zero")


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A normal distribution whose mean moves with another quantity x: mean + slope x."""

    mean: float
    slope: float
    sd: float

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise ValueError(f"sd {self.sd} is not above zero")


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of attention: how common it is, and log10 of the bytes that a token keeps."""

    dense: float
    """Share of the dense models that have it."""
    experts: float
    """Share of the mixtures of experts."""
    cache: Line
    """log10 of bytes per token in bf16, at 8k tokens of context; x = log10(active / 10e9)."""


class Models(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models on sale, each family counted once."""

    experts: float
    """Share that are mixtures of experts."""
    dense_active: Normal
    """log10 of the active parameters of a dense model."""
    dense_rest: Normal
    """log10(total / active) of a dense model: the embedding; its absolute value counts."""
    experts_active: Normal
    """log10 of the active parameters of a mixture of experts."""
    experts_total: Line
    """log10 of its total parameters; x = log10(active / 10e9)."""
    attention: dict[str, Kind]


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine that costs are counted on; another one moves markups, not models."""

    system: str
    weights: str
    spread: float
    """Input tokens over which one reading, or holding, of the weights is spread."""
    batch: Normal
    """ln of the effective sequences in a decode step."""
    context: float
    """Tokens of context that an output token reads."""


class Selling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How prices follow costs, in ln units."""

    markup: Normal
    """ln(price / cost) of input at a cost of $0.10 per million tokens; its sd is shared by all lines of a sheet."""
    elasticity: float
    """By how many per cent a price rises where the cost does by one."""
    output: float
    """What is added to the markup of output."""
    flat: float
    """What is added where input and output have one price."""
    input_noise: float
    output_noise: float
    flat_noise: float
    """sd of each line by itself; of one price for both the whole sd."""
    tails: float
    """Degrees of freedom of Student's t that all of them follow."""
    parts: dict[str, Normal]
    """Factors that the markup is made of, ln units, up to one constant; a sheet sees their product only."""


class Sign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sign of the class of a model: a linear form in [1, is a mixture of experts, x]."""

    constant: float
    experts: float
    slope: float
    sd: float = 0.0


class Signs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What else a sheet shows, and what it says of the model."""

    flat: Sign
    """Logit of one price for input and output; x = log10(active / 10e9)."""
    cached: Sign
    """Logit of a price for cached input; x = log10(total / 30e9)."""
    context: Sign
    """log10 of the longest input; x = log10(bytes of cache per token / 100 kB)."""


class Tried(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well a quantity was told of families that the market was learnt without."""

    coverage: float
    """Share of families inside the interval of 80%."""
    width: float
    """Of the interval, factors of ten."""
    gain: float
    """Nats over the prior."""
    families: int


class Market(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is believed before a sheet is seen."""

    source: str
    date: str
    models: Models
    machine: Machine
    selling: Selling
    signs: Signs
    tried: dict[str, Tried] = {}
    """By quantity, from prices and signs; "active, prices only" from prices only."""
    dearest: float = 0.0
    """Output price, $/Mtok, below which nine of ten families lay that all this was learnt from; 0: not known."""

    def __post_init__(self) -> None:
        shares = {"models.experts": self.models.experts}
        for key in ("dense", "experts"):
            whole = sum(getattr(kind, key) for kind in self.models.attention.values())
            if not 0.999 < whole < 1.001:
                raise ValueError(f"shares {key} of models.attention add up to {whole:g}, not to 1")
        if not 0 < shares["models.experts"] < 1:
            raise ValueError(f"models.experts {self.models.experts:g} is not between 0 and 1")
        if not (self.selling.tails > 2 and self.selling.elasticity > 0):
            raise ValueError("selling.tails must be above 2 and selling.elasticity above 0")


_REMARKS = {
    "models": "models on sale, families counted once; log10 of parameters and of bytes",
    "models.attention": "shares of kinds of attention; bytes of cache per token in bf16 at 8k tokens",
    "machine": "what costs are counted on; batch is ln of effective sequences in a decode step",
    "selling": "how prices follow costs, ln units; markup at a cost of $0.10/Mtok",
    "selling.parts": "factors of the markup, ln units: chosen, not learnt, since no sheet tells them apart",
    "signs": "logits, and log10 of the longest input: constant + experts [mixture] + slope x",
    "tried": "on families left out: coverage and width of the interval of 80%, nats gained over the prior",
}
"""What stands above a table of the file."""


def write_market(market: Market) -> str:
    """Beliefs as the TOML that `load_market` reads."""
    out: list[str] = []

    def block(path: str, fields: dict[str, Any]) -> None:
        plain = {key: value for key, value in fields.items() if not _nested(value)}
        if path:
            out.extend(["", *([f"# {_REMARKS[path]}"] if path in _REMARKS else []), f"[{path}]"] if plain else [])
        out.extend(f"{_key(key)} = {_value(value)}" for key, value in plain.items())
        for key, value in fields.items():
            if _nested(value):
                block(f"{path}.{_key(key)}".lstrip("."), value)

    block("", msgspec.to_builtins(market))
    return "\n".join(out) + "\n"


def _nested(value: Any) -> bool:
    """Whether a value is a table of its own: one that has tables, or tables of tables."""
    return (isinstance(value, dict) and any(isinstance(each, dict) for each in value.values())) or (
        isinstance(value, dict) and len(value) > _INLINE
    )


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    return f"{value:.4g}" if isinstance(value, float) else msgspec.json.encode(value).decode()


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() else f'"{key}"'


class Chip(msgspec.Struct, frozen=True, kw_only=True):
    """What one chip of the machine does and costs, SI units."""

    peak: float
    bandwidth: float
    rent: float
    width: float
    """Bytes per parameter."""


def load_market(path: str = "") -> Market:
    """The beliefs in a file, or the built-in ones.

    Raises
    ------
    InputError
        No such file, no TOML, a key missing or unknown, a share or width that is none.
    """
    where = Path(path) if path else BUILT_IN.folders[0] / FILE
    try:
        return msgspec.convert(tomllib.loads(where.read_text(encoding="utf-8")), Market, strict=False)
    except OSError as error:
        raise InputError(f"--priors {path}", f"cannot be read ({error.strerror})") from None
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        fix = "start from what --print-priors prints"
        raise InputError(f"--priors {path or FILE}", str(error).replace("`$.", "`")[:200], fix) from None


def market_text() -> str:
    """The built-in beliefs as they are written."""
    return (BUILT_IN.folders[0] / FILE).read_text(encoding="utf-8")


def chip(machine: Machine, catalog: Catalog = BUILT_IN) -> Chip:
    """Rates and rent of the machine that costs are counted on (UnknownNameError, InputError)."""
    system = load_system(machine.system, catalog).value
    math = math_format(machine.weights, machine.weights, system.chip)
    return Chip(
        peak=system.chip.math_rate(math),
        bandwidth=system.chip.hbm_bandwidth,
        rent=system.price().rate,
        width=format_bytes(machine.weights),
    )
