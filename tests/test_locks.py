"""Locks of the operating system, between processes and within one."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from support.records import raises_failure

from wizard import locks
from wizard.errors import WizardError, fail

HOLD = """
import sys
from wizard import locks
open(sys.argv[1], "a").close()
assert locks.try_acquire(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def refusal() -> WizardError:
    return fail("already-served")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "crm.lock")


def test_a_lock_of_another_process_is_refused_and_ends_with_it(path: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not locks.try_acquire(path)
        with (
            raises_failure("refresh-under-way"),
            locks.hold_lock(path, 0, "refresh-under-way", "crm"),
        ):
            pass
        holder.kill()
    with locks.hold_lock(path, 0, "refresh-under-way", "crm"):
        assert not locks.try_acquire(path)


def test_a_lock_without_a_file_is_left_to_a_process_that_may_create_it(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        locks.try_acquire(path)
    assert not Path(path).exists()


def test_a_lock_that_this_process_acquired_early_is_used_and_then_released(path: str) -> None:
    Path(path).touch()
    assert locks.try_acquire(path)
    with locks.ExclusiveLock(path, refusal):
        assert not locks.try_acquire(path)
        with pytest.raises(TimeoutError):
            FileLock(path, timeout=0).acquire()
    with FileLock(path, timeout=0):
        pass


def test_waiting_ends_when_it_is_no_longer_needed(path: str) -> None:
    needless = threading.Event()

    def wait() -> None:
        with (
            raises_failure("already-served"),
            locks.ExclusiveLock(path, refusal, 60, needless.is_set),
        ):
            pass

    with FileLock(path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        needless.set()
        waiting.join(30)
        assert not waiting.is_alive()


def test_a_program_that_waits_for_long_tries_less_often() -> None:
    assert [locks.pause_seconds(waited) for waited in (0, 0.4, 2, 30)] == [0.05, 0.05, 0.2, 0.5]
