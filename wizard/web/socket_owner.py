"""Which user of this machine is at the other end of a loopback connection.

Cookies ignore ports: a browser sends the session cookie to every server on `localhost`, including
another user's, who could replay it here. So a connection must be ours or root's wherever the system
tells the owner, as Linux does in ``/proc/net/tcp`` and ``/proc/net/tcp6``. `learn` tests this with
connections to itself. Where it works, a connection that isn't found is refused; elsewhere,
only the session decides.
"""

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

TCP_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

ROOT_UID = 0
"""Root can read our memory anyway, and port forwarders (containers, WSL) run as root."""

ALIVE = frozenset({"01", "04", "05", "08"})
"""ESTABLISHED, FIN_WAIT1, FIN_WAIT2 and CLOSE_WAIT: the states of a client's end after the server
accepted. A socket in SYN_SENT may be another program's, on a reused port."""

NO_INODE = "0"
"""The inode of a socket that no process has open. Linux then prints uid 0, so a client that closes
at once would pass for root."""

TRIES = 3
"""A table is read in parts, so a row can be missed while others change."""

WAYS = {socket.AF_INET: ("127.0.0.1", "::ffff:127.0.0.1"), socket.AF_INET6: ("::1",)}
"""How a client reaches a listener of each family. An IPv6 socket connected to a mapped address
arrives as IPv4, but is in the table of IPv6."""

End = tuple[str, int]
"""Address and port."""
Connection = tuple[End, End]
"""The client's end and the server's."""


@dataclass(frozen=True)
class Peers:
    """What the system tells about the clients of our listeners."""

    tables: Sequence[Path]
    is_listed: Mapping[socket.AddressFamily, bool]
    """By the listener's family: whether every connection to it is in the tables."""

    @property
    def access_check(self) -> str:
        """What decides who is served; a key of the message table `access-check`."""
        return "user" if all(self.is_listed.values()) else "session"

    def uids(self, connections: Sequence[Connection]) -> list[frozenset[int]]:
        """The owners of each connection's client end; empty if it isn't found.

        Reads the tables once for all: that is slow while many sockets are open.
        """
        found = [frozenset[int]()] * len(connections)
        for _ in range(TRIES):
            missing = [place for place, uids in enumerate(found) if not uids]
            if not missing:
                break
            table = rows("\n".join(_text(path) for path in self.tables))
            for place in missing:
                found[place] = owners(table, *connections[place])
        return found

    def admits(self, family: socket.AddressFamily, uids: frozenset[int]) -> bool:
        """Judge whether a connection to a listener of `family` is served, by its `uids`."""
        if uids:
            return uids <= {ROOT_UID, os.geteuid()}
        return not self.is_listed.get(family, False)


UNTOLD = Peers((), dict.fromkeys(WAYS, False))
"""Nothing is known, so only the session decides."""


def learn(tables: Sequence[Path] = TCP_TABLES) -> Peers:
    """Test with connections to ourselves whether the tables list them.

    Ways that this machine lacks, such as IPv6, are ignored.
    """
    if not any(path.is_file() for path in tables):
        return UNTOLD
    with ExitStack() as open_until_read:
        tried = [
            (family, ends)
            for family, ways in WAYS.items()
            for way in ways
            if (ends := _connect(open_until_read, family, way))
        ]
        found = Peers(tables, {}).uids([ends for _, ends in tried])
    ours = {os.geteuid()}
    missed = {family for (family, _), uids in zip(tried, found, strict=True) if uids != ours}
    return Peers(tables, {family: family not in missed for family in WAYS})


def _connect(stack: ExitStack, family: socket.AddressFamily, way: str) -> Connection | None:
    kind = socket.AF_INET6 if ":" in way else socket.AF_INET
    try:
        listener = stack.enter_context(socket.create_server((WAYS[family][0], 0), family=family))
        client = stack.enter_context(socket.socket(kind))
        if kind == socket.AF_INET6:
            client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        client.connect((way, listener.getsockname()[1]))
        return client.getsockname()[:2], client.getpeername()[:2]
    except OSError:
        return None


def rows(text: str) -> Mapping[str, frozenset[int]]:
    """Parse the tables: by both ends of a connection, the owners of the first end."""
    found: dict[str, frozenset[int]] = {}
    for row in text.splitlines():
        # sl, local and remote address, state, queues, timer, retransmits, uid, timeout, inode
        fields = row.split(maxsplit=10)
        if len(fields) > 9 and fields[3] in ALIVE and fields[9] != NO_INODE:
            ends = f"{fields[1]} {fields[2]}"
            found[ends] = found.get(ends, frozenset()) | {int(fields[7])}
    return found


def owners(table: Mapping[str, frozenset[int]], client: End, server: End) -> frozenset[int]:
    """The owners of the client's end, from the parsed tables."""
    return frozenset().union(*(table.get(ends, ()) for ends in _ends(client, server)))


def _text(table: Path) -> str:
    try:
        return table.read_text("ascii")
    except OSError:
        return ""


def _ends(client: End, server: End) -> Iterator[str]:
    """Both ends as the tables of IPv4 and IPv6 print them."""
    for ends in zip(_forms(client[0]), _forms(server[0]), strict=False):
        local, remote = (_kernel_hex_address(each) for each in ends)
        yield f"{local}:{client[1]:04X} {remote}:{server[1]:04X}"


def _forms(address: str) -> list[bytes]:
    """An address in network order; an IPv4 address also mapped into IPv6, and vice versa."""
    found = ip_address(address.partition("%")[0])
    plain = (found.ipv4_mapped if isinstance(found, IPv6Address) else None) or found
    if isinstance(plain, IPv6Address):
        return [plain.packed]
    return [plain.packed, bytes(10) + b"\xff\xff" + plain.packed]


def _kernel_hex_address(packed: bytes) -> str:
    """An address in hexadecimal, as 32-bit words in native byte order."""
    words = (packed[place : place + 4] for place in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
