"""Ten connections rejected after three password changes, re-authorized on one page."""

import re
from collections.abc import Sequence

import pytest
from playwright.sync_api import Page, expect
from support.browser import accessibility_violations
from support.diagnosis import detect_rejection
from support.harness import ANNA, BOB, CARLA, ERIC, FIRST_ORGANIZATION, add_eric
from support.user_journey import Journey
from support.wizard_pages import ReauthorizationPage

from wizard.model import Client, GrantState
from wizard.simulator.simulated_user import ConsentPage, SimulatedUser

MOST_ACTIONS = 12
"""Manually, with only Zoho's pages and curl, it takes about 90."""


def check_accessibility(page: Page) -> None:
    assert accessibility_violations(page) == [], page.url


def add_verified_connections(
    journey: Journey, client: Client, email: str, names: Sequence[str]
) -> None:
    """Connections of one account with one client, verified outside the browser."""
    for name in names:
        journey.add_connection(name, client)
        done = journey.authorize(name, email)
        assert done.generation is not None, done.failure
        journey.verify(name, done.generation)


def reject_grants(journey: Journey, *emails: str) -> tuple[str, ...]:
    """Let time pass, change the passwords and revoke tokens, and let the wizard detect it."""
    journey.advance(minutes=11)
    for email in emails:
        journey.controls.change_password(email)
    names = [each.name for each in journey.services.store.connections.all()]
    detect_rejection(journey, *names)
    assert set(journey.services.reauthorization.rejected_connections()) == set(names)
    return tuple(names)


def ten_rejected(journey: Journey) -> tuple[str, ...]:
    """Ten rejected connections of three accounts, with two clients in two data centers."""
    add_eric(journey)
    europe = journey.register_client("Europe")
    india = journey.register_client("India", BOB)
    add_verified_connections(journey, europe, ANNA, [f"anna-{number}" for number in range(4)])
    add_verified_connections(journey, europe, ERIC, [f"eric-{number}" for number in range(3)])
    add_verified_connections(journey, india, BOB, [f"bob-{number}" for number in range(3)])
    return reject_grants(journey, ANNA, ERIC, BOB)


def accept_until(journey: Journey, page: ReauthorizationPage) -> None:
    """Press Accept as long as the next consent opens automatically."""
    while True:
        ConsentPage(journey.person).accept()
        page.wait_for_next_step()
        if not page.is_at_consent:
            return


def sign_in_as(journey: Journey, page: ReauthorizationPage, email: str) -> None:
    """Follow the page to Zoho as a different user."""
    page.switch_to(email)
    journey.sign_in(email)


@pytest.mark.slow
def test_ten_connections_of_three_accounts_are_reauthorized_in_twelve_actions(
    journey: Journey,
) -> None:
    names = ten_rejected(journey)
    journey.open_wizard("/reauthorize")
    page = ReauthorizationPage(journey.person)
    expect(page.heading).to_have_text("Re-authorize 10 connections")
    page.begin()
    journey.sign_in(ANNA)
    accept_until(journey, page)
    for email in (BOB, ERIC):
        sign_in_as(journey, page, email)
        accept_until(journey, page)
    expect(page.heading).to_have_text("10 of 10 connections re-authorized")
    assert page.rows.count() == 10
    expect(page.rows.filter(has_text="This reaches")).to_have_count(10)
    grants = [journey.services.store.grants.get(name) for name in names]
    assert {grant.state for grant in grants if grant} == {GrantState.VERIFIED}
    assert journey.person.actions < MOST_ACTIONS, journey.person.counter.log


def three_rejected(journey: Journey) -> tuple[str, ...]:
    """Three rejected connections of anna's, with one client."""
    add_verified_connections(journey, journey.register_client(), ANNA, ("books", "crm", "leads"))
    return reject_grants(journey, ANNA)


def started_reauthorization(journey: Journey) -> ReauthorizationPage:
    """A re-authorization of three, at its first consent."""
    three_rejected(journey)
    journey.open_wizard()
    journey.person.click(journey.page.get_by_role("link", name="Re-authorize 3 connections"))
    page = ReauthorizationPage(journey.person)
    page.begin()
    return page


def accept_one(journey: Journey, page: ReauthorizationPage) -> None:
    """Press Accept; the next consent opens automatically."""
    ConsentPage(journey.person).accept()
    page.wait_for_next_step()
    assert page.is_at_consent


@pytest.mark.slow
def test_a_refused_consent_midway_stops_nothing_and_can_be_retried(journey: Journey) -> None:
    page = started_reauthorization(journey)
    journey.sign_in(ANNA)
    accept_one(journey, page)
    ConsentPage(journey.person).reject()
    expect(page.row("crm")).to_contain_text("Not authorized")
    page.press("Continue")
    accept_until(journey, page)
    expect(page.next_step).to_contain_text("crm wasn’t re-authorized")
    page.press("Go to Zoho again")
    accept_until(journey, page)
    expect(page.heading).to_have_text("3 of 3 connections re-authorized")


