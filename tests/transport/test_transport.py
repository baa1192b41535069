"""HTTP to Zoho over real sockets: what is sent, what is refused, how long it may take."""

import base64
import datetime as dt
import gzip
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from support import certificates
from support.claims import over_rows
from support.raw_server import RawServer, http_response

from wizard import zoho
from wizard.errors import WizardError, explain
from wizard.model import Failure
from wizard.transport import (
    TOTAL_TIMEOUT_SECONDS,
    HttpResponse,
    Transport,
    ZohoAuth,
    parse_json,
)
from wizard.transport.adapter import MAX_BODY_BYTES, Deadline, apply_deadline_to_pools

TOKEN = "1000.0123456789abcdef0123456789abcdef.fedcba9876543210fedcba9876543210"
SECRET = "canary-of-the-client-secret"
MAX_RESPONSE_BYTES = 1.0
"""Deadline in seconds, only for tests of the deadline itself: other requests get as long as a
busy machine needs."""
DROPS = 600
"""The most that a slow server sends: many times what fits into the deadline, so that a test
without one ends."""


def now() -> dt.datetime:
    return dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)


def transport_to(*bases: str, seconds: float = TOTAL_TIMEOUT_SECONDS) -> Transport:
    table = replace(zoho.load(), allowed_base_urls=bases)
    return Transport(table, now, connect_timeout_seconds=seconds, total_timeout_seconds=seconds)


def get(base: str, path: str = "/x", **more: Any) -> HttpResponse:
    return transport_to(base).get(base + path, ZohoAuth(TOKEN), **more)


def ask_in_a_hurry(base: str) -> HttpResponse:
    return transport_to(base, seconds=MAX_RESPONSE_BYTES).get(f"{base}/x", ZohoAuth(TOKEN))


def failure_of(request: Callable[[], object]) -> Failure:
    with pytest.raises(WizardError) as caught:
        request()
    finding = explain(caught.value.failure)
    assert finding.code != "unknown"
    assert "…" not in finding.title + finding.cause
    assert TOKEN not in f"{caught.value.failure!r}{finding!r}"
    return caught.value.failure


def post(base: str) -> None:
    with requests.Session() as session:
        transport_to(base).attach(session)
        session.post(f"{base}/x", data={"client_secret": SECRET, "code": TOKEN})


# --- Responses ------------------------------------------------------------------------------------


def test_a_response_has_its_status_its_json_and_the_server_time() -> None:
    date = "Mon, 23 Nov 2026 11:59:00 GMT"
    with RawServer(http_response(401, '{"code":57}', Date=date)) as server:
        answer = get(server.url)
    assert (answer.status, answer.json) == (401, {"code": 57})
    assert answer.date == now() - dt.timedelta(minutes=1)


@over_rows(
    "date",
    [
        *("", "yesterday", "Mon, 99 Nov 2026 11:59:00 GMT"),
        *("Fri, 31 Dec 9999 23:59:59 -0100", "Mon, 01 Jan 20240000000 00:00:00 GMT"),
    ],
)
def test_an_invalid_date_is_none(date: str) -> None:
    with RawServer(http_response(Date=date)) as server:
        assert get(server.url).date is None


@over_rows(
    "body",
    [
        b"",
        b"<html>Sign in to the hotel</html>",
        b'{"access_token":"x"',
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b"[" * 100_000,
        b"\xff\xfe\x00",
        b"1" * 5000,
    ],
)
def test_ambiguous_or_invalid_json_is_none(body: bytes) -> None:
    assert parse_json(body) is None


def test_the_token_is_sent_in_the_header_that_zoho_documents() -> None:
    with RawServer(http_response()) as server:
        get(server.url, params={"per_page": "1"}, headers={"orgId": "7"})
        request = server.requests[0].decode()
    assert request.startswith("GET /x?per_page=1 HTTP/1.1")
    assert f"Authorization: Zoho-oauthtoken {TOKEN}" in request
    assert "orgId: 7" in request
    assert "User-Agent: zoho-wizard" in request


