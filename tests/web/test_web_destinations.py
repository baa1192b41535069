"""The destinations on a connection's page: their status and actions."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.browser import accessibility_violations
from support.delivery import raises_failure
from support.harness import ANNA
from support.web_visitor import Visitor

from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.store import Destination
from wizard.web.server import Server


@pytest.fixture
def target(connected: Visitor, tmp_path: Path) -> Path:
    """A file to which the connection ``leads`` is delivered."""
    target = tmp_path / "app.env"
    add_destination(connected.services, target)
    return target


def add_destination(services: Services, target: Path, reload_command: str = "") -> Destination:
    delivery = services.delivery
    return delivery.add(
        delivery.describe(
            Destination("leads", "dotenv", str(target), reload_command=reload_command)
        )
    )


def destination_id(visitor: Visitor) -> str:
    found = re.search(r'name="destination" value="(\d+)"', visitor.get("/connections/leads").text)
    assert found
    return found[1]


def test_a_page_without_destinations_shows_the_command_that_adds_one(connected: Visitor) -> None:
    text = connected.get("/connections/leads").text
    assert "zoho-wizard destination add leads --profile dotenv --to .env" in text
    assert "rclone" in text


def test_a_page_shows_the_status_of_a_destination_without_a_value(
    connected: Visitor, target: Path
) -> None:
    text = connected.get("/connections/leads").text
    grant = connected.services.store.grants.get("leads")
    assert grant is not None
    assert str(target) in text
    assert "Up to date" in text
    assert grant.refresh_token not in text
    target.write_text("A B\n")
    text = connected.get("/connections/leads").text
    assert "Can’t be read" in text
    assert "line 1, column 3" in text


def test_a_destination_is_delivered_undone_and_removed(connected: Visitor, target: Path) -> None:
    token = "ZOHO_REFRESH_TOKEN=1000."
    target.write_text("MINE=1\n")
    which = destination_id(connected)
    assert connected.submit_form("/connections/leads/deliver", destination=which).status_code == 303
    assert token in target.read_text()
    stopped = connected.submit_form("/connections/leads/remove-destination", destination=which)
    assert stopped.status_code == 303
    assert token in target.read_text()
    assert connected.services.store.destinations.all() == ()


def test_an_undone_first_delivery_is_gone(connected: Visitor, target: Path) -> None:
    which = destination_id(connected)
    assert (
        connected.submit_form("/connections/leads/undo-delivery", destination=which).status_code
        == 303
    )
    assert not target.exists()
    text = connected.get("/connections/leads").text
    assert "Nothing delivered yet" in text
    assert ">Undo<" not in text


def test_a_failed_reload_is_reported(connected: Visitor, tmp_path: Path) -> None:
    add_destination(
        connected.services,
        tmp_path / "app.env",
        reload_command="sh -c 'echo no such unit >&2; exit 5'",
    )
    text = connected.get("/connections/leads").text
    assert "hasn’t succeeded yet" in text
    assert "no such unit" in text


@pytest.mark.parametrize("given", ["", "0", "999", "x"])
def test_an_unknown_destination_is_refused(connected: Visitor, target: Path, given: str) -> None:
    before = target.read_bytes()
    for action in ("deliver", "undo-delivery", "remove-destination"):
        refused = connected.submit_form(f"/connections/leads/{action}", destination=given)
        assert refused.status_code == 404
    assert target.read_bytes() == before


@pytest.mark.slow
def test_a_user_delivers_in_a_browser_and_the_section_is_accessible(
    connected: Visitor, target: Path, server: Server, page: Page
) -> None:
    add_destination(connected.services, target.with_name("second.env"), reload_command="false")
    target.write_text("MINE=1\n")
    page.goto(server.new_browser_link())
    page.goto(f"{connected.services.settings.base_url}/connections/leads")
    section = page.get_by_role("region", name="Programs")
    section.locator("summary").first.click()
    mine = section.get_by_role("article", name=str(target))
    expect(mine).to_contain_text("Credentials missing")
    for size in ((360, 740), (1280, 900)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        assert accessibility_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    mine.get_by_role("button", name="Deliver", exact=True).click()
    expect(mine).to_contain_text("Up to date")


def test_the_diagnosis_of_the_connection_is_not_repeated_for_each_destination(
    connected: Visitor, target: Path, zoho_simulator: Simulator
) -> None:
    add_destination(connected.services, target.with_name("second.env"))
    zoho_simulator.controls.change_password(ANNA, "another one 1!")
    list(connected.services.verification.verify("leads", 1))
    for destination in connected.services.store.destinations.all("leads"):
        with raises_failure("refresh-token-rejected"):
            connected.services.delivery.deliver(destination)
    page = connected.get("/connections/leads").text
    assert page.count('class="question"') == 1
    assert page.count('id="diagnosis"') == 1
    assert page.count('href="#diagnosis"') == 2
