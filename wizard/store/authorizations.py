"""Authorization attempts, and re-authorizations of many connections, as stored.

Each change of an attempt's state is one durable commit. The progress of a re-authorization's item
follows from its attempts, grants and destinations.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from wizard.errors import fail
from wizard.model import Attempt, AttemptState, Failure
from wizard.model.states import OPEN_ATTEMPT_STATES
from wizard.store import schema
from wizard.store.database import Repository, insert_row, update_one
from wizard.vault import Vault, labels

_ATTEMPTS = schema.attempts
_LATER = _ATTEMPTS.alias().c
_NEWEST_FIRST = select(_ATTEMPTS).order_by(_ATTEMPTS.c.created_at.desc(), _ATTEMPTS.c.id)
_NEWEST = select(_ATTEMPTS).where(
    _ATTEMPTS.c.created_at
    == select(func.max(_LATER.created_at))
    .where(_LATER.connection == _ATTEMPTS.c.connection)
    .scalar_subquery()
)
"""The newest attempt of each connection."""
_REAUTHORIZATIONS = schema.reauthorizations
_ITEMS = schema.reauthorization_items
_SEALED_COLUMNS = {"oauth_state": labels.OAUTH_STATE, "code_verifier": labels.CODE_VERIFIER}

NEWEST_ATTEMPTS = "newest attempts"


class AttemptRepository(Repository):
    """The attempts to authorize a connection, with their results."""

    def add(self, attempt: Attempt) -> None:
        """Store a new attempt, its ``state`` and verifier sealed."""
        with self.database.write() as c:
            values = {**vars(attempt), **_sealed_columns(self._vault, attempt)}
            state_hash = self._vault.fingerprint(attempt.oauth_state)
            insert_row(c, _ATTEMPTS, **values, oauth_state_hash=state_hash)

    def get(self, attempt_id: str) -> Attempt:
        """Raises ``unknown-attempt``."""
        found = self._attempts(_ATTEMPTS.c.id == attempt_id)
        if not found:
            raise fail("unknown-attempt", attempt=attempt_id)
        return found[0]

    def find_by_state(self, oauth_state: str) -> Attempt | None:
        """The attempt that ``state`` belongs to, in any state; None if it isn't ours.

        Looked up by its hash, so timing reveals nothing about other values of ``state``.
        """
        with self.database.read() as c:  # one, so that the key can't be rotated in between
            self._vault.follow(c.scalars(select(schema.installation.c.key_check)).one())
            state_hash = self._vault.fingerprint(oauth_state)
            row = c.execute(select(_ATTEMPTS).where(_ATTEMPTS.c.oauth_state_hash == state_hash))
            found = row.first()
        return attempt_from_row(self._vault, found) if found else None

    def newest(self, name: str) -> Attempt | None:
        """The newest attempt for connection `name`, in any state."""
        return self.database.of_each(NEWEST_ATTEMPTS, self._load_newest, name)

    def _load_newest(self, names: Collection[str]) -> dict[str, Attempt]:
        with self.database.read() as c:
            return select_newest(c, self._vault, _ATTEMPTS.c.connection.in_(names))

    def open(self) -> tuple[Attempt, ...]:
        """The open attempts of all connections, newest first."""
        return self._attempts(_ATTEMPTS.c.state.in_(OPEN_ATTEMPT_STATES))

    def undecided(self, name: str, generation: int) -> tuple[Attempt, ...]:
        """The attempts to add scopes in place to grant `generation` of which it is unknown whether
        Zoho has added them, newest first."""
        return self._attempts(
            and_(
                _ATTEMPTS.c.connection == name,
                _ATTEMPTS.c.widened_generation == generation,
                _ATTEMPTS.c.state == AttemptState.OUTCOME_UNKNOWN,
            )
        )

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
            one = (
                update(_ATTEMPTS)
                .where(_ATTEMPTS.c.id == attempt_id)
                .values(failed_tries=_ATTEMPTS.c.failed_tries + 1)
            )
            update_one(c, one, "the authorization")
            tries = c.scalar(select(_ATTEMPTS.c.failed_tries).where(_ATTEMPTS.c.id == attempt_id))
        return int(tries or 0)

    def _attempts(self, condition: ColumnElement[bool]) -> tuple[Attempt, ...]:
        with self.database.read() as c:
            rows = c.execute(_NEWEST_FIRST.where(condition))
            return tuple(attempt_from_row(self._vault, row) for row in rows)


def select_newest(
    c: Connection, vault: Vault, condition: ColumnElement[bool]
) -> dict[str, Attempt]:
    """The newest attempt of each connection that meets `condition`, by connection."""
    rows = c.execute(_NEWEST.where(condition))
    return {row.connection: attempt_from_row(vault, row) for row in rows}


def attempt_from_row(vault: Vault, row: Row[Any]) -> Attempt:
    """The attempt in ``row``, its ``state`` and verifier unsealed."""
    values = {name: value for name, value in row._mapping.items() if name != "oauth_state_hash"}
    for name, label in _SEALED_COLUMNS.items():
        values[name] = vault.unseal(values[name], labels.ATTEMPT, identity_of(values), label)
    return Attempt(**values)


def identity_of(attempt: Mapping[str, Any]) -> str:
    """The identity that the values of an attempt are sealed for: includes the connection, so that a
    consent can't be for a different one."""
    return f"{attempt['id']}/{attempt['connection']}"


