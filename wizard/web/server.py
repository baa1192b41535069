"""The server of the pages: on both loopback addresses, with an orderly shutdown."""

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
"""A link that we open in a browser ourselves is used at once."""
SHUTDOWN_TIMEOUT_SECONDS = 30
"""Longer than one call to Zoho, so that the exchange of a code isn't cut off."""
THREADS = 8
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Bytes. The guard's limit is lower, but applies only after the body was received."""


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
    """Start the pages; `start_assist` starts the assisted browser. Raises ``port-in-use``."""
    server = Server(services, port or services.settings.port, start_assist)
    server.start()
    return server
