"""Measurements in other columns become rows of points, or say why they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from ridgeline import Scenario, step
from ridgeline.errors import InputError
from ridgeline.estimate import terms
from ridgeline.validate.points import predict
from ridgeline.validate.row import read_points

POOLS = (
    "id,model,chip,backend,weight_dtype,isl,osl,concurrency,prefill_num_workers,prefill_tp_size,decode_batch_size,"
    "decode_num_workers,decode_tp_size,decode_attention_dp_size,silicon_ttft_ms,silicon_tpot_ms,out_tok_s,mtp,layout_complete"
)
RUN = "r1,llama-3-70b,h100,vllm,fp8,1024,512,{c},1,4,16,2,4,1,250,20,,0,{complete}"


def written(path: Path, head: str, *lines: str) -> list[dict[str, str]]:
    path.write_text("\n".join([head, *lines]) + "\n")
    return read_points(path)


def test_a_row_for_each_number_of_a_deployment(tmp_path: Path) -> None:
    """Milliseconds become seconds; the two latencies share their id up to the colon."""
    first, token = written(tmp_path / "p.csv", POOLS, RUN.format(c=32, complete=1))
    assert [(row["id"], row["metric"], float(row["value"])) for row in (first, token)] == [
        ("r1:ttft", "ttft_s", 0.25),
        ("r1:tpot", "tpot_s", 0.02),
    ]
    found = predict([first, token])
    assert all(not each.refused and each.floor <= each.low <= each.estimate <= each.high for each in found), found


def test_concurrency_follows_from_the_batches(tmp_path: Path) -> None:
    """decode_batch_size x workers x ranks, where the client's number is blank."""
    assert written(tmp_path / "p.csv", POOLS, RUN.format(c="", complete=1))[0]["batch"] == "32"


def test_more_clients_than_the_prefill_pool_serves_wait(tmp_path: Path) -> None:
    """Ten times the clients of a full prefill pool wait about ten times as long; decode does not get slower."""
    lines = [RUN.format(c=c, complete=1).replace("r1", f"r{c}").replace("1024,512", "8192,16") for c in (64, 640)]
    rows = written(tmp_path / "p.csv", POOLS, *lines)
    ttft, tpot, more_ttft, more_tpot = (each.estimate for each in predict(rows))
    assert 8 < more_ttft / ttft < 12
    assert more_tpot == pytest.approx(tpot, rel=0.02)


def test_what_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    rows = written(tmp_path / "p.csv", POOLS, RUN.format(c=32, complete=0))
    assert all(each.refused.startswith("layout_complete=0") for each in predict(rows))
    rows = written(
        tmp_path / "a.csv", "exp_id,model,hardware,workload,stage_index,metric_name,actual", "1,m,H100,chat,0,ttft,3"
    )
    assert predict(rows)[0].refused.startswith("workload 'chat'")


def test_parts_of_steps(tmp_path: Path) -> None:
    """A large all-reduce takes its bytes over the link at least, a matrix its FLOPs; other kernels are refused."""
    head = "id,op,chip,chips,library,bytes_per_rank,latency_s"
    (row,) = written(tmp_path / "c.csv", head, "a,all_reduce,h100,8,NCCL,1e9,0.004")
    (found,) = predict([row])
    assert 1.75e9 / 450e9 * 0.5 <= found.floor <= found.estimate < 10 * found.floor
    head = "id,op,chip,library,dtype,m,n,k,latency_s,flop_per_s"
    rows = written(
        tmp_path / "k.csv", head, "g,gemm,h100,cuBLAS,bf16,4096,8192,8192,,7e14", "x,moe_layer,h100,,bf16,,,,1e-4,"
    )
    matrix, other = predict(rows)
    assert matrix.floor == pytest.approx(2 * 4096 * 8192 * 8192 / 989.5e12, rel=0.01)
    assert float(rows[0]["value"]) == pytest.approx(2 * 4096 * 8192 * 8192 / 7e14)
    assert other.refused.startswith("op 'moe_layer'")


