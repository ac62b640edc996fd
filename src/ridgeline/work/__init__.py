"""FLOPs and bytes of a step, per operation. Knows models and formats; knows no device, no second, no price."""

from ridgeline.work.attention import effective_window
from ridgeline.work.experts import COPIED, distinct_experts, load_imbalance, routed
from ridgeline.work.layer import Shard, embedding_operations, layer_operations, linear_operation
from ridgeline.work.operation import Operation, Work
from ridgeline.work.segment import Segment

__all__ = [
    "COPIED",
    "Operation",
    "Segment",
    "Shard",
    "Work",
    "distinct_experts",
    "effective_window",
    "embedding_operations",
    "layer_operations",
    "linear_operation",
    "load_imbalance",
    "routed",
]
