"""Access tokens that commands serve are in the history, with the user and the process."""

import os
from pathlib import Path

import pytest
from support.harness import Harness
from support.shell import Shell

from wizard.fastpath import served_tokens
from wizard.model import Event
from wizard.services import Services


def served(harness: Harness) -> list[Event]:
    """The tokens in the history, as the next command finds it."""
    with Services.open(harness.services.settings, harness.now) as services:
        history = services.store.events.of_connection("crm", max_serving_events=50)
    return [each for each in history if each.kind == "token-served"]


def test_tokens_of_token_and_run_are_in_the_history(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    slow, fast = shell.run("token", "crm", "--no-input", "--wait", "1s"), shell.run("token", "crm")
    assert slow.stdout == fast.stdout
    printed = shell.run("run", "crm", "--", "sh", "-c", "echo $$").stdout
    found = served(shell_harness)
    assert {each.details["uid"] for each in found} == {str(os.getuid())}
    assert str(found[0].process_id) == printed.strip()
    assert len(found) == 3
    assert os.path.getsize(shell_harness.services.paths.served_log) == 0


def test_a_line_that_was_cut_off_and_a_failure_lose_no_other(tmp_path: Path) -> None:
    log, taken = str(tmp_path / "served"), list[served_tokens.ServedToken]()

    def fail(_lines: list[served_tokens.ServedToken]) -> None:
        raise OSError

    served_tokens.note(log, "crm", 1, 4711)
    with open(log, "a", encoding="utf-8") as file:
        file.write("1790000000.0 0 \n")
    served_tokens.note(log, "books", 2, 4712)
    for record in (fail, taken.extend):
        try:
            served_tokens.take(log, record)
        except OSError:
            assert record is fail
    assert [(each.name, each.generation, each.process_id) for each in taken] == [
        ("crm", 1, 4711),
        ("books", 2, 4712),
    ]
    assert os.path.getsize(log) == 0


def test_a_power_failure_loses_at_most_one_second_of_served_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, sizes = tmp_path / "served", list[int]()
    log.touch()
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    for seconds in (served_tokens.SYNC_INTERVAL_SECONDS, 0, 0, served_tokens.SYNC_INTERVAL_SECONDS):
        synced_at = log.stat().st_atime - seconds
        os.utime(log, (synced_at, synced_at))
        served_tokens.note(str(log), "crm", 1, 4711)
    line = log.stat().st_size // 4
    assert sizes == [line, 4 * line]


def test_a_change_is_in_the_history_with_the_user_and_the_process(harness: Harness) -> None:
    harness.add_verified_connection("crm")
    events = harness.services.store.events.of_connection("crm")
    assert {each.process_id for each in events} == {os.getpid()}
    assert all(each.user for each in events)
