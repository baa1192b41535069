"""The history of each connection: what happened to it, and when."""

from sqlalchemy import delete, select

from wizard.model import Event
from wizard.store import schema
from wizard.store.repository import Repository, insert_row
from wizard.store.request_log import RETENTION

_EVENTS = schema.events

TOKEN_SERVING_EVENTS = ("token-served", "token-refused", "token-reported")
"""Lines of the history that programs write at every request."""


class EventRepository(Repository):
    """The events of every connection."""

    def record(self, event: Event) -> None:
        """Add a line to a connection's history."""
        with self.database.write() as c:
            insert_row(c, _EVENTS, **vars(event))

    def record_token_serving(self, event: Event) -> None:
        """Add to the history that a program was given an access token, or was refused one.

        These come by the thousand: the old ones go.
        """
        old = _EVENTS.c.kind.in_(TOKEN_SERVING_EVENTS), _EVENTS.c.at < event.at - RETENTION
        with self.database.write() as c:
            c.execute(delete(_EVENTS).where(_EVENTS.c.connection == event.connection, *old))
            insert_row(c, _EVENTS, **vars(event))

    def of_connection(
        self, name: str, limit: int = 50, max_serving_events: int = 10
    ) -> list[Event]:
        """The last lines of a connection's history, newest first; at most `handings` of them tell
        of programs that were given a token, so that these do not crowd out what matters."""
        mine = select(_EVENTS).where(_EVENTS.c.connection == name).order_by(_EVENTS.c.id.desc())
        given = _EVENTS.c.kind.in_(TOKEN_SERVING_EVENTS)
        with self.database.read() as c:
            rows = [*c.execute(mine.where(~given).limit(limit))]
            rows += c.execute(mine.where(given).limit(min(max_serving_events, limit)))
        rows.sort(key=lambda row: row.id, reverse=True)
        return [Event(row.at, row.connection, row.kind, row.details) for row in rows[:limit]]
