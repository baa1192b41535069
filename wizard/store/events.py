"""The history of each connection."""

from collections import defaultdict
from collections.abc import Collection
from functools import partial

from sqlalchemy import case, delete, func, select

from wizard.model import Event
from wizard.store import schema
from wizard.store.repository import Repository, insert_row
from wizard.store.request_log import RETENTION

_EVENTS = schema.events

TOKEN_SERVING_EVENTS = ("token-served", "token-refused", "token-reported")
"""Events that programs cause with every request for a token."""


class EventRepository(Repository):
    """The events of every connection."""

    def record(self, event: Event) -> None:
        """Add an event to a connection's history."""
        with self.database.write() as c:
            insert_row(c, _EVENTS, **vars(event))

    def record_token_serving(self, event: Event) -> None:
        """Add that a program was given an access token, or was refused one; delete the old ones."""
        old = _EVENTS.c.kind.in_(TOKEN_SERVING_EVENTS), _EVENTS.c.at < event.at - RETENTION
        with self.database.write() as c:
            c.execute(delete(_EVENTS).where(_EVENTS.c.connection == event.connection, *old))
            insert_row(c, _EVENTS, **vars(event))

    def of_connection(
        self, name: str, limit: int = 50, max_serving_events: int = 10
    ) -> list[Event]:
        """The last events of a connection, newest first; at most `max_serving_events` of them are
        `TOKEN_SERVING_EVENTS`, which would crowd out the others."""
        limits = limit, min(max_serving_events, limit)
        found = self.database.of_each(f"events {limits}", partial(self._load, limits), name) or []
        return found[:limit]

    def _load(self, limits: tuple[int, int], names: Collection[str]) -> dict[str, list[Event]]:
        is_serving = _EVENTS.c.kind.in_(TOKEN_SERVING_EVENTS)
        rank = func.row_number().over(
            partition_by=(_EVENTS.c.connection, is_serving), order_by=_EVENTS.c.id.desc()
        )
        ranked = (
            select(_EVENTS, rank.label("rank"), is_serving.label("is_serving"))
            .where(_EVENTS.c.connection.in_(names))
            .subquery()
        )
        most, most_serving = limits
        query = select(ranked).where(
            ranked.c.rank <= case((ranked.c.is_serving, most_serving), else_=most)
        )
        found = defaultdict(list)
        with self.database.read() as c:
            for row in c.execute(query.order_by(ranked.c.id.desc())):
                event = Event(row.at, row.connection, row.kind, row.details)
                found[row.connection].append(event)
        return found
