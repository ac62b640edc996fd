"""The server: questions under /api/, the pages, and what keeps both safe.

    GET or POST /api/COMMAND       what `ridgeline COMMAND --json` prints; options in the query, or JSON as body
    GET         /api/board         the blackboard's pictures
    GET         /api/names         what the lists of models, systems and price sheets offer
    GET         /api/scoreboard    how accurate it is, as `make scoreboard` last found it
    GET         /api/openapi.json

A question that accepts `text/event-stream` is answered by events: `progress` with the share that is behind and the
document so far, of commands that tell it, then `answer` or `error`.

Stateless. Quick questions are answered at once, slow ones by `worker.py`, ended when time is up or who asked has gone.
A refusal is 422 with what was given, what was expected and the likely fix; 413 and 503 say which limit was met.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from cyclopts import CycloptsError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from ridgeline.catalog import BUILT_IN
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.web.worker import BusyError, MistakeError, OvertimeError, RefusedError, Workers, plain

STATIC = Path(__file__).parent / "static"
SCOREBOARD = Path(str(BUILT_IN.folders[0])) / "scoreboard.json"
BODY = 256 * 1024
"""Bytes of a body."""
DEPTH = 8
"""Nested levels of a body."""
QUERY = 16 * 1024
"""Bytes of a query."""
_LOOK = 0.25
"""Seconds between looks whether who asked is still there."""
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Safe:
    """Adds the headers above to every answer."""

    def __init__(self, app: Starlette) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        await self.app(scope, receive, sent)


class TooLargeError(ValueError):
    """A body or query that is over its limit."""


async def ask(request: Request) -> Response:
    """One question."""
    await _warmed(request)
    from ridgeline.web.board import board
    from ridgeline.web.question import QUESTIONS, answer, checked

    command = request.path_params["command"]
    try:
        texts = await _texts(request)
        if command == "board":
            return _json(board({name: values[-1] for name, values in checked("step", texts).items()}))
        known = QUESTIONS.get(command)
        if known is None:
            return _refused(404, UnknownNameError("question", command[:60], [*QUESTIONS, "board", "scoreboard"]))
        if not known.slow:
            return _json(answer(command, texts))
        asked = checked(command, texts)
        return await _waited(request, command, asked)
    except TooLargeError as error:
        return _refused(413, InputError(str(error), f"at most {BODY:,} bytes, of the query {QUERY:,}"))
    except InputError as error:
        return _refused(422, error)
    except CycloptsError as error:
        error.verbose = False
        return _refused(422, InputError(" ".join(str(error).split()), "another value"))


async def _waited(request: Request, command: str, texts: dict[str, list[str]]) -> Response:
    """The answer of a worker, unless who asked leaves first."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return StreamingResponse(_events(request, command, texts), media_type="text/event-stream")
    found = Response(status_code=499)
    async for last in _followed(request, command, texts):
        assert isinstance(last, Response)
        found = last
    return found


async def _events(request: Request, command: str, texts: dict[str, list[str]]) -> AsyncIterator[bytes]:
    """The same as events, of JSON in one line each."""
    async for told in _followed(request, command, texts, watched=True):
        if not isinstance(told, Response):
            yield b"event: progress\ndata: " + told + b"\n\n"
        else:
            kind = b"answer" if told.status_code == 200 else b"error"
            yield b"event: " + kind + b"\ndata: " + bytes(told.body) + b"\n\n"


async def _followed(
    request: Request, command: str, texts: dict[str, list[str]], *, watched: bool = False
) -> AsyncIterator[bytes | Response]:
    """Lines of progress as they come, and the answer; its worker is ended once who asked has gone."""
    workers: Workers = request.app.state.workers
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    task = asyncio.create_task(workers.answer(command, texts, lines.put_nowait if watched else None))
    task.add_done_callback(lambda _: lines.put_nowait(None))
    try:
        while True:
            try:
                line = await asyncio.wait_for(lines.get(), _LOOK)
            except TimeoutError:
                if await request.is_disconnected():
                    return
                continue
            if line is None:
                yield _answered(task, command, workers.seconds)
                return
            yield line
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


