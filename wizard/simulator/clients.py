"""The OAuth clients registered in the simulated API console."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from wizard.simulator.catalog import can_share_clients
from wizard.simulator.random_values import RandomValues

SERVER_BASED, SELF_CLIENT = "server-based", "self-client"


@dataclass
class Client:
    """A registered client. Its id is the same in every data centre where it is enabled; its
    secret is not, unless `same_credentials` was chosen.

    `secrets` holds location → client secret for each enabled data centre. `location` is where it
    was registered, `owner` the ZUID of who did, `kind` the console's type, such as server-based.
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
        """Return the secret that is right in a data centre; None where the client is unknown."""
        if location not in self.secrets:
            return None
        return self.secrets[self.location if self.same_credentials else location]

    def is_known_in(self, location: str) -> bool:
        """Whether the client is enabled in a data centre."""
        return location in self.secrets


class Clients:
    """All clients of all consoles."""

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
        """Register a client in a data centre's console and return it, its secret made.

        Judging names and URLs is the console page's business. A second self client of the same
        owner is refused with ValueError: Zoho allows one an account.
        """
        if kind == SELF_CLIENT and self.self_client_of(owner):
            raise ValueError("this account has a self client already")
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
        """Return the client if that data centre knows it."""
        client = self.by_id.get(client_id)
        return client if client and client.is_known_in(location) else None

    def get(self, client_id: str) -> Client:
        """Return a client by id; LookupError if there is none."""
        if client_id not in self.by_id:
            raise LookupError(f"no client has the id {client_id!r}")
        return self.by_id[client_id]

    def owned_by(self, owner: int) -> list[Client]:
        """Return the clients one person registered, oldest first."""
        return [each for each in self if each.owner == owner]

    def self_client_of(self, owner: int) -> Client | None:
        """Return the one self client of an account, if it was made."""
        return next((each for each in self.owned_by(owner) if each.kind == SELF_CLIENT), None)

    def enable_data_center(self, client_id: str, location: str) -> str:
        """Switch a data centre on for a client; return the secret that is right there.

        Raises ValueError for a self client, which cannot have several data centres, and between
        China and the rest, which do not share clients.
        """
        client = self.get(client_id)
        if client.kind == SELF_CLIENT:
            raise ValueError("a self client stays in its own data centre")
        if not can_share_clients(client.location, location):
            raise ValueError("clients cannot be shared with this data centre")
        client.secrets.setdefault(location, self._random_values.client_secret())
        return client.secret_in(location) or ""

    def disable_data_center(self, client_id: str, location: str) -> None:
        """Switch a data centre off; the client is unknown there from now on. Home stays on."""
        client = self.get(client_id)
        if location == client.location:
            raise ValueError("a client cannot leave the data centre it was registered in")
        client.secrets.pop(location, None)

    def use_same_credentials(self, client_id: str, is_same: bool = True) -> None:
        """Use one secret in all enabled data centres, or each its own again."""
        self.get(client_id).same_credentials = is_same

    def rotate_secret(self, client_id: str, location: str | None = None) -> str:
        """Make a new secret for a data centre (default: home), end the old one, return the new."""
        client = self.get(client_id)
        where = client.location if client.same_credentials or not location else location
        if where not in client.secrets:
            raise LookupError(f"the client is not enabled in {where!r}")
        client.secrets[where] = self._random_values.client_secret()
        return client.secrets[where]

    def delete(self, client_id: str) -> None:
        """Delete a client: every data centre answers invalid_client from now on."""
        del self.by_id[self.get(client_id).client_id]
