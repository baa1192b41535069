"""A real HTTP server that receives notifications and keeps them."""

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
    """Listens on 127.0.0.1; responds to each message with the status that `judge` returns."""

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
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook/{SECRET}?key={SECRET}"

    def taken(self) -> list[dict[str, Any]]:
        """Return the messages so far and clear them."""
        messages = [each.message for each in self.posted]
        self.posted.clear()
        return messages

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """A server that accepts every message."""
    inbox = Inbox()
    yield inbox
    inbox.close()
