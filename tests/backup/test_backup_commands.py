"""``backup`` and ``restore`` as commands, and recovery from a lost key."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.harness import ANNA, Harness
from support.shell import CommandResult, Shell

from wizard.delivery.profiles import profiles
from wizard.fastpath import cipher
from wizard.services import Services
from wizard.settings import from_environment
from wizard.store import Destination

pytestmark = pytest.mark.slow
"""Several installations, each with its own processes: minutes on two cores."""

PASSPHRASE = "four words make one"


def back_up(shell: Shell, *options: str) -> Path:
    file = shell.directory / "wizard.backup"
    done = shell.run("backup", str(file), *options, stdin_text=f"{PASSPHRASE}\n")
    assert done.exit_code == 0, done.stderr
    return file


def restore(
    shell: Shell, *arguments: str, stdin_text: str = PASSPHRASE, **environment: str
) -> CommandResult:
    return shell.run("restore", *arguments, "--json", stdin_text=f"{stdin_text}\n", **environment)


def other_installation(shell: Shell) -> dict[str, str]:
    return {"ZOHO_WIZARD_HOME": str(shell.directory / "another machine")}


def move_key_away(shell: Shell) -> Path:
    (key,) = shell.directory.rglob("key")
    return key.rename(shell.directory / "lost")


def test_a_restored_connection_is_verified_and_used_on_another_machine(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection()
    file = back_up(shell)

    done = restore(shell, str(file), **other_installation(shell))

    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["restored"] == ["crm"]
    assert [(each["name"], each["is_verified"]) for each in said["verifications"]] == [
        ("crm", True)
    ]
    token = shell.run("token", "crm", **other_installation(shell))
    assert (token.exit_code, token.stdout.startswith("1000.")) == (0, True)


def test_a_restore_while_the_original_is_active_is_reported_until_that_one_is_deactivated(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection()
    file = back_up(shell)

    done = shell.run(
        "restore", str(file), stdin_text=f"{PASSPHRASE}\n", **other_installation(shell)
    )
    status = shell.run("status", **other_installation(shell))
    results = (done, status, shell.run("show", "crm", **other_installation(shell)))

    caution = "Two installations may be using the same refresh token"
    assert [(caution in each.stderr, each.exit_code) for each in results] == [(True, 0)] * 3
    assert "zoho-wizard restore --source-gone" in results[0].stderr
    assert shell.run("restore", "--source-gone", **other_installation(shell)).exit_code == 0
    status = shell.run("status", "--json", **other_installation(shell))
    assert json.loads(status.stdout)["cautions"] == []


def test_destinations_are_restored_only_on_request(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection()
    place = Destination("crm", "dotenv", "/srv/app/.env", reload_command="systemctl restart app")
    shell_harness.services.store.destinations.add(place)
    file = back_up(shell)

    left_out = shell.run(
        "restore", str(file), stdin_text=f"{PASSPHRASE}\n", **other_installation(shell)
    )
    said = json.loads(
        shell.run("destination", "list", "crm", "--json", **other_installation(shell)).stdout
    )["destinations"]

    assert left_out.exit_code == 0
    command = (
        "destination add crm --profile dotenv --to /srv/app/.env --then 'systemctl restart app'"
    )
    assert f"zoho-wizard {command}" in left_out.stderr
    assert said == []
    third = {"ZOHO_WIZARD_HOME": str(shell.directory / "a third machine")}
    assert restore(shell, str(file), "--deliver", **third).exit_code == 0
    listed = json.loads(shell.run("destination", "list", "crm", "--json", **third).stdout)
    (kept,) = listed["destinations"]
    assert kept["target"] == "/srv/app/.env"


def test_the_question_about_destinations_shows_everything_that_they_do(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection()
    store, own = shell_harness.services.store, shell.directory / "own.toml"
    own.write_text(
        'file_format = "command"\npayload_format = "json"\nfields = {t = "{refresh_token}"}\n'
    )
    env = Destination(
        *("crm", "dotenv", "/srv/g.env"),
        field_names={"ZOHO_CLIENT_ID": "BASH_ENV"},
        field_values={"LD_PRELOAD": "/tmp/evil.so"},
        reload_command="systemctl restart app",
        file_mode="0660",
        file_group="daemon",
    )
    store.destinations.add(env)
    store.destinations.add(Destination("crm", "command-env", "tee /tmp/one\n  crm: /srv/h.env"))
    store.destinations.add(Destination("crm", str(own), "tee /tmp/two"))
    store.destinations.add(Destination("crm", "/gone/own.toml", "tee /tmp/three"))
    file = back_up(shell)
    there = replace(shell, environment={**shell.environment, **other_installation(shell)})

    replies = [("assphrase", PASSPHRASE), ("Deliver to them from here", "n")]
    asked = there.run_in_terminal("restore", str(file), replies=replies, columns=400)

    assert asked.exit_code == 0, asked.stdout
    question, _, answered = asked.stdout.partition("Deliver to them from here")
    lines = [line.rstrip() for line in question.splitlines()]
    for line in (
        "  crm: /srv/g.env, with mode 0660, for the group daemon, then runs systemctl restart app",
        "    ZOHO_CLIENT_ID is written as BASH_ENV",
        "    LD_PRELOAD = /tmp/evil.so",
        "  crm: runs tee /tmp/one   crm: /srv/h.env",
        "  crm: runs tee /tmp/two",
    ):
        assert line in lines, question
    assert "crm: writes to tee /tmp/three or runs it, as /gone/own.toml says" in question
    options = "--name ZOHO_CLIENT_ID=BASH_ENV --set LD_PRELOAD=/tmp/evil.so --then"
    assert f"--to /srv/g.env {options}" in answered


def test_a_move_deactivates_the_original_installation(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection()
    refused = shell.run("backup", "file", "--move", stdin_text=f"{PASSPHRASE}\n")
    assert (refused.exit_code, "input-needed" in refused.stderr) == (2, True)

    file = back_up(shell, "--move", "--yes")

    here = shell.run("token", "crm")
    assert (here.exit_code, here.stdout) == (5, "")
    assert "installation-deactivated" in here.stderr
    assert restore(shell, str(file), **other_installation(shell)).exit_code == 0
    assert shell.run("token", "crm", **other_installation(shell)).exit_code == 0
    assert json.loads(shell.run("status", "--json").stdout)["deactivated_at"]


def test_status_shows_the_age_of_the_last_backup(shell: Shell, shell_harness: Harness) -> None:
    assert "never" in shell.run("status").stdout
    back_up(shell)
    shell_harness.advance(hours=49)
    assert "2 days ago" in shell.run("status").stdout


def test_a_wrong_passphrase_and_a_truncated_file_are_distinguished(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection()
    file = back_up(shell)
    wrong = restore(shell, str(file), stdin_text="another passphrase", **other_installation(shell))
    file.write_bytes(file.read_bytes()[:-40])
    cut = restore(shell, str(file), **other_installation(shell))

    assert (wrong.exit_code, "wrong-passphrase" in wrong.stderr) == (1, True)
    assert (cut.exit_code, "backup-cut-short" in cut.stderr) == (1, True)
    assert not (shell.directory / "another machine").exists(), (
        "not even a data directory was created"
    )


def test_restored_connections_wait_while_zoho_is_down(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.add_verified_connection("books")
    file = back_up(shell)
    shell_harness.controls.inject_fault("data-center-down", location="eu", times=100)

    done = restore(shell, str(file), **other_installation(shell))

    said = json.loads(done.stdout)
    assert done.exit_code == 4
    assert said["restored"] == ["books", "crm"]
    assert len(said["verifications"]) == 1
    assert said["not_verified"] == ["crm"]


def test_grants_rejected_since_the_backup_are_reported_once_together(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.add_verified_connection("books")
    file = back_up(shell)
    shell_harness.controls.change_password(ANNA)

    done = shell.run(
        "restore", str(file), stdin_text=f"{PASSPHRASE}\n", **other_installation(shell)
    )

    assert done.exit_code == 3
    assert done.stderr.count("(account-tokens-rejected)") == 1
    assert "zoho-wizard reauthorize books crm" in done.stderr


def test_without_the_key_three_ways_to_recover_are_offered(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection()
    move_key_away(shell)

    said = shell.run("list", "--json")

    assert said.exit_code == 5
    error = json.loads(said.stderr)["error"]
    assert error["commands"] == [
        "zoho-wizard restore FILE --set-aside",
        "zoho-wizard restore --from-destinations",
        "zoho-wizard restore --without-secrets",
    ]


def reopen_services(shell: Shell) -> Services:
    return Services.open(from_environment(shell.environment), shell.simulator.clock)


def test_a_backup_recovers_a_lost_key_and_keeps_newer_data(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    file = back_up(shell)
    shell_harness.add_verified_connection("books")
    shell_harness.services.close()
    move_key_away(shell)

    asked = restore(shell, str(file))
    assert (asked.exit_code, "input-needed" in asked.stderr) == (2, True)
    done = restore(shell, str(file), "--set-aside")

    assert done.exit_code == 0, done.stderr
    assert shell.run("token", "crm").exit_code == 0
    books = shell.run("token", "books")
    assert (books.exit_code, "no-grant" in books.stderr) == (3, True)
    (aside,) = shell.directory.rglob("without-key-*")
    assert (aside / "wizard.db").exists()


def test_secrets_are_recovered_from_the_destinations(shell: Shell, shell_harness: Harness) -> None:
    grant = shell_harness.add_verified_connection("crm")
    shell_harness.add_verified_connection("desk")
    env = shell.directory / "program.env"
    facts = {
        "ZOHO_CLIENT_ID": grant.client_id,
        "ZOHO_CLIENT_SECRET": shell_harness.services.store.clients.get(grant.client_id).secret_for(
            "eu"
        )
        or "",
        "ZOHO_REFRESH_TOKEN": grant.refresh_token,
        "ZOHO_API_DOMAIN": f"{shell.simulator.url}/eu/www",
    }
    env.write_text("".join(f"{name}={value}\n" for name, value in facts.items()))
    assert "dotenv" in profiles()
    shell_harness.services.store.destinations.add(Destination("crm", "dotenv", str(env)))
    shell_harness.services.close()
    move_key_away(shell)

    done = restore(shell, "--from-destinations")

    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["restored"] == ["crm", "desk"]
    assert [(each["name"], each["is_verified"]) for each in said["verifications"]] == [
        ("crm", True)
    ]
    assert said["to_authorize"] == ["desk"]
    with reopen_services(shell) as services:
        assert services.store.grants.get("crm")
        assert [each.target for each in services.store.destinations.all("crm")] == [str(env)]


def test_everything_except_the_secrets_is_kept(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    client = shell_harness.services.store.clients.all()[0]
    scope = shell_harness.services.store.connections.get("crm").scope
    shell_harness.services.close()
    move_key_away(shell)

    assert restore(shell, "--without-secrets").exit_code == 0

    with reopen_services(shell) as services:
        assert services.store.connections.get("crm").scope == scope
        assert services.store.grants.of_connection("crm") == ()
        assert services.store.clients.get(client.client_id).secrets == ()
    lacking = shell.run("connect", "crm", "--no-browser", stdin_text="a code\n")
    assert "missing-secret" in lacking.stderr
    secret = shell_harness.registered_client["secrets"]["eu"]
    assert shell.run("client", "set-secret", client.client_id, stdin_text=secret).exit_code == 0


def test_an_invalid_key_file_is_also_set_aside(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.services.close()
    lost = move_key_away(shell)
    (config,) = shell.directory.rglob("config/simulator")
    (config / "key").write_text("garbage")
    (config / "key").chmod(0o600)

    assert restore(shell, "--without-secrets").exit_code == 0
    (aside,) = shell.directory.rglob("without-key-*")
    assert (aside / "key").read_text() == "garbage"
    assert (config / "key").read_bytes() != lost.read_bytes()


def test_a_different_key_offers_the_same_recovery_and_is_then_used(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    file = back_up(shell)
    shell_harness.services.close()
    key = move_key_away(shell)
    other = cipher.key_to_text(cipher.new_key())
    (config,) = shell.directory.rglob("config/simulator")
    (config / "key").write_text(other)
    (config / "key").chmod(0o600)
    assert "key-wrong" in shell.run("list").stderr

    assert restore(shell, str(file), "--set-aside").exit_code == 0

    assert (config / "key").read_text() == other != key.read_text()
    assert shell.run("token", "crm").exit_code == 0


def test_a_healthy_data_directory_is_not_recovered(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    said = restore(shell, "--without-secrets")
    assert (said.exit_code, "key-in-order" in said.stderr) == (2, True)
    assert shell.run("token", "crm").exit_code == 0


@pytest.mark.parametrize("arguments", [(), ("file", "--without-secrets")])
def test_exactly_one_source_is_required(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert restore(shell, *arguments).exit_code == 2
    assert os.listdir(shell.directory) == ["clock"]
