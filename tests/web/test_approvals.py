"""An account owner gives the consents of one request, and reaches nothing else."""

from collections.abc import Callable

import pytest
from flask import Flask
from support.web_visitor import ANNA, Visitor, authorize, route_paths
from werkzeug.test import TestResponse

from wizard.model import Connection
from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.zoho import limits

SCOPE = ("AaaServer.profile.READ", "ZohoCRM.modules.leads.READ", "ZohoCRM.org.READ")


@pytest.fixture
def owner(services: Services, zoho_simulator: Simulator, anonymous: Visitor) -> Visitor:
    """An account owner at the page for two of three connections."""
    uri = services.settings.redirect_uri
    made = zoho_simulator.controls.register_client(ANNA, [uri])
    client = services.clients.register(
        f"{made['client_id']} {made['secrets']['eu']}", redirect_uri=uri
    )
    for name in ("crm", "leads", "secret-project"):
        services.store.connections.add(Connection(name, client.client_id, SCOPE, "eu"))
    services.reauthorization.begin(("crm", "leads", "secret-project"))
    answer = anonymous.sign_in("/approvals/crm,leads")
    assert (answer.status_code, answer.location) == (303, "/approvals")
    return anonymous


def csrf_fields(owner: Visitor) -> dict[str, str]:
    page = owner.get("/approvals").text
    return {"csrf_token": page.partition('name="csrf_token" value="')[2].partition('"')[0]}


def test_the_consents_open_one_after_the_other(
    owner: Visitor, services: Services, zoho_simulator: Simulator
) -> None:
    for index in range(2):
        page = owner.get("/approvals" + ("?continue=yes" if index else "")).text
        assert (" data-auto-submit" in page) == bool(index)
        begun = owner.post("/approvals/next", csrf_fields(owner))
        answer = authorize(owner, zoho_simulator, begun.headers["Location"])
        assert answer.headers["Location"] == "/approvals?continue=yes"
    grants = [services.store.grants.get(name) for name in ("crm", "leads", "secret-project")]
    assert [each.email if each else "" for each in grants] == [ANNA, ANNA, ""]
    page = owner.get("/approvals").text
    assert "Nothing is left to approve" in page
    assert owner.post("/approvals/next", {}).status_code == 403


def test_a_consent_that_exceeds_the_rate_limit_opens_when_it_is_over(
    owner: Visitor, services: Services, zoho_simulator: Simulator
) -> None:
    fields = csrf_fields(owner)
    client_id = services.store.connections.get("crm").client_id
    for _ in range(limits().codes_budget):
        services.request_log.record_authorization(client_id, "eu", "crm")
    page = owner.get("/approvals?continue=yes").text
    assert ("data-poll-url" in page, " data-auto-submit" in page) == (True, False)
    early = owner.post("/approvals/next", fields)
    assert early.headers["Location"] == "/approvals?continue=yes"
    zoho_simulator.controls.advance(limits().window_seconds + 1)
    page = owner.get("/approvals?continue=yes").text
    assert ("data-poll-url" in page, " data-auto-submit" in page) == (False, True)
    assert "/oauth/v2/auth" in owner.post("/approvals/next", fields).headers["Location"]


@pytest.mark.parametrize("path", ["/approvals", "/reauthorize"])
def test_a_foreign_page_opens_no_consent(
    path: str, owner: Visitor, visitor: Visitor, zoho_simulator: Simulator
) -> None:
    browser = owner if path == "/approvals" else visitor
    fields = csrf_fields(owner) if browser is owner else {"csrf_token": visitor.csrf_token()}
    navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    def opened_by_another_site() -> TestResponse:
        headers = {"Sec-Fetch-Site": "cross-site", **navigation}
        return browser.get(f"{path}?continue=yes", headers=headers)

    assert opened_by_another_site().location == path
    begun = browser.post(f"{path}/next", fields)
    authorize(browser, zoho_simulator, begun.headers["Location"])
    assert opened_by_another_site().status_code == 200, "Zoho has opened it"
    browser.post(f"{path}/next", fields)
    assert opened_by_another_site().location == path


def test_an_account_owner_reaches_no_other_page(app: Flask, owner: Visitor) -> None:
    fields = csrf_fields(owner)
    open_to_all = ("/browser-link/x", "/callback", "/static/wizard.css", "/approvals")
    for path in route_paths(app, "GET"):
        if path not in open_to_all:
            answer = owner.get(path)
            assert answer.status_code == 403, path
            assert "secret-project" not in answer.text
    for path in route_paths(app, "POST"):
        if not path.startswith("/approvals"):
            assert owner.post(path, fields).status_code == 403, path
    page = owner.get("/approvals").text
    assert "crm" in page
    assert "secret-project" not in page


def test_only_a_link_for_an_account_owner_opens_the_page(
    new_visitor: Callable[[], Visitor],
) -> None:
    visitor = new_visitor()
    visitor.sign_in()
    assert "Nothing is left to approve" in visitor.get("/approvals").text
