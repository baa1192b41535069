"""The server of the pages: loopback only, on both of its addresses, and stopped with care."""

import errno
import socket
import sys
import threading
import time
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.task import ThreadedTaskDispatcher

from wizard.errors import fail
from wizard.services import Services
from wizard.web import socket_owner
from wizard.web.admission import MOST_IN_ALL, Listener
from wizard.web.app import create_app
from wizard.web.assistance import Assistance, AssistedRunFactory
from wizard.web.sessions import PRINTED_LINK_LIFETIME_SECONDS, LinkTokens

OPENED_LINK_LIFETIME_SECONDS = 60
"""A link we hand to a browser ourselves is used at once."""
SHUTDOWN_TIMEOUT_SECONDS = 30
"""Longer than one call to Zoho may take, so that a code sent there is never left unanswered."""
THREADS = 8
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Bytes. The guard is stricter, but is asked only when a body has been received and stored."""


def bind_sockets(port: int) -> list[socket.socket]:
    """Sockets on 127.0.0.1 and, where the machine has IPv6, on ::1.

    Both, because `localhost` may mean either: a stranger on the other one would receive the
    codes meant for us. Raises `port-in-use` when either is taken.
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
            # Only lets a port be taken again at once after a restart; a listener keeps it.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        # Two sockets may be bound to one port until one of them listens.
        bound.listen(64)
    except OSError:
        bound.close()
        raise
    return bound


class Server:
    """The pages of one house, served from a thread of its own."""

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
        self._assistance: Assistance = self.app.extensions["assistance"]
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
        for each in sockets:
            Listener(self.app, each, peers, self._socket_map, self._dispatcher, settings)
        self._stop_event = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="pages", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def new_browser_link(self, path: str = "/", *, is_printed: bool = True) -> str:
        """A one-time link that signs a browser in and leads to `path`.

        Good for 10 minutes when it is `printed`, for 1 minute when we open the browser.
        """
        lifetime = PRINTED_LINK_LIFETIME_SECONDS if is_printed else OPENED_LINK_LIFETIME_SECONDS
        return f"{self._base_url}/browser-link/{self.link_tokens.issue(path, lifetime)}"

    def wait(self) -> None:
        """Block until the server has been stopped."""
        self._thread.join()

    def stop(self) -> None:
        """Accept nothing more, let what is under way answer (at most 30 s), and close; so does an
        assisted window that was opened from here."""
        self._assistance.stop()
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
    """Start the pages of `house`; `assist` starts the assisted browser. Raises `port-in-use`."""
    server = Server(services, port or services.settings.port, start_assist)
    server.start()
    return server
