"""Finding a model: a built-in name or alias, a name in a user's folder, a model file, or a Hugging Face config.json.

What this file does not know: what is in a model.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ridgeline.catalog.loader import BUILT_IN, LARGEST, Catalog
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.model.architecture import Architecture
from ridgeline.model.spec import Spec, build, from_toml


def load_spec(name: str, catalog: Catalog = BUILT_IN) -> Spec:
    """The spec of a model.

    Parameters
    ----------
    name
        A name or alias in the catalogue ("deepseek-v3", "deepseek-ai/DeepSeek-V3", "lecture:deepseek"), a path to a
        model file (`.toml`), to a `config.json`, or to a folder that has one; or the text of a `config.json`.

    Raises
    ------
    UnknownNameError
        No such name.
    InputError
        The file cannot be read as a model.
    """
    if not name.strip():
        raise InputError("model ''", "a name or a file", "`ridgeline catalog models` lists the names")
    if _is_text(name):
        return _from_json(name)
    path = Path(name)
    if path.suffix in (".json", ".toml") or path.is_dir() or (path.exists() and path.is_absolute()):
        return _from_file(path / "config.json" if path.is_dir() else path)
    try:
        found = catalog.find("models", name.rsplit("/", 1)[-1])
    except UnknownNameError:
        if path.is_file():
            return _from_file(path)
        raise
    return from_toml(_text(found), where=str(found))


def load(name: str, catalog: Catalog = BUILT_IN) -> Architecture:
    """The architecture of a model; parameters and errors as :func:`load_spec`. A config that is given as text is not
    kept.
    """
    return build(_from_json(name)) if _is_text(name) else _kept(name, catalog)


@lru_cache(maxsize=64)
def _kept(name: str, catalog: Catalog) -> Architecture:
    return build(load_spec(name, catalog))


def _is_text(name: str) -> bool:
    return name.lstrip().startswith("{")


def _from_json(text: str) -> Spec:
    from ridgeline.model.config import from_config, parse_json

    config = parse_json(text.encode("utf-8", "replace"), "config.json")
    title = config.get("_name_or_path")
    name = title.rstrip("/").rsplit("/", 1)[-1] if isinstance(title, str) else ""
    return from_config(config, name=name[:60] or "config.json", source="config.json")


def _from_file(path: Path) -> Spec:
    if path.suffix == ".toml":
        return from_toml(_text(path), where=str(path))
    from ridgeline.model.config import read_config  # families are only needed for foreign files

    return read_config(path)


def _text(path: Path) -> str:
    """The text of a model file (InputError if it is none, or too large)."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(str(path), f"is larger than {LARGEST // 10**6} MB, not a model file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror or type(error).__name__})") from None
    except UnicodeDecodeError:
        raise InputError(str(path), "is not text") from None
