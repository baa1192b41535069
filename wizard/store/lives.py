"""The lives of grants, as the ledger tells them: when each worked, and when Zoho refused it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Function, ScalarSelect, Text, false, func, or_, select, type_coerce

from wizard.model import Account, AskKind, GrantState, RungState
from wizard.store import schema
from wizard.store.columns import Moment
from wizard.store.shelf import Shelf

_T = schema.grants.c
_ASKS = schema.asks.c
_CONNECTIONS = schema.connections.c
_RUNGS = schema.rungs.c

SILENT = ("scope", "clock")
"""Rungs that ask nobody."""

UNANSWERED = (
    *("asked", "rotation-not-stored", "network-timeout", "network-reset", "data-centre-down"),
    *("not-json", "malformed-answer", "answer-too-large"),
)
"""Outcomes of a refresh that may have been carried out without its answer being stored here."""

WITNESSES = 200
"""Grants that are looked at; a client with more of them proves nothing more."""


@dataclass(frozen=True)
class Life:
    """One grant's life, without its tokens."""

    connection: str
    generation: int
    current: bool
    """It is what its connection uses, or is going to."""
    client_id: str
    location: str
    account: Account | None
    state: GrantState
    granted_at: datetime
    refreshed_at: datetime | None = None
    """When it last gave an access token; None: it never did."""
    refused_at: datetime | None = None
    """When Zoho first refused it for good."""
    answered_at: datetime | None = None
    """When an access token of it was last taken, as its receipt tells."""
    rotated_at: datetime | None = None
    """When the server last replaced its refresh token."""
    unanswered_at: datetime | None = None
    """When it was last refreshed without an answer that was stored."""

    @property
    def worked_at(self) -> datetime:
        """The last moment at which it is known to have lived: its consent at the least."""
        signs = (self.granted_at, self.refreshed_at, self.answered_at)
        return max(each for each in signs if each)

    @property
    def unknown_since(self) -> datetime | None:
        """When the refresh was sent whose outcome is unknown; None where the stored refresh token
        has worked, or was issued, since then."""
        sent, known = self.unanswered_at, (self.refreshed_at, self.rotated_at)
        return sent if sent and all(sent > each for each in known if each) else None


class Lives(Shelf):
    """What the grants of one client, and of one account, have lived through."""

    def lives(self, client_id: str, zuid: str) -> tuple[Life, ...]:
        """The grants of a client or of an account (empty: not known), newest first."""
        owner = func.json_extract(type_coerce(_T.account, Text), "$.zuid")
        of_these = or_(_T.client_id == client_id, owner == zuid if zuid else false())
        wanted = (
            select(
                _T.connection,
                _T.generation,
                (_T.generation >= _CONNECTIONS.generation).label("current"),
                *(_T.client_id, _T.location, _T.account, _T.state, _T.granted_at),
                _moment(func.max, "ok").label("refreshed_at"),
                _moment(func.min, "invalid-code").label("refused_at"),
                _answered().label("answered_at"),
                _T.rotated_at,
                _moment(func.max, *UNANSWERED).label("unanswered_at"),
            )
            .join_from(schema.grants, schema.connections, _CONNECTIONS.name == _T.connection)
            .where(of_these)
            .order_by(_T.granted_at.desc())
            .limit(WITNESSES)
        )
        with self.database.read() as c:
            return tuple(Life(**row._mapping) for row in c.execute(wanted))


def _moment(pick: Callable[..., Function[Any]], *outcomes: str) -> ScalarSelect[datetime]:
    """The first or last refresh of a grant that had one of these outcomes."""
    return (
        select(pick(_ASKS.at, type_=Moment))
        .where(
            _ASKS.connection == _T.connection,
            _ASKS.generation == _T.generation,
            _ASKS.at >= _T.granted_at,  # not of a removed connection of the same name
            _ASKS.kind == AskKind.REFRESH,
            _ASKS.outcome.in_(outcomes),
        )
        .correlate(schema.grants)
        .scalar_subquery()
    )


def _answered() -> ScalarSelect[datetime]:
    """The last rung of a grant that passed, its access token having been taken."""
    return (
        select(func.max(_RUNGS.at, type_=Moment))
        .where(
            _RUNGS.connection == _T.connection,
            _RUNGS.generation == _T.generation,
            _RUNGS.at >= _T.granted_at,
            _RUNGS.state == RungState.PASSED,
            _RUNGS.name.not_in(SILENT),
        )
        .correlate(schema.grants)
        .scalar_subquery()
    )
