"""``audit``, ``database grant``: who did what, filtered and exported, and who can change that."""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from support.harness import Harness
from support.postgresql import USER, postgresql_server
from support.shell import CommandResult, Shell

from wizard.paths import host_name, user_name
from wizard.services import Services
from wizard.settings import from_environment
from wizard.store import schema

OWNER, ROLE = "wizard_owner", "wizard app"


def exported(result: CommandResult) -> list[dict[str, Any]]:
    """The events of `audit --json`."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def error_code(result: CommandResult) -> str:
    return str(json.loads(result.stderr)["error"]["code"])


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


@pytest.fixture
def role_urls() -> Iterator[tuple[str, str]]:
    """The URLs of a database without tables: for the role that owns it, and for one that has no
    rights yet."""
    server = postgresql_server()
    name = server.create_database()
    for role in (OWNER, ROLE):
        server.execute(f'CREATE ROLE "{role}" LOGIN')
    server.execute(f"ALTER DATABASE {name} OWNER TO {OWNER}")
    url = server.url(name)
    yield url.replace(USER, OWNER, 1), url.replace(USER, ROLE.replace(" ", "%20"), 1)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    for role in (OWNER, ROLE):
        server.execute(f'DROP ROLE "{role}"')


@pytest.mark.slow
def test_a_role_that_does_not_own_the_tables_can_do_everything_but_change_the_history(
    shell: Shell, role_urls: tuple[str, str]
) -> None:
    owner_url, url = role_urls
    assert error_code(shell.run("database", "grant", ROLE, "--json")) == "database-not-shared"
    assert shell.run("database", "use", owner_url).exit_code == 0
    denied = shell.run("database", "use", url, "--json")
    assert (denied.exit_code, error_code(denied)) == (5, "database-unwritable")
    for role, code in (("nix", "database-role-unknown"), (OWNER, "database-role-owner")):
        assert error_code(shell.run("database", "grant", role, "--json")) == code
    for _ in range(2):
        granted = json.loads(shell.run("database", "grant", ROLE, "--json").stdout)
        assert granted["role"] == ROLE
    assert shell.run("database", "use", url).exit_code == 0
    again = shell.run("database", "grant", ROLE, "--json")
    assert error_code(again) == "database-not-owner"

    target = ("--profile", "dotenv", "--to", str(shell.directory / ".env"))
    with Services.open(from_environment(shell.environment), shell.simulator.clock) as services:
        harness = Harness(services, shell.simulator, shell.directory)
        grant = harness.add_verified_connection()
        assert shell.run("destination", "add", "crm", *target, "--yes").exit_code == 0
        assert shell.run("token", "crm").exit_code == 0
        services.tokens.reject(grant, services.tokens.access_token("crm").value)
        services.tokens.access_token("crm")
        harness.verify("crm", harness.authorize("crm").generation or 0)
        services.tokens.rename_connection("crm", "sales")
        services.tokens.remove_connection("sales")
    events = exported(shell.run("audit", "--json"))
    expected = {"created", "delivered", "token-served", "token-rejected", "renamed", "removed"}
    assert expected | {"grant-verified"} <= {each["kind"] for each in events}
    granted = [each for each in events if each["kind"] == "role-granted"]
    assert [each["details"] for each in granted] == [{"role": ROLE}] * 2
    assert {each["database_role"] for each in granted} == {OWNER}
    assert {each["database_role"] for each in events if each not in granted} == {ROLE}

    old = """INSERT INTO events (at, connection, kind, details, "user", machine)
        VALUES ('2020-01-01T00:00:00.000000+00:00', 'crm', 'token-served', '{}', '', '')"""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "UPDATE events SET kind = 'edited'",
            "DELETE FROM events",
            "TRUNCATE events",
            "ALTER TABLE events DISABLE TRIGGER ALL",
            old.replace("(at", "(database_role, at").replace("('", "('another', '", 1),
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"denied|owner"):
                connection.execute(statement.encode())
        for old_value, value in (
            ("2020-01-01T00", "2020-01-01T24"),
            ("2020", "10000"),
            ("2020-01-01T00:00:00.000000+00:00", "infinity"),
            ("{}", "[]"),
            ("{}", '{"target": null}'),
        ):
            unreadable = old.replace(f"'{old_value}", f"'{value}", 1)
            with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.DataError)):
                connection.execute(unreadable.encode())
        connection.execute(old)
        connection.execute(f"SELECT {schema.PRUNE_EVENTS}()".encode())
    assert exported(shell.run("audit", "--json")) == events
