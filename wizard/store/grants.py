"""Grants: stored as soon as they are issued, made current once they are verified.

Also the tokens that Zoho rejected: each connection's last access token, and refresh tokens.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    Update,
    and_,
    cast,
    delete,
    func,
    select,
    update,
)

from wizard.errors import fail
from wizard.model import (
    Account,
    Attempt,
    AttemptState,
    Failure,
    Grant,
    GrantState,
    Organization,
)
from wizard.store import schema
from wizard.store.authorizations import advance
from wizard.store.database import (
    Repository,
    insert_if_absent,
    insert_or_update,
    insert_row,
    update_one,
)
from wizard.store.schema import UtcDateTime, json_value
from wizard.vault import Vault, labels

_T = schema.grants
_ATTEMPTS = schema.attempts
_CONNECTIONS = schema.connections
_ACCESS_TOKENS = schema.access_tokens
_REJECTIONS = schema.rejections
_REJECTED_TOKENS = schema.rejected_refresh_tokens
_EVENTS = schema.events.c

ACTIVE_STATES = (
    GrantState.NOT_VERIFIED,
    GrantState.VERIFIED,
    GrantState.MISMATCH,
    GrantState.REPLACED,
)
"""States in which a refresh token still counts at Zoho."""
CANDIDATE_STATES = (GrantState.NOT_VERIFIED, GrantState.MISMATCH)


IS_RECENT = (_CONNECTIONS.c.name == _T.c.connection) & (
    _T.c.generation >= _CONNECTIONS.c.generation
)
"""A grant that is current, or newer; older ones say nothing about a connection."""

_RECENT = (
    select(_T, _CONNECTIONS.c.generation.label("current"))
    .join(_CONNECTIONS, IS_RECENT)
    .order_by(_T.c.generation)
)

RECENT_GRANTS = "recent grants"


class RecentGrants(NamedTuple):
    """The grants that determine the state of a connection."""

    current: Grant | None = None
    candidate: Grant | None = None
    """The newest above the current one that is not verified and was not discarded."""
    newest: Grant | None = None
    """The newest in any state."""

    def with_newer(self, grant: Grant, current_generation: int) -> "RecentGrants":
        """The same with a newer grant added."""
        if grant.generation == current_generation:
            return RecentGrants(grant, None, grant)
        is_candidate = grant.state in CANDIDATE_STATES
        return RecentGrants(self.current, grant if is_candidate else self.candidate, grant)


class TokenOwner(NamedTuple):
    """The account whose refresh tokens Zoho counts against the limit of a client."""

    zuid: str
    email: str


class GrantRepository(Repository):
    """The grants by connection and generation."""

    def add(
        self,
        connection: str,
        client_id: str,
        refresh_token: str,
        scope: tuple[str, ...],
        location: str,
        attempt_id: str,
        at: datetime,
        account: Account | None = None,
    ) -> Grant:
        """Store a refresh token as the next generation, not verified, durable when this returns.

        The same transaction moves the attempt to STORED from EXCHANGE_INTENT, or from
        OUTCOME_UNKNOWN, if another machine took this process for dead while the database was away.
        Returns the grant if it is stored already. Raises `Conflict` if the attempt isn't there,
        ``unknown-connection`` if the connection was removed.
        """
        with self.database.write() as c:
            here = _ATTEMPTS.c.id == attempt_id
            state = c.scalar(select(_ATTEMPTS.c.state).where(here))
            of_attempt = select(_ATTEMPTS.c.generation).where(here).scalar_subquery()
            stored = _T.c.connection == connection, _T.c.generation == of_attempt
            for row in c.execute(select(_T).where(*stored)):
                known = grant_from_row(self._vault, row)
                if known.refresh_token == refresh_token:
                    return known
            query = update(_CONNECTIONS).where(_CONNECTIONS.c.name == connection)
            query = query.values(last_generation=_CONNECTIONS.c.last_generation + 1)
            generation = c.scalar(query.returning(_CONNECTIONS.c.last_generation))
            if generation is None:
                raise fail("unknown-connection", name=connection)
            expected = AttemptState.EXCHANGE_INTENT
            if state is AttemptState.OUTCOME_UNKNOWN:
                expected = state
            advance(c, attempt_id, expected, AttemptState.STORED, generation=generation)
            grant = Grant(
                connection=connection,
                generation=generation,
                client_id=client_id,
                refresh_token=refresh_token,
                scope=scope,
                location=location,
                state=GrantState.NOT_VERIFIED,
                granted_at=at,
                account=account,
            )
            insert_grant(c, self._vault, grant)
        return grant

    def get(self, name: str, generation: int | None = None) -> Grant | None:
        """A grant of connection `name`, by default its current one; None if there is none."""
        if generation is None:
            return self._recent(name).current
        found = self._select_grants(_T.c.connection == name, _T.c.generation == generation)
        return found[0] if found else None

    def candidate(self, name: str) -> Grant | None:
        """The newest grant above the current one that is not verified and was not discarded."""
        return self._recent(name).candidate

    def of_connection(self, name: str) -> tuple[Grant, ...]:
        """Every grant of connection `name`, newest first."""
        return self.database.of_each("grants", self._load, name) or ()

    def revocable(self, name: str) -> tuple[Grant, ...]:
        """The grants of connection `name` whose refresh token may still work at Zoho."""
        return tuple(each for each in self.of_connection(name) if not each.state.is_ended)

    def _recent(self, name: str) -> RecentGrants:
        return self.database.of_each(RECENT_GRANTS, self._load_recent, name) or RecentGrants()

    def _load(self, names: Collection[str]) -> dict[str, tuple[Grant, ...]]:
        found: dict[str, tuple[Grant, ...]] = {}
        for grant in self._select_grants(_T.c.connection.in_(names)):
            found[grant.connection] = (*found.get(grant.connection, ()), grant)
        return found

    def _load_recent(self, names: Collection[str]) -> dict[str, RecentGrants]:
        query = _RECENT.where(_CONNECTIONS.c.name.in_(names))
        found: dict[str, RecentGrants] = {}
        with self.database.read() as c:
            for row in c.execute(query):
                known = found.get(row.connection, RecentGrants())
                grant = grant_from_row(self._vault, row)
                found[row.connection] = known.with_newer(grant, row.current)
        return found

    def set_account(
        self,
        name: str,
        generation: int,
        account: Account | None,
        organizations: tuple[Organization, ...],
    ) -> None:
        """Store the account and the organizations that the grant reaches. Raises `Conflict` if the
        grant was removed."""
        values = {"account": account, "organizations": organizations}
        with self.database.write() as c:
            update_one(c, _update(name, generation).values(values), _subject(name))

    def activate(self, name: str, generation: int, expected_current: int) -> None:
        """Make a grant the connection's current one, verified; the previous one is replaced.

        Raises `Conflict` if ``expected_current`` isn't current anymore, or the state of the grant
        doesn't allow it: a late verification can't replace a newer decision.
        """
        with self.database.write() as c:
            here = _CONNECTIONS.c.name == name, _CONNECTIONS.c.generation == expected_current
            swap = update(_CONNECTIONS).where(*here).values(generation=generation)
            update_one(c, swap, _subject(name))
            able = _T.c.state.in_((*CANDIDATE_STATES, GrantState.VERIFIED, GrantState.REPLACED))
            verified = {"state": GrantState.VERIFIED, "failure": None}
            update_one(c, _update(name, generation).where(able).values(verified), _subject(name))
            requested = c.scalar(_requested_scope(name, generation))
            if requested:  # wider if the consent was to add scopes
                had = c.scalar(select(_CONNECTIONS.c.scope).where(_CONNECTIONS.c.name == name))
                wider = update(_CONNECTIONS).where(_CONNECTIONS.c.name == name)
                c.execute(wider.values(scope=_merged_scopes(had or (), requested)))
            before = _update(name, expected_current).where(
                _T.c.generation != generation, _T.c.state.in_(ACTIVE_STATES)
            )
            c.execute(before.values(state=GrantState.REPLACED))

    def add_scope(self, grant: Grant, attempt: Attempt, scope: tuple[str, ...]) -> None:
        """Record that the refresh token of the current `grant` has `scope` now, and that `attempt`
        has added it in place; one transaction.

        Raises `Conflict` if the grant isn't current, verified and as given, or the attempt has
        changed.
        """
        name, generation = grant.connection, grant.generation
        with self.database.write() as c:
            here = _CONNECTIONS.c.name == name, _CONNECTIONS.c.generation == generation
            had = c.scalar(select(_CONNECTIONS.c.scope).where(*here))
            wider = _merged_scopes(had or (), attempt.scope)
            update_one(c, update(_CONNECTIONS).where(*here).values(scope=wider), _subject(name))
            same = _T.c.state == GrantState.VERIFIED, _T.c.scope == grant.scope
            update_one(
                c, _update(name, generation).where(*same).values(scope=scope), _subject(name)
            )
            advance(c, attempt.id, attempt.state, AttemptState.STORED)

    def expected_scope(self, name: str, generation: int) -> tuple[str, ...]:
        """What grant `generation` should cover: the connection's scopes, and for a grant newer than
        the current one also those that its authorization added."""
        query = select(_CONNECTIONS.c.scope, _CONNECTIONS.c.generation)
        with self.database.read() as c:
            row = c.execute(query.where(_CONNECTIONS.c.name == name)).first()
            requested = c.scalar(_requested_scope(name, generation)) or ()
        if row is None:
            return ()
        return _merged_scopes(row.scope, requested if generation > row.generation else ())

    def set_state(
        self,
        name: str,
        generation: int,
        state: GrantState,
        failure: Failure | None = None,
        expected: GrantState | None = None,
    ) -> None:
        """Set the state of a grant, with the reason.

        Raises `Conflict` if the grant was removed, or its state isn't ``expected`` (if given).
        """
        query = _update(name, generation)
        if expected is not None:
            query = query.where(_T.c.state == expected)
        with self.database.write() as c:
            update_one(c, query.values(state=state, failure=failure), _subject(name))

    def rotate(self, grant: Grant, refresh_token: str, at: datetime) -> None:
        """Store the refresh token that the server issued in place of that of ``grant``, durable
        when this returns.

        Raises `Conflict` if the stored refresh token is neither that of ``grant`` nor the new one.
        """
        name, generation = grant.connection, grant.generation
        here = select(_T).where(_T.c.connection == name, _T.c.generation == generation)
        with self.database.write() as c:
            sealed = _sealed_refresh_token(self._vault, replace(grant, refresh_token=refresh_token))
            row = c.execute(here).first()
            stored = grant_from_row(self._vault, row).refresh_token if row else None
            if stored == refresh_token:
                return
            same = stored == grant.refresh_token
            query = _update(name, generation).where(
                _T.c.refresh_token == (row.refresh_token if row and same else None)
            )
            values = {"refresh_token": sealed, "rotated_at": at}
            update_one(c, query.values(values), _subject(name))

    def count_refresh_tokens(self, client_id: str) -> dict[TokenOwner, int]:
        """The number of active refresh tokens of a client, by user.

        A grant whose account isn't known yet counts under two empty strings.
        """
        return self.database.once(("refresh tokens", client_id), partial(self._count, client_id))

    def _count(self, client_id: str) -> dict[TokenOwner, int]:
        living = _T.c.client_id == client_id, _T.c.state.in_(ACTIVE_STATES)
        counts: Counter[TokenOwner] = Counter()
        with self.database.read() as c:
            for account in c.scalars(select(_T.c.account).where(*living)):
                counts[
                    TokenOwner(account.zuid, account.email) if account else TokenOwner("", "")
                ] += 1
        return counts

    def connection_with_token(self, client_id: str, refresh_token: str) -> str | None:
        """The connection that has this refresh token of a client, in any state; None if there is
        none. Unseals only the tokens of this client."""
        grants = self._select_grants(_T.c.client_id == client_id)
        return next((g.connection for g in grants if g.refresh_token == refresh_token), None)

    def connections_using(self, client_id: str, location: str) -> tuple[str, ...]:
        """The connections, by name, whose verified grant is from a client in a data center."""
        users = self.database.once("users of clients", self._users_of_clients)
        return tuple(users.get((client_id, location), ()))

    def _users_of_clients(self) -> dict[tuple[str, str], list[str]]:
        query = (
            select(_T.c.connection, _T.c.client_id, _T.c.location)
            .join(_CONNECTIONS, _CONNECTIONS.c.name == _T.c.connection)
            .where(_T.c.state == GrantState.VERIFIED, _T.c.generation == _CONNECTIONS.c.generation)
            .order_by(_T.c.connection)
        )
        users = defaultdict(list)
        with self.database.read() as c:
            for row in c.execute(query):
                users[row.client_id, row.location].append(row.connection)
        return users

    def connections_with_replaced(self) -> frozenset[str]:
        """The connections that have a replaced grant whose refresh token isn't revoked yet."""
        query = (
            select(_T.c.connection)
            .join(_CONNECTIONS, _CONNECTIONS.c.name == _T.c.connection)
            .where(_T.c.state == GrantState.REPLACED, _T.c.generation < _CONNECTIONS.c.generation)
        )
        with self.database.read() as c:
            return frozenset(c.scalars(query))

    def activations_over_replaced(
        self, names: Collection[str], activation_events: Collection[str]
    ) -> dict[str, datetime | None]:
        """The connections in `names` that have a replaced grant whose refresh token isn't revoked
        yet, each with the time of the event that made its current grant current."""
        activation = (
            (_EVENTS.connection_id == _CONNECTIONS.c.id)
            & _EVENTS.kind.in_(activation_events)
            & (json_value(_EVENTS.details, "generation") == cast(_CONNECTIONS.c.generation, Text))
        )
        query = (
            select(_T.c.connection, func.max(_EVENTS.at, type_=UtcDateTime))
            .join(_CONNECTIONS, _CONNECTIONS.c.name == _T.c.connection)
            .outerjoin(schema.events, activation)
            .where(
                _T.c.connection.in_(names),
                _T.c.state == GrantState.REPLACED,
                _T.c.generation < _CONNECTIONS.c.generation,
            )
            .group_by(_T.c.connection)
        )
        with self.database.read() as c:
            return {row.connection: row[1] for row in c.execute(query)}

    def _select_grants(self, *conditions: ColumnElement[bool]) -> tuple[Grant, ...]:
        query = select(_T).where(*conditions).order_by(_T.c.generation.desc())
        with self.database.read() as c:
            return tuple(grant_from_row(self._vault, row) for row in c.execute(query))


