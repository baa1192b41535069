"""Read and check a connections file.

The dataclasses are the tables of the file: their fields are its keys. The JSON Schema for editors
is made from them, too. All problems are found at once, up to a limit, each with the path of its
key.
"""

import difflib
import json
import os
import re
import tomllib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from wizard.clients import ConnectionRequest
from wizard.credential_formats import CLIENT_ID, CLIENT_SECRET, SECRET_TOKEN, is_redirect_uri
from wizard.delivery.profiles import PROFILE_FILE_SUFFIX, profile
from wizard.delivery.service import check_names, file_access
from wizard.errors import WizardError, explain, fail
from wizard.model import Failure
from wizard.store.connections import NAME_PATTERN
from wizard.tables import parse_toml
from wizard.transport import sanitize, sanitize_line, webhook
from wizard.zoho import ACCOUNT_SCOPE, ENVIRONMENTS, Zoho, parse_scope, suggest_scope

MAX_CHARACTERS = 2_000_000
"""Ten thousand connections have about half of it."""

MAX_COMPARED_CLIENTS = 100
"""How many clients an unknown name is compared with, to suggest one. Comparing thousands with
thousands would take minutes."""

MAX_PROBLEMS = 100
"""How many problems of a file are listed. Nobody reads more, and a large file could have enough to
keep the service busy for a minute."""

Table = TypeVar("Table")


@dataclass(frozen=True)
class ClientTable:
    """A client that is registered in Zoho's API Console. Its secret is never in the file."""

    id: str
    """The client ID, which isn't a secret."""
    data_centers: tuple[str, ...]
    """The data centers that it is used in, such as `eu`. The first is where it is registered."""
    redirect_uri: str = ""
    """The redirect URI, as registered. Default: that of this installation."""
    self_client: bool = False
    """It is the console's Self Client, which has no redirect URI."""
    common_secret: bool = False
    """“Use the same OAuth credentials for all data centers” is ticked in the console."""


@dataclass(frozen=True)
class DestinationTable:
    """A file or a command that gets the connection's credentials."""

    profile: str
    """The format that the program reads, such as `dotenv`."""
    to: str
    """The absolute path of the file, which may begin with `~`, or the command line."""
    entry: str = ""
    """The name of the entry in a file with several. Default: the connection's name."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Fields that have different names there."""
    values: Mapping[str, str] = field(default_factory=dict)
    """More fields, whose values can contain placeholders such as `{location}`."""
    then: str = ""
    """A command that makes the program read the new credentials."""
    mode: str = ""
    """The mode of the file: `0600`, `0640` or `0660`."""
    group: str = ""
    """The group that can read the file."""


@dataclass(frozen=True)
class ConnectionTable:
    """Access to one Zoho account."""

    client: str
    """The name of its client in this file."""
    presets: tuple[str, ...] = ()
    """Scope presets."""
    scopes: tuple[str, ...] = ()
    """Scopes in addition to those of the presets."""
    data_center: str = ""
    """The data center of the account. Default: where the client is registered."""
    account: str = ""
    """The email address of the account that must approve. Default: any account."""
    organization: str = ""
    """The name or the ID of the organization that it must reach. Default: any."""
    environment: str = ""
    """The environment that it must reach, such as `Production`. Default: any."""
    owner: str = ""
    """Who is responsible for the connection."""
    tags: tuple[str, ...] = ()
    """Tags."""
    note: str = ""
    """A note for people."""
    access: tuple[str, ...] = ()
    """The users of this machine who can request its access tokens."""
    destinations: tuple[DestinationTable, ...] = ()
    """The programs that get its credentials."""


@dataclass(frozen=True)
class MonitorTable:
    """Settings of the monitor."""

    notify: str = ""
    """The command that gets each notification. A URL may be a secret, so it isn't in the file."""


@dataclass(frozen=True)
class ConnectionsFile:
    """The connections of an installation, without secrets."""

    clients: Mapping[str, ClientTable] = field(default_factory=dict)
    """The clients by name. The name of a client that is stored already may differ."""
    connections: Mapping[str, ConnectionTable] = field(default_factory=dict)
    """The connections by name."""
    monitor: MonitorTable | None = None
    """Settings of the monitor. Without them, they stay as they are."""


