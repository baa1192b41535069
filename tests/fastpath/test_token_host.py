"""Addresses of token hosts, and copied access tokens, with a real SSH server."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.claims import over_rows
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell
from support.ssh_server import TokenHostMachine, token_host

from wizard.fastpath.ssh_requests import SshRequest
from wizard.fastpath.token_file import CachedToken
from wizard.fastpath.token_host import (
    MAX_ANSWER_BYTES,
    MAX_DETAIL_CHARACTERS,
    ask,
    get_token,
    parse_address,
)
from wizard.paths import locate

__all__ = ["token_host"]

PRINT_LOADED_MODULES = """
import atexit, sys
from wizard.__main__ import main
sys.argv = ["zoho-wizard", *sys.argv[1:]]
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
main()
"""
NO_SSH: Mapping[str, Any] = {"PATH": "/nonexistent"}
"""What serves a copy works without ``ssh``; anything else fails at once."""
COPY_FIELDS = ("times", "host", "name", "token", "generation", "document", "variables")


@over_rows(
    ("address", "found"),
    [
        ("ssh://tokens@host", ("tokens", "host", "")),
        ("ssh://tokens@host:2222/", ("tokens", "host", "2222")),
        ("ssh://host.example", ("", "host.example", "")),
        ("ssh://tokens@[2001:db8::1]:22", ("tokens", "2001:db8::1", "22")),
        ("ssh://-oProxyCommand=id", None),
        ("ssh://-oProxyCommand=id@host", None),
        ("ssh://tokens@-host", None),
        ("ssh://tokens:password@host", None),
        ("ssh://tokens@host:0", None),
        ("ssh://tokens@host:65536", None),
        ("ssh://tokens@host:", None),
        ("ssh://tokens@host:22x", None),
        ("ssh://tokens@host/path", None),
        ("ssh://tokens@host;id", None),
        ("ssh://tokens@$(id)", None),
        ("ssh://tokens@host name", None),
        ("ssh://tokens@h\u00f6st", None),
        ("ssh://tokens@[::1", None),
        ("ssh://tokens@[::1]22", None),
        ("ssh://@host", None),
        ("ssh://", None),
        ("ssh:host", None),
        ("https://tokens@host", None),
        ("tokens@host", None),
    ],
)
def test_an_address_is_a_user_a_host_and_a_port(
    address: str, found: tuple[str, str, str] | None
) -> None:
    host = parse_address(address)
    assert (host and (host.user, host.host, host.port)) == found
    if host is not None:
        assert str(host) == address.rstrip("/")


def wizard(
    client: Shell, *arguments: str, python: tuple[str, ...] = ("-m", "wizard"), **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, *arguments],
        env={**client.environment, **environment},
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_SECONDS,
    )


def copy_of(client: Shell, name: str = "crm") -> Path:
    return Path(locate(client.environment).copied_token(name))


@pytest.fixture
def crm(token_host: TokenHostMachine) -> TokenHostMachine:
    """A token host whose connection the other machine has access to."""
    token_host.harness.add_verified_connection("crm")
    assert token_host.add_access().exit_code == 0
    return token_host


def test_a_copied_token_is_served_for_a_minute_to_the_name_and_the_host_it_is_from(
    crm: TokenHostMachine,
) -> None:
    client, stored = crm.client, crm.shell.run("token", "crm").stdout
    first = wizard(client, "token", "crm")
    assert (first.stdout, first.stderr, first.returncode) == (stored, "", 0)
    copy = copy_of(client)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700

    served = wizard(client, "token", "crm", python=("-c", PRINT_LOADED_MODULES), **NO_SSH)
    assert served.stdout == stored
    loaded = set(served.stderr.split())
    assert not {"json", "subprocess", "re", "click", "dataclasses", "typing"} & loaded
    document = json.loads(wizard(client, "token", "crm", "--json", **NO_SSH).stdout)
    assert document["access_token"] == stored.strip()
    assert 3000 < document["expires_in"] <= 3600
    variables = wizard(client, "run", "crm", "--", "/usr/bin/env", **NO_SSH).stdout.splitlines()
    assert f"ZOHO_ACCESS_TOKEN={stored.strip()}" in variables
    assert f"ZOHO_API_DOMAIN={document['api_domain']}" in variables

    def needs_the_host() -> bool:
        host = parse_address(client.environment["ZOHO_WIZARD_REMOTE"])
        assert host is not None
        found = get_token(host, SshRequest("token", ("crm",)), {**client.environment, **NO_SSH})
        return not isinstance(found, CachedToken) and found["code"] == "ssh-missing"

    now, kept = (
        int(time.time()),
        dict(zip(COPY_FIELDS, copy.read_text().split("\x00"), strict=True)),
    )

    def write(changed: Mapping[str, str], mode: int = 0o600) -> None:
        copy.write_text("\x00".join({**kept, **changed}.values()))
        copy.chmod(mode)

    write({})
    assert not needs_the_host()
    for changed in (
        {"times": f"{now - 60} {now + 3000}"},  # a minute old
        {"times": f"{now + 60} {now + 3000}"},  # from the future
        {"times": f"{now} {now + 119}"},  # about to expire
        {"name": "books"},
        {"host": "ssh://root@other.example"},
    ):
        write(changed)
        assert needs_the_host(), changed
    write({}, mode=0o640)
    assert needs_the_host()
    missing = wizard(client, "token", "crm", "--json", **NO_SSH)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert json.loads(missing.stderr)["error"]["code"] == "ssh-missing"


def test_of_many_processes_one_sends_a_request(crm: TokenHostMachine) -> None:
    command = [sys.executable, "-m", "wizard", "token"]
    processes = [
        subprocess.Popen(
            [*command, *options], env=crm.client.environment, stdout=subprocess.PIPE, text=True
        )
        for options in [()] * 5
    ]
    printed = {each.communicate(timeout=PROCESS_TIMEOUT_SECONDS)[0] for each in processes}
    assert printed == {crm.shell.run("token", "crm").stdout}
    crm.shell.run("status")  # brings what the fast path served into the history
    events = crm.harness.services.store.events.of_connection("crm")
    served = [each.details for each in events if each.kind == "token-served"]
    assert [each["key"] for each in served if "key" in each] == ["deploy@web1"]


def test_where_no_copy_can_be_written_the_token_is_printed(crm: TokenHostMachine) -> None:
    home = crm.client.directory / "file"
    home.write_text("")
    printed = wizard(crm.client, "token", "crm", ZOHO_WIZARD_HOME=str(home))
    assert printed.stdout == crm.shell.run("token", "crm").stdout
    assert not os.path.exists(copy_of(crm.client))


TOKEN = {
    "access_token": "1000.a.b",
    "generation": 1,
    "expires_in": 3600,
    "document": '{\n"expires_in": 0}',
    "variables": {"ZOHO_DC": "eu"},
}
ANSWER = {"protocol": 1, "zoho": "live", "token": TOKEN, "report": None, "error": None}
ERROR = {"code": "throttled", "details": {}, "temporary": True, "retry_at": None}


@pytest.fixture
def answering(tmp_path: Path) -> Path:
    """A directory whose program ``ssh`` prints the file ``answer`` that is next to it."""
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\n/bin/cat {tmp_path}/answer\n")
    program.chmod(0o755)
    return tmp_path


def found_in(answering: Path, answer: object) -> CachedToken | str:
    """The token that is found in an answer, or the code of the failure."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    (answering / "answer").write_text(text)
    host = parse_address("ssh://tokens@host")
    assert host is not None
    environment = {"PATH": str(answering), "ZOHO_WIZARD_HOME": str(answering / "home")}
    found = get_token(host, SshRequest("token", ("crm",)), environment)
    copy = Path(locate(environment).copied_token("crm"))
    assert copy.exists() is isinstance(found, CachedToken)
    copy.unlink(missing_ok=True)
    return found if isinstance(found, CachedToken) else str(found["code"])