def is_same_grant(columns: Any, others: Any) -> ColumnElement[bool]:
    """The join condition of two tables with rows about grants."""
    return and_(columns.connection == others.connection, columns.generation == others.generation)


def insert_grant(c: Connection, vault: Vault, grant: Grant) -> None:
    """Insert ``grant`` with its refresh token sealed."""
    insert_row(c, _T, **{**vars(grant), "refresh_token": _sealed_refresh_token(vault, grant)})


def rename_grants(c: Connection, vault: Vault, name: str, new_name: str) -> None:
    """Rename the connection of grants, with their refresh tokens sealed again.

    Raises ``sealed-record-damaged``.
    """
    for row in c.execute(select(_T).where(_T.c.connection == name)).all():
        renamed = replace(grant_from_row(vault, row), connection=new_name)
        sealed = _sealed_refresh_token(vault, renamed)
        values = {"connection": new_name, "refresh_token": sealed}
        c.execute(_update(name, renamed.generation).values(values))


def grant_from_row(vault: Vault, row: Row[Any]) -> Grant:
    """The grant in `row`, its refresh token unsealed. One whose token is damaged needs
    re-authorization."""
    values = {column.name: row._mapping[column] for column in _T.columns}
    identity = identity_of(values)
    refresh_token = vault.unseal(
        values["refresh_token"], labels.GRANT, identity, labels.REFRESH_TOKEN
    )
    if not refresh_token:
        details = {"table": labels.GRANT, "row": identity}
        values["state"] = GrantState.NEEDS_REAUTHORIZATION
        values["failure"] = Failure("sealed-record-damaged", details=details)
    return Grant(**{**values, "refresh_token": refresh_token})