@dataclass(frozen=True)
class FileProblem:
    """What is wrong with the value of one key, or with a key."""

    path: str
    """Such as ``connections.crm.destinations[0].to``."""
    failure: Failure

    @property
    def text(self) -> str:
        """The path, and what is wrong, in words."""
        explanation = explain(self.failure)
        words = " ".join(filter(None, (explanation.title + ".", explanation.cause)))
        return f"{self.path}: {words}"


class ConnectionsFileError(WizardError):
    """The file is understood as TOML, but has problems. If there are more than `MAX_PROBLEMS`, it
    has the first of them, and a detail ``limit``."""

    def __init__(self, problems: Sequence[FileProblem]) -> None:
        self.problems = tuple(problems[:MAX_PROBLEMS])
        lines = "\n".join(each.text for each in self.problems)
        details = {"problems": lines, "count": str(len(self.problems))}
        if len(problems) > MAX_PROBLEMS:
            details["limit"] = str(MAX_PROBLEMS)
        super().__init__(Failure("connections-file-invalid", details=details))


_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)")
_SECRET_KEY = re.compile(r"secret|token|password|passphrase", re.IGNORECASE)
_SECRET_WORD = re.compile(rf"(?<![0-9a-f]){CLIENT_SECRET.pattern}(?![0-9a-f])")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED = re.compile(r"[\x7f-\x9f\u2028\u2029]")
_UNUSABLE = object()
"""Stands for a value that has a problem."""


def parse(text: str, zoho: Zoho) -> ConnectionsFile:
    """Read a connections file, and check everything that doesn't depend on this installation.

    Raises ``connections-file-too-large``, ``connections-file-syntax``, and `ConnectionsFileError`.
    """
    if len(text) > MAX_CHARACTERS:
        raise fail("connections-file-too-large", limit=f"{MAX_CHARACTERS:,}")
    reader = _Reader()
    document = reader.read_table(ConnectionsFile, _parse_toml(text), "")
    found = chain(reader.problems, _check(document, zoho, reader.incomplete))
    if problems := [*islice(found, MAX_PROBLEMS + 1)]:
        raise ConnectionsFileError(problems)
    return document


def misspelled_scopes(document: ConnectionsFile) -> tuple[FileProblem, ...]:
    """The scopes that are similar to a known one. Zoho decides whether they exist."""
    return tuple(
        FileProblem(
            f"{key_path('connections', name)}.scopes",
            Failure("scope-spelling", details={"scope": scope, "nearest": nearest}),
        )
        for name, table in document.connections.items()
        for scope in (parse_scope(",".join(table.scopes)) if table.scopes else ())
        if (nearest := suggest_scope(scope))
    )


