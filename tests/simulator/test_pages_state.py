"""The page that shows and controls the simulator's state."""

import re

import pytest
from playwright.sync_api import Page, expect

from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import SimulatedUser
from wizard.simulator.traffic import FAULT_KINDS

ANNA, DORA = "anna@zylker.example", "dora@zylker.example"


@pytest.fixture
def state(person: SimulatedUser, zoho_simulator: Simulator) -> Page:
    """The state page, opened from the simulator's root."""
    person.go(zoho_simulator.url)
    expect(person.page).to_have_url(re.compile(r"/_simulator/$"))
    return person.page


def test_users_are_listed_with_their_passwords(state: Page, zoho_simulator: Simulator) -> None:
    people = state.get_by_role("region", name="People")
    for each in zoho_simulator.world.users:
        expect(people).to_contain_text(each.email)
        expect(people).to_contain_text(each.password)
    dora = zoho_simulator.world.users.get(DORA)
    assert dora.check_one_time_code(
        re.findall(r"one-time code now (\d{6})", people.inner_text())[0], zoho_simulator.clock()
    )


def test_clients_are_listed_without_their_secrets(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    client = zoho_simulator.controls.register_client(
        ANNA, ["http://localhost/x"], name="Lead reader"
    )
    state.reload()
    clients = state.get_by_role("region", name="Clients")
    expect(clients).to_contain_text(client["client_id"])
    assert client["secrets"]["eu"] not in state.content()


def test_the_clock_is_moved_and_reset(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    person.click(state.get_by_role("button", name="10 minutes on"))
    expect(state.get_by_text("600 seconds ahead")).to_be_visible()
    assert zoho_simulator.clock.offset.total_seconds() == 600
    person.click(state.get_by_role("button", name="Back to real time"))
    expect(state.get_by_text("real time")).to_be_visible()
    assert zoho_simulator.clock.offset.total_seconds() == pytest.approx(0, abs=1e-3)


def test_a_password_is_changed_through_the_controls(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    anna = zoho_simulator.world.users.get(ANNA)
    before = anna.password
    entry = state.get_by_role("listitem").filter(has_text=ANNA)
    person.click(entry.get_by_text("Events"))
    person.click(entry.get_by_role("button", name="Change password, remove tokens"))
    expect(entry.get_by_text(before, exact=True)).to_have_count(0)
    expect(entry).to_contain_text(anna.password)


def test_a_fault_is_added_and_removed(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    person.choose(
        state.get_by_label("What goes wrong"),
        f"data-center-down: {FAULT_KINDS['data-center-down']}",
    )
    person.choose(state.get_by_label("Data centre"), "EU")
    person.click(state.get_by_role("button", name="Lay the fault"))
    expect(state.get_by_role("region", name="Faults").get_by_role("listitem")).to_contain_text("EU")
    (fault,) = zoho_simulator.world.faults.pending
    assert (fault.kind, fault.location, fault.endpoint) == (
        "data-center-down",
        "eu",
        "oauth/v2/token",
    )
    person.click(state.get_by_role("button", name="Take them back"))
    expect(state.get_by_role("button", name="Take them back")).to_have_count(0)
    assert zoho_simulator.world.faults.pending == []


def test_an_invalid_number_is_rejected_with_a_reason(
    state: Page, zoho_simulator: Simulator
) -> None:
    answer = state.request.post(
        f"{zoho_simulator.url}/_simulator/page/advance", form={"seconds": "soon"}
    )
    assert answer.status == 400
    assert "soon" in answer.text()
    assert zoho_simulator.clock.offset.total_seconds() == 0


def test_no_other_site_can_press_its_buttons(state: Page, zoho_simulator: Simulator) -> None:
    answer = state.request.post(
        f"{zoho_simulator.url}/_simulator/page/reset", headers={"Origin": "http://localhost:1"}
    )
    assert answer.status == 403


def test_the_journal_lists_the_requested_pages_and_no_password(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    token_endpoint = f"{zoho_simulator.url}/eu/accounts/oauth/v2/token"
    state.request.post(
        token_endpoint, form={"grant_type": "refresh_token", "client_secret": "hush"}
    )
    person.go(f"{zoho_simulator.url}/eu/accounts/signin")
    person.go(f"{zoho_simulator.url}/_simulator/")
    journal = state.get_by_role("region", name="Journal")
    expect(journal).to_contain_text("/eu/accounts/signin")
    expect(journal).to_contain_text("client_secret=‹4 characters›")
    expect(journal).not_to_contain_text("hush")


def test_a_reset_removes_everything_except_the_users(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.register_client(ANNA, ["http://localhost/x"])
    person.click(state.get_by_role("button", name="Begin anew"))
    expect(state.get_by_role("region", name="Clients")).to_contain_text("None yet.")
    assert list(zoho_simulator.world.clients) == []
    assert zoho_simulator.world.users.find(ANNA)