def _requested_scope(name: str, generation: int) -> Select[Any]:
    """The scopes that the authorization of a grant requested."""
    attempts = schema.attempts.c
    query = select(attempts.scope).select_from(schema.attempts)
    return query.where(attempts.connection == name, attempts.generation == generation)


def _merged_scopes(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _sealed_refresh_token(vault: Vault, grant: Grant) -> bytes:
    return vault.seal(
        grant.refresh_token, labels.GRANT, identity_of(vars(grant)), labels.REFRESH_TOKEN
    )


def identity_of(grant: Mapping[str, Any]) -> str:
    """The identity a refresh token is sealed for: includes the client and the data center, so that
    it can't be sent elsewhere."""
    return "/".join(
        str(grant[each]) for each in ("connection", "generation", "client_id", "location")
    )


def _update(name: str, generation: int) -> Update:
    return update(_T).where(_T.c.connection == name, _T.c.generation == generation)


def _subject(name: str) -> str:
    return f"the grant of {name}"


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


class AccessTokenRepository(Repository):
    """The cached access tokens of a shared store, each sealed as in its file, by connection."""

    def get(self, connection: str) -> bytes | None:
        """The sealed access token of `connection`."""
        return self.database.of_each("access tokens", self._load, connection)

    def _load(self, names: Collection[str]) -> dict[str, bytes]:
        query = select(_ACCESS_TOKENS).where(_ACCESS_TOKENS.c.name.in_(names))
        with self.database.read() as c:
            return {row.name: row.sealed for row in c.execute(query)}

    def put(self, connection: str, seal: Callable[[], bytes]) -> bytes:
        """Replace the access token of `connection` by what `seal` returns, with the key that is
        valid now, and return that; does nothing if the connection was removed."""
        with self.database.write() as c:
            sealed = seal()
            known = c.scalar(select(_CONNECTIONS.c.name).where(_CONNECTIONS.c.name == connection))
            if known is not None:
                insert_or_update(c, _ACCESS_TOKENS, {"name": connection}, sealed=sealed)
        return sealed

    def remove(self, connection: str) -> None:
        """Remove the access token of `connection`."""
        with self.database.write() as c:
            c.execute(delete(_ACCESS_TOKENS).where(_ACCESS_TOKENS.c.name == connection))


class RejectionRepository(Repository):
    """One row per connection, written under the connection's lock."""

    def get(self, connection: str) -> Rejection | None:
        """The rejection of `connection`."""
        with self.database.read() as c:
            row = c.execute(
                select(_REJECTIONS).where(_REJECTIONS.c.connection == connection)
            ).first()
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
            insert_if_absent(c, _REJECTED_TOKENS, fingerprint=fingerprint)

    def is_refresh_token_rejected(self, fingerprint: str) -> bool:
        """Whether Zoho rejected that refresh token."""
        with self.database.read() as c:
            query = select(_REJECTED_TOKENS).where(_REJECTED_TOKENS.c.fingerprint == fingerprint)
            return c.execute(query).first() is not None

    def _upsert(self, connection: str, **values: Any) -> None:
        first = {"connection": connection, "fingerprint": ""}
        with self.database.write() as c:
            insert_or_update(c, _REJECTIONS, first, **values)
