"""The API: the same answers as the command line, refusals that help, and nothing that breaks or reads a file."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ridgeline import Scenario, step
from ridgeline.cli.app import main
from ridgeline.web.app import BODY, HEADERS, app
from ridgeline.web.openapi import document
from ridgeline.web.question import QUESTIONS
from ridgeline.web.worker import Workers

POINT = "model=llama-3-70b&system=hgx-h100&tp=8&batch=64&context=8k"
LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "torch_dtype": "bfloat16",
    "tie_word_embeddings": False, "max_position_embeddings": 8192,
}  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(app(), raise_server_exceptions=False) as found:
        yield found


def test_a_point_is_that_of_the_command_line(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    """One function answers both; no digit differs."""
    answer = client.get(f"/api/step?{POINT}").json()
    assert main(["step", "llama-3-70b", "hgx-h100", "--tp", "8", "--batch", "64", "--context", "8k", "--json"]) == 0
    assert answer == json.loads(capsys.readouterr().out)


def test_the_board_draws_the_point_that_was_asked(client: TestClient) -> None:
    """Curves pass through the point; roofline's dots lie on their roofs."""
    board = client.get(f"/api/board?{POINT}").json()
    found = step(Scenario(model="llama-3-70b", system="hgx-h100", tp=8, batch=64, context="8k"))
    assert board["estimate_s"] == pytest.approx(float(found.estimate.seconds))
    x, y = board["curve"]["batch"], board["curve"]["lines"]["floor"]
    left = max(i for i, batch in enumerate(x) if batch <= 64)
    assert y[left] <= board["floor_s"] <= y[left + 1]
    for dot in board["roofline"]["dots"]:
        roof = min(board["roofline"]["peaks"][dot["format"]], board["roofline"]["bandwidth"] * dot["intensity"])
        assert dot["rate"] <= roof * 1.0001
    assert sum(dot["share"] for dot in board["roofline"]["dots"]) == pytest.approx(1.0)


def test_a_slow_question_is_answered_by_a_worker(client: TestClient) -> None:
    """And what it refuses comes back as a refusal."""
    found = client.get("/api/simulate?model=llama-3-8b&system=hgx-h100&chips=1&rate=20&requests=200")
    assert (found.status_code, found.json()["completed"]) == (200, 200)
    refused = client.get("/api/simulate?model=llama-3-8b&system=hgx-h100&chips=1&arrivals=never")
    assert (refused.status_code, "never" in refused.text) == (422, True)


def test_a_config_of_ones_own(client: TestClient) -> None:
    """As the body of a question or in its query; read by the same strict rules."""
    point = {"system": "hgx-h100", "chips": 1, "batch": 8, "context": "4k"}
    own = client.post("/api/step", json={"model": LLAMA, **point})
    known = client.get("/api/step", params={"model": "llama-3-8b", **point})
    assert own.status_code == known.status_code == 200, own.text
    assert own.json()["floor_s"] == pytest.approx(known.json()["floor_s"])
    again = client.get("/api/step", params={"model": json.dumps(LLAMA), **point}).json()
    assert again | {"line": ""} == own.json() | {"line": ""}
    strange = client.post("/api/step", json={"model": LLAMA | {"num_secret_experts": 8}, **point})
    assert strange.status_code == 422
    assert "num_secret_experts" in strange.text


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("/api/step?model=llama-3-70b&system=hgx-h100&tp=7", 422, "try 4 or 8"),
        ("/api/step?model=/etc/passwd&system=hgx-h100", 422, "unknown model"),
        ("/api/step?model=../../secret.toml&system=hgx-h100", 422, "unknown model"),
        ("/api/step?model=llama-3-70b&system=/tmp/x.toml", 422, "a name of the catalogue"),
        ("/api/step?model=llama-3-70b&system=hgx-h100&catalog=/tmp", 422, "unknown option"),
        ("/api/plan?model=llama-3-70b&system=hgx-h100&plot=/tmp/x.svg", 422, "unknown option"),
        ("/api/simulate?model=llama-3-8b&system=hgx-h100&trace=/etc/passwd", 422, "unknown option"),
        ("/api/simulate?model=llama-3-8b&system=hgx-h100&requests=1G", 422, "at most 200,000"),
        ("/api/menu?model=llama-3-8b&system=hgx-h100&beside=/etc/x.toml", 422, "price sheets"),
        ("/api/train?model=llama-3-8b&system=hgx-h100&storage=x", 422, "unknown option"),
        ("/api/validate?points=/etc/passwd", 404, "unknown question"),
        ("/api/step?model=llama-3-70b&system=hgx-h100&batch=" + "9" * 500, 422, "at most 400"),
        ("/api/step?model=deepseek-v3&system=gb200-nvl72&dp=72&set=experts.width%3D1e12", 422, "expert width"),
        ("/api/step?model=deepseek-v3&system=gb200-nvl72&ep=64&dp=64&redundant=99999999999", 422, "at most the 256"),
        ("/api/infer?sheet=/etc/x.toml", 422, "unknown price sheet"),
        ("/api/infer?sheet=claude-opus-5&draws=1M", 422, "at most 262,144"),
        ("/api/lifetime?model=llama-3-8b&system=hgx-h100&catalog=/tmp", 422, "unknown option"),
        ("/api/step?model=llama-3-70b&system=hgx-h100&batch=nan", 422, "batch"),
        ("/api/step?model=llama-3-70b&system=hgx-h100&batch=1e400", 422, "batch"),
        ("/api/step?system=hgx-h100&model=%7B%22model_type%22%3A", 422, "JSON"),
        ("/api/step?system=hgx-h100", 422, "model is needed"),
        ("/api/pipeline?schedule=--plot%3D/tmp/never.svg&stages=2", 422, "schedule"),
        ("/api/step?model=%00", 422, ""),
        ("/api/step?" + "a=b&" * 5000, 413, "at most"),
    ],
)
def test_what_may_not_be_asked(client: TestClient, query: str, status: int, says: str) -> None:
    """Files, sizes and nonsense: a message with the reason, never a traceback."""
    answer = client.get(query)
    assert answer.status_code == status, answer.text
    assert says in answer.text
    assert set(answer.json()["error"]) == {"given", "expected", "fix"}
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 422), (b'{"model":' * 20_000, 422), (b"x" * (BODY + 1), 413), (b"\xff\xfe", 422), (b"[]", 422),
        (b'{"model": {"model_type": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}}}', 422),
        (b'{"model": null}', 422), (b'{"set": [["x"]]}', 422), (b'{"model": [], "system": []}', 422), (b"", 422),
        (b'{"model": {"model_type": "llama", "hidden_size": 1e308}, "system": "hgx-h100"}', 422),
        (b'{"model": {"model_type": "llama", "num_hidden_layers": 1000000000}, "system": "hgx-h100"}', 422),
    ],
)  # fmt: skip
def test_hostile_bodies(client: TestClient, body: bytes, status: int) -> None:
    """Deep, large or broken JSON is refused before anything is built of it."""
    assert client.post("/api/step", content=body).status_code == status


