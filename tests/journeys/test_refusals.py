"""What Zoho refuses or grants only in part: explained with the next step, and nothing is lost."""

import pytest
from playwright.sync_api import expect
from support.harness import ANNA
from support.records import attempts_of
from support.user_journey import CONNECTION_NAME, Journey
from support.wizard_pages import (
    ClientPage,
    ConnectionListPage,
    ConnectionPage,
    RemovalPage,
)

from wizard.errors import WizardError
from wizard.model import GrantState, SecretState
from wizard.simulator.simulated_user import ConsentPage, SimulatedUser

PROMPT = "&prompt=consent"
ORGANIZATION_SCOPE = "ZohoCRM.org.READ"


def active_refresh_tokens(journey: Journey) -> int:
    return int(journey.controls.state()["active_refresh_tokens"])


def change_url(person: SimulatedUser, old: str, new: str) -> None:
    """Reload Zoho's consent page with a part of its URL replaced."""
    ConsentPage(person).accept_button.wait_for()
    assert old in person.page.url
    person.go(person.page.url.replace(old, new))


# --- Less than requested -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_response_without_a_refresh_token_is_not_called_connected(journey: Journey) -> None:
    journey.add_verified_connection("earlier")
    journey.open_sign_in_page()
    journey.sign_in(ANNA)
    change_url(journey.person, PROMPT, "")
    page = ConnectionPage(journey.person)
    expect(page.explanation).to_contain_text("Zoho didn’t return a refresh token")
    expect(page.status).to_have_text("Not authorized yet")
    assert journey.services.store.grants.of_connection(CONNECTION_NAME) == ()
    page.press("Try again")
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()


@pytest.mark.slow
def test_a_response_without_a_refresh_token_keeps_the_previous_grant(journey: Journey) -> None:
    before = journey.add_verified_connection(CONNECTION_NAME)
    journey.open_wizard(f"/connections/{CONNECTION_NAME}")
    page = ConnectionPage(journey.person)
    page.reauthorize()
    journey.sign_in(ANNA)
    change_url(journey.person, PROMPT, "")
    expect(page.explanation).to_contain_text("Zoho didn’t return a refresh token")
    expect(page.status).to_contain_text("Verified")
    assert journey.services.store.grants.of_connection(CONNECTION_NAME) == (before,)
    assert journey.services.tokens.access_token(CONNECTION_NAME, force_refresh=True).generation == 1


@pytest.mark.slow
def test_missing_scopes_are_named_and_the_granted_ones_work(
    journey: Journey,
) -> None:
    journey.open_sign_in_page()
    journey.sign_in(ANNA)
    change_url(journey.person, f",{ORGANIZATION_SCOPE}", "")
    ConsentPage(journey.person).accept()
    page = ConnectionPage(journey.person)
    page.wait_until_verified()
    expect(page.step("Scopes granted")).to_contain_text("Zoho granted fewer scopes than requested")
    expect(page.step("Scopes granted")).to_contain_text(ORGANIZATION_SCOPE)
    grant = journey.services.store.grants.get(CONNECTION_NAME)
    assert grant is not None
    assert ORGANIZATION_SCOPE not in grant.scope
    page.reauthorize()
    ConsentPage(journey.person).accept()
    expect(journey.wait_until_verified().report).to_contain_text("Authorization 2")
    expect(page.step("Scopes granted")).to_contain_text("passed")


# --- Rate limits ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_rate_limited_exchange_shows_until_when_and_does_not_extend_the_wait(
    journey: Journey,
) -> None:
    journey.open_sign_in_page()
    consent = journey.consent_page(ANNA)
    journey.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    consent.accept()
    page = ConnectionPage(journey.person)
    expect(page.explanation).to_contain_text("Rate limit reached")
    expect(page.explanation).to_contain_text("Wait until")
    page.press("Try again")
    expect(page.explanation).to_contain_text("Wait until")
    assert len(journey.code_exchanges()) == 1
    assert len(attempts_of(journey.services.store, CONNECTION_NAME)) == 1
    journey.advance(minutes=11)
    page.open(journey.base_url, CONNECTION_NAME)
    page.press("Try again")
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()


@pytest.mark.slow
def test_a_rate_limit_during_verification_rejects_nothing_and_verification_is_retried_later(
    journey: Journey,
) -> None:
    journey.add_verified_connection(CONNECTION_NAME)
    journey.advance(minutes=11)
    journey.open_wizard(f"/connections/{CONNECTION_NAME}")
    page = ConnectionPage(journey.person)
    journey.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    page.verify_again()
    expect(page.status).to_contain_text("Verified")
    expect(page.explanation.first).to_contain_text("Your tokens still work")
    journey.advance(minutes=11)
    page.verify_again()
    page.wait_until_verified()
    assert journey.services.tokens.access_token(CONNECTION_NAME).generation == 1


@pytest.mark.slow
def test_too_many_consents_are_stopped_here_before_zoho_rate_limits_everyone(
    journey: Journey,
) -> None:
    journey.add_connection(CONNECTION_NAME)
    for _ in range(8):
        journey.services.authorization.begin(CONNECTION_NAME)
    journey.open_wizard(f"/connections/{CONNECTION_NAME}")
    page = ConnectionPage(journey.person)
    page.press("Go to Zoho again")
    expect(page.explanation).to_contain_text("Too many consents in ten minutes")
    expect(page.explanation).to_contain_text("Wait until")
    journey.advance(minutes=11)
    page.open(journey.base_url, CONNECTION_NAME)
    page.press("Go to Zoho again")
    journey.consent_page(ANNA).accept()
    journey.wait_until_verified()


