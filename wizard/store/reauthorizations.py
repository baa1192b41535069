"""Re-authorizations and their items, as stored.

The progress of an item follows from its attempts, grants and destinations.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from wizard.store import schema
from wizard.store.repository import Repository, update_one

_T = schema.reauthorizations
_ITEMS = schema.reauthorization_items


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
            select(_T.c.id, _T.c.started_at.label("begun_at"), _T.c.paused, _ITEMS)
            .join_from(_T, _ITEMS, _ITEMS.c.reauthorization_id == _T.c.id, isouter=True)
            .where(_T.c.ended_at.is_(None))
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
            number = c.scalar(select(_T.c.id).where(_T.c.ended_at.is_(None)))
            if number is None:
                begun = insert(_T).values(started_at=at, paused=False).returning(_T.c.id)
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
        here = _T.c.id == reauthorization_id, _T.c.ended_at.is_(None)
        with self.database.write() as c:
            update_one(c, update(_T).where(*here).values(**values), "the repair")


def is_in_progress(c: Connection, name: str) -> bool:
    """Whether connection ``name`` is part of the current re-authorization, and not skipped."""
    query = select(_ITEMS.c.connection).join(_T, _T.c.id == _ITEMS.c.reauthorization_id)
    mine = _T.c.ended_at.is_(None), _ITEMS.c.connection == name, _ITEMS.c.skipped.is_(False)
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
