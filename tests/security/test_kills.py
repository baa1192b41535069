"""`kill -9` at each external effect of a connection's life: before each commit, rename and request.

Between two effects, a kill leaves what the next one would leave.
"""

import random
import shutil
import signal
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from dotenv import dotenv_values
from support.concurrent_requests import PROCESS_START_TIMEOUT_SECONDS, forkserver_context
from support.harness import ANNA, Harness, settings_for
from support.killed_life import KilledLife, live
from support.postgresql import database_name, postgresql_server
from support.records import attempts_of
from support.storage import postgresql_template
from support.tokens import wait_for

from wizard.model import AttemptState
from wizard.model.states import ConnectionState
from wizard.services import Services
from wizard.vault import Vault


def kill_and_check(harness: Harness, life: KilledLife, rotation: str) -> bool:
    """Kill a life and check what is left. False if it ended before."""
    context = forkserver_context()
    reading, writing = context.Pipe(duplex=False)
    process = context.Process(target=live, args=(life, writing))
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
    settings = life.settings
    if life.database_url:
        wait_for(
            lambda: not postgresql_server().sessions("datname", database_name(life.database_url))
        )
        settings = settings_for(life.directory / "next", life.simulator_url, life.database_url)
        settings.paths.prepare()
        shutil.copy(life.settings.paths.key_file, settings.paths.key_file)
    else:
        with closing(sqlite3.connect(settings.paths.database)) as handle:
            assert handle.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Services.open(settings, harness.services.clock) as services:
        issued = harness.simulator.world.grants.refresh_tokens
        usable = {token for token, each in issued.items() if not each.invalidation_reason}
        grants = services.store.grants.of_connection("crm")
        stored = [str(each.refresh_token) for each in grants]
        assert len(set(stored)) == len(stored), "no token is stored twice"
        attempts = attempts_of(services.store, "crm")
        unknown = [each for each in attempts if each.state is AttemptState.OUTCOME_UNKNOWN]
        status = services.diagnosis.status_of("crm").status
        # Zoho doesn't rotate refresh tokens. Before a server did it once, a request without a
        # response is in the log of requests only.
        requests = services.store.request_log.requests(since=harness.now() - timedelta(days=30))
        is_unclear = status.state is ConnectionState.OUTCOME_UNKNOWN or (
            rotation != "off" and any(each.outcome == "pending" for each in requests)
        )
        assert len(usable - {*stored}) <= len(unknown) + is_unclear, "each lost token is shown"
        if reported:
            assert usable & {*stored} or is_unclear, "what was verified still works"
        assert len(harness.code_exchanges()) <= len(attempts), "no code is sent twice"
        locks = services.locks
        with locks.swap("crm", 0), locks.exchange("crm", wait=False), locks.verification("crm"):
            if reported and rotation == "off":
                assert services.tokens.access_token("crm").value
    if life.destination.exists():
        delivered = dotenv_values(life.destination).values()
        assert {*stored} & {*delivered}, "a destination has all of a stored authorization"
    return was_killed


def kill_lives(harness: Harness, rotation: str, lives: Iterable[KilledLife]) -> int:
    """Kill each life until one isn't; return how many were."""
    contents = harness.services.store.transfers.export_contents()
    killed = 0
    for life in lives:
        harness.controls.change_settings(refresh_token_rotation=rotation)
        harness.controls.change_password(ANNA)  # the tokens of the last life
        harness.controls.clear_journal()
        settings = life.settings
        if life.database_url:
            settings.paths.prepare()
            Vault.open(settings.paths, for_new_store=True)
        with Services.open(settings, harness.services.clock) as services:
            services.store.transfers.import_contents(contents)
        if not kill_and_check(harness, life, rotation):
            break
        killed += 1
        harness.advance(minutes=11)
    return killed


FEWEST_STEPS, MOST_STEPS = 50, 200
"""Fewer and more than a life has."""


@pytest.mark.parametrize(
    ("steps", "rotation"),
    [
        pytest.param(range(3, MOST_STEPS, 9), "reuse-detection", id="some"),
        pytest.param(
            range(1, MOST_STEPS), "reuse-detection", marks=pytest.mark.slow, id="rotating"
        ),
        pytest.param(range(1, MOST_STEPS), "off", marks=pytest.mark.slow, id="like Zoho"),
    ],
)
def test_a_kill_loses_no_grant_without_saying_so(
    harness: Harness, tmp_path: Path, steps: range, rotation: str
) -> None:
    harness.add_connection("crm")
    url = harness.simulator.url
    lives = (KilledLife(tmp_path / f"killed-{step}", url, "", step) for step in steps)
    assert 5 < kill_lives(harness, rotation, lives) < len(steps)


def lives_in_shared_stores(
    harness: Harness, directory: Path, ends: Iterable[tuple[int, float]]
) -> Iterator[KilledLife]:
    """Lives, each with a new database, that end at a step and after a delay in seconds."""
    server, url = postgresql_server(), harness.simulator.url
    for step, delay in ends:
        name = server.create_database(postgresql_template())
        yield KilledLife(directory / name, url, server.url(name), step, delay)
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        shutil.rmtree(directory / name)


@pytest.mark.slow
def test_a_killed_machine_leaves_a_shared_store_to_the_next(
    harness: Harness, tmp_path: Path
) -> None:
    harness.add_connection("crm")
    ends = [(step, 0.0) for step in range(9, MOST_STEPS, 24)]
    lives = lives_in_shared_stores(harness, tmp_path, ends)
    assert 2 < kill_lives(harness, "off", lives) < len(ends)


@pytest.mark.slow
@pytest.mark.parametrize("rotation", ["reuse-detection", "off"])
def test_machines_killed_at_random_leave_the_shared_store_to_the_next(
    harness: Harness, tmp_path: Path, pytestconfig: pytest.Config, rotation: str
) -> None:
    harness.add_connection("crm")
    chance, kills = random.Random(2026), range(pytestconfig.getoption("kills"))
    ends = [(chance.randrange(1, FEWEST_STEPS), chance.random() / 50) for _ in kills]
    lives = lives_in_shared_stores(harness, tmp_path, ends)
    assert kill_lives(harness, rotation, lives) == len(ends)
