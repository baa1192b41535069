"""The local API: what a serving wizard answers to other processes, over two Unix sockets.

* the owner's socket (mode 0600, in the data directory): its owner may request the access token of
  any connection, one-time browser links, and, for commands without the encryption key, the list
  of connections;
* the shared socket (mode 0666, in a directory that others may enter but not list): any user,
  including the owner, may request the access tokens of the connections they have access to, and
  nothing else. Its directory can be mounted into containers.

On both, the kernel reports the user of a connection. The protocol is HTTP: a program needs only
``curl --unix-socket PATH http://zoho-wizard/token/NAME``. Requests from browsers are rejected, in
case someone forwards a port to a socket. Every token served or refused is an event in the
connection's history.
"""

import errno
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from wizard.errors import WizardError, fail
from wizard.local_api.hand_outs import HandOuts
from wizard.local_api.request_handler import (
    LIST_PATH,
    LIST_TIMEOUT_SECONDS,
    METRICS_PATH,
    SERVICE_PATH,
    TOKEN_PATH,
    HandlerContext,
    SocketServer,
)
from wizard.local_api.sockets import (
    HAS_PEER_CREDENTIALS,
    alone_in,
    default_shared_directory,
    first_inaccessible_directory,
    has_unix_sockets,
    prepare_shared_directory,
    remove_lock_file,
    socket_address,
)
from wizard.model import Failure
from wizard.monitoring.observations import Observations, RecentObservations
from wizard.paths import Paths
from wizard.services import Services
from wizard.timefmt import parse_iso

__all__ = [
    "HAS_PEER_CREDENTIALS",
    "LocalApi",
    "ServedAccess",
    "ServedOutput",
    "Service",
    "default_shared_directory",
    "find_service",
    "first_inaccessible_directory",
    "request_access",
    "request_browser_link",
    "request_list",
    "request_metrics",
    "request_shared_socket",
    "shared_socket_path",
]

log = logging.getLogger(__name__)

SOCKET_NAME = "socket"
RESPONSE_TIMEOUT_SECONDS = 3.0
"""Seconds to wait for a response that needs nothing from Zoho."""
TOKEN_TIMEOUT_SECONDS = 90.0
"""Enough for a refresh with all its retries."""


class LocalApi:
    """Serves the sockets of one installation while the context lasts."""

    def __init__(
        self,
        services: Services,
        create_browser_link: Callable[[str, bool], str] | None,
        directory: Path | None = None,
        inherited: socket.socket | None = None,
    ) -> None:
        """`create_browser_link` is None without the pages; `inherited` is a shared socket that the
        service manager opened, and keeps."""
        self._services = services
        self._hand_outs = HandOuts(services)
        self._recent_observations = RecentObservations(self._observe, services.clock)
        self._create_browser_link = create_browser_link
        self._inherited = inherited
        if inherited is not None:
            directory = Path(os.fsdecode(inherited.getsockname())).parent
        self._is_chosen = directory is not None
        self._directory = directory or default_shared_directory(services.paths)
        self._servers: dict[Path, SocketServer] = {}
        self._lock = threading.Lock()
        self._locks = ExitStack()

    def __enter__(self) -> "LocalApi":
        """Serve the owner's socket, and the shared one if any user has access.

        The caller must be the only server of this data directory, since stale sockets are replaced.
        Where no file can be made, a socket is missing, and the pages work. Raises
        ``socket-unusable`` if something else is in the way of the owner's socket. For a directory
        that was chosen, raises as `open_shared_socket` does.
        """
        if has_unix_sockets():
            try:
                self._listen(Path(self._services.paths.socket), 0o600, is_shared=False)
            except WizardError as error:
                if not error.failure.temporary:
                    raise
                reason = error.failure.details["reason"]
                log.warning("the owner's socket can't be served: %s", reason)
            try:
                if self._inherited is not None:
                    path = self._directory / SOCKET_NAME
                    self._listen(path, 0, is_shared=True, inherited=self._inherited)
                elif self._services.store.access_permissions.all():
                    self.open_shared_socket()
            except WizardError as error:
                if self._is_chosen:
                    self.__exit__()
                    raise
                log.warning("the shared socket can't be served: %s", error.failure.code)
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop serving and remove the sockets, and the shared directory unless it was chosen: that
        one may be mounted in containers."""
        for server in self._servers.values():
            server.shutdown()
            server.remove()
        was_shared = self._directory / SOCKET_NAME in self._servers
        if was_shared and not self._is_chosen:
            remove_lock_file(self._directory)
        self._locks.close()
        if was_shared and not self._is_chosen:
            with suppress(OSError):  # another wizard may be starting
                self._directory.rmdir()

    def open_shared_socket(self) -> Path:
        """Serve the shared socket too, from now on; return its path.

        Raises ``users-unknown-here``, ``shared-directory-unsafe``, ``shared-directory-in-use`` or
        ``socket-unusable``.
        """
        if not HAS_PEER_CREDENTIALS:
            raise fail("users-unknown-here")
        path = self._directory / SOCKET_NAME
        with self._lock:
            if path not in self._servers:
                prepare_shared_directory(self._directory)
                with ExitStack() as until_stopped:
                    until_stopped.enter_context(alone_in(self._directory))
                    self._listen(path, 0o666, is_shared=True)
                    self._locks = until_stopped.pop_all()
        return path

    def _observe(self) -> Observations:
        with self._services.snapshot() as services:
            return services.observer.observe()

    def _listen(
        self,
        path: Path,
        mode: int,
        *,
        is_shared: bool,
        inherited: socket.socket | None = None,
    ) -> None:
        context = HandlerContext(
            self._services,
            self._hand_outs,
            self._recent_observations.get if is_shared else self._observe,
            self._create_browser_link,
            self.open_shared_socket,
            is_shared,
        )
        try:
            server = SocketServer(path, context, mode, inherited)
        except OSError as error:
            # A full disk may have space again; what is in place of the socket stays there.
            is_temporary = error.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT)
            # A rename that fails names both files, and the second is the one in the way.
            failed = error.filename2 or error.filename or path
            details = {"path": str(failed), "reason": error.strerror or str(error)}
            failure = Failure("socket-unusable", temporary=is_temporary, details=details)
            raise WizardError(failure) from error
        self._servers[path] = server
        threading.Thread(
            target=server.serve_forever, args=(0.1,), name=f"local-api {path}", daemon=True
        ).start()


@dataclass(frozen=True)
class Service:
    """A wizard that serves."""

    has_pages: bool


def find_service(path: Path) -> Service | None:
    """The wizard that answers the owner's socket at `path`; None if none does."""
    response = _request(path, "GET", SERVICE_PATH, None, RESPONSE_TIMEOUT_SECONDS)
    return Service(response["pages"]) if response and "pages" in response else None


