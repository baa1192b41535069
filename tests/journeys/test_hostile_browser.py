"""Other pages, other browsers and foreign URLs can't make the wizard do anything."""

import logging
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Page, Request, Response, Route, expect
from support.canaries import find_secrets
from support.harness import ANNA, CARLA
from support.records import attempts_of
from support.user_journey import CONNECTION_NAME, PRESET, Journey
from support.wizard_pages import (
    ClientPage,
    ConnectionPage,
    NewConnectionPage,
)

from wizard.model import AttemptState
from wizard.simulator.simulated_user import ConsentPage, SimulatedUser

CALLBACK = "**/callback?*"
SAME_SITE = "http://localhost:9"
OTHER_PAGES = [
    "http://evil.example",
    SAME_SITE,
    pytest.param("http://127.0.0.1:9", marks=pytest.mark.slow),
]
"""Another site, and two that a browser treats as the same site: cookies ignore ports."""


def open_foreign_page(page: Page, origin: str, body: str) -> None:
    """Open a foreign page at its own origin."""

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/html", body=f"<!doctype html><h1>Cats</h1>{body}")

    page.route(f"{origin}/cats", answer)
    page.goto(f"{origin}/cats")


def add_connected_page(journey: Journey) -> ConnectionPage:
    """The page of a connection that was verified outside the browser."""
    journey.add_verified_connection(CONNECTION_NAME)
    journey.open_wizard(f"/connections/{CONNECTION_NAME}")
    return ConnectionPage(journey.person)


# --- Other host names and other pages ------------------------------------------------------------


def test_a_rebound_host_name_is_refused_on_every_page(
    journey: Journey,
) -> None:
    add_connected_page(journey)
    client_id = journey.services.store.connections.get(CONNECTION_NAME).client_id
    rebound = f"http://evil.localhost:{journey.services.settings.port}"
    for path in (
        "/",
        f"/connections/{CONNECTION_NAME}",
        f"/clients/{client_id}",
        "/static/wizard.js",
    ):
        answer = journey.page.goto(f"{rebound}{path}")
        assert answer is not None
        assert answer.status == 400, path
        assert CONNECTION_NAME not in answer.text()
    seen = journey.page.evaluate(
        "fetch('/clients', {credentials: 'include'}).then(answer => answer.status)"
    )
    assert seen == 400


def test_the_loopback_ip_address_is_not_a_host_name_of_the_wizard(journey: Journey) -> None:
    add_connected_page(journey)
    number = f"http://127.0.0.1:{journey.services.settings.port}"
    answer = journey.page.goto(f"{number}/connections/{CONNECTION_NAME}")
    assert answer is not None
    assert answer.status == 400
    journey.page.goto(f"{number}/")
    expect(journey.page).to_have_url(f"{journey.base_url}/")


@pytest.mark.parametrize("origin", OTHER_PAGES)
def test_a_form_on_another_page_changes_nothing(journey: Journey, origin: str) -> None:
    add_connected_page(journey)
    for act in ("authorize", "revoke", "remove"):
        target = f"{journey.base_url}/connections/{CONNECTION_NAME}/{act}"
        form = f"<form method=post action='{target}'><input name=how value=forget><button>Win"
        open_foreign_page(journey.page, origin, form)
        journey.person.page.get_by_role("button", name="Win").click()
        expect(journey.page.get_by_role("heading", level=1)).to_contain_text(
            "came from a different site"
        )
    assert len(attempts_of(journey.services.store, CONNECTION_NAME)) == 1
    assert journey.services.tokens.access_token(CONNECTION_NAME, force_refresh=True).generation == 1


