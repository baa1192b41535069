"""Ten processes ask for tokens through a day: Zoho's limits are kept, and no token is dead."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from core import Core, settings_for
from storm import PATIENCE, Day, forkserver, live_through

from wizard.house import House
from wizard.sandbox.clock import Clock
from wizard.sandbox.server import Sandbox

NAMES = ("crm", "leads", "org")
PROCESSES = 10


@pytest.fixture
def house_of_three(tmp_path: Path) -> Iterator[Core]:
    """Three proved connections of one client, on a clock that other processes can read."""
    with (
        Sandbox(clock=Clock(mirror=tmp_path / "clock")) as sandbox,
        House.open(settings_for(tmp_path, sandbox.url), sandbox.clock) as house,
    ):
        core = Core(house, sandbox, tmp_path)
        client = core.client()
        for name in NAMES:
            core.connection(name, client)
            core.climb(name, core.authorize(name).generation or 0)
        yield core


def refused(core: Core) -> list[str]:
    """The requests that Zoho's own count has refused since the last look."""
    said = [entry["outcome"] for entry in core.admin.journal()]
    core.admin.clear_journal()
    return [outcome for outcome in said if outcome == "Access Denied"]


@pytest.mark.parametrize("throttle_key", ["refresh_token", "client"])
@pytest.mark.parametrize(
    ("hours", "step"),
    [
        (1, 299),
        pytest.param(0.5, 61, marks=pytest.mark.slow),
        pytest.param(24, 179, marks=pytest.mark.slow),
    ],
    ids=["an hour", "half an hour, minute by minute", "a day"],
)
def test_ten_processes_stay_within_zohos_limits_and_get_living_tokens(
    house_of_three: Core, throttle_key: str, hours: float, step: int
) -> None:
    core, context = house_of_three, forkserver()
    core.admin.change_settings(throttle_key=throttle_key)
    ticks = int(hours * 3600 / step)
    begin, end = context.Barrier(PROCESSES + 1), context.Barrier(PROCESSES + 1)
    day = Day(core.directory, core.sandbox.url, core.directory / "clock", NAMES, ticks, begin, end)
    answers = context.SimpleQueue()
    started = [
        context.Process(target=live_through, args=(day, number == 0, answers), daemon=True)
        for number in range(PROCESSES)
    ]
    for process in started:
        process.start()
    for _ in range(ticks):
        core.advance(seconds=step)
        begin.wait(PATIENCE)
        end.wait(PATIENCE)
        told = [answers.get() for _ in range(PROCESSES * len(NAMES))]
        alive = core.sandbox.world.access_token
        assert all(alive(token, "eu") for _, token in told)
        assert refused(core) == []
    for process in started:
        process.join(PATIENCE)
        assert process.exitcode == 0
        process.close()
    answers.close()
    assert all(not core.house.broker.ledger(name).counted_by_client for name in NAMES)
