"""A link for the owner of another account: the message, and the URL that comes back."""

import html
import re

from support.web_visitor import ANNA, Visitor

from wizard.simulator.server import Simulator

URL = re.compile(r"http://127\.0\.0\.1:\d+/\S+/oauth/v2/auth\?\S+")


def url_in_message(page: str) -> str:
    message = re.search(r'data-copy="([^"]+)" aria-label="Copy the message"', page)
    assert message, page
    found = URL.search(html.unescape(message[1]))
    assert found, message[1]
    return found[0]


def create_message(visitor: Visitor, path: str, names: str) -> str:
    """The page with the message to forward."""
    created = visitor.submit_form(path, names=names)
    assert created.status_code == 303
    return visitor.get(created.location).text


def test_a_forwarded_link_is_answered_with_the_url_that_comes_back(
    connected: Visitor, zoho_simulator: Simulator
) -> None:
    asked = create_message(connected, "/consent-requests", "leads")
    assert ANNA in asked
    answer = zoho_simulator.controls.authorize(url_in_message(asked), ANNA)
    completed = connected.submit_form("/consent-requests/response", url=answer)
    assert (completed.status_code, completed.location) == (303, "/connections/leads")
    repeated = connected.submit_form("/consent-requests/response", url="nothing")
    assert repeated.status_code == 422
    connected.services.verification_worker.stop()
    grant = connected.services.store.grants.get("leads")
    assert grant is not None
    assert grant.generation == 2


def test_a_reauthorization_waits_for_the_account_owner(
    connected: Visitor, zoho_simulator: Simulator
) -> None:
    asked = create_message(connected, "/reauthorize/request", "leads")
    waiting = connected.get("/reauthorize").text
    assert f"Waiting for {ANNA}" in waiting
    answer = zoho_simulator.controls.authorize(url_in_message(asked), ANNA)
    completed = connected.submit_form("/consent-requests/response", url=answer)
    assert completed.location == "/reauthorize?continue=yes"
    connected.services.verification_worker.stop()
    assert "1 of 1 connection re-authorized" in connected.get("/reauthorize").text


def test_a_reload_shows_the_message_again_and_creates_no_other_link(connected: Visitor) -> None:
    created = connected.submit_form("/consent-requests", names="leads")
    first, again = (url_in_message(connected.get(created.location).text) for _ in range(2))
    assert first == again
    assert len(connected.services.store.attempts.open()) == 1
