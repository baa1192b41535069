"""Rejected tokens: each connection's last rejected access token, and rejected refresh tokens."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from wizard.store import schema
from wizard.store.repository import Repository

_T = schema.rejections
_REJECTED_TOKENS = schema.rejected_refresh_tokens


@dataclass(frozen=True)
class Rejection:
    """The last rejected access token of a connection, and its last forced refresh."""

    connection: str
    generation: int
    """The grant of the access token."""
    fingerprint: str
    """Of the last rejected access token; empty if there was none."""
    pending: bool
    """No new access token has been issued since."""
    forced_at: datetime | None
    """When an access token was last replaced before its time."""


class RejectionRepository(Repository):
    """One row per connection, written under the connection's lock."""

    def get(self, connection: str) -> Rejection | None:
        """The rejection of `connection`."""
        with self.database.read() as c:
            row = c.execute(select(_T).where(_T.c.connection == connection)).first()
        return Rejection(**row._mapping) if row else None

    def reject_access_token(self, connection: str, generation: int, fingerprint: str) -> None:
        """Record that an access token of `connection` was rejected."""
        self._upsert(connection, generation=generation, fingerprint=fingerprint, pending=True)

    def note_forced(
        self, connection: str, generation: int, at: datetime, *, pending: bool = False
    ) -> None:
        """Record that an access token of `connection` was replaced early; `pending`: the server
        issued the rejected one again."""
        self._upsert(connection, generation=generation, pending=pending, forced_at=at)

    def add_refresh_token(self, fingerprint: str) -> None:
        """Record that Zoho rejected a refresh token, by its fingerprint."""
        with self.database.write() as c:
            c.execute(
                insert(_REJECTED_TOKENS).values(fingerprint=fingerprint).on_conflict_do_nothing()
            )

    def is_refresh_token_rejected(self, fingerprint: str) -> bool:
        """Whether Zoho rejected that refresh token."""
        with self.database.read() as c:
            query = select(_REJECTED_TOKENS).where(_REJECTED_TOKENS.c.fingerprint == fingerprint)
            return c.execute(query).first() is not None

    def _upsert(self, connection: str, **values: Any) -> None:
        first = insert(_T).values(connection=connection, **{"fingerprint": "", **values})
        either = first.on_conflict_do_update(index_elements=[_T.c.connection], set_=values)
        with self.database.write() as c:
            c.execute(either)
