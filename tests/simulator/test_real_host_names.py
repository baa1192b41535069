"""Zoho's real host names: the proxy, the authority of the run, and the URLs in answers."""

import http.client
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from support.zoho_driver import ANNA, ZohoDriver, query_parameters

from wizard import zoho
from wizard.simulator.authority import Authority
from wizard.simulator.configuration import Configuration
from wizard.simulator.host_names import host_names, route_of
from wizard.simulator.proxy import STALLED_SECONDS
from wizard.simulator.server import RealHostNames, Simulator


@pytest.fixture
def simulated() -> Iterator[Simulator]:
    with Simulator(Configuration(port=0, real_hostnames=True)) as simulator:
        yield simulator


def names_of(simulator: Simulator) -> RealHostNames:
    assert simulator.real_host_names
    return simulator.real_host_names


def strict_context(authority: str) -> ssl.SSLContext:
    """A client's context that verifies as RFC 5280 demands, the default of Python 3.13."""
    context = ssl.create_default_context(cadata=authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def send(
    simulator: Simulator, url: str, method: str = "GET", body: str = "", **headers: str
) -> Any:
    """Send a request through the proxy by CONNECT; return the response, read."""
    names, parts = names_of(simulator), urlsplit(url)
    proxy = urlsplit(names.proxy_url)
    context = strict_context(names.authority_file.read_text())
    connection = http.client.HTTPSConnection(
        proxy.hostname or "", proxy.port, context=context, timeout=10
    )
    connection.set_tunnel(parts.hostname or "", parts.port or 443)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body or None, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def send_raw(simulator: Simulator, text: str) -> str:
    """Send text to the proxy without TLS; return all that comes back."""
    proxy = urlsplit(names_of(simulator).proxy_url)
    with socket.create_connection((proxy.hostname, proxy.port or 0), 10) as client:
        client.sendall(text.encode())
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


@pytest.mark.rule("hosts-of-a-data-center")
def test_the_simulator_answers_for_every_host_of_the_wizards_own_table() -> None:
    live = zoho.load()
    urls = (*live.allowed_base_urls, *(each.console_url for each in live.data_centers))
    simulated = zoho.load("http://127.0.0.1:1")
    paths = [
        *(each.removeprefix("http://127.0.0.1:1") for each in simulated.allowed_base_urls),
        *(f"/{each.location}/api-console" for each in simulated.data_centers),
    ]
    assert [(route_of(url) or "").rstrip("/") for url in urls] == paths
    bare = {name for name in host_names() if name.startswith("zohoapis.")}
    assert len(bare) == len(live.data_centers)


@pytest.mark.rule("names-of-the-shared-api-host")
def test_every_origin_in_an_answer_is_a_real_one(simulated: Simulator) -> None:
    driver = ZohoDriver(simulated)
    _, _, text = send(simulated, "https://accounts.zoho.com/oauth/serverinfo")
    servers = json.loads(text)["locations"]
    assert servers["au"] == "https://accounts.zoho.com.au"
    assert servers["ca"] == "https://accounts.zohocloud.ca"

    asked = driver.authorization_url().replace(
        f"{driver.url}/eu/accounts", "https://accounts.zoho.eu"
    )
    status, headers, _ = send(simulated, asked)
    assert (status, headers["Location"].partition("?")[0]) == (302, "/signin")
    callback = query_parameters(simulated.controls.authorize(asked, ANNA))
    assert callback["accounts-server"] == "https://accounts.zoho.eu"

    form = f"grant_type=authorization_code&code={callback['code']}&redirect_uri="
    form += "http%3A%2F%2Flocalhost%3A8723%2Fcallback&client_id={client_id}&client_secret="
    form = form.format(**driver.credentials) + driver.credentials["client_secret"]
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    _, _, text = send(simulated, "https://accounts.zoho.eu/oauth/v2/token", "POST", form, **kind)
    tokens = json.loads(text)
    assert tokens["api_domain"] == "https://www.zohoapis.eu"

    token = {"Authorization": f"Zoho-oauthtoken {tokens['access_token']}"}
    for host in ("www.zohoapis.eu", "zohoapis.eu", "content.zohoapis.eu", "sandbox.zohoapis.eu"):
        status, _, text = send(simulated, f"https://{host}/crm/v8/org", **token)
        assert (status, json.loads(text)["org"][0]["company_name"]) == (200, "Zylker GmbH")

    simulated.controls.inject_fault("redirect", endpoint="serverinfo")
    _, headers, _ = send(simulated, "https://accounts.zoho.eu/oauth/serverinfo")
    assert headers["Location"] == "https://accounts.zoho.eu/elsewhere"
    assert driver.issue_tokens()["api_domain"] == f"{driver.url}/eu/www", "asked at its own URL"
    journal = [(each["location"], each["host"]) for each in simulated.controls.journal()]
    assert journal[0] == ("us", "accounts")
    assert ("eu", "www") in journal


@pytest.mark.rule("one-session-for-accounts-server-and-console")
def test_the_session_of_a_data_center_is_for_its_accounts_server_and_its_console(
    simulated: Simulator,
) -> None:
    _, headers, text = send(simulated, "https://accounts.zoho.eu/signin")
    cookie = next(each for each in headers.get_all("Set-Cookie") if "session" in each)
    assert {"Domain=zoho.eu", "Path=/", "Secure", "HttpOnly"} <= set(cookie.split("; "))
    assert f'href="{simulated.url}/_simulator/"' in text
    _, headers, _ = send(simulated, "https://api-console.zoho.eu/add")
    assert headers["Location"].startswith("https://accounts.zoho.eu/signin?")


def test_controls_are_not_reached_at_a_real_name(simulated: Simulator) -> None:
    status, _, _ = send(simulated, "https://accounts.zoho.eu/_simulator/controls/state")
    assert status == 403
    status, _, _ = send(simulated, "https://accounts.zoho.eu/_simulator/static/simulator.css")
    assert status == 200
    status, _, _ = send(simulated, "https://accounts.zoho.eu/x", Host="accounts.zoho.example")
    assert status == 421


def test_a_request_with_a_whole_url_is_answered_too(simulated: Simulator) -> None:
    url = "https://accounts.zoho.eu/oauth/serverinfo?x=1"
    answer = send_raw(simulated, f"GET {url} HTTP/1.1\r\nProxy-Connection: keep-alive\r\n\r\n")
    assert answer.startswith("HTTP/1.1 200")
    assert '"us":"https://accounts.zoho.com"' in answer


def test_other_hosts_and_unencrypted_requests_are_refused(simulated: Simulator) -> None:
    for line in (
        "CONNECT accounts.zoho.example:443",
        "CONNECT accounts.zoho.eu:80",
        "CONNECT 127.0.0.1:443",
        "GET http://me:secret@accounts.zoho.eu/?token=secret",
        "CONNECT secret@accounts.zoho.eu:22",
        "GET https://accounts.zoho.eu.example/",
    ):
        assert send_raw(simulated, f"{line} HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 403"), line
    assert send_raw(simulated, "GET / HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 403")
    assert send_raw(simulated, "hello\r\n\r\n").startswith("HTTP/1.1 400")
    assert {"accounts.zoho.example", "http://accounts.zoho.eu"} < simulated.refused_hosts
    assert not [each for each in simulated.refused_hosts if "secret" in each]


def test_the_proxy_stays_on_this_computer_wherever_the_simulator_listens() -> None:
    configuration = Configuration(port=0, listen="0.0.0.0", allow_remote=True, real_hostnames=True)
    with Simulator(configuration) as simulator:
        proxy = urlsplit(names_of(simulator).proxy_url)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", proxy.port or 0), 10)


@pytest.mark.needs("openssl")
def test_openssl_verifies_the_certificate_strictly(simulated: Simulator) -> None:
    names = names_of(simulated)
    words = ["openssl", "s_client", "-connect", "accounts.zoho.eu:443", "-verify_return_error"]
    words += ["-proxy", names.proxy_url.removeprefix("http://"), "-x509_strict", "-brief"]
    words += ["-CAfile", str(names.authority_file), "-verify_hostname", "accounts.zoho.eu"]
    done = subprocess.run(words, input="", capture_output=True, text=True, timeout=10)
    assert "Verification: OK" in done.stderr
    assert "Verified peername: accounts.zoho.eu" in done.stderr


def handshake(authority: Authority, host_name: str, directory: Path) -> None:
    """Verify the authority's certificate for a name, without a network."""
    server_in, client_in = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = strict_context(authority.write(directory).read_text()).wrap_bio(
        client_in, server_in, server_hostname=host_name
    )
    server = authority.server_context.wrap_bio(server_in, client_in, server_side=True)
    waiting: list[Callable[[], None]] = [client.do_handshake, server.do_handshake]
    for _ in range(6):
        for each in tuple(waiting):
            try:
                each()
                waiting.remove(each)
            except ssl.SSLWantReadError:
                pass
    assert waiting == []


def test_a_trusted_authority_is_good_for_zohos_domains_only(tmp_path: Path) -> None:
    handshake(Authority(("accounts.zoho.eu",), ("zoho.eu",)), "accounts.zoho.eu", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        handshake(Authority(("bank.example",), ("zoho.eu",)), "bank.example", tmp_path)
    authority = Authority(("accounts.zoho.eu",), ("zoho.eu",))
    limits = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert limits.critical
    excluded = {str(each.value) for each in limits.value.excluded_subtrees or ()}
    assert excluded == {"0.0.0.0/0", "::/0"}
    valid = authority.certificate.not_valid_after_utc - authority.certificate.not_valid_before_utc
    assert valid.days <= 7


def test_a_stopped_simulator_ends_its_connections_and_removes_the_authority() -> None:
    with Simulator(Configuration(port=0, real_hostnames=True)) as simulator:
        names = names_of(simulator)
        proxy = urlsplit(names.proxy_url)
        client = socket.create_connection((proxy.hostname, proxy.port or 0), 10)
        client.sendall(b"CONNECT accounts.zoho.eu:443 HTTP/1.1\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        # By the end of another request, the proxy waits for the handshake of the first.
        assert send(simulator, "https://accounts.zoho.eu/oauth/serverinfo")[0] == 200
        began = time.monotonic()
    assert time.monotonic() - began < STALLED_SECONDS / 2
    with client:
        assert client.recv(100) == b""
    assert not names.authority_file.exists()
