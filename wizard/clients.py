"""Register OAuth clients, check and replace their secrets, and remove them.

A pre-flight checks id, secret and data center before a consent: it sends the token endpoint a code
that can't exist. ``invalid_client`` means that the client is unknown there,
``invalid_client_secret`` that the secret is wrong, an error of a later check that both are right.

A client id and a client secret in a pasted text are recognized by their form, because labels are
often wrong: a client id is ``1000.`` and upper-case letters and digits; a client secret is one long
hexadecimal word. So two lines, JSON, ``.env`` lines, a table copied from the console, and a swapped
pair all work.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Self

from wizard.connection_details import client_details
from wizard.credential_formats import (
    CLIENT_ID,
    CLIENT_SECRET,
    JOINED_CLIENT_ID,
    LABELED_CLIENT_SECRET,
    POSSIBLE_CLIENT_SECRET,
    TOKEN,
)
from wizard.errors import WizardError, fail
from wizard.model import Client, ClientSecret, Clock, Connection, Event, Failure
from wizard.store import Store, StoreContents
from wizard.store.annotations import clean_email, clean_note, clean_owner, clean_tags
from wizard.tokens.request_log import ClientRequests
from wizard.transport import sanitize_line
from wizard.zoho import ACCOUNT_SCOPE, Zoho, parse_scope, preset

MAX_SUGGESTED_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class ConnectionRequest:
    """What a new connection should be able to do, and in which data center."""

    preset_ids: tuple[str, ...]
    scope: tuple[str, ...]
    """The scopes of the presets, other requested ones, and `ACCOUNT_SCOPE`."""
    location: str | None
    """None: not known yet; the callback decides."""
    owner: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    expected_email: str = ""
    """The account that must give the first consent; empty: any."""

    @classmethod
    def of(
        cls,
        preset_ids: Iterable[str],
        scope: str,
        location: str | None,
        *,
        owner: str = "",
        tags: Collection[str] = (),
        note: str = "",
        expected_email: str = "",
    ) -> Self:
        """Create a request from presets and scopes.

        Raises ``unknown-preset``, ``malformed-scope``, ``no-preset`` if there are neither, and
        ``bad-owner``, ``bad-tag``, ``too-many-tags``, ``bad-note``, ``bad-email``.
        """
        presets = [preset(each) for each in dict.fromkeys(preset_ids)]
        scopes = [each for one in presets for each in one.scope]
        if scope.strip():
            scopes.extend(parse_scope(scope))
        if not scopes:
            raise fail("no-preset")
        whole = parse_scope(",".join([*scopes, ACCOUNT_SCOPE]))
        return cls(
            tuple(one.id for one in presets),
            whole,
            location,
            clean_owner(owner),
            clean_tags(tags),
            clean_note(note),
            clean_email(expected_email),
        )

    def suggested_name(self, taken: Collection[str]) -> str:
        """A name derived from the preset, or from the scopes, that isn't `taken`."""
        first_scope = self.scope[0].partition(".")[0].lower()
        stem = next(iter(self.preset_ids), first_scope)[:MAX_SUGGESTED_NAME_CHARACTERS]
        numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
        return next(name for name in (stem, *numbered) if name not in taken)

    def connection(self, name: str, client: Client, at: datetime) -> Connection:
        """The connection, not stored yet."""
        return Connection(
            name=name,
            client_id=client.client_id,
            scope=self.scope,
            location=self.location,
            presets=self.preset_ids,
            created_at=at,
            owner=self.owner,
            tags=self.tags,
            note=self.note,
            expected_email=self.expected_email,
        )


@dataclass(frozen=True)
class AssistedConnection:
    """A new connection whose client is registered in the assisted browser."""

    name: str
    request: ConnectionRequest


MAX_PASTE_CHARACTERS = 20_000
"""A page of the console has some thousands; a whole log file is a mistake."""

