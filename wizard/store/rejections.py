"""Rejected access tokens: the last one of each connection, and when one was replaced by force."""

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
    """What is known about the access tokens of one connection that were rejected."""

    connection: str
    generation: int
    """The grant whose access token it was."""
    fingerprint: str
    """Of the last access token that was rejected; empty if none was."""
    pending: bool
    """No access token was issued after it."""
    forced_at: datetime | None
    """When an access token was last replaced before its time."""


class RejectionRepository(Repository):
    """One row for a connection; written under the connection's lock."""

    def get(self, connection: str) -> Rejection | None:
        """What is known about the rejected access tokens of `connection`."""
        with self.database.read() as c:
            row = c.execute(select(_T).where(_T.c.connection == connection)).first()
        return Rejection(**row._mapping) if row else None

    def reject_access_token(self, connection: str, generation: int, fingerprint: str) -> None:
        """Remember that an access token of `connection` was rejected."""
        self._upsert(connection, generation=generation, fingerprint=fingerprint, pending=True)

    def note_forced(
        self, connection: str, generation: int, at: datetime, *, pending: bool = False
    ) -> None:
        """Remember that an access token of `connection` was replaced before its time; `pending`:
        by the rejected one itself, which the server issued again."""
        self._upsert(connection, generation=generation, pending=pending, forced_at=at)

    def add_refresh_token(self, fingerprint: str) -> None:
        """Remember a refresh token that Zoho refused for good, by its fingerprint."""
        with self.database.write() as c:
            c.execute(
                insert(_REJECTED_TOKENS).values(fingerprint=fingerprint).on_conflict_do_nothing()
            )

    def is_refresh_token_rejected(self, fingerprint: str) -> bool:
        """Whether Zoho refused that refresh token for good."""
        with self.database.read() as c:
            query = select(_REJECTED_TOKENS).where(_REJECTED_TOKENS.c.fingerprint == fingerprint)
            return c.execute(query).first() is not None

    def _upsert(self, connection: str, **values: Any) -> None:
        first = insert(_T).values(connection=connection, **{"fingerprint": "", **values})
        either = first.on_conflict_do_update(index_elements=[_T.c.connection], set_=values)
        with self.database.write() as c:
            c.execute(either)
