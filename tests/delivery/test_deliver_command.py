"""``zoho-wizard destination`` and ``deliver`` as a user and a script use them."""

import json
import stat
from pathlib import Path

import pytest
from support.delivery import reauthorize
from support.diagnosis import detect_rejection, revoke_by_other_program
from support.harness import Harness
from support.shell import Shell


@pytest.fixture
def target(shell_harness: Harness, shell: Shell) -> Path:
    """A file for the credentials of the verified connection ``crm``."""
    shell_harness.add_verified_connection("crm")
    target = shell.directory / "app" / ".env"
    target.parent.mkdir()
    target.write_text("DEBUG=1\n")
    return target


def token(shell_harness: Harness) -> str:
    grant = shell_harness.services.store.grants.get("crm")
    assert grant is not None
    return grant.refresh_token


def test_a_script_delivers_again_checks_status_and_undoes(
    shell: Shell, shell_harness: Harness, target: Path
) -> None:
    made = shell.run(
        "destination", "add", "crm", "--profile", "dotenv", "--to", str(target), "--yes"
    )
    assert made.exit_code == 0, made.stderr
    assert made.stdout == ""
    assert "will have authorization 1" in made.stderr
    assert "ZOHO_REFRESH_TOKEN = (value not shown)" in made.stderr
    assert "Mode: 0600 instead of 0644" in made.stderr
    assert token(shell_harness) not in made.stderr
    assert token(shell_harness) in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert shell.run("destination", "status", "crm").exit_code == 0
    reauthorize(shell_harness)
    status = shell.run("destination", "status", "--json")
    assert status.exit_code == 1
    [seen] = json.loads(status.stdout)["destinations"]
    assert (seen["state"], seen["found_generation"], seen["needs_delivery"]) == (
        "out_of_date",
        1,
        True,
    )
    again = shell.run("deliver", "crm", "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)["destinations"][0]["generation"] == 2
    assert shell.run("destination", "undo", "crm").exit_code == 0
    assert shell.run("destination", "status", "crm").exit_code == 1
    removed = shell.run("destination", "remove", "crm", "--to", str(target))
    assert removed.exit_code == 0
    assert shell_harness.services.store.destinations.all() == ()
    assert "ZOHO_REFRESH_TOKEN" in target.read_text()


def test_a_dry_run_and_a_script_without_yes_write_nothing(shell: Shell, target: Path) -> None:
    arguments = ("destination", "add", "crm", "--profile", "dotenv", "--to", str(target))
    dry = shell.run(*arguments, "--dry-run", "--json")
    assert dry.exit_code == 0
    assert json.loads(dry.stdout)["fields"]["ZOHO_CLIENT_SECRET"] == "added"
    refused = shell.run(*arguments)
    assert refused.exit_code == 2
    assert "(input-needed)" in refused.stderr
    shown = shell.run(*arguments, "--dry-run", "--show-values")
    assert "(values-need-a-terminal)" in shown.stderr
    assert shown.exit_code == 2
    assert target.read_text() == "DEBUG=1\n"


def test_a_user_sees_the_preview_and_then_decides(
    shell: Shell, shell_harness: Harness, target: Path
) -> None:
    arguments = ("destination", "add", "crm", "--profile", "dotenv", "--to", str(target))
    refused = shell.run_in_terminal(*arguments, replies=[("Deliver this?", "n")])
    assert refused.exit_code == 1
    assert target.read_text() == "DEBUG=1\n"
    answers = [("Continue?", "y"), ("Deliver this?", "y")]
    accepted = shell.run_in_terminal(*arguments, "--show-values", replies=answers)
    assert accepted.exit_code == 0, accepted.stdout
    assert token(shell_harness) in accepted.stdout.replace("\r\n", "")
    assert token(shell_harness) in target.read_text()


def test_values_are_shown_only_if_the_user_confirms(
    shell: Shell, shell_harness: Harness, target: Path
) -> None:
    arguments = (
        "destination",
        "add",
        "crm",
        "--profile",
        "dotenv",
        "--to",
        str(target),
        "--show-values",
    )
    refused = shell.run_in_terminal(*arguments, replies=[("Continue?", "n")])
    assert refused.exit_code == 1
    assert token(shell_harness) not in refused.stdout


def test_a_failed_reload_is_reported_and_the_delivery_is_kept(
    shell: Shell, shell_harness: Harness, target: Path
) -> None:
    arguments = ("destination", "add", "crm", "--profile", "dotenv", "--to", str(target), "--yes")
    made = shell.run(*arguments, "--then", "sh -c 'echo nothing listens >&2; exit 3'")
    assert made.exit_code == 1
    assert "nothing listens" in made.stderr
    assert token(shell_harness) in target.read_text()
    [listed] = json.loads(shell.run("destination", "list", "crm", "--json").stdout)["destinations"]
    assert (listed["delivered_at"] is None, listed["reloaded_at"]) == (False, None)
    assert listed["error"]["code"] == "reload-failed"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("deliver", "nix"), "unknown-connection"),
        (("deliver",), "usage"),
        (("deliver", "crm", "--all"), "usage"),
        (("deliver", "--all", "--to", "nowhere"), "unknown-destination"),
        (("destination", "list", "nix"), "unknown-connection"),
        (("destination", "add", "nix"), "unknown-connection"),
        (("destination", "add", "crm", "--profile", "dotenv"), "destination-needed"),
        (("destination", "add", "crm", "--dry-run", "--to", ".env"), "destination-needed"),
        (
            ("destination", "add", "crm", "--profile", "dotnev", "--to", ".env"),
            "unknown-profile",
        ),
        (("destination", "undo", "crm"), "no-destination"),
        (("destination", "remove", "crm"), "no-destination"),
        (("destination", "remove", "crm", "--to", "nowhere"), "unknown-destination"),
    ],
)
def test_a_wrong_option_is_named(
    shell: Shell, target: Path, arguments: tuple[str, ...], code: str
) -> None:
    failed = shell.run(*arguments, "--json")
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert json.loads(failed.stderr)["error"]["code"] == code
    assert list(shell.directory.glob(".env*")) == []


