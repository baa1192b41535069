"""The page that explains any pasted text, and the documentation of every code."""

import html
import re

import pytest
from playwright.sync_api import expect
from support.browser import accessibility_violations
from support.web_visitor import ANNA, Visitor

from wizard.errors import explain, message_table
from wizard.model import Failure
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import SimulatedUser
from wizard.web.server import Server
from wizard.web.view_models import card_tone, prose

TOKEN = "1000." + "a1b2c3d4" * 4 + "." + "0f1e2d3c" * 4


class DiagnosePage:
    """Paste, press, read."""

    def __init__(self, person: SimulatedUser) -> None:
        self._person = person
        page = person.page
        self.finding = page.get_by_role("heading", level=1)
        self._box = page.get_by_label("Error or text")

    def paste(self, text: str) -> None:
        """Paste `text` and submit it."""
        self._person.paste(self._box, text)
        self._person.click(self._person.page.get_by_role("button", name="Diagnose", exact=True))

    def choose(self, name: str) -> None:
        """Diagnose a connection."""
        page = self._person.page
        self._person.choose(page.get_by_label("Or check a connection with Zoho"), name)
        self._person.click(page.get_by_role("button", name="Diagnose this connection"))


def test_a_pasted_text_is_explained_without_its_secrets(visitor: Visitor) -> None:
    answer = visitor.submit_form(
        "/diagnose", text=f"Zoho-oauthtoken {TOKEN[:50]}\nINVALID_TOKEN 401"
    )
    assert answer.status_code == 200
    assert "That token is incomplete" in answer.text
    assert TOKEN[:50] not in answer.text
    assert "It contains secrets" in answer.text


def test_a_million_characters_fit_into_the_page(visitor: Visitor) -> None:
    log = "2026-11-23 10:00:00 INFO „ok“\n" * 34_000
    answer = visitor.submit_form("/diagnose", text=log + '{"error":"invalid_client"}')
    assert answer.status_code == 200
    assert "Zoho doesn’t recognize this client" in answer.text
    too_large = visitor.submit_form("/clients", credentials="x" * 100_000)
    assert too_large.status_code == 413


def test_a_second_paste_is_read_together_with_the_first(visitor: Visitor) -> None:
    first = f"curl -d refresh_token={TOKEN} -X POST https://accounts.zoho.in/oauth/v2/token"
    second = '{"error":"invalid_client"}'
    page = visitor.submit_form("/diagnose", text=first).text
    (earlier,) = re.findall(r'name="earlier" value="([^"]*)"', page)
    assert TOKEN not in page
    together = visitor.submit_form("/diagnose", text=second, earlier=html.unescape(earlier)).text
    separate = visitor.submit_form("/diagnose", text=second).text
    title = "Zoho doesn’t recognize this client"
    assert f"{title} in India" in together
    assert title in separate
    assert "India" not in separate


def test_an_empty_paste_is_reported(visitor: Visitor) -> None:
    answer = visitor.submit_form("/diagnose", text="  ")
    assert answer.status_code == 422
    assert "There’s nothing to diagnose" in answer.text


def test_redirect_uris_are_shown_with_their_difference_marked(connected: Visitor) -> None:
    uri = connected.services.settings.redirect_uri.replace("localhost", "127.0.0.1")
    page = connected.submit_form("/diagnose", text=uri).text
    assert "<mark>127.0.0.1</mark>" in page
    assert "<mark>localhost</mark>" in page


def test_a_browser_without_a_session_learns_nothing(anonymous: Visitor) -> None:
    assert anonymous.get("/diagnose").status_code == 403


def test_a_name_is_diagnosed_with_at_most_four_requests(
    connected: Visitor, zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.clear_journal()
    page = connected.submit_form("/diagnose", name="leads").text
    assert "No problem found with leads" in page
    assert 0 < len(zoho_simulator.controls.journal()) <= 4


def test_an_answer_is_sent_with_the_pasted_text_and_earlier_answers(
    visitor: Visitor,
) -> None:
    text = '{"error":"invalid_code"}'
    asked = visitor.submit_form("/diagnose", text=text).text
    assert 'name="answer" value="while-connecting"' in asked
    answered = visitor.submit_form("/diagnose", text=text, answer="while-connecting").text
    assert '<input type="hidden" name="answer" value="while-connecting">' in answered
    assert 'name="answer" value="code-expired"' in answered


def test_the_page_of_a_rejected_connection_takes_and_withdraws_an_answer(
    connected: Visitor, zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.change_password(ANNA, "another one 1!")
    list(connected.services.verification.verify("leads", 1))
    assert (
        'href="/connections/leads?answer=user-deactivated"'
        in connected.get("/connections/leads").text
    )
    zoho_simulator.controls.clear_journal()
    page = connected.get("/connections/leads?answer=user-deactivated").text
    assert "You said that this happened." in page
    assert "zoho-wizard reauthorize leads --as EMAIL" in page
    assert '<a href="/connections/leads">Withdraw your answer</a>' in page
    assert zoho_simulator.controls.journal() == [], (
        "stored evidence is judged again without requests"
    )
    assert "You said" not in connected.get("/connections/leads?answer=<script>").text


def test_every_code_has_its_page(visitor: Visitor) -> None:
    index = visitor.get("/help/codes").text
    codes = [code for code, row in message_table().items() if "title" in row]
    assert set(re.findall(r'href="/help/codes/([a-z0-9-]+)"', index)) == set(codes)
    for code in codes:
        assert visitor.get(f"/help/codes/{code}").status_code == 200
    assert visitor.get("/help/codes?q=redirect").text.count('href="/help/codes/') < len(codes)


def test_what_a_message_has_in_backticks_is_code_and_never_markup(visitor: Visitor) -> None:
    assert "<code>access_type=offline</code>" in visitor.get("/help/codes/access-type-online").text
    assert prose("`<b>` <i>") == "<code>&lt;b&gt;</code> &lt;i&gt;"


def test_only_an_error_is_shown_as_one() -> None:
    def tone(code: str, *, temporary: bool = False) -> str:
        return card_tone(explain(Failure(code, temporary=temporary)))

    for code in ("page-not-found", "access-denied", "nothing-to-reauthorize", "not-understood"):
        assert tone(code) == "information", code
    assert tone("throttled") == "waiting"
    assert tone("network-timeout", temporary=True) == "warning"
    assert tone("invalid-client") == "error"


@pytest.mark.slow
def test_a_user_pastes_and_reauthorizes_in_a_browser(
    connected: Visitor,
    server: Server,
    person: SimulatedUser,
    zoho_simulator: Simulator,
) -> None:
    person.page.set_viewport_size({"width": 800, "height": 1100})
    person.go(server.new_browser_link())
    person.page.get_by_role("link", name="Diagnose").click()
    page = DiagnosePage(person)
    expect(page.finding).to_have_text("Diagnose an error")
    assert accessibility_violations(person.page) == []

    page.paste('HTTP/1.1 200 OK\n\n{"error":"invalid_code"}')
    expect(page.finding).to_contain_text("rejected the refresh token or code")
    assert accessibility_violations(person.page) == []

    zoho_simulator.controls.change_password(ANNA, "another one 1!")
    zoho_simulator.controls.advance(3700)
    page.choose("leads")
    expect(page.finding).to_contain_text("leads")
    assert accessibility_violations(person.page) == []
    person.page.get_by_role("link", name=re.compile("authorize", re.I)).first.click()
    expect(person.page).to_have_url(re.compile("/connections/leads$"))
