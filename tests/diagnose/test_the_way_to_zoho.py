"""What programs say when the network fails, produced on real sockets and read from their words."""

import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import certificates
import pytest
import requests
from core import Core
from rawserver import RawServer, response

from wizard.model import Confidence


def said(ask: Callable[[], object]) -> str:
    """What `ask` fails with, as a traceback ends."""
    with pytest.raises(Exception, match=r".") as caught:
        ask()
    return f"{type(caught.value).__module__}.{type(caught.value).__name__}: {caught.value}"


def read(core: Core, text: str) -> str:
    finding = core.house.reader.read(text).finding
    assert finding.failure is not None
    assert "authorize" not in " ".join(step.command for step in finding.steps)
    return finding.failure.code


def test_a_name_that_nobody_knows(core: Core) -> None:
    text = said(lambda: requests.post("http://accounts.zoho.invalid/oauth/v2/token", timeout=10))
    assert read(core, text) == "network-dns"


def test_a_port_where_nobody_listens(core: Core) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    text = said(lambda: requests.get(f"http://127.0.0.1:{port}/", timeout=10))
    assert read(core, text) == "network-refused"


def test_a_proxy_that_refuses(core: Core) -> None:
    with RawServer(response(407, "")) as proxy:
        text = said(
            lambda: requests.get(
                "https://accounts.zoho.eu/", proxies={"https": proxy.url}, timeout=10
            )
        )
    assert read(core, text) == "network-proxy"


def test_an_answer_that_breaks_off(core: Core) -> None:
    with RawServer(lambda connection: connection.close()) as server:
        text = said(lambda: requests.get(server.url, timeout=10))
    assert read(core, text) == "network-reset"


def test_a_silence(core: Core) -> None:
    with RawServer(lambda connection: connection.recv(1)) as server:
        text = said(lambda: requests.get(server.url, timeout=0.001))
    assert read(core, text) == "network-timeout"


def test_a_page_where_json_should_be(core: Core) -> None:
    portal = response(
        200, "<!DOCTYPE html><title>Hotel</title>Room number?", Content_Type="text/html"
    )
    with RawServer(portal) as server:
        answer = requests.get(server.url, timeout=10)
        text = said(answer.json)
    assert read(core, text) == "not-json"
    assert read(core, answer.text) == "not-json"


def test_something_that_poses_as_a_secure_server(core: Core) -> None:
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    received.write(response(400))
    secure = ssl.create_default_context().wrap_bio(received, sent, server_hostname="zoho.invalid")
    assert read(core, said(secure.do_handshake)) == "network-tls"


def by_curl(address: str, authority: Path | None) -> str:
    """What a person sees who asks `address` in a terminal."""
    trusting = ["--cacert", str(authority)] if authority else []
    asked = ["curl", "-sS", *trusting, "-X", "POST", address]
    ran = subprocess.run(asked, capture_output=True, text=True)
    assert ran.returncode
    return f"$ {' '.join(asked)}\n{ran.stderr}"


def by_python(address: str, authority: Path | None) -> str:
    verify = str(authority) if authority else True
    return said(lambda: requests.post(address, verify=verify, timeout=10))


@pytest.mark.parametrize(
    "program", [pytest.param(by_curl, marks=pytest.mark.needs("curl")), by_python]
)
@pytest.mark.parametrize("days", [1, -1, 40], ids=["unknown authority", "too old", "too new"])
def test_a_certificate_of_a_proxy_is_told_from_one_that_the_clock_spoils(
    core: Core, tmp_path: Path, program: Callable[[str, Path | None], str], days: int
) -> None:
    path = certificates.made(tmp_path, days=days)
    in_its_time = days == 1
    with RawServer(response(), tls=certificates.context(path)) as server:
        address = f"https://localhost:{server.port}/oauth/v2/token"
        text = program(address, None if in_its_time else path)
    assert read(core, text) == "network-tls"
    found = core.house.reader.read(text).finding
    causes = {each.code: each.confidence for each in found.causes}
    assert causes.keys() == {"tls-inspected", "clock-against-certificate"}
    doubted = Confidence.POSSIBLE if in_its_time else Confidence.LIKELY
    assert causes["clock-against-certificate"] is doubted
    assert causes["tls-inspected"] is Confidence.POSSIBLE
