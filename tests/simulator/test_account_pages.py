"""The account pages in a real browser: sign in, change or recover a password, revoke apps."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect
from support.zoho_driver import captcha_letters

from wizard.simulator.grants import Permission, RefreshToken
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import (
    AnnouncementPage,
    ConnectedAppsPage,
    RecoveryPages,
    SecurityPage,
    SignInPage,
    SimulatedUser,
)

pytestmark = pytest.mark.slow
"""Journeys use the same pages."""

NEW_PASSWORD = "quite-another-one"
ANNA, BOB, DORA = "anna@zylker.example", "bob@zylker.example", "dora@zylker.example"


@pytest.fixture
def sign_in(person: SimulatedUser, zoho_simulator: Simulator) -> SignInPage:
    """The sign-in page of the European data center."""
    person.go(f"{zoho_simulator.url}/eu/accounts/signin")
    return SignInPage(person)


def password_of(simulator: Simulator, login_id: str) -> str:
    return simulator.world.users.get(login_id).password


def test_a_login_id_and_its_password_open_the_account(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    sign_in.sign_in(ANNA, password_of(zoho_simulator, ANNA))
    expect(sign_in.page.get_by_role("heading", name="Change password")).to_be_visible()
    expect(sign_in.page.get_by_text(ANNA)).to_be_visible()


def test_the_button_is_disabled_until_something_is_entered(sign_in: SignInPage) -> None:
    expect(sign_in.next).to_be_disabled()
    sign_in.user.fill(sign_in.login_id, ANNA)
    expect(sign_in.next).to_be_enabled()


def test_the_button_is_disabled_while_a_request_runs(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    zoho_simulator.world.lock.acquire()
    try:
        sign_in.enter_login_id(ANNA)
        expect(sign_in.next).to_be_disabled()
    finally:
        zoho_simulator.world.lock.release()
    expect(sign_in.password).to_be_visible()


def test_the_password_is_hidden_until_the_login_id_is_known(sign_in: SignInPage) -> None:
    expect(sign_in.page.locator("input#password[name=PASSWORD]")).to_be_hidden()
    expect(sign_in.page.locator("input#login_id[name=LOGIN_ID]")).to_be_visible()
    sign_in.enter_login_id(ANNA)
    expect(sign_in.password).to_be_visible()
    expect(sign_in.page).to_have_url(re.compile(r"/eu/accounts/signin$"))


def test_an_unknown_account_is_not_found(sign_in: SignInPage) -> None:
    sign_in.enter_login_id("nobody@zylker.example")
    expect(sign_in.error).to_have_text(re.compile(r"^This account cannot be found\. "))


def test_a_wrong_password_is_refused_and_can_be_tried_again(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    sign_in.enter_login_id(ANNA)
    sign_in.enter_password("not-hers")
    expect(sign_in.error).to_have_text("Incorrect password. Please try again.")
    sign_in.enter_password(password_of(zoho_simulator, ANNA))
    sign_in.wait_until_done()


def test_a_deactivated_account_cannot_sign_in(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.deactivate_user(ANNA)
    sign_in.enter_login_id(ANNA)
    expect(sign_in.error).to_contain_text("deactivated")


def test_an_account_of_another_data_center_redirects_the_browser_there(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    sign_in.enter_login_id(BOB)
    sign_in.page.wait_for_url("**/in/accounts/signin?**")
    expect(sign_in.page.locator("#login_id")).to_have_value(BOB)
    sign_in.enter_password(password_of(zoho_simulator, BOB))
    sign_in.page.wait_for_url("**/in/accounts/home")


def test_china_knows_no_account_from_elsewhere(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    person.go(f"{zoho_simulator.url}/cn/accounts/signin")
    sign_in = SignInPage(person)
    sign_in.enter_login_id(ANNA)
    expect(sign_in.error).to_contain_text("This account cannot be found.")


def test_a_second_factor_requires_a_one_time_code_and_offers_to_trust_the_browser(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    dora = zoho_simulator.world.users.get(DORA)
    sign_in.enter_login_id(DORA)
    sign_in.enter_password(dora.password)
    sign_in.enter_code("000000")
    expect(sign_in.error).to_have_text("Incorrect OTP. Please try again.")
    sign_in.enter_code(dora.one_time_code(zoho_simulator.clock()))
    expect(sign_in.trust_heading).to_be_visible()
    sign_in.trust(False)
    sign_in.wait_until_done()


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_trusted_browser_skips_the_next_one_time_code(
    sign_in: SignInPage, zoho_simulator: Simulator, trusted: bool
) -> None:
    dora = zoho_simulator.world.users.get(DORA)
    sign_in.enter_login_id(DORA)
    sign_in.enter_password(dora.password)
    sign_in.enter_code(dora.one_time_code(zoho_simulator.clock()))
    sign_in.trust(trusted)
    sign_in.wait_until_done()
    sign_in.user.click(sign_in.page.get_by_role("link", name="Sign out"))
    sign_in.enter_login_id(DORA)
    sign_in.enter_password(dora.password)
    landed = sign_in.page.get_by_role("heading", name="Change password")
    expect(landed if trusted else sign_in.first_digit).to_be_visible()


@pytest.mark.rule("sign-in-asks-for-a-captcha")
def test_too_many_wrong_passwords_require_a_captcha(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.change_settings(wrong_passwords_before_captcha=2)
    sign_in.enter_login_id(ANNA)
    sign_in.enter_password("not-hers")
    expect(sign_in.error).to_have_text("Incorrect password. Please try again.")
    sign_in.enter_password("nor-this")
    expect(sign_in.captcha).to_be_visible()
    sign_in.enter_captcha("#####")
    expect(sign_in.error).to_have_text("Incorrect CAPTCHA. Please try again.")
    sign_in.enter_captcha(captcha_letters(sign_in.page, zoho_simulator))
    sign_in.enter_password(password_of(zoho_simulator, ANNA))
    sign_in.wait_until_done()
    assert zoho_simulator.world.users.get(ANNA).wrong_passwords == 0


def test_a_captcha_can_be_required_through_the_controls(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.require_captcha(ANNA)
    sign_in.enter_login_id(ANNA)
    expect(sign_in.captcha).to_be_visible()


@pytest.mark.rule("push-is-confirmed-on-another-device")
def test_a_push_waits_until_it_is_confirmed_on_another_device(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    with pytest.raises(LookupError, match="No sign-in of"):
        zoho_simulator.controls.confirm_push(ANNA)
    zoho_simulator.world.users.get(ANNA).approves_by_push = True
    sign_in.enter_login_id(ANNA)
    sign_in.enter_password(password_of(zoho_simulator, ANNA))
    expect(sign_in.push_heading).to_be_visible()
    expect(sign_in.page.locator("#push-number")).to_have_text(re.compile(r"^\d\d$"))
    zoho_simulator.controls.confirm_push(ANNA)
    sign_in.trust(False)
    sign_in.wait_until_done()


@pytest.mark.rule("announcements-follow-sign-in", "announcements-can-be-skipped")
def test_announcements_precede_the_requested_page_and_can_be_skipped(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    for kind in ("announcement", "preannouncement"):
        zoho_simulator.controls.announce(ANNA, kind)
    wanted = f"{zoho_simulator.url}/eu/accounts/home/connected-apps"
    sign_in, announcement = SignInPage(person), AnnouncementPage(person)
    person.go(wanted)
    sign_in.sign_in(ANNA, password_of(zoho_simulator, ANNA))
    expect(person.page).to_have_url(re.compile("/eu/accounts/announcement/"))
    announcement.skip()
    expect(person.page).to_have_url(re.compile("/eu/accounts/preannouncement/"))
    announcement.remind_later()
    expect(person.page).to_have_url(wanted)
    person.click(person.page.get_by_role("link", name="Sign out"))
    sign_in.sign_in(ANNA, password_of(zoho_simulator, ANNA))
    expect(person.page).to_have_url(re.compile("/eu/accounts/preannouncement/"))
    person.go(wanted)
    expect(person.page).to_have_url(wanted)


def test_a_foreign_return_url_is_not_followed(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    person.go(f"{zoho_simulator.url}/eu/accounts/signin?serviceurl=https://evil.example/eu/x")
    SignInPage(person).sign_in(ANNA, password_of(zoho_simulator, ANNA))
    expect(person.page).to_have_url(f"{zoho_simulator.url}/eu/accounts/home")


def test_signing_in_is_counted_separately(sign_in: SignInPage, zoho_simulator: Simulator) -> None:
    sign_in.sign_in(ANNA, password_of(zoho_simulator, ANNA))
    assert (sign_in.user.actions, sign_in.user.counter.sign_in_actions) == (0, 4)


def test_a_script_request_without_the_page_token_is_refused(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    answer = sign_in.page.request.post(
        f"{zoho_simulator.url}/eu/accounts/signin/lookup", data={"LOGIN_ID": ANNA}
    )
    assert answer.status == 403


def test_a_script_request_of_another_site_is_refused(
    sign_in: SignInPage, zoho_simulator: Simulator
) -> None:
    token = sign_in.page.locator("meta[name=csrf-token]").get_attribute("content") or ""
    answer = sign_in.page.request.post(
        f"{zoho_simulator.url}/eu/accounts/signin/lookup",
        data={"LOGIN_ID": ANNA},
        headers={"X-ZCSRF-TOKEN": token, "Origin": "http://localhost:1"},
    )
    assert answer.status == 403


@pytest.fixture
def security(person: SimulatedUser, zoho_simulator: Simulator) -> SecurityPage:
    """Anna's security page."""
    person.go(f"{zoho_simulator.url}/eu/accounts/home")
    SignInPage(person).sign_in(ANNA, password_of(zoho_simulator, ANNA))
    return SecurityPage(person)


