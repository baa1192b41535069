"""A program reports on a socket that Zoho rejected its access token."""

import socket
from typing import Any

import pytest
from support.harness import Harness
from support.local_api import (
    ME,
    SocketClient,
    allow,
    error_code,
    event_details,
    local_api,
    own,
    shared,
    socket_directory,
)

__all__ = ["local_api", "own", "shared", "socket_directory"]


def reported(asker: SocketClient, token: str) -> tuple[int, Any]:
    return asker.request("/token/crm", "POST", token)


def test_a_report_is_answered_with_another_token_and_recorded(
    own: SocketClient, harness: Harness
) -> None:
    first = harness.services.tokens.access_token("crm").value

    status, answer = reported(own, f"{first}\n")

    assert status == 200
    assert answer["access_token"] == harness.services.tokens.access_token("crm").value != first
    assert event_details(harness, "token-reported")[0]["uid"] == str(ME)
    assert first not in str(harness.services.store.events.of_connection("crm"))


def test_a_report_of_another_token_is_answered_with_the_current_one(
    own: SocketClient, harness: Harness
) -> None:
    current = harness.services.tokens.access_token("crm").value
    assert reported(own, "1000.another")[1]["access_token"] == current
    assert own.request("/token/crm")[1]["access_token"] == current


def test_a_second_report_within_the_minute_gets_the_time_to_retry(
    own: SocketClient, harness: Harness
) -> None:
    first = harness.services.tokens.access_token("crm").value
    second = reported(own, first)[1]["access_token"]
    harness.controls.clear_journal()

    answers = [reported(own, second), own.request("/token/crm")]

    assert [status for status, _ in answers] == [503, 503]
    assert [error_code(answer) for _, answer in answers] == ["token-rejected"] * 2
    assert all(answer["error"]["retry_at"] for _, answer in answers)
    assert harness.refresh_requests() == []


def test_only_users_with_access_may_report(shared: SocketClient, harness: Harness) -> None:
    first = harness.services.tokens.access_token("crm").value
    assert reported(shared, first)[0] == 403
    assert harness.services.tokens.access_token("crm").value == first
    allow(harness, ME)
    status, answer = reported(shared, first)
    assert status == 200
    assert answer["access_token"] != first


@pytest.mark.parametrize("body", ["", "two words", "1000.abc\n1000.def", "[1]"])
def test_a_body_that_is_not_a_token_is_refused_and_marks_nothing(
    own: SocketClient, harness: Harness, body: str
) -> None:
    current = harness.services.tokens.access_token("crm").value
    status, answer = reported(own, body)
    assert (status, error_code(answer)) == (400, "report-malformed")
    assert harness.services.tokens.access_token("crm").value == current


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("POST /token/crm", "Content-Length: 2049"),
        ("POST /token/crm", "Content-Length: -1"),
        ("POST /token/crm", "Content-Length: 4, 4"),
        ("POST /token/crm", "Content-Length: \u0664"),
        ("POST /token/crm", "Transfer-Encoding: chunked"),
        ("POST /browser-link?page=/", "Content-Length: 4"),
        ("GET /token/crm", "Content-Length: 4"),
    ],
)
def test_a_body_that_is_too_long_or_unexpected_is_not_read(
    own: SocketClient, line: str, header: str
) -> None:
    head = f"{line} HTTP/1.1\r\nHost: zoho-wizard\r\n{header}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(own.path))
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read()  # to its end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"1000." not in answer


def test_bytes_after_a_report_are_a_separate_request(
    shared: SocketClient,
) -> None:
    report = "POST /token/crm HTTP/1.1\r\nHost: zoho-wizard\r\nContent-Length: 8\r\n\r\n"
    ask = "GET /token/none HTTP/1.1\r\nHost: zoho-wizard\r\nConnection: close\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(shared.path))
        connection.sendall(f"{report}1000.abc{ask}".encode())
        answers = connection.makefile("rb").read()
    assert answers.count(b"HTTP/1.1 403") == 2
