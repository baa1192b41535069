"""``zoho-wizard deliver`` as a person and a script use it."""

import json
import stat
from pathlib import Path

import pytest
from core import Core
from giving import renew
from shell import Shell


@pytest.fixture
def target(stored: Core, shell: Shell) -> Path:
    """A file that wants the credentials of the proved connection ``crm``."""
    stored.proved("crm")
    target = shell.directory / "app" / ".env"
    target.parent.mkdir()
    target.write_text("DEBUG=1\n")
    return target


def token(stored: Core) -> str:
    grant = stored.house.store.grant("crm")
    assert grant is not None
    return grant.refresh_token


def test_a_script_delivers_again_looks_for_drift_and_takes_back(
    shell: Shell, stored: Core, target: Path
) -> None:
    made = shell.run("deliver", "crm", "--profile", "dotenv", "--to", str(target), "--yes")
    assert made.code == 0, made.err
    assert made.out == ""
    assert "ZOHO_REFRESH_TOKEN = (value not shown)" in made.err
    assert "its mode becomes 0600 instead of 0644" in made.err
    assert token(stored) not in made.err
    assert token(stored) in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert shell.run("deliver", "crm", "--drift").code == 0
    renew(stored)
    drift = shell.run("deliver", "crm", "--drift", "--json")
    assert drift.code == 1
    [seen] = json.loads(drift.out)
    assert (seen["state"], seen["found_generation"], seen["drifted"]) == ("behind", 1, True)
    assert (
        "holds grant 1, which is not the current one" in shell.run("deliver", "crm", "--list").out
    )
    again = shell.run("deliver", "crm", "--json")
    assert again.code == 0
    assert json.loads(again.out)[0]["generation"] == 2
    assert shell.run("deliver", "crm", "--undo").code == 0
    assert shell.run("deliver", "crm", "--drift").code == 1
    removed = shell.run("deliver", "crm", "--remove", "--to", str(target))
    assert removed.code == 0
    assert stored.house.store.destinations() == ()
    assert "ZOHO_REFRESH_TOKEN" in target.read_text()


def test_a_dry_run_and_a_script_without_yes_write_nothing(shell: Shell, target: Path) -> None:
    wish = ("deliver", "crm", "--profile", "dotenv", "--to", str(target))
    dry = shell.run(*wish, "--dry-run", "--json")
    assert dry.code == 0
    assert json.loads(dry.out)["fields"]["ZOHO_CLIENT_SECRET"] == "added"
    refused = shell.run(*wish)
    assert refused.code == 2
    assert "(choice-needed)" in refused.err
    shown = shell.run(*wish, "--dry-run", "--show-values")
    assert "(values-need-a-terminal)" in shown.err
    assert shown.code == 2
    assert target.read_text() == "DEBUG=1\n"


def test_a_person_sees_the_preview_then_decides(shell: Shell, stored: Core, target: Path) -> None:
    wish = ("deliver", "crm", "--profile", "dotenv", "--to", str(target))
    refused = shell.at_a_terminal(*wish, answers=[("Write this?", "n")])
    assert refused.code == 1
    assert target.read_text() == "DEBUG=1\n"
    answers = [("Show the values", "y"), ("Write this?", "y")]
    accepted = shell.at_a_terminal(*wish, "--show-values", answers=answers)
    assert accepted.code == 0, accepted.out
    assert token(stored) in accepted.out.replace("\r\n", "")
    assert token(stored) in target.read_text()


def test_values_are_not_shown_unless_the_person_says_so(
    shell: Shell, stored: Core, target: Path
) -> None:
    wish = ("deliver", "crm", "--profile", "dotenv", "--to", str(target), "--show-values")
    refused = shell.at_a_terminal(*wish, answers=[("Show the values", "n")])
    assert refused.code == 1
    assert token(stored) not in refused.out


def test_a_reload_that_fails_is_told_and_the_delivery_stands(
    shell: Shell, stored: Core, target: Path
) -> None:
    wish = ("deliver", "crm", "--profile", "dotenv", "--to", str(target), "--yes")
    made = shell.run(*wish, "--then", "sh -c 'echo nothing listens >&2; exit 3'")
    assert made.code == 1
    assert "nothing listens" in made.err
    assert token(stored) in target.read_text()
    listed = json.loads(shell.run("deliver", "crm", "--list", "--json").out)
    assert listed[0]["delivered_at"] is not None
    assert listed[0]["in_use_at"] is None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nix",), "unknown-connection"),
        (("crm", "--profile", "dotenv"), "destination-needed"),
        (("crm", "--dry-run", "--to", ".env"), "destination-needed"),
        (("crm", "--profile", "dotnev", "--to", ".env"), "unknown-profile"),
        (("crm", "--undo"), "which-destination"),
        (("crm", "--remove", "--to", "nowhere"), "unknown-destination"),
    ],
)
def test_a_wrong_wish_is_named(
    shell: Shell, target: Path, arguments: tuple[str, ...], code: str
) -> None:
    failed = shell.run("deliver", *arguments)
    assert failed.code == 2
    assert f"({code})" in failed.err
    assert list(shell.directory.glob(".env*")) == []


def test_without_a_destination_the_profiles_are_told(shell: Shell, target: Path) -> None:
    listed = shell.run("deliver", "crm", "--list")
    assert (listed.code, listed.out) == (0, "")
    assert "rclone" in listed.err
    alone = shell.run("deliver", "crm")
    assert alone.code == 2
    assert "(no-destination)" in alone.err


def test_the_same_destination_twice_is_refused_with_the_reason(shell: Shell, target: Path) -> None:
    wish = ("deliver", "crm", "--profile", "dotenv", "--to", str(target), "--yes")
    assert shell.run(*wish).code == 0
    again = shell.run(*wish)
    assert (again.code, "destination-exists" in again.err) == (2, True), again.err


def test_removing_a_connection_says_which_files_still_hold_its_credentials(
    shell: Shell, stored: Core, target: Path
) -> None:
    shell.run("deliver", "crm", "--profile", "dotenv", "--to", str(target), "--yes")
    removed = shell.run("remove", "crm", "--forget")
    assert removed.code == 0
    assert f"Holds its credentials, and keeps them: {target}" in removed.err
    assert "ZOHO_REFRESH_TOKEN" in target.read_text()
