"""SGLang: `sglang.launch_server`; attention data parallelism divides the ranks of tensor parallelism.

--tp-size counts tp * dp of a layout, --attn-dp-size its dp. SGLang divides the chunk of a prefill and the running
requests by the attention ranks. Knows no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ridgeline.launch.engine import engine
from ridgeline.launch.refuse import common
from ridgeline.launch.script import PORT, Place, line, places, said
from ridgeline.launch.vllm import servers

if TYPE_CHECKING:
    from ridgeline.launch.deployment import Deployment, Role

MEET = 5000
"""Port on which the hosts of a replica meet."""
BOOTSTRAP = 8998
"""Port on which a prefill server hands over its cache; one more for each further server of a host."""


def sglang(deployment: Deployment) -> list[str]:
    """Lines of the script."""
    lines: list[str] = []
    for role in deployment.roles:
        lines += ["", said(role, role.host)]
        for place in places(role, role.host):
            lines += place.told
            lines.append(line(["python", "-m", "sglang.launch_server", *flags(deployment, role, place)], place))
    return lines + _router(deployment)


def flags(deployment: Deployment, role: Role, place: Place) -> list[str]:
    """Flags of one process; InputError for what SGLang does not do."""
    common("sglang", deployment, role)
    f, layout = engine("sglang").flags, role.layout
    dp = int(layout.dp)
    out = [f["model"], deployment.model, f["tp"], str(int(layout.tp) * dp), f["pp"], str(int(layout.pp))]
    if dp > 1:
        out += [f["dp"], str(dp)]
    if layout.ep > 1:
        out += [f["ep"], str(int(layout.ep))]
    if layout.redundant:
        out += [f["balance"], f["redundant"], str(int(layout.redundant))]
    out += [f["max_length"], str(deployment.length), f["sequences"], str(-(-role.sequences // dp) * dp)]
    out += [f["tokens"], str(role.tokens * dp), f["memory"], f"{role.static:g}"]
    out += [f["kv"], engine("sglang").kv[deployment.kv]]
    if deployment.weights:
        out += [f["quantization"], engine("sglang").weights[deployment.weights]]
    if n := deployment.drafts:
        out += [f["algorithm"], "NEXTN", f["steps"], str(n), f["topk"], "1", f["drafts"], str(n + 1)]
    if deployment.separate:
        out += [f["mode"], role.phase, f["transfer"], "nixl"]
    if deployment.separate and role.phase == "prefill":
        out += [f["bootstrap"], str(BOOTSTRAP + place.port - PORT)]
    if place.hosts > 1:
        out += [f["nodes"], str(place.hosts), f["rank"], place.rank, f["head"], f"$HEAD:{MEET}"]
    return [*out, f["host"], "0.0.0.0", f["port"], str(place.port)]


def _router(deployment: Deployment) -> list[str]:
    if not deployment.separate:
        return []
    words = engine("sglang").router.command.split()
    for role in deployment.roles:
        for number, port in servers(role, role.host):
            words += [f"--{role.phase}", f"http://${role.phase.upper()}_{number}:{port}"]
            words += [str(BOOTSTRAP + port - PORT)] if role.phase == "prefill" else []
    note = "# router; PREFILL_1, DECODE_1, ... are the addresses of the servers' (first) hosts"
    return ["", note, line([*words, "--host", "0.0.0.0", "--port", str(PORT + 1000)])]
