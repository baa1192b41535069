"""Access tokens over the Unix socket, compared with a minimal server, with a disk that commits one
after the other, and with a longer history."""

import json
import socket
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

from support.harness import Harness

from bench.installation import Installation
from bench.measurements import Measurement, ratio
from bench.server_process import running_server
from wizard.timefmt import format_iso

CLIENTS = 16
REQUESTS = 400
ROUNDS = 5
COMMITS = 50
SHORT_HISTORY, LONG_HISTORY = 6_000, 300_000
"""Rows of tokens that were served before."""
BARE_SERVER = str(Path(__file__).with_name("bare_server.py"))
REQUEST = b"GET /token/crm HTTP/1.1\r\nHost: zoho-wizard\r\nConnection: close\r\n\r\n"


def measure(installation: Installation) -> Iterator[Measurement]:
    """Requests a second, each on its own connection as with `curl`."""
    with ExitStack() as until_measured:
        paths = []
        for rows in (SHORT_HISTORY, LONG_HISTORY):
            harness = until_measured.enter_context(installation.harness(f"sockets-{rows}"))
            harness.add_verified_connection()
            _add_history(harness, rows)
            environment = installation.environment(harness.services.settings)
            ours = running_server([installation.wizard, "serve"], environment)
            until_measured.enter_context(ours).wait_for_output("/browser-link/")
            paths.append(harness.services.paths.socket)
        bare_path = str(installation.directory / "bare")
        bare = running_server([sys.executable, BARE_SERVER, bare_path], environment)
        until_measured.enter_context(bare).wait_for_output("serves")
        disk = sqlite3.connect(installation.directory / "commits.db")
        until_measured.callback(disk.close)
        rounds = [
            (*(_rate(path) for path in (*paths, bare_path)), _commit_rate(disk))
            for _ in range(ROUNDS)
        ]
        events = harness.services.store.events.of_connection("crm", 10**6, 10**6)
        assert len(events) > LONG_HISTORY + ROUNDS * REQUESTS
    short, long, constant, commits = (statistics.median(each) for each in zip(*rounds, strict=True))
    disk_target, server_target = 10 * commits, constant / 2
    target = min(disk_target, server_target)
    yield Measurement(
        f"tokens over the Unix socket, {CLIENTS} clients, each recorded on disk",
        f"{short:.0f} per second",
        f"10 × single commits, {disk_target:.0f} per second"
        if target == disk_target
        else "half the rate of a standard-library server with a constant response, "
        f"{target:.0f} per second",
        ratio(short, target),
        "≥ 1",
    )
    yield Measurement(
        f"the same with a history of {LONG_HISTORY:,} tokens served",
        f"{1000 / long:.2f} ms each",
        f"{SHORT_HISTORY:,} tokens served, {1000 / short:.2f} ms each",
        ratio(short, long),
        "≤ 1.2",
    )


def _add_history(harness: Harness, rows: int) -> None:
    """Events of tokens that were served, in one commit."""
    at = format_iso(harness.now())
    details = json.dumps({"uid": "0", "generation": "1"})
    with closing(sqlite3.connect(harness.services.paths.database)) as raw, raw:
        raw.executemany(
            "INSERT INTO events (at, connection, kind, details, user, process_id, machine, "
            "connection_id) SELECT ?, name, ?, ?, 'root', 1, 'web1', id FROM connections",
            [(at, "token-served", details)] * rows,
        )


def _commit_rate(disk: sqlite3.Connection) -> float:
    """Commits a second, one after the other, each durable."""
    disk.execute("PRAGMA journal_mode = WAL")
    disk.execute("PRAGMA synchronous = FULL")
    disk.execute("CREATE TABLE IF NOT EXISTS rows (text TEXT)")
    begun = time.perf_counter()
    for _ in range(COMMITS):
        with disk:
            disk.execute("INSERT INTO rows VALUES ('a token was served')")
    return COMMITS / (time.perf_counter() - begun)


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
