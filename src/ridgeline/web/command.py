"""`ridgeline web`: the explorer in the browser."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ridgeline.errors import InputError
from ridgeline.web.server import serve

Port = Annotated[int, Parameter(help="Port; 0: one that is free.")]
Host = Annotated[str, Parameter(help="Address to listen on; others than this machine's own are reached by anyone.")]
Browser = Annotated[bool, Parameter(negative="--no-browser", help="Open the page in the browser.")]


def web(*, port: Port = 8765, host: Host = "127.0.0.1", browser: Browser = True) -> int:
    """The explorer in the browser: sliders, pictures, and every number down to its source."""
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}", "0 to 65535")
    serve(host, port, browser)
    return 0
