"""A wait that the server names: limited to an hour, and overridden by a user once."""

from datetime import timedelta

import pytest
from support.harness import Harness
from support.shell import Shell
from support.tokens import current_grant, token_failure
from support.web_visitor import Visitor

from wizard.model import StepState
from wizard.tokens.budgets import RefreshPurpose
from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens
from wizard.zoho import limits

TOKEN = "oauth/v2/token"
YEAR_2999 = "Wed, 01 Jan 2999 00:00:00 GMT"
OFFER = "Check once despite the wait"
FAULTS = {"rate-limit": "throttled", "data-center-down": "data-center-down"}


def locked_out(harness: Harness, kind: str = "rate-limit", named: str = YEAR_2999) -> Harness:
    """A verified connection without a cached token, whose client Zoho has rate-limited."""
    harness.add_verified_connection()
    harness.advance(minutes=11)  # so that the budget is unused
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault(kind, endpoint=TOKEN, retry_after=named)
    assert token_failure(harness).code == FAULTS[kind]
    harness.controls.clear_faults()
    harness.controls.clear_journal()
    return harness


def insisted(harness: Harness) -> str:
    """Check the connection despite the wait; return the code of the failure."""
    [verdict] = harness.services.checks.check(["crm"], purpose=RefreshPurpose.INSISTED)
    return verdict.failure.code if verdict.failure else ""


@pytest.mark.parametrize("kind", FAULTS)
def test_a_wait_until_the_year_2999_ends_after_an_hour(harness: Harness, kind: str) -> None:
    locked_out(harness, kind)
    failure = token_failure(harness)
    assert failure.retry_at is not None
    assert failure.retry_at - harness.now() <= timedelta(hours=1)
    harness.advance(minutes=61)
    assert harness.services.tokens.access_token("crm").value


@pytest.mark.parametrize("kind", FAULTS)
def test_a_user_may_retry_once_and_a_success_ends_the_wait_for_all(
    harness: Harness, kind: str
) -> None:
    locked_out(harness, kind)
    assert insisted(harness) == ""
    assert len(harness.refresh_requests()) == 1
    harness.services.token_cache.remove("crm")
    assert harness.services.tokens.access_token("crm").value
    noted = [each.kind for each in harness.services.store.events.of_connection("crm")]
    assert noted.count("wait-ignored") == 1


def test_a_user_may_retry_once_even_if_the_network_fails(harness: Harness) -> None:
    locked_out(harness)
    harness.controls.inject_fault("data-center-down", endpoint=TOKEN, times=9)
    [verdict] = harness.services.checks.check(["crm"], purpose=RefreshPurpose.INSISTED)
    assert verdict.failure is not None
    assert verdict.failure.code == "data-center-down"
    assert len([e for e in harness.controls.journal() if e["path"].endswith(TOKEN)]) == 1
    asked = [ask.outcome for ask in harness.services.request_log.view("crm").requests]
    assert asked.count("data-center-down") == 1
    assert token_failure(harness).code == "throttled"


def test_no_retry_exceeds_our_own_budget(harness: Harness) -> None:
    locked_out(harness)
    harness.controls.inject_fault("rate-limit", endpoint=TOKEN, times=99, retry_after="3600")
    codes = [insisted(harness) for _ in range(9)]
    left = harness.services.request_log.view("crm").token_requests_left
    assert left == 0
    assert codes == ["throttled"] * 5 + ["token-budget"] * 4


def test_a_rejected_grant_is_found_rejected_despite_the_wait(harness: Harness) -> None:
    locked_out(harness)
    harness.controls.change_password("anna@zylker.example")
    assert insisted(harness) == "refresh-token-rejected"
    assert [each["outcome"] for each in harness.refresh_requests()] == ["invalid_code"] * 2


@pytest.mark.slow
def test_the_command_retries_one_connection_despite_the_wait(
    shell: Shell, shell_harness: Harness
) -> None:
    locked_out(shell_harness)
    refused = shell.run("check", "crm")
    assert refused.exit_code == 4
    assert "zoho-wizard check crm --ignore-wait" in refused.stderr
    assert shell.run("check", "--ignore-wait").exit_code == 2
    assert shell.run("check", "--all", "--ignore-wait").exit_code == 2
    assert shell_harness.refresh_requests() == []
    done = shell.run("check", "crm", "--ignore-wait")
    assert (done.exit_code, len(shell_harness.refresh_requests())) == (0, 1)
    assert "despite a wait" in shell.run("show", "crm").stdout
    assert shell.run("token", "crm").exit_code == 0


def signed_in(harness: Harness) -> Visitor:
    """A browser that is signed in to the pages of these services."""
    launch = LinkTokens()
    visitor = Visitor(
        create_app(harness.services, link_tokens=launch).test_client(), harness.services, launch
    )
    visitor.sign_in()
    return visitor


def test_the_page_offers_a_consent_despite_the_wait_within_the_budget(harness: Harness) -> None:
    visitor = signed_in(locked_out(harness))
    refused = visitor.submit_form("/connections/crm/authorize")
    assert (refused.status_code, "Continue anyway" in refused.text) == (503, True)
    for _ in range(limits().codes_budget):
        assert visitor.submit_form("/connections/crm/authorize", force="yes").status_code == 303
        harness.advance(seconds=1)
    assert visitor.submit_form("/connections/crm/authorize", force="yes").status_code == 503


def test_the_page_adds_scopes_despite_the_wait(harness: Harness) -> None:
    visitor = signed_in(locked_out(harness))
    fields = {"name": "crm", "scope": "ZohoBooks.settings.READ"}
    refused = visitor.submit_form("/extend-scope", **fields)
    assert (refused.status_code, "Continue anyway" in refused.text) == (503, True)
    assert 'href="/connections/crm"' in refused.text
    begun = visitor.submit_form("/extend-scope", **fields, force="yes")
    assert (begun.status_code, fields["scope"] in begun.location) == (303, True)


def test_the_page_offers_a_retry_despite_the_wait(harness: Harness) -> None:
    locked_out(harness)
    grant = current_grant(harness)
    assert [step.state for step in harness.verify("crm", grant.generation)] == [StepState.FAILED]
    visitor = signed_in(harness)
    assert OFFER in visitor.get("/connections/crm").text
    assert visitor.submit_form("/connections/crm/verify").status_code == 303
    harness.services.verification_worker.stop()
    assert harness.refresh_requests() == []
    assert (
        visitor.submit_form("/connections/crm/verify", **{"ignore-wait": "yes"}).status_code == 303
    )
    harness.services.verification_worker.stop()
    assert len(harness.refresh_requests()) == 1
    assert OFFER not in visitor.get("/connections/crm").text