@pytest.mark.slow
def test_a_different_account_at_the_third_consent_waits_for_a_decision_before_replacing_anything(
    journey: Journey,
) -> None:
    page = started_reauthorization(journey)
    add_eric(journey)
    journey.sign_in(ANNA)
    accept_one(journey, page)
    accept_one(journey, page)
    journey.sign_out()
    journey.sign_in(ERIC)
    ConsentPage(journey.person).accept()
    page.wait_for_next_step()
    expect(page.next_step).to_contain_text(ERIC)
    expect(page.next_step).to_contain_text(ANNA)
    previous = journey.services.store.grants.get("leads")
    assert previous is not None
    assert previous.state is GrantState.NEEDS_REAUTHORIZATION, "the previous one is still current"
    assert journey.controls.state()["active_refresh_tokens"] == 3
    page.press("Discard and try again")
    expect(page.next_step).to_contain_text(f"Sign in as {ANNA}")
    assert journey.controls.state()["active_refresh_tokens"] == 2, (
        "the one of the different account was revoked"
    )
    sign_in_as(journey, page, ANNA)
    accept_until(journey, page)
    expect(page.heading).to_have_text("3 of 3 connections re-authorized")


@pytest.mark.slow
def test_a_different_organization_waits_for_a_decision_and_may_be_accepted(
    journey: Journey,
) -> None:
    journey.add_connection("crm", journey.register_client())
    done = journey.authorize("crm", CARLA, FIRST_ORGANIZATION)
    journey.verify("crm", done.generation or 0)
    reject_grants(journey, CARLA)
    journey.open_wizard("/reauthorize")
    page = ReauthorizationPage(journey.person)
    page.begin()
    journey.sign_in(CARLA)
    ConsentPage(journey.person).choose_organization("Zylker Outlet")
    ConsentPage(journey.person).accept()
    page.wait_for_next_step()
    expect(page.next_step).to_contain_text("Zylker Outlet")
    expect(page.next_step).to_contain_text("Zylker GmbH")
    page.press("Use the new one")
    expect(page.heading).to_have_text("1 of 1 connection re-authorized")
    grant = journey.services.store.grants.get("crm")
    assert grant is not None
    assert grant.organizations[0].name == "Zylker Outlet"


@pytest.mark.slow
def test_a_reauthorization_is_paused_and_continues_in_another_browser(
    journey: Journey, private_window: SimulatedUser
) -> None:
    page = started_reauthorization(journey)
    journey.sign_in(ANNA)
    accept_one(journey, page)
    journey.page.close()
    journey.open_wizard("/", private_window)
    private_window.click(private_window.page.get_by_role("link", name="Continue", exact=True))
    page = ReauthorizationPage(private_window)
    expect(page.row("books")).to_contain_text("Re-authorized")
    expect(page.row("crm")).to_contain_text("Waiting for consent")
    page.press("Pause")
    expect(page.next_step).to_contain_text("Paused")
    page.press("Continue")
    page.press("Skip crm")
    expect(page.row("crm")).to_contain_text("Skipped")


@pytest.mark.slow
def test_of_ten_with_one_client_the_ninth_waits_and_the_rest_opens_automatically(
    journey: Journey,
) -> None:
    client = journey.register_client()
    names = [f"crm-{number}" for number in range(10)]
    add_verified_connections(journey, client, ANNA, names[:7])
    journey.advance(minutes=11)
    add_verified_connections(journey, client, ANNA, names[7:])
    reject_grants(journey, ANNA)
    journey.open_wizard("/reauthorize")
    page = ReauthorizationPage(journey.person)
    expect(journey.page.get_by_text("The last one starts in about 10 min")).to_be_visible()
    page.begin()
    journey.sign_in(ANNA)
    for _ in range(7):
        accept_one(journey, page)
    ConsentPage(journey.person).accept()
    expect(page.next_step.get_by_role("timer")).to_have_text(re.compile(r"^\d+:\d\d$"))
    expect(page.rows.filter(has_text="Re-authorized")).to_have_count(8)
    journey.advance(minutes=10)
    page.wait_for_next_step()
    accept_until(journey, page)
    expect(page.heading).to_have_text("10 of 10 connections re-authorized")
    assert journey.person.actions <= MOST_ACTIONS, journey.person.counter.log


