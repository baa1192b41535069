"""Unix sockets: addresses, and the process at the other end."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MAX_ADDRESS_BYTES = 103
"""Bytes of an address that work everywhere: the limit is 107 on Linux, 103 on macOS."""


def has_unix_sockets() -> bool:
    """Whether this system has Unix sockets that Python can use."""
    return hasattr(socket, "AF_UNIX")


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """The address of a socket; if `path` is too long, through a descriptor of its directory."""
    if len(os.fsencode(path)) <= MAX_ADDRESS_BYTES or not os.path.isdir("/proc/self/fd"):
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


HAS_PEER_CREDENTIALS = hasattr(socket, "SO_PEERCRED")
"""True on Linux; elsewhere only the owner is served."""

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


@dataclass(frozen=True)
class Peer:
    """The process at the other end of a connection."""

    uid: int
    pid: int

    @property
    def user(self) -> str:
        """The user's name, or their number if it has no name here, as in containers."""
        return user_name(self.uid)


def user_name(uid: int) -> str:
    """The name of a user of this machine, else the number."""
    import pwd  # missing on systems without Unix sockets

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def get_peer(connection: socket.socket) -> Peer | None:
    """The process at the other end of ``connection``; None if the kernel doesn't report it."""
    if not HAS_PEER_CREDENTIALS:
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(credentials)
    return Peer(uid, pid)
