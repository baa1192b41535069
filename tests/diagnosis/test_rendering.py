"""The same diagnosis in the browser and in the terminal."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.browser import accessibility_violations
from support.diagnosis import add_verified_connection, client_of, detect_rejection, diagnose
from support.harness import ANNA, Harness, settings_for
from support.ports import free_port

from wizard.cli.renderer import Renderer
from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.web.server import Server, serve


@pytest.fixture
def harness(zoho_simulator: Simulator, tmp_path: Path) -> Iterator[Harness]:
    """Services on a port of their own, so that their pages can be served."""
    settings = replace(settings_for(tmp_path, zoho_simulator.url), port=free_port())
    with Services.open(settings, zoho_simulator.clock) as services:
        yield Harness(services, zoho_simulator, tmp_path)


@pytest.fixture
def server(harness: Harness) -> Iterator[Server]:
    server = serve(harness.services)
    yield server
    server.stop()


def reject_three_grants(harness: Harness) -> None:
    for name in ("books", "desk", "crm"):
        add_verified_connection(harness, name)
    harness.controls.change_password(ANNA)
    detect_rejection(harness, "books", "desk", "crm")


@pytest.mark.slow
def test_the_page_ranks_the_causes_and_shows_the_evidence(
    harness: Harness, server: Server, page: Page
) -> None:
    reject_three_grants(harness)
    page.goto(server.new_browser_link("/connections/crm"))
    problem = page.get_by_role("region", name="Zoho rejected the refresh token")
    expect(problem).to_contain_text("Likely: A password change")
    expect(problem).to_contain_text("for the same account: desk, books.")
    expect(problem).to_contain_text(f"Sign in as {ANNA}")
    expect(problem.get_by_role("link", name="Re-authorize 3 connections")).to_be_visible()
    causes = page.get_by_role("region", name="Other causes")
    expect(causes).to_contain_text("deactivate that user")
    expect(causes.get_by_role("listitem").filter(has_text="deactivated")).to_contain_text("Likely")
    assert accessibility_violations(page) == []


@pytest.mark.slow
def test_the_page_shows_one_question_without_decisive_evidence(
    harness: Harness, server: Server, page: Page
) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.revoke_app(ANNA, client_of(harness, "crm").client_id)
    detect_rejection(harness, "crm")
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(server.new_browser_link("/connections/crm"))
    expect(page.get_by_role("region", name="Possible causes")).to_contain_text("did anyone change")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert accessibility_violations(page) == []


def test_the_terminal_shows_the_same_as_the_page(
    harness: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    reject_three_grants(harness)
    found = diagnose(harness)
    Renderer().print_explanation(found)
    said = capsys.readouterr().err
    for cause in (*found.causes, *found.ruled_out):
        assert cause.title in said
        assert cause.confidence.value.replace("_", " ") in said
        assert all(sentence in said for sentence in cause.evidence_for)
    assert "zoho-wizard reauthorize crm" in said


def test_a_script_reads_causes_with_their_confidence(
    harness: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    reject_three_grants(harness)
    painter = Renderer()
    painter.as_json = True
    painter.print_explanation(diagnose(harness))
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["failure_class"] == "refresh-token-refused"
    assert error["causes"][0]["code"] == "password-changed"
    assert error["causes"][0]["confidence"] == "likely"
    assert error["question"]
    assert error["causes"][0]["commands"] == ["zoho-wizard reauthorize crm"]
