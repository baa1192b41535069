"""A local API under test, and programs that send requests to its sockets."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.harness import Harness
from wizard.local_api import LocalApi
from wizard.store import AccessPermission

ME = os.getuid()

PROGRAM = """
import http.client, os, socket, sys
os.setuid(int(sys.argv[3]))
connection = http.client.HTTPConnection("zoho-wizard")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1])
connection.request("GET", sys.argv[2])
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


@dataclass
class SocketClient:
    """A program that uses one socket."""

    path: Path
    headers: dict[str, str] = field(default_factory=dict)

    def request(
        self, target: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Return the status and the document of the response."""
        status, text = self.request_text(target, method, body, **headers)
        return status, json.loads(text)

    def request_text(
        self, target: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, str]:
        """Return the status and the text of the response."""
        connection = http.client.HTTPConnection("zoho-wizard", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.path))
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, body, {"Accept": "application/json", **named})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def request_as(self, uid: int, target: str) -> tuple[int, str]:
        """Send a request from a process that runs as another user."""
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(self.path), target, str(uid)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        status, _, body = done.stdout.partition(" ")
        return int(status), body


@pytest.fixture
def socket_directory() -> Iterator[Path]:
    """A directory with a short path that other users can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory) / "shared"


@pytest.fixture
def local_api(harness: Harness, socket_directory: Path) -> Iterator[LocalApi]:
    harness.add_verified_connection("crm")

    def launch_link(page: str, printed: bool) -> str:
        return f"link to {page}, {'printed' if printed else 'opened'}"

    with LocalApi(harness.services, launch_link, socket_directory) as local_api:
        yield local_api


@pytest.fixture
def own(harness: Harness, local_api: LocalApi, monkeypatch: pytest.MonkeyPatch) -> SocketClient:
    """The private socket, by a relative path: a test's paths are too long."""
    monkeypatch.chdir(harness.services.paths.data_dir)
    return SocketClient(Path("socket"))


@pytest.fixture
def shared(local_api: LocalApi) -> SocketClient:
    return SocketClient(local_api.open_shared_socket())


def allow(harness: Harness, uid: int, name: str = "crm") -> None:
    harness.services.store.access_permissions.add(
        AccessPermission(name, uid, "somebody", harness.now())
    )


def error_code(document: Any) -> str:
    return str(document["error"]["code"])


def event_details(harness: Harness, kind: str, limit: int = 10) -> list[dict[str, str]]:
    history = harness.services.store.events.of_connection("crm", max_serving_events=limit)
    return [dict(event.details) for event in history if event.kind == kind]
