"""Find credentials in the files of other programs, and import a refresh token from there.

Every delivery profile is tried; then names are matched, for ``.env`` and JSON files of programs
without a profile (``ZOHO_CRM_REFRESH_TOKEN``, ``zohoClientId``).

The client secret and the refresh token are sent only to the data center that knows the client, and
nothing is stored before Zoho has accepted both.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

from wizard.connection_details import client_details
from wizard.credential_formats import is_redirect_uri
from wizard.delivery.destination_files import FILE_FORMATS, FormatError
from wizard.delivery.profiles import Profile, profile, profiles
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
from wizard.store import Store, StoreContents
from wizard.tokens.request_log import ClientRequests
from wizard.zoho import ACCOUNT_SCOPE, DataCenter, Zoho, parse_scope, products_of

REQUIRED_VALUES = ("client_id", "client_secret", "refresh_token")

NAME_ENDINGS = {
    "client_id": ("clientid",),
    "client_secret": ("clientsecret",),
    "refresh_token": ("refreshtoken",),
    "accounts_server": ("accountsurl", "accountsserver", "accountsdomain", "tokenurl", "authurl"),
    "api_domain": ("apidomain", "apibaseurl", "apiurl", "apibase"),
    "data_center": ("datacentre", "datacenter", "region", "dc", "location"),
    "redirect_uri": ("redirecturi", "redirecturl"),
    "scope": ("scope", "scopes"),
}
"""The endings of the names of each value, in lower case without punctuation."""


@dataclass(frozen=True)
class FoundCredentials:
    """One set of credentials, perhaps incomplete."""

    entry: str = ""
    """Its name in the file, such as a section, a row or a server; empty if it has none."""
    profile: str = ""
    """The profile that matched; empty if the names matched."""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """The required values that are missing."""
        return tuple(each for each in REQUIRED_VALUES if not self.values.get(each))


def find_credentials(text: str, profile_id: str = "") -> tuple[FoundCredentials, ...]:
    """Every set of credentials in `text`, each as complete as possible; incomplete ones only if
    there is no complete one.

    `profile_id` says how to read it; by default everything is tried. Raises `FormatError` if `text`
    has no known format, ``unknown-profile``.
    """
    if profile_id:
        return tuple(_read_by_profile(profile(profile_id), text))
    best: dict[str, FoundCredentials] = {}
    for candidate in profiles().values():
        if not candidate.is_command:
            with suppress(FormatError):
                _keep_best(best, _read_by_profile(candidate, text))
    _keep_best(best, _read_token_table(text))
    try:
        _keep_best(
            best, _read_by_field_names("json" if text.lstrip()[:1] in "{[" else "dotenv", text)
        )
    except FormatError:
        if not best:
            raise
    whole = tuple(each for each in best.values() if not each.missing)
    return whole or tuple(best.values())


def _read_by_profile(program_profile: Profile, text: str) -> Iterator[FoundCredentials]:
    for each in program_profile.find_entries(text):
        yield FoundCredentials(each.entry, program_profile.id, each.values)


def _read_by_field_names(format_name: str, text: str) -> Iterator[FoundCredentials]:
    for entry_path, fields in FILE_FORMATS[format_name].read(text.replace("\r\n", "\n")).items():
        values: dict[str, str] = {}
        for name, value in fields.items():
            meaning = _value_name(name)
            if meaning and value:
                values.setdefault(meaning, value)
        if any(values.get(each) for each in REQUIRED_VALUES):
            yield FoundCredentials(next(iter(entry_path), ""), "", values)


# The SDKs' `DBStore` is the MySQL table `oauthtoken`, which they read by position. It is found in
# the output of `mysqldump`, and in that of `mysql --batch`, whose cells are separated by tabs.

_TOKEN_TABLE_COLUMNS = (
    *("id", "user_name", "client_id", "client_secret", "refresh_token", "access_token"),
    *("grant_token", "expiry_time", "redirect_url", "api_domain"),
)
_TOKEN_TABLE_INSERT = re.compile(
    r"INSERT INTO [`\"]?oauthtoken[`\"]?\s*(?:\((?P<columns>[^()]*)\))?\s*VALUES\s*",
    re.IGNORECASE,
)
_SQL_TEXT = r"'(?:[^'\\]|\\.|'')*+'"
_SQL_ROW = re.compile(rf"\s*\((?P<values>(?:{_SQL_TEXT}|[^'()])*+)\)\s*,?", re.DOTALL)
_SQL_VALUE = re.compile(rf"{_SQL_TEXT}|[^',\s]+", re.DOTALL)


def _read_token_table(text: str) -> Iterator[FoundCredentials]:
    """Every row of the table `oauthtoken`."""
    for names, row in (*_rows_of_dump(text), *_rows_of_batch(text)):
        fields = dict(zip(names, row, strict=False))
        values = {_value_name(name): value for name, value in fields.items() if value}
        values.pop("", None)
        if values.get("refresh_token"):
            yield FoundCredentials(fields.get("id", ""), "", values)


def _rows_of_dump(text: str) -> Iterator[tuple[Sequence[str], list[str]]]:
    for statement in _TOKEN_TABLE_INSERT.finditer(text):
        named = re.findall(r"\w+", statement["columns"] or "")
        place = statement.end()
        while row := _SQL_ROW.match(text, place):
            place = row.end()
            cells = [each.strip("'") for each in _SQL_VALUE.findall(row["values"])]
            yield named or _TOKEN_TABLE_COLUMNS, ["" if each == "NULL" else each for each in cells]


def _rows_of_batch(text: str) -> Iterator[tuple[Sequence[str], list[str]]]:
    heading, *rows = text.splitlines() or [""]
    names = heading.split("\t")
    if names[0] == "id" and "refresh_token" in names:
        for row in rows:
            yield names, ["" if each == "NULL" else each for each in row.split("\t")]


def _value_name(name: str) -> str:
    plain = re.sub(r"[^a-z]", "", name.lower())
    return next((fact for fact, ends in NAME_ENDINGS.items() if plain.endswith(ends)), "")


def _keep_best(best: dict[str, FoundCredentials], candidates: Iterator[FoundCredentials]) -> None:
    """Of several results with the same refresh token, keep the most complete."""
    for each in candidates:
        token = each.values.get("refresh_token", "")
        before = best.get(token)
        if before is None or _completeness(each) > _completeness(before):
            best[token] = each


def _completeness(credentials: FoundCredentials) -> tuple[int, int]:
    return len(credentials.values), len(credentials.profile)


FIRST_GENERATION = 1
"""The generation of an imported grant."""


@dataclass(frozen=True)
class VerifiedCredentials:
    """Credentials that Zoho accepted, with their data center and scopes."""

    client_id: Identifier
    client_secret: Token = field(repr=False)
    refresh_token: Token = field(repr=False)
    data_center: DataCenter
    scope: tuple[str, ...]
    rotated: bool = False
    """The server has replaced the given refresh token, which no longer works."""
    token: TokenResponse | None = field(default=None, repr=False)
    """The answer to the refresh; None if it couldn't be parsed."""


