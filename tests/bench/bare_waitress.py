"""Waitress with a constant answer of the size of a token response: `python bare_waitress.py`."""

import socket
import sys
from typing import TYPE_CHECKING

from waitress.server import create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

THREADS = 16
"""As many as the simulator's."""
BODY = b"{" + b" " * 300 + b"}"


def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Read the request; return the same response to each."""
    environ["wsgi.input"].read()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]
    start_response("200 OK", headers)
    return [BODY]


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0))
    server = create_server(answer, sockets=[listening], threads=THREADS)
    sys.stderr.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
    sys.stderr.flush()
    server.run()
