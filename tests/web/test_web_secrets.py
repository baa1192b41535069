"""Secrets, and foreign text presented as our own, must never be on a page."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from support.claims import over_rows
from support.web_visitor import (
    NEW_CONNECTION_PATH,
    Visitor,
    authorize,
    connection_form,
    route_paths,
)

from wizard.simulator.server import Simulator

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "javascript:alert(1)//",
    "\x1b]0;owned\x07",
    "a" * 5000,
]
FOREIGN_URLS = [
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "/%2f%2fevil.example",
    "http://localhost@evil.example",
    "\thttps://evil.example",
]


def crawl(app: Flask, visitor: Visitor) -> dict[str, str]:
    """Every page for the connection and its client."""
    client_id = visitor.services.store.clients.all()[0].client_id
    paths = [path.replace("1000.X", client_id) for path in route_paths(app, "GET")]
    paths += [
        "/connections/leads/remove",
        f"{NEW_CONNECTION_PATH}?preset=cliq-post",
        f"{NEW_CONNECTION_PATH}?preset=cliq-post&client=new",
    ]
    pages = {path: visitor.get(path).text for path in paths}
    pages["check"] = visitor.submit_form(f"/clients/{client_id}/check").text
    pages["link"] = visitor.submit_form("/connections/leads/link").text
    return pages


def test_no_page_shows_a_token_or_a_secret(
    app: Flask, connected: Visitor, registered: dict[str, Any]
) -> None:
    grant = connected.services.store.grants.get("leads")
    assert grant
    token = connected.services.tokens.access_token("leads").value
    secrets = [registered["secrets"]["eu"], grant.refresh_token, token]
    for path, text in crawl(app, connected).items():
        assert not [secret for secret in secrets if secret in text], path


def test_a_wrong_secret_is_not_shown_again(connected: Visitor) -> None:
    client_id = connected.services.store.clients.all()[0].client_id
    wrong = "0123456789abcdef0123456789abcdef0123456789"
    answer = connected.submit_form(f"/clients/{client_id}/secret", location="eu", secret=wrong)
    assert answer.status_code == 422
    assert wrong not in answer.text


@pytest.mark.parametrize("text", HOSTILE)
def test_names_from_zoho_are_shown_as_text(
    app: Flask,
    visitor: Visitor,
    registered: dict[str, Any],
    zoho_simulator: Simulator,
    text: str,
) -> None:
    organization = {"product": "crm", "organization_id": "2001", "name": text}
    zoho_simulator.controls.add_user(
        "eve@zylker.example",
        location="eu",
        password="made-up",
        first_name=text,
        last_name=text,
        organizations=[organization],
    )
    begun = visitor.submit_form("/connections", **connection_form(registered))
    authorize(visitor, zoho_simulator, begun.location, "eve@zylker.example")
    for path, page in crawl(app, visitor).items():
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
        assert "\x1b" not in page, path
        assert "a" * 1000 not in page, path
    assert visitor.get("/connections/leads").status_code == 200


def test_no_page_copies_a_control_character_of_a_stored_value(
    app: Flask, connected: Visitor
) -> None:
    grants = connected.services.store.grants
    grant, name = grants.get("leads"), "a\x1b]0;owned\x07b"
    assert grant
    assert grant.account
    organizations = [replace(each, name=name) for each in grant.organizations]
    account = replace(grant.account, display_name=name)
    grants.set_account("leads", grant.generation, account, tuple(organizations))
    pages = crawl(app, connected)
    assert any("owned" in page for page in pages.values())
    for path, page in pages.items():
        assert not {"\x1b", "\x07"} & {*page}, path


@over_rows("text", HOSTILE)
@over_rows("parameter", ["error", "error_description", "state", "location", "code"])
def test_text_of_a_foreign_callback_is_never_shown(
    anonymous: Visitor, parameter: str, text: str
) -> None:
    answer = anonymous.get("/callback", query_string={"state": "unknown", parameter: text})
    assert answer.status_code == 400
    assert text not in answer.text
    assert "<script>alert" not in answer.text


@over_rows("target", FOREIGN_URLS)
def test_no_parameter_redirects_elsewhere(app: Flask, connected: Visitor, target: str) -> None:
    names = ("next", "url", "redirect", "redirect_uri", "return_to", "location", "accounts-server")
    for path in route_paths(app, "GET"):
        answer = connected.get(path, query_string=dict.fromkeys(names, target))
        assert "evil.example" not in (answer.location or ""), path
        assert not (answer.location or "").startswith("javascript"), path