def _sealed_columns(vault: Vault, attempt: Attempt) -> dict[str, bytes]:
    row = vars(attempt)
    return {
        name: vault.seal(row[name], labels.ATTEMPT, identity_of(row), label)
        for name, label in _SEALED_COLUMNS.items()
    }


def rename_attempts(c: Connection, vault: Vault, name: str, new_name: str) -> None:
    """Rename the connection of attempts, with their values sealed again.

    Raises ``sealed-record-damaged``.
    """
    for row in c.execute(select(_ATTEMPTS).where(_ATTEMPTS.c.connection == name)).all():
        renamed = replace(attempt_from_row(vault, row), connection=new_name)
        values = {"connection": new_name, **_sealed_columns(vault, renamed)}
        c.execute(update(_ATTEMPTS).where(_ATTEMPTS.c.id == row.id).values(values))


def advance(
    c: Connection,
    attempt_id: str,
    expected: AttemptState,
    to: AttemptState,
    generation: int | None = None,
    failure: Failure | None = None,
) -> None:
    """Move an attempt within a larger transaction; raises `Conflict`."""
    here = update(_ATTEMPTS).where(_ATTEMPTS.c.id == attempt_id, _ATTEMPTS.c.state == expected)
    update_one(
        c, here.values(state=to, generation=generation, failure=failure), "the authorization"
    )


@dataclass(frozen=True)
class StoredReauthorizationItem:
    """One connection of a re-authorization, as it was when it was added."""

    connection: str
    previous_generation: int
    """The generation that was current then; 0: none."""
    started_at: datetime
    additional_scope: tuple[str, ...] = ()
    """Scopes requested in addition to the connection's."""
    new_account_email: str = ""
    """The email address of the user who takes the connection over; empty: nobody."""
    grace_period: timedelta = timedelta(0)
    """How long a replaced refresh token is kept if it may still be in use."""
    skipped: bool = False


@dataclass(frozen=True)
class StoredReauthorization:
    """A re-authorization that has not ended."""

    id: int
    started_at: datetime
    paused: bool
    items: tuple[StoredReauthorizationItem, ...]


_ITEM_FIELDS = {each.name for each in fields(StoredReauthorizationItem)} - {"grace_period"}


