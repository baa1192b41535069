"""``token`` and ``run`` from the cached access token, without the rest of the wizard.

A program may need its token a hundred times an hour, so startup must be fast: this only reads two
small files and decrypts one. If the token is due for a refresh, one process falls back to the full
program, and the others wait here for its result. If it is a copy from a shared store that is older
than a minute, one process has the local service renew it, or asks the store. Anything unusual about
the arguments, environment, files or key also falls back, to get a proper error message.
"""

import os
import time

from wizard import files, locks, paths
from wizard.fastpath import cipher, process, served_tokens, token_file
from wizard.fastpath.token_file import MAX_TTL_SECONDS, CachedToken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

LOCK_TIMEOUT_SECONDS = 65.0
"""Enough for another process's refresh with all its retries."""
SERVICE_TIMEOUT_SECONDS = 0.5
"""A service that takes longer isn't waited for: the store itself can be asked."""
CONFIRMATION_PATH = "/copy"
"""Where the owner's socket renews the copy of an access token."""
_SUCCESS = b"HTTP/1.1 200 "
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}


class TokenRefused(Exception):
    """The token host can't be asked, or refuses the token."""

    def __init__(self, error: "dict[str, Any]") -> None:
        super().__init__(error["code"])
        self.error = error
        """As `token_host` describes it."""


class Request:
    """Arguments that the fast path understands."""

    __slots__ = ("as_json", "command", "min_ttl_seconds", "name")

    def __init__(
        self,
        name: str,
        min_ttl_seconds: int | None = None,
        as_json: bool = False,
        command: "list[str] | None" = None,
    ) -> None:
        self.name = name
        """Empty for the only connection."""
        self.min_ttl_seconds = min_ttl_seconds
        """None: until the token is due for a refresh."""
        self.as_json = as_json
        self.command = command
        """Of ``run``; None for ``token``."""


def execute(arguments: "Sequence[str]", environ: "Mapping[str, str]") -> int | None:
    """Run a command line; return its exit code, or None to fall back to the full program. This
    process may then have the lock for a refresh. Raises `TokenRefused`."""
    request = parse(arguments)
    if request is None or has_bad_setting(environ):
        return None
    if address := paths.remote_address(environ):
        return _execute_remotely(request, address, environ)
    request.name = request.name or only_connection(environ)
    token = cached_or_refreshed_token(request, environ) if request.name else None
    if token is None:
        return None
    if (request.as_json and not token.document) or (request.command and not token.variables):
        return None
    asker = os.getpid() if request.command else os.getppid()
    served_tokens.note(paths.locate(environ).served_log, request.name, token.generation, asker)
    return _serve(request, token, environ)


def _execute_remotely(request: Request, address: str, environ: "Mapping[str, str]") -> int | None:
    from wizard.fastpath import ssh_requests, token_host

    host = token_host.parse_address(address)
    names = (request.name,) if request.name else ()
    if host is None or not all(map(ssh_requests.is_name, names)):
        return None
    asked = ssh_requests.SshRequest("token", names, request.min_ttl_seconds)
    token = token_host.get_token(host, asked, environ)
    if not isinstance(token, CachedToken):
        raise TokenRefused(token)
    return _serve(request, token, environ)


def _serve(request: Request, token: CachedToken, environ: "Mapping[str, str]") -> int | None:
    if request.command:
        return _replace_process(request.command, request.name, token, environ)
    if not request.as_json:
        return process.write_output(f"{token.access_token}\n")
    return process.write_output(token.document_at(time.time()) + "\n")


def parse(arguments: "Sequence[str]") -> Request | None:
    """Parse the arguments; None to fall back."""
    kind, rest = arguments[0], list(arguments[1:])
    command: list[str] = []
    if kind == "run":
        if "--" not in rest:
            return None
        end = rest.index("--")
        rest, command = rest[:end], rest[end + 1 :]
    if (kind == "run") != bool(command) or kind not in ("token", "run"):
        return None
    name, min_ttl_seconds, as_json = "", None, False
    words = iter(rest)
    for word in words:
        option, equals, value = word.partition("=")
        if option == "--min-ttl":
            min_ttl_seconds = _parse_duration(value if equals else next(words, ""))
            if min_ttl_seconds is None:
                return None
        elif word == "--json" and not command:
            as_json = True
        elif word == "--no-input":
            pass  # the fast path never prompts
        elif name or word.startswith("-"):
            return None
        else:
            name = word
    if command and not name:
        return None
    return Request(name, min_ttl_seconds, as_json, command or None)


def only_connection(environ: "Mapping[str, str]") -> str:
    """The name of the connection if there is exactly one; else empty, to fall back."""
    rows = read_database(environ, "SELECT name FROM connections LIMIT 2")
    return str(rows[0][0]) if len(rows) == 1 else ""


def read_database(environ: "Mapping[str, str]", query: str, *values: str) -> "list[Any]":
    """The rows of a query; none if the database can't be read, or isn't the one in use.

    It creates no file, as SQLite would for a database that nobody uses now.
    """
    import sqlite3

    here = paths.locate(environ)
    if here.uses_shared_store:
        return []
    database = here.database
    mode = "mode=ro" if os.path.exists(f"{database}-wal") else "immutable=1"
    address = database.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    try:
        connection = sqlite3.connect(f"file:{address}?{mode}", uri=True)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return []


