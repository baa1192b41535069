"""Many connections re-authorized in the assisted browser, with one sign-in per account."""

import threading
from collections.abc import Sequence

import pytest
from support.assisted_windows import (
    AssistedUser,
    AssistedUsers,
    HeadlessWindows,
    is_waiting_for_a_limit,
    reauthorize,
)
from support.harness import ANNA, BOB, ERIC, Harness, add_eric
from support.reauthorization import (
    add_verified_connection,
    change_password_and_detect,
    item_states,
)
from support.tokens import wait_for

from wizard.errors import WizardError
from wizard.model import Client, GrantState
from wizard.simulator.simulated_user import ConsentPage


def add_rejected_connections(harness: Harness, *groups: tuple[Client, str, Sequence[str]]) -> None:
    """Connections of several accounts, rejected after password changes."""
    for client, email, names in groups:
        for name in names:
            add_verified_connection(harness, name, client, email)
    harness.advance(minutes=11)
    for _, email, names in groups:
        change_password_and_detect(harness, *names, email=email)


@pytest.mark.slow
def test_two_accounts_are_reauthorized_with_one_sign_in_each(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    add_rejected_connections(
        harness,
        (harness.register_client("Europe"), ANNA, ("books", "crm")),
        (harness.register_client("India", BOB), BOB, ("desk",)),
    )
    harness.services.reauthorization.begin()
    users = AssistedUsers(harness, headless_windows)
    reauthorize(harness, headless_windows, users)
    assert users.turns == [(ANNA, "sign-in"), (BOB, "sign-in")]
    assert harness.services.reauthorization.current() is None, "it has ended"
    for name in ("books", "crm", "desk"):
        assert harness.services.tokens.access_token(name).generation == 2


@pytest.mark.slow
def test_ten_of_three_accounts_with_two_clients_in_two_data_centers(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    """Two actions, the command and its confirmation, plus three sign-ins."""
    add_eric(harness)
    europe = harness.register_client("Europe")
    add_rejected_connections(
        harness,
        (europe, ANNA, [f"anna-{number}" for number in range(4)]),
        (europe, ERIC, [f"eric-{number}" for number in range(3)]),
        (harness.register_client("India", BOB), BOB, [f"bob-{number}" for number in range(3)]),
    )
    names = harness.services.reauthorization.rejected_connections()
    assert len(names) == 10
    harness.services.reauthorization.begin()
    users = AssistedUsers(harness, headless_windows)
    reauthorize(harness, headless_windows, users)
    assert users.turns == [(email, "sign-in") for email in (ANNA, BOB, ERIC)]
    grants = [harness.services.store.grants.get(name) for name in names]
    assert [(grant.generation, grant.state) for grant in grants if grant] == [
        (2, GrantState.VERIFIED)
    ] * 10


@pytest.mark.slow
def test_the_ninth_consent_of_a_client_waits_in_the_window(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    client = harness.register_client("Europe")
    add_rejected_connections(harness, (client, ANNA, ("books", "crm")))
    harness.services.reauthorization.begin()
    for _ in range(7):
        harness.services.request_log.record_authorization(client.client_id, "eu", "crm")
    users = AssistedUsers(harness, headless_windows)

    def let_time_pass() -> None:
        wait_for(lambda: is_waiting_for_a_limit(harness))
        harness.advance(seconds=601)

    time = threading.Thread(target=let_time_pass)
    time.start()
    reauthorize(harness, headless_windows, users)
    time.join()
    assert users.turns == [(ANNA, "sign-in")]
    assert harness.services.reauthorization.rejected_connections() == ()


@pytest.mark.slow
def test_a_client_with_a_different_name_at_zoho_is_asked_about_once(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    client = harness.register_client("Europe")
    add_rejected_connections(harness, (client, ANNA, ("books", "crm")))
    harness.simulator.world.clients.get(client.client_id).name = "Renamed there"
    harness.services.reauthorization.begin()
    users = AssistedUsers(harness, headless_windows)
    users.actions["other-client"] = lambda seen: ConsentPage(seen.person).accept_button.click()
    reauthorize(harness, headless_windows, users)
    assert users.turns == [(ANNA, "sign-in"), (ANNA, "other-client")]
    assert harness.services.reauthorization.rejected_connections() == ()


@pytest.mark.slow
def test_closing_the_window_midway_loses_nothing(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    add_rejected_connections(
        harness,
        (harness.register_client("Europe"), ANNA, ("books", "crm")),
        (harness.register_client("India", BOB), BOB, ("desk",)),
    )
    harness.services.reauthorization.begin()
    users = AssistedUsers(harness, headless_windows)

    def sign_in_or_leave(seen: AssistedUser) -> None:
        if seen.email == BOB:
            seen.page.close()
        else:
            seen.sign_in()

    users.actions["sign-in"] = sign_in_or_leave
    with pytest.raises(WizardError, match="window-closed"):
        reauthorize(harness, headless_windows, users)
    assert item_states(harness) == {
        "books": "reauthorized",
        "crm": "reauthorized",
        "desk": "pending",
    }

    del users.actions["sign-in"]
    headless_windows.pages.clear()
    reauthorize(harness, headless_windows, users)
    assert harness.services.reauthorization.rejected_connections() == ()


def test_a_refused_consent_is_left_to_the_page_and_the_rest_is_reauthorized(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    client = harness.register_client("Europe")
    add_rejected_connections(harness, (client, ANNA, ("books", "crm")))
    harness.simulator.world.clients.get(client.client_id).name = "Renamed there"
    harness.services.reauthorization.begin()
    users = AssistedUsers(harness, headless_windows)
    hands = iter(["reject_button", "accept_button"])
    users.actions["other-client"] = lambda seen: getattr(
        ConsentPage(seen.person), next(hands)
    ).click()
    with pytest.raises(WizardError, match="access-denied"):
        reauthorize(harness, headless_windows, users)
    assert item_states(harness) == {"books": "authorization_failed", "crm": "reauthorized"}


@pytest.mark.slow
def test_a_zoho_error_page_is_explained_and_stays_open(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    client = harness.register_client("Europe")
    add_rejected_connections(harness, (client, ANNA, ("books",)))
    harness.controls.delete_client(client.client_id)
    harness.services.reauthorization.begin()
    with pytest.raises(WizardError, match="zoho-page-invalid-client"):
        reauthorize(harness, headless_windows, AssistedUsers(harness, headless_windows))
    assert item_states(harness) == {"books": "authorization_failed"}