def test_the_exchange_shows_request_and_response_without_a_secret() -> None:
    echo = f'{{"access_token":"{TOKEN}","secret":"{SECRET}","refresh_token":"other","n":1}}'
    with RawServer(http_response(body=echo)) as server, requests.Session() as session:
        wire = transport_to(server.url).attach(session)
        session.post(
            f"{server.url}/token",
            data={"client_id": "1000.ABC", "client_secret": SECRET, "refresh_token": TOKEN},
        )
        exchange = wire.last_response.exchange
    assert exchange.method == "POST"
    assert exchange.url == f"{server.url}/token"
    assert exchange.parameters["client_id"] == "1000.ABC"
    assert exchange.parameters["client_secret"] == "(masked)"
    assert exchange.status == 200
    assert '"n":1' in exchange.response_body
    for secret in (TOKEN, SECRET, "other"):
        assert secret not in repr(exchange)
        assert secret not in repr(wire.last_response)


def test_a_secret_sent_by_basic_authorization_is_masked_in_any_encoding() -> None:
    carried = base64.b64encode(f"1000.ABC:{SECRET}".encode()).decode()
    echo = f'{{"carried":"{carried}","read":"{SECRET}","n":1}}'
    with RawServer(http_response(body=echo)) as server, requests.Session() as session:
        wire = transport_to(server.url).attach(session)
        session.post(f"{server.url}/revoke", auth=("1000.ABC", SECRET))
    assert (
        wire.last_response.exchange.response_body
        == '{"carried":"(masked)","read":"(masked)","n":1}'
    )


# --- Refusals -------------------------------------------------------------------------------------


def test_a_url_outside_the_table_is_not_connected_to() -> None:
    with RawServer(http_response()) as server:
        transport = transport_to("https://accounts.zoho.eu")
        found = failure_of(lambda: transport.get(f"{server.url}/x", ZohoAuth(TOKEN)))
        assert server.requests == []
    assert (found.code, found.sent) == ("host-not-in-table", False)


@over_rows("status", [301, 302, 303, 307, 308, 300, 304])
@over_rows("act", [get, post])
def test_a_redirect_is_refused_and_not_followed(status: int, act: Callable[[str], object]) -> None:
    with RawServer(http_response()) as other:
        redirect = http_response(status, '{"access_token":"x"}', Location=f"{other.url}/x")
        with RawServer(redirect) as server:
            found = failure_of(lambda: act(server.url))
            assert len(server.requests) == 1
        assert other.requests == []
    assert found.code == "unexpected-redirect"


def test_a_redirect_to_a_url_of_the_table_is_also_refused() -> None:
    with RawServer(http_response(302, Location="/y")) as server:
        assert failure_of(lambda: get(server.url)).code == "unexpected-redirect"
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "flood",
    [
        http_response(body=b"1" * (MAX_BODY_BYTES + 1)),
        http_response(body=gzip.compress(b" " * MAX_BODY_BYTES * 40), Content_Encoding="gzip"),
    ],
    ids=["plain", "compressed"],
)
def test_a_response_longer_than_any_of_zoho_is_not_read(flood: bytes) -> None:
    with RawServer(flood) as server:
        assert failure_of(lambda: get(server.url)).code == "answer-too-large"


def test_cookies_are_neither_stored_nor_sent() -> None:
    with RawServer(http_response(Set_Cookie="iamcsr=x; Path=/")) as server:
        transport = transport_to(server.url)
        with requests.Session() as session:
            transport.attach(session)
            session.get(f"{server.url}/x")
            session.get(f"{server.url}/y")
            assert list(session.cookies) == []
        assert b"Cookie" not in server.requests[1]


def test_a_netrc_never_replaces_our_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login mallory password hostile\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with RawServer(http_response()) as server:
        get(server.url)
        post(server.url)
        assert b"Zoho-oauthtoken" in server.requests[0]
        assert b"Authorization" not in server.requests[1]


# --- The network ----------------------------------------------------------------------------------


def _send_nothing(connection: socket.socket) -> None:
    connection.recv(1)  # returns when the client gives up