def test_real_runs_wait_as_long_as_measured(shared: Path) -> None:
    """They come faster than they are served; a steady queue of the mean concurrency would wait for almost nothing."""
    rows = read_points(shared / "measured" / "vllm_runs")
    assert len(rows) == 12
    for row, found in zip(rows, predict(rows), strict=True):
        assert found.estimate == pytest.approx(float(row["value"]), rel=0.2), row["id"]


def test_notes_tell_the_arrivals(tmp_path: Path) -> None:
    """Requests that come at a rate the engine keeps up with wait less than those that all come at once."""
    head = "id,model,chip,engine,weight_dtype,mode,isl,osl,batch,metric,notes"
    row = "{},llama-3-8b,h100,TensorRT-LLM,bf16,online,467,256,100,ttft_s,offered {} req/s; 500 requests"
    rows = written(tmp_path / "p.csv", head, row.format("slow", 2), row.format("once", "INF"))
    assert [(each["rate"], each["requests"]) for each in rows] == [("2", "500"), ("1e9", "500")]
    slow, once = predict(rows)
    assert 5 * slow.estimate < once.estimate


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="runs such as"):
        read_points(tmp_path)


COLLECTIVE = "id,op,chip,chips,library,bytes_per_rank,latency_s,notes"


@pytest.mark.parametrize("op", ["all_gather", "reduce_scatter"])
def test_sizes_of_a_rank_are_a_part_of_the_whole(tmp_path: Path, op: str) -> None:
    """Read as the whole, four GB200 gathered 1 GiB at 154 GB/s per link, two of them 2 GiB at 248."""
    row = "{},{},GB200-NVL72,4,NCCL,{:.0f},0.005231,{}"
    lines = [row.format("part", op, 2**30, "axis is Per-GPU Data Size (MB)"), row.format("whole", op, 2**32, "")]
    part, whole = predict(written(tmp_path / "c.csv", COLLECTIVE, *lines))
    assert part.estimate == pytest.approx(whole.estimate)
    if op == "all_gather":
        assert part.estimate == pytest.approx(0.005231, rel=0.15)


@pytest.mark.parametrize(
    ("op", "size", "seconds"),
    [
        ("a2a_dispatch", 114_688, 18.9e-6),
        ("a2a_dispatch", 14_680_064, 31.7e-6),
        ("a2a_dispatch", 117_440_512, 166.3e-6),
        ("a2a_combine", 114_688, 31.0e-6),
        ("a2a_combine", 14_680_064, 38.1e-6),
        ("a2a_combine", 117_440_512, 175.6e-6),
    ],
)
def test_one_sided_exchange(tmp_path: Path, op: str, size: int, seconds: float) -> None:
    """TensorRT-LLM's figures of eight GB200 (its blog on one-sided all-to-all); no constant was fitted to them.

    Tables of the older exchange, read as random routing, made large ones 1.5 times as long.
    """
    line = f"x,{op},GB200-NVL72,8,TensorRT-LLM NVLinkOneSided,{size},{seconds},"
    (found,) = predict(written(tmp_path / "c.csv", COLLECTIVE, line))
    assert found.floor < seconds
    assert found.estimate == pytest.approx(seconds, rel=0.15 if size > 1e8 else 0.4)


def test_only_a_rack_has_one_sided_exchanges() -> None:
    """TensorRT-LLM's kernels write into memory that the rack shares; in a node of eight it calls NCCL as others do."""

    def sent(system: str, engine: str) -> float:
        found = step(Scenario(model="qwen3-235b-a22b", system=system, chips=8, dp=8, ep=8, batch=1024, context=2048))
        return float(terms(found.step, found.subject.model, found.subject.system, found.scenario.layout, engine).sent)

    assert sent("gb200-nvl72", "trtllm") != sent("gb200-nvl72", "vllm")
    assert sent("hgx-b200", "trtllm") == sent("hgx-b200", "vllm")
