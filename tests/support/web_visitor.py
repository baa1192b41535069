"""A visitor of the wizard's pages, and its helpers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, event
from werkzeug.test import TestResponse

from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.web.app import create_app
from wizard.web.sessions import LinkTokens

NEW_CONNECTION_PATH = "/connections/new"
ANNA = "anna@zylker.example"
LEADS_SCOPE = "ZohoCRM.modules.leads.READ,ZohoCRM.org.READ,AaaServer.profile.READ"


class FakeTimer:
    """Elapsed seconds that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Visitor:
    """A browser without rendering: it keeps cookies, sends forms, and follows no redirects."""

    client: FlaskClient
    services: Services
    link_tokens: LinkTokens

    def sign_in(self, path: str = "/") -> TestResponse:
        return self.get(f"/browser-link/{self.link_tokens.issue(path)}")

    def get(self, path: str, **options: Any) -> TestResponse:
        base_url = self.services.settings.base_url
        return self.client.get(path, base_url=base_url, buffered=True, **options)

    def submit_form(self, path: str, /, **fields: str) -> TestResponse:
        """Send a form as our own page does, with the hidden field of this session."""
        return self.post(path, {"csrf_token": self.csrf_token(), **fields})

    def post(self, path: str, fields: dict[str, str], **options: Any) -> TestResponse:
        base_url = self.services.settings.base_url
        return self.client.post(path, base_url=base_url, data=fields, **options)

    def csrf_token(self) -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/clients/new").text)
        return found[1] if found else ""


_NOT_COUNTED = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "SELECT zoho_wizard_store.version")


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that the block executes, without BEGIN, COMMIT and PRAGMA, or what reads the
    version of the tables where there is no PRAGMA."""
    statements: list[str] = []

    def on_statement(*arguments: Any) -> None:
        if not arguments[2].startswith(_NOT_COUNTED):
            statements.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", on_statement)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", on_statement)


def visit(services: Services, path: str) -> tuple[list[str], str]:
    """The statements of a visit, and the page."""
    link_tokens = LinkTokens()
    app = create_app(services, link_tokens=link_tokens)
    visitor = Visitor(app.test_client(), services, link_tokens)
    visitor.sign_in("/status")
    with counted() as statements:
        answer = visitor.get(path)
    assert answer.status_code == 200, answer.text
    return statements, answer.text


def connection_form(registered: dict[str, Any], name: str = "leads") -> dict[str, str]:
    """The fields of the second page of a new connection."""
    return {
        "name": name,
        "scope": LEADS_SCOPE,
        "preset_ids": "crm-read-leads",
        "location": "eu",
        "credentials": f"{registered['client_id']}\n{registered['secrets']['eu']}",
    }


def authorize(
    visitor: Visitor,
    simulator: Simulator,
    authorization_url: str,
    email: str = ANNA,
    organization: str = "",
) -> TestResponse:
    """Sign in at Zoho, accept, come back, and wait until the verification has finished."""
    callback = simulator.controls.authorize(authorization_url, email, organization)
    answer = visitor.get(callback.removeprefix(visitor.services.settings.base_url))
    visitor.services.verification_worker.stop()
    return answer


def route_paths(app: Flask, method: str) -> list[str]:
    """A path for every rule of the application that accepts `method`."""
    parts = {"name": "leads", "client_id": "1000.X", "token": "x", "code": "unknown"}
    return [
        re.sub(r"<(?:\w+:)?(\w+)>", lambda found: parts.get(found[1], "wizard.css"), rule.rule)
        for rule in app.url_map.iter_rules()
        if method in (rule.methods or ())
    ]
