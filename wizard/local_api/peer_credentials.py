"""Who is at the other end of a Unix socket, on the kernel's word."""

import socket
import struct
from dataclasses import dataclass

HAS_PEER_CREDENTIALS = hasattr(socket, "SO_PEERCRED")
"""Linux does; elsewhere nobody but the home's owner is answered."""

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


@dataclass(frozen=True)
class Peer:
    """A process that asks."""

    uid: int
    pid: int

    @property
    def user(self) -> str:
        """The user's name, or their number where they have none here, as in containers."""
        return user_name(self.uid)


def user_name(uid: int) -> str:
    """The name of a user of this machine, else the number."""
    import pwd  # not on every system, nor are the sockets that lead here

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def get_peer(connection: socket.socket) -> Peer | None:
    """Whoever opened ``connection``; None where the kernel does not tell."""
    if not HAS_PEER_CREDENTIALS:
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(credentials)
    return Peer(uid, pid)
