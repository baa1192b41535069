"""Every page of the simulator: accessible, usable by keyboard, with no foreign content."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect
from support.browser import accessibility_violations
from support.zoho_driver import captcha_letters

from wizard.simulator.grants import Permission
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import (
    AnnouncementPage,
    ConsolePage,
    RecoveryPages,
    SignInPage,
    SimulatedUser,
)
from wizard.simulator.users import ANNOUNCEMENT_KINDS

ANNA, CARLA, NILS = "anna@zylker.example", "carla@zylker.example", "nils@zylker.example"
REDIRECT_URI = "http://localhost:8723/callback"
WIDTHS = (1200, 360)
"""Of a window, in pixels; the narrow one is checked last, with axe-core."""


def every_page(person: SimulatedUser, simulator: Simulator) -> Iterator[str]:
    """Visit every page of the simulator and yield its name."""
    world, page = simulator.world, person.page
    client = simulator.controls.register_client(ANNA, [REDIRECT_URI], name="Lead reader")
    self_client = simulator.controls.register_client(
        ANNA, [], name="Self Client", kind="self-client"
    )
    zuid = world.users.get(ANNA).zuid
    world.grants.issue_refresh_token(
        Permission(client["client_id"], zuid, "eu", ["ZohoCRM.org.READ"])
    )
    accounts, console = f"{simulator.url}/eu/accounts", f"{simulator.url}/eu/api-console"
    request = {
        "client_id": client["client_id"],
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": "ZohoCRM.modules.ALL,AaaServer.profile.READ",
        "prompt": "consent",
    }
    authorization = f"{accounts}/oauth/v2/auth?{urlencode(request)}"

    yield from _sign_in_pages(person, simulator, accounts)
    for path in ("", "/home/sessions", "/home/connected-apps"):
        person.go(accounts + (path or "/home"))
        yield path or "/home"
    own = f"/client/{client['client_id']}"
    for path in ("/", "/add", "/add/server-based", own, f"{own}/details", f"{own}/settings"):
        person.go(console + path)
        yield path
    person.go(f"{console}/client/{self_client['client_id']}")
    yield "generate code"
    ConsolePage(person).generate_code("ZohoCRM.org.READ", 3, "a test")
    yield "the code"
    person.go(authorization)
    yield "consent"
    person.go(authorization.replace("modules", ""))
    yield "error page"
    for login_id in (CARLA, NILS):
        page.goto(f"{accounts}/logout")
        SignInPage(person).sign_in(login_id, world.users.get(login_id).password)
        person.go(authorization)
        yield f"consent for {login_id}"
    for path in ("", "routes"):
        person.go(f"{simulator.url}/_simulator/{path}")
        yield path or "state"


def _sign_in_pages(person: SimulatedUser, simulator: Simulator, accounts: str) -> Iterator[str]:
    sign_in = SignInPage(person)
    person.go(f"{accounts}/signin")
    yield "sign-in"
    sign_in.enter_login_id("nobody@zylker.example")
    sign_in.error.wait_for()
    yield "unknown account"
    sign_in.enter_login_id(ANNA)
    sign_in.password.wait_for()
    yield "password"
    sign_in.open_recovery()
    yield "forgotten password"
    recovery = RecoveryPages(person)
    recovery.request_code(ANNA, captcha_letters(person.page, simulator))
    recovery.code.wait_for()
    recovery.enter_code(simulator.world.users.get(ANNA).recovery_code)
    recovery.new_password.wait_for()
    recovery.choose_password("anna-made-up-another")
    recovery.remove_tokens.wait_for()
    yield "what else should end"
    recovery.submit_session_choices()
    yield from _after_sign_in_pages(person, simulator)


def _after_sign_in_pages(person: SimulatedUser, simulator: Simulator) -> Iterator[str]:
    sign_in, announcement = SignInPage(person), AnnouncementPage(person)
    simulator.world.users.get(ANNA).approves_by_push = True
    simulator.controls.require_captcha(ANNA)
    for kind in ANNOUNCEMENT_KINDS:
        simulator.controls.announce(ANNA, kind)
    sign_in.enter_login_id(ANNA)
    sign_in.captcha.wait_for()
    yield "captcha"
    sign_in.enter_captcha(captcha_letters(person.page, simulator))
    sign_in.enter_password(simulator.world.users.get(ANNA).password)
    sign_in.push_heading.wait_for()
    yield "push"
    simulator.controls.confirm_push(ANNA)
    sign_in.trust(True)
    sign_in.wait_until_done()
    yield "announcement"
    announcement.skip()
    announcement.heading.get_by_text("Sign-in is changing").wait_for()
    announcement.press_continue()


@pytest.mark.slow
def test_every_page_is_accessible_fits_each_width_and_says_that_it_is_simulated(
    zoho_simulator: Simulator, person: SimulatedUser
) -> None:
    page = person.page
    found = {}
    for stop in every_page(person, zoho_simulator):
        expect(page.get_by_text("Simulated Zoho", exact=True)).to_be_visible()
        found[stop] = _horizontal_overflow(page) + accessibility_violations(page)
    assert {stop: wrong for stop, wrong in found.items() if wrong} == {}


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere_or_violates_its_own_policy(
    zoho_simulator: Simulator, person: SimulatedUser
) -> None:
    asked: list[str] = []
    said: list[str] = []
    person.page.on("request", lambda request: asked.append(request.url))
    person.page.on("console", lambda message: said.append(message.text))
    person.page.on("pageerror", lambda error: said.append(str(error)))
    for stop in every_page(person, zoho_simulator):
        said.extend(f"{stop}: inline" for _ in _inline_code(person.page))
    assert {url for url in asked if not url.startswith(zoho_simulator.url)} == set()
    assert said == []


def _horizontal_overflow(page: Page) -> list[str]:
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 740})
        if (excess := page.evaluate(script)) > 0:
            found.append(f"{excess} pixels wider than a window of {width}")
    return found


def _inline_code(page: Page) -> list[str]:
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('style, [style], script:not([src]), [onclick]')]"
        ".map(element => element.outerHTML)"
    )
    return found
