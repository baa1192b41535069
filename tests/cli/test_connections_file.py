"""``plan``, ``apply`` and ``export-config`` as commands."""

import json
import re
from pathlib import Path

import pytest
from support.connections_file import client_table, connection_table
from support.harness import ANNA, BOB, CARLA, SECOND_ORGANIZATION, Harness
from support.shell import RunningCommand, Shell

CONSENT_URL = r"http://127\.0\.0\.1:\d+/\w+/accounts/oauth/v2/auth\S+"


class Consents:
    """Gives the consents that a running command asks for, each once."""

    def __init__(self, shell: Shell, organization: str = "") -> None:
        self._shell = shell
        self._organization = organization
        self._given: set[str] = set()

    def give(self, running: RunningCommand, email: str, organization: str = "") -> None:
        """Open the next URL as `email`, accept, and paste where the browser ends up."""
        seen = "|".join(map(re.escape, self._given)) or "nothing"
        url = running.wait_for_stderr(rf"(?!{seen}){CONSENT_URL}(?=\s)")
        self._given.add(url)
        running.send_line(self._shell.simulator.controls.authorize(url, email, organization))


@pytest.fixture
def file(shell: Shell, shell_harness: Harness) -> Path:
    """Four connections of three accounts, two clients and two data centers, one with a program."""
    uri = f"http://localhost:{shell.port}/callback"
    tables = []
    secrets = []
    for name, owner in (("one", ANNA), ("two", BOB)):
        made = shell.simulator.controls.register_client(owner, [uri], name=name)
        (location, secret), *_ = made["secrets"].items()
        tables.append(client_table(name, made["client_id"], location))
        secrets.append(secret)
    destination = {"profile": "dotenv", "to": str(shell.directory / "leads.env")}
    tables += [
        connection_table("leads", "one", destinations=[destination]),
        connection_table("books", "one", presets=["books-read-invoices"], tags=["money"]),
        connection_table("bob", "two", account=BOB),
        connection_table("carla", "one", account=CARLA, organization="Zylker Outlet"),
    ]
    path = shell.directory / "connections.toml"
    path.write_text("".join(tables), "utf-8")
    (shell.directory / "secrets").write_text("\n".join(secrets), "utf-8")
    return path


def secrets_of(file: Path) -> list[str]:
    return file.with_name("secrets").read_text("utf-8").split()


def test_a_script_applies_a_file_and_a_second_time_changes_nothing(
    shell: Shell, file: Path
) -> None:
    planned = json.loads(shell.run("plan", str(file), "--json").stdout)
    assert (planned["sign_ins"], len(planned["consents"])) == (3, 4)
    running = shell.start("apply", str(file), "--yes", "--no-browser", "--json")
    for secret in secrets_of(file):
        running.send_line(secret)
    consents = Consents(shell)
    for email in (ANNA, ANNA, BOB, CARLA):
        consents.give(running, email, SECOND_ORGANIZATION if email == CARLA else "")
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    results = json.loads(done.stdout)["connections"]
    assert [each["state"] for each in results] == ["reauthorized"] * 4
    assert "REFRESH_TOKEN" in (shell.directory / "leads.env").read_text("utf-8")
    assert shell.run("plan", str(file), "--exit-code").exit_code == 0
    again = shell.run("apply", str(file), "--no-input", "--json")
    assert (again.exit_code, json.loads(again.stdout)["plan"]["has_changes"]) == (0, False)
