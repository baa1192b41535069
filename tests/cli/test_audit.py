"""``audit``: who did what, filtered and exported."""

import json
import os
import re
from typing import Any

from support.harness import Harness
from support.shell import CommandResult, Shell

from wizard.paths import host_name, user_name


def exported(result: CommandResult) -> list[dict[str, Any]]:
    """The events of `audit --json`."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_events_are_exported_line_by_line_as_the_filters_say(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    token = shell.run("token", "crm").stdout.strip()
    shell.run("rename", "crm", "sales")
    secrets = shell.run("show", "sales", "--reveal", "--yes", "--json").stdout
    done = shell.run("audit", "--json")
    events = exported(done)
    kinds = [each["kind"] for each in events]
    assert [each for each in kinds if each not in ("grant-stored", "grant-verified")] == [
        *("client-added", "created", "token-served", "renamed", "revealed"),
    ]
    me = user_name(os.getuid())
    assert {(each["user"], each["machine"]) for each in events} == {(me, host_name())}
    for secret in (token, *json.loads(secrets).values()):
        assert len(secret) < 20 or secret not in done.stdout

    last = events[-1]
    filters = ("--user", me, "--machine", host_name(), "--kind", "revealed", "--kind", "created")
    found = shell.run("audit", "sales", *filters, "--since", "1h", "--until", last["at"], "--json")
    assert [each["kind"] for each in exported(found)] == ["created"]
    assert exported(shell.run("audit", "--since", last["at"], "--json")) == [last]
    assert shell.run("audit", "--since", "yesterday").exit_code == 2


def test_a_table_of_events_fits_a_terminal_of_80_columns(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shown = shell.run_in_terminal("audit", "crm", columns=80).stdout
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
    assert lines[0].split() == ["Time", "Connection", "User", "Event"]
    assert max(map(len, lines)) <= 80
    assert "Authorization 1 approved, refresh" in shown
