"""Responses of a broken network or a hostile server in place of Zoho.

Whatever they are, they neither reject a valid grant nor replace its refresh token.
"""

import json
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.claims import over_rows
from support.harness import settings_for
from support.raw_server import RawServer, http_response
from support.tokens import wait_for

from wizard.errors import WizardError
from wizard.model import (
    Client,
    ClientSecret,
    Connection,
    Failure,
    Grant,
    GrantState,
)
from wizard.services import Services
from wizard.store import StoreContents
from wizard.transport import TOTAL_TIMEOUT_SECONDS

SCOPE = ("AaaServer.profile.READ", "ZohoCRM.org.READ")
REFRESH, ACCESS, OTHER = (f"1000.{each * 32}.{each * 32}" for each in "abc")
TOKEN = {"access_token": ACCESS, "expires_in": 3600, "token_type": "Bearer"}
REJECTED = '{"error": "invalid_code"}'
PORTAL = "<html><body>Sign in to the hotel: invalid_code</body></html>"
HTML = "text/html"

Answer = bytes | Callable[[socket.socket], object]


def reset(wire: socket.socket) -> None:
    """Disconnect without a word."""
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def part(count: int) -> Callable[[socket.socket], object]:
    """Disconnect after some bytes of a good response."""
    return lambda wire: wire.sendall(http_response(body=json.dumps(TOKEN))[:count])


INFRASTRUCTURE: dict[str, Answer] = {
    "reset": reset,
    "half a status line": part(6),
    "half of the headers": part(40),
    "half of the body": part(170),
    "no response": b"",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a portal": http_response(200, PORTAL, Content_Type=HTML),
    "a portal as JSON": http_response(511, REJECTED),
    "a redirect to a portal": http_response(302, PORTAL, Location="http://10.0.0.1/login"),
    "a proxy": http_response(502, PORTAL, Content_Type=HTML),
    "a proxy as JSON": http_response(503, REJECTED),
    "a timeout of the gateway": http_response(504, REJECTED, Retry_After="1"),
}
"""What networks and proxies answer instead of Zoho."""


def stall(wire: socket.socket) -> None:
    """Keep the connection open until the other side closes it."""
    wire.recv(1)


def stall_midway(wire: socket.socket) -> None:
    """Send half of a response, and nothing more."""
    part(170)(wire)
    stall(wire)


def drip(wire: socket.socket) -> None:
    """Send a good response, a byte whenever the other side could give up."""
    for byte in http_response(body=json.dumps(TOKEN)):
        wire.sendall(bytes([byte]))
        if select.select([wire], [], [], 0.05)[0]:
            return


STALLS: dict[str, Answer] = {
    "a black hole": stall,
    "a byte at a time": drip,
    "half of a response": stall_midway,
}
"""What blocks a caller without a deadline."""
HOSTILE: dict[str, Answer] = {
    "an error and a token": http_response(body=json.dumps({**TOKEN, "error": "invalid_code"})),
    "a token and an error": http_response(body=json.dumps({"error": "invalid_code", **TOKEN})),
    "an error, a refresh token and a token": http_response(
        body=json.dumps({"refresh_token": OTHER, "error": "invalid_grant", **TOKEN})
    ),
    "two errors": http_response(body='{"error": "invalid_code", "error": "invalid_code"}'),
    "an error and its absence": http_response(body='{"error": "invalid_code", "error": ""}'),
    "an error below": http_response(body=json.dumps({"data": {"error": "invalid_code"}})),
    "an error in a list": http_response(body=json.dumps([{"error": "invalid_code"}])),
    "an error as text": http_response(body=json.dumps("invalid_code")),
    "an error in an object": http_response(body=json.dumps({"error": {"code": "invalid_code"}})),
    "an error in capitals": http_response(body=json.dumps({"ERROR": "invalid_code"})),
    "an error twice": http_response(body=REJECTED * 2),
    "an error with a NaN": http_response(body='{"error": "invalid_code", "status": NaN}'),
    "an error after a megabyte": http_response(body=" " * 2**20 + REJECTED),
    "ten megabytes": http_response(body="[" + "1," * 5 * 2**20 + "1]"),
    "deep": http_response(body="[" * 100_000),
    "a token of spaces": http_response(body=json.dumps({**TOKEN, "access_token": " " * 40})),
    "a token with a line": http_response(body=json.dumps({**TOKEN, "access_token": "a\r\nX: y"})),
    "a token as a number": http_response(body=json.dumps({**TOKEN, "access_token": 10**20})),
    "a token as a list": http_response(body=json.dumps({**TOKEN, "access_token": [ACCESS]})),
    "null": http_response(body="null"),
    "empty": http_response(body=""),
    "compressed without need": http_response(body=b"\x1f\x8b" + bytes(40), Content_Encoding="gzip"),
}
"""What only an attacker or a defect sends."""