# --- The client's secret -------------------------------------------------------------------------


def open_client_page(journey: Journey) -> ClientPage:
    """The page of the client of a verified connection, with the form for its secret open."""
    journey.add_verified_connection(CONNECTION_NAME)
    client_id = journey.services.store.connections.get(CONNECTION_NAME).client_id
    journey.open_wizard(f"/clients/{client_id}")
    page = ClientPage(journey.person)
    page.open_secret_form()
    return page


@pytest.mark.slow
def test_a_new_secret_is_checked_stored_and_confirmed_by_the_next_refresh(journey: Journey) -> None:
    page = open_client_page(journey)
    client_id = journey.services.store.connections.get(CONNECTION_NAME).client_id
    secret = journey.controls.rotate_secret(client_id, "eu")
    page.store_secret(secret)
    expect(page.secrets).to_contain_text("The previous secret is kept until")
    page.open_connection(CONNECTION_NAME)
    connection = ConnectionPage(journey.person)
    connection.verify_again()
    connection.wait_until_verified()
    stored = journey.services.store.clients.get(client_id)
    assert stored.secret_for("eu") == secret
    assert [each.state for each in stored.secrets] == [SecretState.CURRENT]


@pytest.mark.slow
def test_a_wrong_secret_is_refused_not_shown_and_the_old_one_kept(journey: Journey) -> None:
    page = open_client_page(journey)
    client_id = journey.services.store.connections.get(CONNECTION_NAME).client_id
    before = journey.services.store.clients.get(client_id)
    wrong = f"{before.secret_for('eu')}"[:-4] + "0000"
    page.store_secret(wrong)
    expect(page.explanation).to_contain_text("Wrong client secret")
    assert wrong not in journey.page.content()
    assert journey.services.store.clients.get(client_id) == before
    assert journey.services.tokens.access_token(CONNECTION_NAME, force_refresh=True).generation == 1


def test_a_secret_regenerated_in_the_console_is_detected_by_the_check(journey: Journey) -> None:
    page = open_client_page(journey)
    journey.controls.rotate_secret(
        journey.services.store.connections.get(CONNECTION_NAME).client_id, "eu"
    )
    page.check()
    expect(page.secrets).to_contain_text("Rejected")
    grant = journey.services.store.grants.get(CONNECTION_NAME)
    assert grant is not None
    assert grant.state is GrantState.VERIFIED


# --- Revoke and remove ---------------------------------------------------------------------------


def open_removal_page(journey: Journey) -> RemovalPage:
    """The page that asks how to remove a verified connection."""
    journey.add_verified_connection(CONNECTION_NAME)
    journey.open_wizard(f"/connections/{CONNECTION_NAME}")
    ConnectionPage(journey.person).open_removal()
    return RemovalPage(journey.person)


@pytest.mark.slow
def test_a_revoked_connection_remains_and_can_be_authorized_again(journey: Journey) -> None:
    removal = open_removal_page(journey)
    expect(journey.page.get_by_text("its refresh token is revoked")).to_be_visible()
    removal.revoke()
    page = ConnectionPage(journey.person)
    expect(page.explanation).to_contain_text("was revoked")
    assert active_refresh_tokens(journey) == 0
    with pytest.raises(WizardError) as refused:
        journey.services.tokens.access_token(CONNECTION_NAME)
    assert refused.value.failure.code == "grant-revoked"
    page.reauthorize()
    journey.consent_page(ANNA).accept()
    expect(journey.wait_until_verified().report).to_contain_text("Authorization 2")


def test_revoked_and_removed_leaves_nothing_here_or_at_zoho(journey: Journey) -> None:
    open_removal_page(journey).revoke_and_remove()
    expect(journey.page).to_have_url(f"{journey.base_url}/")
    assert journey.services.store.connections.all() == ()
    assert active_refresh_tokens(journey) == 0


@pytest.mark.slow
def test_a_connection_removed_only_here_remains_authorized_at_zoho_as_the_page_says(
    journey: Journey,
) -> None:
    removal = open_removal_page(journey)
    expect(journey.page.get_by_text("keeps working for anyone who has a copy")).to_be_visible()
    removal.remove()
    expect(journey.page).to_have_url(f"{journey.base_url}/")
    assert journey.services.store.connections.all() == ()
    assert active_refresh_tokens(journey) == 1


@pytest.mark.slow
def test_a_revocation_that_zoho_did_not_receive_removes_nothing(journey: Journey) -> None:
    removal = open_removal_page(journey)
    journey.controls.inject_fault("data-center-down", endpoint="oauth/v2/revoke", times=9)
    removal.revoke_and_remove()
    expect(ConnectionPage(journey.person).explanation).to_contain_text("Zoho has an outage")
    assert active_refresh_tokens(journey) == 1
    journey.open_wizard()
    expect(ConnectionListPage(journey.person).row(CONNECTION_NAME)).to_contain_text("Verified")
    assert journey.services.tokens.access_token(CONNECTION_NAME).generation == 1


@pytest.mark.slow
def test_a_user_can_go_back_instead_of_removing(journey: Journey) -> None:
    open_removal_page(journey)
    journey.person.click(journey.page.get_by_role("link", name=f"Back to {CONNECTION_NAME}"))
    expect(ConnectionPage(journey.person).status).to_contain_text("Verified")
    assert active_refresh_tokens(journey) == 1
