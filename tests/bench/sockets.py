"""Access tokens over the Unix socket, compared with a minimal server."""

import socket
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.installation import Installation
from bench.measurements import Measurement, ratio
from bench.server_process import running_server

CLIENTS = 16
REQUESTS = 400
ROUNDS = 3
BARE_SERVER = str(Path(__file__).with_name("bare_server.py"))
REQUEST = b"GET /token/crm HTTP/1.1\r\nHost: zoho-wizard\r\nConnection: close\r\n\r\n"


def measure(installation: Installation) -> Iterator[Measurement]:
    """Requests a second, each on its own connection as with `curl`."""
    with installation.harness("sockets") as harness:
        harness.add_verified_connection()
        environment = installation.environment(harness.services.settings)
        bare_path, our_path = str(installation.directory / "bare"), harness.services.paths.socket
        with (
            running_server([sys.executable, BARE_SERVER, bare_path], environment) as bare,
            running_server([installation.wizard, "serve"], environment) as ours,
        ):
            bare.wait_for_output("serves")
            ours.wait_for_output("/browser-link/")
            rounds = [(_rate(our_path), _rate(bare_path)) for _ in range(ROUNDS)]
        handed_out = len(
            harness.services.store.events.of_connection(
                "crm", limit=10_000, max_serving_events=10_000
            )
        )
    seen, against = (statistics.median(each) for each in zip(*rounds, strict=True))
    assert handed_out > ROUNDS * REQUESTS
    yield Measurement(
        f"tokens over the Unix socket, {CLIENTS} clients, each hand-out on disk in the history",
        f"{seen:.0f} a second",
        f"a stdlib server that answers a constant, {against:.0f} a second",
        ratio(seen, against),
    )


def _rate(path: str) -> float:
    _get(path)
    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = set(clients.map(_get, [path] * REQUESTS))
    assert len(answers) == 1
    return REQUESTS / (time.perf_counter() - begun)


def _get(path: str) -> bytes:
    """The body of the response."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(REQUEST)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.partition(b"\r\n")[0], head
    return body
