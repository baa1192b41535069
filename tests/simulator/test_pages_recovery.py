"""A password forgotten, or reset by an administrator, in a real browser."""

import pytest
from playwright.sync_api import expect
from support.zoho_driver import captcha_letters

from wizard.simulator.grants import Permission, RefreshToken
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import RecoveryPages, SignInPage, SimulatedUser

ANNA = "anna@zylker.example"
NEW_PASSWORD = "quite-another-one"


@pytest.fixture
def token(zoho_simulator: Simulator) -> RefreshToken:
    """A refresh token that Anna granted to a client."""
    client = zoho_simulator.controls.register_client(ANNA, ["http://localhost/x"])
    zuid = zoho_simulator.world.users.get(ANNA).zuid
    permission = Permission(client["client_id"], zuid, "eu", ["ZohoCRM.org.READ"])
    return zoho_simulator.world.grants.issue_refresh_token(permission)


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
