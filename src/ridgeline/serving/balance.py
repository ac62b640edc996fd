"""Where a model balances on a system: the batch and context at which reading takes as long as computing.

    r   = peak * bytes per weight / (2 bandwidth)                      tokens per read weight at the ridge
    B*  = (seconds to read all weights) / (seconds of one token's math)      = r * N_total / N_active for one format
    L*  = (seconds of one token's math) / (seconds to read one cached token)
    L_q = context at which attention's FLOPs equal the weights' FLOPs
    D   = capacity / bandwidth                                         HBM drain
    weight-read floor = bytes of all weights / (chips * bandwidth)

One device does not matter here: all but D and the weight-read floor are ratios.
"""

from __future__ import annotations

import msgspec

from ridgeline.hardware import System
from ridgeline.layout import Layout, shard
from ridgeline.model import Architecture
from ridgeline.precision import Precision
from ridgeline.roofline import drain_time, work_time
from ridgeline.work import Segment, Work, embedding_operations, layer_operations

_MANY = 1e9
"""A batch that touches every expert."""
_FAR = 1e6
"""A context at which growth per token is read off: past every window of today's models."""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Balance points of one model on one system."""

    ridge_flop_per_byte: float
    ridge_tokens: float
    """Tokens per read weight at which math takes as long, in the format of most of the weights."""
    balance_batch: float
    balance_context: float
    """0 if the cache that is read does not grow with the context."""
    attention_context: float
    drain: float
    weight_read: float
    """Seconds to read all weights once with all `chips`."""
    weight_bytes: float
    kv_read_per_token: float
    """Bytes a decode step reads per token of a long context."""
    flop_per_token: float
    """FLOPs of one decoded token without attention's scores and values."""
    attention_flop: float
    """FLOPs of scores and values per decoded and cached token, at long context."""
    math_per_token: float
    """Seconds of `flop_per_token` on one chip, each part at the peak of its format."""


def balance(model: Architecture, system: System, precision: Precision, chips: int) -> Balance:
    """Balance points of `model` on `chips` chips of `system`.

    Raises
    ------
    InputError
        If the chip has no rate for a format that is needed.
    """
    whole = shard(Layout(), 1, 1)

    def work(batch: float, context: float) -> Work:
        segments = [Segment(seqs=batch, new=1, past=context, sampled=1)]
        head = [op for op in embedding_operations(model, segments, whole, precision) if op.family != "lookup"]
        total = Work.of(head)
        for layer, count in model.kinds:
            total = total + Work.of(layer_operations(layer, segments, whole, precision)) * count
        return total

    every, near, far = work(_MANY, 0.0), work(1.0, _FAR), work(1.0, 2 * _FAR)
    one = work_time(every * (1.0 / _MANY), system.chip)
    weights = every.weights
    kv_slope = (far.kv_read - near.kv_read) / _FAR
    flop_slope = (far.total_flop - near.total_flop) / _FAR
    main = precision.math.get("expert", precision.math["default"])
    held = precision.bytes.get("expert", precision.bytes["default"])
    bandwidth = system.chip.hbm_bandwidth
    return Balance(
        ridge_flop_per_byte=system.chip.math_rate(main) / bandwidth,
        ridge_tokens=system.chip.math_rate(main) * held / (2.0 * bandwidth),
        balance_batch=weights / bandwidth / one.math,
        balance_context=one.math / (kv_slope / bandwidth) if kv_slope > 0 else 0.0,
        attention_context=(every.total_flop / _MANY) / flop_slope if flop_slope > 0 else 0.0,
        drain=drain_time(system.chip.hbm_capacity, bandwidth),
        weight_read=weights / (bandwidth * chips),
        weight_bytes=weights,
        kv_read_per_token=kv_slope,
        flop_per_token=every.total_flop / _MANY,
        attention_flop=flop_slope,
        math_per_token=one.math,
    )
