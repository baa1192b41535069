"""Errors of programs when the network fails, produced on real sockets and then parsed."""

import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from support import certificates
from support.harness import Harness
from support.raw_server import RawServer, http_response

from wizard.model import Confidence


def exception_text(request: Callable[[], object]) -> str:
    """The last line of the traceback that `ask` fails with."""
    with pytest.raises(Exception, match=r".") as caught:
        request()
    return f"{type(caught.value).__module__}.{type(caught.value).__name__}: {caught.value}"


def read(harness: Harness, text: str) -> str:
    finding = harness.services.reader.explain_text(text).explanation
    assert finding.failure is not None
    assert "authorize" not in " ".join(step.command for step in finding.next_steps)
    return finding.failure.code


def test_an_unknown_host_name_is_diagnosed(harness: Harness) -> None:
    text = exception_text(
        lambda: requests.post("http://accounts.zoho.invalid/oauth/v2/token", timeout=10)
    )
    assert read(harness, text) == "network-dns"


def test_a_closed_port_is_diagnosed(harness: Harness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    text = exception_text(lambda: requests.get(f"http://127.0.0.1:{port}/", timeout=10))
    assert read(harness, text) == "network-refused"


def test_a_refusing_proxy_is_diagnosed(harness: Harness) -> None:
    with RawServer(http_response(407, "")) as proxy:
        text = exception_text(
            lambda: requests.get(
                "https://accounts.zoho.eu/", proxies={"https": proxy.url}, timeout=10
            )
        )
    assert read(harness, text) == "network-proxy"


def test_a_truncated_response_is_diagnosed(harness: Harness) -> None:
    with RawServer(lambda connection: connection.close()) as server:
        text = exception_text(lambda: requests.get(server.url, timeout=10))
    assert read(harness, text) == "network-reset"


def test_a_missing_response_is_diagnosed(harness: Harness) -> None:
    with RawServer(lambda connection: connection.recv(1)) as server:
        text = exception_text(lambda: requests.get(server.url, timeout=0.001))
    assert read(harness, text) == "network-timeout"


def test_a_web_page_in_place_of_json_is_diagnosed(harness: Harness) -> None:
    portal = http_response(
        200, "<!DOCTYPE html><title>Hotel</title>Room number?", Content_Type="text/html"
    )
    with RawServer(portal) as server:
        answer = requests.get(server.url, timeout=10)
        text = exception_text(answer.json)
    assert read(harness, text) == "not-json"
    assert read(harness, answer.text) == "not-json"


def test_an_untrusted_server_certificate_is_diagnosed(harness: Harness) -> None:
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    received.write(http_response(400))
    secure = ssl.create_default_context().wrap_bio(received, sent, server_hostname="zoho.invalid")
    assert read(harness, exception_text(secure.do_handshake)) == "network-tls"


def curl_output(url: str, authority: Path | None) -> str:
    """What a user sees after `curl` of `address` in a terminal."""
    trusting = ["--cacert", str(authority)] if authority else []
    asked = ["curl", "-sS", *trusting, "-X", "POST", url]
    ran = subprocess.run(asked, capture_output=True, text=True)
    assert ran.returncode
    return f"$ {' '.join(asked)}\n{ran.stderr}"


def python_output(url: str, authority: Path | None) -> str:
    verify = str(authority) if authority else True
    return exception_text(lambda: requests.post(url, verify=verify, timeout=10))


@pytest.mark.parametrize(
    "program", [pytest.param(curl_output, marks=pytest.mark.needs("curl")), python_output]
)
@pytest.mark.parametrize("days", [1, -1, 40], ids=["unknown authority", "too old", "too new"])
def test_a_proxy_certificate_is_distinguished_from_a_wrong_clock(
    harness: Harness, tmp_path: Path, program: Callable[[str, Path | None], str], days: int
) -> None:
    path = certificates.create_certificate(tmp_path, valid_days=days)
    in_its_time = days == 1
    with RawServer(http_response(), tls=certificates.server_context(path)) as server:
        address = f"https://localhost:{server.port}/oauth/v2/token"
        text = program(address, None if in_its_time else path)
    assert read(harness, text) == "network-tls"
    found = harness.services.reader.explain_text(text).explanation
    causes = {each.code: each.confidence for each in found.causes}
    assert causes.keys() == {"tls-inspected", "clock-against-certificate"}
    doubted = Confidence.POSSIBLE if in_its_time else Confidence.LIKELY
    assert causes["clock-against-certificate"] is doubted
    assert causes["tls-inspected"] is Confidence.POSSIBLE
