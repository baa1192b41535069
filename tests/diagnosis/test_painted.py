"""The same finding in the browser and in the terminal."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browsing import violations
from core import ANNA, Core, settings_for
from playwright.sync_api import Page, expect
from ports import free_port
from scenes import client_of, diagnosed, notice, proved

from wizard.cli.painter import Painter
from wizard.house import House
from wizard.sandbox.server import Sandbox
from wizard.web import Server, serve


@pytest.fixture
def core(zoho_sandbox: Sandbox, tmp_path: Path) -> Iterator[Core]:
    """A house on a port of its own, so that its pages can be served."""
    settings = replace(settings_for(tmp_path, zoho_sandbox.url), port=free_port())
    with House.open(settings, zoho_sandbox.clock) as house:
        yield Core(house, zoho_sandbox, tmp_path)


@pytest.fixture
def server(core: Core) -> Iterator[Server]:
    server = serve(core.house)
    yield server
    server.stop()


def three_died_last_night(core: Core) -> None:
    for name in ("books", "desk", "crm"):
        proved(core, name)
    core.admin.change_password(ANNA)
    notice(core, "books", "desk", "crm")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_ranks_the_causes_and_shows_what_was_seen(
    core: Core, server: Server, page: Page, scheme: str
) -> None:
    three_died_last_night(core)
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(server.new_launch_url("/connections/crm"))
    causes = page.get_by_label("What may be behind it")
    expect(causes.get_by_role("listitem").first).to_contain_text("change of password")
    expect(causes.get_by_role("listitem").first).to_contain_text("likely")
    expect(causes.get_by_role("listitem").filter(has_text="deactivated")).to_contain_text("likely")
    expect(causes).to_contain_text("At the same time died, of this account: desk, books.")
    expect(causes).to_contain_text("deactivate that user")
    expect(page.get_by_role("main")).to_contain_text(f"Authorize again as {ANNA}")
    expect(page.get_by_role("button", name="Authorize again").first).to_be_visible()
    assert violations(page) == []


def test_the_page_asks_one_question_where_nothing_decides(
    core: Core, server: Server, page: Page
) -> None:
    proved(core, "crm")
    core.admin.revoke_app(ANNA, client_of(core, "crm").client_id)
    notice(core, "crm")
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(server.new_launch_url("/connections/crm"))
    expect(page.get_by_label("What may be behind it")).to_contain_text("did anybody change")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_the_terminal_says_the_same_as_the_page(
    core: Core, capsys: pytest.CaptureFixture[str]
) -> None:
    three_died_last_night(core)
    found = diagnosed(core)
    Painter().finding(found)
    said = capsys.readouterr().err
    for cause in (*found.causes, *found.ruled_out):
        assert cause.title in said
        assert cause.confidence.value in said
        assert all(sentence in said for sentence in cause.evidence_for)
    assert "zoho-wizard reauthorize crm" in said


def test_a_script_reads_causes_with_their_confidence(
    core: Core, capsys: pytest.CaptureFixture[str]
) -> None:
    three_died_last_night(core)
    painter = Painter()
    painter.as_json = True
    painter.finding(diagnosed(core))
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["class"] == "refresh-token-refused"
    assert error["causes"][0]["code"] == "password-changed"
    assert error["causes"][0]["confidence"] == "likely"
    assert error["question"]
    assert error["causes"][0]["commands"] == ["zoho-wizard reauthorize crm"]
