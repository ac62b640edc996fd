"""A deployment as a script for a serving engine; the engines that can be asked for."""

from __future__ import annotations

from collections.abc import Callable

from ridgeline.errors import UnknownNameError
from ridgeline.launch.deployment import Deployment
from ridgeline.launch.dynamo import dynamo
from ridgeline.launch.engine import engine
from ridgeline.launch.sglang import sglang
from ridgeline.launch.trtllm import trtllm
from ridgeline.launch.vllm import vllm

ENGINES: dict[str, Callable[[Deployment], list[str]]] = {
    "vllm": vllm,
    "sglang": sglang,
    "trtllm": trtllm,
    "dynamo": dynamo,
}


def emit(deployment: Deployment, name: str) -> str:
    """The commands that start a deployment, as shell text.

    Raises
    ------
    UnknownNameError
        For an engine that is not known.
    InputError
        For what the engine cannot do: the reason, and the nearest that it can.
    """
    if name not in ENGINES:
        raise UnknownNameError("engine to launch", name[:60], ENGINES)
    found = engine(name)
    lines = ENGINES[name](deployment)
    head = [f"# {found.title} {found.version}; flags read on {found.date}"]
    if deployment.cached:
        head.append(f"# the plan takes {deployment.cached:.0%} of each prompt from the prefix cache")
    return "\n".join([*head, *lines]) + "\n"
