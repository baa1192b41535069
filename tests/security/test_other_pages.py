"""What a foreign page in a real browser can do to the wizard and the simulator's controls: from
another site, another port, and a host name rebound to this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from support.browser import CallbackServer

from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import find_browser, is_root
from wizard.web.server import Server

ORIGINS = [
    "http://localhost:{port}",
    *(
        pytest.param(each, marks=pytest.mark.slow)
        for each in ("http://127.0.0.1:{port}", "http://cats.test:{port}")
    ),
]
"""Pages on another port of our host names, and one of another site."""

REQUEST = {
    "as a form would": "fetch(url, {method: 'POST', mode: 'no-cors', body: '{}'})",
    "as JSON": "fetch(url, {method: 'POST', headers: {'Content-Type': 'application/json'}})",
    "to read": "fetch(url.replace('reset', 'users')).then(answer => answer.text())",
}


@pytest.fixture(scope="module")
def rebinding(browser: Browser) -> Iterator[Browser]:
    """A browser for which every name below `.test` is this machine."""
    chosen, kind = os.environ.get("ZOHO_WIZARD_BROWSER"), browser.browser_type
    rebinding = kind.launch(
        executable_path=find_browser(Path(chosen) if chosen else None, Path(kind.executable_path)),
        chromium_sandbox=not is_root(),
        args=["--host-resolver-rules=MAP *.test 127.0.0.1"],
    )
    yield rebinding
    rebinding.close()


@pytest.fixture
def page(rebinding: Browser) -> Iterator[Page]:
    context = rebinding.new_context()
    yield context.new_page()
    context.close()


def test_a_rebound_host_name_gets_no_page_of_the_wizard_or_the_simulator(
    page: Page, server: Server, services: Services, zoho_simulator: Simulator
) -> None:
    page.goto(server.new_browser_link())
    simulator_port = zoho_simulator.url.rpartition(":")[2]
    for port, paths in (
        (
            services.settings.port,
            ("/", "/status", "/callback?state=x", "/static/wizard.js", "/none"),
        ),
        (
            simulator_port,
            ("/_simulator/", "/_simulator/controls/users", "/eu/accounts/oauth/serverinfo"),
        ),
    ):
        for path in paths:
            answer = page.goto(f"http://rebound.test:{port}{path}")
            assert answer is not None
            assert answer.status in (400, 403), path


@pytest.mark.parametrize("origin", ORIGINS)
def test_no_other_page_controls_the_simulator_or_reads_its_users(
    page: Page, callback: CallbackServer, zoho_simulator: Simulator, origin: str
) -> None:
    admin, controls = zoho_simulator.controls, f"{zoho_simulator.url}/_simulator"
    admin.register_client("anna@zylker.example", [], name="Still there")
    port = callback.redirect_uri.removesuffix("/callback").rpartition(":")[2]
    page.goto(origin.format(port=port))
    for how, script in REQUEST.items():
        said = page.evaluate(f"url => {script}.then(String, String)", f"{controls}/controls/reset")
        assert "zylker" not in said, how
    for verb in ("page/reset", "controls/reset"):
        page.goto(origin.format(port=port))
        page.set_content(f"<form method=post action='{controls}/{verb}'><button>Win</button>")
        with page.expect_response(f"{controls}/{verb}") as refused:
            page.get_by_role("button").click()
        assert refused.value.status == 403
    assert [each["name"] for each in admin.state()["clients"]] == ["Still there"]
