"""Commands as text that can be pasted into a shell: quoted words, one flag to a line, remarks as comments.

A word may name a variable, which the reader sets: HEAD, the address of a replica's first host; RANK, the number of one
of its other hosts; HERE, the address of the host itself. Knows no engine.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import msgspec

from ridgeline.errors import InputError
from ridgeline.launch.deployment import Role

PORT = 8000
"""Of the first server of a host; the others follow."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one process runs: a part of a host, or one of the hosts of a replica."""

    head: bool = True
    """Whether it is the first of the replica's hosts; if not it stands for all others."""
    hosts: int = 1
    """Hosts of the replica."""
    devices: tuple[int, ...] = ()
    """Devices of the host that it gets; empty: all."""
    port: int = PORT
    beside: bool = False
    """Whether others run on the same host, so that none may hold the shell."""

    @property
    def rank(self) -> str:
        """Number of the host as a word."""
        return "0" if self.head else "$RANK"

    @property
    def told(self) -> list[str]:
        """Which of several hosts the command is for, as a comment."""
        if self.hosts == 1:
            return []
        others = (
            "second host, with RANK=1"
            if self.hosts == 2
            else f"other {self.hosts - 1}, with RANK=1 to {self.hosts - 1}"
        )
        return ["# on the first host" if self.head else f"# on the {others}"]


def places(role: Role, host: int) -> list[Place]:
    """Processes of one host that holds replicas; or of one replica on several hosts: of the first, and of the others.

    Raises
    ------
    InputError
        For a replica of several hosts that does not fill them.
    """
    chips = int(role.layout.chips)
    if chips > host:
        if chips % host:
            raise InputError(
                f"a replica of {chips} devices ({role.layout}) on hosts of {host}",
                "engines start the same number of processes on each host",
                f"a layout of {chips // host * host} or {(chips // host + 1) * host} devices, or --host-chips",
            )
        return [Place(head=head, hosts=chips // host) for head in (True, False)]
    slots = min(host // chips, role.replicas)
    if slots * chips == host == chips:
        return [Place()]
    devices = [tuple(range(i * chips, (i + 1) * chips)) for i in range(slots)]
    return [Place(devices=some, port=PORT + i, beside=slots > 1) for i, some in enumerate(devices)]


def said(role: Role, host: int) -> str:
    """Where a role's commands are to be run, as a comment."""
    chips, many = int(role.layout.chips), role.replicas
    what = {"both": "", "prefill": "prefill: ", "decode": "decode: "}[role.phase]
    of = f"# {what}{many} replica{'s' * (many != 1)} of {role.layout} ({chips} device{'s' * (chips != 1)} each)"
    if chips > host:
        each = f", on {chips // host} hosts" + (" for each replica" if many > 1 else "")
        return f"{of}{each}; HEAD is the address of the first"
    slots = min(host // chips, many)
    hosts = -(-many // slots)
    return f"{of}, on each of {hosts} hosts" if hosts > 1 else f"{of}, on one host"


def line(words: Sequence[str], place: Place | None = None, **variables: str) -> str:
    """One command after the variables it is given, its flags on lines of their own."""
    quoted = [_quoted(word) for word in words]
    if place is not None and place.devices:
        variables = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, place.devices)), **variables}
    prefix = "".join(f"{name}={_quoted(value)} " for name, value in variables.items())
    parts: list[str] = []
    for raw, word in zip(words, quoted, strict=True):
        if parts and not re.match(r"--\w", raw):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    beside = " &" if place is not None and place.beside else ""
    return prefix + " \\\n    ".join(parts) + beside


def _quoted(word: str) -> str:
    """A word of the shell; one that names a variable is left to the shell to fill in."""
    return f'"{word}"' if "$" in word else shlex.quote(word)


def yaml(values: dict[str, object], indent: int = 0) -> str:
    """A mapping of plain values and mappings as YAML; JSON's spellings of scalars are YAML's."""
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += [f"{' ' * indent}{key}:", yaml(value, indent + 2)]
        else:
            lines.append(f"{' ' * indent}{key}: {msgspec.json.encode(value).decode()}")
    return "\n".join(lines)
