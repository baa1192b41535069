"""The lives of grants, as the ledger tells them: when each worked, and when Zoho refused it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Function,
    Row,
    ScalarSelect,
    Select,
    Text,
    case,
    false,
    func,
    or_,
    select,
    type_coerce,
)

from wizard.model import Account, Grant, GrantState, RequestKind, StepState, TokenRequest
from wizard.model.failure_codes import codes_with
from wizard.store import schema
from wizard.store.columns import UtcDateTime
from wizard.store.grants import RECENT_GRANTS
from wizard.store.repository import Repository

_T = schema.grants.c
_REQUESTS = schema.token_requests.c
_CONNECTIONS = schema.connections.c
_STEPS = schema.verification_steps.c

OFFLINE_STEPS = ("scope", "clock")
"""Rungs that ask nobody."""

UNANSWERED = ("pending", *codes_with("outcome_unknown"))
"""Outcomes of a refresh that may have been carried out without its answer being stored here."""

MAX_GRANTS = 200
"""Grants that are looked at; a client with more of them proves nothing more."""


@dataclass(frozen=True)
class GrantRecord:
    """One grant's life, without its tokens."""

    connection: str
    generation: int
    is_current: bool
    """It is what its connection uses, or is going to."""
    client_id: str
    location: str
    account: Account | None
    state: GrantState
    granted_at: datetime
    last_refreshed_at: datetime | None = None
    """When it last gave an access token; None: it never did."""
    rejected_at: datetime | None = None
    """When Zoho first refused it for good."""
    last_accepted_at: datetime | None = None
    """When an access token of it was last taken, as its receipt tells."""
    rotated_at: datetime | None = None
    """When the server last replaced its refresh token."""
    unanswered_at: datetime | None = None
    """When it was last refreshed without an answer that was stored."""

    @property
    def last_worked_at(self) -> datetime:
        """The last moment at which it is known to have lived: its consent at the least."""
        signs = (self.granted_at, self.last_refreshed_at, self.last_accepted_at)
        return max(each for each in signs if each)

    @property
    def unknown_since(self) -> datetime | None:
        """When the refresh was sent whose outcome is unknown; None where the stored refresh token
        has worked, or was issued, since then."""
        sent, known = self.unanswered_at, (self.last_refreshed_at, self.rotated_at)
        return sent if sent and all(sent > each for each in known if each) else None


class GrantHistoryRepository(Repository):
    """What the grants of one client, and of one account, have lived through."""

    def records(self, client_id: str, zuid: str) -> tuple[GrantRecord, ...]:
        """The grants of a client or of an account (empty: not known), newest first."""
        if not self.database.is_snapshot:
            of_account = _zuid() == zuid if zuid else false()
            return tuple(self._select(_T.client_id == client_id, of_account))
        records = self.database.once("grant records", lambda: self._load({(client_id, zuid)}))
        found = [
            each
            for each in records
            if each.client_id == client_id or (zuid and each.account and each.account.zuid == zuid)
        ]
        return tuple(found[:MAX_GRANTS])

    def _load(self, owners: set[tuple[str, str]]) -> list[GrantRecord]:
        """Those of the clients and accounts of all connections of a snapshot."""
        for recent in self.database.known(RECENT_GRANTS).values():
            for each in filter(None, recent or ()):
                owners.add((each.client_id, each.account.zuid if each.account else ""))
        client_ids, zuids = ({*part} - {""} for part in zip(*owners, strict=True))
        return self._select(_T.client_id.in_(client_ids), _zuid().in_(zuids))

    def _select(
        self, of_clients: ColumnElement[bool], of_accounts: ColumnElement[bool]
    ) -> list[GrantRecord]:
        """The newest of each of these clients and accounts, newest first."""

        def rank(owner: ColumnElement[Any]) -> ColumnElement[int]:
            return func.row_number().over(partition_by=owner, order_by=_T.granted_at.desc())

        ranked = (
            select(
                _T.connection,
                _T.generation,
                rank(_T.client_id).label("of_client"),
                rank(_zuid()).label("of_account"),
                of_clients.label("is_of_client"),
            )
            .where(or_(of_clients, of_accounts))
            .subquery()
        )
        is_new = case(
            (ranked.c.is_of_client, ranked.c.of_client <= MAX_GRANTS),
            else_=ranked.c.of_account <= MAX_GRANTS,
        )
        wanted = (
            select(
                _T.connection,
                _T.generation,
                (_T.generation >= _CONNECTIONS.generation).label("is_current"),
                *(_T.client_id, _T.location, _T.account, _T.state, _T.granted_at),
                _refresh_time(func.max, "ok").label("last_refreshed_at"),
                _refresh_time(func.min, "invalid-code").label("rejected_at"),
                _last_accepted().label("last_accepted_at"),
                _T.rotated_at,
                _refresh_time(func.max, *UNANSWERED).label("unanswered_at"),
            )
            .join_from(schema.grants, schema.connections, _CONNECTIONS.name == _T.connection)
            .join(
                ranked,
                (ranked.c.connection == _T.connection) & (ranked.c.generation == _T.generation),
            )
            .where(is_new)
            .order_by(_T.granted_at.desc())
        )
        with self.database.read() as c:
            return [GrantRecord(**row._mapping) for row in c.execute(wanted)]

    def unanswered_refresh(self, grant: Grant) -> TokenRequest | None:
        """The refresh of `grant` that was sent after its refresh token was last replaced, and whose
        answer was not stored. Always None where the server has never replaced one."""
        if grant.rotated_at is None:
            return None
        at = grant.connection, grant.generation
        this = (_T.connection == at[0]) & (_T.generation == at[1])
        with self.database.read() as c:
            return unanswered_requests(c.execute(last_refreshes_since_rotation(this))).get(at)


