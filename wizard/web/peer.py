"""Who is at the other end of a connection to this machine's own loopback address.

Cookies know no ports: a browser sends the session's to every server on `localhost`, another user's
included, who may send it back to us. So where the system says whose a connection is, it must be
ours. Linux says so in ``/proc/net/tcp``; elsewhere the session's other guards stand alone.
"""

import os
import socket
import sys
from pathlib import Path

TABLES = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}

ROOT = 0
"""Root may read our memory anyway, and forwarders of ports (containers, WSL) run as root."""


def is_stranger(address: str, port: int, own_port: int) -> bool:
    """Whether the connection from `address` and `port` to our `own_port` is another user's.

    False where the system does not tell.
    """
    uid = owner(address, port, own_port)
    return uid is not None and uid not in (ROOT, os.geteuid())


def owner(address: str, port: int, own_port: int) -> int | None:
    """The uid that owns the far end of a connection; None where the system does not tell."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        rows = TABLES[family].read_text("ascii").splitlines()[1:]
    except OSError:
        return None
    far_end = f"{_as_the_kernel_writes(address, family)}:{port:04X}"
    for row in rows:
        local, remote, *_, uid = row.split()[1:8]
        if local == far_end and remote.endswith(f":{own_port:04X}"):
            return int(uid)
    return None


def _as_the_kernel_writes(address: str, family: socket.AddressFamily) -> str:
    """`address` as 32-bit words in the machine's own byte order, in hexadecimal."""
    packed = socket.inet_pton(family, address)
    words = (packed[place : place + 4] for place in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
