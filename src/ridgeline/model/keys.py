"""The keys of one config file, each read with a name, a type and bounds, so that an error says where it comes from.

A key that is absent or null takes the default its family gives it, or is an error. Keys that nobody read but that look
as if they changed the arithmetic (experts, state-space, low rank, sharing) are an error too: :meth:`Keys.finish`.

What this file does not know: what a key means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ridgeline.errors import InputError

LARGEST = 10**8
"""Of a dimension; a larger value is a mistake."""

_ARITHMETIC = re.compile(
    r"expert|moe|mamba|ssm|_rank\b|^index_|kv_shared|latent|linear_|altup|hyper|compress|block_configs"
)
_HARMLESS = re.compile(
    r"coef|coeff|loss|jitter|scal|norm_topk|dtype|dt_|chunk|overlap|kernel|act$|_alpha|_beta|dropout|capacity"
    r"|output_router|theta|freq|init|renormalize|router|_eps|method|func|use_mamba|attn_config|linear_rope|time_step"
    r"|before_gate|_min$|_max$|multiplier"
)


class Keys:
    """Typed access to a config's keys.

    Parameters
    ----------
    config
        The parsed JSON object.
    where
        File and path inside it, for errors.
    defaults
        What an absent key means in this family; a number may be given as the name of another key.
    """

    def __init__(self, config: Mapping[str, Any], where: str, defaults: Mapping[str, Any] | None = None) -> None:
        self.config, self.where = config, where
        self.defaults = defaults or {}
        self.read: set[str] = set()

    def error(self, key: str, expected: str, fix: str = "") -> InputError:
        """An error that names the file and the key."""
        return InputError(f"{self.where}: key `{key}`", expected, fix)

    def get(self, *names: str) -> tuple[str, Any]:
        """The first of several spellings that is present and not null, and its value."""
        self.read.update(names)
        for source in (self.config, self.defaults):
            for name in names:
                if source.get(name) is not None:
                    return name, source[name]
        return names[0], None

    def ignore(self, *names: str) -> None:
        """Keys that say nothing new here, or are read only in some cases."""
        self.read.update(names)

    def integer(self, *names: str, default: int | None = None, low: int = 1, high: int = LARGEST) -> int:
        """A whole number within bounds; without a default the key must be there."""
        name, value = self.get(*names)
        if value is None:
            if default is None:
                raise self.error(name, "is missing", f"expected a whole number from {low} to {high}")
            return default
        if isinstance(value, str) and name not in self.config:
            return self.integer(value, low=low, high=high)
        return self._whole(name, value, low, high)

    def optional(self, *names: str) -> int:
        """A whole number, or 0 if the key is absent, null or 0."""
        return self.integer(*names, default=0, low=0)

    def integers(self, *names: str, length: int, low: int = 0) -> list[int] | None:
        """A list of `length` whole numbers, or None if the key is absent."""
        name, value = self.get(*names)
        return (
            None
            if value is None
            else [self._whole(name, each, low, LARGEST) for each in self._list(name, value, length)]
        )

    def listed(self, *names: str, low: int = 0) -> list[int] | None:
        """A list of whole numbers of any length, such as layer numbers, or None if the key is absent."""
        name, value = self.get(*names)
        return (
            None if value is None else [self._whole(name, each, low, LARGEST) for each in self._list(name, value, None)]
        )

    def flag(self, *names: str, default: bool = False) -> bool:
        """True or false."""
        name, value = self.get(*names)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(name, f"expected true or false, got {_short(value)}")
        return value

    def text(self, *names: str, default: str = "") -> str:
        """A string."""
        name, value = self.get(*names)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(name, f"expected text, got {_short(value)}")
        return value

    def texts(self, *names: str, length: int | None = None, allowed: Sequence[str]) -> list[str] | None:
        """A list of strings out of `allowed`, or None if the key is absent."""
        name, value = self.get(*names)
        if value is None:
            return None
        values = self._list(name, value, length)
        for each in values:
            if each not in allowed:
                raise self.error(name, f"expected entries out of {', '.join(allowed)}, got {_short(each)}")
        return values

    def child(self, name: str) -> Keys:
        """The object under a key; an absent one is empty."""
        _, value = self.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise self.error(name, f"expected an object, got {_short(value)}")
        return Keys(value or {}, f"{self.where}: {name}", self.defaults)

    def children(self, name: str, length: int) -> list[Keys] | None:
        """The objects of a list under a key, or None if the key is absent."""
        _, value = self.get(name)
        if value is None:
            return None
        values = self._list(name, value, length)
        for i, each in enumerate(values):
            if not isinstance(each, Mapping):
                raise self.error(f"{name}[{i}]", f"expected an object, got {_short(each)}")
        return [Keys(each, f"{self.where}: {name}[{i}]") for i, each in enumerate(values)]

    def finish(self, family: str) -> None:
        """Refuse numbers and lists that nobody read but that look as if they changed the arithmetic."""
        for key, value in self.config.items():
            unread = key not in self.read and value and isinstance(value, int | list) and not isinstance(value, bool)
            if unread and _ARITHMETIC.search(key) and not _HARMLESS.search(key):
                raise self.error(key, f"is not known for model_type `{family}`", "it would change the arithmetic")

    def _list(self, name: str, value: Any, length: int | None) -> list[Any]:
        if not isinstance(value, list):
            raise self.error(name, f"expected a list, got {_short(value)}")
        if length is not None and len(value) != length:
            raise self.error(name, f"expected {length} entries, one per layer, got {len(value)}")
        return value

    def _whole(self, name: str, value: Any, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(name, f"expected a whole number, got {_short(value)}")
        if not low <= value <= high:
            raise self.error(name, f"expected a whole number from {low} to {high}, got {_short(value)}")
        return value


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**20 else "a number of more than 20 digits"
    return text if len(text) <= 40 else text[:37] + "..."
