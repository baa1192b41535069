"""The server of the pages: on both loopback addresses, with an orderly shutdown.

Whether a connection is accepted is decided before a request is read: a refused connection takes
neither a thread nor a slot, so another user's connections can't delay the owner's callback.
"""

import errno
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

from wizard.errors import explain, fail
from wizard.model import Failure
from wizard.services import Services
from wizard.web import socket_owner
from wizard.web.app import create_app, security_headers
from wizard.web.reauthorization import Assistance, AssistedRunFactory
from wizard.web.sessions import PRINTED_LINK_LIFETIME_SECONDS, LinkTokens

log = logging.getLogger("wizard.web.access")

Address = tuple[Any, ...]

OPENED_LINK_LIFETIME_SECONDS = 60
"""A link that we open in a browser ourselves is used at once."""
SHUTDOWN_TIMEOUT_SECONDS = 30
"""Longer than one call to Zoho, so that the exchange of a code isn't cut off."""
THREADS = 8
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Bytes. The guard's limit is lower, but applies only after the body was received."""
MOST_OF_ONE_USER = 64
"""Connections. At this limit, a new one replaces the one that has been idle longest."""
MOST_REFUSED = 16
"""Refused connections that may wait for their response; beyond that, the oldest is closed."""
MOST_AT_ONCE = 64
"""Connections that are accepted together."""
MOST_IN_ALL = 4 * MOST_OF_ONE_USER
"""Never reached: only our own, root's and unidentified users' connections are admitted."""


def bind_sockets(port: int) -> list[socket.socket]:
    """Bind 127.0.0.1 and, if the machine has IPv6, ::1.

    `localhost` may mean either: another program on the other one would receive our codes. Raises
    ``port-in-use`` if either is taken.
    """
    sockets: list[socket.socket] = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            sockets.append(_bind_socket(family, host, port))
        except OSError as error:
            if family == socket.AF_INET6 and error.errno != errno.EADDRINUSE:
                continue
            for bound in sockets:
                bound.close()
            raise fail("port-in-use", host=host, port=str(port)) from error
    return sockets


def _bind_socket(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # Allows a restart to reuse the port at once; an active listener still blocks it.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        # Two sockets can be bound to one port until one of them listens.
        bound.listen(64)
    except OSError:
        bound.close()
        raise
    return bound


class Server:
    """The pages of one installation, served by a thread."""

    def __init__(
        self,
        services: Services,
        port: int,
        start_assist: AssistedRunFactory | None = None,
        peers: socket_owner.Peers | None = None,
    ) -> None:
        self.link_tokens = LinkTokens()
        self._base_url = services.settings.base_url
        sockets = bind_sockets(port)
        peers = peers or socket_owner.learn()
        self.app = create_app(
            services, link_tokens=self.link_tokens, start_assist=start_assist, peers=peers
        )
        self._assistances: list[Assistance] = [
            self.app.extensions["assistance"],
            self.app.extensions["connection_assistance"],
        ]
        self._socket_map: dict[int, Any] = {}
        self._dispatcher = ThreadedTaskDispatcher()
        self._dispatcher.set_thread_count(THREADS)
        settings = Adjustments(
            sockets=sockets,
            threads=THREADS,
            ident=None,
            max_request_body_size=MAX_BODY_BYTES,
            clear_untrusted_proxy_headers=True,
            connection_limit=MOST_IN_ALL,
        )
        headers = security_headers(each.accounts_server for each in services.zoho.data_centers)
        for each in sockets:
            Listener(self.app, each, peers, self._socket_map, self._dispatcher, settings, headers)
        self._stop_event = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="pages", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def new_browser_link(self, path: str = "/", *, is_printed: bool = True) -> str:
        """A one-time link that signs a browser in and leads to `path`.

        Valid for 10 minutes if `is_printed`, for 1 minute if we open the browser.
        """
        lifetime = PRINTED_LINK_LIFETIME_SECONDS if is_printed else OPENED_LINK_LIFETIME_SECONDS
        return f"{self._base_url}/browser-link/{self.link_tokens.issue(path, lifetime)}"

    def wait(self) -> None:
        """Block until the server has stopped."""
        self._thread.join()

    def stop(self) -> None:
        """Accept no further requests, finish the current ones (at most 30 seconds), close, and stop
        an assisted browser that was started here."""
        for assistance in self._assistances:
            assistance.stop()
        self._stop_event.set()
        if self._thread.is_alive():
            self._thread.join(SHUTDOWN_TIMEOUT_SECONDS + 5)

    def _serve(self) -> None:
        while not self._stop_event.is_set():
            self._poll()
        listeners = [
            part for part in self._socket_map.values() if getattr(part, "accepting", False)
        ]
        for listener in listeners:
            listener.accepting = False
        deadline = time.monotonic() + SHUTDOWN_TIMEOUT_SECONDS
        while self._is_busy() and time.monotonic() < deadline:
            self._poll()
        self._dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._socket_map, ignore_all=True)

    def _poll(self) -> None:
        wasyncore.loop(timeout=0.2, map=self._socket_map, count=1)

    def _is_busy(self) -> bool:
        return any(
            getattr(part, "requests", None) or getattr(part, "total_outbufs_len", 0)
            for part in list(self._socket_map.values())
        )


