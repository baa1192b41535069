"""The list of connections tells a cause once, with everything that it stopped."""

from core import ANNA
from journey import Journey
from playwright.sync_api import expect
from scenes import notice

from wizard.sandbox.person.wizard_pages import ConnectionList

NAMES = ("books", "crm", "leads")


def test_the_page_tells_one_cause_once_and_whose_sign_in_mends_it(journey: Journey) -> None:
    for name in NAMES:
        journey.proved(name)
    journey.admin.change_password(ANNA)
    notice(journey, *NAMES)
    journey.enter()
    told = journey.page.locator(".finding")
    expect(told).to_have_count(1)
    expect(told).to_contain_text(f"3 connections of {ANNA} lost their refresh tokens")
    expect(told.get_by_role("definition").filter(has_text=ANNA)).to_be_visible()
    expect(told.get_by_role("link", name="leads", exact=True)).to_be_visible()


def test_all_are_checked_on_the_page_while_it_says_how_far_that_is(journey: Journey) -> None:
    for name in NAMES:
        journey.proved(name)
    journey.admin.clear_journal()
    journey.admin.fault("slow", endpoint="crm/v8/Leads", seconds=60, times=3)
    journey.enter()
    page = ConnectionList(journey.person)
    expect(page.row("crm")).to_contain_text("checked just now")
    journey.person.click(journey.page.get_by_role("button", name="Check all now"))
    expect(journey.page.get_by_role("progressbar")).to_be_visible()
    expect(page.row("crm")).to_contain_text("Checking")
    journey.admin.clear_faults()  # lets the answers go
    expect(journey.page.get_by_text("All of them work.")).to_be_visible()
    assert not journey.refreshes(), "their access tokens live"
    journey.advance(minutes=30)
    journey.admin.change_password(ANNA)
    journey.enter()
    expect(page.row("crm")).to_contain_text("checked 30 minutes ago")
    journey.person.click(journey.page.get_by_role("button", name="Check all now"))
    expect(journey.page.get_by_role("link", name="Repair 3 connections")).to_be_visible()


def test_a_check_on_the_page_waits_for_the_limits_by_itself(journey: Journey) -> None:
    grant = journey.proved("crm")
    journey.house.cache.drop("crm")
    for _ in range(5):
        journey.house.broker.refresh_grant(grant)
    journey.enter()
    journey.person.click(journey.page.get_by_role("button", name="Check all now"))
    expect(journey.page.get_by_text("limits let the next be asked at")).to_be_visible()
    journey.advance(minutes=10)
    expect(journey.page.get_by_text("All of them work.")).to_be_visible()