_SEPARATORS = re.compile(r"[\s\"'`“”‘’„«»,;:=&?|<>(){}\[\]\\]+")
_JOINED_SECRET = re.compile(rf"(?<![0-9a-f])({CLIENT_SECRET.pattern})(?![0-9a-f])")
_INVISIBLE_CATEGORIES = ("Cf", "Cc")
_SECRET_LABEL = re.compile(r"\w*client[_-]?secret|secret", re.IGNORECASE)


@dataclass(frozen=True)
class Credentials:
    """A client id, its secret, and how they were found."""

    client_id: str
    client_secret: str = field(repr=False)
    notes: tuple[str, ...] = ()
    """Codes for what was recognized and removed."""


def parse_credentials(text: str) -> Credentials:
    """Find exactly one client id and one client secret in `text`.

    Raises ``credentials-empty``, ``-too-long``, ``-missing-id``, ``-missing-secret``,
    ``-two-clients``, ``-two-secrets`` or ``-token`` (a token was pasted instead).
    """
    words = _words(text)
    ids = _distinct(words, CLIENT_ID)
    if len(ids) > 1:
        raise fail("credentials-two-clients", first=ids[0], second=ids[1])
    secret = _find_secret(words)
    if not ids:
        raise fail("credentials-missing-id")
    if secret is None:
        raise fail("credentials-missing-secret", client_id=ids[0])
    return Credentials(ids[0], secret, _cleanup_notes(text, words, ids[0], secret))


def parse_secret(text: str, client_id: str) -> str:
    """Find the new secret of `client_id` in `text`, which may contain the id as well.

    Raises as `parse_credentials` does, and ``credentials-other-client`` for a different id.
    """
    words = _words(text)
    others = [found for found in _distinct(words, CLIENT_ID) if found != client_id]
    if others:
        raise fail("credentials-other-client", client_id=client_id, other=others[0])
    secret = _find_secret(words)
    if secret is None and len(words) == 1 and words != [client_id]:
        secret = words[0] if LABELED_CLIENT_SECRET.fullmatch(words[0]) else None
    if secret is None:
        raise fail("credentials-missing-secret", client_id=client_id)
    return secret


def _words(text: str) -> list[str]:
    if len(text) > MAX_PASTE_CHARACTERS:
        raise fail("credentials-too-long", length=str(len(text)))
    pasted = (word for word in _SEPARATORS.split(_visible_text(text)) if word)
    words = [part for word in pasted for part in _separate(word)]
    if not words:
        raise fail("credentials-empty")
    return words


def _separate(word: str) -> list[str]:
    """The parts of a word in which an ID, a secret or their labels follow each other without a
    separator.

    The digits at the end of an ID may be the beginning of a secret, so the usual length decides.
    """
    joined = JOINED_CLIENT_ID.search(word)
    if CLIENT_ID.fullmatch(word) or TOKEN.search(word):
        return [word]
    if joined is None and not _SECRET_LABEL.match(word):
        return [word]
    parts = [word[: joined.start()], joined[0], word[joined.end() :]] if joined else [word]
    return [each for part in parts for each in _JOINED_SECRET.split(part) if each]


def _visible_text(text: str) -> str:
    return "".join(
        " " if char.isspace() else char
        for char in text
        if char.isspace() or unicodedata.category(char) not in _INVISIBLE_CATEGORIES
    )


def _find_secret(words: list[str]) -> str | None:
    secrets = _distinct(words, POSSIBLE_CLIENT_SECRET) or _labeled_secrets(words)
    if len(secrets) > 1:
        raise fail("credentials-two-secrets")
    if not secrets and _distinct(words, TOKEN):
        raise fail("credentials-token")
    return secrets[0] if secrets else None


def _labeled_secrets(words: list[str]) -> list[str]:
    """Secrets of an unknown form, recognized by their label."""
    return [
        word
        for label, word in pairwise(words)
        if _SECRET_LABEL.fullmatch(label)
        and LABELED_CLIENT_SECRET.fullmatch(word)
        and not (CLIENT_ID.fullmatch(word) or TOKEN.fullmatch(word))
    ]


