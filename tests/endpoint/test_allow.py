"""``allow`` in a terminal, and a program that asks a serving wizard."""

import json
import os
import pwd
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from core import Core
from shell import Shell
from test_sockets import Asker

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def meeting_place() -> Iterator[Path]:
    """A directory with a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Path(directory) / "shared"


def test_a_user_who_is_allowed_while_it_serves_is_answered_at_once(
    shell: Shell, stored: Core, meeting_place: Path
) -> None:
    stored.proved("crm")
    serving = shell.start("serve", "--share", str(meeting_place))
    serving.see("Ctrl-C: stop")

    said = shell.run("allow", "crm", "--user", ME)

    assert said.code == 0
    (path,) = re.findall(r"curl --unix-socket (\S+) http://zoho-wizard/token/crm", said.err)
    assert path == str(meeting_place / "socket")
    status, answer = Asker(Path(path)).ask("/token/crm")
    assert status == 200
    assert answer["access_token"] == shell.run("token", "crm").out.strip()
    assert serving.end(signal.SIGTERM).code == 0


def test_who_may_ask_can_be_listed_and_ended(shell: Shell, stored: Core) -> None:
    stored.connection("crm")
    shell.run("allow", "crm", "--user", str(os.getuid()))
    listed = json.loads(shell.run("allow", "crm", "--json").out)
    assert [(row["user"], row["uid"]) for row in listed] == [(ME, os.getuid())]

    assert shell.run("allow", "crm", "--user", ME, "--remove").code == 0

    assert json.loads(shell.run("allow", "crm", "--json").out) == []
    again = shell.run("allow", "crm", "--user", ME, "--remove")
    assert (again.code, "not-allowed" in again.err) == (1, True)
    kinds = [event.kind for event in stored.house.store.history("crm")]
    assert kinds[:2] == ["disallowed", "allowed"]


def test_a_user_of_a_container_goes_by_number(shell: Shell, stored: Core) -> None:
    stored.connection("crm")
    assert shell.run("allow", "crm", "--user", "2000123456").code == 0
    (row,) = stored.house.store.allowances("crm")
    assert (row.uid, row.user) == (2000123456, "2000123456")


def test_where_other_users_cannot_go_it_says_how_they_can(
    shell: Shell, stored: Core, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stored.connection("crm")
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    serving = shell.start("serve", "--share", str(closed / "shared"))
    serving.see("Ctrl-C: stop")
    other, own = (shell.run("allow", "crm", "--user", each) for each in ("2000123456", ME))
    serving.end(signal.SIGTERM)

    assert "Other users of this machine cannot enter" in other.err
    assert "sudo install --directory --mode 711" in other.err
    assert "zoho-wizard serve --share /var/lib/zoho-wizard" in other.err
    assert "cannot enter" not in own.err


@pytest.mark.parametrize("user", ["no-such-user", "4294967295", "-1", "ro\x1bot"])
def test_a_user_nobody_knows_is_refused(shell: Shell, stored: Core, user: str) -> None:
    stored.connection("crm")
    said = shell.run("allow", "crm", f"--user={user}")
    assert said.code == 2
    assert "unknown-user" in said.err
    assert "\x1b" not in said.err
    assert stored.house.store.allowances() == ()


def test_an_unknown_connection_is_refused_with_the_nearest_names(
    shell: Shell, stored: Core
) -> None:
    stored.connection("crm")
    said = shell.run("allow", "crn", "--user", ME)
    assert "unknown-connection" in said.err
    assert "crm" in said.err


def test_an_allowance_goes_with_its_connection(stored: Core, shell: Shell) -> None:
    stored.connection("crm")
    shell.run("allow", "crm", "--user", ME)
    shell.run("remove", "crm", "--forget")
    assert stored.house.store.allowances() == ()
