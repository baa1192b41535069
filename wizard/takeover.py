"""Take over the credentials of many programs: find their files, and test each refresh token.

The search reads and never writes. It is bounded: it follows no link out of the directories that the
user named, skips what belongs to version control and package managers, and has limits of depth,
entries and file size. What it couldn't read is named, except large files that the user didn't name.
"""

import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, count, islice
from pathlib import Path

from wizard.connection_details import client_details
from wizard.credential_formats import TOKEN_BYTES
from wizard.delivery.destination_files import MAX_FILE_BYTES, FormatError
from wizard.errors import WizardError, fail
from wizard.importing import FoundCredentials, Importer, VerifiedCredentials, find_credentials
from wizard.model import Account, Failure, FailureKind, Grant
from wizard.product_api import ProductApi
from wizard.store import Store
from wizard.zoho import ACCOUNT_SCOPE, DataCenter, Zoho

SKIPPED_DIRECTORIES = frozenset(
    {".git", ".hg", ".svn", "node_modules", ".venv", "venv", "site-packages", "__pycache__", ".tox"}
)
MAX_DEPTH = 16
MAX_ENTRIES = 100_000
"""Files and directories in all, so that a mistaken ``/`` ends within seconds."""
MAX_SKIPPED = 200

GENERAL_FILE_NAMES = ("config", "credentials", "mcp", "rclone", "sdk_tokens", "settings", "tokens")
"""Names of files that say less about a program than the name of its directory."""

_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_WILDCARDS = re.compile(r"[*?\[]")
_NAME_GAPS = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True)
class CredentialSource:
    """Where a refresh token was found."""

    path: str
    entry: str
    """Its name in the file; empty if it has none."""
    profile: str
    """How the file was read; empty: by the meaning of its names."""


@dataclass(frozen=True)
class SkippedPath:
    """A file or directory that was found but not read, or not understood."""

    path: str
    reason: str
    """A code of the table ``skipped-paths``."""
    detail: str = ""


@dataclass(frozen=True)
class Discovery:
    """What a search found."""

    found: tuple[tuple[CredentialSource, FoundCredentials], ...]
    skipped: tuple[SkippedPath, ...]


def is_pattern(text: str) -> bool:
    """Whether `text` names more than one file: a directory, or a pattern that isn't a file."""
    path = os.path.expanduser(text)
    return os.path.isdir(path) or (not os.path.exists(path) and bool(_WILDCARDS.search(text)))


def discover(patterns: Sequence[str]) -> Discovery:
    """Search directories, files, and patterns such as ``~/apps/*/.env`` for refresh tokens.

    Raises ``import-missing`` for a path that doesn't exist.
    """
    search = _Search()
    for pattern in patterns:
        search.add(os.path.abspath(os.path.expanduser(pattern)))
    return Discovery(tuple(search.found), tuple(search.skipped))


