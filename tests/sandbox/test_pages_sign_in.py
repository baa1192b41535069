"""Signing in at the sandbox, step by step, in a real browser."""

import re

import pytest
from playwright.sync_api import expect
from zoho_driver import captcha_letters

from wizard.sandbox.person import Announcement, Person, SignIn
from wizard.sandbox.server import Sandbox

ANNA, BOB, DORA = "anna@zylker.example", "bob@zylker.example", "dora@zylker.example"


@pytest.fixture
def sign_in(person: Person, zoho_sandbox: Sandbox) -> SignIn:
    """The sign-in page of the European data centre."""
    person.go(f"{zoho_sandbox.url}/eu/accounts/signin")
    return SignIn(person)


def password_of(sandbox: Sandbox, login_id: str) -> str:
    return sandbox.world.people.named(login_id).password


def test_a_login_id_and_its_password_lead_to_the_account(
    sign_in: SignIn, zoho_sandbox: Sandbox
) -> None:
    sign_in.sign_in(ANNA, password_of(zoho_sandbox, ANNA))
    expect(sign_in.page.get_by_role("heading", name="Change password")).to_be_visible()
    expect(sign_in.page.get_by_text(ANNA)).to_be_visible()


def test_the_button_is_disabled_until_something_is_entered(sign_in: SignIn) -> None:
    expect(sign_in.next).to_be_disabled()
    sign_in.person.fill(sign_in.login_id, ANNA)
    expect(sign_in.next).to_be_enabled()


def test_the_button_is_disabled_while_a_request_runs(
    sign_in: SignIn, zoho_sandbox: Sandbox
) -> None:
    zoho_sandbox.world.lock.acquire()
    try:
        sign_in.enter_login_id(ANNA)
        expect(sign_in.next).to_be_disabled()
    finally:
        zoho_sandbox.world.lock.release()
    expect(sign_in.password).to_be_visible()


def test_the_password_is_hidden_until_the_login_id_is_known(sign_in: SignIn) -> None:
    expect(sign_in.page.locator("input#password[name=PASSWORD]")).to_be_hidden()
    expect(sign_in.page.locator("input#login_id[name=LOGIN_ID]")).to_be_visible()
    sign_in.enter_login_id(ANNA)
    expect(sign_in.password).to_be_visible()
    expect(sign_in.page).to_have_url(re.compile(r"/eu/accounts/signin$"))


def test_an_unknown_account_is_not_found(sign_in: SignIn) -> None:
    sign_in.enter_login_id("nobody@zylker.example")
    expect(sign_in.error).to_have_text(re.compile(r"^This account cannot be found\. "))


def test_a_wrong_password_is_refused_and_can_be_tried_again(
    sign_in: SignIn, zoho_sandbox: Sandbox
) -> None:
    sign_in.enter_login_id(ANNA)
    sign_in.enter_password("not-hers")
    expect(sign_in.error).to_have_text("Incorrect password. Please try again.")
    sign_in.enter_password(password_of(zoho_sandbox, ANNA))
    sign_in.wait_until_left()


def test_a_deactivated_account_cannot_sign_in(sign_in: SignIn, zoho_sandbox: Sandbox) -> None:
    zoho_sandbox.admin.deactivate_user(ANNA)
    sign_in.enter_login_id(ANNA)
    expect(sign_in.error).to_contain_text("deactivated")


def test_an_account_of_another_data_centre_moves_the_browser_there(
    sign_in: SignIn, zoho_sandbox: Sandbox
) -> None:
    sign_in.enter_login_id(BOB)
    sign_in.page.wait_for_url("**/in/accounts/signin?**")
    expect(sign_in.page.locator("#login_id")).to_have_value(BOB)
    sign_in.enter_password(password_of(zoho_sandbox, BOB))
    sign_in.page.wait_for_url("**/in/accounts/home")


def test_china_knows_nobody_from_elsewhere(person: Person, zoho_sandbox: Sandbox) -> None:
    person.go(f"{zoho_sandbox.url}/cn/accounts/signin")
    sign_in = SignIn(person)
    sign_in.enter_login_id(ANNA)
    expect(sign_in.error).to_contain_text("This account cannot be found.")


def test_a_second_factor_asks_for_a_one_time_code_and_whether_to_trust(
    sign_in: SignIn, zoho_sandbox: Sandbox
) -> None:
    dora = zoho_sandbox.world.people.named(DORA)
    sign_in.enter_login_id(DORA)
    sign_in.enter_password(dora.password)
    sign_in.enter_code("000000")
    expect(sign_in.error).to_have_text("Incorrect OTP. Please try again.")
    sign_in.enter_code(dora.one_time_code(zoho_sandbox.clock()))
    expect(sign_in.trust_heading).to_be_visible()
    sign_in.trust(False)
    sign_in.wait_until_left()


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_trusted_browser_is_spared_the_next_one_time_code(
    sign_in: SignIn, zoho_sandbox: Sandbox, trusted: bool
) -> None:
    dora = zoho_sandbox.world.people.named(DORA)
    sign_in.enter_login_id(DORA)
    sign_in.enter_password(dora.password)
    sign_in.enter_code(dora.one_time_code(zoho_sandbox.clock()))
    sign_in.trust(trusted)
    sign_in.wait_until_left()
    sign_in.person.click(sign_in.page.get_by_role("link", name="Sign out"))
    sign_in.enter_login_id(DORA)
    sign_in.enter_password(dora.password)
    landed = sign_in.page.get_by_role("heading", name="Change password")
    expect(landed if trusted else sign_in.first_digit).to_be_visible()


