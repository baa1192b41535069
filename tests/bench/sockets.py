"""Access tokens over the Unix socket, beside the least server that could answer."""

import socket
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.figures import Figure, ratio
from bench.place import Place
from bench.served import serving

CLIENTS = 16
REQUESTS = 400
ROUNDS = 3
BARE = str(Path(__file__).with_name("bare_server.py"))
ASKED = b"GET /token/crm HTTP/1.1\r\nHost: zoho-wizard\r\nConnection: close\r\n\r\n"


def measure(place: Place) -> Iterator[Figure]:
    """Requests a second, each on a connection of its own as `curl` makes it."""
    with place.core("sockets") as core:
        core.proved()
        environment = place.environment(core.house.settings)
        bare_path, our_path = str(place.directory / "bare"), core.house.home.socket
        with (
            serving([sys.executable, BARE, bare_path], environment) as bare,
            serving([place.wizard, "serve"], environment) as ours,
        ):
            bare.says("serves")
            ours.says("/launch/")
            rounds = [(_rate(our_path), _rate(bare_path)) for _ in range(ROUNDS)]
        handed_out = len(core.house.store.history("crm", limit=10_000, handings=10_000))
    seen, against = (statistics.median(each) for each in zip(*rounds, strict=True))
    assert handed_out > ROUNDS * REQUESTS
    yield Figure(
        f"tokens over the Unix socket, {CLIENTS} clients, each hand-out on disk in the history",
        f"{seen:.0f} a second",
        f"a stdlib server that answers a constant, {against:.0f} a second",
        ratio(seen, against),
    )


def _rate(path: str) -> float:
    _ask(path)
    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = set(clients.map(_ask, [path] * REQUESTS))
    assert len(answers) == 1
    return REQUESTS / (time.perf_counter() - begun)


def _ask(path: str) -> bytes:
    """The body of the answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(ASKED)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.partition(b"\r\n")[0], head
    return body
