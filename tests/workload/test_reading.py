"""Traces of every format are read to the last row, and what is wrong is named with its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.workload import Trace, Workload, arrivals, read
from ridgeline.workload import rows as pieces

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-17 00:00:00,879,55
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00.017335+00:00,2399,6
"""
BURST = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5,a-1,3.2,ChatGPT,472,18,490,Conversation log
45,,2,GPT-4,1087,230,1317,API log
118,a-1,3,GPT-4,417,0,417,Conversation log
130,b,3,GPT-4,20,30,50,Conversation log
"""
MOONCAKE = [
    {"timestamp": 0, "input_length": 1000, "output_length": 500, "hash_ids": [0, 1]},
    {"timestamp": 3000, "input_length": 512, "output_length": 3, "hash_ids": [0]},
]
LINES = "".join(json.dumps(row) + "\n" for row in MOONCAKE)
VIDUR = "arrived_at,num_prefill_tokens,num_decode_tokens,pd_ratio\n0.5,10,20,0.5\n0.75,30,40,0.75\n"
SERVING = "arrival_time_s,input_toks,output_toks\n0.046926808,2358,531\n"


def write(folder: Path, text: str, name: str = "trace.csv") -> str:
    path = folder / name
    path.write_bytes(text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("text", "form", "arrival", "prompt", "output"),
    [
        (AZURE, "azure", [0, 4.314579, 20653.31941], [374, 396, 879], [44, 109, 55]),
        (AZURE_2024, "azure", [0, 0.007405], [2162, 2399], [5, 6]),
        (BURST, "burstgpt", [5, 45, 130], [472, 1087, 20], [18, 230, 30]),
        (LINES, "mooncake", [0, 3], [1000, 512], [500, 3]),
        (VIDUR, "vidur", [0.5, 0.75], [10, 30], [20, 40]),
        (SERVING, "llmservingsim", [0.046926808], [2358], [531]),
        ("arrival,prompt,output\n1,2,3\n", "plain", [1], [2], [3]),
        ("Output_Tokens;x,ISL , Arrival ms\n3,2,1\n".replace(";x", ""), "plain", [0.001], [2], [3]),
        ("time,prompt,output\n1700000000.5,2,3\n1700000002,2,3\n", "plain", [0, 1.5], [2, 2], [3, 3]),
        ("time,prompt,output\r\n1,2,3\r\n\r\n", "plain", [1], [2], [3]),
        ('arrival,"prompt",output,note\n1,"2",3,"a, b"\n', "plain", [1], [2], [3]),
        ("\ufeffarrival,prompt,output\n1,2,3", "plain", [1], [2], [3]),
    ],
)
def test_a_format_is_told_by_its_columns(
    tmp_path: Path, text: str, form: str, arrival: list[float], prompt: list[int], output: list[int]
) -> None:
    found = read(Trace(path=write(tmp_path, text)))
    assert found.columns.format.name == form
    assert found.requests.arrival.tolist() == pytest.approx(arrival, abs=1e-9)
    assert found.requests.prompt.tolist() == prompt
    assert found.requests.output.tolist() == output
    assert read(Trace(path=write(tmp_path, text), format=form)).requests.prompt.tolist() == prompt


def test_what_is_left_out_or_not_used_is_said(tmp_path: Path) -> None:
    found = read(Trace(path=write(tmp_path, BURST)))
    assert found.skipped == {"failed requests, which have no answer": 1}
    assert found.notes() == [
        "format burstgpt (https://github.com/HPMLL/BurstGPT, CC-BY-4.0): 4 rows read, 3 requests played",
        "skipped: 1 x failed requests, which have no answer",
        "columns without use: Elapsed time, Model, Total tokens, Log Type",
    ]


def test_sessions_are_kept_apart(tmp_path: Path) -> None:
    """A request without a session is one of its own: a sticky router must not send all of them to one place."""
    found = read(Trace(path=write(tmp_path, BURST.replace("417,0,", "417,9,"))))
    assert found.requests.session is not None
    first, none, again, other = found.requests.session.tolist()
    assert first == again
    assert len({first, none, other}) == 3


def test_hash_ids_of_64_bits_without_a_sign(tmp_path: Path) -> None:
    """As a 64-bit hash is; wider ones are told apart by their lowest 64 bits."""
    for names, known in (
        ([[2**63, 2**64 - 1], [2**63]], [-(2**63), -1, -(2**63)]),
        ([[2**100 + 7, -3], [7]], [7, -3, 7]),
    ):
        text = "".join(json.dumps(row | {"hash_ids": ids}) + "\n" for row, ids in zip(MOONCAKE, names, strict=True))
        found = read(Trace(path=write(tmp_path, text, "t.jsonl"))).requests.hash_ids
        assert found is not None
        assert found.tolist() == known


def test_hash_ids_stand_for_blocks(tmp_path: Path) -> None:
    found = read(Trace(path=write(tmp_path, LINES, "t.jsonl"))).requests
    assert found.hash_block == 512
    assert found.hash_ids is not None
    assert found.hash_ids.tolist() == [0, 1, 0]
    half = read(Trace(path=write(tmp_path, LINES, "t.jsonl"), prompt_scale=0.5)).requests
    assert (half.hash_block, half.prompt.tolist()) == (256, [500, 256])
    with pytest.raises(InputError, match=r"hash ids of 0.512 tokens: a whole number"):
        read(Trace(path=write(tmp_path, LINES, "t.jsonl"), prompt_scale=0.001))
    with pytest.raises(InputError, match="request 0: hash ids: 2: no more than it has tokens"):
        read(Trace(path=write(tmp_path, LINES, "t.jsonl"), hash_block=2000))


def test_a_delay_makes_a_follow_up(tmp_path: Path) -> None:
    """AIPerf's and Dynamo's additions to Mooncake's lines."""
    lines = [
        {"timestamp": 0, "input_length": 10, "output_length": 5, "session_id": "a"},
        {"timestamp": 100, "input_length": 20, "output_length": 5, "session_id": "b"},
        {"delay": 1500, "input_length": 30, "output_length": 5, "session_id": "a"},
    ]
    text = "\n".join(map(json.dumps, lines))
    found = read(Trace(path=write(tmp_path, text), speed=2.0)).requests
    assert found.after is not None
    assert found.think is not None
    assert found.after.tolist() == [-1, -1, 0]
    assert found.think.tolist() == [0, 0, 0.75]
    assert found.arrival.tolist() == [0, 0.05, 0.05]
    with pytest.raises(InputError, match="a delay: an earlier request of the same session"):
        read(Trace(path=write(tmp_path, text.replace('"a"', '"c"', 1))))


