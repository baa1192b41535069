"""Consents that are late, doubled, left or cut off: nothing is lost, nothing is sent twice."""

import dataclasses
from collections.abc import Callable

import pytest
from core import ANNA
from journey import NAME, Journey
from playwright.sync_api import BrowserContext, Route, expect

from wizard import web
from wizard.errors import WizardError
from wizard.model import AttemptState, GrantState
from wizard.sandbox.person import Consent, Person
from wizard.sandbox.person.wizard_pages import ConnectionList, ConnectionPage

CALLBACK = "**/callback?*"


def beside(journey: Journey, context: BrowserContext | None = None) -> Journey:
    """The same wizard in another tab of the same browser, or in another browser."""
    page = (context or journey.page.context).new_page()
    return dataclasses.replace(journey, person=Person(page, journey.person.counter))


def callback_of(journey: Journey) -> Callable[[], str]:
    """Watch the browser; afterwards tell the callback's address it came by."""
    came: list[str] = []
    journey.page.on("request", lambda each: came.append(each.url))
    return lambda: next(url for url in came if url.startswith(f"{journey.base_url}/callback?"))


def test_a_code_that_came_too_late_is_named_and_the_repeat_works(journey: Journey) -> None:
    def hold(route: Route) -> None:
        journey.advance(seconds=121)
        route.continue_()

    journey.page.route(CALLBACK, hold, times=1)
    journey.to_sign_in()
    journey.consent_page(ANNA).accept()
    page = ConnectionPage(journey.person)
    expect(page.finding).to_contain_text("Zoho did not take the code")
    expect(page.status).to_have_text("Not authorized")
    assert len(journey.exchanges()) == 1
    assert journey.house.store.grants(NAME) == ()
    page.press("Try again at Zoho")
    Consent(journey.person).accept()
    journey.arrived()


def test_a_consent_that_took_longer_than_an_hour_is_not_finished_and_says_so(
    journey: Journey,
) -> None:
    journey.to_sign_in()
    consent = journey.consent_page(ANNA)
    expect(consent.accept_button).to_be_visible()
    journey.advance(hours=1)
    consent.accept()
    page = ConnectionPage(journey.person)
    expect(page.finding).to_contain_text("This consent took too long")
    assert journey.exchanges() == []
    page.press("Try again at Zoho")
    Consent(journey.person).accept()
    journey.arrived()


def test_the_callback_reloaded_is_not_exchanged_or_proved_again(journey: Journey) -> None:
    callback = callback_of(journey)
    journey.to_sign_in()
    journey.consent_page(ANNA).accept()
    journey.arrived()
    refreshes = len(journey.refreshes())
    journey.person.go(callback())
    expect(journey.arrived().page).to_have_url(f"{journey.base_url}/connections/{NAME}")
    assert (len(journey.exchanges()), len(journey.refreshes())) == (1, refreshes)
    (grant,) = journey.house.store.grants(NAME)
    assert grant.state is GrantState.PROVED


def test_back_to_the_consent_page_and_accepting_twice_changes_nothing(journey: Journey) -> None:
    journey.to_sign_in()
    journey.consent_page(ANNA).accept()
    journey.arrived()
    before = journey.house.store.grant(NAME)
    journey.person.back()
    Consent(journey.person).accept()
    journey.arrived()
    assert len(journey.exchanges()) == 1
    assert journey.house.store.grants(NAME) == (before,)


def test_back_before_accepting_finds_the_way_to_zoho_again(journey: Journey) -> None:
    journey.to_sign_in()
    journey.sign_in()
    page = ConnectionPage(journey.person)
    page.open(journey.base_url, NAME)
    journey.person.back()
    Consent(journey.person).accept()
    journey.arrived()
    assert len(journey.exchanges()) == 1


def test_two_tabs_of_one_connection_each_finish_their_own_consent(journey: Journey) -> None:
    journey.to_sign_in()
    consent = journey.consent_page(ANNA)
    expect(consent.accept_button).to_be_visible()
    other = beside(journey)
    page = ConnectionPage(other.person)
    page.open(journey.base_url, NAME)
    page.press("Go to Zoho again")
    Consent(other.person).accept()
    other.arrived()
    consent.accept()
    expect(journey.arrived().receipt).to_contain_text("Receipt of grant 2")
    states = [each.state for each in journey.house.store.grants(NAME)]
    assert states == [GrantState.PROVED, GrantState.SUPERSEDED]
    assert len(journey.exchanges()) == 2


