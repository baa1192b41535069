"""Adoption: a refresh token that another program has, proved and then tended here.

The secret is sent nowhere before its home is known, the refresh token nowhere but there, and
nothing is stored before Zoho has taken both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from wizard.adoption.reading import NEEDED, Found, read
from wizard.broker import Broker
from wizard.broker.facts import client_details
from wizard.errors import WizardError, fail
from wizard.model import (
    Client,
    ClientSecret,
    Clock,
    Connection,
    Event,
    Grant,
    GrantState,
    Identifier,
    Token,
)
from wizard.oauth import TokenResponse
from wizard.store import Belongings, Store
from wizard.zoho import ALWAYS, DataCentre, Zoho, parse_scope, products_of

__all__ = ["NEEDED", "Adoption", "Found", "Proved", "read"]

FIRST = 1
"""The generation of a grant that was made elsewhere."""


@dataclass(frozen=True)
class Proved:
    """Credentials that Zoho took: where, and what they are good for."""

    client_id: Identifier
    client_secret: Token = field(repr=False)
    refresh_token: Token = field(repr=False)
    data_centre: DataCentre
    scope: tuple[str, ...]
    rotated: bool = False
    """The server has replaced the refresh token that was given, which is of no use any more."""


class Adoption:
    """Proves credentials from elsewhere, and stores them."""

    def __init__(self, store: Store, broker: Broker, zoho: Zoho, clock: Clock) -> None:
        self._store = store
        self._broker = broker
        self._zoho = zoho
        self._clock = clock

    def hinted(self, found: Found) -> DataCentre | None:
        """The data centre that the credentials speak of; a program's word, not yet Zoho's."""
        told = (found.facts.get(each, "") for each in ("location", "accounts_server", "api_domain"))
        spelled = found.facts.get("data_centre", "")
        for text in chain(told, (spelled, f"zoho.{spelled.lower()}")):
            if text and (data_centre := self._zoho.find(text)):
                return data_centre
        return None

    def prove(self, found: Found, location: str | None = None, scope: str = "") -> Proved:
        """Ask Zoho for an access token with complete credentials; nothing is stored.

        `location` is the person's word for the data centre; else it is looked for. `scope` is
        needed only where neither Zoho nor the file tells it.

        Raises ``import-incomplete``, ``import-malformed``, ``import-known``,
        ``client-unknown-everywhere``, ``wrong-secret``, ``import-refused``,
        ``import-scope-unknown``, and what stands between us and Zoho.
        """
        if found.missing:
            raise fail("import-incomplete", missing=", ".join(found.missing))
        client_id, secret, refresh_token = _judged(found)
        if holder := self._store.holder(client_id, refresh_token):
            raise fail("import-known", name=holder)
        data_centre = self._home(client_id, location or self._hint(found))
        self._check_secret(client_id, secret, data_centre)
        token = self._tried(client_id, secret, refresh_token, data_centre)
        granted = token.scope or tuple(parse_scope(scope or found.facts.get("scope", "") or ALWAYS))
        newest = token.refresh_token or refresh_token
        if granted == (ALWAYS,) and not token.scope and newest == refresh_token:
            raise fail("import-scope-unknown")
        rotated = newest != refresh_token
        return Proved(client_id, secret, newest, data_centre, granted, rotated)

    def adopt(
        self, proved: Proved, name: str, *, redirect_uri: str, client_name: str = ""
    ) -> Grant:
        """Store what was proved as connection `name`, its grant still to climb the ladder.

        Raises ``bad-name`` or ``connection-exists``; nothing is stored then.
        """
        location, now = proved.data_centre.location, self._clock()
        client = Client(
            proved.client_id,
            f"imported {proved.client_id[-6:]}",
            location,
            redirect_uri,
            (ClientSecret(location, proved.client_secret),),
            created_at=now,
        )
        # The next consent asks who consents, too, so that another person's is noticed.
        wanted = parse_scope(",".join((*proved.scope, ALWAYS)))
        connection = Connection(name, proved.client_id, wanted, location, created_at=now)
        grant = Grant(
            connection=name,
            generation=FIRST,
            client_id=proved.client_id,
            refresh_token=proved.refresh_token,
            scope=proved.scope,
            location=location,
            state=GrantState.UNPROVED,
            granted_at=now,
            rotated_at=now if proved.rotated else None,
        )
        self._store.take_in(Belongings((client,), (connection,), (grant,)))
        self._store.note(Event(now, name, "imported", {"generation": str(FIRST)}))
        return grant

    def check_name(self, name: str) -> None:
        """Raise ``bad-name`` or ``connection-exists`` unless `name` is free: before the refresh,
        whose answer may hold a refresh token that has to be stored at once."""
        if not self._store.fits(name):
            raise fail("bad-name", name=name)
        if name.lower() in {each.name.lower() for each in self._store.connections()}:
            raise fail("connection-exists", name=name)

    def free_name(self, found: Found, scope: tuple[str, ...]) -> str:
        """A name that no connection has: the entry's own, else after what it is good for."""
        product = next((each.id for each in products_of(scope)), "imported")
        stem = found.entry if self._store.fits(found.entry) else product
        taken = {each.name.lower() for each in self._store.connections()}
        return next(name for name in _numbered(stem) if name.lower() not in taken)

    def _hint(self, found: Found) -> str | None:
        data_centre = self.hinted(found)
        return data_centre.location if data_centre else None

    def _home(self, client_id: str, hint: str | None) -> DataCentre:
        """The data centre that knows the client, asked with a made-up secret."""
        if hint and self._broker.knows(self._zoho.data_centre(hint).location, client_id):
            return self._zoho.data_centre(hint)
        found = self._broker.find_home(client_id)
        if found is None:
            raise fail("client-unknown-everywhere", client_id=client_id)
        return self._zoho.data_centre(found)

    def _check_secret(self, client_id: str, secret: str, data_centre: DataCentre) -> None:
        if self._broker.preflight(client_id, secret, data_centre.location) != "valid":
            nobody = Client(client_id, client_id, data_centre.location, "")
            details = client_details(nobody, self._zoho, data_centre.location)
            raise fail("wrong-secret", **details)

    def _tried(
        self, client_id: str, secret: str, refresh_token: str, data_centre: DataCentre
    ) -> TokenResponse:
        try:
            location = data_centre.location
            return self._broker.try_refresh(client_id, secret, refresh_token, location)
        except WizardError as error:
            if error.failure.code != "invalid-code":
                raise
            raise fail("import-refused", data_centre=data_centre.name) from error


def _judged(found: Found) -> tuple[Identifier, Token, Token]:
    """What is needed, in the alphabets that Zoho writes it in; raises ``import-malformed``."""
    client_id = Identifier.of(found.facts["client_id"])
    secret = Token.of(found.facts["client_secret"])
    refresh_token = Token.of(found.facts["refresh_token"])
    if client_id is None or secret is None or refresh_token is None:
        known = zip(NEEDED, (client_id, secret, refresh_token), strict=True)
        raise fail("import-malformed", odd=", ".join(name for name, value in known if not value))
    return client_id, secret, refresh_token


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1
