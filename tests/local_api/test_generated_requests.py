"""Generated requests, valid, nearly valid and arbitrary, on both sockets."""

import os
import re
import socket
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.harness import Harness
from support.local_api import SocketClient, local_api, shared, socket_directory
from support.tokens import current_grant, wait_for

from wizard.local_api import LocalApi
from wizard.local_api.sockets import socket_address

__all__ = ["local_api", "shared", "socket_directory"]

LONG = "‹long›"
"""Sent as more characters than a line may have."""

METHODS = ("GET", "POST", "HEAD", "PUT", "OPTIONS", "get", "", "\x00")
TARGETS = (
    *(
        "/token/crm",
        "/token/%63rm",
        "/token/crm?x=1",
        "/token/other",
        "/token/",
        "/token/a\x1b[31m",
    ),
    *("/token/crm/../crm", "//token/crm", "http://zoho-wizard/token/crm", "*", "", f"/{LONG}"),
    *("/browser-link?page=/&printed=1", "/browser-link?page=//evil.example", "/shared-socket"),
)
VERSIONS = ("HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1.1", "HTTP/-1.1", "")
HEADERS = (
    *("Host: zoho-wizard", "Host: localhost", "Host: evil.example", "host:zoho-wizard", "Host:"),
    *("Accept: application/json", "Connection: close", "Connection: keep-alive", "no colon"),
    *("Origin: https://evil.example", "Sec-Fetch-Site: none", "Cookie: a=b", " folded: yes"),
    *("Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999", "Content-Length: ²"),
    *("Transfer-Encoding: chunked", "Expect: 100-continue", f"X: {LONG}", "\x00: \xff"),
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request of known parts, damaged at a few places; sometimes several, or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        line = " ".join(draw(st.sampled_from(each)) for each in (METHODS, TARGETS, VERSIONS))
        headers = draw(st.lists(st.sampled_from(HEADERS), max_size=4))
        if draw(st.booleans()):
            line, headers = "GET /token/crm HTTP/1.1", ["Host: zoho-wizard", *headers]
        body = draw(st.sampled_from(["", "", "1000.aa", "\x00" * 9, "{", "x" * 5000]))
        parts.append("\r\n".join([line, *headers, "", body]))
    request = "".join(parts).encode()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(request)))
        length = draw(st.integers(0, 3))
        request = request[:at] + draw(st.binary(max_size=3)) + request[at + length :]
    return request


def send(path: Path, request: bytes) -> bytes:
    """All that the socket answers until it closes the connection."""
    received = b""
    with socket.socket(socket.AF_UNIX) as connection, socket_address(path) as address:
        connection.settimeout(30)
        connection.connect(address)
        with suppress(BrokenPipeError, ConnectionResetError):  # it may not read the rest
            connection.sendall(request.replace(LONG.encode(), b"x" * 70_000))
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
    return received


def open_sockets() -> int:
    """The descriptors of this process that are sockets; the store keeps some files open."""
    found = 0
    for descriptor in range(1024):
        with suppress(OSError):
            found += stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    return found


def check_answers(harness: Harness, path: Path, *, is_shared: bool, examples: int) -> None:
    """Send generated requests to a socket; none gets more than it may, and nothing stays open."""
    grant = current_grant(harness)
    token = harness.services.tokens.access_token("crm").value
    secret = next(iter(harness.registered_client["secrets"].values()))
    hidden = [grant.refresh_token, secret, "Traceback", "wizard/local_api"]
    if is_shared:
        hidden += [token, grant.client_id, grant.email]

    @settings(
        max_examples=examples,
        derandomize=examples < 1000,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(requests())
    def each_answer_is_safe(request: bytes) -> None:
        answer = send(path, request).decode("latin-1")
        assert [each for each in hidden if each in answer] == []
        assert " 500 " not in answer.partition("\r\n")[0]
        for response in re.split(r"HTTP/1\.1 (?=\d{3} [A-Z])", answer)[1:]:
            status, body = response[:3], response.partition("\r\n\r\n")[2]
            assert status in ("200", "100") or body.startswith("{"), response

    before, threads = open_sockets(), threading.active_count()
    each_answer_is_safe()
    wait_for(lambda: open_sockets() <= before and threading.active_count() <= threads)


@pytest.mark.parametrize("examples", [60, pytest.param(1500, marks=pytest.mark.slow)])
def test_no_request_makes_a_socket_hang_leak_or_fail(
    harness: Harness, local_api: LocalApi, shared: SocketClient, examples: int
) -> None:
    own = Path(harness.services.paths.socket)
    check_answers(harness, own, is_shared=False, examples=examples)
    check_answers(harness, shared.path, is_shared=True, examples=examples)
    assert SocketClient(shared.path).request("/token/crm")[0] == 403
