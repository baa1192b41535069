"""Pages and `list` read from one snapshot, in a number of statements that doesn't grow."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import click
import pytest
from sqlalchemy import insert
from support.harness import ANNA, BOB, SCOPE, Harness
from support.web_visitor import counted, visit

from wizard.cli.commands.connections import list_connections
from wizard.cli.terminal import Terminal
from wizard.model import (
    Account,
    Client,
    ClientSecret,
    Failure,
    Grant,
    GrantState,
    Identifier,
    RequestKind,
    StepState,
)
from wizard.services import Services
from wizard.store import Store, StoredReauthorizationItem, schema
from wizard.store.grants import insert_grant

MAX_STATEMENTS = 12
COUNTS = (1, 10, pytest.param(1_000, marks=pytest.mark.slow))
CLIENTS = 5
STEPS = ("refresh", "identity", "organization", "read:crm", "scope", "clock")
KINDS = {
    "rejected": (GrantState.NEEDS_REAUTHORIZATION, Failure("refresh-token-rejected")),
    "client": (GrantState.VERIFIED, Failure("invalid-client")),
    "access": (GrantState.VERIFIED, Failure("no-permission")),
    "revoked": (GrantState.REVOKED, None),
    "verified": (GrantState.VERIFIED, None),
}


def add_connections(harness: Harness, count: int) -> list[str]:
    """Connections of several clients and accounts, each re-authorized once, in every state; most
    of many are verified."""
    store, now = harness.services.store, harness.now()
    names = [f"crm-{number:04}" for number in range(count)]
    kinds = [*KINDS, *["verified"] * 95]
    with store.database.write() as c:
        for number in range(CLIENTS):
            client = Client(
                f"1000.X{number}", f"Zylker {number}", "eu", "http://localhost/", created_at=now
            )
            columns = {each.name: getattr(client, each.name) for each in schema.clients.columns}
            c.execute(insert(schema.clients).values(**columns))
            secret = ClientSecret("eu", "secret")
            store.clients.insert_secret(c, client.client_id, secret)
        for number, name in enumerate(names):
            state, failure = KINDS[kinds[number % len(kinds)]]
            client_id = f"1000.X{number % CLIENTS}"
            c.execute(
                insert(schema.connections).values(
                    name=name,
                    client_id=client_id,
                    scope=SCOPE,
                    location="eu",
                    generation=2,
                    last_generation=2,
                    presets=(),
                    owner="",
                    expected_email="",
                    expected_organization="",
                    expected_environment="",
                    tags=(),
                    note="",
                    created_at=now,
                )
            )
            email = (ANNA, BOB)[number % 2]
            for generation, of_state in ((1, GrantState.REPLACED), (2, state)):
                grant = Grant(
                    connection=name,
                    generation=generation,
                    client_id=client_id,
                    refresh_token=f"1000.{number:032x}{generation:032x}",
                    scope=SCOPE,
                    location="eu",
                    state=of_state,
                    granted_at=now - timedelta(days=3 - generation),
                    account=Account(Identifier(str(100 + number % 2)), email),
                    failure=failure if of_state is GrantState.NEEDS_REAUTHORIZATION else None,
                )
                insert_grant(c, store._vault, grant)
    store_records(store, names, kinds, now)
    return names


def store_records(store: Store, names: list[str], kinds: list[str], now: datetime) -> None:
    """Reports, requests, destinations and the re-authorizations of the past, in few commits."""
    reports: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    requests, destinations = [], []
    for number, name in enumerate(names):
        _, failure = KINDS[kinds[number % len(kinds)]]
        for generation in (1, 2):
            at = {"connection": name, "generation": generation}
            reports.append({**at, "started_at": now, "finished_at": now})
            for step in STEPS:
                has_failed = step == "read:crm" and (generation == 1 or failure is not None)
                state = StepState.FAILED if has_failed else StepState.PASSED
                reason = (failure or Failure("no-permission")) if has_failed else None
                steps.append(
                    {**at, "name": step, "state": state, "evidence": (), "at": now}
                    | {"failure": reason}
                )
            requests.append(
                {**at, "kind": RequestKind.REFRESH, "at": now, "location": "eu"}
                | {"client_id": f"1000.X{number % CLIENTS}", "zuid": "", "outcome": "ok"}
            )
        destinations.append(
            {"connection": name, "profile": "dotenv", "target": f"/srv/{name}/.env", "entry": ""}
            | {
                "field_names": {},
                "field_values": {},
                "reload_command": "",
                "generation": 2,
                "content_sha256": "",
                "seal": b"",
                "machine": "",
            }
            | {"previous_generation": 1, "delivered_at": now, "file_mode": "", "file_group": ""}
        )
    with store.database.write() as c:
        c.execute(insert(schema.verification_reports), reports)
        c.execute(insert(schema.verification_steps), steps)
        c.execute(insert(schema.token_requests), requests)
        c.execute(insert(schema.destinations), destinations)
        for number in (1, 2):
            c.execute(
                insert(schema.reauthorizations).values(
                    id=number, started_at=now, ended_at=now, paused=False
                )
            )
    for _ in range(2):
        store.reauthorizations.begin(
            [StoredReauthorizationItem(name, 1, now) for name in names], now
        )
        current = store.reauthorizations.current()
        assert current is not None
        store.reauthorizations.end(current.id, now)


@pytest.fixture(params=COUNTS)
def names(harness: Harness, request: pytest.FixtureRequest) -> list[str]:
    return add_connections(harness, request.param)


def assert_few(statements: list[str]) -> None:
    assert len(statements) <= MAX_STATEMENTS, "\n\n".join(statements)


def test_the_list_of_connections_reads_in_few_statements(
    harness: Harness, names: list[str]
) -> None:
    harness.services.reauthorization.begin(names)
    statements, page = visit(harness.services, "/")
    assert_few(statements)
    assert names[0] in page


def test_the_page_of_a_connection_reads_in_few_statements(
    harness: Harness, names: list[str]
) -> None:
    for name in names[: len(KINDS)]:
        statements, page = visit(harness.services, f"/connections/{name}")
        assert_few(statements)
        assert name in page


def test_the_plan_of_a_reauthorization_reads_in_few_statements(
    harness: Harness, names: list[str]
) -> None:
    statements, page = visit(harness.services, f"/reauthorize?names={quote(' '.join(names))}")
    assert_few(statements)
    assert names[-1] in page


def test_a_running_reauthorization_reads_in_few_statements(
    harness: Harness, names: list[str]
) -> None:
    harness.services.reauthorization.begin(names)
    for name in names[1:3]:
        harness.services.reauthorization.skip(name)
    statements, page = visit(harness.services, "/reauthorize")
    assert_few(statements)
    assert names[-1] in page


def test_list_reads_in_few_statements(
    harness: Harness, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(harness.services.clock)
    terminal.settings = harness.services.settings
    with (
        counted() as statements,
        Services.open(terminal.settings, terminal.clock) as terminal.services,
        click.Context(list_connections, obj=terminal) as context,
    ):
        context.invoke(list_connections)
    assert_few(statements)
    assert len(capsys.readouterr().out.splitlines()) == len(names)


def test_settled_generations_are_not_read(harness: Harness) -> None:
    """Each connection was re-authorized, and its first generation failed a check: only those whose
    current grant needs attention are read."""
    names = add_connections(harness, 200)
    unsettled = {each.connection.name for each in harness.services.store.overviews.unsettled()}
    assert unsettled == {*names[:4], *names[100:104]}
