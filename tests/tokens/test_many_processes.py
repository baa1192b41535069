"""Ten processes request tokens through a day: within Zoho's limits, and only valid tokens."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.concurrent_requests import (
    PROCESS_START_TIMEOUT_SECONDS,
    Workload,
    forkserver_context,
    run_storm,
    run_workload,
)
from support.harness import Harness, settings_for

from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.simulator.settings import Clock

NAMES = ("crm", "leads", "org")
PROCESSES = 10
MACHINE_SECONDS = 30
"""What a busy machine may add to a wait, with many processes on its cores."""


@pytest.fixture
def harness_of_three(tmp_path: Path) -> Iterator[Harness]:
    """Three verified connections of one client, on a clock that other processes can read."""
    with (
        Simulator(clock=Clock(offset_file=tmp_path / "clock")) as simulator,
        Services.open(settings_for(tmp_path, simulator.url), simulator.clock) as services,
    ):
        harness = Harness(services, simulator, tmp_path)
        client = harness.register_client()
        for name in NAMES:
            harness.add_connection(name, client)
            harness.verify(name, harness.authorize(name).generation or 0)
        yield harness


def count_rate_limited(harness: Harness) -> list[str]:
    """The requests that Zoho has rate-limited since the last call."""
    said = [entry["outcome"] for entry in harness.controls.journal()]
    harness.controls.clear_journal()
    return [outcome for outcome in said if outcome == "Access Denied"]


@pytest.mark.slow
@pytest.mark.parametrize("rate_limit_key", ["refresh_token", "client"])
@pytest.mark.parametrize(
    ("hours", "step"),
    [(1, 299), (0.5, 61), (24, 179)],
    ids=["an hour", "half an hour, minute by minute", "a day"],
)
def test_ten_processes_stay_within_the_limits_of_zoho_and_get_valid_tokens(
    harness_of_three: Harness, rate_limit_key: str, hours: float, step: int
) -> None:
    harness, context = harness_of_three, forkserver_context()
    harness.controls.change_settings(rate_limit_key=rate_limit_key)
    ticks = int(hours * 3600 / step)
    begin, end = context.Barrier(PROCESSES + 1), context.Barrier(PROCESSES + 1)
    day = Workload(
        harness.directory,
        harness.simulator.url,
        harness.directory / "clock",
        NAMES,
        ticks,
        begin,
        end,
    )
    answers = context.SimpleQueue()
    started = [
        context.Process(target=run_workload, args=(day, number == 0, answers), daemon=True)
        for number in range(PROCESSES)
    ]
    for process in started:
        process.start()
    for _ in range(ticks):
        harness.advance(seconds=step)
        begin.wait(PROCESS_START_TIMEOUT_SECONDS)
        end.wait(PROCESS_START_TIMEOUT_SECONDS)
        served = [answers.get() for _ in range(PROCESSES * len(NAMES))]
        find_token = harness.simulator.world.access_token
        assert all(find_token(token, "eu") for _, token in served)
        assert count_rate_limited(harness) == []
    for process in started:
        process.join(PROCESS_START_TIMEOUT_SECONDS)
        assert process.exitcode == 0
        process.close()
    answers.close()
    assert all(not harness.services.request_log.view(name).is_counted_by_client for name in NAMES)


@pytest.mark.parametrize(
    ("processes", "rounds", "upstream_seconds"),
    [
        (8, 3, 0.3),
        pytest.param(128, 20, 0.3, marks=pytest.mark.alone),
        pytest.param(128, 20, 5, marks=pytest.mark.alone),
    ],
)
def test_at_each_expiry_all_processes_together_make_one_refresh_of_each_connection(
    harness_of_three: Harness, processes: int, rounds: int, upstream_seconds: float
) -> None:
    """Many processes, one of them with fifty threads, at many expiries of three connections."""
    threads = 50
    harness, context = harness_of_three, forkserver_context()
    begin, end = context.Barrier(processes + 1), context.Barrier(processes + 1)
    clock = harness.directory / "clock"
    storm = Workload(harness.directory, harness.simulator.url, clock, NAMES, rounds, begin, end)
    answers = context.SimpleQueue()
    started = [
        context.Process(
            target=run_storm, args=(storm, 1 if number else threads, answers), daemon=True
        )
        for number in range(processes)
    ]
    for process in started:
        process.start()
    waits = []
    for _ in range(rounds):
        harness.advance(seconds=3601)
        harness.controls.clear_journal()
        harness.controls.inject_fault(
            "slow", endpoint="oauth/v2/token", times=len(NAMES), seconds=upstream_seconds
        )
        begin.wait(PROCESS_START_TIMEOUT_SECONDS)
        served = [each for _ in started for each in answers.get()]
        end.wait(PROCESS_START_TIMEOUT_SECONDS)
        assert len(served) == (processes + threads - 1) * len(NAMES)
        assert len({(name, token) for name, token, _ in served}) == len(NAMES), "one token each"
        assert len(harness.refresh_requests()) == len(NAMES), "one refresh each"
        waits.append(max(wait for *_, wait in served))
    for process in started:
        process.join(PROCESS_START_TIMEOUT_SECONDS)
        assert process.exitcode == 0
        process.close()
    answers.close()
    assert max(waits) < upstream_seconds + MACHINE_SECONDS
