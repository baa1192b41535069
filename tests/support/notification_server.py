"""A service that receives notifications: a real HTTP server that keeps what was posted to it."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

SECRET = "T00000000-canary-of-the-webhook"


@dataclass(frozen=True)
class Posted:
    """One notification as it arrived."""

    path: str
    headers: dict[str, str]
    message: dict[str, Any]


class Inbox:
    """Listens on 127.0.0.1; answers each message with the status that `judge` gives it."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.judge: Callable[[dict[str, Any]], int] = lambda _message: 200
        self.location = ""
        self.arrived = threading.Event()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                message = json.loads(body)
                inbox.posted.append(Posted(self.path, dict(self.headers), message))
                self.send_response(inbox.judge(message))
                if inbox.location:
                    self.send_header("Location", inbox.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                inbox.arrived.set()

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook/{SECRET}?key={SECRET}"

    def taken(self) -> list[dict[str, Any]]:
        """The messages so far, and none of them from now on."""
        messages = [each.message for each in self.posted]
        self.posted.clear()
        return messages

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """A service that takes every message."""
    inbox = Inbox()
    yield inbox
    inbox.close()
