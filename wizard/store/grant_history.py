"""The history of grants by the request log: when each worked, and when Zoho rejected it."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Function,
    Row,
    Select,
    Subquery,
    Text,
    and_,
    case,
    func,
    or_,
    select,
    type_coerce,
    union,
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
"""Steps that send no request."""

UNANSWERED = ("pending", *codes_with("outcome_unknown"))
"""Outcomes of a refresh that may have been carried out without its answer being stored here."""

MAX_GRANTS = 200
"""Grants to consider; more of one client or account add no evidence."""


@dataclass(frozen=True)
class GrantRecord:
    """The history of one grant, without its tokens."""

    connection: str
    generation: int
    is_current: bool
    """It is the current grant of its connection, or newer."""
    client_id: str
    location: str
    account: Account | None
    state: GrantState
    granted_at: datetime
    last_refreshed_at: datetime | None = None
    """When a refresh last succeeded; None: never."""
    rejected_at: datetime | None = None
    """When Zoho first rejected the refresh token."""
    last_accepted_at: datetime | None = None
    """When an access token of it was last accepted, by its report."""
    rotated_at: datetime | None = None
    """When the server last replaced the refresh token."""
    unanswered_at: datetime | None = None
    """When the last refresh without a stored answer was sent."""

    @property
    def last_worked_at(self) -> datetime:
        """The last time it is known to have worked, which is at least that of its consent."""
        signs = (self.granted_at, self.last_refreshed_at, self.last_accepted_at)
        return max(each for each in signs if each)

    @property
    def unknown_since(self) -> datetime | None:
        """When the refresh was sent whose outcome is unknown; None if a refresh has succeeded, or a
        refresh token was issued, since then."""
        sent, known = self.unanswered_at, (self.last_refreshed_at, self.rotated_at)
        return sent if sent and all(sent > each for each in known if each) else None


class GrantHistoryRepository(Repository):
    """The histories of the grants of one client, and of one account."""

    def records(self, client_id: str, zuid: str) -> tuple[GrantRecord, ...]:
        """The grants of a client or of an account (empty: not known), newest first."""
        if not self.database.is_snapshot:
            return self._select({(client_id, zuid)})
        owners = self._owners() | {(client_id, zuid)}
        records = self.database.once("grant records", partial(self._select, owners))
        found = [
            each
            for each in records
            if each.client_id == client_id or (zuid and each.account and each.account.zuid == zuid)
        ]
        return tuple(found[:MAX_GRANTS])

    def _owners(self) -> set[tuple[str, str]]:
        """The clients and accounts of the recent grants that a snapshot has read."""
        recent = [each for each in self.database.known(RECENT_GRANTS).values() if each]
        return {
            (each.client_id, each.account.zuid if each.account else "")
            for grants in recent
            for each in filter(None, grants)
        }

    def _select(self, owners: Collection[tuple[str, str]]) -> tuple[GrantRecord, ...]:
        """The newest grants of each of these clients and accounts, newest first."""
        client_ids, zuids = ({*part} - {""} for part in zip(*owners, strict=True))
        of_clients, of_accounts = _T.client_id.in_(client_ids), _zuid().in_(zuids)
        grants = (
            select(_T.connection, _T.generation)
            .where(or_(of_clients, of_accounts))
            .order_by(_T.granted_at.desc())
            .limit(MAX_GRANTS)
            .cte("chosen")
            if len(owners) == 1
            else union(
                _newest_of_each(_T.client_id, of_clients), _newest_of_each(_zuid(), of_accounts)
            ).cte("chosen")
        )
        refreshes, accepted = _refreshes_of(grants), _acceptances_of(grants)
        wanted = (
            select(
                _T.connection,
                _T.generation,
                (_T.generation >= _CONNECTIONS.generation).label("is_current"),
                *(_T.client_id, _T.location, _T.account, _T.state, _T.granted_at),
                refreshes.c.last_refreshed_at,
                refreshes.c.rejected_at,
                accepted.c.last_accepted_at,
                _T.rotated_at,
                refreshes.c.unanswered_at,
            )
            .join_from(grants, schema.grants, _is_of(_T, grants.c))
            .join(schema.connections, _CONNECTIONS.name == _T.connection)
            .join(refreshes, _is_of(refreshes.c, grants.c), isouter=True)
            .join(accepted, _is_of(accepted.c, grants.c), isouter=True)
            .order_by(_T.granted_at.desc())
        )
        with self.database.read() as c:
            return tuple(GrantRecord(**row._mapping) for row in c.execute(wanted))

    def unanswered_refresh(self, grant: Grant) -> TokenRequest | None:
        """The refresh of `grant` that was sent after its refresh token was last replaced and has no
        stored answer. Always None if the server has never replaced one."""
        if grant.rotated_at is None:
            return None
        at = grant.connection, grant.generation
        this = (_T.connection == at[0]) & (_T.generation == at[1])
        with self.database.read() as c:
            return unanswered_requests(c.execute(last_refreshes_since_rotation(this))).get(at)


def _zuid() -> Function[Any]:
    """The account ID of a grant."""
    return func.json_extract(type_coerce(_T.account, Text), "$.zuid")


def _newest_of_each(
    owner: ColumnElement[Any], condition: ColumnElement[bool]
) -> Select[tuple[str, int]]:
    """The connection and generation of the newest grants of each owner."""
    rank = func.row_number().over(partition_by=owner, order_by=_T.granted_at.desc())
    ranked = select(_T.connection, _T.generation, rank.label("rank")).where(condition).subquery()
    query = select(ranked.c.connection, ranked.c.generation)
    return query.where(ranked.c.rank <= MAX_GRANTS)


def last_refreshes_since_rotation(condition: ColumnElement[bool]) -> Select[Any]:
    """The refreshes since the last replacement of the refresh token, oldest first, of the grants
    that meet `condition`; none for a grant whose refresh token was never replaced."""
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
    """By connection and generation: the last of these refreshes, if it has no stored answer."""
    last = {(row.connection, row.generation): row for row in rows}
    return {key: TokenRequest(**row._mapping) for key, row in last.items() if row.outcome != "ok"}


def _is_of(columns: Any, others: Any) -> ColumnElement[bool]:
    """The join condition of two tables with rows about grants."""
    return and_(columns.connection == others.connection, columns.generation == others.generation)


def _refreshes_of(grants: CTE) -> Subquery:
    """When each grant last worked, was first rejected, and last got no answer. Requests before its
    consent belong to a removed connection of the same name."""

    def time(aggregate: Callable[..., Function[Any]], *outcomes: str) -> Function[Any]:
        return aggregate(case((_REQUESTS.outcome.in_(outcomes), _REQUESTS.at)), type_=UtcDateTime)

    return (
        select(
            grants.c.connection,
            grants.c.generation,
            time(func.max, "ok").label("last_refreshed_at"),
            time(func.min, "invalid-code").label("rejected_at"),
            time(func.max, *UNANSWERED).label("unanswered_at"),
        )
        .join_from(grants, schema.grants, _is_of(_T, grants.c))
        .join(schema.token_requests, _is_of(_REQUESTS, grants.c) & (_REQUESTS.at >= _T.granted_at))
        .where(_REQUESTS.kind == RequestKind.REFRESH)
        .group_by(grants.c.connection, grants.c.generation)
        .subquery()
    )


def _acceptances_of(grants: CTE) -> Subquery:
    """When an access token of each of the grants was last accepted, by its report."""
    return (
        select(
            grants.c.connection,
            grants.c.generation,
            func.max(_STEPS.at, type_=UtcDateTime).label("last_accepted_at"),
        )
        .join_from(grants, schema.grants, _is_of(_T, grants.c))
        .join(schema.verification_steps, _is_of(_STEPS, grants.c) & (_STEPS.at >= _T.granted_at))
        .where(_STEPS.state == StepState.PASSED, _STEPS.name.not_in(OFFLINE_STEPS))
        .group_by(grants.c.connection, grants.c.generation)
        .subquery()
    )
