"""Addresses of Unix sockets, which are shorter than paths may be."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_ADDRESS_BYTES = 103
"""Bytes that an address holds everywhere: 107 on Linux, 103 on macOS."""


def has_unix_sockets() -> bool:
    """Whether this system has Unix sockets that Python can use."""
    return hasattr(socket, "AF_UNIX")


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """The address of a socket, by way of its directory's descriptor where `path` is too long."""
    if len(os.fsencode(path)) <= MAX_ADDRESS_BYTES or not os.path.isdir("/proc/self/fd"):
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
