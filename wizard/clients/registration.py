"""Register OAuth clients, check and replace their secrets, and remove them.

A pre-flight checks id, secret and data center before a consent: it sends the token endpoint a code
that can't exist. ``invalid_client`` means that the client is unknown there,
``invalid_client_secret`` that the secret is wrong, an error of a later check that both are right.
"""

from dataclasses import dataclass

from wizard.clients.credentials import Credentials, parse_credentials, parse_secret
from wizard.connection_details import client_details
from wizard.errors import WizardError, fail
from wizard.model import Client, ClientSecret, Clock, Failure
from wizard.store import Store
from wizard.tokens.client_requests import ClientRequests
from wizard.zoho import Zoho

DEFAULT_CLIENT_NAME = "OAuth wizard"
"""Suggested for the console's form, which accepts letters, digits, spaces, ``_`` and ``&``."""


@dataclass(frozen=True)
class ClientCheck:
    """A data center's verdict about the secret stored for it."""

    location: str
    failure: Failure | None
    """None: id and secret are correct."""


class ClientService:
    """Registers clients and manages their secrets."""

    def __init__(
        self, store: Store, client_requests: ClientRequests, zoho: Zoho, clock: Clock
    ) -> None:
        self._store = store
        self._client_requests = client_requests
        self._zoho = zoho
        self._clock = clock

    def register(
        self,
        credentials: Credentials | str,
        *,
        name: str = "",
        redirect_uri: str,
        location: str | None = None,
        has_common_secret: bool = False,
        registered_by: str = "",
    ) -> Client:
        """Check a client in its data center and store it under `name`, by default under the first
        free suggested name.

        `credentials` may be a pasted text. Without `location`, every data center is asked for the
        client. `redirect_uri` is empty for a Self Client. `has_common_secret`: the user says that
        one secret is valid in all data centers.

        Raises what `parse_credentials` raises, ``client-exists``, ``client-name-taken``,
        ``client-elsewhere`` (found in a different data center than `location`),
        ``client-unknown-everywhere``, ``wrong-secret``, and failures of the network and of limits.
        Nothing is stored then.
        """
        if isinstance(credentials, str):
            credentials = parse_credentials(credentials)
        home = self._verified_location(credentials, location)
        client = Client(
            client_id=credentials.client_id,
            name=name.strip() or self.free_name("" if redirect_uri else "Self Client"),
            location=home,
            redirect_uri=redirect_uri,
            secrets=(ClientSecret(home, credentials.client_secret),),
            has_common_secret=has_common_secret,
            registered_by=registered_by,
            created_at=self._clock(),
        )
        self._store.clients.add(client)
        return client

    def admit(
        self,
        credentials: Credentials,
        *,
        name: str = "",
        redirect_uri: str,
        location: str | None = None,
        has_common_secret: bool = False,
        replace: bool = False,
    ) -> Client:
        """Register a client, or check and complete a stored one.

        A stored client is checked in `location`, by default where it was registered. A secret for a
        data center that has none yet is stored. One that differs from the stored secret is stored
        only with `replace`; the old one is kept until a refresh succeeds with the new one.

        Raises as `register`, ``secret-differs`` without `replace`, and ``multi-dc-off``,
        ``client-deleted`` or ``missing-secret`` for a stored client. Nothing is stored then.
        """
        client_id, secret = credentials.client_id, credentials.client_secret
        known = next(
            (each for each in self._store.clients.all() if each.client_id == client_id), None
        )
        if known is None:
            return self.register(
                credentials,
                name=name,
                redirect_uri=redirect_uri,
                location=location,
                has_common_secret=has_common_secret,
            )
        where = self._zoho.data_center(location or known.location).location
        failure = self._check_known_client(
            known, secret, where, has_common_secret=has_common_secret
        )
        if failure is not None:
            raise WizardError(failure)
        row = _row(known, where, common=known.has_common_secret or has_common_secret)
        if known.secret_for(row) not in (None, secret):
            if not replace:
                raise fail("secret-differs", **client_details(known, self._zoho, where))
            # Valid in `where` only: it is that data center's own.
            if row != where and self._client_requests.preflight(client_id, secret, row) != "valid":
                row = where
        self._store.clients.set_secret(
            client_id, row, secret, has_common_secret=has_common_secret or None
        )
        return self._store.clients.get(client_id)

    def free_name(self, stem: str = "") -> str:
        """`stem` (default: `DEFAULT_CLIENT_NAME`), with a number if it is taken."""
        stem = stem or DEFAULT_CLIENT_NAME
        taken = {each.name for each in self._store.clients.all()}
        numbered = (f"{stem} {number}" for number in range(2, len(taken) + 3))
        return next(name for name in (stem, *numbered) if name not in taken)

    def set_secret(
        self,
        client_id: str,
        text: str,
        location: str | None = None,
        *,
        has_common_secret: bool = False,
    ) -> Client:
        """Check a pasted secret in `location` (default: where the client was registered) and store
        it; the previous one is kept until a refresh succeeds with the new one.

        Raises what `parse_secret` raises, ``wrong-secret``, ``client-deleted`` or ``multi-dc-off``.
        Nothing is stored then.
        """
        client = self._store.clients.get(client_id)
        secret = parse_secret(text, client_id)
        where = self._zoho.data_center(location or client.location).location
        failure = self._check_secret(client, secret, where)
        if failure is not None:
            raise WizardError(failure)
        self._store.clients.set_secret(
            client_id, where, secret, has_common_secret=has_common_secret or None
        )
        return self._store.clients.get(client_id)

    def check(self, client_id: str) -> tuple[ClientCheck, ...]:
        """Check each stored secret in its data center."""
        client = self._store.clients.get(client_id)
        return tuple(self._check_location(client, location) for location in client.locations)

    def remove(self, client_id: str) -> None:
        """Remove a client that no connection uses; raises ``client-in-use``."""
        self._store.clients.remove(client_id)

    def _check_location(self, client: Client, location: str) -> ClientCheck:
        try:
            secret = self._client_requests.secret_for(client, location)
            return ClientCheck(location, self._check_secret(client, secret, location))
        except WizardError as error:
            return ClientCheck(location, error.failure)

    def _check_known_client(
        self, client: Client, secret: str, where: str, *, has_common_secret: bool
    ) -> Failure | None:
        """Check a secret of a stored client; None: it is valid. It isn't sent to `where` if it is
        stored as another data center's own, nor before `where` is known to have the client."""
        stored, details = client.secret_for(where), client_details(client, self._zoho, where)
        if stored != secret and not (has_common_secret or client.has_common_secret):
            others = (client.secret_for(each) for each in client.locations if each != where)
            if secret in others:
                return Failure("wrong-secret" if stored else "missing-secret", details=details)
        settled = where == client.location or where in client.locations
        if not settled and not self._client_requests.is_known_client(where, client.client_id):
            return Failure("multi-dc-off", "invalid_client", details=details)
        return self._check_secret(client, secret, where)

    def _check_secret(self, client: Client, secret: str, location: str) -> Failure | None:
        """Check `secret` in `location`; None: it is valid."""
        result = self._client_requests.preflight(client.client_id, secret, location)
        details = client_details(client, self._zoho, location)
        if result == "wrong-secret":
            return Failure("wrong-secret", "invalid_client_secret", details=details)
        if result == "unknown-client":
            code = "client-deleted" if location == client.location else "multi-dc-off"
            return Failure(code, "invalid_client", details=details)
        return None

    def _verified_location(self, credentials: Credentials, location: str | None) -> str:
        """The data center where `credentials` are valid."""
        client_id = credentials.client_id
        home = self._find_location(client_id, location)
        data_center = self._zoho.data_center(home)
        if self._client_requests.preflight(client_id, credentials.client_secret, home) == "valid":
            return home
        raise fail(
            "wrong-secret",
            client_id=client_id,
            data_center=data_center.name,
            console=data_center.console_url,
        )

    def _find_location(self, client_id: str, location: str | None) -> str:
        """The data center that knows the client: `location`, or the one that is found. The secret
        isn't sent for this."""
        if location and self._client_requests.is_known_client(
            self._zoho.data_center(location).location, client_id
        ):
            return location
        found = self._client_requests.find_client_location(client_id)
        if found is None:
            raise fail("client-unknown-everywhere", client_id=client_id)
        if location:
            raise fail(
                "client-elsewhere",
                client_id=client_id,
                data_center=self._zoho.data_center(location).name,
                found=found,
                found_name=self._zoho.data_center(found).name,
            )
        return found


def _row(client: Client, where: str, *, common: bool) -> str:
    """The data center under which a secret that `where` accepts is stored: `where`, or the one
    whose secret is `common` to all."""
    if where in client.locations or not common:
        return where
    return next(iter(client.locations), where)