def serve(
    services: Services, port: int | None = None, start_assist: AssistedRunFactory | None = None
) -> Server:
    """Start the pages; `start_assist` starts the assisted browser. Raises ``port-in-use``."""
    server = Server(services, port or services.settings.port, start_assist)
    server.start()
    return server


class Unreadable(ErrorTask):  # type: ignore[misc]
    """The response to what the application never sees: it isn't HTTP, or too long."""

    def execute(self) -> None:
        """Send it, with the security headers of every page."""
        self.response_headers.extend(self.channel.server.security_headers.items())
        super().execute()


class Channel(HTTPChannel):  # type: ignore[misc]
    """An admitted connection."""

    error_task_class = Unreadable
    uid: int | None = None
    """The user at the other end; None if the system doesn't say."""

    @property
    def quiet(self) -> bool:
        """Whether no response is pending."""
        return not self.requests and not self.total_outbufs_len


class Refused(wasyncore.dispatcher):  # type: ignore[misc]
    """A refused connection: it gets the reason as its response, and is closed."""

    over = False
    """It must close to make room for another."""

    def __init__(self, wire: socket.socket, answer: bytes, parts: dict[int, Any]) -> None:
        self._answer = answer
        super().__init__(wire, parts)

    def writable(self) -> bool:
        """True only if it has to close."""
        return self.over

    def handle_read(self) -> None:
        """Send the response at once, which fits into the empty send buffer. The request is read
        first: closing a socket with unread data can discard the response."""
        if self.recv(65536):
            self.send(self._answer)
            self.close()

    def handle_write(self) -> None:
        """Close."""
        self.close()

    handle_close = handle_expt = handle_write


class Listener(TcpWSGIServer):  # type: ignore[misc]
    """Accepts the connections to one of our addresses."""

    def __init__(
        self,
        application: Any,
        listening: socket.socket,
        peers: socket_owner.Peers,
        parts: dict[int, Any],
        dispatcher: ThreadedTaskDispatcher,
        settings: Adjustments,
        headers: dict[str, str],
    ) -> None:
        self.security_headers = headers
        self._peers = peers
        self._refusal = refusal(headers)
        super().__init__(
            application,
            parts,
            _sock=listening,
            dispatcher=dispatcher,
            adj=settings,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
            bind_socket=False,
        )

    def handle_accept(self) -> None:
        """Admit or refuse the waiting connections without waiting for their requests."""
        accepted = list(islice(self._accepted(), MOST_AT_ONCE))
        uids = self._peers.uids([(client[:2], own[:2]) for _, client, own in accepted])
        for (wire, address, _), owners in zip(accepted, uids, strict=True):
            try:
                self._decide(wire, address, owners)
            except OSError:
                wire.close()

    def _accepted(self) -> Iterator[tuple[socket.socket, Address, Address]]:
        """The waiting connections, each with its client's address and our own."""
        try:
            while (accepted := self.accept()) is not None:
                wire, address = accepted
                yield wire, address, wire.getsockname()
        except OSError:  # such as too many open files; waiting connections are accepted later
            log.debug("a connection could not be accepted", exc_info=True)

    def _decide(self, wire: socket.socket, address: Address, uids: frozenset[int]) -> None:
        if not self._peers.admits(self.family, uids):
            log.info("refused a connection from user %s", min(uids, default="(not found)"))
            self._refuse(wire)
        elif self._has_place(uid := min(uids, default=None)):
            self.set_socket_options(wire)
            Channel(self, wire, address, self.adj, map=self._map).uid = uid
        else:
            wire.close()

    def _refuse(self, wire: socket.socket) -> None:
        refused = [
            part for part in self._map.values() if isinstance(part, Refused) and not part.over
        ]
        for each in refused[: max(0, len(refused) - MOST_REFUSED + 1)]:
            each.over = True
        Refused(wire, self._refusal, self._map)

    def _has_place(self, uid: int | None) -> bool:
        """Whether a user may have one more connection; at the limit, an idle one is closed."""
        theirs = [
            part
            for part in self._map.values()
            if isinstance(part, Channel) and part.uid == uid and not part.will_close
        ]
        if len(theirs) < MOST_OF_ONE_USER:
            return True
        quiet = [each for each in theirs if each.quiet]
        for each in sorted(quiet, key=lambda each: float(each.last_activity))[:1]:
            each.will_close = True
        return bool(quiet)


def refusal(security_headers: dict[str, str]) -> bytes:
    """The response to another user's connection: a page in plain text."""
    found = explain(Failure("page-other-user"))
    body = f"{found.title}\n\n{found.cause}\n\n{found.fix}\n".encode()
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **security_headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 403 Forbidden\r\n{head}\r\n".encode() + body
