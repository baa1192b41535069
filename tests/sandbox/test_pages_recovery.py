"""A password forgotten, or reset by an administrator, in a real browser."""

import pytest
from playwright.sync_api import expect
from zoho_driver import captcha_letters

from wizard.sandbox.grants import Permission, RefreshToken
from wizard.sandbox.person import Person, Recovery, SignIn
from wizard.sandbox.server import Sandbox

ANNA = "anna@zylker.example"
NEW = "quite-another-one"


@pytest.fixture
def token(zoho_sandbox: Sandbox) -> RefreshToken:
    """A refresh token that Anna gave to a client."""
    client = zoho_sandbox.admin.register_client(ANNA, ["http://localhost/x"])
    zuid = zoho_sandbox.world.people.named(ANNA).zuid
    permission = Permission(client["client_id"], zuid, "eu", ["ZohoCRM.org.READ"])
    return zoho_sandbox.world.grants.issue_refresh_token(permission)


@pytest.mark.rule("forgotten-password-keeps-tokens")
def test_a_forgotten_password_is_replaced_and_ends_tokens_only_where_that_is_ticked(
    person: Person, zoho_sandbox: Sandbox, token: RefreshToken
) -> None:
    sign_in, recovery = SignIn(person), Recovery(person)
    person.go(f"{zoho_sandbox.url}/eu/accounts/home/connected-apps")
    sign_in.enter_login_id(ANNA)
    sign_in.forget_password()
    recovery.ask_for_code(ANNA, captcha_letters(person.page, zoho_sandbox))
    recovery.enter_code("1")
    expect(recovery.errors).to_have_text("Incorrect OTP. Please try again.")
    recovery.enter_code(zoho_sandbox.world.people.named(ANNA).mailed_code)
    recovery.choose_password(NEW)
    expect(recovery.remove_tokens).not_to_be_checked()
    assert token.ended is None
    person.choose(recovery.remove_tokens)
    recovery.go_on()
    sign_in.sign_in(ANNA, NEW)
    expect(person.page.get_by_role("heading", name="Connected apps")).to_be_visible()
    assert token.ended == "password changed"


@pytest.mark.rule("administrators-password-is-for-once")
def test_an_administrators_password_is_good_for_one_sign_in(
    person: Person, zoho_sandbox: Sandbox
) -> None:
    sign_in, recovery = SignIn(person), Recovery(person)
    zoho_sandbox.admin.admin_reset(ANNA, "good-for-once")
    person.go(f"{zoho_sandbox.url}/eu/accounts/home")
    sign_in.enter_login_id(ANNA)
    sign_in.enter_password("good-for-once")
    recovery.choose_password("good-for-once")
    expect(recovery.errors).to_have_text("Choose a password other than your current one.")
    recovery.choose_password(NEW)
    sign_in.sign_in(ANNA, NEW)
    expect(person.page.get_by_role("heading", name="Change password")).to_be_visible()


def test_no_step_of_a_recovery_can_be_reached_without_the_one_before(
    person: Person, zoho_sandbox: Sandbox
) -> None:
    person.go(f"{zoho_sandbox.url}/eu/accounts/password/new")
    expect(SignIn(person).login_id).to_be_visible()
    token = person.page.locator("meta[name=csrf-token]").get_attribute("content") or ""
    for step in ("code", "new", "end"):
        answer = person.page.request.post(
            f"{zoho_sandbox.url}/eu/accounts/password/{step}",
            form={"csrf_token": token, "code": "", "new_password": NEW, "repeat_password": NEW},
            max_redirects=0,
        )
        assert answer.status == 302
        assert answer.headers["location"].startswith("/eu/accounts/signin")
