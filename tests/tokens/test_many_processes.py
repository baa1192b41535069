"""Ten processes request tokens through a day: within Zoho's limits, and only valid tokens."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.concurrent_requests import (
    PROCESS_START_TIMEOUT_SECONDS,
    Workload,
    forkserver_context,
    run_workload,
)
from support.harness import Harness, settings_for

from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.simulator.settings import Clock

NAMES = ("crm", "leads", "org")
PROCESSES = 10


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


@pytest.mark.parametrize("rate_limit_key", ["refresh_token", "client"])
@pytest.mark.parametrize(
    ("hours", "step"),
    [
        (1, 299),
        pytest.param(0.5, 61, marks=pytest.mark.slow),
        pytest.param(24, 179, marks=pytest.mark.slow),
    ],
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
