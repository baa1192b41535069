"""Connections that end with a deadline, and know whether anything may have been sent."""

import socket
import ssl
import threading
from contextlib import suppress
from contextvars import ContextVar
from typing import Self

import truststore
import urllib3


class Deadline:
    """Closes every connection that its thread has opened, when its time is over.

    A timeout for each read is not enough: a server that sends one byte a second never exceeds it.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self.connected = False
        """A connection, TLS included, was ready in time: something may have been sent."""
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._context_token = _current_deadline.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _current_deadline.reset(self._context_token)
        with self._lock:
            for each in self._sockets:
                each.close()
            self._sockets.clear()

    def guard(self, sock: socket.socket) -> None:
        """Close this connection at the deadline as well, or now if it has passed."""
        with self._lock:
            # A duplicate, because TLS takes over the descriptor of this object.
            self._sockets.append(sock.dup())
            if self.expired:
                self._shut_down_sockets()

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            self._shut_down_sockets()

    def _shut_down_sockets(self) -> None:
        for each in self._sockets:
            with suppress(OSError):  # the other side has closed it
                each.shutdown(socket.SHUT_RDWR)


_current_deadline: ContextVar[Deadline] = ContextVar("current_deadline")


class _DeadlineConnection(urllib3.connection.HTTPConnection):
    """A connection that the current deadline closes."""

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        _current_deadline.get().guard(connection)
        return connection

    def connect(self) -> None:
        super().connect()
        deadline = _current_deadline.get()
        deadline.connected = not deadline.expired


class _DeadlineTLSConnection(_DeadlineConnection, urllib3.connection.HTTPSConnection):
    """The same with TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _PoolTLS(urllib3.HTTPSConnectionPool):
    ConnectionCls = _DeadlineTLSConnection


def apply_deadline_to_pools(manager: urllib3.PoolManager) -> None:
    """Have the current deadline close every connection of ``manager``."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}


def tls_context() -> ssl.SSLContext:
    """TLS 1.2 or later, verified with the operating system's certificates, so that a company's
    own certificate authority is trusted as in the browser.
    """
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