@dataclass
class Clock:
    at: datetime = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Victim:
    """A healthy connection, and the server that it's refreshed at."""

    services: Services
    server: RawServer
    clock: Clock

    def refresh(self, answer: Answer) -> Failure | None:
        """The failure of a refresh an hour after the last one; None if it worked."""
        self.clock.advance(3600)
        self.server.requests.clear()
        self.server._response = answer
        try:
            self.services.tokens.access_token("crm")
        except WizardError as error:
            return error.failure
        return None

    @property
    def grant(self) -> tuple[GrantState, str]:
        grant = self.services.store.grants.get("crm")
        assert grant is not None
        return grant.state, str(grant.refresh_token)


HEALTHY = (GrantState.VERIFIED, REFRESH)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    clock = Clock()
    with (
        RawServer(b"") as server,
        Services.open(settings_for(tmp_path, server.url), clock, clock.advance) as services,
    ):
        secrets = (ClientSecret("eu", "0123456789abcdef0123456789abcdef"),)
        client = Client("1000.ABC", "Zylker", "eu", "", secrets, created_at=clock())
        connection = Connection("crm", "1000.ABC", SCOPE, "eu", generation=1, created_at=clock())
        grant = Grant("crm", 1, "1000.ABC", REFRESH, SCOPE, "eu", GrantState.VERIFIED, clock())
        services.store.transfers.import_contents(StoreContents((client,), (connection,), (grant,)))
        yield Victim(services, server, clock)


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_no_fault_of_the_infrastructure_rejects_a_grant_and_a_real_rejection_is_confirmed_once(
    victim: Victim, rounds: int
) -> None:
    for name, answer in list(INFRASTRUCTURE.items()) * rounds:
        failure = victim.refresh(answer)
        assert failure is not None, name
        assert failure.temporary or failure.code == "unexpected-redirect", name
        assert victim.server.requests, name
        assert victim.grant == HEALTHY, name
    assert victim.refresh(http_response(body=json.dumps(TOKEN))) is None
    failure = victim.refresh(http_response(body=REJECTED))
    assert failure is not None
    assert failure.code == "refresh-token-rejected"
    assert len(victim.server.requests) == 2
    assert victim.grant == (GrantState.NEEDS_REAUTHORIZATION, REFRESH)


def resources() -> tuple[int, int]:
    """The threads and open files of this process."""
    return threading.active_count(), len(os.listdir("/dev/fd"))


def test_no_server_that_stalls_blocks_a_caller_or_leaves_a_thread_or_a_file_open(
    victim: Victim,
) -> None:
    victim.refresh(INFRASTRUCTURE["reset"])  # imports what is imported on use
    before = resources()
    victim.services.transport.total_timeout_seconds = 0.3
    for name, answer in STALLS.items():
        begun = time.monotonic()
        failure = victim.refresh(answer)
        assert failure is not None, name
        assert failure.code in ("network-timeout", "zoho-paused"), name
        assert victim.server.requests, name
        assert time.monotonic() - begun < 30, name
        assert victim.grant == HEALTHY, name
    victim.services.transport.total_timeout_seconds = TOTAL_TIMEOUT_SECONDS
    for answer in INFRASTRUCTURE.values():
        victim.refresh(answer)
    wait_for(lambda: resources() <= before)


def test_no_hostile_response_rejects_a_grant_or_replaces_its_refresh_token(victim: Victim) -> None:
    for name, answer in HOSTILE.items():
        failure = victim.refresh(answer)
        assert failure is not None, name
        assert victim.grant == HEALTHY, name
        assert failure.code != "refresh-token-rejected", name
        assert OTHER not in repr(failure), name
        assert len(victim.server.requests) == 1, name
    assert victim.refresh(http_response(body=json.dumps(TOKEN))) is None


@over_rows("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_token_in_another_encoding_is_in_no_failure(victim: Victim, encoding: str) -> None:
    text = json.dumps({**TOKEN, "token_type": "mac"}).encode(encoding)
    failure = victim.refresh(http_response(body=text))
    assert failure is not None
    assert failure.exchange is not None
    assert ACCESS not in failure.exchange.response_body
    assert victim.grant == HEALTHY
