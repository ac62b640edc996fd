"""A step taken apart: for each kind of layer every operation and message, on one device, all layers of the kind.

    bytes = weights + cache read and written        share = seconds of the row / seconds of all rows

`--csv` of a step prints these rows, `--json` has them as `breakdown`, the roofline draws them as points.
"""

from __future__ import annotations

from typing import Any

from ridgeline.timing import Step


def breakdown(step: Step) -> list[dict[str, Any]]:
    """Rows in the order of the model; a message has bytes sent, an operation FLOPs and bytes of memory traffic."""
    rows: list[dict[str, Any]] = []
    for layer in step.layers:
        for operation, time in layer.operations:
            all_layers = time * layer.count
            rows.append(
                {
                    "layer": layer.name,
                    "count": layer.count,
                    "operation": operation.name,
                    "family": operation.family,
                    "format": operation.math,
                    "flop": operation.flop * layer.count,
                    "weights_bytes": operation.weights * layer.count,
                    "kv_read_bytes": operation.kv_read * layer.count,
                    "kv_write_bytes": operation.kv_write * layer.count,
                    "sent_bytes": 0.0,
                    "math_s": all_layers.math,
                    "memory_s": all_layers.memory,
                    "comms_s": 0.0,
                    "share": all_layers.upper / step.time.upper,
                }
            )
        for message, seconds in layer.messages:
            if seconds:
                rows.append(
                    {
                        "layer": layer.name,
                        "count": layer.count,
                        "operation": message.name,
                        "family": message.kind,
                        "format": "",
                        "flop": 0.0,
                        "weights_bytes": 0.0,
                        "kv_read_bytes": 0.0,
                        "kv_write_bytes": 0.0,
                        "sent_bytes": (message.bytes + message.far_bytes) * layer.count,
                        "math_s": 0.0,
                        "memory_s": 0.0,
                        "comms_s": seconds * layer.count,
                        "share": seconds * layer.count / step.time.upper,
                    }
                )
    return rows
