"""The same connection once more: repaired after a password change, guarded against a stranger."""

import pytest
from core import ANNA, BOB, CARLA, OUTLET, PRODUCTION
from journey import NAME, Journey
from playwright.sync_api import expect

from wizard.errors import WizardError
from wizard.model import Grant, GrantState
from wizard.sandbox.person import Consent, Person, Security
from wizard.sandbox.person.wizard_pages import ConnectionList, ConnectionPage


def connected(journey: Journey, email: str = ANNA, organization: str = "") -> ConnectionPage:
    """The page of a connection that was proved behind the person's back."""
    journey.proved(NAME, email, organization)
    journey.enter(f"/connections/{NAME}")
    return ConnectionPage(journey.person)


def current(journey: Journey) -> Grant:
    grant = journey.house.store.grant(NAME)
    assert grant is not None
    return grant


def states(journey: Journey) -> list[GrantState]:
    """The states of all grants, the newest first."""
    return [each.state for each in journey.house.store.grants(NAME)]


def living_at_zoho(journey: Journey) -> int:
    return int(journey.admin.state()["live_refresh_tokens"])


def change_password(journey: Journey, *, remove_tokens: bool) -> None:
    """Change anna's password at Zoho, in another tab of the same browser."""
    person = Person(journey.page.context.new_page(), journey.person.counter)
    person.go(f"{journey.sandbox.url}/eu/accounts/home")
    journey.sign_in(ANNA, person)
    security = Security(person)
    security.change_password(journey.password(ANNA), "another-made-up-password")
    if remove_tokens:
        person.choose(security.remove_tokens)
    security.go_on()
    person.page.close()


def authorize_again_as(
    journey: Journey, page: ConnectionPage, email: str, organization: str = ""
) -> None:
    """Begin at the connection's page, sign in at Zoho as `email` and accept."""
    page.authorize_again()
    consent = journey.consent_page(email)
    if organization:
        consent.choose_organization(organization)
    consent.accept()


# --- A password change ---------------------------------------------------------------------------


def test_a_password_change_with_the_box_ticked_is_found_and_repaired_under_the_same_name(
    journey: Journey,
) -> None:
    page = connected(journey)
    change_password(journey, remove_tokens=True)
    assert living_at_zoho(journey) == 0
    page.prove_again()
    expect(page.status).to_have_text("Dead")
    expect(page.finding.first).to_contain_text("password")
    with pytest.raises(WizardError) as refused:
        journey.house.broker.access_token(NAME)
    assert refused.value.failure.code == "grant-dead"
    page.authorize_again()
    Consent(journey.person).accept()
    expect(journey.arrived().receipt).to_contain_text("Receipt of grant 2")
    assert states(journey) == [GrantState.PROVED, GrantState.DEAD]
    token = journey.house.broker.access_token(NAME)
    assert token.generation == 2
    account, _ = journey.house.resource.who_am_i(token.value, "eu")
    assert account.email == ANNA


def test_a_dead_grant_is_not_asked_again(journey: Journey) -> None:
    page = connected(journey)
    journey.admin.change_password(ANNA)
    page.prove_again()
    expect(page.status).to_have_text("Dead")
    asked = len(journey.refreshes())
    journey.page.reload()
    with pytest.raises(WizardError):
        journey.house.broker.access_token(NAME, fresh=True)
    assert len(journey.refreshes()) == asked


def test_a_password_change_without_the_box_leaves_the_connection_alive(journey: Journey) -> None:
    page = connected(journey)
    change_password(journey, remove_tokens=False)
    page.prove_again()
    page.wait_until_proved()
    assert states(journey) == [GrantState.PROVED]


def test_the_list_says_at_a_glance_who_needs_you_after_a_password_change(
    journey: Journey,
) -> None:
    page = connected(journey)
    journey.proved("untouched", CARLA, PRODUCTION)
    journey.admin.change_password(ANNA)
    page.prove_again()
    expect(page.status).to_have_text("Dead")
    journey.enter()
    rows = ConnectionList(journey.person)
    expect(rows.row(NAME)).to_contain_text("Dead")
    expect(rows.row("untouched")).to_contain_text("Proved")
    expect(journey.page.get_by_text("1 of 2 needs you")).to_be_visible()


# --- The same again ------------------------------------------------------------------------------


def test_the_same_person_and_organization_replace_the_grant_once_the_new_one_is_proved(
    journey: Journey,
) -> None:
    page = connected(journey, CARLA, OUTLET)
    authorize_again_as(journey, page, CARLA, "Zylker Outlet")
    expect(journey.arrived().receipt).to_contain_text("Receipt of grant 2")
    assert states(journey) == [GrantState.PROVED, GrantState.SUPERSEDED]


