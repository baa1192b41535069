"""Every page of the sandbox: for every eye, by keyboard, with nothing from elsewhere."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from browsing import violations
from playwright.sync_api import BrowserContext, Page, expect
from zoho_driver import captcha_letters

from wizard.sandbox.grants import Permission
from wizard.sandbox.people import ANNOUNCEMENTS
from wizard.sandbox.person import Announcement, Console, Person, Recovery, SignIn
from wizard.sandbox.server import Sandbox

ANNA, CARLA, NILS = "anna@zylker.example", "carla@zylker.example", "nils@zylker.example"
REDIRECT_URI = "http://localhost:8723/callback"
LOOKS: list[dict[str, Any]] = [
    {"color_scheme": "light", "viewport": {"width": 1200, "height": 800}},
    {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}},
]


def stops(person: Person, sandbox: Sandbox) -> Iterator[str]:
    """Walk past every page of the sandbox, and pause at each with its name."""
    world, page = sandbox.world, person.page
    client = sandbox.admin.register_client(ANNA, [REDIRECT_URI], name="Lead reader")
    self_client = sandbox.admin.register_client(ANNA, [], name="Self Client", kind="self-client")
    zuid = world.people.named(ANNA).zuid
    world.grants.issue_refresh_token(
        Permission(client["client_id"], zuid, "eu", ["ZohoCRM.org.READ"])
    )
    accounts, console = f"{sandbox.url}/eu/accounts", f"{sandbox.url}/eu/api-console"
    request = {
        "client_id": client["client_id"],
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": "ZohoCRM.modules.ALL,AaaServer.profile.READ",
        "prompt": "consent",
    }
    authorization = f"{accounts}/oauth/v2/auth?{urlencode(request)}"

    yield from _signing_in(person, sandbox, accounts)
    for path in ("", "/home/sessions", "/home/connected-apps"):
        person.go(accounts + (path or "/home"))
        yield path or "/home"
    own = f"/client/{client['client_id']}"
    for path in ("/", "/add", "/add/server-based", own, f"{own}/details", f"{own}/settings"):
        person.go(console + path)
        yield path
    person.go(f"{console}/client/{self_client['client_id']}")
    yield "generate code"
    Console(person).generate_code("ZohoCRM.org.READ", 3, "a test")
    yield "the code"
    person.go(authorization)
    yield "consent"
    person.go(authorization.replace("modules", ""))
    yield "error page"
    for login_id in (CARLA, NILS):
        page.goto(f"{accounts}/logout")
        SignIn(person).sign_in(login_id, world.people.named(login_id).password)
        person.go(authorization)
        yield f"consent for {login_id}"
    person.go(f"{sandbox.url}/_sandbox/")
    yield "state"


def _signing_in(person: Person, sandbox: Sandbox, accounts: str) -> Iterator[str]:
    sign_in = SignIn(person)
    person.go(f"{accounts}/signin")
    yield "sign-in"
    sign_in.enter_login_id("nobody@zylker.example")
    sign_in.error.wait_for()
    yield "unknown account"
    sign_in.enter_login_id(ANNA)
    sign_in.password.wait_for()
    yield "password"
    sign_in.forget_password()
    yield "forgotten password"
    recovery = Recovery(person)
    recovery.ask_for_code(ANNA, captcha_letters(person.page, sandbox))
    recovery.code.wait_for()
    recovery.enter_code(sandbox.world.people.named(ANNA).mailed_code)
    recovery.new_password.wait_for()
    recovery.choose_password("anna-made-up-another")
    recovery.remove_tokens.wait_for()
    yield "what else should end"
    recovery.go_on()
    yield from _arriving(person, sandbox)


def _arriving(person: Person, sandbox: Sandbox) -> Iterator[str]:
    sign_in, announcement = SignIn(person), Announcement(person)
    sandbox.world.people.named(ANNA).approves_by_push = True
    sandbox.admin.demand_captcha(ANNA)
    for kind in ANNOUNCEMENTS:
        sandbox.admin.announce(ANNA, kind)
    sign_in.enter_login_id(ANNA)
    sign_in.captcha.wait_for()
    yield "captcha"
    sign_in.enter_captcha(captcha_letters(person.page, sandbox))
    sign_in.enter_password(sandbox.world.people.named(ANNA).password)
    sign_in.push_heading.wait_for()
    yield "push"
    sandbox.admin.confirm_push(ANNA)
    sign_in.trust(True)
    sign_in.wait_until_left()
    yield "announcement"
    announcement.skip()
    announcement.heading.get_by_text("Signing in will change").wait_for()
    announcement.go_on()


@pytest.mark.parametrize("look", LOOKS, ids=["light and wide", "dark and narrow"])
def test_no_page_shuts_anybody_out_scrolls_sideways_or_forgets_to_say_that_it_is_made_up(
    zoho_sandbox: Sandbox, new_context: Callable[..., BrowserContext], look: dict[str, Any]
) -> None:
    page = new_context(**look).new_page()
    found = {}
    for stop in stops(Person(page), zoho_sandbox):
        expect(page.get_by_text("Sandbox: a made-up Zoho")).to_be_visible()
        found[stop] = violations(page) + _wider_than_the_window(page)
    assert {stop: wrong for stop, wrong in found.items() if wrong} == {}


def test_no_page_asks_anything_of_anybody_else_or_breaks_its_own_rules(
    zoho_sandbox: Sandbox, person: Person
) -> None:
    asked: list[str] = []
    said: list[str] = []
    person.page.on("request", lambda request: asked.append(request.url))
    person.page.on("console", lambda message: said.append(message.text))
    person.page.on("pageerror", lambda error: said.append(str(error)))
    for stop in stops(person, zoho_sandbox):
        said.extend(f"{stop}: inline" for _ in _inline(person.page))
    assert {url for url in asked if not url.startswith(zoho_sandbox.url)} == set()
    assert said == []


def _wider_than_the_window(page: Page) -> list[str]:
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    excess = page.evaluate(script)
    return [f"{excess} pixels wider than the window"] if excess > 0 else []


def _inline(page: Page) -> list[str]:
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('style, [style], script:not([src]), [onclick]')]"
        ".map(element => element.outerHTML)"
    )
    return found
