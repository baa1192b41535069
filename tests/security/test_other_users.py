"""Other users of the same machine can reach the port, but get no data."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.claims import over_rows

from wizard.services import Services
from wizard.web import socket_owner
from wizard.web.server import MOST_OF_ONE_USER, Server

NOBODY = 65534
ME = os.geteuid()
WAYS = ["127.0.0.1", "::ffff:127.0.0.1", "::1"]

CONNECT = """
import os, socket, sys
uid, port, way, request = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4].encode()
os.setuid(uid)
def connect():
    wire = socket.socket(socket.AF_INET6 if ":" in way else socket.AF_INET)
    wire.connect((way, port))
    return wire
"""
REQUEST = f"""{CONNECT}
with connect() as wire:
    wire.sendall(request)
    print(wire.makefile("rb").read().decode())
"""
SEND_AND_LEAVE = f"""{CONNECT}
with connect() as wire:
    wire.sendall(request)
"""
HOLD = f"""{CONNECT}
held = [connect() for _ in range(300)]
for each in held:
    try:
        each.sendall(request)
    except OSError:
        pass
print("held", flush=True)
sys.stdin.readline()
"""


def program(script: str, uid: int, services: Services, way: str, request: str) -> list[str]:
    """The command line of a program of user `uid` that sends something to the pages."""
    return [sys.executable, "-c", script, str(uid), str(services.settings.port), way, request]


def request(services: Services, path: str, *headers: str) -> str:
    host = f"Host: localhost:{services.settings.port}"
    return "\r\n".join((f"GET {path} HTTP/1.1", host, "Connection: close", *headers, "", ""))


def ask(uid: int, services: Services, path: str, *headers: str, way: str = WAYS[0]) -> str:
    """The whole response to a program of user `uid`."""
    command = program(REQUEST, uid, services, way, request(services, path, *headers))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.removeprefix("HTTP/1.1 ")


def browse(services: Services, path: str, cookie: str = "", way: str = WAYS[0]) -> tuple[int, str]:
    """The status and the cookie for our own browser."""
    port = services.settings.port
    wire = http.client.HTTPConnection(way, port, timeout=10)
    wire.request("GET", path, headers={"Host": f"localhost:{port}", "Cookie": cookie})
    answer = wire.getresponse()
    answer.read()
    wire.close()
    return answer.status, (answer.getheader("Set-Cookie") or "").partition(";")[0]


def rows_of(services: Services) -> str:
    """The rows of the system's tables with the port of the pages."""
    rows = "\n".join(table.read_text() for table in socket_owner.TCP_TABLES).splitlines()
    return "\n".join(each for each in rows if f":{services.settings.port:04X} " in each)


def launch(server: Server, services: Services) -> str:
    return server.new_browser_link("/status").removeprefix(services.settings.base_url)


def row(ends: str, state: str, uid: int, inode: int) -> str:
    queues = "00000000:00000000 00:00000000 00000000"
    return (
        f"  12: {ends} {state} {queues} {uid:5}        0 {inode} 1 00000000d476180c 20 4 28 10 -1"
    )


CLIENT, SERVER = ("127.0.0.1", 0x8000), ("127.0.0.1", 0x2213)
HERE = f"{int.from_bytes(socket.inet_aton('127.0.0.1'), sys.byteorder):08X}"
ENDS = f"{HERE}:8000 {HERE}:2213"
MARK = f"{int.from_bytes(bytes(2) + bytes([255, 255]), sys.byteorder):08X}"
MAPPED = f"{'0' * 16}{MARK}{HERE}"
MAPPED_ENDS = f"{MAPPED}:8000 {MAPPED}:2213"


@over_rows("way", WAYS)
def test_the_system_identifies_the_user_of_a_connection(way: str) -> None:
    own = "::1" if way == "::1" else "127.0.0.1"
    family = socket.AF_INET6 if own == "::1" else socket.AF_INET
    peers = socket_owner.learn()
    with (
        socket.create_server((own, 0), family=family) as listener,
        socket.create_connection((way, listener.getsockname()[1])),
        listener.accept()[0] as accepted,
    ):
        ends = accepted.getpeername()[:2], accepted.getsockname()[:2]
        assert peers.uids([ends]) == [{ME}]
        assert peers.admits(family, frozenset({ME}))


@pytest.mark.parametrize("ends", [ENDS, MAPPED_ENDS])
def test_a_client_is_found_in_both_tables(ends: str) -> None:
    assert socket_owner.owners(socket_owner.rows(row(ends, "01", 1000, 7)), CLIENT, SERVER) == {
        1000
    }


@over_rows(
    ("ends", "state", "inode"),
    [
        (ENDS, "06", 0),
        (ENDS, "05", 0),
        (ENDS, "04", 0),
        (ENDS, "01", 0),
        (ENDS, "02", 7),
        (ENDS, "07", 7),
        (f"{HERE}:8000 {HERE}:2214", "01", 7),
        (f"{HERE}:8001 {HERE}:2213", "01", 7),
        (f"{HERE}:8000 00000000:2213", "01", 7),
        (f"{HERE}:2213 {HERE}:8000", "01", 7),
        (f"{MAPPED}:8000 {HERE}:2213", "01", 7),
    ],
)
def test_a_row_that_is_not_the_open_client_of_this_connection_identifies_nobody(
    ends: str, state: str, inode: int
) -> None:
    assert (
        socket_owner.owners(socket_owner.rows(row(ends, state, 0, inode)), CLIENT, SERVER)
        == frozenset()
    )


