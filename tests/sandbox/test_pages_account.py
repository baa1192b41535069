"""Changing a password and revoking connected apps at the sandbox, in a real browser."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from wizard.sandbox.grants import Permission, RefreshToken
from wizard.sandbox.person import ConnectedApps, Person, Security, SignIn
from wizard.sandbox.server import Sandbox

ANNA = "anna@zylker.example"
NEW = "quite-another-one"


@pytest.fixture
def security(person: Person, zoho_sandbox: Sandbox) -> Security:
    """Anna's security page."""
    person.go(f"{zoho_sandbox.url}/eu/accounts/home")
    SignIn(person).sign_in(ANNA, password(zoho_sandbox))
    return Security(person)


@pytest.fixture
def token(zoho_sandbox: Sandbox) -> RefreshToken:
    """A refresh token that Anna gave to a client."""
    client = zoho_sandbox.admin.register_client(ANNA, ["http://localhost/x"], name="Lead reader")
    zuid = zoho_sandbox.world.people.named(ANNA).zuid
    permission = Permission(client["client_id"], zuid, "eu", ["ZohoCRM.org.READ"])
    return zoho_sandbox.world.grants.issue_refresh_token(permission)


def password(sandbox: Sandbox) -> str:
    return sandbox.world.people.named(ANNA).password


def test_a_plain_password_change_keeps_refresh_tokens(
    security: Security, zoho_sandbox: Sandbox, token: RefreshToken
) -> None:
    security.change_password(password(zoho_sandbox), NEW)
    expect(security.end_sessions).not_to_be_checked()
    expect(security.remove_tokens).not_to_be_checked()
    security.go_on()
    assert password(zoho_sandbox) == NEW
    assert token.ended is None


def test_the_box_for_api_tokens_kills_them(
    security: Security, zoho_sandbox: Sandbox, token: RefreshToken
) -> None:
    security.change_password(password(zoho_sandbox), NEW)
    security.person.choose(security.remove_tokens)
    security.go_on()
    assert token.ended == "password changed"


def test_the_new_password_holds_even_when_the_question_is_left_open(
    security: Security, zoho_sandbox: Sandbox, token: RefreshToken
) -> None:
    security.change_password(password(zoho_sandbox), NEW)
    expect(security.remove_tokens).to_be_visible()
    assert (password(zoho_sandbox), token.ended) == (NEW, None)


def test_ending_sessions_signs_out_the_other_browsers_only(
    security: Security, zoho_sandbox: Sandbox, new_context: Callable[[], BrowserContext]
) -> None:
    other = Person(new_context().new_page())
    other.go(f"{zoho_sandbox.url}/eu/accounts/home")
    SignIn(other).sign_in(ANNA, password(zoho_sandbox))
    security.change_password(password(zoho_sandbox), NEW)
    security.person.choose(security.end_sessions)
    security.go_on()
    other.page.reload()
    expect(SignIn(other).login_id).to_be_visible()


@pytest.mark.parametrize(
    ("current", "new", "repeat", "words"),
    [
        ("wrong", NEW, NEW, "This is not your current password."),
        ("", "short", "short", "Choose a password of at least 8 characters."),
        ("", NEW, "something-else", "The two new passwords differ."),
    ],
)
def test_a_password_that_cannot_be_taken_changes_nothing(
    security: Security, zoho_sandbox: Sandbox, current: str, new: str, repeat: str, words: str
) -> None:
    before = password(zoho_sandbox)
    security.change_password(current or before, new, repeat)
    expect(security.errors).to_have_text(words)
    assert password(zoho_sandbox) == before


def test_a_connected_app_is_listed_and_revoked(
    security: Security, zoho_sandbox: Sandbox, token: RefreshToken
) -> None:
    apps = ConnectedApps(security.person)
    security.person.click(security.page.get_by_role("link", name="Connected apps"))
    expect(apps.entry("Lead reader")).to_contain_text("CRM: View org")
    apps.revoke("Lead reader")
    expect(security.page.get_by_text("No program is connected")).to_be_visible()
    assert token.ended == "app revoked"


def test_signing_out_asks_to_sign_in_again(security: Security) -> None:
    security.person.click(security.page.get_by_role("link", name="Sign out"))
    expect(SignIn(security.person).login_id).to_be_visible()
