"""The local API: what a serving wizard answers to other processes, over two Unix sockets.

* the owner's socket (mode 0600, in the data directory): its owner may request the access token of
  any connection, and one-time browser links;
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
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from wizard.errors import WizardError, fail
from wizard.local_api.hand_outs import HandOuts
from wizard.local_api.request_handler import HandlerContext, SocketServer
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
from wizard.paths import Paths
from wizard.services import Services

__all__ = [
    "HAS_PEER_CREDENTIALS",
    "LocalApi",
    "default_shared_directory",
    "first_inaccessible_directory",
    "request_browser_link",
    "request_shared_socket",
    "shared_socket_path",
]

log = logging.getLogger(__name__)

SOCKET_NAME = "socket"
RESPONSE_TIMEOUT_SECONDS = 3.0
"""Seconds to wait for a response."""


class LocalApi:
    """Serves the sockets of one installation while the context lasts."""

    def __init__(
        self,
        services: Services,
        create_browser_link: Callable[[str, bool], str],
        directory: Path | None = None,
    ) -> None:
        self._services = services
        self._hand_outs = HandOuts(services)
        self._create_browser_link = create_browser_link
        self._is_chosen = directory is not None
        self._directory = directory or default_shared_directory(services.paths)
        self._servers: dict[Path, SocketServer] = {}
        self._lock = threading.Lock()
        self._locks = ExitStack()

    def __enter__(self) -> "LocalApi":
        """Serve the owner's socket, and the shared one if any user has access.

        The caller must be the only server of this data directory, since stale sockets are replaced.
        Where no file can be made, a socket is missing, and the pages work. Raises
        ``shared-directory-unsafe`` or ``shared-directory-in-use`` for a directory that was chosen.
        """
        if has_unix_sockets():
            try:
                self._listen(Path(self._services.paths.socket), 0o600, is_shared=False)
            except OSError as error:
                if error.errno not in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
                    raise
                log.warning("the owner's socket can't be served: %s", error.strerror)
            try:
                if self._services.store.access_permissions.all():
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

        Raises ``users-unknown-here``, ``shared-directory-unsafe`` or ``shared-directory-in-use``.
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

    def _listen(self, path: Path, mode: int, *, is_shared: bool) -> None:
        context = HandlerContext(
            self._services,
            self._hand_outs,
            self._create_browser_link,
            self.open_shared_socket,
            is_shared,
        )
        server = SocketServer(path, context, mode)
        self._servers[path] = server
        threading.Thread(
            target=server.serve_forever, args=(0.1,), name=f"local-api {mode:o}", daemon=True
        ).start()


def shared_socket_path(paths: Paths) -> str:
    """Where other users ask, as the wizard that serves says; if none does, the default."""
    with suppress(WizardError):
        if served := request_shared_socket(Path(paths.socket)):
            return served
    return str(default_shared_directory(paths) / SOCKET_NAME)


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("zoho-wizard", timeout=RESPONSE_TIMEOUT_SECONDS)
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
    response = _post(path, "/shared-socket")
    if response and "error" in response:
        error = response["error"]
        raise fail(error["code"], **error["details"])
    return str(response["socket"]) if response else None


def _post(path: Path, target: str) -> dict[str, Any] | None:
    if not has_unix_sockets():
        return None
    connection = _Connection(path)
    try:
        connection.request("POST", target)
        response = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return response if isinstance(response, dict) else None
