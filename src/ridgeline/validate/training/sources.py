"""What is known of the tables of training runs beyond their columns: names, formats, habits of each source.

Each fact is from the source's own paper or repository, named in the tables' `source` column. Knows no law.
"""

from __future__ import annotations

PUBLISHED = ("source_id", "hardware", "n_gpus", "gbs_seq", "seq")
SWEEP = ("nodes", "gpus", "gbs_seq", "grad_acc", "zero", "mfu_pct")
SYSTEMS = {
    "DGX-H100": "hgx-h100", "H100": "hgx-h100", "h100_80gb": "hgx-h100", "DGX-GB200": "gb200-nvl72",
    "Blackwell GPU (GB200)": "gb200-nvl72", "DGX-GB300": "gb300-nvl72", "DGX-B200": "hgx-b200",
    "DGX-B300": "hgx-b300", "H200": "hgx-h200", "H800": "hgx-h800", "A100-80GB": "hgx-a100-80",
    "a100_80gb": "hgx-a100-80", "a100_40gb": "hgx-a100-40", "A100-40GB": "hgx-a100-40", "TPUv4": "tpu-v4",
    "TPUv5p": "tpu-v5p", "TPUv6e": "tpu-v6e", "TPUv5e": "tpu-v5e", "TPU-Ironwood(v7)": "tpu7x",
}  # fmt: skip
"""Hardware by the beginning of its name in tables of runs; longer names first where both fit."""
FAULTY, FAULT = 512, 0.6
"""Chips of the Ultra-Scale Playbook's sweep from which on every run with a pipeline waits for its network, and the
seconds that each micro-batch waits at each neighbour of a stage: 0.65 s with two stages and 1.2 s with 4 to 32,
whatever model, tensor ranks and micro-batch. A fault of that cluster, which half of its runs on 256 chips have too;
nothing says which."""
NETWORKS = {
    "Jean Zay": "network.bandwidth=6.25 GB/s",
    "HBM2e-500W": "chip.hbm_capacity=96 GB,chip.hbm_bandwidth=2.4 TB/s,chip.peak.bf16=0.85x,chip.peak.fp8=0.85x",
}
"""What is unlike the catalogue's system: 4 Omni-Path links of 100 Gb/s for 8 GPUs; H100 with 96 GB of HBM2e, held to
500 W of 700 W, which costs about a seventh of the clock (a guess)."""
FORMATS = {
    "bf16": "bf16", "fp16": "bf16", "amp_bf16": "bf16", "bf16/fp16": "bf16", "fp8": "fp8", "amp_fp8": "fp8",
    "fp8-cs": "fp8", "fp8-mx": "mxfp8", "mxfp8": "mxfp8", "nvfp4": "nvfp4", "fp8_full": "fp8",
    "fp8-tensorwise": "fp8", "fp8-rowwise": "mxfp8",
}  # fmt: skip
FRAMEWORKS = {
    "MPT": "foundry", "TT": "torchtitan", "IRONWOOD": "maxtext", "MAXTEXT": "maxtext", "TPUREC": "maxtext",
    "PALM": "maxtext", "BLOOM": "megatron-deepspeed", "MTNLG": "megatron-deepspeed",
}  # fmt: skip
"""Framework of a source; the others are Megatron's."""
CONVENTION = {
    "MEG21T1": "hardware", "MEG21T2": "hardware", "BLOOM": "hardware", "MTNLG": "hardware", "MCORE": "megatron",
    "NEMOLS": "megatron", "NEMO2407": "megatron", "LLAMA3T4": "mosaicml", "PALM": "mosaicml",
}  # fmt: skip
"""How a source counts FLOPs, where neither step time nor token rate is given."""
UNSTATED = {
    "MTNLG": {"recompute": "full"}, "MCORE": {"recompute": "selective", "mbs": "2", "vp": "layers"},
    "LLAMA3T4": {"vp": "8"}, "PALM": {"gbs_seq": "2048"},
    "MAXTEXT": {"recompute": "full", "sharding": "FSDP", "mbs": "8"},
    "IRONWOOD": {"recompute": "selective", "sharding": "FSDP"},
    "TPUREC": {"recompute": "full", "sharding": "FSDP", "n_gpus": "256"},
    "DSV3": {"schedule": "dualpipe"},
}  # fmt: skip
"""What papers and repositories say of all their runs (arXiv:2201.11990 s2.4, 2104.04473 s5, 2407.21783 s3.3,
2204.02311, 2412.19437 s3.2; MaxText's and TPU recipes' defaults)."""
STAGES = {"Megatron-22B": "1", "GPT3-175B": "8", "MT-NLG-530B": "35", "Megatron-1T": "64"}
"""Stages of Korthikanti 2022 (table 3), for its figures of memory."""
LENGTHS = {("TPUREC", "Llama3.1-405B"): "8192", ("TPUREC", "GPT3-175B"): "2048"}
DATES = {
    "MEG21T1": 2021.3, "MEG21T2": 2021.6, "KORT22": 2022.4, "LLAMA3T4": 2024.2, "NEMO2407": 2024.5, "MCORE": 2024.6,
    "NEMOLS": 2025.3, "MLPERF50": 2025.4,
}  # fmt: skip
"""When tables of Megatron's runs appeared, in years; constants of frameworks measured once include their age."""
UNKNOWN = 16
"""Micro-batches per stage where a row with a pipeline gives no batch: its time is then not scored, its memory is."""
DISAGREE = 0.25
"""How far the rate by a row's step time may lie from that by its FLOP/s."""
NEEDED = ("mbs", "tp", "pp", "seq", "gbs_seq", "n_gpus")
"""Columns without which a row has not its full settings."""
DROPOUT = ("KORT22F1", "KORT22", "MEG21T1", "MEG21T2", "MTNLG", "BLOOM")
"""Sources of GPTs with dropout, whose attention was not fused."""