@pytest.fixture
def token(zoho_simulator: Simulator) -> RefreshToken:
    """A refresh token that Anna granted to a client."""
    client = zoho_simulator.controls.register_client(
        ANNA, ["http://localhost/x"], name="Lead reader"
    )
    zuid = zoho_simulator.world.users.get(ANNA).zuid
    permission = Permission(client["client_id"], zuid, "eu", ["ZohoCRM.org.READ"])
    return zoho_simulator.world.grants.issue_refresh_token(permission)


def test_a_plain_password_change_keeps_refresh_tokens(
    security: SecurityPage, zoho_simulator: Simulator, token: RefreshToken
) -> None:
    security.change_password(password_of(zoho_simulator, ANNA), NEW_PASSWORD)
    expect(security.end_sessions).not_to_be_checked()
    expect(security.remove_tokens).not_to_be_checked()
    security.submit_session_choices()
    assert password_of(zoho_simulator, ANNA) == NEW_PASSWORD
    assert token.invalidation_reason is None


def test_the_option_for_api_tokens_revokes_them(
    security: SecurityPage, zoho_simulator: Simulator, token: RefreshToken
) -> None:
    security.change_password(password_of(zoho_simulator, ANNA), NEW_PASSWORD)
    security.user.choose(security.remove_tokens)
    security.submit_session_choices()
    assert token.invalidation_reason == "password changed"


