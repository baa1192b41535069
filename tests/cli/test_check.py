"""`check` runs for several connections at once and reports them in order."""

import json
import re

import pytest
from support.diagnosis import detect_rejection, revoke_by_other_program
from support.harness import ANNA, Harness
from support.shell import Shell

NAMES = [f"crm-{number}" for number in range(7)]


def add_verified_connections(shell_harness: Harness) -> None:
    """Seven verified connections of one client."""
    client = shell_harness.register_client()
    for name in NAMES:
        shell_harness.add_connection(name, client)
        begun = shell_harness.services.authorization.begin(name)
        done = shell_harness.complete_authorization(begun, shell_harness.give_consent(begun))
        assert done.generation is not None
        shell_harness.verify(name, done.generation)
        shell_harness.advance(minutes=2)
    shell_harness.advance(minutes=9)


def test_all_connections_are_checked_and_shown_in_their_order(
    shell: Shell, shell_harness: Harness
) -> None:
    add_verified_connections(shell_harness)
    shell_harness.add_connection("unbegun")
    shell_harness.controls.clear_journal()

    checked = shell.run("check", "--json")

    result = json.loads(checked.stdout)["connections"]
    assert [each["name"] for each in result] == [*NAMES, "unbegun"]
    assert [each["is_verified"] for each in result] == [*(True for _ in NAMES), False]
    assert result[-1]["error"]["code"] == "no-grant"
    assert checked.exit_code == 0, "one that was never authorized counts only if it is named"
    assert shell.run("check", "unbegun").exit_code == result[-1]["error"]["exit_code"]
    nothing = shell.run("reauthorize", "--all", "--json")
    assert (nothing.exit_code, json.loads(nothing.stdout)) == (
        0,
        {"connections": [], "verifications": []},
    )
    assert shell.run("check", "unbegun", "--all").exit_code == 2
    assert len(shell_harness.logged_requests("/crm/v8/Leads")) == len(NAMES)
    assert not shell_harness.refresh_requests(), "their access tokens are still valid"


@pytest.mark.slow
def test_one_connection_shows_every_check_and_several_show_one_line_each(
    shell: Shell, shell_harness: Harness
) -> None:
    add_verified_connections(shell_harness)
    alone = shell.run("check", NAMES[3])
    assert alone.stdout == ""
    assert "Can read leads" in alone.stderr
    assert "verified — Zylker GmbH" in alone.stderr
    wanted = [NAMES[5], NAMES[0], NAMES[3]]
    several = shell.run("check", *wanted)
    assert several.exit_code == 0
    assert (
        re.findall(r"^(crm-\d)\t✓ Verified\tZylker GmbH.*$", several.stdout, re.MULTILINE) == wanted
    )
    assert "All 3 connections work." in several.stderr


@pytest.mark.slow
def test_a_full_check_runs_every_step_again(shell: Shell, shell_harness: Harness) -> None:
    add_verified_connections(shell_harness)
    shell_harness.controls.clear_journal()
    whole = shell.run("check", NAMES[0], "--full", "--json")
    assert whole.exit_code == 0, whole.stderr
    (result,) = json.loads(whole.stdout)["connections"]
    steps = [step["name"] for step in result["steps"]]
    assert steps == ["refresh", "identity", "organization", "read:crm", "scope", "clock"]
    assert len(shell_harness.refresh_requests()) == 1


@pytest.mark.slow
def test_rate_limited_checks_are_waited_for_on_request(
    shell: Shell, shell_harness: Harness
) -> None:
    add_verified_connections(shell_harness)
    shell_harness.advance(hours=1)
    for name in (*NAMES, *NAMES[:2]):
        grant = shell_harness.services.store.grants.get(name)
        assert grant is not None
        shell_harness.services.tokens.refresh_grant(grant)
    open_ = shell.run("check")
    assert open_.exit_code == 4
    assert "7 connections can’t be checked yet" in open_.stderr
    assert f"7 of {len(NAMES)} connections couldn’t be checked." in open_.stderr
    assert open_.stdout.count("Rate-limited until") == 7
    waiting = shell.start("check", "--wait", "15m", "--json")
    shell.simulator.controls.advance(600)
    done = waiting.finish()
    assert done.exit_code == 0, done.stderr
    assert all(each["is_verified"] for each in json.loads(done.stdout)["connections"])


@pytest.mark.slow
def test_the_most_severe_finding_is_the_exit_code(shell: Shell, shell_harness: Harness) -> None:
    add_verified_connections(shell_harness)
    shell_harness.controls.change_password(ANNA)
    checked = shell.run("check", "--json")
    assert checked.exit_code == 3
    result = json.loads(checked.stdout)
    assert {each["state"] for each in result["connections"]} == {"needs_reauthorization"}
    (incident,) = result["incidents"]
    assert incident["connections"] == [each["name"] for each in result["connections"]]


def test_an_unknown_name_prevents_all_checks(shell: Shell, shell_harness: Harness) -> None:
    add_verified_connections(shell_harness)
    shell_harness.controls.clear_journal()
    checked = shell.run("check", NAMES[0], "unknown")
    assert (checked.exit_code, checked.stdout) == (2, "")
    assert "unknown" in checked.stderr
    assert not shell_harness.controls.journal()


def test_the_row_of_a_rejected_connection_says_why(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("books")
    revoke_by_other_program(shell_harness, shell_harness.add_verified_connection("crm"))
    detect_rejection(shell_harness, "crm")
    report = json.loads(shell.run("check", "--json").stdout)["connections"][1]
    rows = [line.split("\t") for line in shell.run("check").stdout.splitlines()]
    [reason] = [row[2] for row in rows if row[0] == "crm"]
    assert reason == report["error"]["title"]