def test_time_and_lengths_are_scaled(tmp_path: Path) -> None:
    path = write(tmp_path, "arrival,prompt,output\n0,10,1\n1,11,2\n4,12,3\n")
    played = read(Trace(path=path, rate=4.0, prompt_scale=1.5, output_scale=0.1)).requests
    assert played.arrival.tolist() == [0, 0.125, 0.5]
    assert played.prompt.tolist() == [15, 17, 18]
    assert played.output.tolist() == [1, 1, 1]
    assert read(Trace(path=path, speed=2.0)).requests.arrival.tolist() == [0, 0.5, 2]
    assert read(Trace(path=path, begin=1.0, length=3.0)).requests.arrival.tolist() == [0]
    assert read(Trace(path=path, begin=1.0, length=3.0)).skipped == {"rows outside the time asked for": 2}
    assert read(Trace(path=path, requests=2)).requests.prompt.tolist() == [10, 11]
    assert read(Trace(path=path, concurrency=2)).requests.concurrency == 2


def test_lengths_without_times_are_played_by_a_process(tmp_path: Path) -> None:
    """Vidur's processed traces have no times; times out of order do not matter to who does not use them."""
    path = write(tmp_path, "num_prefill_tokens,num_decode_tokens\n10,20\n30,40\n")
    with pytest.raises(InputError, match="no times: a column of times; --arrivals poisson"):
        read(Trace(path=path))
    drawn = read(Trace(path=path, arrivals=arrivals("poisson"), rate=5.0), seed=3).requests
    assert drawn.prompt.tolist() == [10, 30]
    assert (np.diff(drawn.arrival) > 0).all()
    unsorted = write(tmp_path, "arrival,prompt,output\n5,1,1\n2,1,1\n")
    assert len(read(Trace(path=unsorted, concurrency=4)).requests) == 2