@pytest.mark.parametrize("origin", OTHER_PAGES)
def test_a_script_on_another_page_neither_reads_nor_changes_anything(
    journey: Journey, origin: str
) -> None:
    add_connected_page(journey)
    open_foreign_page(journey.page, origin, "")
    answered: list[Response] = []
    journey.page.on("response", lambda each: answered.append(each))
    for path, method in (
        (f"/connections/{CONNECTION_NAME}", "GET"),
        (f"/connections/{CONNECTION_NAME}/revoke", "POST"),
    ):
        seen = journey.page.evaluate(
            "([url, method]) => fetch(url, {method, mode: 'no-cors', credentials: 'include'})"
            ".then(answer => answer.type, () => 'failed')",
            [f"{journey.base_url}{path}", method],
        )
        assert seen in ("opaque", "failed")
    assert {each.status for each in answered} <= {403}
    assert journey.services.tokens.access_token(CONNECTION_NAME, force_refresh=True).generation == 1


def test_no_other_page_can_frame_the_wizard(journey: Journey) -> None:
    add_connected_page(journey)
    open_foreign_page(
        journey.page,
        SAME_SITE,
        f"<iframe src='{journey.base_url}/connections/{CONNECTION_NAME}'>",
    )
    frame = journey.page.frames[-1]
    assert frame.url.startswith("chrome-error:")


# --- Foreign URLs --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stolen_authorization_url_cannot_be_finished_in_another_browser(
    journey: Journey, private_window: SimulatedUser
) -> None:
    journey.open_sign_in_page()
    stolen = journey.page.url
    private_window.go(stolen)
    journey.sign_in(CARLA, private_window)
    thief = ConsentPage(private_window)
    thief.choose_organization("Zylker GmbH")
    thief.accept()
    heading = private_window.page.get_by_role("heading", level=1)
    expect(heading).to_contain_text("started in a different browser")
    expect(private_window.page.get_by_text(CONNECTION_NAME)).to_have_count(0)
    assert journey.code_exchanges() == []
    journey.consent_page(ANNA).accept()
    expect(journey.wait_until_verified().headline).to_contain_text(ANNA)


@pytest.mark.slow
def test_a_stolen_callback_is_useless_elsewhere_and_after_five_tries_here_too(
    journey: Journey, private_window: SimulatedUser
) -> None:
    stolen: list[str] = []

    def steal(route: Route) -> None:
        stolen.append(route.request.url)
        route.abort()

    # Chromium retries a page that failed, so the callback is stolen until the last try.
    journey.page.route(CALLBACK, steal)
    journey.open_sign_in_page()
    consent = journey.consent_page(ANNA)
    with journey.page.expect_event("requestfailed"):
        journey.person.click(consent.accept_button)
    for _ in range(5):
        private_window.go(stolen[0])
        heading = private_window.page.get_by_role("heading", level=1)
        expect(heading).to_contain_text("started in a different browser")
    journey.page.unroute(CALLBACK)
    journey.person.go(stolen[0])
    page = ConnectionPage(journey.person)
    expect(page.explanation).to_contain_text("closed for your security")
    assert journey.code_exchanges() == []
    page.press("Try again")
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()


def test_a_callback_with_a_foreign_accounts_server_sends_it_nothing(
    journey: Journey,
) -> None:
    asked: list[Request] = []
    journey.page.on("request", lambda each: asked.append(each))

    def mislead(route: Route) -> None:
        own, foreign = (
            quote(url, safe=":") for url in (journey.simulator.url, "https://evil.example")
        )
        address = route.request.url.replace(f"accounts-server={own}", f"accounts-server={foreign}")
        assert address != route.request.url
        route.fulfill(status=302, headers={"Location": f"{address}&misled=yes"})

    journey.page.route(lambda url: "/callback?" in url and "misled" not in url, mislead)
    journey.open_sign_in_page()
    journey.consent_page(ANNA).accept()
    page = ConnectionPage(journey.person)
    expect(page.explanation).to_contain_text("didn’t come from a known accounts server")
    assert journey.code_exchanges() == []
    assert not [each for each in asked if "evil" in (urlsplit(each.url).hostname or "")]
    (attempt,) = attempts_of(journey.services.store, CONNECTION_NAME)
    assert attempt.state is AttemptState.FAILED


