"""`kill -9` at each external effect of a connection's life: before each commit, rename and request.

Between two effects, a kill leaves what the next one would leave.
"""

import signal
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.concurrent_requests import PROCESS_START_TIMEOUT_SECONDS, forkserver_context
from support.harness import ANNA, Harness, settings_for
from support.killed_life import live
from support.records import attempts_of

from wizard.model import AttemptState
from wizard.model.states import ConnectionState
from wizard.services import Services


def kill_and_check(harness: Harness, directory: Path, step: int, rotation: str) -> bool:
    """Kill a life at `step` and check what is left. False if it ended before."""
    context = forkserver_context()
    reading, writing = context.Pipe(duplex=False)
    arguments = (directory, harness.simulator.url, step, writing)
    process = context.Process(target=live, args=arguments)
    process.start()
    writing.close()
    process.join(PROCESS_START_TIMEOUT_SECONDS)
    reported = 0
    with reading:
        while reading.poll():
            try:
                reported = max(reported, reading.recv())
            except EOFError:
                break
    assert process.exitcode in (0, -signal.SIGKILL)
    was_killed = process.exitcode != 0
    process.close()
    with closing(sqlite3.connect(directory / "data" / "wizard.db")) as handle:
        assert handle.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    settings = settings_for(directory, harness.simulator.url)
    with Services.open(settings, harness.services.clock) as services:
        issued = harness.simulator.world.grants.refresh_tokens
        usable = {token for token, each in issued.items() if not each.invalidation_reason}
        stored = {str(each.refresh_token) for each in services.store.grants.of_connection("crm")}
        attempts = attempts_of(services.store, "crm")
        unknown = [each for each in attempts if each.state is AttemptState.OUTCOME_UNKNOWN]
        status = services.diagnosis.status_of("crm").status
        # Zoho doesn't rotate refresh tokens. Before a server did it once, a request without a
        # response is in the log of requests only.
        requests = services.store.request_log.requests(since=harness.now() - timedelta(days=30))
        is_unclear = status.state is ConnectionState.OUTCOME_UNKNOWN or (
            rotation != "off" and any(each.outcome == "pending" for each in requests)
        )
        assert len(usable - stored) <= len(unknown) + is_unclear, "each lost token is shown"
        if reported:
            assert usable & stored or is_unclear, "what was verified still works"
        assert len(harness.code_exchanges()) <= len(attempts), "no code is sent twice"
    return was_killed


@pytest.mark.parametrize(
    ("steps", "rotation"),
    [
        pytest.param(range(3, 200, 9), "reuse-detection", id="some"),
        pytest.param(range(1, 200), "reuse-detection", marks=pytest.mark.slow, id="rotating"),
        pytest.param(range(1, 200), "off", marks=pytest.mark.slow, id="like Zoho"),
    ],
)
def test_a_kill_loses_no_grant_without_saying_so(
    harness: Harness, tmp_path: Path, steps: range, rotation: str
) -> None:
    harness.add_connection("crm")
    contents = harness.services.store.transfers.export_contents()
    killed = 0
    for step in steps:
        harness.controls.change_settings(refresh_token_rotation=rotation)
        harness.controls.change_password(ANNA)  # the tokens of the last life
        harness.controls.clear_journal()
        directory = tmp_path / f"killed-{step}"
        settings = settings_for(directory, harness.simulator.url)
        with Services.open(settings, harness.services.clock) as services:
            services.store.transfers.import_contents(contents)
        if not kill_and_check(harness, directory, step, rotation):
            break
        killed += 1
        harness.advance(minutes=11)
    else:
        pytest.fail("the life has more effects than that")
    assert killed > 5
