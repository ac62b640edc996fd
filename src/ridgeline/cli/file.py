"""A file that is there in full or not at all: written beside its place, then moved into it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ridgeline.errors import InputError


@contextmanager
def replacing(path: str, what: str) -> Iterator[Path]:
    """Path of an empty file that becomes `path` if the block ends well, and vanishes if it does not.

    Raises
    ------
    InputError
        If the folder cannot be written to; `what` is the option that names the file.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
        os.close(handle)
    except OSError as error:
        raise InputError(f"{what} {path!r}", f"cannot be written ({error.strerror})") from None
    draft = Path(name)
    try:
        yield draft
        draft.chmod(0o666 & ~_mask())
        draft.replace(target)
    except OSError as error:
        raise InputError(f"{what} {path!r}", f"cannot be written ({error.strerror})") from None
    finally:
        draft.unlink(missing_ok=True)


def _mask() -> int:
    """Permissions that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
