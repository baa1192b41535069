"""The list of connections shows a cause once, with everything it affects."""

import pytest
from playwright.sync_api import expect
from support.diagnosis import detect_rejection
from support.harness import ANNA
from support.user_journey import Journey
from support.wizard_pages import ConnectionListPage

NAMES = ("books", "crm", "leads")


@pytest.mark.slow
def test_the_page_shows_one_cause_once_and_who_must_sign_in(journey: Journey) -> None:
    for name in NAMES:
        journey.add_verified_connection(name)
    journey.controls.change_password(ANNA)
    detect_rejection(journey, *NAMES)
    journey.open_wizard()
    explanation = journey.page.locator(".explanation")
    expect(explanation).to_have_count(1)
    expect(explanation).to_contain_text(f"3 connections of {ANNA} need re-authorization")
    expect(explanation.get_by_role("definition").filter(has_text=ANNA)).to_be_visible()
    expect(explanation.get_by_role("link", name="leads", exact=True)).to_be_visible()


@pytest.mark.slow
def test_the_page_checks_all_connections_and_shows_progress(journey: Journey) -> None:
    for name in NAMES:
        journey.add_verified_connection(name)
    journey.controls.clear_journal()
    journey.controls.inject_fault("slow", endpoint="crm/v8/Leads", seconds=60, times=3)
    journey.open_wizard()
    page = ConnectionListPage(journey.person)
    expect(page.row("crm")).to_contain_text("checked just now")
    journey.person.click(journey.page.get_by_role("button", name="Check all"))
    expect(journey.page.get_by_role("progressbar")).to_be_visible()
    expect(page.row("crm")).to_contain_text("Checking")
    journey.controls.clear_faults()  # releases the responses
    expect(
        journey.page.get_by_text("Checked just now. All 3 connections are verified.")
    ).to_be_visible()
    assert not journey.refresh_requests(), "their access tokens are still valid"
    journey.advance(minutes=30)
    journey.controls.change_password(ANNA)
    journey.open_wizard()
    expect(page.row("crm")).to_contain_text("checked 30 minutes ago")
    journey.person.click(journey.page.get_by_role("button", name="Check all"))
    expect(journey.page.get_by_role("link", name="Re-authorize 3 connections")).to_be_visible()


@pytest.mark.slow
def test_a_check_on_the_page_waits_for_the_limits_automatically(journey: Journey) -> None:
    grant = journey.add_verified_connection("crm")
    journey.services.token_cache.remove("crm")
    for _ in range(5):
        journey.services.tokens.refresh_grant(grant)
    journey.open_wizard()
    journey.person.click(journey.page.get_by_role("button", name="Check all"))
    expect(journey.page.get_by_text("The check continues at")).to_be_visible()
    journey.advance(minutes=10)
    expect(
        journey.page.get_by_text("Checked just now. Your connection is verified.")
    ).to_be_visible()
