"""Connections from a file in the assisted browser: one sign-in per account, and few actions."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from support.assisted_windows import (
    AssistedUsers,
    HeadlessWindows,
    is_waiting_for_a_limit,
    reauthorize,
)
from support.connections_file import (
    apply_without_consents,
    client_table,
    connection_table,
    plan_of,
)
from support.harness import ANNA, BOB, ERIC, Harness, add_eric

from wizard.model import GrantState

OWNERS = {"Europe 1": ANNA, "Europe 2": ANNA, "Europe 3": ERIC, "India": BOB}
"""The owners of the clients, who also approve the connections."""
POLL_SECONDS = 0.2


def register(harness: Harness) -> Mapping[str, Any]:
    """The four clients at Zoho, in two data centers."""
    uri = harness.services.settings.redirect_uri
    return {
        name: harness.controls.register_client(owner, [uri], name=name)
        for name, owner in OWNERS.items()
    }


def file_for(harness: Harness, clients: Mapping[str, Any], names: Sequence[str]) -> str:
    """Connections `names`, divided between the clients, each with a program."""
    tables = [
        client_table(f'"{name}"', made["client_id"], *made["secrets"])
        for name, made in clients.items()
    ]
    for number, name in enumerate(names):
        client = [*OWNERS][number % len(OWNERS)]
        target = str(harness.directory / f"{name}.env")
        tables.append(
            connection_table(
                name,
                client,
                account=OWNERS[client],
                destinations=[{"profile": "dotenv", "to": target}],
            )
        )
    return "".join(tables)


def apply_assisted(harness: Harness, windows: HeadlessWindows, names: Sequence[str]) -> None:
    """Apply a file for `names`, and check what it took and what stands."""
    add_eric(harness)
    clients = register(harness)
    text = file_for(harness, clients, names)
    secrets = plan_of(harness, text).missing_secrets
    apply_without_consents(harness, text, clients)
    users = AssistedUsers(harness, windows)
    is_done = threading.Event()

    def let_limits_pass() -> None:
        while not is_done.wait(POLL_SECONDS):
            if is_waiting_for_a_limit(harness):
                harness.advance(seconds=601)

    time = threading.Thread(target=let_limits_pass)
    time.start()
    try:
        reauthorize(harness, windows, users)
    finally:
        is_done.set()
        time.join()
    assert sorted(users.turns) == [(email, "sign-in") for email in sorted({ANNA, BOB, ERIC})]
    confirmation = 1
    assert len(secrets) + confirmation == 5
    assert not plan_of(harness, text).has_changes
    overviews = harness.services.store.overviews.all()
    assert [each.connection.name for each in overviews] == sorted(names)
    for each in overviews:
        assert each.grant is not None
        assert (each.grant.generation, each.grant.state) == (1, GrantState.VERIFIED)
        assert each.grant.refresh_token in (
            harness.directory / f"{each.connection.name}.env"
        ).read_text("utf-8")


def test_four_connections_of_three_accounts_take_three_sign_ins(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    apply_assisted(harness, headless_windows, ["a", "b", "c", "d"])


@pytest.mark.slow
def test_forty_connections_take_three_sign_ins_and_five_actions(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    apply_assisted(harness, headless_windows, [f"crm-{number:02}" for number in range(40)])
