"""Which host names get a response, and the headers of every response."""

import http.client
import socket

import pytest
from flask import Flask
from support.claims import over_rows
from support.web_visitor import Visitor, route_paths

from wizard.services import Services
from wizard.web.app import rejection_code
from wizard.web.server import Server

HOSTILE_HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "localhost",
    "localhost:80",
    "localhost:1{port}",
    "localhost.:{port}",
    "LOCALHOST:{port}",
    "localhost.evil.example:{port}",
    "evil-localhost:{port}",
    "sub.localhost:{port}",
    "0.0.0.0:{port}",
    "0:{port}",
    "127.0.0.2:{port}",
    "127.1:{port}",
    "2130706433:{port}",
    "0x7f000001:{port}",
    "[::1]:{port}",
    "[::]:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "user@localhost:{port}",
    "localhost:{port}@evil.example",
    "localhost:{port}, evil.example",
    "localhost:{port}/",
    "localhost:{port}#x",
    "localhost:abc",
    "",
]


SECURITY_HEADERS = (
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Cache-Control",
)


@over_rows("host", HOSTILE_HOSTS)
def test_no_route_responds_to_a_foreign_host_name(app: Flask, visitor: Visitor, host: str) -> None:
    header = {"Host": host.format(port=visitor.services.settings.port)}
    for path in (*route_paths(app, "GET"), "/no-such-page", "/static/none.css"):
        assert visitor.get(path, headers=header).status_code == 400, path
    for path in route_paths(app, "POST"):
        assert visitor.post(path, {}, headers=header).status_code == 400, path


def test_the_loopback_ip_address_redirects_only_on_the_front_page(
    app: Flask, visitor: Visitor
) -> None:
    port = visitor.services.settings.port
    header = {"Host": f"127.0.0.1:{port}"}
    front = visitor.get("/", headers=header)
    assert (front.status_code, front.location) == (302, f"http://localhost:{port}/")
    others = [path for path in route_paths(app, "GET") if path != "/"]
    assert {visitor.get(path, headers=header).status_code for path in others} == {400}


@over_rows(
    "head",
    [
        "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n",
        "GET / HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil.example\r\n",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "TRACE / HTTP/1.1\r\nHost: evil.example\r\n",
    ],
)
def test_the_real_server_refuses_foreign_host_names(
    server: Server, services: Services, head: str
) -> None:
    port = services.settings.port
    with socket.create_connection(("127.0.0.1", port), 5) as wire:
        wire.sendall(f"{head.format(port=port)}Connection: close\r\n\r\n".encode())
        answer = wire.makefile("rb").read()
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b"set-cookie" not in answer.lower()


@over_rows(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnot hexadecimal\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nCookie: " + b"x" * 300_000 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_the_security_headers_too(
    server: Server, services: Services, visitor: Visitor, request_bytes: bytes
) -> None:
    ordinary = visitor.get("/").headers
    with socket.create_connection(("127.0.0.1", services.settings.port), 5) as wire:
        wire.sendall(request_bytes)
        answer = http.client.HTTPResponse(wire)
        answer.begin()
        assert answer.status >= 400
        body = answer.read()
    for name in SECURITY_HEADERS:
        assert answer.getheader(name) == ordinary[name], name
    assert answer.getheader("Server") is None
    assert b"waitress" not in body.lower()


def test_every_response_has_the_security_headers(app: Flask, visitor: Visitor) -> None:
    accounts = visitor.services.settings.simulator_url
    others = ("/no-such-page", "/clients//new", "/callback?state=a&state=b")
    opened = (*route_paths(app, "GET"), *others)
    answers = {path: visitor.get(path) for path in opened}
    answers |= {f"POST {path}": visitor.post(path, {}) for path in route_paths(app, "POST")}
    answers["too large"] = visitor.post("/clients", {"credentials": "x" * 70_000})
    for path, answer in answers.items():
        headers = answer.headers
        assert headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self'; form-action 'self' {accounts}; "
            "frame-ancestors 'none'; base-uri 'none'"
        ), path
        private = path.startswith("/callback")
        assert headers["Referrer-Policy"] == ("no-referrer" if private else "same-origin"), path
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", path
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
        assert headers["Cache-Control"] == "no-store", path
        assert "Access-Control-Allow-Origin" not in headers, path
        assert "Strict-Transport-Security" not in headers, path


@over_rows("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "BREW"])
def test_only_get_and_post_are_accepted(visitor: Visitor, method: str) -> None:
    base_url = visitor.services.settings.base_url
    for path in ("/", "/status", "/static/wizard.css"):
        answer = visitor.client.open(path, base_url=base_url, method=method)
        assert answer.status_code == 405


def test_a_page_may_be_opened_from_anywhere_but_its_parts_only_by_us() -> None:
    ours = "localhost:8723"
    assert rejection_code("GET", ours, ours, None, "cross-site", is_navigation=True) is None
    assert rejection_code("GET", ours, ours, None, "none", is_navigation=False) is None
    assert (
        rejection_code("GET", ours, ours, None, "cross-site", is_navigation=False)
        == "page-foreign-form"
    )
    assert (
        rejection_code("GET", ours, ours, None, "same-site", is_navigation=False)
        == "page-foreign-form"
    )


def test_a_form_over_our_limit_is_refused(visitor: Visitor) -> None:
    token = visitor.csrf_token()
    answer = visitor.post("/clients", {"csrf_token": token, "credentials": "x" * 70_000})
    assert answer.status_code == 413
    assert visitor.services.store.clients.all() == ()


def test_an_unexpected_error_shows_only_a_number(
    app: Flask, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise RuntimeError("the-inside-of-the-machine")

    app.view_functions["status.show"] = broken
    answer = visitor.get("/status")
    assert answer.status_code == 500
    assert "the-inside-of-the-machine" not in answer.text
    assert "Traceback" not in answer.text
    unexpected, access = caplog.records[-2:]
    assert unexpected.getMessage().split()[-1] in answer.text
    assert all("page-unforeseen" in each.getMessage() for each in (unexpected, access))
