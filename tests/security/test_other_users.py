"""Other users of the same machine: they can reach the port, and get nothing from it."""

import os
import socket
import subprocess
import sys

import pytest

from wizard.house import House
from wizard.web import Server, peer

NOBODY = 65534
ASK = """
import os, socket, sys
port, uid, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.setuid(uid)
with socket.socket() as wire:
    wire.connect(("127.0.0.1", port))
    wire.sendall(b"GET %s HTTP/1.1\\r\\nHost: localhost:%d\\r\\n\\r\\n" % (path.encode(), port))
    print(wire.makefile("rb").readline().split()[1].decode())
"""


def status_for(uid: int, house: House, path: str = "/static/wizard.css") -> int:
    """The status with which the pages answer a program of user `uid`."""
    command = [sys.executable, "-c", ASK, str(house.settings.port), str(uid), path]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_system_tells_whose_a_connection_is(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((address, port)), listener.accept()[0] as accepted:
            assert peer.owner(*accepted.getpeername()[:2], port) == os.geteuid()
            assert not peer.is_stranger(*accepted.getpeername()[:2], port)


def test_a_connection_that_the_system_does_not_know_is_nobodys(server: Server) -> None:
    assert peer.owner("127.0.0.1", 1, 1) is None


def test_our_own_programs_are_answered(server: Server, house: House) -> None:
    assert status_for(os.getuid(), house) == 200


if os.getuid() == 0:  # only root can be somebody else

    @pytest.mark.parametrize("path", ["/", "/static/wizard.css", "/callback?state=x", "/launch/x"])
    def test_another_users_program_is_answered_nothing(
        server: Server, house: House, path: str
    ) -> None:
        assert status_for(NOBODY, house, path) == 403