def test_a_token_in_an_answer_is_found(answering: Path) -> None:
    found = found_in(answering, ANSWER)
    assert isinstance(found, CachedToken)
    assert (found.access_token, found.variables) == ("1000.a.b", "ZOHO_DC=eu")


@over_rows(
    ("changed", "code"),
    [
        *(
            ({"token": {**TOKEN, **changes}}, "token-host-without-wizard")
            for changes in (
                {"access_token": "1000.a\n1000.b"},
                {"access_token": ""},
                {"access_token": 1},
                {"expires_in": "x"},
                {"expires_in": None},
                {"expires_in": math.inf},
                {"expires_in": 0},
                {"expires_in": 10**400},
                {"generation": "x"},
                {"document": '{"expires_in": 0}\x1b[2J'},
                {"document": "{}"},
                {"document": '"expires_in": 0'},
                {"document": '{"expires_in": 0, "x": ' + "[" * 200 + "]" * 200 + "}"},
                {"document": '{"expires_in": 0, "x": "' + "x" * 100_000 + '"}'},
                {"variables": {"LD_PRELOAD": "/tmp/x.so"}},
                {"variables": {"ZOHO_WIZARD_HOME": "/tmp"}},
                {"variables": {"ZOHO_DC": "eu\nPATH=/tmp"}},
                {"variables": {"ZOHO_DC": "x" * 100_000}},
                {"variables": ["ZOHO_DC"]},
            )
        ),
        ({"token": None}, "token-host-without-wizard"),
        ({"error": "throttled"}, "token-host-without-wizard"),
        ({"error": {**ERROR, "details": ["x"]}}, "token-host-without-wizard"),
        ({"error": ERROR}, "throttled"),
        ({"zoho": "http://127.0.0.1:8730"}, "token-host-foreign-zoho"),
        ({"protocol": 2}, "token-host-version"),
        ({"protocol": None}, "token-host-version"),
    ],
)
def test_an_answer_that_isnt_as_it_has_to_be_is_refused(
    answering: Path, changed: dict[str, object], code: str
) -> None:
    assert found_in(answering, {**ANSWER, **changed}) == code