def test_two_connections_authorized_side_by_side_do_not_mix(journey: Journey) -> None:
    journey.to_sign_in()
    consent = journey.consent_page(ANNA)
    expect(consent.accept_button).to_be_visible()
    other = beside(journey)
    other.offered("Read Desk tickets").connect()
    second = Consent(other.person)
    expect(second.accept_button).to_be_visible()
    consent.accept()
    journey.arrived()
    second.accept()
    other.arrived()
    for name, product in ((NAME, "ZohoCRM"), ("desk-read-tickets", "Desk")):
        grant = journey.house.store.grant(name)
        assert grant is not None
        assert {each.partition(".")[0] for each in grant.scope} == {"AaaServer", product}


def test_a_browser_closed_half_way_is_resumed_in_another_one(
    journey: Journey, new_context: Callable[..., BrowserContext]
) -> None:
    journey.to_sign_in()
    journey.sign_in()
    journey.page.close()
    resumed = beside(journey, new_context())
    resumed.enter()
    rows = ConnectionList(resumed.person)
    expect(rows.row(NAME)).to_contain_text("Waiting for consent")
    rows.open(NAME)
    ConnectionPage(resumed.person).press("Go to Zoho again")
    resumed.consent_page(ANNA).accept()
    resumed.arrived()
    assert len(journey.house.store.connections()) == 1
    assert len(journey.exchanges()) == 1


def test_a_wizard_that_restarted_meanwhile_takes_the_answer_all_the_same(
    journey: Journey,
) -> None:
    journey.to_sign_in()
    consent = journey.consent_page(ANNA)
    expect(consent.accept_button).to_be_visible()
    journey.server.stop()
    server = web.serve(journey.house)
    try:
        consent.accept()
        expect(journey.page.get_by_role("heading", level=1)).to_contain_text("not signed in")
        journey.person.go(server.new_launch_url(f"/connections/{NAME}"))
        journey.arrived()
    finally:
        server.stop()
    assert len(journey.exchanges()) == 1


def test_an_answer_that_was_cut_off_is_unknown_and_its_code_is_never_sent_again(
    journey: Journey,
) -> None:
    callback = callback_of(journey)
    journey.to_sign_in()
    consent = journey.consent_page(ANNA)
    journey.admin.fault("cut", endpoint="oauth/v2/token", processed=True)
    consent.accept()
    page = ConnectionPage(journey.person)
    expect(page.status).to_have_text("Outcome unknown")
    expect(page.finding).to_contain_text("Nobody knows whether Zoho gave a token")
    journey.person.go(callback())
    expect(page.status).to_have_text("Outcome unknown")
    journey.page.reload()
    assert len(journey.exchanges()) == 1
    (attempt,) = journey.house.store.attempts(NAME)
    assert attempt.state is AttemptState.OUTCOME_UNKNOWN
    page.press("Begin a new consent")
    Consent(journey.person).accept()
    journey.arrived()
    assert len(journey.exchanges()) == 2


def test_a_data_centre_that_fails_during_the_proof_costs_no_second_consent(
    journey: Journey,
) -> None:
    journey.to_sign_in()
    consent = journey.consent_page(ANNA)
    journey.admin.fault("dc-down", endpoint="oauth/user/info", times=9)
    consent.accept()
    page = ConnectionPage(journey.person)
    expect(page.status).to_have_text("Check failed")
    expect(page.finding.first).to_contain_text("Zoho has a disturbance")
    with pytest.raises(WizardError) as refused:
        journey.house.broker.access_token(NAME)
    assert refused.value.failure.code == "not-proved"
    expect(page.finding.get_by_role("button", name="Authorize again")).to_be_hidden()
    journey.admin.clear_faults()
    page.prove_again()
    page.wait_until_proved()
    assert len(journey.exchanges()) == 1
    assert journey.house.broker.access_token(NAME).generation == 1
