"""A command in a network namespace of its own: it reaches the simulator, and nothing else.

The namespace has a loopback interface and no route. A helper process enters it, and listens there
for the simulator, which gets the sockets: a socket stays in the namespace it was made in. The
helper then becomes the command. Linux only; unprivileged users need user namespaces.

Run as a script, this module is the helper: it imports nothing but the standard library.
"""

import array
import ctypes
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
INTERFACE_REQUEST = "16sh22x"
HOST = "127.0.0.1"


class IsolatedCommand:
    """A namespace, and the command that's to run in it. OSError if the system doesn't allow it."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "only Linux has network namespaces")
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this file, with this Python
                [sys.executable, "-I", __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        try:
            self._ask({})
        except OSError:
            self.close()
            raise

    def listen(self, port: int) -> socket.socket:
        """Return a listening socket inside; port 0 takes a free one."""
        return socket.socket(fileno=self._ask({"port": port}))

    def execute(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        """Start the command. OSError if there is no such program."""
        self._ask({"command": list(command), "environment": dict(environment)})
        return self._process

    def close(self) -> None:
        """End the helper, if it hasn't become the command."""
        self._channel.close()
        self._process.wait()

    def _ask(self, request: dict[str, Any]) -> int:
        """Have the helper do something; return the descriptor that it sends, or -1."""
        self._channel.sendall(json.dumps(request).encode() + b"\n")
        answer, sent, _, _ = socket.recv_fds(self._channel, 4096, 1)
        if answer == b"done\n" or (not answer and "command" in request):  # it has become that
            return sent[0] if sent else -1
        raise OSError(*json.loads(answer or b'[5, "the helper has ended"]'))


def main(channel: socket.socket) -> None:
    """Serve `IsolatedCommand` until it asks to become the command, or is gone."""
    channel.set_inheritable(False)  # the end of the channel says that the command has started
    with channel.makefile("rb") as requests:
        for line in requests:
            try:
                listening = perform(json.loads(line))
                sent = [listening.fileno()] if listening else []
                descriptors = array.array("i", sent).tobytes()
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if sent else []
                channel.sendmsg([b"done\n"], rights)
                if listening:
                    listening.close()
            except OSError as error:
                channel.sendall(json.dumps([error.errno, error.strerror]).encode() + b"\n")


def perform(request: dict[str, Any]) -> socket.socket | None:
    """Do what a request asks for; return the socket to send."""
    if "command" in request:
        for each in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and so would it
            signal.signal(each, signal.SIG_DFL)
        os.execvpe(request["command"][0], request["command"], request["environment"])  # noqa: S606
    if "port" in request:
        return socket.create_server((HOST, request["port"]))
    enter_namespace()
    return None


def enter_namespace() -> None:
    """Enter a new network namespace, and bring up its loopback interface."""
    user, group = os.getuid(), os.getgid()
    is_root = os.geteuid() == 0
    system = ctypes.CDLL(None, use_errno=True)
    _check(system.unshare(CLONE_NEWNET | (0 if is_root else CLONE_NEWUSER)))
    if not is_root:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        interface = ctypes.create_string_buffer(struct.pack(INTERFACE_REQUEST, b"lo", 0))
        _check(system.ioctl(control.fileno(), SIOCGIFFLAGS, interface))
        name, flags = struct.unpack_from(INTERFACE_REQUEST, interface)
        struct.pack_into(INTERFACE_REQUEST, interface, 0, name, flags | IFF_UP)
        _check(system.ioctl(control.fileno(), SIOCSIFFLAGS, interface))


def _check(result: int) -> None:
    """Raise OSError if a system call failed."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