def shared_socket_path(paths: Paths) -> str:
    """Where other users ask, as the wizard that serves says; if none does, the default."""
    with suppress(WizardError):
        if served := request_shared_socket(Path(paths.socket)):
            return served
    return str(default_shared_directory(paths) / SOCKET_NAME)


@dataclass(frozen=True)
class ServedAccess:
    """An access token from the service, for a command without the encryption key."""

    value: str = field(repr=False)
    generation: int
    document: Mapping[str, Any] = field(repr=False)
    """What ``token --json`` prints."""
    variables: Mapping[str, str]
    """What ``run`` sets in addition to the token."""


@dataclass(frozen=True)
class ServedOutput:
    """What a command printed that the service ran."""

    exit_code: int
    stdout: str
    stderr: str


class _Connection(HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("zoho-wizard", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with socket_address(self._path) as address:
            self.sock.connect(address)


def request_browser_link(path: Path, path_on_site: str, *, is_printed: bool) -> str | None:
    """Request a one-time browser link to `path_on_site` (such as ``/``) from the socket at `path`.

    A link that `is_printed` is valid longer than one that we open. Returns the link, or None if no
    wizard responds.
    """
    response = _post(
        path, "/browser-link?" + urlencode({"page": path_on_site, "printed": int(is_printed)})
    )
    return str(response["link"]) if response and "link" in response else None


def request_shared_socket(path: Path) -> str | None:
    """Have the wizard behind the owner's socket at `path` serve the shared socket, too; return that
    socket's path, or None if no wizard responds. Raises its failure."""
    response = _succeeded(_post(path, "/shared-socket"))
    return str(response["socket"]) if response else None


def request_access(
    path: Path, name: str, *, min_ttl: int | None, force_refresh: bool, rejected: str
) -> ServedAccess | None:
    """Request an access token of connection `name` from the owner's socket at `path`, with the
    options of ``token``; None if no wizard responds. Raises its failure."""
    query = {"details": "1"} | ({} if min_ttl is None else {"min-ttl": str(min_ttl)})
    query |= {"force": "1"} if force_refresh else {}
    response = _succeeded(
        _request(
            path,
            "POST" if rejected else "GET",
            f"{TOKEN_PATH}{quote(name, safe='')}?{urlencode(query)}",
            rejected or None,
            TOKEN_TIMEOUT_SECONDS,
        )
    )
    if response is None:
        return None
    variables = response.pop("variables")
    return ServedAccess(response["access_token"], response["generation"], response, variables)


def request_list(path: Path, options: Mapping[str, list[str]]) -> ServedOutput | None:
    """What ``list`` prints with `options`, from the owner's socket at `path`; None if no wizard
    responds."""
    target = f"{LIST_PATH}?{urlencode(options, doseq=True)}"
    response = _succeeded(_request(path, "GET", target, None, LIST_TIMEOUT_SECONDS))
    return ServedOutput(**response) if response else None


def request_metrics(path: Path) -> str | None:
    """The metrics, from the owner's socket at `path`; None if no wizard responds. Raises its
    failure."""
    status, text = _exchange(path, "GET", METRICS_PATH, None, RESPONSE_TIMEOUT_SECONDS) or (0, b"")
    if status == HTTPStatus.OK:
        return text.decode()
    _succeeded(_parsed(text))
    return None


def _succeeded(response: dict[str, Any] | None) -> dict[str, Any] | None:
    """The response, unless it is a failure, which is raised."""
    if response and "error" in response:
        error = response["error"]
        raise WizardError(
            Failure(
                error["code"],
                temporary=error["temporary"],
                details=error["details"],
                retry_at=parse_iso(error["retry_at"]) if error["retry_at"] else None,
            )
        )
    return response


def _post(path: Path, target: str) -> dict[str, Any] | None:
    return _request(path, "POST", target, None, RESPONSE_TIMEOUT_SECONDS)


def _request(
    path: Path, method: str, target: str, body: str | None, timeout: float
) -> dict[str, Any] | None:
    exchanged = _exchange(path, method, target, body, timeout)
    return _parsed(exchanged[1]) if exchanged else None


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        response = json.loads(text)
    except ValueError:
        return None
    return response if isinstance(response, dict) else None


def _exchange(
    path: Path, method: str, target: str, body: str | None, timeout: float
) -> tuple[int, bytes] | None:
    """The status and the body of the response; None if no wizard responds."""
    if not has_unix_sockets():
        return None
    connection = _Connection(path, timeout)
    try:
        connection.request(method, target, body, {"Accept": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