def _send_slowly(*parts: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
        connection.settimeout(MAX_RESPONSE_BYTES / 8)
        for _ in range(DROPS):
            connection.sendall(b"a")
            try:
                if connection.recv(1) == b"":
                    return
            except TimeoutError:
                continue  # the pause between two drops

    return send


@pytest.mark.parametrize(
    "act",
    [
        _send_nothing,
        _send_slowly(b"HTTP/1.1 200 OK\r\nX-Long: "),
        _send_slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        _send_slowly(b"HTTP/1.0 200 OK\r\n\r\n"),
    ],
    ids=["silence", "dripping header", "dripping body", "dripping body without an end"],
)
def test_no_server_blocks_a_caller_longer_than_the_deadline(
    act: Callable[[socket.socket], None],
) -> None:
    with RawServer(act) as server:
        found = failure_of(lambda: ask_in_a_hurry(server.url))
        # The server would continue: it ends because the client has disconnected.
        assert server.request_done.wait(10)
    assert (found.code, found.temporary, found.sent) == ("network-timeout", True, True)


def _reset_connection(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "answer",
    [
        _reset_connection,
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"no HTTP at all\r\n\r\n",
    ],
    ids=["reset", "closed", "truncated response", "no HTTP"],
)
def test_a_connection_that_breaks_after_the_request_was_sent_says_so(
    answer: bytes | Callable[[socket.socket], None],
) -> None:
    with RawServer(answer) as server:
        found = failure_of(lambda: get(server.url))
        assert len(server.requests) == 1
    assert (found.code, found.temporary, found.sent) == ("network-reset", True, True)
    assert found.exchange is not None
    assert found.exchange.status is None


def test_a_refused_connection_has_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = failure_of(lambda: get(f"http://127.0.0.1:{port}"))
    assert (found.code, found.temporary, found.sent) == ("network-refused", True, False)


def test_a_host_name_that_does_not_exist_has_sent_nothing() -> None:
    found = failure_of(lambda: get("http://zoho.invalid"))
    assert (found.code, found.temporary, found.sent) == ("network-dns", True, False)


# --- Proxies --------------------------------------------------------------------------------------


def test_requests_to_zoho_use_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with RawServer(http_response(407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        found = failure_of(lambda: get("https://accounts.zoho.eu"))
        asked = proxy.requests[0]
    assert asked.startswith(b"CONNECT accounts.zoho.eu:443 ")
    assert TOKEN.encode() not in asked
    assert (found.code, found.sent) == ("network-proxy", False)


def test_requests_to_this_machine_never_use_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(http_response()) as proxy, RawServer(http_response()) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        get(server.url)
        get(server.url.replace("127.0.0.1", "localhost"))
        assert len(server.requests) == 2
        assert proxy.requests == []


# --- TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "trusted"),
    [
        ({}, False),
        ({"valid_days": -1}, True),
        ({"name": "elsewhere.example"}, True),
    ],
    ids=["unknown authority", "expired", "other name"],
)
def test_an_untrusted_certificate_gets_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    facts: dict[str, Any],
    trusted: bool,
) -> None:
    path = certificates.create_certificate(tmp_path, **facts)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with RawServer(http_response(), tls=certificates.server_context(path)) as server:
        found = failure_of(lambda: get(f"https://localhost:{server.port}"))
        assert server.requests == []
    assert (found.code, found.sent) == ("network-tls", False)
    assert found.details["reason"]


def test_a_certificate_authority_of_the_system_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificates.create_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with RawServer(http_response(body='{"ok":1}'), tls=certificates.server_context(path)) as server:
        assert get(f"https://localhost:{server.port}").json == {"ok": 1}


def test_a_connection_that_opens_too_late_has_sent_nothing() -> None:
    manager = urllib3.PoolManager()
    apply_deadline_to_pools(manager)
    with RawServer(http_response()) as server, Deadline(0) as deadline:
        deadline._timer.join()
        with pytest.raises(urllib3.exceptions.HTTPError):
            manager.request("GET", server.url, retries=False)
    assert not deadline.connected
    assert server.requests == []


def test_a_server_that_stalls_in_the_handshake_has_received_nothing() -> None:
    with RawServer(_send_nothing) as server:
        found = failure_of(lambda: ask_in_a_hurry(f"https://localhost:{server.port}"))
    assert (found.code, found.sent) == ("network-timeout", False)