def _zuid() -> Function[Any]:
    """The account's ID of a grant."""
    return func.json_extract(type_coerce(_T.account, Text), "$.zuid")


def last_refreshes_since_rotation(condition: ColumnElement[bool]) -> Select[Any]:
    """The refreshes, oldest first, of the grants that meet `condition`, that were sent after their
    refresh token was last replaced; a grant whose refresh token never was has none here."""
    columns = [each for each in schema.token_requests.columns if each.name != "id"]
    return (
        select(*columns)
        .join(
            schema.grants,
            (_REQUESTS.connection == _T.connection) & (_REQUESTS.generation == _T.generation),
        )
        .where(
            condition,
            _REQUESTS.at >= _T.rotated_at,
            _REQUESTS.kind == RequestKind.REFRESH,
            _REQUESTS.outcome.in_((*UNANSWERED, "ok")),
        )
        .order_by(_REQUESTS.at, _REQUESTS.id)
    )


def unanswered_requests(rows: Iterable[Row[Any]]) -> dict[tuple[str, int], TokenRequest]:
    """Of each grant, by connection and generation, the last of these refreshes if no answer to it
    was stored."""
    last = {(row.connection, row.generation): row for row in rows}
    return {key: TokenRequest(**row._mapping) for key, row in last.items() if row.outcome != "ok"}


def _refresh_time(
    aggregate: Callable[..., Function[Any]], *outcomes: str
) -> ScalarSelect[datetime]:
    """The first or last refresh of a grant that had one of these outcomes."""
    return (
        select(aggregate(_REQUESTS.at, type_=UtcDateTime))
        .where(
            _REQUESTS.connection == _T.connection,
            _REQUESTS.generation == _T.generation,
            _REQUESTS.at >= _T.granted_at,  # not of a removed connection of the same name
            _REQUESTS.kind == RequestKind.REFRESH,
            _REQUESTS.outcome.in_(outcomes),
        )
        .correlate(schema.grants)
        .scalar_subquery()
    )


def _last_accepted() -> ScalarSelect[datetime]:
    """The last rung of a grant that passed, its access token having been taken."""
    return (
        select(func.max(_STEPS.at, type_=UtcDateTime))
        .where(
            _STEPS.connection == _T.connection,
            _STEPS.generation == _T.generation,
            _STEPS.at >= _T.granted_at,
            _STEPS.state == StepState.PASSED,
            _STEPS.name.not_in(OFFLINE_STEPS),
        )
        .correlate(schema.grants)
        .scalar_subquery()
    )