def cached_or_refreshed_token(request: Request, environ: "Mapping[str, str]") -> CachedToken | None:
    """The cached access token, or the one that another process refreshes now. None: fall back,
    perhaps with the lock, to refresh in this process."""
    name, min_ttl = request.name, request.min_ttl_seconds
    token = cached_token(name, environ, time.time(), min_ttl)
    if token is not None:
        return token
    here, begun = paths.locate(environ), time.monotonic()
    lock = here.lock_file(name)
    try:
        # Without a key, waiting doesn't help.
        key = cipher.load_key(here.key_file, here.is_key_credential)
        while not locks.try_acquire(lock):
            token = cached_token(name, environ, time.time(), accept_due=True)
            if token is not None or time.monotonic() > begun + LOCK_TIMEOUT_SECONDS:
                return token
            locks.pause(begun)
    except (OSError, ValueError):
        return None
    token = cached_token(name, environ, time.time(), min_ttl)
    if token is None and here.uses_shared_store:
        if not _is_confirmed_by_service(here, name):
            _confirm_copy(here, name, key)
        token = cached_token(name, environ, time.time(), min_ttl)
    if token is not None:
        locks.release(lock)
    return token


def _is_confirmed_by_service(here: paths.Paths, name: str) -> bool:
    """Have the service of this data directory replace the copy with what the store has now, under
    the lock. It has a connection to the database, and psycopg is expensive to import. False: none
    does, or it uses a different store."""
    import socket

    from wizard.fastpath.ssh_requests import is_name

    try:
        if not is_name(name):
            return False
        target = f"{CONFIRMATION_PATH}?name={name}&store={here.shared_store_id}"
        directory = os.open(here.data_dir, os.O_RDONLY)
        try:
            with socket.socket(socket.AF_UNIX) as service:
                service.settimeout(SERVICE_TIMEOUT_SECONDS)
                service.connect(files.socket_address(here.socket, directory))
                service.sendall(f"POST {target} HTTP/1.1\r\nHost: zoho-wizard\r\n\r\n".encode())
                return service.recv(len(_SUCCESS)) == _SUCCESS
        finally:
            os.close(directory)
    except (AttributeError, OSError):  # Windows has no such sockets
        return False


def _confirm_copy(here: paths.Paths, name: str, key: bytes) -> None:
    """Ask the shared store for the access token, under the lock."""
    try:
        from wizard.fastpath import shared_store

        shared_store.confirm_copy(here, name, key)
    except Exception:  # noqa: S110 - the full program says what is wrong
        pass


def cached_token(
    name: str,
    environ: "Mapping[str, str]",
    now: float,
    min_ttl_seconds: int | None = None,
    *,
    accept_due: bool = False,
) -> CachedToken | None:
    """The cached access token of connection ``name`` if it can be served at ``now`` (seconds since
    1970); None: fall back.

    It must have ``min_ttl_seconds`` left (None: must not be due for a refresh). With ``accept_due``
    it only has to be usable.
    """
    try:
        here = paths.locate(environ)
        content = token_file.read(here.token_file(name))
        expires_at, refresh_at, issued_at, _ = token_file.parse_header(content)
        if accept_due or min_ttl_seconds is not None:
            serves = token_file.is_usable(expires_at, issued_at, now, min_ttl_seconds or 0)
        else:
            serves = token_file.is_fresh(expires_at, refresh_at, issued_at, now)
        if not (serves and token_file.is_confirmed(content, now)):
            return None
        key = cipher.load_key(here.key_file, here.is_key_credential)
        return token_file.unpack(key, here.token_owner(name), content)
    except (OSError, ValueError):
        return None


def _replace_process(
    command: list[str], name: str, token: CachedToken, environ: "Mapping[str, str]"
) -> int | None:
    """Replace this process by the command; None if it can't be started."""
    environment = {
        variable: value
        for variable, value in environ.items()
        if not variable.startswith("ZOHO_") or (variable in paths.SERVICE_VARIABLES and value)
    }
    variables = process.token_variables(name, token.access_token, token.variable_values)
    environment.update(variables)
    process.forbid_core_dumps()
    try:
        process.replace_process(command, environment)
    except OSError:
        return None


def has_bad_setting(environ: "Mapping[str, str]") -> bool:
    """Whether the full program would refuse a setting."""
    is_live = not environ.get("ZOHO_WIZARD_SIMULATOR_URL")
    if is_live and paths.trusts_simulator(environ):
        return True
    return bool(paths.relative_setting(environ)) or any(
        name.startswith(paths.VARIABLE_PREFIX) and name not in paths.KNOWN_VARIABLES
        for name in environ
    )


def _parse_duration(text: str) -> int | None:
    """Seconds of ``90``, ``90s``, ``15m``; None if it isn't a duration or is too long."""
    unit = _UNIT_SECONDS.get(text[-1:])
    number = text if unit is None else text[:-1]
    if not (number.isascii() and number.isdigit() and len(number) <= 5):
        return None
    seconds = int(number) * (unit or 1)
    return seconds if seconds <= MAX_TTL_SECONDS else None