def test_a_second_row_of_a_different_user_is_not_outvoted() -> None:
    both = "\n".join((row(ENDS, "01", ME, 7), row(MAPPED_ENDS, "01", NOBODY, 8)))
    uids = socket_owner.owners(socket_owner.rows(both), CLIENT, SERVER)
    assert uids == {ME, NOBODY}
    assert not socket_owner.Peers((), {socket.AF_INET: True}).admits(socket.AF_INET, uids)


def test_a_missing_row_is_refused_where_tables_work_and_else_left_to_the_session() -> None:
    peers = socket_owner.Peers((), {socket.AF_INET: True, socket.AF_INET6: False})
    assert not peers.admits(socket.AF_INET, frozenset())
    assert peers.admits(socket.AF_INET6, frozenset())
    assert not peers.admits(socket.AF_INET6, frozenset({NOBODY + 1}))


def test_tables_that_do_not_show_our_own_connection_are_unusable(tmp_path: Path) -> None:
    empty = tmp_path / "tcp"
    empty.write_text("  sl  local_address rem_address   st\n")
    assert socket_owner.learn().access_check == "user"
    for tables in ((), (tmp_path / "none",), (empty,), (Path("/proc/net/tcp"),)):
        learned = socket_owner.learn(tables)
        assert learned.access_check == "session"
        assert learned.admits(socket.AF_INET, frozenset())


def test_our_own_programs_are_answered(server: Server, services: Services) -> None:
    for way in (*WAYS[:2], *WAYS[2:] * socket.has_ipv6):
        assert ask(ME, services, "/static/wizard.css", way=way).startswith("200")


def test_a_connection_that_is_not_in_the_tables_is_refused(
    services: Services, tmp_path: Path
) -> None:
    nothing = tmp_path / "tcp"
    nothing.touch()
    peers = socket_owner.Peers((nothing,), dict.fromkeys((socket.AF_INET, socket.AF_INET6), True))
    server = Server(services, services.settings.port, peers=peers)
    server.start()
    try:
        said = ask(ME, services, "/static/wizard.css")
    finally:
        server.stop()
    assert said.startswith("403")
    assert "different user" in said


@pytest.fixture
def telling_nothing(services: Services, tmp_path: Path) -> Iterator[Server]:
    """The pages on a machine whose tables don't show who owns a connection."""
    server = Server(services, services.settings.port, peers=socket_owner.learn(()))
    server.start()
    yield server
    server.stop()


def test_without_usable_tables_the_session_decides_and_status_says_so(
    telling_nothing: Server, services: Services
) -> None:
    cookie = browse(services, launch(telling_nothing, services))[1]
    assert browse(services, "/status")[0] == 403
    wire = http.client.HTTPConnection("localhost", services.settings.port, timeout=10)
    wire.request("GET", "/status", headers={"Cookie": cookie})
    page = wire.getresponse().read().decode()
    wire.close()
    assert "Only the session keeps other users out" in page


def test_idle_connections_do_not_block_the_callback(
    telling_nothing: Server, services: Services
) -> None:
    with ExitStack() as open_sockets:
        for _ in range(130):
            open_sockets.enter_context(
                socket.create_connection(("127.0.0.1", services.settings.port), 10)
            )
        assert browse(services, "/callback?state=x")[0] == 400


def test_a_user_has_no_more_connections_than_the_limit(server: Server, services: Services) -> None:
    with ExitStack() as stack:
        open_sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", services.settings.port), 10))
            for _ in range(MOST_OF_ONE_USER + 1)
        ]
        assert open_sockets[0].recv(1) == b"", "the one idle for the longest time is closed"
        open_sockets[-1].sendall(
            f"GET / HTTP/1.1\r\nHost: localhost:{services.settings.port}\r\n\r\n".encode()
        )
        assert open_sockets[-1].recv(12) == b"HTTP/1.1 403"


if ME == 0:  # only root can become another user

    @over_rows("way", WAYS)
    @over_rows("path", ["/", "/static/wizard.css", "/callback?state=x", "/browser-link/x"])
    def test_the_program_of_another_user_gets_no_answer(
        server: Server, services: Services, path: str, way: str
    ) -> None:
        said = ask(NOBODY, services, path, way=way)
        assert said.startswith("403 Forbidden")
        assert "belongs to a different user" in said

    @pytest.mark.parametrize("way", WAYS)
    def test_another_user_with_the_session_cookie_reads_and_changes_nothing(
        server: Server, services: Services, way: str
    ) -> None:
        cookie = browse(services, launch(server, services))[1]
        assert browse(services, "/status", cookie)[0] == 200
        said = ask(NOBODY, services, "/status", f"Cookie: {cookie}", way=way)
        assert said.startswith("403")
        assert "Database" not in said
        assert ask(ME, services, "/status", f"Cookie: {cookie}", way=way).startswith("200")

    @pytest.mark.parametrize("way", WAYS)
    def test_another_user_who_has_disconnected_is_not_mistaken_for_root(
        services: Services, way: str
    ) -> None:
        server = Server(services, services.settings.port)  # listens, and accepts later
        link = launch(server, services)
        subprocess.run(
            program(SEND_AND_LEAVE, NOBODY, services, way, request(services, link)), check=True
        )
        while f" {NOBODY} " in rows_of(services):
            pass  # the kernel forgets the owner once our side knows that they disconnected
        server.start()
        try:
            assert browse(services, link, way=way)[0] == 303, "nobody has used the link before"
        finally:
            server.stop()

    @pytest.mark.parametrize("begun", ["", "GET /callback HTTP/1.1\r\n"])
    @pytest.mark.parametrize("way", WAYS)
    def test_connections_of_another_user_do_not_block_the_callback(
        server: Server, services: Services, way: str, begun: str
    ) -> None:
        command = program(HOLD, NOBODY, services, way, begun)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert browse(services, "/callback?state=x", way=way)[0] == 400
            holder.communicate("go\n")
