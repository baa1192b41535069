"""The driver on real pages: it accepts the expected consent and leaves the rest to the user."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from playwright.sync_api import Error, Page
from support.assisted_windows import AssistedUser, AssistedWindow, open_assisted_window
from support.browser import CallbackServer
from support.harness import (
    ANNA,
    CARLA,
    ERIC,
    FIRST_ORGANIZATION,
    SECOND_ORGANIZATION,
    Harness,
    add_eric,
)
from support.zoho_driver import captcha_letters

from wizard.assisted_browser import ConsentDriver, ConsentResult
from wizard.assisted_browser.consent_page import Wait, next_consent_action, take_snapshot
from wizard.errors import WizardError
from wizard.model import AttemptMode
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import ConsentPage, SignInPage

DORA, NILS = "dora@zylker.example", "nils@zylker.example"


@pytest.fixture
def other_zoho() -> Iterator[Simulator]:
    """Another Zoho, at an address outside the table."""
    with Simulator() as simulator:
        yield simulator


def window_for(harness: Harness, page: Page, email: str, organization: str = "") -> AssistedWindow:
    """A window for the next consent of a connection of a user."""
    harness.add_verified_connection("crm", email, organization)
    harness.controls.clear_journal()
    seen = open_assisted_window(harness, page)
    seen.user.email = email
    return seen


def sign_in_before(window: AssistedWindow, email: str) -> None:
    """A user has already signed in in this window."""
    someone = replace(window.user, email=email, prompt_reasons=[], prompt_messages=[])
    window.page.goto(f"{window.harness.simulator.url}/eu/accounts/home")
    someone.sign_in()
    window.page.wait_for_url("**/accounts/home")


def sign_out_and_in(window: AssistedWindow) -> None:
    """Sign out on the page; the required user signs in when asked."""
    ConsentPage(window.user.person).sign_out()
    SignInPage(window.user.person).login_id.wait_for()


def creates_grant(window: AssistedWindow) -> bool:
    wanted, begun = window.expected_consent(email=window.user.email)
    ended = window.consent(wanted, begun)
    done = window.harness.services.authorization.complete_pasted(
        begun.attempt.id, begun.cookie_value, ended.callback_url
    )
    return done.generation == 2


def test_the_user_signs_in_and_the_driver_accepts(assisted_window: AssistedWindow) -> None:
    assert creates_grant(assisted_window)
    assert assisted_window.user.prompt_reasons == ["sign-in"]
    assert ANNA in assisted_window.user.prompt_messages[0]


def test_a_signed_in_user_is_asked_nothing_and_nothing_is_typed(
    assisted_window: AssistedWindow,
) -> None:
    sign_in_before(assisted_window, ANNA)
    assert creates_grant(assisted_window)
    assert assisted_window.user.prompt_reasons == []
    assert assisted_window.page.evaluate("typed") == 0


def test_the_redirect_with_the_code_never_leaves_the_browser(
    harness: Harness, page: Page, callback: CallbackServer
) -> None:
    """A listener at the redirect URI gets nothing, and the browser history does not have the
    code."""
    uri = callback.redirect_uri
    made = harness.controls.register_client(ANNA, [uri], name="Zylker")
    text = f"{made['client_id']}\n{made['secrets']['eu']}"
    client = harness.services.clients.register(text, name="Zylker", redirect_uri=uri, location="eu")
    harness.add_connection("crm", client)
    ended = open_assisted_window(harness, page).consent()
    assert ended.callback_url.startswith(f"{uri}?")
    assert "code=" in ended.callback_url
    assert "code=" not in page.url
    page.goto(uri.replace("/callback", "/later"))  # what was sent before has arrived by then
    assert callback.queries == []


def test_a_one_time_code_is_left_to_the_user_and_the_browser_is_not_trusted(
    harness: Harness, page: Page
) -> None:
    seen = window_for(harness, page, DORA)
    assert creates_grant(seen)
    assert seen.user.prompt_reasons == ["sign-in", "one-time-code"]
    assert harness.simulator.world.users.get(DORA).trusted_browsers == []


@pytest.mark.slow
def test_trusting_a_kept_browser_is_left_to_the_user(harness: Harness, page: Page) -> None:
    seen = window_for(harness, page, DORA)
    seen.user.actions["trust"] = lambda: SignInPage(seen.user.person).trust(True)
    wanted, begun = seen.expected_consent(email=DORA, can_trust_browser=True)
    assert seen.consent(wanted, begun).callback_url
    assert seen.user.prompt_reasons == ["sign-in", "one-time-code", "trust"]


@pytest.mark.slow
def test_a_captcha_is_left_to_the_user(assisted_window: AssistedWindow) -> None:
    assisted_window.harness.controls.require_captcha(ANNA)

    def type_it_off() -> None:
        page = SignInPage(assisted_window.user.person)
        page.enter_captcha(captcha_letters(assisted_window.page, assisted_window.harness.simulator))
        page.password.wait_for()

    assisted_window.user.actions["captcha"] = type_it_off
    assert creates_grant(assisted_window)
    assert assisted_window.user.prompt_reasons == ["sign-in", "captcha", "sign-in"]


@pytest.mark.slow
def test_a_push_confirmation_is_left_to_the_user(harness: Harness, page: Page) -> None:
    seen = window_for(harness, page, DORA)
    harness.simulator.world.users.get(DORA).approves_by_push = True
    assert creates_grant(seen)
    assert seen.user.prompt_reasons == ["sign-in", "push"]


@pytest.mark.parametrize(
    "kind", ["announcement", pytest.param("preannouncement", marks=pytest.mark.slow)]
)
def test_announcements_are_postponed(assisted_window: AssistedWindow, kind: str) -> None:
    assisted_window.harness.controls.announce(ANNA, kind)
    assert creates_grant(assisted_window)
    assert assisted_window.user.prompt_reasons == ["sign-in"]


def test_the_previous_organization_is_chosen(harness: Harness, page: Page) -> None:
    seen = window_for(harness, page, CARLA, SECOND_ORGANIZATION)
    wanted, begun = seen.expected_consent(email=CARLA)
    ended = seen.consent(wanted, begun)
    assert seen.user.prompt_reasons == ["sign-in"]
    authorization = harness.services.authorization
    done = authorization.complete_pasted(begun.attempt.id, begun.cookie_value, ended.callback_url)
    harness.verify("crm", done.generation or 0)
    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    assert [each.id for each in grant.organizations] == [SECOND_ORGANIZATION]


@pytest.mark.slow
def test_an_unknown_organization_is_left_to_the_user(harness: Harness, page: Page) -> None:
    seen = window_for(harness, page, CARLA, FIRST_ORGANIZATION)
    consent = ConsentPage(seen.user.person)
    seen.user.actions["organization"] = lambda: consent.choose_organization("Zylker Outlet")
    wanted, begun = seen.expected_consent(email=CARLA, organizations=())
    assert seen.consent(wanted, begun).callback_url
    assert seen.user.prompt_reasons == ["sign-in", "organization"]


@pytest.mark.parametrize(
    "email", [ERIC, *(pytest.param(each, marks=pytest.mark.slow) for each in (CARLA, NILS))]
)
def test_nothing_is_pressed_for_a_different_user(
    assisted_window: AssistedWindow, email: str
) -> None:
    """At a consent, at a choice of organizations, and without an account."""
    add_eric(assisted_window.harness)
    sign_in_before(assisted_window, email)

    def leave() -> None:
        assert assisted_window.decision_count == 0
        sign_out_and_in(assisted_window)

    assisted_window.user.actions["other-person"] = leave
    assert creates_grant(assisted_window)
    assert assisted_window.user.prompt_reasons == ["other-person", "sign-in"]
    assert email in assisted_window.user.prompt_messages[0]
    assert ANNA in assisted_window.user.prompt_messages[0]


@pytest.mark.slow
def test_without_an_expected_account_the_user_confirms_it(harness: Harness, page: Page) -> None:
    harness.add_connection()
    seen = open_assisted_window(harness, page)
    seen.user.actions["sign-in-new"] = seen.user.sign_in
    seen.user.actions["account-new"] = ConsentPage(seen.user.person).accept_button.click
    wanted, begun = seen.expected_consent(email="")
    assert seen.consent(wanted, begun).callback_url
    assert seen.user.prompt_reasons == ["sign-in-new", "account-new"]


@pytest.mark.slow
def test_only_the_user_accepts_a_client_with_a_different_name(
    assisted_window: AssistedWindow,
) -> None:
    _, begun = assisted_window.expected_consent()
    assisted_window.harness.simulator.world.clients.get(
        begun.attempt.client_id
    ).name = "Renamed there"
    consent = ConsentPage(assisted_window.user.person)
    assisted_window.user.actions["other-client"] = consent.accept_button.click
    ended = assisted_window.consent()
    assert assisted_window.user.prompt_reasons == ["sign-in", "other-client"]
    assert "Renamed there" in assisted_window.user.prompt_messages[1]
    assert ended.accepted_client_name == "Renamed there"


def test_the_name_of_a_client_that_the_user_rejected_is_not_stored(
    assisted_window: AssistedWindow,
) -> None:
    _, begun = assisted_window.expected_consent()
    assisted_window.harness.simulator.world.clients.get(
        begun.attempt.client_id
    ).name = "Renamed there"
    consent = ConsentPage(assisted_window.user.person)
    assisted_window.user.actions["other-client"] = consent.reject_button.click
    ended = assisted_window.consent()
    assert "error=access_denied" in ended.callback_url
    assert ended.accepted_client_name == ""


def follow_foreign_link(window: AssistedWindow, url: str, return_url: str) -> None:
    """The user follows a foreign link and later comes back."""

    def follow() -> None:
        window.user.sign_in()
        window.page.goto(url)

    def come_back() -> None:
        assert window.page.url == url
        assert window.decision_count == 0
        window.page.goto(return_url)

    window.user.actions.update({"sign-in": follow, "other-consent": come_back})


def test_the_consent_of_a_different_client_is_never_accepted(
    assisted_window: AssistedWindow,
) -> None:
    assisted_window.harness.add_connection("other")
    other = assisted_window.harness.services.authorization.begin("other", AttemptMode.PASTE).url
    wanted, begun = assisted_window.expected_consent()
    follow_foreign_link(assisted_window, other, wanted.url)
    assert assisted_window.consent(wanted, begun).callback_url
    assert assisted_window.user.prompt_reasons == ["sign-in", "other-consent"]


@pytest.mark.slow
def test_a_consent_to_more_scopes_is_never_accepted(assisted_window: AssistedWindow) -> None:
    wanted, begun = assisted_window.expected_consent()
    wider = wanted.url.replace("ZohoCRM.org.READ", "ZohoCRM.modules.ALL")
    assert wider != wanted.url
    follow_foreign_link(assisted_window, wider, wanted.url)
    assert assisted_window.consent(wanted, begun).callback_url
    assert assisted_window.user.prompt_reasons == ["sign-in", "other-consent"]


@pytest.mark.slow
def test_consent_text_that_exceeds_the_request_is_left_to_the_user(
    assisted_window: AssistedWindow,
) -> None:
    """The URL is right, but the text of the page names more scopes."""
    wanted, begun = assisted_window.expected_consent()
    fewer = ("AaaServer.profile.READ", "ZohoBooks.settings.READ", "ZohoDesk.basic.READ")
    consent = ConsentPage(assisted_window.user.person)

    def refuse() -> None:
        assert assisted_window.decision_count == 0
        consent.reject_button.click()

    assisted_window.user.actions["wider"] = refuse
    ended = assisted_window.consent(replace(wanted, scope=fewer), begun)
    assert "error=access_denied" in ended.callback_url
    assert "View leads" in assisted_window.user.prompt_messages[-1]


def test_nothing_is_pressed_on_a_foreign_host(
    assisted_window: AssistedWindow, other_zoho: Simulator
) -> None:
    """It looks like Zoho, and the user may even be signed in there."""
    wanted, begun = assisted_window.expected_consent()
    own, foreign = assisted_window.harness.simulator.url, other_zoho.url
    made = other_zoho.controls.register_client(
        ANNA, [begun.attempt.redirect_uri], name=next(iter(wanted.client_names))
    )
    copy = wanted.url.replace(own, foreign).replace(begun.attempt.client_id, made["client_id"])

    def stray() -> None:
        assisted_window.page.goto(copy)
        assisted_window.user.sign_in()
        ConsentPage(assisted_window.user.person).accept_button.wait_for()

    def come_back() -> None:
        ConsentPage(assisted_window.user.person).accept_button.wait_for()
        assisted_window.page.goto(wanted.url)

    turns = iter([stray, assisted_window.user.sign_in])
    assisted_window.user.actions["sign-in"] = lambda: next(turns)()
    assisted_window.user.actions["elsewhere"] = come_back
    assert assisted_window.consent(wanted, begun).callback_url
    assert assisted_window.user.prompt_reasons == ["sign-in", "elsewhere", "sign-in"]
    asked = [entry["path"] for entry in other_zoho.controls.journal()]
    assert not [path for path in asked if path.endswith("/decision")]


FAKE_CONSENT_PAGE = """
<button>Accept</button> <button>Reject</button>
<script>
  const evaluate = window.eval;
  window.eval = (text) => {
    const made = evaluate(text);
    return (...given) => ({ ...made(...given), url: ADDRESS, text: TEXT });
  };
