"""Failures and checkpoints: what share of the time trains.

    mean time between failures of a job     M = chip's mean time between failures / chips
    a checkpoint of S bytes                 C = S / (bandwidth of storage),  of which `blocking` stops the step
    best interval (Young 1974, Daly 2006)   tau = sqrt(2 C M)          (for C << M; Daly's next order is used)
    goodput = 1 / (1 + C / tau + (tau / 2 + R) / M)                    R: restart, reloading and warming up

Failures are independent and Poisson. Knows no model and no step.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace

CHIP_MTBF = 50_000.0 * 3600.0
"""Seconds between failures per chip: 419 unexpected interruptions in 54 days on 16,384 H100 (arXiv:2407.21783, table 5)
are 50,700 hours of a chip for each."""
RESTART = 10.0 * 60.0
"""Seconds from a failure to the next step: detecting, replacing, loading, warming up (arXiv:2407.21783 reports over 90%
of effective training time with them)."""
STORAGE = 1e9
"""Bytes per second that one chip writes to storage (a guess: 7 TB/s for 16,384 chips at peak, arXiv:2407.21783)."""


class Goodput(msgspec.Struct, frozen=True, kw_only=True):
    """Checkpoints and failures of a job; seconds."""

    mtbf: Array
    checkpoint: Array
    """Seconds in which a checkpoint stops training."""
    interval: Array
    share: Array
    """Share of the time in which training advances."""


def young_daly(checkpoint: Array, mtbf: Array) -> Array:
    """Seconds between checkpoints that lose the least time: sqrt(2 C M) (1 + sqrt(C / 2M) / 3 + C / 18M) - C.

    At most `mtbf` where a checkpoint takes longer than half of it (Daly 2006, eq. 37).

    Examples
    --------
    >>> round(young_daly(60.0, 3 * 3600.0))
    1099
    """
    xp = namespace(checkpoint, mtbf)
    x = checkpoint / (2.0 * mtbf)
    tau = xp.sqrt(2.0 * checkpoint * mtbf) * (1.0 + xp.sqrt(x) / 3.0 + x / 9.0) - checkpoint
    return xp.where(x < 1.0, tau, mtbf + 0.0 * tau)


def goodput(
    chips: Array,
    size: Array,
    *,
    chip_mtbf: Array = CHIP_MTBF,
    storage: Array = STORAGE,
    restart: Array = RESTART,
    blocking: Array = 1.0,
) -> Goodput:
    """Goodput of a job on `chips` chips whose checkpoint has `size` bytes in all.

    Parameters
    ----------
    chip_mtbf
        Seconds between failures of one chip, with its share of everything around it.
    storage
        Bytes per second that one chip writes; all write at once.
    blocking
        Share of a checkpoint that stops training; an asynchronous one stops it for a small part.
    """
    mtbf = chip_mtbf / chips
    checkpoint = blocking * size / (storage * chips)
    interval = young_daly(checkpoint, mtbf)
    lost = checkpoint / interval + (0.5 * interval + restart) / mtbf
    return Goodput(mtbf=mtbf, checkpoint=checkpoint, interval=interval, share=1.0 / (1.0 + lost))
