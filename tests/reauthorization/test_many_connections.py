"""Many connections and many past re-authorizations need no more statements than few."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event
from support.records import NOW, make_client, make_connection

from wizard.model import Account, Grant, GrantState, Identifier
from wizard.reauthorization.service import ReauthorizationService
from wizard.services import Services
from wizard.settings import from_environment
from wizard.store import StoreContents, StoredReauthorizationItem

UNUSED_SIMULATOR_URL = "http://127.0.0.1:8730"


def make_grant(name: str, generation: int, state: GrantState) -> Grant:
    return Grant(
        connection=name,
        generation=generation,
        client_id=make_client().client_id,
        refresh_token=f"1000.{name}.{generation}",
        scope=("ZohoCRM.org.READ",),
        location="eu",
        state=state,
        granted_at=NOW,
        account=Account(Identifier("100"), "anna@zylker.example", "Anna"),
    )


def store_reauthorized(services: Services, names: list[str], previous: GrantState) -> None:
    """Store connections that were re-authorized once; the earlier grant is `previous`."""
    services.store.transfers.import_contents(
        StoreContents(
            (make_client(),),
            tuple(replace(make_connection(name), generation=2) for name in names),
            tuple(
                make_grant(name, *each)
                for name in names
                for each in ((1, previous), (2, GrantState.VERIFIED))
            ),
        )
    )
    services.store.reauthorizations.begin(
        [StoredReauthorizationItem(name, 1, NOW) for name in names], NOW
    )


@contextmanager
def counting_statements(services: Services) -> Iterator[list[str]]:
    statements: list[str] = []
    engine = services.store.database.engine

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def statement_counts(tmp_path: Path, count: int, previous: GrantState) -> dict[str, int]:
    """The statements of each operation with that many connections."""
    environment = {
        "ZOHO_WIZARD_HOME": str(tmp_path / f"home-{count}"),
        "ZOHO_WIZARD_SIMULATOR_URL": UNUSED_SIMULATOR_URL,
    }
    names = [f"crm-{number}" for number in range(count)]
    with Services.open(from_environment(environment), lambda: NOW) as services:
        store_reauthorized(services, names, previous)
        counts = {}
        for operation in (*READS, *((revoke_replaced,) if previous is GrantState.REVOKED else ())):
            with counting_statements(services) as statements:
                operation(services.reauthorization, names)
            counts[operation.__name__] = len(statements)
    return counts


def plan(reauthorization: ReauthorizationService, names: list[str]) -> None:
    assert len(reauthorization.plan(names).names) == len(names)


def current_and_next(reauthorization: ReauthorizationService, names: list[str]) -> None:
    current = reauthorization.current_and_next()
    assert current is not None
    assert len(current[0].items) == len(names)


def latest_items(reauthorization: ReauthorizationService, names: list[str]) -> None:
    assert len(reauthorization.latest_items(names)) == len(names)


def unsettled(reauthorization: ReauthorizationService, _names: list[str]) -> None:
    assert reauthorization.rejected_connections() == ()


def revoke_replaced(reauthorization: ReauthorizationService, _names: list[str]) -> None:
    reauthorization.revoke_replaced_tokens()


READS = (plan, current_and_next, latest_items, unsettled)


@pytest.mark.parametrize(
    "previous",
    [GrantState.REPLACED, pytest.param(GrantState.REVOKED, marks=pytest.mark.slow)],
)
def test_a_thousand_connections_take_as_many_statements_as_one(
    tmp_path: Path, previous: GrantState
) -> None:
    one = statement_counts(tmp_path, 1, previous)
    assert statement_counts(tmp_path, 10, previous) == one
    assert statement_counts(tmp_path, 1_000, previous) == one
    assert max(one.values()) < 30, one
