"""Ambiguous requests that no browser sends, but a program or a proxy can."""

import socket

import pytest
from support.claims import over_rows

from wizard.services import Services
from wizard.web.server import Server


def send_raw_request(services: Services, request: bytes) -> bytes:
    """The first line of the response to these bytes."""
    with socket.create_connection(("127.0.0.1", services.settings.port), 10) as wire:
        wire.sendall(request)
        return wire.makefile("rb").readline()


@pytest.mark.parametrize(
    "target", ["http://evil.example/", "http://evil.example/static/wizard.css"]
)
def test_a_request_target_with_a_foreign_host_overrides_the_right_host_header(
    server: Server, services: Services, target: str
) -> None:
    host = f"Host: localhost:{services.settings.port}"
    request = f"GET {target} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n"
    assert send_raw_request(services, request.encode()).startswith(b"HTTP/1.1 400")


@over_rows("name", ["X-Forwarded-Host", "Forwarded", "X-Host", "X-Original-Host"])
def test_no_proxy_header_gives_a_foreign_name_our_host(
    server: Server, services: Services, name: str
) -> None:
    own = f"localhost:{services.settings.port}"
    value = f"host={own}" if name == "Forwarded" else own
    request = (
        f"GET / HTTP/1.1\r\nHost: evil.example\r\n{name}: {value}\r\nConnection: close\r\n\r\n"
    )
    assert send_raw_request(services, request.encode()).startswith(b"HTTP/1.1 400")


def test_a_body_over_our_limit_is_refused_before_it_is_sent(
    server: Server, services: Services
) -> None:
    host = f"Host: localhost:{services.settings.port}"
    request = f"POST /clients HTTP/1.1\r\n{host}\r\nContent-Length: {1 << 24}\r\n\r\n"
    assert b" 413 " in send_raw_request(services, request.encode())
