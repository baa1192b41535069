"""Connections that end with their deadline, and tell whether anything can have been sent."""

import socket
import ssl
import threading
from contextlib import suppress
from contextvars import ContextVar
from typing import Self

import truststore
import urllib3


class Deadline:
    """Cuts every connection made in its thread while it stands, once its seconds are over.

    A time-out per read is not enough: a server that drips one byte a second never meets it.
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
        """Cut ``connection`` too when the time comes, or now where it has come."""
        with self._lock:
            # A duplicate, because wrapping in TLS takes the descriptor away from this object.
            self._sockets.append(sock.dup())
            if self.expired:
                self._shut_down_sockets()

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            self._shut_down_sockets()

    def _shut_down_sockets(self) -> None:
        for each in self._sockets:
            with suppress(OSError):  # the other side was faster
                each.shutdown(socket.SHUT_RDWR)


_current_deadline: ContextVar[Deadline] = ContextVar("standing")


class _DeadlineConnection(urllib3.connection.HTTPConnection):
    """Puts a connection under the deadline that stands; mixed into both kinds."""

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        _current_deadline.get().guard(connection)
        return connection

    def connect(self) -> None:
        super().connect()
        deadline = _current_deadline.get()
        deadline.connected = not deadline.expired


class _DeadlineTLSConnection(_DeadlineConnection, urllib3.connection.HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _PoolTLS(urllib3.HTTPSConnectionPool):
    ConnectionCls = _DeadlineTLSConnection


def apply_deadline_to_pools(manager: urllib3.PoolManager) -> None:
    """Have every connection of ``manager`` end with the deadline that stands."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}


def tls_context() -> ssl.SSLContext:
    """TLS 1.2 or later, verified against the certificates of the operating system, so that a
    company's own authority counts as it does in the browser.
    """
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
