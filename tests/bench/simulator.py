"""The simulator's token endpoint and a list of CRM, compared with a bare waitress."""

import statistics
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from support.harness import ANNA

from bench.installation import Installation
from bench.measurements import Measurement, clean_environment, ratio
from bench.server_process import running_server
from wizard.simulator.remote import RemoteSimulator

BARE_SERVER = str(Path(__file__).with_name("bare_waitress.py"))
CLIENTS = 4
"""Programs that send requests at once, each over one connection."""
REQUESTS = 400
ROUNDS = 5
SETTINGS = ("token_request_limit=1000000", "access_tokens_per_refresh_token=10")
SCOPE = "ZohoCRM.modules.ALL"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def measure(installation: Installation) -> Iterator[Measurement]:
    """Requests per second; the servers alternate, so that load affects them alike."""
    environment = clean_environment()
    options = [word for each in SETTINGS for word in ("--set", each)]
    with (
        running_server([installation.python, BARE_SERVER], environment) as bare,
        running_server([installation.wizard, "simulator", "--port", "0", *options], environment)
        as ours,
    ):  # fmt: skip
        bare_url = bare.wait_for_output(r"http://\S+")
        simulator = RemoteSimulator(ours.wait_for_output(r"http://127\.0\.0\.1:\d+"))
        tokens = simulator.controls.issue_tokens(ANNA, SCOPE)
        refresh = urlencode({**tokens, "grant_type": "refresh_token"})
        bearer = {"Authorization": f"Zoho-oauthtoken {tokens['access_token']}"}
        of_bare = partial(_rate, bare_url)
        of_ours = partial(_rate, simulator.url)
        requests = {
            "token endpoint": ("POST", "/eu/accounts/oauth/v2/token", refresh, FORM),
            "list of CRM’s leads": ("GET", "/eu/www/crm/v8/Leads?fields=Last_Name", "", bearer),
        }
        # The access token of the list is evicted by the refreshes, so they come last.
        for name, request in reversed(requests.items()):
            rounds = [(of_ours(*request), of_bare(*request)) for _ in range(ROUNDS)]
            seen, against = (statistics.median(each) for each in zip(*rounds, strict=True))
            yield Measurement(
                f"the simulator’s {name}, {CLIENTS} clients",
                f"{seen:.0f} per second",
                f"waitress with a constant response, {against:.0f} per second",
                ratio(seen, against),
            )


def _rate(url: str, method: str, path: str, body: str, headers: Mapping[str, str]) -> float:
    send = partial(_send, url, method, path, body, headers)
    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        for done in [clients.submit(send) for _ in range(CLIENTS)]:
            done.result()
    return REQUESTS / (time.perf_counter() - begun)


def _send(url: str, method: str, path: str, body: str, headers: Mapping[str, str]) -> None:
    """Send a share of the requests, one after the other, over one connection."""
    connection = HTTPConnection(urlsplit(url).netloc)
    for _ in range(REQUESTS // CLIENTS):
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        assert b'"error"' not in answer, answer
    connection.close()