def test_a_new_grant_that_cannot_be_proved_leaves_the_one_before_in_use(journey: Journey) -> None:
    page = connected(journey)
    page.authorize_again()
    consent = journey.consent_page(ANNA)
    journey.admin.fault("dc-down", endpoint="crm/v8/Leads", times=9)
    consent.accept()
    expect(page.status).to_have_text("Check failed")
    assert current(journey).generation == 1
    assert journey.house.broker.access_token(NAME).generation == 1
    journey.admin.clear_faults()
    page.prove_again()
    expect(journey.arrived().receipt).to_contain_text("Receipt of grant 2")
    assert states(journey) == [GrantState.PROVED, GrantState.SUPERSEDED]


def test_a_refusal_leaves_the_one_before_in_use_and_says_what_happened(journey: Journey) -> None:
    page = connected(journey)
    page.authorize_again()
    journey.consent_page(ANNA).reject()
    expect(page.finding).to_contain_text("The consent was not given")
    expect(page.status).to_have_text("Proved")
    assert states(journey) == [GrantState.PROVED]


# --- Somebody else -------------------------------------------------------------------------------


def test_somebody_elses_consent_is_held_and_overwrites_nothing(journey: Journey) -> None:
    page = connected(journey)
    before = current(journey)
    authorize_again_as(journey, page, CARLA, "Zylker GmbH")
    expect(journey.page.get_by_role("heading", name="Somebody else consented")).to_be_visible()
    held = journey.page.get_by_role("region", name="Somebody else consented")
    for words in (ANNA, CARLA, "Nothing was overwritten"):
        expect(held).to_contain_text(words)
    assert current(journey) == before
    assert journey.house.broker.access_token(NAME).generation == 1
    journey.enter()
    expect(ConnectionList(journey.person).row(NAME)).to_contain_text("Another account")


def test_a_discarded_consent_of_somebody_else_is_revoked_at_zoho(journey: Journey) -> None:
    page = connected(journey)
    authorize_again_as(journey, page, CARLA, "Zylker GmbH")
    expect(page.status).to_have_text("Another account")
    assert living_at_zoho(journey) == 2
    page.press("Discard the new one")
    expect(page.headline).to_contain_text(ANNA)
    expect(page.status).to_have_text("Proved")
    assert living_at_zoho(journey) == 1
    assert states(journey) == [GrantState.REVOKED, GrantState.PROVED]
    token = journey.house.broker.access_token(NAME, fresh=True)
    account, _ = journey.house.resource.who_am_i(token.value, "eu")
    assert account.email == ANNA


def test_somebody_else_of_another_data_centre_is_adopted_only_deliberately(
    journey: Journey,
) -> None:
    page = connected(journey)
    client_id = journey.house.store.connection(NAME).client_id
    secret = journey.admin.enable(client_id, "in")
    journey.house.clients.change_secret(client_id, secret, "in")
    authorize_again_as(journey, page, BOB)
    expect(page.status).to_have_text("Another account")
    page.press("Use the new one from now on")
    expect(page.headline).to_have_text(f"This reaches Zylker India, Production, IN, as {BOB}")
    expect(page.status).to_have_text("Proved")
    assert states(journey) == [GrantState.PROVED, GrantState.SUPERSEDED]
    token = journey.house.broker.access_token(NAME)
    assert (token.generation, token.location) == (2, "in")
    account, _ = journey.house.resource.who_am_i(token.value, "in")
    assert account.email == BOB


def test_another_organization_of_the_same_person_is_held(journey: Journey) -> None:
    page = connected(journey, CARLA, PRODUCTION)
    before = current(journey)
    authorize_again_as(journey, page, CARLA, "Zylker Outlet")
    held = journey.page.get_by_role("region", name="Another organization was chosen")
    for words in ("Zylker GmbH", "Zylker Outlet"):
        expect(held).to_contain_text(words)
    assert current(journey) == before
    page.press("Discard the new one")
    expect(page.headline).to_contain_text("Zylker GmbH")
    assert living_at_zoho(journey) == 1


def test_whoever_signs_out_at_zoho_can_consent_as_the_right_person_after_all(
    journey: Journey,
) -> None:
    page = connected(journey)
    authorize_again_as(journey, page, CARLA, "Zylker GmbH")
    expect(page.status).to_have_text("Another account")
    page.press("Discard the new one")
    expect(page.status).to_have_text("Proved")
    page.authorize_again()
    Consent(journey.person).sign_out()
    journey.consent_page(ANNA).accept()
    expect(journey.arrived().receipt).to_contain_text("Receipt of grant 3")
    assert states(journey) == [GrantState.PROVED, GrantState.REVOKED, GrantState.SUPERSEDED]


def test_a_one_time_link_lets_somebody_consent_in_a_private_window(
    journey: Journey, private_window: Person
) -> None:
    page = connected(journey)
    private_window.go(page.link_for_private_window())
    there = ConnectionPage(private_window)
    there.authorize_again()
    journey.sign_in(ANNA, private_window)
    Consent(private_window).accept()
    expect(there.receipt).to_contain_text("Receipt of grant 2")
    there.wait_until_proved()
    assert states(journey) == [GrantState.PROVED, GrantState.SUPERSEDED]