@pytest.mark.rule("sign-in-asks-for-a-captcha")
def test_after_too_many_wrong_passwords_comes_a_captcha(
    sign_in: SignIn, zoho_sandbox: Sandbox
) -> None:
    zoho_sandbox.admin.change_settings(wrong_passwords_before_captcha=2)
    sign_in.enter_login_id(ANNA)
    sign_in.enter_password("not-hers")
    expect(sign_in.error).to_have_text("Incorrect password. Please try again.")
    sign_in.enter_password("nor-this")
    expect(sign_in.captcha).to_be_visible()
    sign_in.enter_captcha("#####")
    expect(sign_in.error).to_have_text("Incorrect CAPTCHA. Please try again.")
    sign_in.enter_captcha(captcha_letters(sign_in.page, zoho_sandbox))
    sign_in.enter_password(password_of(zoho_sandbox, ANNA))
    sign_in.wait_until_left()
    assert zoho_sandbox.world.people.named(ANNA).wrong_passwords == 0


def test_a_captcha_can_be_demanded_from_outside(sign_in: SignIn, zoho_sandbox: Sandbox) -> None:
    zoho_sandbox.admin.demand_captcha(ANNA)
    sign_in.enter_login_id(ANNA)
    expect(sign_in.captcha).to_be_visible()


@pytest.mark.rule("push-is-confirmed-on-another-device")
def test_a_push_waits_until_it_is_confirmed_on_another_device(
    sign_in: SignIn, zoho_sandbox: Sandbox
) -> None:
    with pytest.raises(LookupError, match="no sign-in that waits"):
        zoho_sandbox.admin.confirm_push(ANNA)
    zoho_sandbox.world.people.named(ANNA).approves_by_push = True
    sign_in.enter_login_id(ANNA)
    sign_in.enter_password(password_of(zoho_sandbox, ANNA))
    expect(sign_in.push_heading).to_be_visible()
    expect(sign_in.page.locator("#push-number")).to_have_text(re.compile(r"^\d\d$"))
    zoho_sandbox.admin.confirm_push(ANNA)
    sign_in.trust(False)
    sign_in.wait_until_left()


@pytest.mark.rule("announcements-stand-after-sign-in", "announcements-do-not-bar-the-way")
def test_announcements_stand_before_the_wanted_page_and_can_be_passed_by(
    person: Person, zoho_sandbox: Sandbox
) -> None:
    for kind in ("announcement", "preannouncement"):
        zoho_sandbox.admin.announce(ANNA, kind)
    wanted = f"{zoho_sandbox.url}/eu/accounts/home/connected-apps"
    sign_in, announcement = SignIn(person), Announcement(person)
    person.go(wanted)
    sign_in.sign_in(ANNA, password_of(zoho_sandbox, ANNA))
    expect(person.page).to_have_url(re.compile("/eu/accounts/announcement/"))
    announcement.skip()
    expect(person.page).to_have_url(re.compile("/eu/accounts/preannouncement/"))
    announcement.put_off()
    expect(person.page).to_have_url(wanted)
    person.click(person.page.get_by_role("link", name="Sign out"))
    sign_in.sign_in(ANNA, password_of(zoho_sandbox, ANNA))
    expect(person.page).to_have_url(re.compile("/eu/accounts/preannouncement/"))
    person.go(wanted)
    expect(person.page).to_have_url(wanted)


def test_a_foreign_address_to_return_to_is_not_followed(
    person: Person, zoho_sandbox: Sandbox
) -> None:
    person.go(f"{zoho_sandbox.url}/eu/accounts/signin?serviceurl=https://evil.example/eu/x")
    SignIn(person).sign_in(ANNA, password_of(zoho_sandbox, ANNA))
    expect(person.page).to_have_url(f"{zoho_sandbox.url}/eu/accounts/home")


def test_signing_in_is_counted_apart(sign_in: SignIn, zoho_sandbox: Sandbox) -> None:
    sign_in.sign_in(ANNA, password_of(zoho_sandbox, ANNA))
    assert (sign_in.person.actions, sign_in.person.counter.sign_in_actions) == (0, 4)


def test_a_script_request_without_the_pages_token_is_refused(
    sign_in: SignIn, zoho_sandbox: Sandbox
) -> None:
    answer = sign_in.page.request.post(
        f"{zoho_sandbox.url}/eu/accounts/signin/lookup", data={"LOGIN_ID": ANNA}
    )
    assert answer.status == 403


def test_a_script_request_of_another_site_is_refused(
    sign_in: SignIn, zoho_sandbox: Sandbox
) -> None:
    token = sign_in.page.locator("meta[name=csrf-token]").get_attribute("content") or ""
    answer = sign_in.page.request.post(
        f"{zoho_sandbox.url}/eu/accounts/signin/lookup",
        data={"LOGIN_ID": ANNA},
        headers={"X-ZCSRF-TOKEN": token, "Origin": "http://localhost:1"},
    )
    assert answer.status == 403
