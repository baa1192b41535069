"""Clients and their secrets, by data center."""

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, select, update

from wizard.errors import WizardError, fail
from wizard.model import Client, ClientSecret, SecretState
from wizard.store import schema
from wizard.store.database import Repository, insert_row, suggest_names, update_one
from wizard.vault import labels

_T = schema.clients
_SECRETS = schema.client_secrets
_ALL = (
    select(_T, _SECRETS)
    .join_from(_T, _SECRETS, _SECRETS.c.client_id == _T.c.client_id, isouter=True)
    .order_by(_T.c.name, _SECRETS.c.location, _SECRETS.c.state)
)
"""Every client with its secrets. A statement takes long to build, so what doesn't vary is built
once."""


class ClientRepository(Repository):
    """The clients registered in Zoho's API console."""

    def all(self) -> tuple[Client, ...]:
        """Every client, by name."""
        return tuple(self._by_id().values())

    def get(self, client_id: str) -> Client:
        """Raises ``unknown-client`` with the nearest names."""
        if self.database.is_snapshot:
            found = self._by_id().get(client_id)
        else:
            with self.database.read() as c:
                found = next(iter(self.select_all(c, client_id)), None)
        if found is None:
            with self.database.read() as c:
                raise _unknown_client(c, client_id)
        return found

    def _by_id(self) -> dict[str, Client]:
        def load() -> dict[str, Client]:
            with self.database.read() as c:
                return {each.client_id: each for each in self.select_all(c)}

        return self.database.once("clients", load)

    def add(self, client: Client) -> None:
        """Raises ``client-exists`` if its ID is stored, ``client-name-taken`` if its name is."""
        with self.database.write() as c:
            same = (_T.c.client_id == client.client_id) | (_T.c.name == client.name)
            query = select(_T.c.name, _T.c.client_id).where(same)
            known = {row.client_id: row.name for row in c.execute(query)}
            if client.client_id in known:
                name = known[client.client_id]
                raise fail("client-exists", name=name, client_id=client.client_id)
            for client_id in known:
                raise fail("client-name-taken", name=client.name, client_id=client_id)
            columns = {column.name: getattr(client, column.name) for column in _T.columns}
            insert_row(c, _T, **columns)
            for secret in client.secrets:
                self.insert_secret(c, client.client_id, secret)

    def set_secret(
        self, client_id: str, location: str, value: str, has_common_secret: bool | None = None
    ) -> None:
        """Make ``value`` the current secret for ``location``; the old one becomes PREVIOUS.

        ``has_common_secret`` says whether the secret is valid in every data center; None keeps what
        is stored.
        """
        with self.database.write() as c:
            require_client(c, client_id)
            if has_common_secret is not None:
                where = _T.c.client_id == client_id
                c.execute(update(_T).where(where).values(has_common_secret=has_common_secret))
            before = self._select_secrets(c, client_id, location)
            if any(s.value == value and s.state is SecretState.CURRENT for s in before):
                return
            if before:
                _delete_secret(c, client_id, location, SecretState.PREVIOUS)
                _change_secret_state(
                    c, client_id, location, SecretState.CURRENT, SecretState.PREVIOUS
                )
            self.insert_secret(c, client_id, ClientSecret(location, value))

    def confirm_secret(self, client_id: str, location: str) -> None:
        """Delete the previous secret, since the current one has worked."""
        with self.database.write() as c:
            _delete_secret(c, client_id, location, SecretState.PREVIOUS)

    def restore_secret(self, client_id: str, location: str) -> None:
        """Make the previous secret current again, since Zoho rejected the current one.

        Raises `Conflict` if there is none.
        """
        with self.database.write() as c:
            _delete_secret(c, client_id, location, SecretState.CURRENT)
            _change_secret_state(c, client_id, location, SecretState.PREVIOUS, SecretState.CURRENT)

    def remove(self, client_id: str) -> str:
        """Remove a client; return its name. Raises ``unknown-client``, or ``client-in-use`` if a
        connection uses it."""
        with self.database.write() as c:
            require_client(c, client_id)
            users = schema.connections
            query = select(users.c.name).where(users.c.client_id == client_id)
            if names := c.scalars(query.order_by(users.c.name)).all():
                raise fail("client-in-use", client_id=client_id, connections=", ".join(names))
            removed = delete(_T).where(_T.c.client_id == client_id).returning(_T.c.name)
            name = str(c.execute(removed).scalar_one())
        self.database.checkpoint()
        return name

    def select_all(self, c: Connection, client_id: str | None = None) -> tuple[Client, ...]:
        """Every client, or one, by name, each with its secrets."""
        query = _ALL
        if client_id is not None:
            query = query.where(_T.c.client_id == client_id)
        clients: dict[str, Client] = {}
        for row in c.execute(query):
            values = {column.name: row._mapping[column] for column in _T.columns}
            known = clients.get(values["client_id"]) or Client(**values)
            if row._mapping[_SECRETS.c.value] is not None:
                known = replace(known, secrets=(*known.secrets, self._secret_from_row(row)))
            clients[known.client_id] = known
        return tuple(clients.values())

    def _select_secrets(self, c: Connection, client_id: str, location: str) -> list[ClientSecret]:
        query = select(_SECRETS).where(*_secret_conditions(client_id, location))
        return [self._secret_from_row(row) for row in c.execute(query)]

    def _secret_from_row(self, row: Row[Any]) -> ClientSecret:
        columns = (_SECRETS.c.client_id, _SECRETS.c.location, _SECRETS.c.value, _SECRETS.c.state)
        client_id, location, sealed, state = (row._mapping[each] for each in columns)
        value = self._vault.unseal(
            sealed, labels.CLIENT_SECRET, identity_of(client_id, location), labels.SECRET_VALUE
        )
        return ClientSecret(location, value, state)

    def insert_secret(self, c: Connection, client_id: str, secret: ClientSecret) -> None:
        identity = identity_of(client_id, secret.location)
        insert_row(
            c,
            _SECRETS,
            client_id=client_id,
            location=secret.location,
            state=secret.state,
            value=self._vault.seal(
                secret.value, labels.CLIENT_SECRET, identity, labels.SECRET_VALUE
            ),
        )


def identity_of(client_id: str, location: str) -> str:
    """The row a secret is sealed for: it can't be unsealed in the row of another data center."""
    return f"{client_id}/{location}"


def _secret_conditions(client_id: str, location: str) -> tuple[ColumnElement[bool], ...]:
    return _SECRETS.c.client_id == client_id, _SECRETS.c.location == location


def _delete_secret(c: Connection, client_id: str, location: str, state: SecretState) -> None:
    c.execute(
        delete(_SECRETS).where(*_secret_conditions(client_id, location), _SECRETS.c.state == state)
    )


def _change_secret_state(
    c: Connection, client_id: str, location: str, old: SecretState, new: SecretState
) -> None:
    where = *_secret_conditions(client_id, location), _SECRETS.c.state == old
    update_one(c, update(_SECRETS).where(*where).values(state=new), f"the secret for {location}")


def require_client(c: Connection, client_id: str) -> None:
    """Raises ``unknown-client`` with the nearest names and ids."""
    if c.scalar(select(_T.c.client_id).where(_T.c.client_id == client_id)) is None:
        raise _unknown_client(c, client_id)


def _unknown_client(c: Connection, client_id: str) -> WizardError:
    known = [text for row in c.execute(select(_T.c.name, _T.c.client_id)) for text in row]
    return fail("unknown-client", client_id=client_id, nearest=suggest_names(client_id, known))
