"""The swap: deliver, read back, reload, roll back on failure; the old token is revoked last."""

import os
import signal
import threading
from pathlib import Path

import pytest
from support.delivery import deliver
from support.fork_server import fork_server
from support.harness import Harness
from support.reauthorization import (
    add_verified_connection,
    authorize,
    change_password_and_detect,
    current_items,
    item_states,
)
from support.tokens import wait_for

from wizard.model import Grant, GrantState
from wizard.store import Destination

INTERRUPTED_SWAP = Path(__file__).parent.parent / "support" / "interrupted_swap.py"
STEPS = 12
"""External effects of one swap with one destination."""


def grant_of(harness: Harness, generation: int) -> Grant:
    grant = harness.services.store.grants.get("crm", generation)
    assert grant is not None
    return grant


def is_ended(harness: Harness, generation: int) -> bool:
    token = grant_of(harness, generation).refresh_token
    return bool(harness.simulator.world.grants.refresh_tokens[token].invalidation_reason)


def has_refresh_token(harness: Harness, env: Path, generation: int) -> bool:
    return grant_of(harness, generation).refresh_token in env.read_text()


def add_delivered_connection(harness: Harness, tmp_path: Path, reload_command: str = "") -> Path:
    """A verified connection crm that was delivered to a file."""
    add_verified_connection(harness, "crm", harness.register_client())
    env = tmp_path / "app.env"
    deliver(harness, "dotenv", env, reload_command=reload_command)
    return env


def destination(harness: Harness) -> Destination:
    (found,) = harness.services.store.destinations.all("crm")
    return found


def test_the_old_grant_is_revoked_once_a_program_uses_the_new_one(
    harness: Harness, tmp_path: Path
) -> None:
    env = add_delivered_connection(harness, tmp_path, f"touch {tmp_path / 'reloaded'}")
    (tmp_path / "reloaded").unlink()
    harness.services.reauthorization.begin(("crm",))
    authorize(harness, "crm")
    assert has_refresh_token(harness, env, 2)
    assert (tmp_path / "reloaded").exists()
    assert is_ended(harness, 1)
    assert grant_of(harness, 1).state is GrantState.REVOKED
    assert item_states(harness) == {"crm": "reauthorized"}


def test_without_confirmed_use_the_old_grant_remains_for_one_more_day(
    harness: Harness, tmp_path: Path
) -> None:
    env = add_delivered_connection(harness, tmp_path)
    harness.services.reauthorization.begin(("crm",))
    authorize(harness, "crm")
    assert has_refresh_token(harness, env, 2)
    (line,) = current_items(harness)
    assert line.revoke_at is not None
    harness.services.reauthorization.end()
    harness.advance(hours=23)
    harness.services.reauthorization.revoke_replaced_tokens()
    assert not is_ended(harness, 1)
    harness.advance(hours=1)
    harness.services.reauthorization.revoke_replaced_tokens()
    assert is_ended(harness, 1)


def test_while_one_of_two_programs_has_not_confirmed_the_new_token_the_old_one_stays(
    harness: Harness, tmp_path: Path
) -> None:
    add_delivered_connection(harness, tmp_path, f"touch {tmp_path / 'reloaded'}")
    deliver(harness, "dotenv", tmp_path / "other.env")
    harness.services.reauthorization.begin(("crm",))
    authorize(harness, "crm")
    assert not is_ended(harness, 1)
    harness.advance(hours=24)
    harness.services.reauthorization.revoke_replaced_tokens()
    assert is_ended(harness, 1)


def test_two_swaps_of_one_connection_follow_one_another(harness: Harness, tmp_path: Path) -> None:
    """The second one finds the delivery of the first, and reloads nothing again."""
    go, reloads = tmp_path / "go", tmp_path / "reloads"
    go.touch()
    script = tmp_path / "reload.sh"
    script.write_text(f"echo >> {reloads}; until test -e {go}; do sleep 0.05; done")
    add_delivered_connection(harness, tmp_path, f"sh {script}")
    harness.services.reauthorization.begin(("crm",))
    begun = harness.services.authorization.begin("crm")
    done = harness.complete_authorization(begun, harness.give_consent(begun))
    harness.verify("crm", done.generation or 0)
    go.unlink()
    reloads.unlink()
    proceed = harness.services.reauthorization.continue_after_verification
    first, second = (threading.Thread(target=proceed, args=("crm",)) for _ in range(2))
    first.start()
    wait_for(reloads.exists)
    second.start()
    second.join(0.5)
    go.touch()
    for each in (first, second):
        each.join()
    assert reloads.read_text() == "\n"


