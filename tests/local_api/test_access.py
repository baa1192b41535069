"""``access`` in a terminal, and a program that sends requests to a running wizard."""

import json
import os
import pwd
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.harness import Harness
from support.local_api import SocketClient
from support.shell import Shell

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def socket_directory() -> Iterator[Path]:
    """A directory with a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Path(directory) / "shared"


def test_a_user_added_while_it_serves_is_answered_at_once(
    shell: Shell, shell_harness: Harness, socket_directory: Path
) -> None:
    shell_harness.add_verified_connection("crm")
    serving = shell.start("serve", "--share", str(socket_directory))
    serving.wait_for_stderr("Ctrl-C to stop")

    said = shell.run("access", "add", "crm", "--user", ME)

    assert said.exit_code == 0
    (path,) = re.findall(r"curl --unix-socket (\S+) http://zoho-wizard/token/crm", said.stderr)
    assert path == str(socket_directory / "socket")
    status, answer = SocketClient(Path(path)).request("/token/crm")
    assert status == 200
    assert answer["access_token"] == shell.run("token", "crm").stdout.strip()
    assert serving.finish(signal.SIGTERM).exit_code == 0


def test_users_with_access_can_be_listed_and_removed(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_connection("crm")
    shell.run("access", "add", "crm", "--user", str(os.getuid()))
    for words in (("list",), ("list", "crm")):
        listed = json.loads(shell.run("access", *words, "--json").stdout)["permissions"]
        assert [(row["connection"], row["user"], row["uid"]) for row in listed] == [
            ("crm", ME, os.getuid())
        ]

    assert shell.run("access", "remove", "crm", "--user", ME).exit_code == 0

    assert json.loads(shell.run("access", "list", "--json").stdout) == {
        "permissions": [],
        "keys": [],
    }
    again = shell.run("access", "remove", "crm", "--user", ME)
    assert (again.exit_code, "unknown-access" in again.stderr) == (2, True)
    assert ME in again.stderr
    kinds = [event.kind for event in shell_harness.services.store.events.of_connection("crm")]
    assert kinds[:2] == ["access-removed", "access-added"]


def test_a_user_of_a_container_is_given_by_number(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_connection("crm")
    assert shell.run("access", "add", "crm", "--user", "2000123456").exit_code == 0
    (row,) = shell_harness.services.store.access_permissions.all("crm")
    assert (row.uid, row.user) == (2000123456, "2000123456")


def test_where_other_users_cannot_reach_the_socket_the_fix_is_shown(
    shell: Shell, shell_harness: Harness, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shell_harness.add_connection("crm")
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    serving = shell.start("serve", "--share", str(closed / "shared"))
    serving.wait_for_stderr("Ctrl-C to stop")
    other, own = (shell.run("access", "add", "crm", "--user", each) for each in ("2000123456", ME))
    serving.finish(signal.SIGTERM)

    assert "Other users can’t open" in other.stderr
    assert "sudo install --directory --mode 711" in other.stderr
    assert "zoho-wizard serve --share /var/lib/zoho-wizard" in other.stderr
    assert "can’t open" not in own.stderr


@pytest.mark.parametrize("user", ["no-such-user", "4294967295", "-1", "9" * 5000, "ro\x1bot"])
def test_an_unknown_user_is_refused(shell: Shell, shell_harness: Harness, user: str) -> None:
    shell_harness.add_connection("crm")
    said = shell.run("access", "add", "crm", f"--user={user}")
    assert said.exit_code == 2
    assert "unknown-user" in said.stderr
    assert "\x1b" not in said.stderr
    assert shell_harness.services.store.access_permissions.all() == ()


def test_an_unknown_connection_is_refused_with_the_nearest_names(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_connection("crm")
    said = shell.run("access", "add", "crn", "--user", ME)
    assert "unknown-connection" in said.stderr
    assert "crm" in said.stderr


def test_access_is_removed_with_its_connection(shell_harness: Harness, shell: Shell) -> None:
    shell_harness.add_connection("crm")
    shell.run("access", "add", "crm", "--user", ME)
    shell.run("remove", "crm", "--no-revoke")
    assert shell_harness.services.store.access_permissions.all() == ()
