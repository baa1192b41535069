"""The swap: delivered, read back, reloaded, rolled back where it fails; the old token ends last."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from core import Core
from giving import deliver
from repairing import accept, connect, kill, lines, states

from wizard.model import Grant, GrantState
from wizard.store import Destination

DYING = Path(__file__).with_name("dying.py")
STEPS = 12
"""Steps of one swap with one destination that can be seen from outside."""


def grant_of(core: Core, generation: int) -> Grant:
    grant = core.house.store.grant("crm", generation)
    assert grant is not None
    return grant


def is_ended(core: Core, generation: int) -> bool:
    token = grant_of(core, generation).refresh_token
    return bool(core.sandbox.world.grants.refresh_tokens[token].ended)


def holds(core: Core, env: Path, generation: int) -> bool:
    return grant_of(core, generation).refresh_token in env.read_text()


def delivered(core: Core, tmp_path: Path, reload: str = "") -> Path:
    """Connection crm with a proved grant that was delivered to a file."""
    connect(core, "crm", core.client())
    env = tmp_path / "app.env"
    deliver(core, "dotenv", env, reload=reload)
    return env


def destination(core: Core) -> Destination:
    (found,) = core.house.store.destinations("crm")
    return found


def test_a_program_that_read_the_new_grant_ends_the_old_one_at_once(
    core: Core, tmp_path: Path
) -> None:
    env = delivered(core, tmp_path, f"touch {tmp_path / 'reloaded'}")
    (tmp_path / "reloaded").unlink()
    core.house.repairs.begin(("crm",))
    accept(core, "crm")
    assert holds(core, env, 2)
    assert (tmp_path / "reloaded").exists()
    assert is_ended(core, 1)
    assert grant_of(core, 1).state is GrantState.REVOKED
    assert states(core) == {"crm": "repaired"}


def test_without_proof_of_use_the_old_grant_lives_for_a_day_more(
    core: Core, tmp_path: Path
) -> None:
    env = delivered(core, tmp_path)
    core.house.repairs.begin(("crm",))
    accept(core, "crm")
    assert holds(core, env, 2)
    (line,) = lines(core)
    assert line.revoke_at is not None
    core.house.repairs.end()
    core.advance(hours=23)
    core.house.repairs.retire()
    assert not is_ended(core, 1)
    core.advance(hours=1)
    core.house.repairs.retire()
    assert is_ended(core, 1)


def test_a_reload_that_fails_puts_the_grant_before_back_and_keeps_it_alive(
    core: Core, tmp_path: Path
) -> None:
    switch = tmp_path / "healthy"
    switch.touch()
    env = delivered(core, tmp_path, f"test -e {switch}")
    before = env.read_bytes()
    switch.unlink()
    core.house.repairs.begin(("crm",))
    accept(core, "crm")
    assert env.read_bytes() == before
    assert states(core) == {"crm": "not-delivered"}
    assert destination(core).failure is not None
    core.advance(hours=48)
    core.house.repairs.retire()
    assert not is_ended(core, 1), "a destination still holds it"

    switch.touch()
    core.house.repairs.settle("crm")

    assert holds(core, env, 2)
    assert is_ended(core, 1)
    assert states(core) == {"crm": "repaired"}


def test_a_dead_grant_is_not_put_back(core: Core, tmp_path: Path) -> None:
    switch = tmp_path / "healthy"
    switch.touch()
    env = delivered(core, tmp_path, f"test -e {switch}")
    switch.unlink()
    kill(core, "crm")
    core.house.repairs.begin()
    accept(core, "crm")
    assert holds(core, env, 2), "the only one that works"
    assert states(core) == {"crm": "not-delivered"}


def test_one_place_that_cannot_be_written_keeps_the_grant_before_for_itself(
    core: Core, tmp_path: Path
) -> None:
    env = delivered(core, tmp_path, "true")
    other = tmp_path / "other"
    other.mkdir()
    deliver(core, "dotenv", other / "app.env", reload="true")
    os.rename(other, tmp_path / "away")
    core.house.repairs.begin(("crm",))
    accept(core, "crm")
    assert holds(core, env, 2)
    assert not is_ended(core, 1)
    assert states(core) == {"crm": "not-delivered"}
    os.rename(tmp_path / "away", other)
    core.house.repairs.settle("crm")
    assert holds(core, other / "app.env", 2)
    assert is_ended(core, 1)


@pytest.mark.parametrize("step", range(1, STEPS + 2))
def test_killed_at_any_step_it_leaves_a_grant_that_works_and_goes_on_later(
    core: Core, tmp_path: Path, step: int
) -> None:
    env = delivered(core, tmp_path, "true")
    core.house.repairs.begin(("crm",))
    done = core.authorize("crm")
    core.climb("crm", done.generation or 0)
    died = subprocess.run(
        [
            *(sys.executable, str(DYING), str(core.directory), core.sandbox.url),
            *(core.now().isoformat(), str(step)),
        ],
        env={**os.environ, "PYTHONPATH": str(DYING.parent.parent)},
        check=False,
        timeout=60,
    )
    assert died.returncode == (-signal.SIGKILL if step <= STEPS else 0)
    held = next(generation for generation in (1, 2) if holds(core, env, generation))
    assert not is_ended(core, held), "what the program holds works"
    assert not is_ended(core, 2)

    core.house.repairs.settle("crm")

    assert holds(core, env, 2)
    assert is_ended(core, 1)
    assert states(core) == {"crm": "repaired"}
