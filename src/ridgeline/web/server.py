"""Serve the explorer on this machine, and open it in the browser."""

from __future__ import annotations

import threading
import webbrowser

from ridgeline.errors import InputError


def serve(host: str, port: int, browser: bool) -> None:
    """Serve until interrupted; with `browser`, open the page once it is there.

    Raises
    ------
    InputError
        Without the extra `web`, or if the address cannot be had.
    """
    import socket

    try:
        import uvicorn

        from ridgeline.web.app import app
    except ModuleNotFoundError as error:
        raise InputError("ridgeline web", f"the package {error.name}", "pip install 'ridgeline[web]'") from None
    # With its protocol named, asyncio turns Nagle's algorithm off: else a body waits 40 ms for its header's receipt.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    place = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
        place.listen(128)  # whoever reads the line below may connect at once
    except OSError as error:
        place.close()
        raise InputError(
            f"--host {host} --port {port}", f"cannot be had ({error.strerror})", "another --port"
        ) from None
    url = f"http://{f'[{host}]' if ':' in host else host}:{place.getsockname()[1]}/"
    print(f"Ridgeline at {url} (Ctrl+C ends it)", flush=True)
    if browser:
        threading.Timer(0.5, webbrowser.open, (url,)).start()
    uvicorn.Server(uvicorn.Config(app(), log_level="warning", access_log=False)).run(sockets=[place])