@pytest.mark.parametrize(
    "command",
    [
        ("destination", "add", "crm", "--profile", "dotenv", "--yes", "--to", ""),
        ("destination", "remove", "crm", "--to", ""),
        ("client", "add", "--name", " "),
        ("import", "--name", ""),
        ("deliver", "crm", "--all"),
    ],
)
def test_an_empty_or_contradictory_option_is_a_usage_error(
    shell: Shell, target: Path, command: tuple[str, ...]
) -> None:
    before = target.read_text()
    refused = shell.run(*command, "--json")
    assert (refused.exit_code, json.loads(refused.stderr)["error"]["code"]) == (2, "usage")
    assert target.read_text() == before


def test_without_a_destination_the_profiles_are_listed(shell: Shell, target: Path) -> None:
    listed = shell.run("destination", "list", "crm")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "rclone" in listed.stderr
    alone = shell.run("deliver", "crm")
    assert alone.exit_code == 2
    assert "(no-destination)" in alone.stderr


def test_the_same_destination_twice_is_refused_with_the_reason(shell: Shell, target: Path) -> None:
    arguments = ("destination", "add", "crm", "--profile", "dotenv", "--to", str(target), "--yes")
    assert shell.run(*arguments).exit_code == 0
    again = shell.run(*arguments)
    assert (again.exit_code, "destination-exists" in again.stderr) == (2, True), again.stderr


def test_removing_a_connection_lists_the_files_with_its_credentials(
    shell: Shell, shell_harness: Harness, target: Path
) -> None:
    shell.run("destination", "add", "crm", "--profile", "dotenv", "--to", str(target), "--yes")
    removed = shell.run("remove", "crm", "--no-revoke")
    assert removed.exit_code == 0
    assert str(target) in removed.stderr
    assert "ZOHO_REFRESH_TOKEN" in target.read_text()


