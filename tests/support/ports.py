"""Ports for servers that a test names before they listen."""

import random
import socket

PORT_RANGE = range(12_000, 32_000)
"""Below the ephemeral ports of Linux (32768 and more), so that no other test gets a free port
meanwhile."""


def free_port() -> int:
    """Return a port without a listener."""
    for port in random.sample(PORT_RANGE, 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("a hundred ports in a row are taken")
