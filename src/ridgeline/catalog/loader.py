"""Which entries there are, and one of them, read strictly: `Catalog().read("systems", "gb200-nvl72", System)`.

A catalogue is a list of folders, the user's before the built-in one, each with `chips/`, `systems/`, `media/`,
`models/`, `prices/` (of systems) and `sheets/` (of tokens), one small TOML file per entry. A name is looked up as
file name, then among the `aliases` inside the files; only a file that is needed is parsed.
Knows no arithmetic and not what an entry means.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ridgeline.catalog.entry import Entry, fill
from ridgeline.errors import InputError, UnknownNameError

T = TypeVar("T")

LARGEST = 1_000_000
"""Bytes of a file beyond which it is not read."""
KINDS = {
    "chips": "chip",
    "systems": "system",
    "media": "storage medium",
    "models": "model",
    "prices": "price list of a system",
    "sheets": "price sheet of tokens",
    "scaling": "scaling law",
    "rl": "stack for reinforcement learning",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9._()=+-]{0,120}")


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """Folders with entries; of two entries with one name, that of the earlier folder counts."""

    folders: tuple[Path, ...] = (Path(__file__).parent,)

    def under(self, folder: str | Path) -> Catalog:
        """The same catalogue with the user's folder before it (InputError if there is none)."""
        if not any((Path(folder) / kind).is_dir() for kind in KINDS):
            raise InputError(f"--catalog {str(folder)!r}", f"expected a folder with any of {', '.join(KINDS)} in it")
        return Catalog(folders=(Path(folder), *self.folders))

    def names(self, kind: str) -> list[str]:
        """Names of all entries of a kind ("chips", "systems", ...), sorted."""
        return sorted({path.stem for folder in self.folders for path in (folder / kind).glob("*.toml")})

    def aliases(self, kind: str) -> dict[str, str]:
        """Other names of the entries of a kind: alias -> name."""
        paths = {path.stem: path for folder in reversed(self.folders) for path in (folder / kind).glob("*.toml")}
        return {alias: name for name, path in sorted(paths.items()) for alias in _aliases(path)}

    def find(self, kind: str, name: str) -> Path:
        """The file of an entry, by name or alias; spelling ignores case, and a space or colon is a dash.

        Raises
        ------
        UnknownNameError
            With the most similar names.
        """
        key = _key(name)
        if _NAME.fullmatch(key):
            for folder in self.folders:
                if (path := folder / kind / f"{key}.toml").is_file():
                    return path
        paths = [path for folder in self.folders for path in sorted((folder / kind).glob("*.toml"))]
        for path in paths:
            if key.encode() in _lower(path) and key in _aliases(path):
                return path
        known = {path.stem for path in paths} | {alias for path in paths for alias in _aliases(path)}
        raise UnknownNameError(KINDS[kind], name[:60], known, f"ridgeline catalog {kind} lists them")

    def read(self, kind: str, name: str, shape: type[T]) -> Entry[T]:
        """An entry as `shape`, with the provenance of its numbers.

        Raises
        ------
        UnknownNameError
            If there is no entry of this name, or it has a key that `shape` does not have.
        InputError
            If the file is not readable TOML, or a value of it is not what `shape` expects.
        """
        return _read(self, kind, name, shape)

    def citations(self, source: str) -> list[str]:
        """What a source stands for: `references.toml` has the citation of each of its keys; other text is its own."""
        known = references()
        return [known.get(part.strip(), part.strip()) for part in source.split(";")]


BUILT_IN = Catalog()
"""The entries that come with Ridgeline."""


@lru_cache(maxsize=1024)
def _read(catalog: Catalog, kind: str, name: str, shape: Any) -> Entry[Any]:
    path = catalog.find(kind, name)
    origin = f"{kind}/{path.name}"
    own = {"name": path.stem, "origin": origin}
    fields = getattr(shape, "__struct_fields__", ())
    table = _table(path) | {key: text for key, text in own.items() if key in fields}
    return fill(shape, table, origin, catalog.read)


@lru_cache(maxsize=1)
def references() -> dict[str, str]:
    """Citation with address of each source key."""
    return {key: ", ".join(entry.values()) for key, entry in _table(Path(__file__).parent / "references.toml").items()}


def _key(name: str) -> str:
    """A name as files are called."""
    return re.sub(r"[\s:]+", "-", name.strip().lower())


@lru_cache(maxsize=4096)
def _aliases(path: Path) -> list[str]:
    aliases = _table(path).get("aliases", [])
    return [_key(str(alias)) for alias in aliases] if isinstance(aliases, list) else []


@lru_cache(maxsize=4096)
def _lower(path: Path) -> bytes:
    """The content of a file in lower case: what may have an alias in it is parsed."""
    return _bytes(path).lower()


def _bytes(path: Path) -> bytes:
    """The content of a file, refused if it cannot be an entry."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None
    if len(content) > LARGEST:
        raise InputError(str(path), f"is larger than {LARGEST} bytes", "an entry is a short TOML file")
    return content


def _table(path: Path) -> dict[str, Any]:
    """The TOML table of a file."""
    try:
        return tomllib.loads(_bytes(path).decode())
    except RecursionError:
        raise InputError(str(path), "is nested too deeply to be an entry") from None
    except ValueError as error:
        raise InputError(str(path), f"is not valid TOML ({' '.join(str(error).split())[:200]})") from None
