"""Which connections to the pages are accepted.

This is decided before a request is read: a refused connection takes neither a thread nor a slot, so
another user's connections can't delay the owner's callback.
"""

import logging
import socket
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from wizard.errors import explain
from wizard.model import Failure
from wizard.web.socket_owner import Peers

log = logging.getLogger("wizard.web.access")

Address = tuple[Any, ...]

MOST_OF_ONE_USER = 64
"""Connections. At this limit, a new one replaces the one that has been idle longest."""
MOST_REFUSED = 16
"""Refused connections that may wait for their response; beyond that, the oldest is closed."""
MOST_AT_ONCE = 64
"""Connections that are accepted together."""
MOST_IN_ALL = 4 * MOST_OF_ONE_USER
"""Never reached: only our own, root's and unidentified users' connections are admitted."""


class Channel(HTTPChannel):  # type: ignore[misc]
    """An admitted connection."""

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
        peers: Peers,
        parts: dict[int, Any],
        dispatcher: ThreadedTaskDispatcher,
        settings: Adjustments,
    ) -> None:
        self._peers = peers
        self._refusal = refusal()
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
        for (wire, address, _), whose in zip(accepted, uids, strict=True):
            try:
                self._decide(wire, address, whose)
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
            log.info("refused a connection of user %s", min(uids, default="(not found)"))
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


def refusal() -> bytes:
    """The response to another user's connection: a page in plain text."""
    found = explain(Failure("page-other-user"))
    body = f"{found.title}\n\n{found.cause}\n\n{found.fix}\n".encode()
    headers: Mapping[str, str] = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 403 Forbidden\r\n{head}\r\n".encode() + body
