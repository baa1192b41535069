"""Re-authorize a connection: after a password change, and guarded against a different account."""

import pytest
from playwright.sync_api import expect
from support.harness import ANNA, BOB, CARLA, FIRST_ORGANIZATION, SECOND_ORGANIZATION
from support.user_journey import CONNECTION_NAME, Journey
from support.wizard_pages import ConnectionListPage, ConnectionPage

from wizard.errors import WizardError
from wizard.model import Grant, GrantState
from wizard.simulator.simulated_user import ConsentPage, SecurityPage, SimulatedUser


def add_connected_page(
    journey: Journey, email: str = ANNA, organization: str = ""
) -> ConnectionPage:
    """The page of a connection that was verified outside the browser."""
    journey.add_verified_connection(CONNECTION_NAME, email, organization)
    journey.open_wizard(f"/connections/{CONNECTION_NAME}")
    return ConnectionPage(journey.person)


def current_grant(journey: Journey) -> Grant:
    grant = journey.services.store.grants.get(CONNECTION_NAME)
    assert grant is not None
    return grant


def grant_states(journey: Journey) -> list[GrantState]:
    """The states of all grants, newest first."""
    return [each.state for each in journey.services.store.grants.of_connection(CONNECTION_NAME)]


def active_refresh_tokens(journey: Journey) -> int:
    return int(journey.controls.state()["active_refresh_tokens"])


def change_password(journey: Journey, *, remove_tokens: bool) -> None:
    """Change anna's password at Zoho, in another tab of the same browser."""
    person = SimulatedUser(journey.page.context.new_page(), journey.person.counter)
    person.go(f"{journey.simulator.url}/eu/accounts/home")
    journey.sign_in(ANNA, person)
    security = SecurityPage(person)
    security.change_password(journey.password_of(ANNA), "another-made-up-password")
    if remove_tokens:
        person.choose(security.remove_tokens)
    security.submit_session_choices()
    person.page.close()


def reauthorize_as(
    journey: Journey, page: ConnectionPage, email: str, organization: str = ""
) -> None:
    """Start at the connection's page, sign in at Zoho as `email` and accept."""
    page.reauthorize()
    consent = journey.consent_page(email)
    if organization:
        consent.choose_organization(organization)
    consent.accept()


# --- A password change ---------------------------------------------------------------------------


def test_a_password_change_with_the_option_is_detected_and_reauthorized_under_the_same_name(
    journey: Journey,
) -> None:
    page = add_connected_page(journey)
    change_password(journey, remove_tokens=True)
    assert active_refresh_tokens(journey) == 0
    page.verify_again()
    expect(page.status).to_have_text("Needs re-authorization")
    expect(page.explanation.first).to_contain_text("password")
    with pytest.raises(WizardError) as refused:
        journey.services.tokens.access_token(CONNECTION_NAME)
    assert refused.value.failure.code == "refresh-token-rejected"
    page.reauthorize()
    ConsentPage(journey.person).accept()
    expect(journey.wait_until_verified().report).to_contain_text("Authorization 2")
    assert grant_states(journey) == [GrantState.VERIFIED, GrantState.NEEDS_REAUTHORIZATION]
    token = journey.services.tokens.access_token(CONNECTION_NAME)
    assert token.generation == 2
    account, _ = journey.services.product_api.account(token.value, "eu")
    assert account.email == ANNA


@pytest.mark.slow
def test_a_rejected_grant_is_not_requested_again(journey: Journey) -> None:
    page = add_connected_page(journey)
    journey.controls.change_password(ANNA)
    page.verify_again()
    expect(page.status).to_have_text("Needs re-authorization")
    asked = len(journey.refresh_requests())
    journey.page.reload()
    with pytest.raises(WizardError):
        journey.services.tokens.access_token(CONNECTION_NAME, force_refresh=True)
    assert len(journey.refresh_requests()) == asked


@pytest.mark.slow
def test_a_password_change_without_the_option_keeps_the_connection_working(
    journey: Journey,
) -> None:
    page = add_connected_page(journey)
    change_password(journey, remove_tokens=False)
    page.verify_again()
    page.wait_until_verified()
    assert grant_states(journey) == [GrantState.VERIFIED]


@pytest.mark.slow
def test_the_list_shows_who_needs_attention_after_a_password_change(
    journey: Journey,
) -> None:
    page = add_connected_page(journey)
    journey.add_verified_connection("untouched", CARLA, FIRST_ORGANIZATION)
    journey.controls.change_password(ANNA)
    page.verify_again()
    expect(page.status).to_have_text("Needs re-authorization")
    journey.open_wizard()
    rows = ConnectionListPage(journey.person)
    expect(rows.row(CONNECTION_NAME)).to_contain_text("Needs re-authorization")
    expect(rows.row("untouched")).to_contain_text("Verified")
    expect(journey.page.get_by_text("1 of 2 connections needs attention.")).to_be_visible()


# --- The same account ----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_same_account_replaces_the_grant_once_the_new_one_is_verified(
    journey: Journey,
) -> None:
    page = add_connected_page(journey, CARLA, SECOND_ORGANIZATION)
    reauthorize_as(journey, page, CARLA, "Zylker Outlet")
    expect(journey.wait_until_verified().report).to_contain_text("Authorization 2")
    assert grant_states(journey) == [GrantState.VERIFIED, GrantState.REPLACED]