@over_rows("text", ["", "Welcome!\n{}", "[]", '"x"', "{}", "[" * 100_000])
def test_what_isnt_an_answer_is_refused(answering: Path, text: str) -> None:
    assert found_in(answering, text) == "token-host-without-wizard"


@over_rows(
    "changed",
    [
        {"protocol": "x" * 10_000},
        {"zoho": "x" * 10_000},
        {"error": {**ERROR, "details": {"email": "x" * 10_000}}},
    ],
)
def test_no_message_has_a_long_text_of_a_host(answering: Path, changed: dict[str, object]) -> None:
    (answering / "answer").write_text(json.dumps({**ANSWER, **changed}))
    host = parse_address("ssh://tokens@host")
    assert host is not None
    environment = {"PATH": str(answering), "ZOHO_WIZARD_HOME": str(answering / "home")}
    details = ask(host, SshRequest("token", ("crm",)), environment)["error"]["details"]
    assert "x" * 100 in "".join(details.values())
    assert max(map(len, details.values())) <= MAX_DETAIL_CHARACTERS


def test_no_more_is_read_from_a_host_than_an_answer_has(answering: Path) -> None:
    assert found_in(answering, json.dumps(ANSWER) + " " * MAX_ANSWER_BYTES) == (
        "token-host-without-wizard"
    )
    for redirection in ("", ">&2"):
        flood = f"/usr/bin/head -c {16 * MAX_ANSWER_BYTES} /dev/zero {redirection}"
        (answering / "ssh").write_text(
            f"#!/bin/sh\n{flood}\n: > {answering}/finished\n/bin/cat {answering}/answer\n"
        )
        assert found_in(answering, ANSWER) == "token-host-without-wizard"
        assert not (answering / "finished").exists()