def test_lengths_of_a_trace_are_a_distribution(tmp_path: Path) -> None:
    path = write(tmp_path, AZURE)
    drawn = Workload.read(requests=50, isl=f"empirical:{path}", osl=f"empirical:{path}").draw(0)
    pairs = {*zip(drawn.prompt.tolist(), drawn.output.tolist(), strict=True)}
    assert pairs == {(374, 44), (396, 109), (879, 55)}


HEAD = "arrival,prompt,output\n1,2,3\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "requests, not an empty file"),
        ("\n\n", "requests, not an empty file"),
        ("arrival,prompt,output\n", "at least one request"),
        (HEAD + "0.5,2,3\n", "line 3: time 0.5 s: not before the row above, 1 s; sort the file by time"),
        ("arrival,prompt,output\n-1,2,3\n", "line 2: time -1 s: not negative"),
        (HEAD + ",2,3\n", "line 3: time '': a time in seconds, or date and time"),
        (HEAD + "nan,2,3\n", "line 3: time 'nan'"),
        (HEAD + "2,nan,3\n4,5,6\n", "line 3: prompt 'nan': a number"),
        (HEAD + "2,x,3\n4,5,6\n", "line 3: prompt 'x': a number"),
        (HEAD + "2,0,3\n", "line 3: 0 tokens in, 3 out: 1 of each at least; --skip-empty leaves such out"),
        (HEAD + "2,-5,3\n", "line 3: prompt -5: a whole number"),
        (HEAD + "2,1.5,3\n", "line 3: prompt 1.5: a whole number"),
        (HEAD + "2,1e12,3\n", "line 3: prompt 1e+12: a whole number up to 1,000,000,000"),
        (HEAD + "\n\n2,1\n3,1,1\n", "line 5: '2,1': 3 fields as in the header, not 2"),
        (HEAD + "2,1,2,3\n", "line 3: '2,1,2,3': 3 fields as in the header, not 4"),
        ("arrival,prompt,answer\n1,2,3\n", "arrival, prompt, answer: a column for the output tokens; such as 'output'"),
        ("arrival,prompt,isl,output\n1,2,3,4\n", "prompt, isl: one column for the prompt"),
        ("1,2,3\n4,5,6\n", "line 1: '1,2,3': names of columns; such as arrival,prompt,output"),
        (
            AZURE.replace("2023-11-17 00", "2023-11-16 00"),
            "line 4: time -65746.6806 s: not before the row above, 4.314579 s",
        ),
        (AZURE.replace("2023-11-17 00", "23-11-17 00"), "line 4: time '23-11-17 00:00:00': a time in seconds, or date"),
        (LINES.replace("512", '"many"', 1), 'line 2: \'{"timestamp": 3000'),
        (LINES.replace("}\n{", "}{", 1), "line 1"),
        ('{"a": 1}\n', "trace.csv: a: a column for the prompt tokens"),
        ("arrival;prompt;output\n1;2;3\n", "fields separated by commas, not by ';'"),
        ('[{"timestamp": 0}]\n', "line 1: '[{\"timestamp\": 0}]': JSON lines: one object on each line"),
        (LINES.replace('"timestamp": 3000, ', ""), "line 2: no time: a time, or a delay after its session"),
        ("PK\x03\x04\0\0,\0\n", "text, CSV or JSON lines; unpack it first, or name it .gz"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(Trace(path=write(tmp_path, text)))
    assert message in str(error.value)


def test_a_wrong_name_of_a_format_or_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean mooncake"):
        read(Trace(path=write(tmp_path, HEAD), format="moonkake"))
    with pytest.raises(InputError, match="CSV of the format azure, with TIMESTAMP"):
        read(Trace(path=write(tmp_path, HEAD), format="azure"))
    with pytest.raises(InputError, match="No such file"):
        read(Trace(path=str(tmp_path / "none.csv")))
    with pytest.raises(InputError, match="cannot be read"):
        read(Trace(path=str(tmp_path)))
    with pytest.raises(InputError, match="speed 0: above 0"):
        Trace(path="x", speed=0)


@pytest.mark.parametrize("tail", ["2,", "2,3", "2", "2,3,", "2,3,x"])
def test_a_last_line_that_is_cut_off_is_counted(tmp_path: Path, tail: str) -> None:
    """A download that broke off; a last line that only lacks its end is whole."""
    found = read(Trace(path=write(tmp_path, HEAD + tail)))
    assert found.skipped == {"a last line that is cut off": 1}
    assert found.requests.prompt.tolist() == [2]
    assert found.read == 2
    assert read(Trace(path=write(tmp_path, HEAD + "2,3,4"))).requests.prompt.tolist() == [2, 3]
    assert read(Trace(path=write(tmp_path, LINES + '{"timestamp": 4, "inp'))).skipped == {
        "a last line that is cut off": 1
    }


def test_empty_requests_are_left_out_if_asked(tmp_path: Path) -> None:
    found = read(Trace(path=write(tmp_path, HEAD + "2,0,3\n3,3,3\n"), skip_empty=True))
    assert found.skipped == {"requests with no prompt or no answer": 1}
    assert found.requests.prompt.tolist() == [2, 3]


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(HEAD.encode()))
    assert len(read(Trace(path=str(path))).requests) == 1
    path.write_bytes(gzip.compress(HEAD.encode() * 9)[:-10])
    with pytest.raises(InputError, match="cannot be read"):
        read(Trace(path=str(path)))


