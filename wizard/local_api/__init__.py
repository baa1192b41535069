"""What a serving wizard answers to other processes of this machine, over Unix sockets.

There are two sockets, and on both the kernel says which user asks:

* the *own* socket (mode 0600, in the home's directory): its owner may ask for the access token of
  any connection, and for launch links to the pages;
* the *shared* socket (mode 0666, in a directory that others may enter but not read): any user may
  ask for the access tokens of the connections they were allowed, and for nothing else, its owner
  too. Bind-mounted with its directory it serves containers.

The language is HTTP, so that ``curl --unix-socket PATH http://zoho-wizard/token/NAME`` is all a
program needs; what a browser sends is refused, lest somebody bridges a socket to a port. Every
token that is handed out, and every refusal, is a line of the connection's history.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from wizard.errors import fail
from wizard.local_api.client import request_browser_link, request_shared_socket
from wizard.local_api.request_handler import HandlerContext, SocketServer
from wizard.local_api.shared_directory import (
    alone_in,
    default_shared_directory,
    first_inaccessible_directory,
    prepare_shared_directory,
)
from wizard.local_api.sockets import HAS_PEER_CREDENTIALS, Peer, has_unix_sockets
from wizard.services import Services

__all__ = [
    "HAS_PEER_CREDENTIALS",
    "LocalApi",
    "Peer",
    "default_shared_directory",
    "first_inaccessible_directory",
    "request_browser_link",
    "request_shared_socket",
]

SOCKET_NAME = "socket"


class LocalApi:
    """Answers on the sockets of one installation while the context lasts."""

    def __init__(
        self,
        services: Services,
        create_browser_link: Callable[[str, bool], str],
        directory: Path | None = None,
    ) -> None:
        self._services = services
        self._create_browser_link = create_browser_link
        self._directory = directory or default_shared_directory(services.paths)
        self._servers: dict[Path, SocketServer] = {}
        self._lock = threading.Lock()
        self._locks = ExitStack()

    def __enter__(self) -> "LocalApi":
        """Begin to answer on the own socket, and on the shared one where anybody was allowed.

        Whoever serves a home alone owns its sockets, so stale ones are replaced. Raises
        ``shared-directory-unsafe`` or ``shared-directory-in-use``.
        """
        if has_unix_sockets():
            self._listen(Path(self._services.paths.socket), 0o600, is_shared=False)
            try:
                if self._services.store.access_permissions.all():
                    self.open_shared_socket()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop answering and take the sockets away; the directory stays, for it may be mounted."""
        for server in self._servers.values():
            server.shutdown()
            server.remove()
        self._locks.close()

    def open_shared_socket(self) -> Path:
        """Answer on the shared socket too, from now on; returns its path.

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
            self._services, self._create_browser_link, self.open_shared_socket, is_shared
        )
        server = SocketServer(path, context, mode)
        self._servers[path] = server
        threading.Thread(
            target=server.serve_forever, args=(0.1,), name=f"local-api {mode:o}", daemon=True
        ).start()