@pytest.mark.slow
def test_a_rate_limit_midway_is_counted_down_and_the_run_continues(journey: Journey) -> None:
    page = started_reauthorization(journey)
    journey.sign_in(ANNA)
    accept_one(journey, page)
    journey.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    ConsentPage(journey.person).accept()
    expect(page.next_step).to_contain_text("The next approval opens in")
    expect(page.row("crm")).to_contain_text("Not started")
    journey.advance(minutes=10)
    page.wait_for_next_step()
    accept_until(journey, page)
    expect(page.heading).to_have_text("3 of 3 connections re-authorized")


@pytest.mark.slow
def test_an_interrupted_verification_is_repeated_automatically(journey: Journey) -> None:
    page = started_reauthorization(journey)
    journey.sign_in(ANNA)
    journey.controls.inject_fault("data-center-down", endpoint="crm/v8/org")
    ConsentPage(journey.person).accept()
    expect(page.next_step).to_contain_text("Verification of books continues")
    expect(page.row("books")).to_contain_text("Retrying at")
    journey.advance(minutes=2)
    page.wait_for_next_step()
    accept_until(journey, page)
    expect(page.heading).to_have_text("3 of 3 connections re-authorized")


@pytest.mark.slow
def test_the_ninth_consent_of_a_client_waits_and_shows_how_long(journey: Journey) -> None:
    page = started_reauthorization(journey)
    client = journey.services.store.clients.all()[0]
    for _ in range(7):
        journey.services.request_log.record_authorization(client.client_id, "eu", "crm")
    journey.sign_in(ANNA)
    ConsentPage(journey.person).accept()
    expect(page.next_step.get_by_role("timer")).to_be_visible()
    journey.advance(minutes=10)
    page.wait_for_next_step()
    assert page.is_at_consent, "it opened automatically"


@pytest.mark.slow
def test_a_reauthorization_finished_in_a_terminal_still_shows_its_reports(journey: Journey) -> None:
    page = started_reauthorization(journey)
    journey.sign_in(ANNA)
    accept_until(journey, page)
    expect(page.heading).to_have_text("3 of 3 connections re-authorized")
    journey.services.reauthorization.end()
    journey.page.reload()
    expect(page.rows.filter(has_text="This reaches")).to_have_count(3)
    journey.controls.change_password(ANNA)
    detect_rejection(journey, "books", "crm", "leads")
    journey.page.reload()
    expect(page.heading).to_have_text("Re-authorize 3 connections")


@pytest.mark.slow
def test_a_connection_rejected_again_before_the_end_is_reauthorized_again(journey: Journey) -> None:
    page = started_reauthorization(journey)
    journey.sign_in(ANNA)
    accept_until(journey, page)
    journey.advance(minutes=11)
    journey.controls.change_password(ANNA)
    detect_rejection(journey, "crm")
    journey.open_wizard()
    journey.person.click(journey.page.get_by_role("link", name="Re-authorize 1 connection"))
    page.begin()
    journey.sign_in(ANNA)
    accept_until(journey, page)
    expect(page.heading).to_have_text("3 of 3 connections re-authorized")
    grant = journey.services.store.grants.get("crm")
    assert grant is not None
    assert (grant.generation, grant.state) == (3, GrantState.VERIFIED)


@pytest.mark.slow
def test_without_scripts_a_button_leads_from_consent_to_consent(journey: Journey) -> None:
    three_rejected(journey)
    journey.page.route("**/wizard.js", lambda route: route.abort())
    journey.open_wizard("/reauthorize")
    page = ReauthorizationPage(journey.person)
    page.begin()
    journey.sign_in(ANNA)
    for _ in range(2):
        ConsentPage(journey.person).accept()
        journey.services.verification_worker.stop()
        journey.page.reload()
        page.press("Continue")
    ConsentPage(journey.person).accept()
    journey.services.verification_worker.stop()
    journey.page.reload()
    expect(page.heading).to_have_text("3 of 3 connections re-authorized")


@pytest.mark.slow
def test_the_reauthorization_pages_are_accessible(journey: Journey) -> None:
    three_rejected(journey)
    journey.open_wizard()
    check_accessibility(journey.page)
    for path in ("/password-change", "/reauthorize"):
        journey.person.go(f"{journey.base_url}{path}")
        check_accessibility(journey.page)
    page = ReauthorizationPage(journey.person)
    page.begin()
    journey.sign_in(ANNA)
    ConsentPage(journey.person).reject()
    expect(page.row("books")).to_contain_text("Not authorized")
    check_accessibility(journey.page)
    page.press("Pause")
    check_accessibility(journey.page)
    page.press("Continue")
    page.sign_in_as(ANNA)
    accept_until(journey, page)
    page.press("Skip books")
    expect(page.heading).to_have_text("2 of 3 connections re-authorized")
    check_accessibility(journey.page)
