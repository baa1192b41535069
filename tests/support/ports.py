"""Ports for servers that a test names before they listen."""

import random
import socket

PORT_RANGE = range(12_000, 32_000)
"""Below what Linux gives to whoever asks for any port (32768 and more): what is free here is not
given away to another test meanwhile."""


def free_port() -> int:
    """Return a port without a listener."""
    for port in random.sample(PORT_RANGE, 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("a hundred ports in a row are taken")