def test_headers(client: TestClient) -> None:
    """On pages, files and answers alike; scripts only from here, and none written into a page."""
    for path in ("/", "/static/main.js", "/api/catalog", "/api/nope", "/static/../app.py", "/static/%2e%2e/app.py"):
        answer = client.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
        assert "import annotations" not in answer.text
    page = client.get("/").text
    assert "<script>" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_document_names_what_is_read(client: TestClient) -> None:
    """Every question is in it with its options, and no option names a file."""
    paths = client.get("/api/openapi.json").json()["paths"]
    assert {f"/api/{name}" for name in QUESTIONS} < set(paths)
    named = {(path, p["name"]) for path, found in paths.items() for p in found["get"]["parameters"]}
    named.discard(("/api/infer", "output"))  # a price
    files = {"catalog", "trace", "plot", "timeline", "output", "storage", "priors"}
    assert files.isdisjoint(name for _, name in named)


def _operations(slow: bool) -> list[tuple[str, list[str]]]:
    asked = [f"/api/{name}" for name, known in QUESTIONS.items() if known.slow == slow and name != "lecture"]
    named = {path: [p["name"] for p in found["get"]["parameters"]] for path, found in document()["paths"].items()}
    return [(path, named[path]) for path in (asked if slow else [*asked, "/api/board"])]


