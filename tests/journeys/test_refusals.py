"""What Zoho refuses or gives only in part: said in words, with the next step, nothing lost."""

import pytest
from core import ANNA
from journey import NAME, Journey
from playwright.sync_api import expect

from wizard.errors import WizardError
from wizard.model import GrantState, SecretState
from wizard.sandbox.person import Consent, Person
from wizard.sandbox.person.wizard_pages import ClientPage, ConnectionList, ConnectionPage, Removal

PROMPT = "&prompt=consent"
ORGANIZATION_SCOPE = "ZohoCRM.org.READ"


def living_at_zoho(journey: Journey) -> int:
    return int(journey.admin.state()["live_refresh_tokens"])


def change_address(person: Person, old: str, new: str) -> None:
    """Load Zoho's consent page anew with a part of its address replaced."""
    Consent(person).accept_button.wait_for()
    assert old in person.page.url
    person.go(person.page.url.replace(old, new))


# --- Less than was asked for ---------------------------------------------------------------------


def test_an_answer_without_refresh_token_is_not_called_connected(journey: Journey) -> None:
    journey.proved("earlier")
    journey.to_sign_in()
    journey.sign_in(ANNA)
    change_address(journey.person, PROMPT, "")
    page = ConnectionPage(journey.person)
    expect(page.finding).to_contain_text("Zoho gave no refresh token")
    expect(page.status).to_have_text("Not authorized")
    assert journey.house.store.grants(NAME) == ()
    page.press("Try again at Zoho")
    Consent(journey.person).accept()
    journey.arrived()


def test_an_answer_without_refresh_token_leaves_what_worked_before(journey: Journey) -> None:
    before = journey.proved(NAME)
    journey.enter(f"/connections/{NAME}")
    page = ConnectionPage(journey.person)
    page.authorize_again()
    journey.sign_in(ANNA)
    change_address(journey.person, PROMPT, "")
    expect(page.finding).to_contain_text("Zoho gave no refresh token")
    expect(page.status).to_have_text("Proved")
    assert journey.house.store.grants(NAME) == (before,)
    assert journey.house.broker.access_token(NAME, fresh=True).generation == 1


def test_fewer_scopes_than_asked_for_are_named_and_what_was_granted_works(
    journey: Journey,
) -> None:
    journey.to_sign_in()
    journey.sign_in(ANNA)
    change_address(journey.person, f",{ORGANIZATION_SCOPE}", "")
    Consent(journey.person).accept()
    page = ConnectionPage(journey.person)
    page.wait_until_proved()
    expect(page.rung("Scopes granted")).to_contain_text("Zoho granted less than was asked")
    expect(page.rung("Scopes granted")).to_contain_text(ORGANIZATION_SCOPE)
    grant = journey.house.store.grant(NAME)
    assert grant is not None
    assert ORGANIZATION_SCOPE not in grant.scope
    page.authorize_again()
    Consent(journey.person).accept()
    expect(journey.arrived().receipt).to_contain_text("Receipt of grant 2")
    expect(page.rung("Scopes granted")).to_contain_text("passed")


# --- Not now -------------------------------------------------------------------------------------


def test_a_throttled_exchange_says_until_when_and_does_not_prolong_the_wait(
    journey: Journey,
) -> None:
    journey.to_sign_in()
    consent = journey.consent_page(ANNA)
    journey.admin.fault("throttle", endpoint="oauth/v2/token")
    consent.accept()
    page = ConnectionPage(journey.person)
    expect(page.finding).to_contain_text("too many token requests")
    expect(page.finding).to_contain_text("Wait until")
    page.press("Try again at Zoho")
    expect(page.finding).to_contain_text("Wait until")
    assert len(journey.exchanges()) == 1
    assert len(journey.house.store.attempts(NAME)) == 1
    journey.advance(minutes=11)
    page.open(journey.base_url, NAME)
    page.press("Try again at Zoho")
    Consent(journey.person).accept()
    journey.arrived()


def test_a_throttle_during_the_proof_kills_nothing_and_the_proof_is_repeated_later(
    journey: Journey,
) -> None:
    journey.proved(NAME)
    journey.advance(minutes=11)
    journey.enter(f"/connections/{NAME}")
    page = ConnectionPage(journey.person)
    journey.admin.fault("throttle", endpoint="oauth/v2/token")
    page.prove_again()
    expect(page.status).to_have_text("Check failed")
    expect(page.finding.first).to_contain_text("No token is harmed")
    journey.advance(minutes=11)
    page.prove_again()
    page.wait_until_proved()
    assert journey.house.broker.access_token(NAME).generation == 1


def test_too_many_consents_are_stopped_here_before_zoho_stops_everybody(journey: Journey) -> None:
    journey.connection(NAME)
    for _ in range(8):
        journey.house.authorization.begin(NAME)
    journey.enter(f"/connections/{NAME}")
    page = ConnectionPage(journey.person)
    page.press("Go to Zoho again")
    expect(page.finding).to_contain_text("Too many consents in ten minutes")
    expect(page.finding).to_contain_text("Wait until")
    journey.advance(minutes=11)
    page.open(journey.base_url, NAME)
    page.press("Go to Zoho again")
    journey.consent_page(ANNA).accept()
    journey.arrived()