def test_the_new_password_is_valid_even_if_the_question_is_left_open(
    security: SecurityPage, zoho_simulator: Simulator, token: RefreshToken
) -> None:
    security.change_password(password_of(zoho_simulator, ANNA), NEW_PASSWORD)
    expect(security.remove_tokens).to_be_visible()
    assert (password_of(zoho_simulator, ANNA), token.invalidation_reason) == (NEW_PASSWORD, None)


def test_ending_sessions_signs_out_the_other_browsers_only(
    security: SecurityPage, zoho_simulator: Simulator, new_context: Callable[[], BrowserContext]
) -> None:
    other = SimulatedUser(new_context().new_page())
    other.go(f"{zoho_simulator.url}/eu/accounts/home")
    SignInPage(other).sign_in(ANNA, password_of(zoho_simulator, ANNA))
    security.change_password(password_of(zoho_simulator, ANNA), NEW_PASSWORD)
    security.user.choose(security.end_sessions)
    security.submit_session_choices()
    other.page.reload()
    expect(SignInPage(other).login_id).to_be_visible()


@pytest.mark.parametrize(
    ("current", "new", "repeat", "words"),
    [
        ("wrong", NEW_PASSWORD, NEW_PASSWORD, "This is not your current password."),
        ("", "short", "short", "Choose a password of at least 8 characters."),
        ("", NEW_PASSWORD, "something-else", "The two new passwords differ."),
    ],
)
def test_an_invalid_password_changes_nothing(
    security: SecurityPage,
    zoho_simulator: Simulator,
    current: str,
    new: str,
    repeat: str,
    words: str,
) -> None:
    before = password_of(zoho_simulator, ANNA)
    security.change_password(current or before, new, repeat)
    expect(security.errors).to_have_text(words)
    assert password_of(zoho_simulator, ANNA) == before


