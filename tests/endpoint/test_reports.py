"""A program reports on a socket that Zoho rejected its access token."""

import socket
from typing import Any

import pytest
from core import Core
from test_sockets import ME, Asker, allow, code, endpoint, lines, meeting_place, own, shared

__all__ = ["endpoint", "meeting_place", "own", "shared"]


def reported(asker: Asker, token: str) -> tuple[int, Any]:
    return asker.ask("/token/crm", "POST", token)


def test_a_report_is_answered_with_another_token_and_written_down(own: Asker, core: Core) -> None:
    first = core.house.broker.access_token("crm").value

    status, answer = reported(own, f"{first}\n")

    assert status == 200
    assert answer["access_token"] == core.house.broker.access_token("crm").value != first
    assert lines(core, "token-reported")[0]["uid"] == str(ME)
    assert first not in str(core.house.store.history("crm"))


def test_a_report_of_another_token_is_answered_with_the_current_one(own: Asker, core: Core) -> None:
    current = core.house.broker.access_token("crm").value
    assert reported(own, "1000.another")[1]["access_token"] == current
    assert own.ask("/token/crm")[1]["access_token"] == current


def test_a_second_report_within_the_minute_is_told_when(own: Asker, core: Core) -> None:
    first = core.house.broker.access_token("crm").value
    second = reported(own, first)[1]["access_token"]
    core.admin.clear_journal()

    told = [reported(own, second), own.ask("/token/crm")]

    assert [status for status, _ in told] == [503, 503]
    assert [code(answer) for _, answer in told] == ["token-rejected"] * 2
    assert all(answer["error"]["retry_at"] for _, answer in told)
    assert core.refreshes() == []


def test_only_who_was_allowed_may_report(shared: Asker, core: Core) -> None:
    first = core.house.broker.access_token("crm").value
    assert reported(shared, first)[0] == 403
    assert core.house.broker.access_token("crm").value == first
    allow(core, ME)
    status, answer = reported(shared, first)
    assert status == 200
    assert answer["access_token"] != first


@pytest.mark.parametrize("body", ["", "two words", "1000.abc\n1000.def", "[1]"])
def test_a_body_that_is_no_token_is_refused_and_marks_nothing(
    own: Asker, core: Core, body: str
) -> None:
    current = core.house.broker.access_token("crm").value
    status, answer = reported(own, body)
    assert (status, code(answer)) == (400, "report-malformed")
    assert core.house.broker.access_token("crm").value == current


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("POST /token/crm", "Content-Length: 2049"),
        ("POST /token/crm", "Content-Length: -1"),
        ("POST /token/crm", "Content-Length: 4, 4"),
        ("POST /token/crm", "Content-Length: \u0664"),
        ("POST /token/crm", "Transfer-Encoding: chunked"),
        ("POST /link?page=/", "Content-Length: 4"),
        ("GET /token/crm", "Content-Length: 4"),
    ],
)
def test_a_body_that_is_too_long_or_elsewhere_is_not_read(
    own: Asker, line: str, header: str
) -> None:
    head = f"{line} HTTP/1.1\r\nHost: zoho-wizard\r\n{header}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(own.path))
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read()  # to its end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"1000." not in answer


def test_what_follows_a_report_on_its_connection_is_a_request_of_its_own(shared: Asker) -> None:
    report = "POST /token/crm HTTP/1.1\r\nHost: zoho-wizard\r\nContent-Length: 8\r\n\r\n"
    ask = "GET /token/none HTTP/1.1\r\nHost: zoho-wizard\r\nConnection: close\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(shared.path))
        connection.sendall(f"{report}1000.abc{ask}".encode())
        answers = connection.makefile("rb").read()
    assert answers.count(b"HTTP/1.1 403") == 2
