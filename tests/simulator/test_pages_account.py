"""Change a password and revoke connected apps at the simulator, in a real browser."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from wizard.simulator.grants import Permission, RefreshToken
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import (
    ConnectedAppsPage,
    SecurityPage,
    SignInPage,
    SimulatedUser,
)

ANNA = "anna@zylker.example"
NEW_PASSWORD = "quite-another-one"


@pytest.fixture
def security(person: SimulatedUser, zoho_simulator: Simulator) -> SecurityPage:
    """Anna's security page."""
    person.go(f"{zoho_simulator.url}/eu/accounts/home")
    SignInPage(person).sign_in(ANNA, current_password(zoho_simulator))
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


def current_password(simulator: Simulator) -> str:
    return simulator.world.users.get(ANNA).password


def test_a_plain_password_change_keeps_refresh_tokens(
    security: SecurityPage, zoho_simulator: Simulator, token: RefreshToken
) -> None:
    security.change_password(current_password(zoho_simulator), NEW_PASSWORD)
    expect(security.end_sessions).not_to_be_checked()
    expect(security.remove_tokens).not_to_be_checked()
    security.submit_session_choices()
    assert current_password(zoho_simulator) == NEW_PASSWORD
    assert token.invalidation_reason is None


def test_the_option_for_api_tokens_revokes_them(
    security: SecurityPage, zoho_simulator: Simulator, token: RefreshToken
) -> None:
    security.change_password(current_password(zoho_simulator), NEW_PASSWORD)
    security.user.choose(security.remove_tokens)
    security.submit_session_choices()
    assert token.invalidation_reason == "password changed"


def test_the_new_password_is_valid_even_if_the_question_is_left_open(
    security: SecurityPage, zoho_simulator: Simulator, token: RefreshToken
) -> None:
    security.change_password(current_password(zoho_simulator), NEW_PASSWORD)
    expect(security.remove_tokens).to_be_visible()
    assert (current_password(zoho_simulator), token.invalidation_reason) == (NEW_PASSWORD, None)


def test_ending_sessions_signs_out_the_other_browsers_only(
    security: SecurityPage, zoho_simulator: Simulator, new_context: Callable[[], BrowserContext]
) -> None:
    other = SimulatedUser(new_context().new_page())
    other.go(f"{zoho_simulator.url}/eu/accounts/home")
    SignInPage(other).sign_in(ANNA, current_password(zoho_simulator))
    security.change_password(current_password(zoho_simulator), NEW_PASSWORD)
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
    before = current_password(zoho_simulator)
    security.change_password(current or before, new, repeat)
    expect(security.errors).to_have_text(words)
    assert current_password(zoho_simulator) == before


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
