"""Many connections repaired in the assisted browser: one sign-in an account, and nothing else."""

import threading
from collections.abc import Callable, Sequence

import pytest
from asking import wait_for
from attending import Attendant, Rooms, repair
from core import ANNA, BOB, Core
from repairing import connect, kill, next_step, states

from wizard.browser import Handed
from wizard.errors import WizardError
from wizard.model import Client, GrantState
from wizard.reauthorization import Step
from wizard.sandbox.person import Consent

ERIC = "eric@zylker.example"


def add_eric(core: Core) -> None:
    facts = {"product": "crm", "organization_id": "77001", "name": "Eric & Co"}
    core.admin.add_person(
        ERIC,
        password="made-up-password-of-eric",
        first_name="Eric",
        last_name="Lang",
        location="eu",
        organizations=[facts],
    )


class Everybody:
    """Each account's person, at the window that is theirs."""

    def __init__(self, core: Core, rooms: Rooms) -> None:
        self.core = core
        self.rooms = rooms
        self.turns: list[tuple[str, str]] = []
        self.answers: dict[str, Callable[[Attendant], None]] = {}

    def __call__(self, handed: Handed) -> None:
        email = list(self.rooms.pages)[-1]
        self.turns.append((email, handed.why))
        attendant = Attendant(self.core, self.rooms.pages[email], email)
        answer = self.answers.get(handed.why)
        if answer:
            answer(attendant)
        else:
            attendant(handed)


def dead(core: Core, *groups: tuple[Client, str, Sequence[str]]) -> None:
    """Connections of several accounts that died with their passwords."""
    for client, email, names in groups:
        for name in names:
            connect(core, name, client, email)
    core.advance(minutes=11)
    for _, email, names in groups:
        kill(core, *names, email=email)


def test_two_accounts_are_repaired_with_a_sign_in_each(core: Core, rooms: Rooms) -> None:
    dead(
        core,
        (core.client("Europe"), ANNA, ("books", "crm")),
        (core.client("India", BOB), BOB, ("desk",)),
    )
    core.house.repairs.begin()
    people = Everybody(core, rooms)
    repair(core, rooms, people)
    assert people.turns == [(ANNA, "sign-in"), (BOB, "sign-in")]
    assert core.house.repairs.current() is None, "it has ended"
    for name in ("books", "crm", "desk"):
        assert core.house.broker.access_token(name).generation == 2


@pytest.mark.slow
def test_ten_of_three_accounts_with_two_clients_in_two_data_centres(
    core: Core, rooms: Rooms
) -> None:
    """Two actions, the command and its one question, plus three sign-ins."""
    add_eric(core)
    europe = core.client("Europe")
    dead(
        core,
        (europe, ANNA, [f"anna-{number}" for number in range(4)]),
        (europe, ERIC, [f"eric-{number}" for number in range(3)]),
        (core.client("India", BOB), BOB, [f"bob-{number}" for number in range(3)]),
    )
    names = core.house.repairs.refused()
    assert len(names) == 10
    core.house.repairs.begin()
    people = Everybody(core, rooms)
    repair(core, rooms, people)
    assert people.turns == [(email, "sign-in") for email in (ANNA, BOB, ERIC)]
    grants = [core.house.store.grant(name) for name in names]
    assert [(grant.generation, grant.state) for grant in grants if grant] == [
        (2, GrantState.PROVED)
    ] * 10


@pytest.mark.slow
def test_the_ninth_consent_of_a_client_waits_in_the_window(core: Core, rooms: Rooms) -> None:
    client = core.client("Europe")
    dead(core, (client, ANNA, ("books", "crm")))
    core.house.repairs.begin()
    for _ in range(7):
        core.house.broker.count_code(client.client_id, "eu", "crm")
    people = Everybody(core, rooms)

    def let_time_pass() -> None:
        wait_for(lambda: next_step(core).step is Step.WAIT)
        core.advance(seconds=601)

    time = threading.Thread(target=let_time_pass)
    time.start()
    repair(core, rooms, people)
    time.join()
    assert people.turns == [(ANNA, "sign-in")]
    assert core.house.repairs.refused() == ()


@pytest.mark.slow
def test_a_client_that_is_called_otherwise_at_zoho_is_a_surprise_once(
    core: Core, rooms: Rooms
) -> None:
    client = core.client("Europe")
    dead(core, (client, ANNA, ("books", "crm")))
    core.sandbox.world.clients.named(client.client_id).name = "Renamed there"
    core.house.repairs.begin()
    people = Everybody(core, rooms)
    people.answers["other-client"] = lambda seen: Consent(seen.person).accept_button.click()
    repair(core, rooms, people)
    assert people.turns == [(ANNA, "sign-in"), (ANNA, "other-client")]
    assert core.house.repairs.refused() == ()


@pytest.mark.slow
def test_a_window_closed_in_the_middle_loses_nothing(core: Core, rooms: Rooms) -> None:
    dead(
        core,
        (core.client("Europe"), ANNA, ("books", "crm")),
        (core.client("India", BOB), BOB, ("desk",)),
    )
    core.house.repairs.begin()
    people = Everybody(core, rooms)

    def sign_in_or_leave(seen: Attendant) -> None:
        if seen.email == BOB:
            seen.page.close()
        else:
            seen.sign_in()

    people.answers["sign-in"] = sign_in_or_leave
    with pytest.raises(WizardError, match="window-closed"):
        repair(core, rooms, people)
    assert states(core) == {"books": "repaired", "crm": "repaired", "desk": "pending"}

    del people.answers["sign-in"]
    rooms.pages.clear()
    repair(core, rooms, people)
    assert core.house.repairs.refused() == ()


def test_a_refusal_in_the_middle_is_left_to_the_page_and_the_rest_is_repaired(
    core: Core, rooms: Rooms
) -> None:
    client = core.client("Europe")
    dead(core, (client, ANNA, ("books", "crm")))
    core.sandbox.world.clients.named(client.client_id).name = "Renamed there"
    core.house.repairs.begin()
    people = Everybody(core, rooms)
    hands = iter(["reject_button", "accept_button"])
    people.answers["other-client"] = lambda seen: getattr(Consent(seen.person), next(hands)).click()
    with pytest.raises(WizardError, match="access-denied"):
        repair(core, rooms, people)
    assert states(core) == {"books": "refused", "crm": "repaired"}


@pytest.mark.slow
def test_a_page_of_zohos_own_is_explained_and_kept(core: Core, rooms: Rooms) -> None:
    client = core.client("Europe")
    dead(core, (client, ANNA, ("books",)))
    core.admin.delete_client(client.client_id)
    core.house.repairs.begin()
    with pytest.raises(WizardError, match="zoho-page-invalid-client"):
        repair(core, rooms, Everybody(core, rooms))
    assert states(core) == {"books": "refused"}