def test_a_failed_reload_restores_and_keeps_the_previous_grant(
    harness: Harness, tmp_path: Path
) -> None:
    switch = tmp_path / "healthy"
    switch.touch()
    env = add_delivered_connection(harness, tmp_path, f"test -e {switch}")
    before = env.read_bytes()
    switch.unlink()
    harness.services.reauthorization.begin(("crm",))
    authorize(harness, "crm")
    assert env.read_bytes() == before
    assert item_states(harness) == {"crm": "not_delivered"}
    assert destination(harness).failure is not None
    harness.advance(hours=48)
    harness.services.reauthorization.revoke_replaced_tokens()
    assert not is_ended(harness, 1), "a destination still has it"

    switch.touch()
    harness.services.reauthorization.continue_after_verification("crm")

    assert has_refresh_token(harness, env, 2)
    assert is_ended(harness, 1)
    assert item_states(harness) == {"crm": "reauthorized"}


def test_a_rejected_grant_is_not_restored(harness: Harness, tmp_path: Path) -> None:
    switch = tmp_path / "healthy"
    switch.touch()
    env = add_delivered_connection(harness, tmp_path, f"test -e {switch}")
    switch.unlink()
    change_password_and_detect(harness, "crm")
    harness.services.reauthorization.begin()
    authorize(harness, "crm")
    assert has_refresh_token(harness, env, 2), "the only one that works"
    assert item_states(harness) == {"crm": "not_delivered"}


def test_a_destination_that_cannot_be_written_keeps_the_previous_grant(
    harness: Harness, tmp_path: Path
) -> None:
    env = add_delivered_connection(harness, tmp_path, "true")
    other = tmp_path / "other"
    other.mkdir()
    deliver(harness, "dotenv", other / "app.env", reload_command="true")
    os.rename(other, tmp_path / "away")
    harness.services.reauthorization.begin(("crm",))
    authorize(harness, "crm")
    assert has_refresh_token(harness, env, 2)
    assert not is_ended(harness, 1)
    assert item_states(harness) == {"crm": "not_delivered"}
    os.rename(tmp_path / "away", other)
    harness.services.reauthorization.continue_after_verification("crm")
    assert has_refresh_token(harness, other / "app.env", 2)
    assert is_ended(harness, 1)


@pytest.mark.local_store
@pytest.mark.parametrize("step", range(1, STEPS + 2))
def test_a_kill_at_any_step_leaves_a_working_grant_and_the_swap_continues_later(
    harness: Harness, tmp_path: Path, step: int
) -> None:
    env = add_delivered_connection(harness, tmp_path, "true")
    harness.services.reauthorization.begin(("crm",))
    done = harness.authorize("crm")
    harness.verify("crm", done.generation or 0)
    code, _, stderr = fork_server().run(
        [
            *(str(INTERRUPTED_SWAP), str(harness.directory), harness.simulator.url),
            *(harness.now().isoformat(), str(step)),
        ],
        stdin_text="",
        environment=dict(os.environ),
        directory=tmp_path,
        timeout_seconds=60,
    )
    assert code == (-signal.SIGKILL if step <= STEPS else 0), stderr
    delivered = next(
        generation for generation in (1, 2) if has_refresh_token(harness, env, generation)
    )
    assert not is_ended(harness, delivered), "the program's credentials work"
    assert not is_ended(harness, 2)

    harness.services.reauthorization.continue_after_verification("crm")

    assert has_refresh_token(harness, env, 2)
    assert is_ended(harness, 1)
    assert item_states(harness) == {"crm": "reauthorized"}
