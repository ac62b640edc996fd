"""A training layout as options of Megatron-LM's `pretrain_gpt.py`, or whatever takes its arguments.

Names are those of Megatron-LM core 0.15 (megatron/training/arguments.py, 2026-11). Layer counts that do not divide are
given to stages as `--account-for-embedding-in-pipeline-split` does. Knows no law.
"""

from __future__ import annotations

from ridgeline.errors import InputError
from ridgeline.model import Architecture
from ridgeline.model.architecture import Attention, Dense, Experts, LatentAttention
from ridgeline.training.layout import RECOMPUTE
from ridgeline.training.run import TrainingRun

LAUNCHERS = ("megatron",)
SOURCE = "https://github.com/NVIDIA/Megatron-LM/blob/main/megatron/training/arguments.py"
_PRECISION = {
    "bf16": ["--bf16"],
    "fp8": ["--bf16", "--fp8-format hybrid", "--fp8-recipe tensorwise"],
    "mxfp8": ["--bf16", "--fp8-format e4m3", "--fp8-recipe mxfp8"],
    "nvfp4": ["--bf16", "--fp4-format e2m1", "--fp4-recipe nvfp4"],
}


def megatron(run: TrainingRun, dtype: str, host: int) -> str:
    """The command of one node, as shell text.

    Parameters
    ----------
    host
        Chips of one node.

    Raises
    ------
    InputError
        For what Megatron-LM cannot do: another schedule than 1F1B, reversible layers, mxfp4, sharing of weights
        without its own FSDP.
    """
    layout, setting = run.layout, run.setting
    if layout.schedule not in ("1f1b", "interleaved"):
        raise InputError(f"--emit megatron with --schedule {layout.schedule}", "--schedule 1f1b, which Megatron-LM has")
    if RECOMPUTE[layout.recompute] == "reversible":
        raise InputError("--emit megatron with --recompute reversible", "--recompute full")
    if dtype not in _PRECISION:
        raise InputError(f"--emit megatron with --dtype {dtype}", f"one of {', '.join(_PRECISION)}")
    if layout.offload in ("activations", "both"):
        raise InputError(f"--emit megatron with --offload {layout.offload}", "--offload optimizer")
    chips, nodes = layout.chips, -(-layout.chips // host)
    head = (
        f"torchrun --nproc-per-node {min(host, chips)} --nnodes {nodes} --rdzv-backend c10d --rdzv-endpoint $HEAD:29500"
    )
    lines = [f"{head} pretrain_gpt.py", *_model(setting.model), *_PRECISION[dtype], *_layout(run)]
    lines += [
        f"--seq-length {setting.seq}",
        f"--max-position-embeddings {setting.seq}",
        f"--micro-batch-size {layout.micro_batch}",
        f"--global-batch-size {setting.batch}",
        "--data-path $DATA --tokenizer-model $TOKENIZER --save $CHECKPOINTS --load $CHECKPOINTS",
    ]
    note = f"# options as of Megatron-LM core 0.15, {SOURCE}; never started by Ridgeline"
    return note + "\n" + " \\\n  ".join(lines) + "\n"


def _layout(run: TrainingRun) -> list[str]:
    layout, model = run.layout, run.setting.model
    out = [f"--tensor-model-parallel-size {layout.tp}", f"--pipeline-model-parallel-size {layout.pp}"]
    if layout.vp > 1:
        out.append(f"--num-virtual-stages-per-pipeline-rank {layout.vp}")
    if len(model.layers) % (layout.pp * layout.vp):
        out += ["--account-for-embedding-in-pipeline-split", "--account-for-loss-in-pipeline-split"]
    if layout.cp > 1:
        out.append(f"--context-parallel-size {layout.cp}")
    if layout.sp and layout.tp > 1:
        out.append("--sequence-parallel")
    if layout.ep > 1 or layout.etp > 1:
        out += [f"--expert-model-parallel-size {layout.ep}", f"--expert-tensor-parallel-size {layout.etp}"]
    if layout.zero >= 2:
        strategy = "optim_grads" if layout.zero == 2 else "optim_grads_params"
        out += ["--use-megatron-fsdp", f"--data-parallel-sharding-strategy {strategy}"]
    elif layout.zero == 1:
        out.append("--use-distributed-optimizer")
    if layout.shards:
        out.append(f"--num-distributed-optimizer-instances {layout.ranks // layout.shards}")
    out += ["--overlap-grad-reduce"] + (["--overlap-param-gather"] if layout.zero else [])
    if layout.recompute == 1:
        out.append("--recompute-granularity selective")
    if layout.recompute == 2:
        out += ["--recompute-granularity full", "--recompute-method uniform", "--recompute-num-layers 1"]
    if layout.offload:
        out.append("--optimizer-cpu-offload")
    return out


def _model(model: Architecture) -> list[str]:
    """Dimensions of the model."""
    layer = model.layers[-1]
    mixer = next((m for m in layer.mixers if isinstance(m, Attention | LatentAttention)), None)
    if mixer is None:
        raise InputError(f"--emit megatron of {model.name}", "a model with attention in its last layer")
    dense = next((f for each in model.layers for f in each.feedforwards if isinstance(f, Dense)), None)
    experts = next((f for f in layer.feedforwards if isinstance(f, Experts)), None)
    out = [f"--num-layers {len(model.layers)}", f"--hidden-size {model.hidden}", f"--num-attention-heads {mixer.heads}"]
    if dense is not None:
        out.append(f"--ffn-hidden-size {dense.width}")
    if isinstance(mixer, Attention):
        out.append(f"--kv-channels {mixer.head_dim}")
        if mixer.kv_heads < mixer.heads:
            out.append(f"--group-query-attention --num-query-groups {mixer.kv_heads}")
    else:
        out.append(
            f"--multi-latent-attention --kv-lora-rank {mixer.kv_rank} --qk-head-dim {mixer.nope_dim} "
            f"--qk-pos-emb-head-dim {mixer.rope_dim} --v-head-dim {mixer.value_dim}"
        )
    if experts is not None:
        out.append(
            f"--num-experts {experts.count} --moe-router-topk {experts.active} --moe-ffn-hidden-size {experts.width} "
            "--moe-token-dispatcher-type alltoall --moe-grouped-gemm"
        )
    gated = dense is None or len({linear.cols for linear in dense.linears if not linear.rows_split} - {dense.width}) > 0
    out += ["--swiglu"] if gated else []
    return out + ([] if model.tied else ["--untie-embeddings-and-output-weights"]) + ["--use-flash-attn"]
