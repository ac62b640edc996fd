"""`ridgeline cipher`: how a small change spreads through ciphers and through networks, side by side by depth."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.cli.figure import drawable
from ridgeline.cli.options import OUTPUT, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, heading, plain, table
from ridgeline.errors import InputError
from ridgeline.training.ciphers import diffusion, feistel, speck, substitution
from ridgeline.training.ciphers.network import Growth, Shape, growth

if TYPE_CHECKING:
    from rich.console import RenderableType

DEPTHS = (1, 2, 4, 8, 16, 22, 32, 64)
SHAPES = {
    "residual and norm": Shape(),
    "residual": Shape(norm=False),
    "norm": Shape(residual=False),
    "neither": Shape(residual=False, norm=False),
}
ATTACKED = (2, 3, 4)
"""Rounds of the toy cipher whose last key is attacked."""
Seed = Annotated[int, Parameter(help="Seed of keys, blocks and weights.")]
Picture = Annotated[str, Parameter(name="--plot", help="Draw both to this .svg or .png.", group=OUTPUT)]


@command()
def cipher(*, seed: Seed = 0, plot: Picture = "") -> Report:
    """How a small change spreads, by rounds of a cipher and by layers of a network.

    A cipher wants one changed bit to change half of its output; a network wants a small change to stay small. Toys, for
    teaching: none of these ciphers protects anything.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed {seed}", "from 0 to 4294967295")
    if plot:
        drawable(plot)
    ciphers = [_spread(name, made, width, rounds) for rounds in DEPTHS for name, (made, width) in _made(seed, rounds)]
    networks = {name: growth(shape, DEPTHS, seed=seed) for name, shape in SHAPES.items()}
    attacks = [_attacked(rounds, seed) for rounds in ATTACKED]
    again = "ridgeline cipher" + (f" --seed {seed}" if seed else "")
    if plot:
        from ridgeline.cli.plot_cipher import draw

        draw(ciphers, networks, plot, again)
    layers = [{"network": name, **asdict(each)} for name, found in networks.items() for each in found]
    return Report(
        document=lambda: {
            "command": "cipher", "ciphers": ciphers, "networks": layers, "attacks": attacks, "line": again,
        },
        rows=lambda: Rows.of([*ciphers, *layers]),
        text=lambda: _text(ciphers, networks, attacks, again),
    )  # fmt: skip


def _made(seed: int, rounds: int) -> list[tuple[str, tuple[diffusion.Cipher, int]]]:
    """Each cipher with so many rounds, and the bits of its block."""
    keys = [int(key) for key in np.random.default_rng(seed).integers(0, 1 << 16, rounds)]
    toy = feistel.mixing_rounds(keys)

    def halves(block: np.ndarray) -> np.ndarray:
        x, y = feistel.forward(toy, block >> 16, block & 0xFFFF)
        return (x << 16) | y

    return [
        ("Feistel", (halves, 32)),
        ("SPECK32/64", (partial(speck.encrypt, keys=speck.round_keys(rounds=rounds)), 32)),
        ("substitution", (partial(substitution.encrypt, keys=keys), 16)),
    ]


def _spread(name: str, made: diffusion.Cipher, width: int, rounds: int) -> dict[str, Any]:
    table = diffusion.avalanche(made, width)
    best = diffusion.best_difference(made, width)
    return {
        "cipher": name,
        "depth": rounds,
        "flipped": float(table.mean()),
        "deviation": diffusion.deviation(table),
        "difference": best.given,
        "becomes": best.found,
        "chance": best.chance,
    }


def _attacked(rounds: int, seed: int) -> dict[str, Any]:
    """The last key of a toy of so many rounds, attacked through its most likely difference."""
    keys = [int(key) for key in np.random.default_rng(seed).integers(0, 1 << 16, rounds + 1)]
    inner = partial(substitution.encrypt, keys=keys[: rounds - 1])
    best = diffusion.best_difference(inner, 16, 1 << 16)
    guess, mask = substitution.recovered(keys, best.given, best.found, seed=seed)
    right = substitution.before_last(keys) & mask
    return {
        "rounds": rounds,
        "difference": best.given,
        "becomes": best.found,
        "chance": best.chance,
        "bits_attacked": mask.bit_count(),
        "recovered": guess == right,
    }


def _text(
    ciphers: list[dict[str, Any]], networks: dict[str, list[Growth]], attacks: list[dict[str, Any]], again: str
) -> list[RenderableType]:
    names = list(dict.fromkeys(each["cipher"] for each in ciphers))
    by = {(each["cipher"], each["depth"]): each for each in ciphers}
    flipped = [
        (
            plain(depth),
            *(f"{by[name, depth]['flipped']:.1%}" for name in names),
            *(f"{by[name, depth]['deviation']:.2f}" for name in names),
        )
        for depth in DEPTHS
    ]
    likely = [(plain(depth), *(f"{by[name, depth]['chance']:.2g}" for name in names)) for depth in DEPTHS]
    grown = [
        (
            plain(depth),
            *(f"{found[i].random:.3g}x" for found in networks.values()),
            *(f"{found[i].worst:.3g}x" for found in networks.values()),
        )
        for i, depth in enumerate(DEPTHS)
    ]
    best = networks["residual and norm"]
    flips = [(plain(g.depth), f"{g.flip:.1%}", f"{g.flip_random:.0%}", f"{g.flip_random / g.flip:.3g}x") for g in best]
    keys = [
        (
            plain(each["rounds"]), f"{each['difference']:04x}", f"{each['becomes']:04x}", f"{each['chance']:.2g}",
            plain(each["bits_attacked"]), "found" if each["recovered"] else "not found",
        )
        for each in attacks
    ]  # fmt: skip
    short = [name.replace(" and ", "\nand ") for name in networks]
    return [
        "toys, for teaching: none of these ciphers protects anything",
        heading("Ciphers: one input bit is flipped. It should flip half of the output, every bit with chance 1/2"),
        table(["rounds", *names, *(f"off 1/2\n{name}" for name in names)], flipped),
        heading("The likeliest difference of the output, of all flipped input bits: what an attack begins with"),
        table(["rounds", *names], likely),
        heading("Networks: a relative change of 0.1%, grown. It should stay small"),
        table(["layers", *(f"random\n{n}" for n in short), *(f"worst\n{n}" for n in short)], grown),
        heading("The gradient's attack on the network with residual and norm: the change that turns a readout's sign"),
        table(["layers", "along the gradient", "at random", "cheaper by"], flips),
        heading("The differential attack on the substitution toy: bits of the last key from its likeliest difference"),
        table(["rounds", "difference", "becomes", "chance", "key bits", "<right key"], keys),
        "",
        copied(f"again: {again}"),
    ]  # fmt: skip
