"""``uninstall``: nothing of the wizard stays, and nothing else is removed."""

import json
import os
import signal
from pathlib import Path

from support.harness import Harness
from support.ports import free_port
from support.shell import Shell

from wizard.fastpath.cipher import key_to_text, new_key
from wizard.paths import KEY_CREDENTIAL


def all_files(directory: Path) -> set[str]:
    return {str(each.relative_to(directory)) for each in directory.rglob("*")}


def test_a_dry_run_lists_the_places_and_changes_nothing(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    home = shell.directory / "home"
    before = all_files(home)
    listed = json.loads(shell.run("uninstall", "--dry-run", "--json").stdout)
    assert (listed["not_revoked"], listed["revoked"]) == (["crm"], [])
    paths = {each["location"] for each in listed["places"]}
    assert shell_harness.services.paths.key_file in paths
    assert shell_harness.services.paths.database in paths
    revoking = json.loads(shell.run("uninstall", "--revoke", "--dry-run", "--json").stdout)
    assert (revoking["not_revoked"], revoking["revoked"]) == ([], ["crm"])
    assert all_files(home) == before


def test_everything_is_removed_except_what_the_wizard_did_not_make(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    home = shell.directory / "home"
    data = Path(shell_harness.services.paths.data_dir)
    (data / "notes.txt").write_text("mine")
    refused = shell.run("uninstall")
    assert (refused.exit_code, "input-needed" in refused.stderr) == (2, True)
    assert Path(shell_harness.services.paths.database).exists()

    removed = shell.run("uninstall", "--yes")
    assert removed.exit_code == 0
    assert "still work at Zoho: crm" in removed.stderr
    found = [each for each in home.rglob("*") if each.is_file()]
    assert found == [data / "notes.txt"]


def test_nothing_is_removed_where_another_user_can_put_a_link(shell: Shell, tmp_path: Path) -> None:
    other, home = tmp_path / "other" / "simulator" / "tokens", tmp_path / "home"
    other.mkdir(parents=True)
    home.mkdir()
    (home / "data").symlink_to(tmp_path / "other")
    home.chmod(0o777)
    refused = shell.run("uninstall", "--yes", ZOHO_WIZARD_HOME=str(home))
    assert "(data-directory-replaceable)" in refused.stderr
    assert other.exists()


def test_tokens_are_revoked_first_if_that_is_wanted(shell: Shell, shell_harness: Harness) -> None:
    grant = shell_harness.add_verified_connection("crm")
    removed = shell.run("uninstall", "--revoke", "--yes", "--json")
    assert json.loads(removed.stdout)["revoked"] == ["crm"]
    assert grant.refresh_token
    journal = shell_harness.controls.journal()
    (revoked,) = (each for each in journal if "revoke" in each["path"])
    assert revoked["status"] == 200
    assert not (shell.directory / "home").exists()


def test_if_a_token_cannot_be_revoked_nothing_is_removed(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    shell_harness.controls.inject_fault("data-center-down", endpoint="revoke", times=9)
    failed = shell.run("uninstall", "--revoke", "--yes")
    assert failed.exit_code != 0
    assert Path(shell_harness.services.paths.database).exists()


def test_nothing_is_removed_while_a_wizard_serves(shell: Shell, shell_harness: Harness) -> None:
    serving = shell.start("serve", "--socket-only")
    serving.wait_for_stderr("Ctrl-C to stop")
    refused = shell.run("uninstall", "--yes")
    assert (refused.exit_code, "uninstall-while-served" in refused.stderr) == (1, True)
    assert Path(shell_harness.services.paths.database).exists()
    serving.finish(signal.SIGTERM)


def test_a_machine_of_a_token_host_removes_its_address_and_its_copies(shell: Shell) -> None:
    home = shell.directory / "home"
    for name, content in (
        ("config/simulator/remote", "ssh://tokens@127.0.0.1:9\n"),
        ("cache/simulator/token-host/crm.token", "a copy"),
    ):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text(content)
    assert shell.run("uninstall", "--yes").exit_code == 0
    assert not home.exists()


def test_units_of_the_user_are_stopped_and_removed(shell: Shell, shell_harness: Harness) -> None:
    programs, log = shell.directory / "programs", shell.directory / "systemctl.log"
    programs.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$*" >> {log}\n')
    (programs / "systemctl").chmod(0o755)
    shell.environment["PATH"] = f"{programs}:{os.defpath}"
    units = shell.directory / ".config" / "systemd" / "user"
    units.mkdir(parents=True)
    (units / "zoho-wizard.service").write_text("[Service]\n")
    credential = shell.directory / ".config" / "credstore.encrypted" / KEY_CREDENTIAL
    credential.parent.mkdir()
    credential.write_text("encrypted")
    removed = json.loads(shell.run("uninstall", "--yes", "--json").stdout)
    assert str(credential) in {each["location"] for each in removed["places"]}
    assert [*units.iterdir(), *credential.parent.iterdir()] == []
    assert log.read_text() == "--user disable --now zoho-wizard.service\n--user daemon-reload\n"


def test_a_directory_that_the_wizard_has_not_used_is_refused(shell: Shell, tmp_path: Path) -> None:
    for name in (
        "data/tokens/session.token",
        "data/simulator/model.bin",
        "data/served",
        "config/key",
        "config/remote",
        "cache/open-house.html",
        "data/wizard.db",
        "data/shared-store",
        "data/simulator.json",
        "config/database-url",
        "cache/token-host/session.token",
    ):
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text("foreign")
    before = all_files(tmp_path)
    mistaken = {"ZOHO_WIZARD_HOME": str(tmp_path / "project"), "ZOHO_WIZARD_SIMULATOR_URL": ""}
    for option in ("--yes", "--dry-run"):
        refused = shell.run("uninstall", option, **mistaken)
        assert (refused.exit_code, "uninstall-foreign-directory" in refused.stderr) == (2, True)
    assert all_files(tmp_path) == before


def test_a_reset_of_the_demo_removes_nothing_of_another_program(
    shell: Shell, tmp_path: Path
) -> None:
    foreign = tmp_path / "project" / "data" / "simulator" / "machine"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("foreign")
    mistaken = {"ZOHO_WIZARD_HOME": str(tmp_path / "project"), "ZOHO_WIZARD_SIMULATOR_URL": ""}
    refused = shell.run("demo", "--reset", "--port", str(free_port()), **mistaken)
    assert (refused.exit_code, "uninstall-foreign-directory" in refused.stderr) == (2, True)
    assert foreign.exists()


def test_a_file_that_is_no_key_is_not_removed_as_one(shell: Shell, tmp_path: Path) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "own"
    certificate.write_text("-----BEGIN PRIVATE KEY-----\n")
    key.write_text(key_to_text(new_key()))
    for file in (certificate, key):
        shell.run("uninstall", "--yes", ZOHO_WIZARD_KEY_FILE=str(file))
    assert (certificate.exists(), key.exists()) == (True, False)


def test_foreign_files_in_directories_of_the_wizard_stay(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    home, paths = shell.directory / "home", shell_harness.services.paths
    foreign = [Path(paths.token_dir) / "model" / "weights", Path(paths.lock_dir) / "notes.txt"]
    for path in (*foreign, Path(paths.profile_dir("")) / "Default" / "Cookies"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content")
    assert shell.run("uninstall", "--yes").exit_code == 0
    assert {each for each in home.rglob("*") if each.is_file()} == {*foreign}