class ReauthorizationRepository(Repository):
    """The current re-authorization, and the items of earlier ones. At most one is current."""

    def current(self) -> StoredReauthorization | None:
        """The current re-authorization."""
        return self.database.once("current reauthorization", self._select_current)

    def _select_current(self) -> StoredReauthorization | None:
        query = (
            select(
                _REAUTHORIZATIONS.c.id,
                _REAUTHORIZATIONS.c.started_at.label("begun_at"),
                _REAUTHORIZATIONS.c.paused,
                _ITEMS,
            )
            .join_from(
                _REAUTHORIZATIONS,
                _ITEMS,
                _ITEMS.c.reauthorization_id == _REAUTHORIZATIONS.c.id,
                isouter=True,
            )
            .where(_REAUTHORIZATIONS.c.ended_at.is_(None))
            .order_by(_ITEMS.c.connection)
        )
        with self.database.read() as c:
            rows = c.execute(query).all()
        if not rows:
            return None
        items = tuple(_item_from_row(each) for each in rows if each.connection is not None)
        return StoredReauthorization(rows[0].id, rows[0].begun_at, rows[0].paused, items)

    def begin(self, items: Collection[StoredReauthorizationItem], at: datetime) -> None:
        """Begin a re-authorization of `items` at `at`, or add them to the current one, where they
        replace items of the same connections."""
        with self.database.write() as c:
            number = c.scalar(
                select(_REAUTHORIZATIONS.c.id).where(_REAUTHORIZATIONS.c.ended_at.is_(None))
            )
            if number is None:
                begun = (
                    insert(_REAUTHORIZATIONS)
                    .values(started_at=at, paused=False)
                    .returning(_REAUTHORIZATIONS.c.id)
                )
                number = c.execute(begun).scalar_one()
            for item in items:
                _delete_item(c, number, item.connection)
                grace = round(item.grace_period.total_seconds())
                values = {key: value for key, value in vars(item).items() if key != "grace_period"}
                c.execute(
                    insert(_ITEMS).values(
                        **values, grace_period_seconds=grace, reauthorization_id=number
                    )
                )

    def pause(self, reauthorization_id: int, *, paused: bool) -> None:
        """Pause a re-authorization, or resume it. Raises `Conflict` if it has ended."""
        self._update_reauthorization(reauthorization_id, paused=paused)

    def end(self, reauthorization_id: int, at: datetime) -> None:
        """End a re-authorization; its items stay, since replaced refresh tokens may still have to
        be revoked. Raises `Conflict` if it has ended."""
        self._update_reauthorization(reauthorization_id, ended_at=at)

    def skip_item(self, reauthorization_id: int, name: str) -> None:
        """Skip connection ``name``. Raises `Conflict` if it isn't part of it."""
        here = _ITEMS.c.reauthorization_id == reauthorization_id, _ITEMS.c.connection == name
        with self.database.write() as c:
            update_one(
                c,
                update(_ITEMS).where(*here).values(skipped=True),
                f"the re-authorization of {name}",
            )

    def latest_items(
        self, names: Collection[str] | None = None
    ) -> dict[str, StoredReauthorizationItem]:
        """The newest item of each of `names`, or of every connection that was ever part of a
        re-authorization, by connection."""
        query = select(_ITEMS).order_by(_ITEMS.c.reauthorization_id)
        if names is not None:
            query = query.where(_ITEMS.c.connection.in_(names))
        with self.database.read() as c:
            return {row.connection: _item_from_row(row) for row in c.execute(query)}

    def _update_reauthorization(self, reauthorization_id: int, **values: object) -> None:
        here = _REAUTHORIZATIONS.c.id == reauthorization_id, _REAUTHORIZATIONS.c.ended_at.is_(None)
        with self.database.write() as c:
            update_one(
                c, update(_REAUTHORIZATIONS).where(*here).values(**values), "the re-authorization"
            )


def is_in_progress(c: Connection, name: str) -> bool:
    """Whether connection ``name`` is part of the current re-authorization, and not skipped."""
    query = select(_ITEMS.c.connection).join(
        _REAUTHORIZATIONS, _REAUTHORIZATIONS.c.id == _ITEMS.c.reauthorization_id
    )
    mine = (
        _REAUTHORIZATIONS.c.ended_at.is_(None),
        _ITEMS.c.connection == name,
        _ITEMS.c.skipped.is_(False),
    )
    return c.scalar(query.where(*mine)) is not None


def _delete_item(c: Connection, reauthorization_id: int, name: str) -> None:
    c.execute(
        delete(_ITEMS).where(
            _ITEMS.c.reauthorization_id == reauthorization_id, _ITEMS.c.connection == name
        )
    )


def _item_from_row(row: Row[Any]) -> StoredReauthorizationItem:
    columns = [each for each in _ITEMS.columns if each.name in _ITEM_FIELDS]
    return StoredReauthorizationItem(
        **{each.name: row._mapping[each] for each in columns},
        grace_period=timedelta(seconds=row.grace_period_seconds),
    )