def _answered(task: asyncio.Task[bytes], command: str, seconds: float) -> Response:
    """What a worker said, as a response."""
    try:
        return Response(task.result(), media_type="application/json")
    except RefusedError as error:
        return Response(msgspec.json.encode({"error": error.parts}), 422, media_type="application/json")
    except MistakeError as error:
        return _mistake(str(error))
    except BusyError:
        return _refused(503, InputError(command, "fewer questions at a time", "try again in a few seconds"))
    except OvertimeError:
        text = f"an answer within {seconds:g} s"
        return _refused(503, InputError(command, text, "ask for less, or use the command line, which has no limit"))


async def _texts(request: Request) -> dict[str, list[str]]:
    """Names and texts of a query, or of a body with a JSON object of texts, numbers and lists of them."""
    if len(request.url.query) > QUERY:
        raise TooLargeError(f"a query of {len(request.url.query):,} bytes")
    out: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        out.setdefault(name, []).append(value)
    if request.method != "POST":
        return out
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY:
            raise TooLargeError(f"a body of more than {BODY:,} bytes")
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError("the body", f"a JSON object ({error})") from None
    if not isinstance(found, dict):
        raise InputError("the body", "a JSON object of options by name")
    for name, value in found.items():
        out[name] = [_text(name, item) for item in (value if isinstance(value, list) else [value])]
    return {name: values for name, values in out.items() if values}


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, dict) and name == "model" and _depth(value) <= DEPTH:  # a config.json
        return msgspec.json.encode(value).decode()
    raise InputError(f"{name[:60]} in the body", "text or a number, or a list of them")


def _depth(value: Any) -> int:
    """Nested levels of a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value, enc_hook=plain), media_type="application/json")


def _refused(status: int, error: InputError) -> Response:
    body = {"error": {"given": error.given, "expected": error.expected, "fix": error.fix}}
    return Response(msgspec.json.encode(body), status, media_type="application/json")


async def _openapi(request: Request) -> Response:
    await _warmed(request)
    from ridgeline.web.openapi import document

    return _json(document())


async def _names(request: Request) -> Response:
    await _warmed(request)
    from ridgeline.web.question import names

    return _json(names())


async def _scoreboard(request: Request) -> Response:
    return FileResponse(SCOREBOARD, media_type="application/json")


async def _start(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


@contextlib.asynccontextmanager
async def _life(app: Starlette) -> AsyncIterator[None]:
    app.state.workers = Workers()
    app.state.warm = asyncio.create_task(asyncio.to_thread(_warm))
    yield
    await app.state.warm
    await app.state.workers.close()


async def _warmed(request: Request) -> None:
    """Wait for `_warm`: what it reads for the first time, two threads may not (msgspec ends the process if they do)."""
    await asyncio.shield(request.app.state.warm)


def _warm() -> None:
    """Import what answers while the browser still fetches the page: the server itself starts without it."""
    from ridgeline.web.board import board
    from ridgeline.web.question import names

    names()
    board({"model": "deepseek-v3", "system": "gb200-nvl72", "dp": "64", "ep": "64"})


def app() -> Safe:
    """The application."""
    routes = [
        Route("/api/openapi.json", _openapi),
        Route("/api/names", _names),
        Route("/api/scoreboard", _scoreboard),
        Route("/api/{command}", ask, methods=["GET", "POST"]),
        Mount("/static", StaticFiles(directory=STATIC)),
        Route("/{page:path}", _start),
    ]
    return Safe(
        Starlette(routes=routes, lifespan=_life, exception_handlers={ClientDisconnect: _gone, Exception: _failed})
    )


async def _failed(request: Request, error: Exception) -> Response:
    """A mistake of ours; its traceback stays on the server."""
    return _mistake(type(error).__name__)


def _mistake(kind: str) -> Response:
    return _refused(500, InputError(f"this question ({kind})", "an answer", "please report it"))


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)
