"""``list --by account``: whose sign-in what depends on; asked before somebody leaves."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from wizard.cli.connection_states import overview_label, overview_state
from wizard.cli.terminal import Terminal
from wizard.store import ConnectionOverview, Destination

COLUMNS = ("Account", "Zoho", "Connection", "State", "Client", "Programs")
NO_ACCOUNT = "nobody yet"


def list_by_account(terminal: Terminal, rows: Sequence[ConnectionOverview]) -> None:
    """The connections by the account that consented, each with the programs it was delivered
    to."""
    store, now = terminal.services.store, terminal.clock()
    clients = {client.client_id: client.name for client in store.clients.all()}
    programs: dict[str, list[Destination]] = {}
    for destination in store.destinations.all():
        programs.setdefault(destination.connection, []).append(destination)
    ordered = sorted(rows, key=lambda row: (*_account_and_location(row), row.connection.name))
    if terminal.renderer.as_json:
        terminal.renderer.print_json(_accounts_to_json(ordered, clients, programs, now))
        return
    lines = [
        (
            *_account_and_location(row),
            row.connection.name,
            overview_label(row, now),
            clients[row.connection.client_id],
            ", ".join(each.target for each in programs.get(row.connection.name, ())),
        )
        for row in ordered
    ]
    terminal.renderer.print_table(COLUMNS, lines)


def _account_and_location(row: ConnectionOverview) -> tuple[str, str]:
    """Who consented, and in which data centre."""
    grant = row.grant
    email = grant.account.email if grant and grant.account else NO_ACCOUNT
    return email, (grant.location if grant else row.connection.location) or "?"


def _accounts_to_json(
    rows: Sequence[ConnectionOverview],
    clients: Mapping[str, str],
    programs: Mapping[str, Sequence[Destination]],
    now: datetime,
) -> list[dict[str, Any]]:
    accounts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        connection = row.connection
        accounts.setdefault(_account_and_location(row), []).append(
            {
                "name": connection.name,
                "state": overview_state(row, now),
                "client": clients[connection.client_id],
                "destinations": [each.target for each in programs.get(connection.name, ())],
            }
        )
    return [
        {
            "account": None if email == NO_ACCOUNT else email,
            "location": None if location == "?" else location,
            "connections": connections,
        }
        for (email, location), connections in accounts.items()
    ]