def _parse_toml(text: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.fullmatch(str(error))
        reason, line, column = place.groups() if place else (str(error), None, None)
        if line is None:  # it ends too early
            lines = text.split("\n")
            line, column = str(len(lines)), str(len(lines[-1]) + 1)
        raise fail(
            "connections-file-syntax", reason=reason, line=line, column=str(column)
        ) from None
    except ValueError as error:
        raise fail("connections-file-syntax", reason=str(error)) from None


def key_path(parent: str, key: str) -> str:
    """The path of `key` in the table at path `parent`, with quotes where TOML needs them."""
    shown = key if _BARE_KEY.fullmatch(key) else quoted(key)
    return f"{parent}.{shown}" if parent else shown


def quoted(text: str) -> str:
    """`text` as a basic string of TOML, which is that of JSON except for a few characters."""
    string = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", string)


class _Reader:
    """Reads tables into dataclasses, and collects the problems. What has a problem is left out, so
    that the rest can be checked. Raises `ConnectionsFileError` at the first problem that exceeds
    the limit."""

    def __init__(self) -> None:
        self.problems: list[FileProblem] = []
        self.incomplete: set[str] = set()
        """The paths of the tables from which something is left out."""

    def read_table(self, table: type[Table], value: Mapping[str, Any], path: str) -> Table:
        """The table at `path`, with empty values for required keys that are left out."""
        hints, known = get_type_hints(table), {each.name: each for each in fields(table)}  # type: ignore[arg-type]
        read = {
            key: self._read(hints[key], item, key_path(path, key))
            for key, item in value.items()
            if key in known
        }
        found = {key: item for key, item in read.items() if item is not _UNUSABLE}
        unknown = value.keys() - known.keys()
        meant = {self._note_unknown(key_path(path, key), key, known) for key in sorted(unknown)}
        for name, each in known.items():
            is_required = each.default is MISSING and each.default_factory is MISSING
            if is_required and name not in value and name not in meant:
                self._note(key_path(path, name), "file-missing-key")
            if is_required and name not in found:
                found[name] = "" if hints[name] is str else ()
        if unknown or len(found) != len(read):
            self.incomplete.add(path)
        return table(**found)

    def _note(self, path: str, code: str, **details: str) -> None:
        self.problems.append(FileProblem(path, Failure(code, details=details)))
        if len(self.problems) > MAX_PROBLEMS:
            raise ConnectionsFileError(self.problems)

    def _note_unknown(self, path: str, key: str, known: Iterable[str]) -> str:
        """Note an unknown key; return the known one that was meant, if that is clear."""
        if code := _text_problem(key, is_line=True):
            self._note(path.removesuffix(key_path("", key)) + "…", code)
        elif _SECRET_KEY.search(key):
            self._note(path, "file-secret")
        else:
            near = "".join(difflib.get_close_matches(key, [*known], n=1, cutoff=0.5))
            self._note(path, "file-unknown-key", nearest=near, known=", ".join(sorted(known)))
            return near
        return ""

    def _read(self, hint: Any, value: Any, path: str) -> Any:
        """The value at `path`; `_UNUSABLE` if it has a problem."""
        if get_origin(hint) is types.UnionType:  # ``X | None``
            hint = get_args(hint)[0]
        is_table = get_origin(hint) is Mapping or is_dataclass(hint)
        expected: Any = dict if is_table else list if get_origin(hint) is tuple else hint
        if not isinstance(value, expected):
            self._note(path, "file-wrong-type", expected=_TYPE_NAMES[expected])
            return _UNUSABLE
        if get_origin(hint) is tuple:
            items = (
                self._read(get_args(hint)[0], item, f"{path}[{number}]")
                for number, item in enumerate(value)
            )
            usable = tuple(item for item in items if item is not _UNUSABLE)
            return usable if usable or not value else _UNUSABLE
        if get_origin(hint) is Mapping:
            return dict(self._read_entries(get_args(hint)[1], value, path))
        if is_table:
            return self.read_table(hint, value, path)
        if isinstance(value, str) and (code := _text_problem(value)):
            self._note(path, code)
            return _UNUSABLE
        return value

    def _read_entries(
        self, hint: Any, value: Mapping[str, Any], path: str
    ) -> Iterator[tuple[str, Any]]:
        for key, item in value.items():
            if code := _text_problem(key, is_line=True):
                self._note(f"{path}.…", code)
            elif (found := self._read(hint, item, key_path(path, key))) is not _UNUSABLE:
                yield key, found


_TYPE_NAMES = {str: "text", bool: "true or false", list: "a list", dict: "a table"}


def _text_problem(text: str, *, is_line: bool = False) -> str:
    """Why a text can't be in the file, as a failure code; empty if it can."""
    if SECRET_TOKEN.search(text) or _SECRET_WORD.search(text):
        return "file-secret"
    shown = sanitize_line(text) if is_line else sanitize(text)
    return "" if shown == text else "file-control-character"


def _check(document: ConnectionsFile, zoho: Zoho, incomplete: Set[str]) -> Iterator[FileProblem]:
    """What is wrong with the values. What is missing from the tables at the paths `incomplete` has
    been noted."""
    yield from _check_clients(document, zoho, incomplete)
    lowered: dict[str, str] = {}
    targets: dict[tuple[str, str, str], str] = {}
    for name, table in document.connections.items():
        path = key_path("connections", name)
        if not NAME_PATTERN.fullmatch(name):
            yield FileProblem(path, Failure("bad-name", details={"name": name}))
        if other := lowered.setdefault(name.lower(), name) != name and lowered[name.lower()]:
            yield FileProblem(path, Failure("file-repeated", details={"other": other}))
        yield from _check_connection(path, table, document, zoho, incomplete)
        for number, each in enumerate(table.destinations):
            here = f"{path}.destinations[{number}]"
            if here not in incomplete:
                yield from _problems(here, partial(_check_destination, name, each))
            key = (name, each.to, each.entry)
            if targets.setdefault(key, here) != here:
                yield FileProblem(here, Failure("file-repeated", details={"other": targets[key]}))
    if document.monitor and webhook.is_url(document.monitor.notify):
        yield FileProblem("monitor.notify", Failure("file-notify-url"))


def _check_clients(
    document: ConnectionsFile, zoho: Zoho, incomplete: Set[str]
) -> Iterator[FileProblem]:
    by_id: dict[str, str] = {}
    for name, client in document.clients.items():
        path = key_path("clients", name)
        if not name.strip():
            yield FileProblem(path, Failure("file-missing-key"))
        if not CLIENT_ID.fullmatch(client.id) and (client.id or path not in incomplete):
            yield FileProblem(f"{path}.id", Failure("file-client-id"))
        if client.id and by_id.setdefault(client.id, name) != name:
            yield FileProblem(
                f"{path}.id", Failure("file-repeated", details={"other": by_id[client.id]})
            )
        if not client.data_centers and path not in incomplete:
            yield FileProblem(f"{path}.data_centers", Failure("file-missing-key"))
        for number, location in enumerate(client.data_centers):
            here = f"{path}.data_centers[{number}]"
            yield from _problems(here, partial(zoho.data_center, location))
        is_invalid = client.redirect_uri and not is_redirect_uri(client.redirect_uri)
        if is_invalid or (client.self_client and client.redirect_uri):
            yield FileProblem(f"{path}.redirect_uri", Failure("file-redirect-uri"))


def _check_connection(
    path: str,
    table: ConnectionTable,
    document: ConnectionsFile,
    zoho: Zoho,
    incomplete: Set[str],
) -> Iterator[FileProblem]:
    is_client_known = table.client in document.clients or "" in incomplete
    if not (is_client_known or (not table.client and path in incomplete)):
        known = [*document.clients][:MAX_COMPARED_CLIENTS]
        near = difflib.get_close_matches(table.client, known, n=1, cutoff=0.5)
        details = {"client": table.client, "nearest": "".join(near)}
        yield FileProblem(f"{path}.client", Failure("file-unknown-client", details=details))
    if table.data_center:
        yield from _problems(f"{path}.data_center", partial(zoho.data_center, table.data_center))
    client = document.clients.get(table.client)
    if client and table.data_center and table.data_center not in client.data_centers:
        details = {"client": table.client, "wanted": table.data_center}
        yield FileProblem(f"{path}.data_center", Failure("file-data-center", details=details))
    checks: tuple[tuple[str, dict[str, Any]], ...] = (
        ("presets", {"preset_ids": table.presets}),
        ("scopes", {"scope": ",".join(table.scopes)}),
        ("account", {"expected_email": table.account}),
        ("owner", {"owner": table.owner}),
        ("tags", {"tags": table.tags}),
        ("note", {"note": table.note}),
        ("organization", {"owner": table.organization}),
    )
    for key, values in checks:
        if any(values.values()):
            request = {"preset_ids": (), "scope": ACCOUNT_SCOPE, **values}
            yield from _problems(
                f"{path}.{key}",
                partial(ConnectionRequest.of, location=None, **request),
            )
    if table.environment and table.environment.title() not in ENVIRONMENTS:
        near = difflib.get_close_matches(table.environment.title(), ENVIRONMENTS, n=1)
        details = {"nearest": "".join(near), "known": ", ".join(ENVIRONMENTS)}
        yield FileProblem(f"{path}.environment", Failure("file-environment", details=details))
    if not (table.presets or table.scopes) and path not in incomplete:
        yield FileProblem(path, Failure("no-preset"))


def _check_destination(name: str, table: DestinationTable) -> None:
    if table.profile.endswith(PROFILE_FILE_SUFFIX):
        return  # a file of the machine where it is applied
    wanted = profile(table.profile)
    entry = table.entry or (name if wanted.has_named_entries else "")
    check_names(wanted, entry, table.names, table.values)
    if table.mode and wanted.is_command:
        raise fail("file-options-of-command")
    if table.mode:
        file_access(table.mode, "")
    if not wanted.is_command and not os.path.isabs(os.path.expanduser(table.to)):
        raise fail("file-relative-path", path=table.to)


def _problems(path: str, check: Callable[[], object]) -> Iterator[FileProblem]:
    """The problem that `check` raises, if it raises one."""
    try:
        check()
    except WizardError as error:
        yield FileProblem(path, error.failure)