# --- The client's secret -------------------------------------------------------------------------


def at_the_client(journey: Journey) -> ClientPage:
    """The page of the client of a proved connection, with the form for its secret unfolded."""
    journey.proved(NAME)
    client_id = journey.house.store.connection(NAME).client_id
    journey.enter(f"/clients/{client_id}")
    page = ClientPage(journey.person)
    page.offer_secret()
    return page


def test_a_new_secret_is_checked_taken_and_confirmed_by_the_next_refresh(journey: Journey) -> None:
    page = at_the_client(journey)
    client_id = journey.house.store.connection(NAME).client_id
    secret = journey.admin.rotate_secret(client_id, "eu")
    page.store_secret(secret)
    expect(page.secrets).to_contain_text("The one before is kept until")
    page.back_to(NAME)
    connection = ConnectionPage(journey.person)
    connection.prove_again()
    connection.wait_until_proved()
    stored = journey.house.store.client(client_id)
    assert stored.secret_for("eu") == secret
    assert [each.state for each in stored.secrets] == [SecretState.CURRENT]


def test_a_wrong_secret_is_refused_not_shown_and_the_old_one_kept(journey: Journey) -> None:
    page = at_the_client(journey)
    client_id = journey.house.store.connection(NAME).client_id
    before = journey.house.store.client(client_id)
    wrong = f"{before.secret_for('eu')}"[:-4] + "0000"
    page.store_secret(wrong)
    expect(page.finding).to_contain_text("The client secret is wrong")
    assert wrong not in journey.page.content()
    assert journey.house.store.client(client_id) == before
    assert journey.house.broker.access_token(NAME, fresh=True).generation == 1


def test_a_secret_renewed_behind_our_back_is_found_by_the_check(journey: Journey) -> None:
    page = at_the_client(journey)
    journey.admin.rotate_secret(journey.house.store.connection(NAME).client_id, "eu")
    page.check()
    expect(page.secrets).to_contain_text("Wrong")
    grant = journey.house.store.grant(NAME)
    assert grant is not None
    assert grant.state is GrantState.PROVED


# --- The end of a connection ---------------------------------------------------------------------


def to_removal(journey: Journey) -> Removal:
    """The page that asks how to end a proved connection."""
    journey.proved(NAME)
    journey.enter(f"/connections/{NAME}")
    ConnectionPage(journey.person).go_to_removal()
    return Removal(journey.person)


def test_a_revoked_connection_stays_and_can_be_authorized_again(journey: Journey) -> None:
    removal = to_removal(journey)
    expect(journey.page.get_by_text("One refresh token is alive at Zoho")).to_be_visible()
    removal.revoke()
    page = ConnectionPage(journey.person)
    expect(page.finding).to_contain_text("was revoked here")
    assert living_at_zoho(journey) == 0
    with pytest.raises(WizardError) as refused:
        journey.house.broker.access_token(NAME)
    assert refused.value.failure.code == "grant-revoked"
    page.authorize_again()
    journey.consent_page(ANNA).accept()
    expect(journey.arrived().receipt).to_contain_text("Receipt of grant 2")


def test_revoked_and_removed_leaves_nothing_here_or_at_zoho(journey: Journey) -> None:
    to_removal(journey).revoke_and_remove()
    expect(journey.page).to_have_url(f"{journey.base_url}/")
    assert journey.house.store.connections() == ()
    assert living_at_zoho(journey) == 0


def test_forgotten_here_lives_on_at_zoho_as_the_page_says(journey: Journey) -> None:
    removal = to_removal(journey)
    expect(journey.page.get_by_text("its refresh token stays good at Zoho")).to_be_visible()
    removal.forget()
    expect(journey.page).to_have_url(f"{journey.base_url}/")
    assert journey.house.store.connections() == ()
    assert living_at_zoho(journey) == 1


def test_a_revocation_that_zoho_did_not_hear_forgets_nothing(journey: Journey) -> None:
    removal = to_removal(journey)
    journey.admin.fault("dc-down", endpoint="oauth/v2/revoke", times=9)
    removal.revoke_and_remove()
    expect(ConnectionPage(journey.person).finding).to_contain_text("Zoho has a disturbance")
    assert living_at_zoho(journey) == 1
    journey.enter()
    expect(ConnectionList(journey.person).row(NAME)).to_contain_text("Proved")
    assert journey.house.broker.access_token(NAME).generation == 1


def test_whoever_changes_their_mind_about_removing_goes_back(journey: Journey) -> None:
    to_removal(journey)
    journey.person.click(journey.page.get_by_role("link", name=f"Back to {NAME}"))
    expect(ConnectionPage(journey.person).status).to_have_text("Proved")
    assert living_at_zoho(journey) == 1
