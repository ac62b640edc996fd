"""vLLM: `vllm serve`, one engine for each attention rank, over one host or several.

Experts are divided over all tensor and data ranks or, without expert parallelism, cut like other matrices: nothing in
between. Context parallelism of vLLM shares the ranks of tensor parallelism and is not that of a layout. Knows no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ridgeline.errors import InputError
from ridgeline.launch.engine import engine
from ridgeline.launch.refuse import common
from ridgeline.launch.script import PORT, Place, line, places, said

if TYPE_CHECKING:
    from ridgeline.launch.deployment import Deployment, Role

RPC = 13345
"""Port on which data ranks meet."""
NIXL, SPAN = 5600, 100
"""First port of the transfer of caches (vLLM's default), and ports that a server may take."""


def vllm(deployment: Deployment) -> list[str]:
    """Lines of the script."""
    lines: list[str] = []
    for role in deployment.roles:
        lines += ["", said(role, role.host)]
        lines += ["# HERE is the address of the host itself"] if deployment.separate else []
        for place in places(role, role.host):
            lines += place.told
            words = ["vllm", "serve", deployment.model, *flags(deployment, role, place)]
            lines.append(line([*words, *transfer(deployment, role)], place, **meeting(deployment, place)))
    return lines + _router(deployment)


def flags(deployment: Deployment, role: Role, place: Place) -> list[str]:
    """Flags of one process.

    Raises
    ------
    InputError
        For what vLLM does not do: see the module.
    """
    common("vllm", deployment, role)
    f, layout = engine("vllm").flags, role.layout
    tp, pp, dp, ep = int(layout.tp), int(layout.pp), int(layout.dp), int(layout.ep)
    if ep not in (1, tp * dp):
        raise InputError(
            f"--emit vllm with ep={ep}",
            f"vLLM divides experts over all tp * dp = {tp * dp} ranks or over none",
            f"the nearest: ep={tp * dp}",
        )
    each = -(-role.sequences // dp)
    out = [f["tp"], str(tp), f["pp"], str(pp)]
    if dp > 1:
        out += [f["dp"], str(dp)]
    if ep > 1:
        out += [f["ep"]]
    if layout.redundant:
        out += [f["balance"], f["redundant"], _json({"num_redundant_experts": int(layout.redundant)})]
    out += [f["max_length"], str(deployment.length), f["sequences"], str(each)]
    out += [f["tokens"], str(max(role.tokens, each)), f["chunked"], f["prefix"]]
    out += [f["memory"], f"{role.memory:g}", f["kv"], engine("vllm").kv[deployment.kv]]
    if deployment.weights:
        out += [f["quantization"], engine("vllm").weights[deployment.weights]]
    if deployment.drafts:
        out += [f["drafts"], _json({"method": "mtp", "num_speculative_tokens": deployment.drafts})]
    return out + _across(f, place, dp, tp * pp, role.host) + [f["port"], str(place.port)]


def _across(f: dict[str, str], place: Place, dp: int, each: int, host: int) -> list[str]:
    """Flags of a replica on several hosts: whole data ranks on each, or one data rank over all."""
    if place.hosts == 1:
        return []
    rest = [f["headless"]] if not place.head else []
    if dp == 1:
        return [f["nodes"], str(place.hosts), f["rank"], place.rank, f["head"], "$HEAD", *rest]
    if host % each:
        raise InputError(
            f"--emit vllm with {each} devices per attention rank on hosts of {host}",
            "vLLM starts whole attention ranks on each host",
            f"the nearest: tp * pp that divides {host}, or dp=1",
        )
    local = host // each
    start = [f["dp_start"], f"$((RANK * {local}))"] if not place.head else []
    return [f["dp_local"], str(local), f["dp_address"], "$HEAD", f["dp_port"], str(RPC), *start, *rest]


def transfer(deployment: Deployment, role: Role) -> list[str]:
    """How prefill hands its cache to decode."""
    if not deployment.separate:
        return []
    who = {"prefill": "kv_producer", "decode": "kv_consumer"}[role.phase]
    return [engine("vllm").flags["transfer"], _json({"kv_connector": "NixlConnector", "kv_role": who})]


def meeting(deployment: Deployment, place: Place) -> dict[str, str]:
    """Where the two roles find each other's caches: each server has a range of ports, one for each attention rank."""
    if not deployment.separate:
        return {}
    port = str(NIXL + SPAN * (place.port - PORT))
    return {"VLLM_NIXL_SIDE_CHANNEL_HOST": "$HERE", "VLLM_NIXL_SIDE_CHANNEL_PORT": port}


def _router(deployment: Deployment) -> list[str]:
    if not deployment.separate:
        return []
    words = engine("vllm").router.command.split()
    for role in deployment.roles:
        for number, port in servers(role, role.host):
            words += [f"--{role.phase}", f"http://${role.phase.upper()}_{number}:{port}"]
    note = "# router; PREFILL_1, DECODE_1, ... are the addresses of the servers' (first) hosts"
    return ["", note, line([*words, "--port", str(PORT + 1000)])]


def servers(role: Role, host: int) -> list[tuple[int, int]]:
    """Number of the host and port of each replica of a role."""
    chips = int(role.layout.chips)
    slots = max(1, host // chips)
    return [(i // slots + 1, PORT + i % slots) for i in range(role.replicas)]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
