"""Which user of this machine is at the other end of a connection to a loopback address.

Cookies know no ports: a browser sends the session's to every server on `localhost`, another user's
included, who may send it back to us. So where the system says whose a connection is, it must be
ours or root's. Linux says so in ``/proc/net/tcp`` and ``/proc/net/tcp6``. `learn` connects to
itself and looks itself up there. Where that works, a connection that is not found is refused;
elsewhere (another system, a simulator without these tables) the session decides alone.
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
"""Root may read our memory anyway, and forwarders of ports (containers, WSL) run as root."""

ALIVE = frozenset({"01", "04", "05", "08"})
"""ESTABLISHED, FIN_WAIT1, FIN_WAIT2 and CLOSE_WAIT: the states of a client's end whose other end a
server has accepted. In SYN_SENT another program may be trying to use a port that was used before.
"""

NO_INODE = "0"
"""A socket that no process has open: Linux gives it no owner, and prints 0, which is root's uid.
Whoever sends a request and closes at once must not pass for root."""

TRIES = 3
"""A table is read in pieces; a row can be missed while others come and go."""

WAYS = {socket.AF_INET: ("127.0.0.1", "::ffff:127.0.0.1"), socket.AF_INET6: ("::1",)}
"""How a client reaches a listener of each family. An IPv6 socket that is connected to a mapped
address arrives as IPv4, and stands in the table of IPv6."""

End = tuple[str, int]
"""An address and a port."""
Connection = tuple[End, End]
"""The client's end and the server's."""


@dataclass(frozen=True)
class Peers:
    """What the system tells of the clients of our listeners."""

    tables: Sequence[Path]
    is_listed: Mapping[socket.AddressFamily, bool]
    """For a listener's family, whether every connection to it can be found in the tables."""

    @property
    def access_check(self) -> str:
        """What decides who is answered, a key of the words' table `access-check`."""
        return "user" if all(self.is_listed.values()) else "session"

    def uids(self, connections: Sequence[Connection]) -> list[frozenset[int]]:
        """For each connection the owners of its client's end; empty where it is not found.

        The tables are read once for all of them: that takes long where many sockets are open.
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
        """Judge whether a connection to a listener of `family` is answered, by its `uids`."""
        if uids:
            return uids <= {ROOT_UID, os.geteuid()}
        return not self.is_listed.get(family, False)


UNTOLD = Peers((), dict.fromkeys(WAYS, False))
"""What is known where our own server does not look: nothing, so that the session decides."""


def learn(tables: Sequence[Path] = TCP_TABLES) -> Peers:
    """Connect to ourselves in every way there is, and see whether the tables name us.

    A way that this machine does not have, such as IPv6, says nothing.
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
    """Judge the text of the tables: by both ends of a connection, who has the first one open."""
    found: dict[str, frozenset[int]] = {}
    for row in text.splitlines():
        # sl, local and remote address, state, queues, timer, retransmits, uid, timeout, inode
        fields = row.split(maxsplit=10)
        if len(fields) > 9 and fields[3] in ALIVE and fields[9] != NO_INODE:
            ends = f"{fields[1]} {fields[2]}"
            found[ends] = found.get(ends, frozenset()) | {int(fields[7])}
    return found


def owners(table: Mapping[str, frozenset[int]], client: End, server: End) -> frozenset[int]:
    """Judge whose the client's end is, by the rows of both tables."""
    return frozenset().union(*(table.get(ends, ()) for ends in _ends(client, server)))


def _text(table: Path) -> str:
    try:
        return table.read_text("ascii")
    except OSError:
        return ""


def _ends(client: End, server: End) -> Iterator[str]:
    """Both ends as the tables of IPv4 and IPv6 show them."""
    for ends in zip(_forms(client[0]), _forms(server[0]), strict=False):
        local, remote = (_kernel_hex_address(each) for each in ends)
        yield f"{local}:{client[1]:04X} {remote}:{server[1]:04X}"


def _forms(address: str) -> list[bytes]:
    """One address in network order: of IPv4 also mapped into IPv6, and the other way round."""
    found = ip_address(address.partition("%")[0])
    plain = (found.ipv4_mapped if isinstance(found, IPv6Address) else None) or found
    if isinstance(plain, IPv6Address):
        return [plain.packed]
    return [plain.packed, bytes(10) + b"\xff\xff" + plain.packed]


def _kernel_hex_address(packed: bytes) -> str:
    """An address as 32-bit words in the machine's own byte order, in hexadecimal."""
    words = (packed[place : place + 4] for place in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