class Importer:
    """Verifies credentials of other programs, and stores them."""

    def __init__(
        self, store: Store, client_requests: ClientRequests, zoho: Zoho, clock: Clock
    ) -> None:
        self._store = store
        self._client_requests = client_requests
        self._zoho = zoho
        self._clock = clock

    def hinted_data_center(self, credentials: FoundCredentials) -> DataCenter | None:
        """The data center that the credentials name; Zoho hasn't confirmed it."""
        named_values = (
            credentials.values.get(each, "")
            for each in ("location", "accounts_server", "api_domain")
        )
        spelled = credentials.values.get("data_center", "")
        for text in chain(named_values, (spelled, f"zoho.{spelled.lower()}")):
            if text and (data_center := self._zoho.find_data_center(text)):
                return data_center
        return None

    def verify(
        self, credentials: FoundCredentials, location: str | None = None, scope: str = ""
    ) -> VerifiedCredentials:
        """Refresh with complete credentials; nothing is stored.

        Without `location`, the data center is looked for. `scope` is needed only if neither Zoho
        nor the file names the scopes.

        Raises ``import-incomplete``, ``import-malformed``, ``import-known``,
        ``client-unknown-everywhere``, ``wrong-secret``, ``import-refused``,
        ``import-scope-unknown``, and failures of the network and of limits.
        """
        if holder := self.holder_of(credentials):
            raise fail("import-known", name=holder)
        data_center = self.find_data_center(credentials, location)
        return self.verify_at(data_center, credentials, scope)

    def holder_of(self, credentials: FoundCredentials) -> str | None:
        """The connection that has the refresh token already; None if there is none. Raises
        ``import-incomplete`` and ``import-malformed``."""
        if credentials.missing:
            raise fail("import-incomplete", missing=", ".join(credentials.missing))
        client_id, _secret, refresh_token = _parse_values(credentials)
        return self._store.grants.connection_with_token(client_id, refresh_token)

    def find_data_center(
        self, credentials: FoundCredentials, location: str | None = None
    ) -> DataCenter:
        """The data center that accepts the client of complete credentials: it knows the ID, and
        then the secret. Raises ``client-unknown-everywhere``, ``wrong-secret``, and failures of the
        network and of limits."""
        client_id, secret, _refresh_token = _parse_values(credentials)
        data_center = self._find_data_center(
            client_id, location or self._hinted_location(credentials)
        )
        self._check_secret(client_id, secret, data_center)
        return data_center

    def verify_at(
        self,
        data_center: DataCenter,
        credentials: FoundCredentials,
        scope: str = "",
        *,
        within_budget: bool = False,
    ) -> VerifiedCredentials:
        """Refresh in the data center that accepts the client; nothing is stored.

        `within_budget` raises ``client-budget`` instead of a request that would leave too few to
        the client's other programs. Raises as `verify` does.
        """
        client_id, secret, refresh_token = _parse_values(credentials)
        token, newest = self._try_refresh(
            client_id, secret, refresh_token, data_center, within_budget=within_budget
        )
        named_scope = token.scope if token else ()
        granted = named_scope or tuple(
            parse_scope(scope or credentials.values.get("scope", "") or ACCOUNT_SCOPE)
        )
        rotated = newest != refresh_token
        if granted == (ACCOUNT_SCOPE,) and not named_scope and not rotated:
            raise fail("import-scope-unknown")
        return VerifiedCredentials(client_id, secret, newest, data_center, granted, rotated, token)

    def import_connection(
        self,
        credentials: VerifiedCredentials,
        name: str,
        *,
        redirect_uri: str,
        client_name: str = "",
    ) -> Grant:
        """Store verified credentials as connection `name`, whose grant isn't verified yet.

        Raises ``bad-name`` or ``connection-exists``; nothing is stored then.
        """
        location, now = credentials.data_center.location, self._clock()
        client = Client(
            credentials.client_id,
            f"imported {credentials.client_id[-6:]}",
            location,
            redirect_uri,
            (ClientSecret(location, credentials.client_secret),),
            created_at=now,
        )
        # The next consent also requests this scope, so that a different account is noticed.
        scope = parse_scope(",".join((*credentials.scope, ACCOUNT_SCOPE)))
        connection = Connection(name, credentials.client_id, scope, location, created_at=now)
        grant = Grant(
            connection=name,
            generation=FIRST_GENERATION,
            client_id=credentials.client_id,
            refresh_token=credentials.refresh_token,
            scope=credentials.scope,
            location=location,
            state=GrantState.NOT_VERIFIED,
            granted_at=now,
            rotated_at=now if credentials.rotated else None,
        )
        self._store.transfers.import_contents(StoreContents((client,), (connection,), (grant,)))
        self._store.events.record(
            Event(now, name, "imported", {"generation": str(FIRST_GENERATION)})
        )
        return grant

    def check_name(self, name: str) -> None:
        """Raise ``bad-name`` or ``connection-exists`` unless `name` is free. Call it before the
        refresh, whose response may contain a refresh token that must be stored at once."""
        if not self._store.connections.is_valid_name(name):
            raise fail("bad-name", name=name)
        if name.lower() in {each.name.lower() for each in self._store.connections.all()}:
            raise fail("connection-exists", name=name)

    def free_name(self, credentials: FoundCredentials, scope: tuple[str, ...]) -> str:
        """A free name for the connection: that of the entry, or of the product."""
        product = next((each.id for each in products_of(scope)), "imported")
        stem = (
            credentials.entry
            if self._store.connections.is_valid_name(credentials.entry)
            else product
        )
        taken = {each.name.lower() for each in self._store.connections.all()}
        return next(name for name in _numbered_names(stem) if name.lower() not in taken)

    def _hinted_location(self, credentials: FoundCredentials) -> str | None:
        data_center = self.hinted_data_center(credentials)
        return data_center.location if data_center else None

    def _find_data_center(self, client_id: str, hinted_location: str | None) -> DataCenter:
        """The data center that knows the client. The secret isn't sent for this."""
        if hinted_location and self._client_requests.is_known_client(
            self._zoho.data_center(hinted_location).location, client_id
        ):
            return self._zoho.data_center(hinted_location)
        found = self._client_requests.find_client_location(client_id)
        if found is None:
            raise fail("client-unknown-everywhere", client_id=client_id)
        return self._zoho.data_center(found)

    def _check_secret(self, client_id: str, secret: str, data_center: DataCenter) -> None:
        if self._client_requests.preflight(client_id, secret, data_center.location) != "valid":
            unnamed = Client(client_id, client_id, data_center.location, "")
            details = client_details(unnamed, self._zoho, data_center.location)
            raise fail("wrong-secret", **details)

    def _try_refresh(
        self,
        client_id: str,
        secret: str,
        refresh_token: Token,
        data_center: DataCenter,
        *,
        within_budget: bool,
    ) -> tuple[TokenResponse | None, Token]:
        """The answer, and the current refresh token. If it was replaced, the new one exists nowhere
        else, so no error in the answer stops the import."""
        known, location = [refresh_token], data_center.location
        try:
            token = self._client_requests.try_refresh(
                client_id,
                secret,
                refresh_token,
                location,
                known.append,
                within_budget=within_budget,
            )
        except WizardError as error:
            if len(known) > 1:
                return None, known[-1]
            if error.failure.code != "invalid-code":
                raise
            raise fail("import-refused", data_center=data_center.name) from error
        return token, known[-1]


def _parse_values(found: FoundCredentials) -> tuple[Identifier, Token, Token]:
    """The required values. Raises ``import-malformed`` unless they have Zoho's format and the
    redirect URI, if there is one, can be one."""
    client_id = Identifier.of(found.values["client_id"])
    secret = Token.of(found.values["client_secret"])
    refresh_token = Token.of(found.values["refresh_token"])
    redirect_uri = found.values.get("redirect_uri", "")
    is_odd_uri = bool(redirect_uri) and not is_redirect_uri(redirect_uri)
    if client_id is None or secret is None or refresh_token is None or is_odd_uri:
        known = zip(REQUIRED_VALUES, (client_id, secret, refresh_token), strict=True)
        odd = [name for name, value in known if not value] + ["redirect_uri"] * is_odd_uri
        raise fail("import-malformed", odd=", ".join(odd))
    return client_id, secret, refresh_token


def _numbered_names(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1
