"""With a client that is stored already, hardly anything is left to do."""

from core import ANNA
from journey import NAME, Journey
from playwright.sync_api import expect

from wizard.sandbox.person import Consent
from wizard.sandbox.person.wizard_pages import ConnectionList, NewConnection

MOST_ACTIONS = 4
"""By hand it takes more than 20, with the best other tool 14."""


def second(journey: Journey, task: str, name: str = "", email: str = "") -> int:
    """Connect once more with the stored client, signing in (which is not counted) as `email` if
    one is given; return how many actions it took."""
    journey.enter()
    before = journey.person.actions
    form = NewConnection(journey.person)
    form.begin()
    form.choose_task(task)
    if name:
        journey.person.fill(form.name, name)
    form.connect()
    journey.consent_page(email).accept()
    journey.arrived()
    return journey.person.actions - before


def test_a_second_connection_with_the_same_client_needs_hardly_any_action(
    journey: Journey,
) -> None:
    journey.to_consent().accept()
    journey.arrived()
    needed = second(journey, "Create invoices in Books")
    assert needed <= MOST_ACTIONS, journey.person.counter.log[-needed:]
    first, other = journey.house.store.connections()
    assert first.client_id == other.client_id
    assert first.scope != other.scope


def test_the_counter_rises_by_one_when_one_step_is_added(journey: Journey) -> None:
    journey.proved(NAME)
    plain = second(journey, "Create invoices in Books", email=ANNA)
    renamed = second(journey, "Read Desk tickets", name="helpdesk")
    assert renamed == plain + 1


def test_a_second_connection_leaves_the_first_one_working(journey: Journey) -> None:
    journey.proved(NAME)
    second(journey, "Read Desk tickets", email=ANNA)
    journey.enter()
    rows = ConnectionList(journey.person)
    for name in (NAME, "desk-read-tickets"):
        expect(rows.row(name)).to_contain_text("Proved")
    for name in (NAME, "desk-read-tickets"):
        token = journey.house.broker.access_token(name, fresh=True)
        assert token.connection == name


def test_the_same_task_twice_gets_a_name_of_its_own(journey: Journey) -> None:
    journey.proved(NAME)
    form = journey.offered()
    expect(form.name).to_have_value(f"{NAME}-2")


def test_a_name_that_is_taken_is_refused_and_nothing_is_overwritten(journey: Journey) -> None:
    journey.proved(NAME)
    before = journey.house.store.grant(NAME)
    form = journey.offered("Read Desk tickets")
    journey.person.fill(form.name, "CRM-Read-Leads")
    form.connect()
    expect(form.finding).to_contain_text("There is a connection")
    assert journey.house.store.grant(NAME) == before


def test_another_client_can_be_registered_beside_the_first(journey: Journey) -> None:
    journey.client("Elder")
    form = journey.offered()
    journey.person.click(journey.page.get_by_role("link", name="Use another client"))
    form.paste_credentials(journey.register(form))
    form.connect()
    Consent(journey.person).accept()
    journey.arrived()
    (connection,) = journey.house.store.connections()
    assert len(journey.house.store.clients()) == 2
    assert journey.house.store.client(connection.client_id).name != "Elder"
