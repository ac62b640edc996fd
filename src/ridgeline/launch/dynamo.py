"""NVIDIA Dynamo: a frontend, and workers of vLLM that register themselves (etcd must run). Knows no time.

Replicas that spread attention ranks over several hosts are refused: how Dynamo starts those was not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ridgeline.errors import InputError
from ridgeline.launch import vllm
from ridgeline.launch.engine import engine
from ridgeline.launch.script import PORT, line, places, said

if TYPE_CHECKING:
    from ridgeline.launch.deployment import Deployment


def dynamo(deployment: Deployment) -> list[str]:
    """Lines of the script; InputError for what its vLLM does not do."""
    f = engine("dynamo").flags
    front = [*engine("dynamo").router.command.split(), f["frontend_port"], str(PORT)]
    lines = ["", "# frontend, on one host; ETCD_ENDPOINTS tells every process where etcd is", line(front)]
    for role in deployment.roles:
        lines += ["", said(role, role.host)]
        lines += ["# HERE is the address of the host itself"] if deployment.separate else []
        for place in places(role, role.host):
            if place.hosts > 1 and role.layout.dp > 1:
                raise InputError(
                    f"--emit dynamo with {role.layout} over {place.hosts} hosts",
                    "attention ranks on several hosts were not checked for Dynamo",
                    f"the nearest: dp up to {role.host}, or --emit vllm",
                )
            lines += place.told
            own = vllm.flags(deployment, role, place)
            own = own[: own.index(engine("vllm").flags["port"])]  # the frontend has the port
            mode = [f["mode"], role.phase] if deployment.separate else []
            words = ["python", "-m", "dynamo.vllm", f["model"], deployment.model, *own, *mode]
            meeting = vllm.meeting(deployment, place)
            lines.append(line([*words, *vllm.transfer(deployment, role)], place, **meeting))
    return lines