_HONEST = {
    "model": ["llama-3-8b", "deepseek-v3"],
    "system": ["hgx-h100", "gb200-nvl72"],
    "phase": ["decode", "prefill"],
}
_VALUES = st.one_of(
    st.integers(-3, 10**7).map(str),
    st.floats(allow_nan=True).map(str),
    st.sampled_from(["", "0", "1:8", "1,2", "fp8", "nvfp4", "any", "8k", "25ms", "$2/h", "-1", "1e308",
                     "chip.hbm_bandwidth=2x",
                     "experts.count=2x", "domain.size=0", "chip.hbm_bandwidth=0", "{}", "vllm", "on", "1e-300", "99%"]),
    st.text(max_size=20),
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_plausible_values(client: TestClient, data: st.DataObject) -> None:
    """Options with values that reach the laws, which schemathesis seldom draws: an answer or a refusal, no failure."""
    path, names = data.draw(st.sampled_from(OPERATIONS))
    chosen = data.draw(st.lists(st.sampled_from(names), max_size=4, unique=True))
    params: dict[str, Any] = {
        name: data.draw(st.sampled_from(values)) for name, values in _HONEST.items() if name in names
    }
    params |= {name: data.draw(_VALUES) for name in chosen}
    answer = client.get(path, params=params)
    assert answer.status_code in (200, 422), (params, answer.text)
    answer.json()


OPERATIONS, SLOW = _operations(False), _operations(True)
_SMALL = {"model": "llama-3-8b", "system": "hgx-h100", "chips": "2", "requests": "20", "rate": "5", "stages": "4",
          "micro_batches": "8", "draws": "16384", "top": "2", "rl_chips": "8", "rl_sequences": "64"}  # fmt: skip
"""Of what costs time, little."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_plausible_values_of_what_is_slow(client: TestClient, data: st.DataObject) -> None:
    """The same of questions that a worker answers."""
    path, names = data.draw(st.sampled_from(SLOW))
    params: dict[str, Any] = {name: value for name, value in _SMALL.items() if name in names}
    others = [name for name in names if name not in _SMALL]
    params |= {
        name: data.draw(_VALUES) for name in data.draw(st.lists(st.sampled_from(others), max_size=3, unique=True))
    }
    answer = client.get(path, params=params)
    assert answer.status_code in (200, 422), (path, params, answer.text)


def test_a_worker_that_died_is_replaced() -> None:
    """Killed between two questions, as the system does when memory is short: the next question does not notice."""

    async def asked() -> list[bytes]:
        workers = Workers(count=1)
        question = ("pipeline", {"stages": ["2"], "micro_batches": ["2"]})
        try:
            first = await workers.answer(*question)
            os.kill(workers.processes[0], signal.SIGKILL)
            return [first, await workers.answer(*question)]
        finally:
            await workers.close()

    first, second = asyncio.run(asked())
    assert first == second


def test_a_question_that_nobody_waits_for_ends() -> None:
    """Cancelled while it waits and while it is answered: its worker is ended, and the place is free again."""

    async def asked() -> bytes:
        workers = Workers(count=1)
        long = ("simulate", {"model": ["llama-3-8b"], "system": ["hgx-h100"], "chips": ["1"], "requests": ["200000"]})
        try:
            tasks = [asyncio.create_task(workers.answer(*long)) for _ in range(3)]
            await asyncio.sleep(0.3)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=5)
            assert all(task.cancelled() for task in tasks)
            return await workers.answer("pipeline", {"stages": ["2"], "micro_batches": ["2"]})
        finally:
            await workers.close()

    assert json.loads(asyncio.run(asked()))["command"] == "pipeline"


def test_an_answer_is_watched_as_it_comes(client: TestClient) -> None:
    """Events: shares that grow, each with the document so far; last the answer, of which watching changes no digit."""
    question = "/api/infer?sheet=claude-opus-4.5&draws=262144"
    events = client.get(question, headers={"accept": "text/event-stream"}).text.strip().split("\n\n")
    kinds, documents = zip(*(each.removeprefix("event: ").split("\ndata: ") for each in events), strict=True)
    assert kinds == ("progress", "progress", "answer")
    assert [json.loads(each)["share"] for each in documents[:2]] == [1 / 16, 1 / 4]
    answer = json.loads(documents[-1])
    assert json.loads(documents[0])["sofar"].keys() == answer.keys()
    assert answer == client.get(question).json()
    refused = client.get("/api/infer?sheet=claude-opus-4.5&draws=10", headers={"accept": "text/event-stream"}).text
    assert refused.startswith("event: error\ndata: {")


def test_a_watched_question_ends_when_who_asked_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first event the connection goes: the worker is ended at once, not after its ten seconds.

    In plain Python: whether compiled code lies on the disk is another's matter, and compiling tells no progress.
    """
    monkeypatch.setenv("RIDGELINE_PYTHON", "1")

    async def left() -> list[int]:
        served, gone = app(), asyncio.Event()
        async with served.app.router.lifespan_context(served.app):
            workers: Workers = served.app.state.workers
            first = iter([{"type": "http.request", "body": b""}])

            async def receive() -> Any:
                for message in first:
                    return message
                await gone.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                if message.get("body"):
                    assert message["body"].startswith(b"event: progress")
                    assert workers.processes
                    gone.set()

            scope = {
                "type": "http", "method": "GET", "path": "/api/simulate",
                "headers": [(b"accept", b"text/event-stream")],
                "query_string": b"model=llama-3-8b&system=hgx-h100&chips=1&rate=90&requests=200000",
            }  # fmt: skip
            async with asyncio.timeout(20):
                await served(scope, receive, send)
                while workers.processes:
                    await asyncio.sleep(0.05)
            return workers.processes

    assert asyncio.run(left()) == []


def test_a_question_waits_for_what_the_start_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that read the catalogue for the first time once ended the server (msgspec does not bear it)."""
    order: list[str] = []

    def slow() -> None:
        time.sleep(0.3)
        order.append("started")

    monkeypatch.setattr("ridgeline.web.app._warm", slow)
    with TestClient(app()) as early:
        assert early.get(f"/api/step?{POINT}").status_code == 200
        order.append("answered")
    assert order == ["started", "answered"]


def test_nothing_is_written(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server in an empty folder leaves it empty."""
    monkeypatch.chdir(tmp_path)
    client.get(f"/api/explain?{POINT}&numbers=tpot_estimate_s")
    client.post("/api/step", json={"model": LLAMA, "system": "hgx-h100", "chips": 1})
    assert not list(tmp_path.iterdir())


def test_answers_leave_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asyncio turns Nagle's algorithm off only for sockets whose protocol is named: without, each answer took 40 ms."""
    import socket

    import uvicorn

    from ridgeline.web.server import serve

    heard: list[socket.socket] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda _, sockets: heard.extend(sockets))
    serve("127.0.0.1", 0, browser=False)
    with heard[0]:
        assert heard[0].proto == socket.IPPROTO_TCP
