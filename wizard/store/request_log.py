"""The log of every request to an accounts server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from wizard.errors import fail
from wizard.model import TokenRequest
from wizard.store import schema
from wizard.store.grants import RECENT_GRANTS
from wizard.store.repository import Repository, update_one
from wizard.timefmt import format_date

_T = schema.token_requests

RETENTION = timedelta(days=30)
"""How long requests are kept: Zoho's rate limits need ten minutes, people a month."""


class RequestLogRepository(Repository):
    """The token requests with their outcomes."""

    def add(
        self,
        request: TokenRequest,
        check: Callable[[Sequence[TokenRequest]], None] | None = None,
        since: datetime | None = None,
    ) -> int:
        """Record a request before it is sent; return its ID for `finish`.

        `check` gets the requests of the same client and data center from ``since`` on, newest
        first, and prevents this one by raising. Of concurrent processes, each sees the earlier
        ones.

        Every request passes here, so a deactivated installation is stopped here: raises
        ``installation-deactivated``.
        """
        with self.database.write() as c:
            if deactivation_time := c.scalar(select(schema.installation.c.deactivated_at)):
                raise fail("installation-deactivated", since=format_date(deactivation_time))
            if check is not None:
                of_client = {"client_id": request.client_id, "location": request.location}
                check(_select_requests(c, since or request.at - RETENTION, of_client))
            c.execute(delete(_T).where(_T.c.at < request.at - RETENTION))
            written = insert(_T).values(**vars(request)).returning(_T.c.id)
            return int(c.execute(written).scalar_one())

    def finish(self, request_id: int, outcome: str, retry_at: datetime | None = None) -> None:
        """Record the outcome of a request: ``ok`` or a failure code, and when it may be repeated if
        Zoho said so."""
        ended = update(_T).where(_T.c.id == request_id).values(outcome=outcome, retry_at=retry_at)
        with self.database.write() as c:
            update_one(c, ended, "the request log")

    def requests(
        self,
        *,
        since: datetime,
        client_id: str | None = None,
        connection: str | None = None,
        location: str | None = None,
    ) -> list[TokenRequest]:
        """The requests from `since` on, newest first, filtered by the other arguments."""
        if self.database.is_snapshot and client_id is not None and connection is None:
            return [
                each
                for each in self._of_client(client_id, since)
                if each.at >= since and location in (None, each.location)
            ]
        given = {"client_id": client_id, "connection": connection, "location": location}
        with self.database.read() as c:
            return _select_requests(
                c, since, {name: value for name, value in given.items() if value is not None}
            )

    def _of_client(self, client_id: str, since: datetime) -> Sequence[TokenRequest]:
        """In a snapshot, read once for all clients of its connections."""
        read = self.database.once("requests", _RequestsRead)
        if client_id not in read.by_client or (read.since and since < read.since):
            client_ids = {client_id, *read.by_client, *self._known_clients()}
            read.since = min(since, read.since or since)
            read.by_client = {each: [] for each in client_ids}
            with self.database.read() as c:
                condition = _T.c.client_id.in_(client_ids)
                for request in _select_requests(c, read.since, {}, condition):
                    read.by_client[request.client_id].append(request)
        return read.by_client[client_id]

    def _known_clients(self) -> set[str]:
        """The clients of the connections and the recent grants that a snapshot has read."""
        found = [*self.database.known("connections").values()]
        for recent in self.database.known(RECENT_GRANTS).values():
            found += recent or ()
        return {each.client_id for each in found if each}


@dataclass
class _RequestsRead:
    """The requests that a snapshot has read."""

    since: datetime | None = None
    by_client: dict[str, list[TokenRequest]] = field(default_factory=dict)


def _select_requests(
    c: Connection,
    since: datetime,
    filters: Mapping[str, str],
    condition: ColumnElement[bool] | None = None,
) -> list[TokenRequest]:
    """The requests from ``since`` on whose columns have these values, newest first."""
    columns = [column for column in _T.c if column.name != "id"]
    query = select(*columns).where(_T.c.at >= since).order_by(_T.c.at.desc(), _T.c.id.desc())
    if condition is not None:
        query = query.where(condition)
    for name, value in filters.items():
        query = query.where(_T.c[name] == value)
    return [TokenRequest(**row._mapping) for row in c.execute(query)]