class _Search:
    """One search, with what it has found so far."""

    def __init__(self) -> None:
        self.found: list[tuple[CredentialSource, FoundCredentials]] = []
        self.skipped: list[SkippedPath] = []
        self._entries = 0
        self._root = ""
        self._device = 0
        self._read_files: set[tuple[int, int]] = set()

    def add(self, path: str) -> None:
        """Search one directory, file or pattern."""
        if os.path.exists(path):
            self._set_root(path)
            self._visit(self._root, MAX_DEPTH)
            return
        if not _WILDCARDS.search(path):
            raise fail("import-missing", path=path)
        fixed = re.split(r"[^/\\]*[*?\[]", path, maxsplit=1)[0]
        if not os.path.isdir(fixed):
            raise fail("import-missing", path=fixed)
        self._set_root(fixed)
        self._visit_matches(self._root, Path(path).relative_to(fixed).parts, MAX_DEPTH)

    def _set_root(self, path: str) -> None:
        self._root = os.path.realpath(path)
        self._device = os.stat(self._root).st_dev

    def _visit_matches(self, path: str, parts: Sequence[str], depth: int) -> None:
        """Visit what matches the rest of a pattern below `path`; ``**`` follows no link."""
        if not parts:
            self._visit(path, MAX_DEPTH)
            return
        is_any_depth, rest = parts[0] == "**", parts[1:]
        if is_any_depth:
            self._visit_matches(path, rest, depth)
            if not rest:
                return
        try:
            for entry in self._list(path, depth) if os.path.isdir(path) else ():
                if entry.name in SKIPPED_DIRECTORIES or self._is_too_many(entry.path):
                    continue
                if is_any_depth:
                    if entry.is_dir(follow_symlinks=False):
                        self._visit_matches(entry.path, parts, depth - 1)
                elif fnmatch.fnmatch(entry.name, parts[0]) and self._is_inside(entry.path):
                    self._visit_matches(os.path.realpath(entry.path), rest, depth - 1)
        except OSError as error:
            self._skip(path, "unreadable", os.strerror(error.errno or 0))

    def _visit(self, path: str, depth: int) -> None:
        if self._is_too_many(path):
            return
        try:
            status = os.lstat(path)
            if status.st_dev != self._device:
                self._skip(path, "other-file-system")
            elif stat.S_ISDIR(status.st_mode):
                self._visit_directory(path, depth)
            elif stat.S_ISREG(status.st_mode):
                self._read(path, status)
        except OSError as error:
            self._skip(path, "unreadable", os.strerror(error.errno or 0))

    def _visit_directory(self, path: str, depth: int) -> None:
        for entry in self._list(path, depth):
            if entry.is_symlink():
                self._is_inside(entry.path)  # one that leads to an inner place is read there
            elif entry.name not in SKIPPED_DIRECTORIES:
                self._visit(entry.path, depth - 1)

    def _list(self, directory: str, depth: int) -> Sequence["os.DirEntry[str]"]:
        """The entries of a directory on the same file system, by name; none if it is too deep."""
        if os.stat(directory).st_dev != self._device:
            self._skip(directory, "other-file-system")
            return ()
        if depth == 0:
            self._skip(directory, "too-deep", str(MAX_DEPTH))
            return ()
        with os.scandir(directory) as entries:
            return sorted(islice(entries, MAX_ENTRIES), key=lambda entry: entry.name)

    def _is_too_many(self, path: str) -> bool:
        """Count one more entry; note `path` if it is the first that is too many."""
        self._entries += 1
        if self._entries == MAX_ENTRIES + 1:
            self.skipped.insert(0, SkippedPath(path, "too-many", str(MAX_ENTRIES)))
        return self._entries > MAX_ENTRIES

    def _is_inside(self, path: str) -> bool:
        """Whether `path` is below the root once all links are resolved; one that isn't is noted."""
        is_inside = os.path.join(os.path.realpath(path), "").startswith(
            os.path.join(self._root, "")
        )
        if not is_inside:
            self._skip(path, "link-outside")
        return is_inside

    def _read(self, path: str, status: os.stat_result) -> None:
        """Read the credentials of a regular file, once however often it is reached."""
        if status.st_size > MAX_FILE_BYTES:
            if path == self._root:
                self._skip(path, "too-large", str(MAX_FILE_BYTES // 1024**2))
            return
        if (status.st_dev, status.st_ino) in self._read_files:
            return
        self._read_files.add((status.st_dev, status.st_ino))
        with os.fdopen(os.open(path, _OPEN_FLAGS), "rb") as file:
            opened = os.fstat(file.fileno())
            if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino):
                return  # replaced meanwhile
            content = file.read(MAX_FILE_BYTES)
        if not TOKEN_BYTES.search(content):
            return
        sets: tuple[FoundCredentials, ...] = ()
        with suppress(UnicodeDecodeError, FormatError):
            sets = find_credentials(content.decode())
        tokens = [each for each in sets if each.values.get("refresh_token")]
        if not tokens:
            self._skip(path, "unknown-format")
        for each in tokens:
            self.found.append((CredentialSource(path, each.entry, each.profile), each))

    def _skip(self, path: str, reason: str, detail: str = "") -> None:
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append(SkippedPath(path, reason, detail))


@dataclass(frozen=True)
class Candidate:
    """One refresh token that was found, and what is known about it."""

    credentials: FoundCredentials
    sources: tuple[CredentialSource, ...]
    """Every place where it was found."""
    name: str
    """Of the connection that it becomes, or that it is stored as."""
    is_stored: bool = False
    """The refresh token was stored before."""
    verified: VerifiedCredentials | None = None
    account: Account | None = None
    """None: not known yet, or its scopes don't include it."""
    grant: Grant | None = None
    """Set once it is stored by this import."""
    failure: Failure | None = None

    @property
    def client_id(self) -> str:
        """Empty if it wasn't found."""
        return self.credentials.values.get("client_id", "")

    @property
    def is_accepted(self) -> bool:
        """Whether Zoho accepts it, and it can be stored."""
        return self.verified is not None and self.failure is None

    @property
    def is_open(self) -> bool:
        """Whether a test can change what is known."""
        return not self.is_stored and (self.failure is None or self.failure.temporary)


class Takeover:
    """Tests refresh tokens that other programs use, and stores them."""

    def __init__(
        self,
        store: Store,
        importer: Importer,
        product_api: ProductApi,
        zoho: Zoho,
        redirect_uri: str,
    ) -> None:
        self._store = store
        self._importer = importer
        self._product_api = product_api
        self._zoho = zoho
        self._redirect_uri = redirect_uri
        """Of a client whose file names none."""
        self._tested_clients: dict[tuple[str, str, str], DataCenter | Failure] = {}
        """By client ID, secret, and the data center that is named."""

    def candidates(self, discovery: Discovery) -> tuple[Candidate, ...]:
        """The refresh tokens that were found, each once, with a free name."""
        grouped: dict[tuple[str, str], list[tuple[CredentialSource, FoundCredentials]]] = {}
        clients = {
            each.values["refresh_token"]: each.values["client_id"]
            for _, each in discovery.found
            if each.values.get("client_id")
        }
        for source, credentials in discovery.found:
            token = credentials.values["refresh_token"]
            client_id = credentials.values.get("client_id") or clients.get(token, "")
            grouped.setdefault((client_id, token), []).append((source, credentials))
        taken = {each.name.lower() for each in self._store.connections.all()}
        return tuple(self._candidate(group, taken) for group in grouped.values())

    def test(self, candidate: Candidate, location: str | None = None, scope: str = "") -> Candidate:
        """Refresh once, within the client's budget, and read the account. A client and its secret
        are tested only once.

        If the server replaced the refresh token, the new one exists nowhere else, so the connection
        is stored at once.
        """
        credentials = candidate.credentials
        try:
            data_center = self._data_center_of(credentials, location)
            verified = self._importer.verify_at(data_center, credentials, scope, within_budget=True)
        except WizardError as error:
            return replace(candidate, failure=error.failure)
        tested = replace(candidate, verified=verified, failure=None)
        if verified.rotated:
            return self.store(tested)
        tested = replace(tested, account=self._account_of(verified))
        known = {each.client_id: each for each in self._store.clients.all()}
        client = known.get(verified.client_id)
        stored = client.secret_for(data_center.location) if client else None
        if client is None or stored in (None, verified.client_secret):
            return tested
        details = client_details(client, self._zoho, data_center.location)
        return replace(tested, failure=Failure("secret-differs", details=details))

    def store(self, candidate: Candidate) -> Candidate:
        """Store a tested candidate as a connection, whose grant isn't verified yet. Raises
        ``connection-exists``."""
        if candidate.verified is None:
            raise ValueError("not tested")
        redirect_uri = candidate.credentials.values.get("redirect_uri", "")
        grant = self._importer.import_connection(
            candidate.verified, candidate.name, redirect_uri=redirect_uri or self._redirect_uri
        )
        return replace(candidate, grant=grant)

    def _candidate(
        self, group: Sequence[tuple[CredentialSource, FoundCredentials]], taken: set[str]
    ) -> Candidate:
        """The most complete credentials of a group with the same token; its name is added to
        `taken`."""
        credentials = max((each for _, each in group), key=lambda each: -len(each.missing))
        sources = tuple(source for source, _ in group)
        try:
            holder = self._importer.holder_of(credentials)
        except WizardError as error:
            return Candidate(credentials, sources, "", failure=error.failure)
        if holder is not None:
            return Candidate(credentials, sources, holder, is_stored=True)
        name = next(each for each in _names(sources[0]) if each.lower() not in taken)
        taken.add(name.lower())
        return Candidate(credentials, sources, name)

    def _data_center_of(self, credentials: FoundCredentials, location: str | None) -> DataCenter:
        """The data center that accepts the client, which is asked once for each secret and each
        data center that files name. One for which it is stored with this secret isn't asked."""
        hinted = self._importer.hinted_data_center(credentials)
        named = location or (hinted.location if hinted else "")
        client_id, secret = (credentials.values[each] for each in ("client_id", "client_secret"))
        key = client_id, secret, named
        if key not in self._tested_clients:
            try:
                self._tested_clients[key] = self._known_data_center(
                    *key
                ) or self._importer.find_data_center(credentials, location)
            except WizardError as error:
                if error.failure.temporary:
                    raise
                self._tested_clients[key] = error.failure
        known = self._tested_clients[key]
        if isinstance(known, Failure):
            raise WizardError(known)
        return known

    def _known_data_center(self, client_id: str, secret: str, named: str) -> DataCenter | None:
        matching = (
            location
            for client in self._store.clients.all()
            for location in client.locations
            if client.client_id == client_id
            and client.secret_for(location) == secret
            and named in ("", location)
        )
        known = next(matching, None)
        return self._zoho.data_center(known) if known else None

    def _account_of(self, verified: VerifiedCredentials) -> Account | None:
        if verified.token is None or ACCOUNT_SCOPE not in verified.scope:
            return None
        secrets = (verified.client_secret, verified.refresh_token)
        try:
            account, _date = self._product_api.masking(secrets).account(
                verified.token.access_token, verified.data_center.location
            )
        except WizardError:
            return None  # the verification says why
        return account


def stops_import(failure: Failure) -> bool:
    """Whether the next candidates would fail in the same way: Zoho can't be reached."""
    return failure.kind in (FailureKind.NETWORK, FailureKind.OUTAGE)


def _names(source: CredentialSource) -> Iterator[str]:
    """Names for a connection: that of the entry, of the file or of its directory; then numbered
    ones."""
    file = Path(source.path)
    if file.name.startswith(".env"):
        place = f"{file.parent.name} {file.name.removeprefix('.env')}"
    else:
        place = file.parent.name if file.stem.lower() in GENERAL_FILE_NAMES else file.stem
    words = (source.entry if not source.entry.isdigit() else "", place, "imported")
    cleaned = (_NAME_GAPS.sub("-", each).strip("-").lower()[:40] for each in words)
    stem = next(each for each in cleaned if each not in ("", "new"))
    return chain((stem,), (f"{stem}-{number}" for number in count(2)))