@pytest.mark.slow
def test_a_new_grant_that_fails_verification_keeps_the_previous_one_in_use(
    journey: Journey,
) -> None:
    page = add_connected_page(journey)
    page.reauthorize()
    consent = journey.consent_page(ANNA)
    journey.controls.inject_fault("data-center-down", endpoint="crm/v8/Leads", times=9)
    consent.accept()
    expect(page.explanation.first).to_be_visible()
    expect(page.status).to_contain_text("Verified")
    assert current_grant(journey).generation == 1
    assert journey.services.tokens.access_token(CONNECTION_NAME).generation == 1
    journey.controls.clear_faults()
    page.verify_again()
    expect(journey.wait_until_verified().report).to_contain_text("Authorization 2")
    assert grant_states(journey) == [GrantState.VERIFIED, GrantState.REPLACED]


@pytest.mark.slow
def test_a_refused_consent_keeps_the_previous_grant_in_use_and_says_what_happened(
    journey: Journey,
) -> None:
    page = add_connected_page(journey)
    page.reauthorize()
    journey.consent_page(ANNA).reject()
    expect(page.explanation).to_contain_text("You pressed Reject")
    expect(page.status).to_contain_text("Verified")
    assert grant_states(journey) == [GrantState.VERIFIED]


# --- A different account -------------------------------------------------------------------------


@pytest.mark.slow
def test_the_consent_of_a_different_account_waits_for_a_decision_and_replaces_nothing(
    journey: Journey,
) -> None:
    page = add_connected_page(journey)
    before = current_grant(journey)
    reauthorize_as(journey, page, CARLA, "Zylker GmbH")
    expect(
        journey.page.get_by_role("heading", name="A different account approved this")
    ).to_be_visible()
    decision = journey.page.get_by_role("region", name="A different account approved this")
    for words in (ANNA, CARLA, "Nothing was replaced"):
        expect(decision).to_contain_text(words)
    assert current_grant(journey) == before
    assert journey.services.tokens.access_token(CONNECTION_NAME).generation == 1
    journey.open_wizard()
    expect(ConnectionListPage(journey.person).row(CONNECTION_NAME)).to_contain_text(
        "Different account"
    )


@pytest.mark.slow
def test_a_discarded_consent_of_a_different_account_is_revoked_at_zoho(journey: Journey) -> None:
    page = add_connected_page(journey)
    reauthorize_as(journey, page, CARLA, "Zylker GmbH")
    expect(page.status).to_have_text("Different account")
    assert active_refresh_tokens(journey) == 2
    page.press("Discard the new one")
    expect(page.headline).to_contain_text(ANNA)
    expect(page.status).to_contain_text("Verified")
    assert active_refresh_tokens(journey) == 1
    assert grant_states(journey) == [GrantState.REVOKED, GrantState.VERIFIED]
    token = journey.services.tokens.access_token(CONNECTION_NAME, force_refresh=True)
    account, _ = journey.services.product_api.account(token.value, "eu")
    assert account.email == ANNA


@pytest.mark.slow
def test_a_different_account_in_another_data_center_is_accepted_only_deliberately(
    journey: Journey,
) -> None:
    page = add_connected_page(journey)
    client_id = journey.services.store.connections.get(CONNECTION_NAME).client_id
    secret = journey.controls.enable_data_center(client_id, "in")
    journey.services.clients.set_secret(client_id, secret, "in")
    reauthorize_as(journey, page, BOB)
    expect(page.status).to_have_text("Different account")
    page.press("Accept the new one")
    expect(page.headline).to_have_text(f"This reaches Zylker India, Production, IN, as {BOB}")
    expect(page.status).to_contain_text("Verified")
    assert grant_states(journey) == [GrantState.VERIFIED, GrantState.REPLACED]
    token = journey.services.tokens.access_token(CONNECTION_NAME)
    assert (token.generation, token.location) == (2, "in")
    account, _ = journey.services.product_api.account(token.value, "in")
    assert account.email == BOB


@pytest.mark.slow
def test_a_different_organization_of_the_same_account_waits_for_a_decision(
    journey: Journey,
) -> None:
    page = add_connected_page(journey, CARLA, FIRST_ORGANIZATION)
    before = current_grant(journey)
    reauthorize_as(journey, page, CARLA, "Zylker Outlet")
    decision = journey.page.get_by_role("region", name="A different organization was chosen")
    for words in ("Zylker GmbH", "Zylker Outlet"):
        expect(decision).to_contain_text(words)
    assert current_grant(journey) == before
    page.press("Discard the new one")
    expect(page.headline).to_contain_text("Zylker GmbH")
    assert active_refresh_tokens(journey) == 1


@pytest.mark.slow
def test_after_signing_out_at_zoho_the_right_account_can_consent(
    journey: Journey,
) -> None:
    page = add_connected_page(journey)
    reauthorize_as(journey, page, CARLA, "Zylker GmbH")
    expect(page.status).to_have_text("Different account")
    page.press("Discard the new one")
    expect(page.status).to_contain_text("Verified")
    page.reauthorize()
    ConsentPage(journey.person).sign_out()
    journey.consent_page(ANNA).accept()
    expect(journey.wait_until_verified().report).to_contain_text("Authorization 3")
    assert grant_states(journey) == [GrantState.VERIFIED, GrantState.REVOKED, GrantState.REPLACED]


@pytest.mark.slow
def test_a_one_time_link_opens_a_consent_in_a_private_window(
    journey: Journey, private_window: SimulatedUser
) -> None:
    page = add_connected_page(journey)
    private_window.go(page.link_for_private_window())
    there = ConnectionPage(private_window)
    there.reauthorize()
    journey.sign_in(ANNA, private_window)
    ConsentPage(private_window).accept()
    expect(there.report).to_contain_text("Authorization 2")
    there.wait_until_verified()
    assert grant_states(journey) == [GrantState.VERIFIED, GrantState.REPLACED]