def test_a_connected_app_is_listed_and_revoked(
    security: SecurityPage, zoho_simulator: Simulator, token: RefreshToken
) -> None:
    apps = ConnectedAppsPage(security.user)
    security.user.click(security.page.get_by_role("link", name="Connected apps"))
    expect(apps.entry("Lead reader")).to_contain_text("CRM: View org")
    apps.revoke("Lead reader")
    expect(security.page.get_by_text("No program is connected")).to_be_visible()
    assert token.invalidation_reason == "app revoked"


def test_after_signing_out_signing_in_is_required(security: SecurityPage) -> None:
    security.user.click(security.page.get_by_role("link", name="Sign out"))
    expect(SignInPage(security.user).login_id).to_be_visible()


@pytest.mark.rule("forgotten-password-keeps-tokens")
def test_a_password_reset_revokes_tokens_only_with_the_option(
    person: SimulatedUser, zoho_simulator: Simulator, token: RefreshToken
) -> None:
    sign_in, recovery = SignInPage(person), RecoveryPages(person)
    person.go(f"{zoho_simulator.url}/eu/accounts/home/connected-apps")
    sign_in.enter_login_id(ANNA)
    sign_in.open_recovery()
    recovery.request_code(ANNA, captcha_letters(person.page, zoho_simulator))
    recovery.enter_code("1")
    expect(recovery.errors).to_have_text("Incorrect OTP. Please try again.")
    recovery.enter_code(zoho_simulator.world.users.get(ANNA).recovery_code)
    recovery.choose_password(NEW_PASSWORD)
    expect(recovery.remove_tokens).not_to_be_checked()
    assert token.invalidation_reason is None
    person.choose(recovery.remove_tokens)
    recovery.submit_session_choices()
    sign_in.sign_in(ANNA, NEW_PASSWORD)
    expect(person.page.get_by_role("heading", name="Connected apps")).to_be_visible()
    assert token.invalidation_reason == "password changed"


@pytest.mark.rule("temporary-password-works-once")
def test_an_administrator_password_works_for_one_sign_in(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    sign_in, recovery = SignInPage(person), RecoveryPages(person)
    zoho_simulator.controls.reset_password(ANNA, "good-for-once")
    person.go(f"{zoho_simulator.url}/eu/accounts/home")
    sign_in.enter_login_id(ANNA)
    sign_in.enter_password("good-for-once")
    recovery.choose_password("good-for-once")
    expect(recovery.errors).to_have_text("Choose a password other than your current one.")
    recovery.choose_password(NEW_PASSWORD)
    sign_in.sign_in(ANNA, NEW_PASSWORD)
    expect(person.page.get_by_role("heading", name="Change password")).to_be_visible()


def test_no_recovery_step_can_be_reached_without_the_previous_one(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    person.go(f"{zoho_simulator.url}/eu/accounts/password/new")
    expect(SignInPage(person).login_id).to_be_visible()
    token = person.page.locator("meta[name=csrf-token]").get_attribute("content") or ""
    for step in ("code", "new", "end"):
        answer = person.page.request.post(
            f"{zoho_simulator.url}/eu/accounts/password/{step}",
            form={
                "csrf_token": token,
                "code": "",
                "new_password": NEW_PASSWORD,
                "repeat_password": NEW_PASSWORD,
            },
            max_redirects=0,
        )
        assert answer.status == 302
        assert answer.headers["location"].startswith("/eu/accounts/signin")
