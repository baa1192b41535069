"""Consents that are late, repeated, abandoned or interrupted: nothing is lost or sent twice."""

import dataclasses
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Route, expect
from support.harness import ANNA
from support.records import attempts_of
from support.user_journey import CONNECTION_NAME, Journey
from support.wizard_pages import ConnectionListPage, ConnectionPage

from wizard.errors import WizardError
from wizard.model import AttemptState, GrantState
from wizard.simulator.simulated_user import ConsentPage, SimulatedUser
from wizard.web import server as web_server

CALLBACK = "**/callback?*"


def open_second_tab(journey: Journey, context: BrowserContext | None = None) -> Journey:
    """The same wizard in another tab of the same browser, or in another browser."""
    page = (context or journey.page.context).new_page()
    return dataclasses.replace(journey, person=SimulatedUser(page, journey.person.counter))


def record_callback(journey: Journey) -> Callable[[], str]:
    """Record the browser's requests; return a function that gives the callback's URL."""
    came: list[str] = []
    journey.page.on("request", lambda each: came.append(each.url))
    return lambda: next(url for url in came if url.startswith(f"{journey.base_url}/callback?"))


@pytest.mark.slow
def test_an_expired_code_is_named_and_a_retry_works(journey: Journey) -> None:
    def hold(route: Route) -> None:
        journey.advance(seconds=121)
        route.continue_()

    journey.page.route(CALLBACK, hold, times=1)
    journey.open_sign_in_page()
    journey.consent_page(ANNA).accept()
    page = ConnectionPage(journey.person)
    expect(page.explanation).to_contain_text("Zoho rejected the authorization code")
    expect(page.status).to_have_text("Not authorized yet")
    assert len(journey.code_exchanges()) == 1
    assert journey.services.store.grants.of_connection(CONNECTION_NAME) == ()
    page.press("Try again")
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()


@pytest.mark.slow
def test_a_consent_that_took_more_than_an_hour_is_not_completed_and_says_so(
    journey: Journey,
) -> None:
    journey.open_sign_in_page()
    consent = journey.consent_page(ANNA)
    expect(consent.accept_button).to_be_visible()
    journey.advance(hours=1)
    consent.accept()
    page = ConnectionPage(journey.person)
    expect(page.explanation).to_contain_text("This authorization expired")
    assert journey.code_exchanges() == []
    page.press("Try again")
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()


@pytest.mark.slow
def test_a_reloaded_callback_is_not_exchanged_or_verified_again(journey: Journey) -> None:
    callback = record_callback(journey)
    journey.open_sign_in_page()
    journey.consent_page(ANNA).accept()
    journey.wait_until_verified()
    refreshes = len(journey.refresh_requests())
    journey.person.go(callback())
    expect(journey.wait_until_verified().page).to_have_url(
        f"{journey.base_url}/connections/{CONNECTION_NAME}"
    )
    assert (len(journey.code_exchanges()), len(journey.refresh_requests())) == (1, refreshes)
    (grant,) = journey.services.store.grants.of_connection(CONNECTION_NAME)
    assert grant.state is GrantState.VERIFIED


@pytest.mark.slow
def test_going_back_to_the_consent_page_and_accepting_twice_changes_nothing(
    journey: Journey,
) -> None:
    journey.open_sign_in_page()
    journey.consent_page(ANNA).accept()
    journey.wait_until_verified()
    before = journey.services.store.grants.get(CONNECTION_NAME)
    journey.person.back()
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()
    assert len(journey.code_exchanges()) == 1
    assert journey.services.store.grants.of_connection(CONNECTION_NAME) == (before,)


@pytest.mark.slow
def test_going_back_before_accepting_shows_the_link_to_zoho_again(journey: Journey) -> None:
    journey.open_sign_in_page()
    journey.sign_in()
    page = ConnectionPage(journey.person)
    page.open(journey.base_url, CONNECTION_NAME)
    journey.person.back()
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()
    assert len(journey.code_exchanges()) == 1


@pytest.mark.slow
def test_two_tabs_of_one_connection_each_finish_their_own_consent(journey: Journey) -> None:
    journey.open_sign_in_page()
    consent = journey.consent_page(ANNA)
    expect(consent.accept_button).to_be_visible()
    other = open_second_tab(journey)
    page = ConnectionPage(other.person)
    page.open(journey.base_url, CONNECTION_NAME)
    page.press("Go to Zoho again")
    ConsentPage(other.person).accept()
    other.wait_until_verified()
    consent.accept()
    expect(journey.wait_until_verified().report).to_contain_text("Authorization 2")
    states = [each.state for each in journey.services.store.grants.of_connection(CONNECTION_NAME)]
    assert states == [GrantState.VERIFIED, GrantState.REPLACED]
    assert len(journey.code_exchanges()) == 2