def test_foreign_text_is_shown_as_text_and_never_executed(journey: Journey) -> None:
    hostile = "<img src=x onerror=\"document.title='owned'\">"
    organization = {"product": "crm", "organization_id": "2001", "name": hostile}
    eve = "eve@zylker.example"
    journey.controls.add_user(
        eve,
        location="eu",
        password="made-up",
        first_name=hostile,
        last_name="Adams",
        organizations=[organization],
    )
    journey.open_sign_in_page()
    journey.consent_page(eve).accept()
    expect(journey.wait_until_verified().headline).to_contain_text(hostile)
    journey.person.go(journey.base_url)
    expect(journey.page.get_by_text(hostile)).to_be_visible()
    assert "owned" not in journey.page.title()


# --- No secret anywhere (S1) ---------------------------------------------------------------------


def every_page(journey: Journey) -> dict[str, str]:
    """The content of each page that the wizard links to; of the help pages only those that another
    page links to."""
    pages: dict[str, str] = {}
    waiting = ["/"]
    while waiting:
        address = f"{journey.base_url}{waiting.pop()}"
        path = address.partition("#")[0].removeprefix(journey.base_url)
        if path in pages:
            continue
        journey.person.go(address)
        pages[path] = journey.page.content()
        links = journey.page.evaluate("[...document.links].map(link => link.href)")
        if path.startswith("/help"):
            continue
        own = [each for each in links if each.startswith(f"{journey.base_url}/")]
        waiting.extend(each.removeprefix(journey.base_url) for each in own)
    return pages


@pytest.mark.slow
def test_after_a_full_journey_no_secret_is_exposed(
    journey: Journey, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    callbacks: list[str] = []
    journey.page.on("request", lambda each: callbacks.append(each.url))
    form = journey.start_new_connection(preset=PRESET)
    client_id, secret = journey.register_in_console(form).split()
    wrong = f"{secret[:-4]}0000"
    form.paste_credentials(client_id, wrong)
    form.connect()
    refused = journey.page.content()
    NewConnectionPage(journey.person).paste_credentials(client_id, secret)
    form.connect()
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()
    first = journey.services.store.grants.get(CONNECTION_NAME)
    access_token = journey.services.tokens.access_token(CONNECTION_NAME).value
    page = ConnectionPage(journey.person)
    page.reauthorize()
    ConsentPage(journey.person).accept()
    expect(page.report).to_contain_text("Authorization 2")
    page.wait_until_verified()
    second = journey.services.store.grants.get(CONNECTION_NAME)
    assert first is not None
    assert second is not None
    answers = [parse_qs(urlsplit(each).query) for each in callbacks if "/callback?" in each]
    canaries = {
        "client secret": secret,
        "wrong secret": wrong,
        "refresh token": first.refresh_token,
        "second refresh token": second.refresh_token,
        "access token": access_token,
        "second access token": journey.services.tokens.access_token(CONNECTION_NAME).value,
    }
    for number, answer in enumerate(answers):
        canaries |= {f"code {number}": answer["code"][0], f"state {number}": answer["state"][0]}
    assert len(canaries) == 10

    journey.person.go(f"{journey.base_url}/clients/{client_id}")
    client_page = ClientPage(journey.person)
    client_page.open_secret_form()
    client_page.store_secret(wrong)
    expect(client_page.explanation).to_contain_text("wrong")
    painted = {"refusal": refused, "second refusal": journey.page.content(), **every_page(journey)}
    assert {
        f"/connections/{CONNECTION_NAME}",
        f"/connections/{CONNECTION_NAME}/remove",
        "/status",
    } <= set(painted)
    for path, content in painted.items():
        assert find_secrets(content.encode(), canaries) == [], path
    kept = str(journey.page.context.storage_state())
    assert find_secrets(kept.encode(), canaries) == []

    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert {"wizard.db", "wizard.db-wal"} <= {each.name for each in files}
    for file in files:
        assert find_secrets(file.read_bytes(), canaries) == [], file
    assert find_secrets(str(journey.controls.journal()).encode(), canaries) == []
    assert find_secrets(caplog.text.encode(), canaries) == []
