"""The page of a connection: its actions, and what it says about a connection that failed."""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest
from support.claims import over_rows
from support.diagnosis import reject_all
from support.harness import ANNA, Harness
from support.reauthorization import authorize
from support.tokens import wait_for
from support.web_visitor import Visitor

from wizard.clients import AssistedConnection, ConnectionRequest
from wizard.simulator.server import Simulator
from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens

PAGE = "/connections/crm"


@pytest.fixture
def at_harness(harness: Harness) -> Visitor:
    """A signed-in visitor of the pages of `harness`."""
    link_tokens = LinkTokens()
    app = create_app(harness.services, link_tokens=link_tokens)
    visitor = Visitor(app.test_client(), harness.services, link_tokens)
    visitor.sign_in()
    return visitor


@dataclass
class OpenWindow:
    """An assisted window whose process hasn't ended."""

    explanation: None = None
    is_running: bool = True

    def stop(self) -> None:
        self.is_running = False


def test_a_verification_by_an_assisted_window_is_shown_as_running(harness: Harness) -> None:
    harness.add_connection("crm")
    harness.authorize("crm")
    link_tokens, window = LinkTokens(), OpenWindow()
    app = create_app(harness.services, link_tokens=link_tokens, start_assist=lambda _: window)
    request = ConnectionRequest((), ("ZohoCRM.org.READ",), "eu")
    app.extensions["connection_assistance"].start(AssistedConnection("crm", request))
    visitor = Visitor(app.test_client(), harness.services, link_tokens)
    visitor.sign_in()
    assert 'data-poll-url="/connections/crm/verification-steps"' in visitor.get(PAGE).text
    window.stop()
    assert "data-poll-url" not in visitor.get(PAGE).text


def test_a_check_renews_the_age_of_the_verification(
    connected: Visitor, zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.advance(4 * 60)
    assert "Verified 4 minutes ago" in connected.get("/connections/leads").text
    assert connected.submit_form("/connections/leads/check").location == "/connections/leads"
    wait_for(lambda: connected.services.background_checks.progress() is None)
    assert "Verified just now" in connected.get("/connections/leads").text


def test_a_connection_is_renamed(connected: Visitor) -> None:
    renamed = connected.submit_form("/connections/leads/rename", new_name=" sales ")
    assert renamed.location == "/connections/sales"
    assert "zoho-wizard token sales" in connected.get("/connections/sales").text
    refused = connected.submit_form("/connections/sales/rename", new_name="new")
    assert refused.status_code >= 400
    assert [each.name for each in connected.services.store.connections.all()] == ["sales"]


def test_owner_tags_and_note_are_saved_and_cleared(connected: Visitor) -> None:
    connected.submit_form("/connections/leads/edit", owner=ANNA, tags="prod, billing", note="N 1")
    stored = connected.services.store.connections.get("leads")
    assert (stored.owner, stored.tags, stored.note) == (ANNA, ("billing", "prod"), "N 1")
    assert "billing, prod · N 1" in connected.get("/connections/leads").text
    connected.submit_form("/connections/leads/edit")
    stored = connected.services.store.connections.get("leads")
    assert (stored.owner, stored.tags, stored.note) == ("", (), "")


def test_connections_that_stopped_together_are_reauthorized_together(
    at_harness: Visitor, harness: Harness
) -> None:
    reject_all(harness, "books", "crm", "desk")
    page = at_harness.get("/connections/crm").text
    assert 'href="/reauthorize?names=books+crm+desk">Re-authorize 3 connections</a>' in page
    assert 'class="confidence likely"' in page
    assert f"Sign in as {ANNA}." in page


def test_a_connection_that_probably_stopped_with_another_is_reauthorized_with_it(
    at_harness: Visitor, harness: Harness
) -> None:
    client = harness.register_client()
    names = ("books", "crm", "desk")
    for name in names:
        harness.add_connection(name, client)
        authorize(harness, name)
    harness.controls.change_password(ANNA)
    for name in names:
        harness.services.checks.check([name])  # the first one uses the last request for checks
    for name in names:
        page = at_harness.get(f"/connections/{name}").text
        assert 'href="/reauthorize?names=books+crm+desk">Re-authorize 3 connections</a>' in page
        assert "We don’t know why yet" not in page


def test_a_rejected_connection_without_evidence_names_no_cause(
    at_harness: Visitor, harness: Harness
) -> None:
    reject_all(harness, "crm")
    page = at_harness.get("/connections/crm").text
    assert "We don’t know why yet. Re-authorizing usually fixes it." in page
    assert 'class="confidence likely"' not in page
    assert "Re-authorize 1" not in page


def test_the_report_of_a_rejected_authorization_has_no_check_marks(
    at_harness: Visitor, harness: Harness
) -> None:
    reject_all(harness, "crm")
    page = at_harness.get("/connections/crm").text
    assert '<div class="report outdated"' in page
    assert "report-badge" not in page


def test_a_report_says_nothing_current_after_the_access_token_was_rejected(
    at_harness: Visitor, harness: Harness
) -> None:
    grant = harness.add_verified_connection("crm")
    for _ in range(5):  # no request is left to test the refresh token
        harness.services.tokens.refresh_grant(grant)
    harness.controls.change_password(ANNA)
    harness.services.checks.check(["crm"])
    page = at_harness.get("/connections/crm").text
    assert '<div class="report outdated"' in page
    assert "This reached Zylker GmbH" in page


def test_the_user_who_pressed_reject_is_not_asked_whether_anyone_did(
    at_harness: Visitor, harness: Harness
) -> None:
    harness.add_connection("crm")
    begun = harness.services.authorization.begin("crm")
    state = parse_qs(urlsplit(begun.url).query)["state"][0]
    callback = f"{harness.services.settings.redirect_uri}?error=access_denied&state={state}"
    harness.complete_authorization(begun, callback)
    page = at_harness.get("/connections/crm").text
    assert '<section class="card explanation information"' in page
    assert 'class="question"' not in page
    assert '<span class="badge bad">' not in page


@over_rows("generation", ["", "-1", "٣", "1e3", "9" * 30, "9" * 5000])
def test_a_number_that_no_authorization_has_is_refused(connected: Visitor, generation: str) -> None:
    for decision in ("accept", "discard"):
        answer = connected.submit_form(f"/connections/leads/{decision}", generation=generation)
        assert answer.status_code == 400
