"""TensorRT-LLM: `trtllm-serve` with a file of options; several hosts through Slurm.

Attention data parallelism takes all ranks of a stage (tp=1) or none (dp=1). Knows no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ridgeline.errors import InputError
from ridgeline.launch.engine import engine
from ridgeline.launch.refuse import common
from ridgeline.launch.script import PORT, line, places, said, yaml
from ridgeline.launch.vllm import servers

if TYPE_CHECKING:
    from ridgeline.launch.deployment import Deployment, Role

ROLES = {"both": "both", "prefill": "context", "decode": "generation"}
"""What TensorRT-LLM calls the roles."""


def trtllm(deployment: Deployment) -> list[str]:
    """Lines of the script: a file of options and the commands of each role."""
    lines: list[str] = []
    for role in deployment.roles:
        file = f"options-{ROLES[role.phase]}.yaml"
        lines += ["", said(role, role.host), f"cat > {file} <<'EOF'", yaml(options(deployment, role)), "EOF"]
        found = places(role, role.host)
        for place in found[:1] if found[0].hosts > 1 else found:
            words = ["trtllm-serve", deployment.model, *flags(deployment, role, file, place.port)]
            if place.hosts > 1:
                hosts, each = str(place.hosts), str(role.host)
                words = [
                    "srun",
                    "-N",
                    hosts,
                    "--ntasks-per-node",
                    each,
                    "--mpi",
                    "pmix",
                    "trtllm-llmapi-launch",
                    *words,
                ]
            lines.append(line(words, place))
    return lines + _router(deployment)


def options(deployment: Deployment, role: Role) -> dict[str, object]:
    """What stands in the file.

    Raises
    ------
    InputError
        For what TensorRT-LLM does not do: see the module.
    """
    common("trtllm", deployment, role)
    layout = role.layout
    if layout.redundant:
        raise InputError(
            f"--emit trtllm with {layout.redundant} redundant experts",
            "TensorRT-LLM reads them from a file of a load balancer, which was not checked",
            "the nearest: redundant=0 with an ep that divides the experts, or --emit vllm, sglang",
        )
    if layout.dp > 1 and layout.tp > 1:
        every = int(layout.tp * layout.dp)
        raise InputError(
            f"--emit trtllm with tp={layout.tp} dp={layout.dp}",
            "TensorRT-LLM's attention data parallelism takes all ranks of a stage or none",
            f"the nearest: tp=1 dp={every}, or tp={every} dp=1",
        )
    out: dict[str, object] = {
        "enable_attention_dp": bool(layout.dp > 1),
        "enable_chunked_prefill": True,
        "kv_cache_config": {"dtype": engine("trtllm").kv[deployment.kv], "enable_block_reuse": True},
    }
    if deployment.drafts:
        out["speculative_config"] = {"decoding_type": "MTP", "num_nextn_predict_layers": deployment.drafts}
    if deployment.separate:
        out["cache_transceiver_config"] = {"backend": "DEFAULT"}
        if role.phase == "prefill":
            out["disable_overlap_scheduler"] = True
    return out


def flags(deployment: Deployment, role: Role, file: str, port: int) -> list[str]:
    """Flags of one server."""
    f, layout = engine("trtllm").flags, role.layout
    out = [f["tp"], str(int(layout.tp * layout.dp)), f["pp"], str(int(layout.pp))]
    if layout.ep > 1:
        out += [f["ep"], str(int(layout.ep))]
    out += [f["sequences"], str(-(-role.sequences // int(layout.dp))), f["tokens"], str(role.tokens)]
    out += [f["max_length"], str(deployment.length), f["memory"], f"{role.free:g}"]
    if layout.chips > role.host:
        out += [f["nodes"], str(role.host)]
    return [*out, f["options"], file, f["host"], "0.0.0.0", f["port"], str(port)]


def _router(deployment: Deployment) -> list[str]:
    if not deployment.separate:
        return []
    lines = ["", "# router; PREFILL_1, DECODE_1, ... are the addresses of the servers' (first) hosts"]
    lines += ["cat > router.yaml <<EOF", "hostname: 0.0.0.0", f"port: {PORT + 1000}"]
    for role in deployment.roles:
        urls = [f"${role.phase.upper()}_{number}:{port}" for number, port in servers(role, role.host)]
        lines += [f"{ROLES[role.phase]}_servers:", f"  num_instances: {role.replicas}", "  urls:"]
        lines += [f'    - "{url}"' for url in urls]
    return [*lines, "EOF", line([*engine("trtllm").router.command.split(), "router.yaml"])]
