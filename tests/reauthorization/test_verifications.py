"""How a re-authorization reports a verification that waits for a rate limit."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.harness import ANNA, Harness
from support.reauthorization import (
    add_verified_connection,
    change_password_and_detect,
    current_items,
)
from support.shell import Shell

from wizard.cli.flows.reauthorization import exit_code, item_result, print_results
from wizard.cli.flows.verification import VerificationOutcome
from wizard.cli.terminal import Terminal
from wizard.model import GrantState
from wizard.model.states import connection_status
from wizard.reauthorization.plan import ReauthorizationItem
from wizard.timefmt import format_time
from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens

URL = r"http://127\.0\.0\.1:\d+/\w+/accounts/oauth/v2/auth\S+"


@pytest.fixture
def terminal(harness: Harness) -> Terminal:
    terminal = Terminal(harness.services.clock)
    terminal.settings, terminal.services = harness.services.settings, harness.services
    return terminal


def add_rate_limited(harness: Harness, name: str) -> ReauthorizationItem:
    """A consent for `name`, whose verification Zoho then rate-limits."""
    harness.services.reauthorization.begin([name])
    begun = harness.services.authorization.begin(name)
    done = harness.complete_authorization(begun, harness.give_consent(begun))
    assert done.generation is not None, done.failure
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token", times=9)
    harness.verify(name, done.generation)
    harness.controls.clear_faults()
    (item,) = current_items(harness)
    return item


@pytest.mark.parametrize("is_rejected", [True, False])
def test_a_verification_that_waits_for_a_rate_limit_says_only_that(
    harness: Harness, terminal: Terminal, capsys: pytest.CaptureFixture[str], is_rejected: bool
) -> None:
    add_verified_connection(harness, "crm", harness.register_client())
    harness.advance(minutes=11)
    if is_rejected:
        change_password_and_detect(harness, "crm")
    item = add_rate_limited(harness, "crm")
    assert item.retry_at is not None
    until = format_time(item.retry_at, harness.now())

    print_results(terminal, [item])
    name, state, _reaches, verified, _programs = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (name, verified) == ("crm", "")
    assert state == f"… Rate-limited until {until}"

    result = item_result(terminal, item)
    assert (result.state, result.is_verified, result.verified_at) == (
        "rate_limited",
        False,
        None,
    )
    assert result.retry_at == item.retry_at
    assert result.error is not None
    assert result.error.code == "throttled"
    assert exit_code(terminal, item) == 4

    launch = LinkTokens()
    browser, base_url = (
        create_app(harness.services, link_tokens=launch).test_client(),
        "http://localhost:8733",
    )
    browser.get(f"/browser-link/{launch.issue()}", base_url=base_url)
    page = browser.get("/reauthorize", base_url=base_url).text
    assert f"Rate-limited until {until}" in page
    assert "Verified" not in page


def test_a_time_on_another_day_is_shown_with_its_date(
    harness: Harness, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    add_verified_connection(harness, "crm", harness.register_client())
    harness.services.reauthorization.begin(["crm"])
    harness.services.reauthorization.skip("crm")
    harness.advance(hours=30)
    print_results(terminal, list(current_items(harness)))
    verified = capsys.readouterr().out.split("\t")[3]
    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    assert verified.startswith(format_time(grant.granted_at, harness.now()).partition(",")[0])


def test_a_verified_connection_shows_the_time_of_its_verification_everywhere(
    harness: Harness, terminal: Terminal
) -> None:
    add_verified_connection(harness, "crm", harness.register_client())
    change_password_and_detect(harness, "crm")
    harness.advance(minutes=11)
    item = add_rate_limited(harness, "crm")
    assert item.retry_at is not None
    harness.advance(minutes=11)
    harness.verify("crm", item.generation)
    (item,) = current_items(harness)
    result = item_result(terminal, item)
    assert result.is_verified
    assert result.verified_at is not None
    assert result.verified_at > datetime.min.replace(tzinfo=UTC)
    assert result.retry_at is None


@pytest.mark.parametrize("state", GrantState)
def test_only_a_verified_grant_is_called_verified(harness: Harness, state: GrantState) -> None:
    grant = replace(harness.add_verified_connection(), state=state)
    result = VerificationOutcome("crm", grant).result(
        connection_status(current=grant, now=harness.now())
    )
    assert result.is_verified is (result.state == "verified")


def test_connect_reports_a_waiting_verification_as_waiting(
    shell: Shell, shell_harness: Harness
) -> None:
    client = shell_harness.register_client()
    running = shell.start(
        *("connect", "crm", "--preset", "crm-read-leads", "--no-browser", "--json"),
        *("--client", client.client_id),
    )
    # Storing the client took two requests; the exchange is the third, and the refresh waits.
    shell.simulator.controls.change_settings(rate_limit_key="client", token_request_limit=3)
    running.send_line(shell.simulator.controls.authorize(running.wait_for_stderr(URL), ANNA))
    done = running.finish()
    result = json.loads(done.stdout)
    assert done.exit_code == 4
    assert (result["is_verified"], result["state"], result["error"]["code"]) == (
        False,
        "not_verified",
        "throttled",
    )
