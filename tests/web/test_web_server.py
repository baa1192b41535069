"""The real server: where it listens, when it refuses to start, and how it stops."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.ports import free_port

from wizard.errors import WizardError
from wizard.services import Services
from wizard.web.server import Server, serve


@contextmanager
def occupied_port(family: socket.AddressFamily, host: str, port: int) -> Iterator[None]:
    with socket.socket(family) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind((host, port))
        other.listen()
        yield


def is_listening(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, port)) == 0


def test_the_server_listens_on_both_addresses_of_localhost_and_nowhere_else(
    server: Server, services: Services
) -> None:
    port = services.settings.port
    assert is_listening("127.0.0.1", port)
    assert is_listening("::1", port) or not socket.has_ipv6
    assert not is_listening("127.0.0.2", port)


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_the_server_refuses_to_start_if_either_address_is_taken(
    services: Services, family: socket.AddressFamily, host: str
) -> None:
    port = free_port()
    with occupied_port(family, host, port):
        with pytest.raises(WizardError) as caught:
            serve(services, port)
        assert caught.value.failure.code == "port-in-use"
        assert caught.value.failure.details["host"] == host
        other = "127.0.0.1" if family == socket.AF_INET6 else "::1"
        assert not is_listening(other, port)


def test_a_one_time_link_signs_a_browser_in(server: Server, services: Services) -> None:
    wire = http.client.HTTPConnection("localhost", services.settings.port, timeout=10)
    link = server.new_browser_link("/status")
    wire.request("GET", link.removeprefix(services.settings.base_url))
    entered = wire.getresponse()
    entered.read()
    cookie = (entered.getheader("Set-Cookie") or "").split(";")[0]
    wire.request("GET", "/status", headers={"Cookie": cookie})
    page = wire.getresponse()
    assert (entered.status, page.status) == (303, 200)
    assert b"Status" in page.read()
    assert page.getheader("Server") is None
    wire.close()


def test_open_requests_are_answered_before_the_server_stops(services: Services) -> None:
    server = serve(services)
    app = server.app
    asked, may_answer = threading.Event(), threading.Event()

    def slow() -> str:
        asked.set()
        may_answer.wait(20)
        return "answered"

    app.view_functions["authorization.complete"] = slow
    answers: list[bytes] = []

    def ask() -> None:
        wire = http.client.HTTPConnection("localhost", services.settings.port, timeout=30)
        wire.request("GET", "/callback")
        answers.append(wire.getresponse().read())
        wire.close()

    asking = threading.Thread(target=ask)
    asking.start()
    assert asked.wait(10)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    may_answer.set()
    asking.join(20)
    stopping.join(20)
    assert answers == [b"answered"]
    assert not is_listening("127.0.0.1", services.settings.port)