ROW = st.tuples(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 10**4))


@given(table=st.lists(ROW, min_size=1, max_size=40), size=st.integers(1, 64), lines=st.booleans(), ended=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_of_any_size_give_the_same_rows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: list[tuple[int, int, int]],
    size: int,
    lines: bool,
    ended: bool,
) -> None:
    """Streaming: where a piece happens to end must not matter."""
    monkeypatch.setattr(pieces, "PIECE", size)
    table.sort()
    if lines:
        text = "\n".join(
            json.dumps({"timestamp": t * 1000, "input_length": p, "output_length": o}) for t, p, o in table
        )
    else:
        text = "\n".join(["arrival,prompt,output", *(f"{t},{p},{o}" for t, p, o in table)])
    found = read(Trace(path=write(tmp_path, text + "\n" * ended)))
    assert [*zip(found.requests.arrival, found.requests.prompt, found.requests.output, strict=True)] == table


@pytest.mark.parametrize(
    ("name", "count", "span", "prompt", "output"),
    [("azure2023_conv.csv", 19366, 3501.7, 1155, 211), ("mooncake_conversation_trace.jsonl", 12031, 3537, 12035, 343)],
)
def test_public_traces_have_their_published_statistics(
    shared: Path, name: str, count: int, span: float, prompt: float, output: float
) -> None:
    """Splitwise, ISCA 2024, and Mooncake, FAST 2025."""
    path = shared / "traces" / name
    if not path.exists():
        pytest.skip(f"no {name}")
    found = read(Trace(path=str(path)))
    assert (len(found.requests), found.skipped) == (count, {})
    assert found.requests.arrival[-1] - found.requests.arrival[0] == pytest.approx(span, abs=0.1)
    assert found.requests.prompt.mean() == pytest.approx(prompt, abs=0.5)
    assert found.requests.output.mean() == pytest.approx(output, abs=0.5)