def _distinct(words: list[str], pattern: re.Pattern[str]) -> list[str]:
    return list(dict.fromkeys(word for word in words if pattern.fullmatch(word)))


def _cleanup_notes(text: str, words: list[str], client_id: str, secret: str) -> tuple[str, ...]:
    stripped = text.strip()
    labels = [word for word in words if re.search(r"client|secret|id$", word, re.IGNORECASE)]
    json = stripped.startswith(("{", "["))
    checks = {
        "from-json": json,
        "from-dotenv": bool(re.search(r"^\s*(export\s+)?\w+=", text, re.M)),
        "spaces-removed": stripped != text,
        "quotes-removed": bool(re.search(r"[\"'“”‘’`]", text)) and not json,
        "invisible-removed": _visible_text(text) != re.sub(r"\s", " ", text),
        "swapped": _is_swapped(words, labels, client_id, secret),
        "token-ignored": bool(_distinct(words, TOKEN)),
    }
    return tuple(note for note, seen in checks.items() if seen)


def _is_swapped(words: list[str], labels: list[str], client_id: str, secret: str) -> bool:
    if not labels:
        return words.index(secret) < words.index(client_id)
    after = dict(pairwise(words))
    return any(_SECRET_LABEL.fullmatch(label) and after.get(label) == client_id for label in labels)


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
            name=sanitize_line(name).strip()
            or self.free_name("" if redirect_uri else "Self Client"),
            location=home,
            redirect_uri=redirect_uri,
            secrets=(ClientSecret(home, credentials.client_secret),),
            has_common_secret=has_common_secret,
            registered_by=registered_by,
            created_at=self._clock(),
        )
        self._store.clients.add(client)
        self._record("client-added", client.name)
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
        return self._store_secret(client_id, row, secret, has_common_secret=has_common_secret)

    def admit_shared(self, client: Client) -> Client:
        """Check a client that another installation shares, and store it with all its secrets, under
        a free name. A stored client gains the secrets that it doesn't have.

        Raises ``client-file-other-secret`` if it is stored with a different secret,
        ``wrong-secret``, ``client-deleted`` or ``multi-dc-off``, and failures of the network and of
        limits. Nothing is stored then.
        """
        everyone = {each.client_id: each for each in self._store.clients.all()}
        known = everyone.get(client.client_id)
        for secret in client.secrets:
            stored = known.secret_for(secret.location) if known else None
            if stored == secret.value:
                continue
            if known is not None and stored is not None:
                details = client_details(known, self._zoho, secret.location)
                raise fail("client-file-other-secret", **details)
            failure = self._check_secret(client, secret.value, secret.location)
            if failure is not None:
                raise WizardError(failure)
        named = replace(client, name=self.free_name(client.name), created_at=self._clock())
        self._store.transfers.import_contents(StoreContents(clients=(named,)))
        added = self._store.clients.get(client.client_id)
        self._record("client-added", added.name)
        return added

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
        return self._store_secret(client_id, where, secret, has_common_secret=has_common_secret)

    def _store_secret(
        self, client_id: str, location: str, secret: str, *, has_common_secret: bool
    ) -> Client:
        known = self._store.clients.get(client_id).secret_for(location)
        self._store.clients.set_secret(
            client_id, location, secret, has_common_secret=has_common_secret or None
        )
        client = self._store.clients.get(client_id)
        if secret != known:
            details = {"location": location}
            for name in self._store.grants.connections_using(client_id, location):
                self._store.events.record(Event(self._clock(), name, "secret-changed", details))
        return client

    def _record(self, kind: str, name: str) -> None:
        self._store.events.record(Event(self._clock(), "", kind, {"client": name}))

    def check(self, client_id: str) -> tuple[ClientCheck, ...]:
        """Check each stored secret in its data center."""
        client = self._store.clients.get(client_id)
        return tuple(self._check_location(client, location) for location in client.locations)

    def remove(self, client_id: str) -> None:
        """Remove a client that no connection uses; raises ``client-in-use``."""
        self._record("client-removed", self._store.clients.remove(client_id))

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
