"""With a stored client, few actions remain."""

import pytest
from playwright.sync_api import expect
from support.harness import ANNA
from support.user_journey import CONNECTION_NAME, Journey
from support.wizard_pages import ConnectionListPage, NewConnectionPage

from wizard.simulator.simulated_user import ConsentPage

MOST_ACTIONS = 5
"""Manually it takes more than 20, with the best other tool 14."""


def connect_again(journey: Journey, preset: str, name: str = "", email: str = "") -> int:
    """Connect again with the stored client, signing in (not counted) as `email` if given; return
    the number of actions."""
    journey.open_wizard()
    before = journey.person.actions
    form = NewConnectionPage(journey.person)
    form.open()
    if name:
        journey.person.fill(form.name, name)
    form.choose_preset(preset)
    form.connect()
    journey.consent_page(email).accept()
    journey.wait_until_verified()
    return journey.person.actions - before


@pytest.mark.slow
def test_a_second_connection_with_the_same_client_needs_few_actions(
    journey: Journey,
) -> None:
    journey.open_consent_page().accept()
    journey.wait_until_verified()
    needed = connect_again(journey, "Create invoices in Books")
    assert needed <= MOST_ACTIONS, journey.person.counter.log[-needed:]
    first, other = journey.services.store.connections.all()
    assert first.client_id == other.client_id
    assert first.scope != other.scope


@pytest.mark.slow
def test_the_counter_rises_by_one_when_one_step_is_added(journey: Journey) -> None:
    journey.add_verified_connection(CONNECTION_NAME)
    plain = connect_again(journey, "Create invoices in Books", email=ANNA)
    renamed = connect_again(journey, "Read Desk tickets", name="helpdesk")
    assert renamed == plain + 1


@pytest.mark.slow
def test_a_second_connection_leaves_the_first_one_working(journey: Journey) -> None:
    journey.add_verified_connection(CONNECTION_NAME)
    connect_again(journey, "Read Desk tickets", email=ANNA)
    journey.open_wizard()
    rows = ConnectionListPage(journey.person)
    for name in (CONNECTION_NAME, "desk-read-tickets"):
        expect(rows.row(name)).to_contain_text("Verified")
    for name in (CONNECTION_NAME, "desk-read-tickets"):
        token = journey.services.tokens.access_token(name, force_refresh=True)
        assert token.connection == name


def test_the_same_preset_twice_gets_a_name_of_its_own(journey: Journey) -> None:
    journey.add_verified_connection(CONNECTION_NAME)
    journey.open_new_connection_form()
    expect(journey.page.get_by_role("heading", name=f"{CONNECTION_NAME}-2")).to_be_visible()


@pytest.mark.slow
def test_a_name_that_is_taken_is_refused_and_nothing_is_overwritten(journey: Journey) -> None:
    journey.add_verified_connection(CONNECTION_NAME)
    before = journey.services.store.grants.get(CONNECTION_NAME)
    journey.open_wizard("/connections/new")
    form = NewConnectionPage(journey.person)
    journey.person.fill(form.name, "CRM-Read-Leads")
    form.choose_preset("Read Desk tickets")
    expect(form.explanation).to_contain_text("already exists")
    assert journey.services.store.grants.get(CONNECTION_NAME) == before


@pytest.mark.slow
def test_another_client_can_be_registered_next_to_the_first(journey: Journey) -> None:
    journey.register_client("Elder")
    form = journey.open_new_connection_form()
    journey.person.click(journey.page.get_by_role("link", name="Use another client"))
    form.paste_credentials(journey.register_in_console(form))
    form.connect()
    ConsentPage(journey.person).accept()
    journey.wait_until_verified()
    (connection,) = journey.services.store.connections.all()
    assert len(journey.services.store.clients.all()) == 2
    assert journey.services.store.clients.get(connection.client_id).name != "Elder"


@pytest.mark.slow
def test_scopes_are_added_to_the_refresh_token_in_the_browser(journey: Journey) -> None:
    before = journey.add_verified_connection(CONNECTION_NAME)
    journey.open_wizard(f"/connections/{CONNECTION_NAME}")
    page, person = journey.page, journey.person
    opener = page.locator("summary", has_text="Add scopes")
    place = opener.bounding_box()
    person.click(opener)
    assert opener.bounding_box() == place, "it stays where it was pressed"
    person.fill(page.get_by_label("Scopes to add"), "ZohoBooks.settings.READ")
    person.click(page.get_by_label("Keep the refresh token"))
    person.click(page.get_by_role("button", name="Add scopes"))
    journey.consent_page(ANNA).accept()
    page.wait_for_url(f"**/connections/{CONNECTION_NAME}")
    assert "enhance_token" not in page.evaluate("document.referrer")
    after = journey.services.store.grants.get(CONNECTION_NAME)
    assert after is not None
    assert (after.generation, after.refresh_token) == (before.generation, before.refresh_token)
    assert "ZohoBooks.settings.READ" in after.scope
    journey.wait_until_verified()
