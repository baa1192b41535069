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

    @property
    def worked_at(self) -> datetime:
        """The last moment at which it is known to have lived: its consent at the least."""
        signs = (self.granted_at, self.refreshed_at, self.answered_at)
        return max(each for each in signs if each)


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
                _moment("ok", func.max).label("refreshed_at"),
                _moment("invalid-code", func.min).label("refused_at"),
                _answered().label("answered_at"),
            )
            .join_from(schema.grants, schema.connections, _CONNECTIONS.name == _T.connection)
            .where(of_these)
            .order_by(_T.granted_at.desc())
            .limit(WITNESSES)
        )
        with self.database.read() as c:
            return tuple(Life(**row._mapping) for row in c.execute(wanted))


def _moment(outcome: str, pick: Callable[..., Function[Any]]) -> ScalarSelect[datetime]:
    """The first or last refresh of a grant that had this outcome."""
    return (
        select(pick(_ASKS.at, type_=Moment))
        .where(
            _ASKS.connection == _T.connection,
            _ASKS.generation == _T.generation,
            _ASKS.at >= _T.granted_at,  # not of a removed connection of the same name
            _ASKS.kind == AskKind.REFRESH,
            _ASKS.outcome == outcome,
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
