"""``plan``, ``apply`` and ``export-config`` as commands."""

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.connections_file import client_table, connection_table
from support.harness import (
    ANNA,
    BOB,
    CARLA,
    FIRST_ORGANIZATION,
    SECOND_ORGANIZATION,
    Harness,
)
from support.shell import RunningCommand, Shell

from wizard.connections_file.document import MAX_CHARACTERS, MAX_PROBLEMS
from wizard.model import GrantState

CONSENT_URL = r"http://127\.0\.0\.1:\d+/\w+/accounts/oauth/v2/auth\S+"


class Consents:
    """Gives the consents that running commands ask for, each once."""

    def __init__(self, shell: Shell) -> None:
        self._controls = shell.simulator.controls
        self._given: set[str] = set()

    def give(self, running: RunningCommand, organization: str = SECOND_ORGANIZATION) -> None:
        """Open the next URL as the account that the command names, accept, and paste the URL where
        the browser ends up. Carla chooses `organization`."""
        seen = "".join(f"(?!{re.escape(each)})" for each in self._given)
        asked = running.wait_for_stderr(
            rf"(?s)\S+@zylker.example(?:(?!@|http).)*{seen}{CONSENT_URL}\n"
        )
        email, url = asked.split()[0], asked.split()[-1]
        self._given.add(url)
        chosen = organization if email == CARLA else ""
        running.send_line(self._controls.authorize(url, email, chosen))


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


def test_a_script_applies_a_file_and_only_a_different_organization_stops(
    shell: Shell, file: Path
) -> None:
    differing = shell.run("plan", str(file), "--exit-code", "--json")
    planned = json.loads(differing.stdout)
    assert differing.exit_code == 10
    assert (planned["sign_ins"], len(planned["consents"])) == (3, 4)
    running = shell.start("apply", str(file), "--yes", "--no-browser", "--json")
    for secret in secrets_of(file):
        running.send_line(secret)
    consents = Consents(shell)
    for _each in planned["consents"]:
        consents.give(running, FIRST_ORGANIZATION)
    done = running.finish()
    assert done.exit_code == 3, done.stderr
    states = {each["name"]: each["state"] for each in json.loads(done.stdout)["connections"]}
    verified = dict.fromkeys(("leads", "books", "bob"), "reauthorized")
    assert states == {**verified, "carla": "skipped"}
    assert "REFRESH_TOKEN" in (shell.directory / "leads.env").read_text("utf-8")
    assert done.stderr.count("copy its full URL") == 1, "explained only once"

    running = shell.start("apply", str(file), "--yes", "--no-browser", "--json")
    consents.give(running)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    (carla,) = json.loads(done.stdout)["connections"]
    assert (carla["name"], carla["state"]) == ("carla", "reauthorized")
    assert shell.run("plan", str(file), "--exit-code").exit_code == 0
    again = shell.run("apply", str(file), "--no-input", "--json")
    assert (again.exit_code, json.loads(again.stdout)["plan"]["has_changes"]) == (0, False)


def test_no_more_is_read_of_a_file_than_one_can_have(shell: Shell) -> None:
    pipe = shell.directory / "pipe"
    os.mkfifo(pipe)

    def fill() -> None:
        with pipe.open("w") as file:
            file.write("#" * 2 * MAX_CHARACTERS)

    with ThreadPoolExecutor(1) as threads:
        filling = threads.submit(fill)
        planned = shell.run("plan", str(pipe), "--json")
        with pytest.raises(BrokenPipeError):
            filling.result()
    assert json.loads(planned.stderr)["error"]["code"] == "connections-file-too-large"


def test_of_a_file_with_many_problems_a_hundred_are_listed(shell: Shell) -> None:
    path = shell.directory / "many.toml"
    path.write_text("".join(f"key{number} = 1\n" for number in range(MAX_PROBLEMS + 1)))
    planned = shell.run("plan", str(path))
    assert planned.exit_code == 2
    assert planned.stderr.count(f"{path}: key") == MAX_PROBLEMS
    assert f"more than {MAX_PROBLEMS} problems" in planned.stderr
    details = json.loads(shell.run("plan", str(path), "--json").stderr)["error"]["details"]
    assert (details["count"], details["limit"]) == (str(MAX_PROBLEMS), str(MAX_PROBLEMS))


def test_when_piped_input_ends_no_other_consent_is_started(shell: Shell, file: Path) -> None:
    words = ("apply", str(file), "--yes", "--no-browser")
    ended = shell.run(*words, stdin_text="\n".join([*secrets_of(file), "no URL"]))
    assert (ended.exit_code, len(re.findall(CONSENT_URL, ended.stderr))) == (2, 2)
    skipped = shell.run(*words, stdin_text="no URL\n" * 4)
    assert (skipped.exit_code, len(re.findall(CONSENT_URL, skipped.stderr))) == (3, 4)
    assert "0 of 1 delivered" in skipped.stdout


