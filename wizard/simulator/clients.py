"""The OAuth clients registered in the simulated API console."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from wizard.simulator.catalog import can_share_clients
from wizard.simulator.errors import InvalidValueError, NotFoundError
from wizard.simulator.settings import RandomValues

SERVER_BASED, SELF_CLIENT = "server-based", "self-client"
MOBILE, CLIENT_BASED = "mobile-based", "client-based"


@dataclass
class Client:
    """A registered client.

    Its ID is the same in every data center where it's enabled. Its secret isn't, unless
    `same_credentials` is set. `secrets` maps each enabled location to its client secret. `location`
    is where it was registered, `owner` the ZUID of the user who did, `kind` the console's type.
    """

    client_id: str
    kind: str
    name: str
    homepage: str
    redirect_uris: list[str]
    location: str
    owner: int
    secrets: dict[str, str] = field(repr=False)
    same_credentials: bool = False

    def secret_in(self, location: str) -> str | None:
        """Return the secret that is valid in a data center; None if the client is unknown there."""
        if location not in self.secrets:
            return None
        return self.secrets[self.location if self.same_credentials else location]

    def is_known_in(self, location: str) -> bool:
        """Whether the client is enabled in a data center."""
        return location in self.secrets


class Clients:
    """All clients of all users."""

    def __init__(self, random_values: RandomValues) -> None:
        self._random_values = random_values
        self.by_id: dict[str, Client] = {}

    def __iter__(self) -> Iterator[Client]:
        return iter(self.by_id.values())

    def register(
        self,
        owner: int,
        location: str,
        *,
        name: str,
        homepage: str = "",
        redirect_uris: list[str] | None = None,
        kind: str = SERVER_BASED,
    ) -> Client:
        """Register a client with a new secret and return it.

        The console page checks names and URLs. InvalidValueError for a second self client of the
        same owner: Zoho allows one per account.
        """
        if kind == SELF_CLIENT and self.self_client_of(owner):
            raise InvalidValueError(
                "This account already has a self client, and Zoho allows one per account."
            )
        client = Client(
            client_id=self._random_values.client_id(),
            kind=kind,
            name=name,
            homepage=homepage,
            redirect_uris=redirect_uris or [],
            location=location,
            owner=owner,
            secrets={location: self._random_values.client_secret()},
        )
        self.by_id[client.client_id] = client
        return client

    def find(self, client_id: str, location: str) -> Client | None:
        """Return the client if it's enabled in that data center."""
        client = self.by_id.get(client_id)
        return client if client and client.is_known_in(location) else None

    def get(self, client_id: str) -> Client:
        """Return a client by ID; NotFoundError if there is none."""
        if client_id not in self.by_id:
            raise NotFoundError(f"There is no client with the ID “{client_id}”.")
        return self.by_id[client_id]

    def owned_by(self, owner: int) -> list[Client]:
        """Return the clients that a user registered, oldest first."""
        return [each for each in self if each.owner == owner]

    def self_client_of(self, owner: int) -> Client | None:
        """Return the self client of a user, if there is one."""
        return next((each for each in self.owned_by(owner) if each.kind == SELF_CLIENT), None)

    def enable_data_center(self, client_id: str, location: str) -> str:
        """Enable a data center for a client; return the secret that is valid there.

        InvalidValueError for a self client, which has only one data center, and between China and
        the rest, which don't share clients.
        """
        client = self.get(client_id)
        if client.kind == SELF_CLIENT:
            raise InvalidValueError("A self client has only its own data center.")
        if not can_share_clients(client.location, location):
            raise InvalidValueError(
                f"“{client.location}” and “{location}” don’t share clients: China is separate."
            )
        client.secrets.setdefault(location, self._random_values.client_secret())
        return client.secret_in(location) or ""

    def disable_data_center(self, client_id: str, location: str) -> None:
        """Disable a data center other than the client's own."""
        client = self.get(client_id)
        if location == client.location:
            raise InvalidValueError(
                f"The client was registered in “{location}” and stays enabled there."
            )
        client.secrets.pop(location, None)

    def use_same_credentials(self, client_id: str, is_same: bool = True) -> None:
        """Use one secret in all enabled data centers, or one for each."""
        self.get(client_id).same_credentials = is_same

    def rotate_secret(self, client_id: str, location: str | None = None) -> str:
        """Replace the secret for a data center, by default the client's own; return it."""
        client = self.get(client_id)
        where = client.location if client.same_credentials or not location else location
        if where not in client.secrets:
            raise NotFoundError(f"The client isn’t enabled in “{where}”.")
        client.secrets[where] = self._random_values.client_secret()
        return client.secrets[where]

    def delete(self, client_id: str) -> None:
        """Delete a client: every data center returns invalid_client from then on."""
        del self.by_id[self.get(client_id).client_id]
