"""What no engine does, or what one does not spell: refused with the reason and the nearest that can be started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ridgeline.errors import InputError
from ridgeline.launch.engine import engine

if TYPE_CHECKING:
    from ridgeline.launch.deployment import Deployment, Role


def common(name: str, deployment: Deployment, role: Role) -> None:
    """Refuse what the engine called `name` cannot be told.

    Raises
    ------
    InputError
        For chips of another maker, context parallelism, and formats that the engine does not have or does not make.
    """
    found, layout = engine(name), role.layout
    if role.vendor not in found.vendors:
        raise InputError(
            f"--emit {name} on chips of {role.vendor}",
            f"its flags are known for {' and '.join(found.vendors)}",
            "the nearest: --emit vllm" if name != "vllm" and role.vendor in engine("vllm").vendors else "",
        )
    if layout.cp > 1:
        raise InputError(
            f"--emit {name} with cp={layout.cp}",
            f"{found.title} {found.version} has no context parallelism with devices of its own in both phases",
            f"the nearest: cp=1, with tp={layout.tp * layout.cp} or more memory for the cache",
        )
    if deployment.kv not in found.kv:
        known = ", ".join(found.kv)
        raise InputError(f"--emit {name} with --kv {deployment.kv}", f"it caches in {known}", f"--kv {_near(found.kv)}")
    if deployment.weights and deployment.weights not in found.weights:
        made = ", ".join(found.weights) or "no format"
        raise InputError(
            f"--emit {name} with --weights {deployment.weights}",
            f"{found.title} makes {made} of another checkpoint while loading it",
            "--checkpoint NAME of one that is stored so",
        )


def _near(formats: dict[str, str]) -> str:
    return "fp8" if "fp8" in formats else next(iter(formats))