@pytest.mark.slow
def test_a_person_can_correct_a_secret_and_a_second_question_prunes(
    shell: Shell, shell_harness: Harness
) -> None:
    old = shell_harness.add_verified_connection("old")
    shell_harness.services.reauthorization.begin(("old",))
    uri = f"http://localhost:{shell.port}/callback"
    made = shell.simulator.controls.register_client(ANNA, [uri])
    tables = (
        client_table("new", made["client_id"]),
        connection_table("leads", "new"),
    )
    path = shell.directory / "connections.toml"
    path.write_text("".join(tables), "utf-8")
    done = shell.run_in_terminal(
        "apply",
        str(path),
        "--prune",
        "--request",
        replies=[
            ("Apply this?", "y"),
            ("Client secret for new in EU", "0" * 42),
            ("Client secret for new in EU", made["secrets"]["eu"]),
        ],
    )
    assert done.stdout.count("accounts/oauth/v2/auth") == 1, "only that of the file"
    waiting = shell.run("plan", str(path), "--exit-code")
    assert (waiting.exit_code, "Waiting for the account owners" in waiting.stdout) == (0, True)
    store = shell_harness.services.store
    assert store.clients.get(made["client_id"]).name == "new"
    assert store.connections.exists("old"), "nothing is removed before the consents"
    shell_harness.authorize("leads")
    shell_harness.verify("leads", 1)
    path.write_text("".join(tables) + 'owner = "Ops"\n', "utf-8")
    assert shell.run("apply", str(path), "--yes").exit_code == 0
    assert store.connections.exists("old")
    failing = connection_table("leads", "new", destinations=[{"profile": "command", "to": "false"}])
    path.write_text(tables[0] + failing, "utf-8")
    undelivered = shell.run("apply", str(path), "--yes")
    assert (undelivered.exit_code, "✓" in undelivered.stderr) == (1, False)
    path.write_text("".join(tables), "utf-8")
    declined = shell.run_in_terminal(
        "apply", str(path), "--prune", replies=[("Apply this?", "y"), ("Remove 1 connection", "n")]
    )
    assert declined.exit_code == 1
    assert store.grants.get("old") == old
    pruned = shell.run("apply", str(path), "--prune", "--yes", "--json")
    assert (pruned.exit_code, json.loads(pruned.stdout)["removed"]["connections"]) == (0, ["old"])
    assert [each.name for each in store.connections.all()] == ["leads"]


@pytest.mark.slow
def test_a_client_file_replaces_the_question_for_a_secret(
    shell: Shell, shell_harness: Harness
) -> None:
    client, passphrase = shell_harness.register_client("zylker"), "four words make one"
    exported = shell.directory / "zylker.zoho-client"
    shell_harness.services.client_files.write(exported, client.client_id, (), passphrase)
    path = shell.directory / "connections.toml"
    text = client_table("zylker", client.client_id) + connection_table("leads", "zylker")
    path.write_text(text, "utf-8")
    words = ("apply", str(path), "--client-file", str(exported), "--yes", "--request")
    elsewhere = {"ZOHO_WIZARD_HOME": str(shell.directory / "colleague")}
    done = shell.run(*words, stdin_text=f"{passphrase}\n", **elsewhere)
    assert done.exit_code == 0, done.stderr
    assert "accounts/oauth/v2/auth" in done.stdout


@pytest.mark.slow
def test_killed_at_ten_moments_nothing_is_lost_or_doubled(
    shell: Shell, shell_harness: Harness, file: Path
) -> None:
    consents = Consents(shell)
    secrets = dict(zip(("one", "two"), secrets_of(file), strict=True))
    for moment in range(10):
        planned = json.loads(shell.run("plan", str(file), "--json").stdout)
        running = shell.start("apply", str(file), "--yes", "--no-browser", "--json")
        for client in planned["clients"]:
            running.send_line(secrets[client["name"]])
            if moment == 0:  # with one of two secrets
                break
        if moment >= 2 and planned["consents"]:
            consents.give(running)
        if moment % 3 and planned["consents"]:
            running.wait_for_stderr(CONSENT_URL)
        running.finish(signal.SIGKILL)
        shell.simulator.controls.advance(600)
    planned = json.loads(shell.run("plan", str(file), "--json").stdout)
    if planned["has_changes"]:
        running = shell.start("apply", str(file), "--yes", "--no-browser", "--json")
        for _each in planned["consents"]:
            consents.give(running)
        assert running.finish().exit_code == 0
    assert shell.run("plan", str(file), "--exit-code").exit_code == 0
    for each in shell_harness.services.store.connections.all():
        grants = shell_harness.services.store.grants.of_connection(each.name)
        usable = [grant.state for grant in grants if not grant.state.is_ended]
        assert usable == [GrantState.VERIFIED], each.name
    assert len(shell_harness.services.store.connections.all()) == 4
    assert len(shell_harness.services.store.destinations.all()) == 1