</script>
"""


def test_a_page_that_fakes_its_address_is_not_trusted(
    assisted_window: AssistedWindow, other_zoho: Simulator
) -> None:
    """The scripts of a foreign page override the functions that the driver calls."""
    wanted, _ = assisted_window.expected_consent()
    said = "\n".join([ANNA, *wanted.client_names])
    lie = FAKE_CONSENT_PAGE.replace("ADDRESS", json.dumps(wanted.url)).replace(
        "TEXT", json.dumps(said)
    )
    address = f"{other_zoho.url}/consent"
    assisted_window.page.route(
        address, lambda route: route.fulfill(body=lie, content_type="text/html")
    )
    assisted_window.page.goto(address)
    assert next_consent_action(take_snapshot(assisted_window.page), wanted) == Wait()


CHANGING_PAGE = """
<title>Consent</title><h1>NAME</h1><p>ACCOUNT</p><p>NAME</p>
<button onclick="document.title = 'pressed'">Accept</button> <button>Reject</button>
<script>
  const evaluate = window.eval;
  window.eval = (text) => {
    const made = evaluate(text);
    return (...given) => {
      const seen = made(...given);
      document.querySelector("p").innerText = "bob@zylker.example";
      return seen;
    };
  };
</script>
"""


def test_a_page_that_changes_before_the_press_is_not_pressed(
    assisted_window: AssistedWindow,
) -> None:
    """The first snapshot shows the expected account; then the page shows a different one."""
    wanted, begun = assisted_window.expected_consent()
    body = CHANGING_PAGE.replace("ACCOUNT", ANNA).replace("NAME", next(iter(wanted.client_names)))
    page = assisted_window.page
    page.route(wanted.url, lambda route: route.fulfill(body=body, content_type="text/html"))

    def look() -> None:
        assert page.title() == "Consent"
        page.close()

    assisted_window.user.actions["other-person"] = look
    with pytest.raises(WizardError, match="window-closed"):
        assisted_window.consent(wanted, begun)
    assert assisted_window.user.prompt_reasons == ["other-person"]


def test_the_text_of_a_page_with_a_field_is_not_read(page: Page) -> None:
    page.set_content("<h2>Hello</h2><p>typed</p><ul><li>typed</li></ul><input>")
    seen = take_snapshot(page)
    assert (seen.headings, seen.text, seen.list_items) == (("Hello",), "", ())


def test_invisible_buttons_are_not_on_the_page(page: Page) -> None:
    hidden = ("display: none", "visibility: hidden", "opacity: 0")
    buttons = "".join(f'<button style="{style}">Accept</button>' for style in hidden)
    page.set_content(f"{buttons}<button>Reject</button>")
    assert [each.name for each in take_snapshot(page).buttons] == ["Reject"]


@pytest.mark.slow
def test_an_image_or_frame_at_the_redirect_uri_is_not_fetched_and_ends_nothing(
    assisted_window: AssistedWindow, other_zoho: Simulator
) -> None:
    wanted, begun = assisted_window.expected_consent()
    uri = f"{begun.attempt.redirect_uri}?error=access_denied&state={begun.attempt.oauth_state}"
    address = f"{other_zoho.url}/pictures"
    body = f'<img src="{uri}"><iframe src="{uri}"></iframe>'
    assisted_window.page.route(
        address, lambda route: route.fulfill(body=body, content_type="text/html")
    )
    refused: list[str] = []
    assisted_window.page.on("requestfailed", lambda request: refused.append(request.url))

    def wander() -> None:
        assisted_window.page.goto(address)
        assisted_window.page.goto(wanted.url)
        assisted_window.user.sign_in()

    assisted_window.user.actions["sign-in"] = wander
    ended = assisted_window.consent(wanted, begun)
    assert refused.count(uri) >= 2
    assert "code=" in ended.callback_url


def test_an_unknown_page_is_left_to_the_user_and_the_driver_continues_after_it(
    assisted_window: AssistedWindow,
) -> None:
    wanted, begun = assisted_window.expected_consent()
    connected_apps = f"{assisted_window.harness.simulator.url}/eu/accounts/home/connected-apps"

    def wander() -> None:
        assisted_window.user.sign_in()
        assisted_window.page.goto(connected_apps)

    assisted_window.user.actions["sign-in"] = wander
    assisted_window.user.actions["unknown"] = lambda: assisted_window.page.go_back()
    assert assisted_window.consent(wanted, begun).callback_url
    assert assisted_window.user.prompt_reasons == ["sign-in", "unknown"]


def test_a_zoho_error_page_ends_the_consent_with_its_text(
    assisted_window: AssistedWindow,
) -> None:
    wanted, begun = assisted_window.expected_consent()
    assisted_window.harness.controls.delete_client(begun.attempt.client_id)
    ended = assisted_window.consent(wanted, begun)
    assert ended == ConsentResult(error_text=ended.error_text)
    assert "Invalid Client" in ended.error_text


@pytest.mark.slow
def test_without_an_account_in_the_product_the_page_is_sent_back(
    harness: Harness, page: Page
) -> None:
    harness.add_connection()
    seen = open_assisted_window(harness, page)
    seen.user.email = NILS
    wanted, begun = seen.expected_consent(email=NILS)
    assert "error=no_org" in seen.consent(wanted, begun).callback_url


@pytest.mark.slow
def test_the_user_may_reject(assisted_window: AssistedWindow) -> None:
    wanted, begun = assisted_window.expected_consent()
    consent = ConsentPage(assisted_window.user.person)
    assisted_window.user.actions["other-client"] = consent.reject_button.click
    ended = assisted_window.consent(replace(wanted, client_names=frozenset({"Another"})), begun)
    assert "error=access_denied" in ended.callback_url


def test_closing_the_window_ends_the_consent(assisted_window: AssistedWindow) -> None:
    assisted_window.user.actions["sign-in"] = assisted_window.page.close
    with pytest.raises(WizardError, match="window-closed"):
        assisted_window.consent()


@pytest.mark.slow
def test_a_crashed_page_ends_the_consent(assisted_window: AssistedWindow) -> None:
    def crash() -> None:
        with suppress(Error):  # nobody is left to answer
            assisted_window.page.goto("chrome://crash")

    assisted_window.user.actions["sign-in"] = crash
    with pytest.raises(WizardError, match="window-closed"):
        assisted_window.consent()


@pytest.mark.slow
def test_a_stop_request_ends_the_consent(harness: Harness, page: Page) -> None:
    harness.add_verified_connection()
    seen = AssistedWindow(
        harness, page, AssistedUser(harness, page), ConsentDriver(page, print, lambda: True)
    )
    with pytest.raises(WizardError, match="window-closed"):
        seen.consent()


def test_the_prompt_for_the_user_is_shown_in_the_window(assisted_window: AssistedWindow) -> None:
    """It is outside the page, which cannot read it, and disappears once it is done."""
    notice = assisted_window.page.locator("#zoho-wizard-notice")

    def check() -> None:
        assert notice.is_visible()
        assert "read or type your password" not in assisted_window.page.locator("body").inner_text()
        assisted_window.user.sign_in()

    assisted_window.user.actions["sign-in"] = check
    assert assisted_window.consent().callback_url
    assert notice.count() == 0
    assisted_window.driver.show_notice("crm is being verified.")
    assert notice.get_attribute("data-message") == "crm is being verified."