@pytest.mark.slow
def test_two_connections_authorized_in_parallel_do_not_mix(journey: Journey) -> None:
    journey.open_sign_in_page()
    consent = journey.consent_page(ANNA)
    expect(consent.accept_button).to_be_visible()
    other = open_second_tab(journey)
    other.open_new_connection_form("Read Desk tickets").connect()
    second = ConsentPage(other.person)
    expect(second.accept_button).to_be_visible()
    consent.accept()
    journey.wait_until_verified()
    second.accept()
    other.wait_until_verified()
    for name, product in ((CONNECTION_NAME, "ZohoCRM"), ("desk-read-tickets", "Desk")):
        grant = journey.services.store.grants.get(name)
        assert grant is not None
        assert {each.partition(".")[0] for each in grant.scope} == {"AaaServer", product}


@pytest.mark.slow
def test_a_browser_closed_midway_is_resumed_in_another_one(
    journey: Journey, new_context: Callable[..., BrowserContext]
) -> None:
    journey.open_sign_in_page()
    journey.sign_in()
    journey.page.close()
    resumed = open_second_tab(journey, new_context())
    resumed.open_wizard()
    rows = ConnectionListPage(resumed.person)
    expect(rows.row(CONNECTION_NAME)).to_contain_text("Waiting for consent")
    rows.open(CONNECTION_NAME)
    ConnectionPage(resumed.person).press("Go to Zoho again")
    resumed.consent_page(ANNA).accept()
    resumed.wait_until_verified()
    assert len(journey.services.store.connections.all()) == 1
    assert len(journey.code_exchanges()) == 1


@pytest.mark.slow
def test_a_restarted_wizard_accepts_the_callback(
    journey: Journey,
) -> None:
    journey.open_sign_in_page()
    consent = journey.consent_page(ANNA)
    expect(consent.accept_button).to_be_visible()
    journey.server.stop()
    server = web_server.serve(journey.services)
    try:
        consent.accept()
        expect(journey.page.get_by_role("heading", level=1)).to_contain_text("aren’t signed in")
        journey.person.go(server.new_browser_link(f"/connections/{CONNECTION_NAME}"))
        journey.wait_until_verified()
    finally:
        server.stop()
    assert len(journey.code_exchanges()) == 1


@pytest.mark.slow
def test_a_truncated_response_is_unknown_and_its_code_is_never_sent_again(
    journey: Journey,
) -> None:
    callback = record_callback(journey)
    journey.open_sign_in_page()
    consent = journey.consent_page(ANNA)
    journey.controls.inject_fault("connection-closed", endpoint="oauth/v2/token", processed=True)
    consent.accept()
    page = ConnectionPage(journey.person)
    expect(page.status).to_have_text("Outcome unknown")
    expect(page.explanation).to_contain_text("We don’t know whether Zoho issued a token")
    journey.person.go(callback())
    expect(page.status).to_have_text("Outcome unknown")
    journey.page.reload()
    assert len(journey.code_exchanges()) == 1
    (attempt,) = attempts_of(journey.services.store, CONNECTION_NAME)
    assert attempt.state is AttemptState.OUTCOME_UNKNOWN
    page.press("Try again")
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()
    assert len(journey.code_exchanges()) == 2


@pytest.mark.slow
def test_a_data_center_that_fails_during_verification_needs_no_second_consent(
    journey: Journey,
) -> None:
    journey.open_sign_in_page()
    consent = journey.consent_page(ANNA)
    journey.controls.inject_fault("data-center-down", endpoint="oauth/user/info", times=9)
    consent.accept()
    page = ConnectionPage(journey.person)
    expect(page.status).to_have_text("Not verified")
    expect(page.explanation.first).to_contain_text("Zoho has an outage")
    with pytest.raises(WizardError) as refused:
        journey.services.tokens.access_token(CONNECTION_NAME)
    assert refused.value.failure.code == "not-verified"
    expect(page.explanation.get_by_role("button", name="Re-authorize")).to_be_hidden()
    journey.controls.clear_faults()
    page.verify_again()
    page.wait_until_verified()
    assert len(journey.code_exchanges()) == 1
    assert journey.services.tokens.access_token(CONNECTION_NAME).generation == 1
