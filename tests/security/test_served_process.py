"""The wizard as a process, in an environment that would betray or exhaust it."""

import http.client
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.harness import Harness
from support.raw_server import RawServer, http_response
from support.shell import Shell

DEBUGGING = {
    "FLASK_DEBUG": "1",
    "FLASK_ENV": "development",
    "WERKZEUG_DEBUG_PIN": "off",
    "WERKZEUG_RUN_MAIN": "true",
    "PYTHONDEVMODE": "1",
}
INTERNALS = re.compile(r"Traceback|[Ww]erkzeug|[Ww]aitress|site-packages|Python/3|\.py\b")
PROBES = ("/console", "/?__debugger__=yes&cmd=resource&f=debugger.js", "/.git/config", "/app.py")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY")


@contextmanager
def serving(shell: Shell, **environment: str) -> Iterator[http.client.HTTPConnection]:
    """A connection to ``serve``."""
    process = shell.start("serve", **environment)
    process.wait_for_stderr("/browser-link/")
    wire = http.client.HTTPConnection("localhost", shell.port, timeout=30)
    try:
        yield wire
    finally:
        wire.close()
        assert process.finish(signal.SIGTERM).exit_code == 0


@pytest.mark.slow
def test_no_setting_of_a_framework_turns_on_its_debugger(shell: Shell) -> None:
    with serving(shell, **DEBUGGING) as wire:
        for path in PROBES:
            wire.request("GET", path)
            answer = wire.getresponse()
            text = f"{answer.headers}{answer.read().decode()}"
            assert answer.status in (403, 404), path
            assert INTERNALS.findall(text) == [], path


@pytest.mark.slow
def test_what_the_commands_and_the_wizard_tell_each_other_never_passes_a_proxy(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection()
    with RawServer(http_response(502)) as proxy:
        names = (*PROXY_VARIABLES, *map(str.lower, PROXY_VARIABLES))
        proxies = dict.fromkeys(names, proxy.url)
        with serving(shell, **proxies):
            for command in ("token crm --force-refresh", "check crm", "status", "run crm -- true"):
                assert shell.run(*command.split(), **proxies).exit_code == 0, command
            link = shell.run(**proxies)  # asks the running wizard for a browser link
            assert "/browser-link/" in link.stdout + link.stderr
        assert proxy.requests == []


def memory_bytes(process_id: int) -> int:
    pages = Path(f"/proc/{process_id}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def send(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 30) as wire, suppress_disconnect():
        wire.sendall(data)
        wire.recv(1024)


@contextmanager
def suppress_disconnect() -> Iterator[None]:
    try:
        yield
    except OSError:  # it needn't read all that it refuses
        return


@pytest.mark.slow
def test_large_and_slow_requests_neither_block_the_owner_nor_fill_the_memory(shell: Shell) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("the system doesn’t show the memory of processes")
    host = f"Host: localhost:{shell.port}\r\n"
    large_body = f"POST /clients HTTP/1.1\r\n{host}Content-Length: 4000000\r\n\r\n".encode()
    large_headers = f"GET / HTTP/1.1\r\n{host}Cookie: ".encode() + b"x" * 300_000
    with serving(shell) as wire:
        (process,) = shell.processes
        floods = [large_body + b"x" * 4_000_000, large_headers]
        for flood in floods * 8:
            send(shell.port, flood)
        before = memory_bytes(process.pid)
        stop = threading.Event()
        slow = [socket.create_connection(("127.0.0.1", shell.port), 30) for _ in range(40)]

        def drip() -> None:
            while not stop.wait(0.05):
                for each in slow:
                    with suppress_disconnect():
                        each.sendall(b"G")

        def flood_it() -> None:
            while not stop.is_set():
                for flood in floods:
                    send(shell.port, flood)

        attackers = [threading.Thread(target=each) for each in (drip, flood_it, flood_it)]
        for each in attackers:
            each.start()
        waits = []
        for _ in range(100):
            begun = time.monotonic()
            wire.request("GET", "/static/wizard.css")
            answer = wire.getresponse()
            answer.read()
            assert answer.status == 200
            waits.append(time.monotonic() - begun)
        stop.set()
        for attacker in attackers:
            attacker.join()
        for socket_ in slow:
            socket_.close()
        grown = memory_bytes(process.pid) - before
    assert sorted(waits)[98] < 10
    assert grown < 40_000_000
