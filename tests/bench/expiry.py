"""The moment at which an access token has ended and everybody asks for the next one."""

import time
from collections.abc import Iterator
from typing import Any

from storm import PATIENCE, forkserver

from bench.figures import Figure, ratio, together
from bench.place import Place, expire
from wizard.house import House
from wizard.settings import Settings

PROCESSES = 128
UPSTREAM = 0.3
"""Seconds that the simulated Zoho takes for a refresh."""
ROUNDS = 3


def measure(place: Place) -> Iterator[Figure]:
    """128 processes that wait for the moment, and 128 commands that are started at it."""
    with place.core("expiry") as core:
        core.proved()
        settings = core.house.settings
        waits, refreshes = [], []
        for _ in range(ROUNDS):
            expire(core.house, "crm")
            core.admin.clear_journal()
            core.admin.fault("slow", endpoint="oauth/v2/token", seconds=UPSTREAM)
            waits.append(_storm(settings))
            refreshes.append(len(core.refreshes()))
        worst, limit = max(waits), UPSTREAM + 1
        yield Figure(
            f"{PROCESSES} processes at expiry, the worst wait; refreshes: {_all(refreshes)}",
            f"{worst:.2f} s",
            f"upstream {UPSTREAM} s + 1 s",
            ratio(worst, limit),
            "≤ 1, one refresh",
        )
        environment = place.environment(settings)
        expire(core.house, "crm")
        core.admin.clear_journal()
        core.admin.fault("slow", endpoint="oauth/v2/token", seconds=UPSTREAM)
        ours = _elapsed([place.wizard, "token", "crm"], environment)
        refreshes = [len(core.refreshes())]
    bare = _elapsed([place.python, "-c", "pass"], environment)
    yield Figure(
        f"{PROCESSES} fresh `token NAME` at expiry, all together; refreshes: {_all(refreshes)}",
        f"{ours:.2f} s",
        f"{PROCESSES} × `python -c pass` {bare:.2f} s",
        ratio(ours, bare),
        "one refresh",
    )


def _all(refreshes: list[int]) -> str:
    return ", ".join(str(each) for each in refreshes)


def _elapsed(command: list[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    printed = together(command, environment, PROCESSES)
    elapsed = time.perf_counter() - begun
    assert len(set(printed)) == 1
    return elapsed


def _storm(settings: Settings) -> float:
    """Seconds from the first that left the barrier to the last that had its token."""
    context = forkserver()
    barrier, answers = context.Barrier(PROCESSES), context.SimpleQueue()
    started = [
        context.Process(target=_ask, args=(settings, barrier, answers)) for _ in range(PROCESSES)
    ]
    for process in started:
        process.start()
    seen = [answers.get() for _ in started]
    for process in started:
        process.join(PATIENCE)
    tokens, begun, ended = zip(*seen, strict=True)
    assert len(set(tokens)) == 1
    return float(max(ended) - min(begun))


def _ask(settings: Settings, barrier: Any, answers: Any) -> None:
    """In a process of its own; the clock is one for all processes of a machine."""
    with House.open(settings) as house:
        barrier.wait(PATIENCE)
        begun = time.perf_counter()
        token = house.broker.access_token("crm").value
        answers.put((token, begun, time.perf_counter()))
