"""Authorization attempts: each change of state is one durable commit."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, update

from wizard.errors import fail
from wizard.model import Attempt, AttemptState, Failure
from wizard.model.states import OPEN_ATTEMPT_STATES
from wizard.store import schema
from wizard.store.repository import Repository, insert_row, update_one
from wizard.vault import Vault, labels

_T = schema.attempts
_SEALED_COLUMNS = {"oauth_state": labels.OAUTH_STATE, "code_verifier": labels.CODE_VERIFIER}


NEWEST_ATTEMPTS = "newest attempts"


class AttemptRepository(Repository):
    """The attempts to authorize a connection, with their results."""

    def add(self, attempt: Attempt) -> None:
        """Store a new attempt, its ``state`` and verifier sealed."""
        values = dict(vars(attempt))
        for name, label in _SEALED_COLUMNS.items():
            values[name] = self._vault.seal(values[name], labels.ATTEMPT, attempt.id, label)
        values["oauth_state_hash"] = self._vault.fingerprint(attempt.oauth_state)
        with self.database.write() as c:
            insert_row(c, _T, **values)

    def get(self, attempt_id: str) -> Attempt:
        """Raises ``unknown-attempt``."""
        found = self._attempts(_T.c.id == attempt_id)
        if not found:
            raise fail("unknown-attempt", attempt=attempt_id)
        return found[0]

    def find_by_state(self, oauth_state: str) -> Attempt | None:
        """The attempt that ``state`` belongs to, in any state; None if it isn't ours.

        Looked up by its hash, so timing reveals nothing about other values of ``state``.
        """
        found = self._attempts(_T.c.oauth_state_hash == self._vault.fingerprint(oauth_state))
        return found[0] if found else None

    def newest(self, name: str) -> Attempt | None:
        """The newest attempt for connection `name`, in any state."""
        return self.database.of_each(NEWEST_ATTEMPTS, self._load_newest, name)

    def _load_newest(self, names: Collection[str]) -> dict[str, Attempt]:
        with self.database.read() as c:
            return select_newest(c, self._vault, _T.c.connection.in_(names))

    def of_connection(self, name: str) -> tuple[Attempt, ...]:
        """The attempts for connection ``name``, newest first."""
        return self._attempts(_T.c.connection == name)

    def open(self) -> tuple[Attempt, ...]:
        """The open attempts of all connections, newest first."""
        return self._attempts(_T.c.state.in_(OPEN_ATTEMPT_STATES))

    def advance(
        self,
        attempt_id: str,
        expected: AttemptState,
        to: AttemptState,
        *,
        generation: int | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Move an attempt from ``expected`` to ``to``, durably.

        Raises `Conflict` if it is no longer at ``expected``: of several callers one succeeds.
        """
        with self.database.write() as c:
            advance(c, attempt_id, expected, to, generation, failure)

    def count_failed_try(self, attempt_id: str) -> int:
        """Count a callback that didn't match the attempt; return how many there have been."""
        with self.database.write() as c:
            one = update(_T).where(_T.c.id == attempt_id).values(failed_tries=_T.c.failed_tries + 1)
            update_one(c, one, "the authorization")
            tries = c.scalar(select(_T.c.failed_tries).where(_T.c.id == attempt_id))
        return int(tries or 0)

    def _attempts(self, condition: ColumnElement[bool]) -> tuple[Attempt, ...]:
        query = select(_T).where(condition).order_by(_T.c.created_at.desc(), _T.c.id)
        with self.database.read() as c:
            return tuple(attempt_from_row(self._vault, row) for row in c.execute(query))


def select_newest(
    c: Connection, vault: Vault, condition: ColumnElement[bool]
) -> dict[str, Attempt]:
    """The newest attempt of each connection that meets `condition`, by connection."""
    later = schema.attempts.alias().c
    newest_time = (
        select(func.max(later.created_at))
        .where(later.connection == _T.c.connection)
        .scalar_subquery()
    )
    query = select(_T).where(condition, _T.c.created_at == newest_time)
    return {row.connection: attempt_from_row(vault, row) for row in c.execute(query)}


def attempt_from_row(vault: Vault, row: Row[Any]) -> Attempt:
    """The attempt in ``row``, its ``state`` and verifier unsealed."""
    values = {name: value for name, value in row._mapping.items() if name != "oauth_state_hash"}
    for name, label in _SEALED_COLUMNS.items():
        values[name] = vault.unseal(values[name], labels.ATTEMPT, row.id, label)
    return Attempt(**values)


def advance(
    c: Connection,
    attempt_id: str,
    expected: AttemptState,
    to: AttemptState,
    generation: int | None = None,
    failure: Failure | None = None,
) -> None:
    """Move an attempt within a larger transaction; raises `Conflict`."""
    here = update(_T).where(_T.c.id == attempt_id, _T.c.state == expected)
    update_one(
        c, here.values(state=to, generation=generation, failure=failure), "the authorization"
    )
