"""Changes must come from a page of ours, in the same session."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from support.web_visitor import Visitor, route_paths

from wizard.services import Services
from wizard.store import schema

FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://127.0.0.1:{port}"},
    {"Origin": "https://localhost:{port}"},
]


def state_of(services: Services) -> object:
    """Everything that is stored."""
    tables = [each for each in schema.metadata.sorted_tables if not each.info.get("is_shared")]
    with services.store.database.read() as c:
        return [c.execute(select(table)).all() for table in tables]


@pytest.mark.parametrize("token", [None, "", "wrong", "another session's"])
def test_no_form_is_accepted_without_the_token_of_its_own_session(
    app: Flask,
    connected: Visitor,
    new_visitor: Callable[[], Visitor],
    token: str | None,
) -> None:
    if token == "another session's":
        other = new_visitor()
        other.sign_in()
        token = other.csrf_token()
    before = state_of(connected.services)
    for path in route_paths(app, "POST"):
        fields = {} if token is None else {"csrf_token": token}
        assert connected.post(path, fields).status_code == 403, path
    assert state_of(connected.services) == before


@pytest.mark.parametrize("headers", FOREIGN)
def test_no_form_of_another_site_is_accepted_even_with_the_token(
    app: Flask, connected: Visitor, headers: dict[str, str]
) -> None:
    port = connected.services.settings.port
    sent = {name: value.format(port=port) for name, value in headers.items()}
    token = connected.csrf_token()
    before = state_of(connected.services)
    for path in route_paths(app, "POST"):
        answer = connected.post(path, {"csrf_token": token}, headers=sent)
        assert answer.status_code == 403, path
    assert state_of(connected.services) == before


def test_a_script_that_sends_json_as_text_is_refused(app: Flask, connected: Visitor) -> None:
    base_url = connected.services.settings.base_url
    for path in route_paths(app, "POST"):
        answer = connected.client.post(
            path, base_url=base_url, data='{"choice": "keep"}', content_type="text/plain"
        )
        assert answer.status_code == 403, path


def test_opening_pages_changes_nothing(app: Flask, connected: Visitor) -> None:
    before = state_of(connected.services)
    opened = route_paths(app, "GET")
    for path in opened:
        connected.get(path)
        connected.get(f"{path}?_method=POST&how=revoke&name=other")
    for path in {*route_paths(app, "POST")} - {*opened}:
        assert connected.get(path).status_code == 405, path
    assert state_of(connected.services) == before


def test_our_own_form_is_accepted(connected: Visitor, registered: dict[str, Any]) -> None:
    answer = connected.post(
        "/connections/leads/remove",
        {"csrf_token": connected.csrf_token(), "choice": "keep"},
        headers={
            "Origin": connected.services.settings.base_url,
            "Sec-Fetch-Site": "same-origin",
        },
    )
    assert (answer.status_code, answer.location) == (303, "/")
    assert connected.services.store.connections.all() == ()
