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

from wizard.endpoint.answer import Answering, SocketServer
from wizard.endpoint.peer import KERNEL_TELLS, Peer
from wizard.endpoint.place import alone_in, closed_to_others, prepare, shared_directory
from wizard.endpoint.ring import ring, share
from wizard.endpoint.sockets import has_sockets
from wizard.errors import fail
from wizard.house import House

__all__ = [
    "KERNEL_TELLS",
    "Endpoint",
    "Peer",
    "closed_to_others",
    "ring",
    "share",
    "shared_directory",
]

SOCKET = "socket"


class Endpoint:
    """Answers on the sockets of one house for as long as the context lasts."""

    def __init__(
        self,
        house: House,
        launch_link: Callable[[str, bool], str],
        shared_in: Path | None = None,
    ) -> None:
        self._house = house
        self._launch_link = launch_link
        self._directory = shared_in or shared_directory(house.home)
        self._servers: dict[Path, SocketServer] = {}
        self._lock = threading.Lock()
        self._locks = ExitStack()

    def __enter__(self) -> "Endpoint":
        """Begin to answer on the own socket, and on the shared one where anybody was allowed.

        Whoever serves a home alone owns its sockets, so stale ones are replaced. Raises
        ``shared-directory-unsafe`` or ``shared-directory-in-use``.
        """
        if has_sockets():
            self._listen(Path(self._house.home.socket), 0o600, shared=False)
            try:
                if self._house.store.allowances():
                    self.share()
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

    def share(self) -> Path:
        """Answer on the shared socket too, from now on; returns its path.

        Raises ``users-unknown-here``, ``shared-directory-unsafe`` or ``shared-directory-in-use``.
        """
        if not KERNEL_TELLS:
            raise fail("users-unknown-here")
        path = self._directory / SOCKET
        with self._lock:
            if path not in self._servers:
                prepare(self._directory)
                with ExitStack() as until_stopped:
                    until_stopped.enter_context(alone_in(self._directory))
                    self._listen(path, 0o666, shared=True)
                    self._locks = until_stopped.pop_all()
        return path

    def _listen(self, path: Path, mode: int, *, shared: bool) -> None:
        answering = Answering(self._house, self._launch_link, self.share, shared)
        server = SocketServer(path, answering, mode)
        self._servers[path] = server
        threading.Thread(
            target=server.serve_forever, args=(0.1,), name=f"endpoint {mode:o}", daemon=True
        ).start()