def test_a_connection_may_be_called_list(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("list")
    file = shell.directory / "list.env"
    made = shell.run(
        "destination", "add", "list", "--profile", "dotenv", "--to", str(file), "--yes"
    )
    assert made.exit_code == 0, made.stderr
    for words in (("deliver", "list"), ("destination", "list", "list"), ("token", "list")):
        assert shell.run(*words).exit_code == 0


def test_all_destinations_are_delivered_to_although_one_fails(
    shell: Shell, shell_harness: Harness, target: Path
) -> None:
    assert json.loads(shell.run("deliver", "--all", "--json").stdout) == {"destinations": []}
    shell_harness.add_verified_connection("books")
    file = shell.directory / "books.json"
    for name, profile, path in (("crm", "dotenv", target), ("books", "json", file)):
        words = ("--profile", profile, "--to", str(path), "--yes")
        assert shell.run("destination", "add", name, *words).exit_code == 0
    target.parent.chmod(0o700)
    target.unlink()
    target.mkdir()
    file.unlink()
    done = shell.run("deliver", "--all", "--json")
    first, second = json.loads(done.stdout)["destinations"]
    assert (first["connection"], first["error"] is None) == ("crm", False)
    assert done.exit_code == first["error"]["exit_code"] != 0
    assert (second["connection"], second["error"]) == ("books", None)
    assert "refresh_token" in file.read_text()


@pytest.mark.slow
def test_each_failure_is_explained_for_its_own_connection(
    shell: Shell, shell_harness: Harness, target: Path
) -> None:
    grant = shell_harness.add_verified_connection("books")
    for name, path in (("crm", target), ("books", target.with_name("books.env"))):
        words = ("--profile", "dotenv", "--to", str(path), "--yes", "--then", "false")
        shell.run("destination", "add", name, *words)
    for command in ("deliver --all", "destination list", "destination status"):
        reports = json.loads(shell.run(*command.split(), "--json").stdout)["destinations"]
        assert [(each["error"]["code"], each["error"]["commands"]) for each in reports] == [
            ("reload-failed", [f"zoho-wizard deliver {each['connection']}"]) for each in reports
        ]
    revoke_by_other_program(shell_harness, grant)
    detect_rejection(shell_harness, "books")
    refused = json.loads(shell.run("deliver", "books", "--json").stdout)["destinations"][0]["error"]
    assert refused["code"] == "refresh-token-rejected"
    assert refused["zoho_error"] == "invalid_code"


def test_what_fails_at_several_destinations_is_explained_once(
    shell: Shell, shell_harness: Harness, target: Path
) -> None:
    targets = target, target.with_name("other.env")
    for path in targets:
        words = ("--profile", "dotenv", "--to", str(path), "--yes")
        shell.run("destination", "add", "crm", *words)
    grant = shell_harness.services.store.grants.get("crm")
    assert grant is not None
    revoke_by_other_program(shell_harness, grant)
    detect_rejection(shell_harness, "crm")
    refused = shell.run("deliver", "crm").stderr
    assert refused.count("(refresh-token-rejected)") == 1
    assert all(f"✗ {path} (crm)" in refused for path in targets)


def test_one_of_several_destinations_has_to_be_named(
    shell: Shell, shell_harness: Harness, target: Path
) -> None:
    for path in (target, target.with_name("second.env")):
        words = ("--profile", "dotenv", "--to", str(path), "--yes")
        assert shell.run("destination", "add", "crm", *words).exit_code == 0
    refused = shell.run("destination", "undo", "crm", "--json")
    assert json.loads(refused.stderr)["error"]["code"] == "which-destination"
    assert shell.run("destination", "undo", "crm", "--to", str(target)).exit_code == 0
