"""Many requests at the moment when an access token expires."""

import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any

from support.concurrent_requests import PROCESS_START_TIMEOUT_SECONDS, forkserver_context

from bench.installation import Installation, expire_access_token
from bench.measurements import Measurement, ratio, run_concurrently
from wizard.services import Services
from wizard.settings import Settings

PROCESSES = 128
UPSTREAM_SECONDS = 0.3
"""Seconds that the simulated Zoho takes for a refresh."""
ROUNDS = 3


def measure(installation: Installation) -> Iterator[Measurement]:
    """128 processes that wait for the moment, and 128 commands started at it."""
    with installation.harness("expiry") as harness:
        harness.add_verified_connection()
        settings = harness.services.settings
        waits, refreshes = [], []
        for _ in range(ROUNDS):
            expire_access_token(harness.services, "crm")
            harness.controls.clear_journal()
            harness.controls.inject_fault(
                "slow", endpoint="oauth/v2/token", seconds=UPSTREAM_SECONDS
            )
            waits.append(time_concurrent_requests([settings]))
            refreshes.append(len(harness.refresh_requests()))
        worst, limit = max(waits), UPSTREAM_SECONDS + 1
        yield Measurement(
            f"{PROCESSES} processes at expiry, the worst wait; refreshes: {_join(refreshes)}",
            f"{worst:.2f} s",
            f"upstream {UPSTREAM_SECONDS} s + 1 s",
            ratio(worst, limit),
            "≤ 1, one refresh",
        )
        environment = installation.environment(settings)
        expire_access_token(harness.services, "crm")
        harness.controls.clear_journal()
        harness.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=UPSTREAM_SECONDS)
        ours = _elapsed([installation.wizard, "token", "crm"], environment)
        refreshes = [len(harness.refresh_requests())]
    bare = _elapsed([installation.python, "-c", "pass"], environment)
    yield Measurement(
        f"{PROCESSES} fresh `token NAME` at expiry, all together; refreshes: {_join(refreshes)}",
        f"{ours:.2f} s",
        f"{PROCESSES} × `python -c pass` {bare:.2f} s",
        ratio(ours, bare),
        "one refresh",
    )


def _join(refreshes: list[int]) -> str:
    return ", ".join(str(each) for each in refreshes)


def _elapsed(command: list[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    printed = run_concurrently(command, environment, PROCESSES)
    elapsed = time.perf_counter() - begun
    assert len(set(printed)) == 1
    return elapsed


def time_concurrent_requests(settings: Sequence[Settings]) -> float:
    """The longest wait of a process, in seconds; the processes take `settings` in turn."""
    context = forkserver_context()
    barrier, answers = context.Barrier(PROCESSES), context.SimpleQueue()
    started = [
        context.Process(target=_request_token, args=(own, barrier, answers))
        for own in islice(cycle(settings), PROCESSES)
    ]
    for process in started:
        process.start()
    seen = [answers.get() for _ in started]
    for process in started:
        process.join(PROCESS_START_TIMEOUT_SECONDS)
    tokens, begun, ended = zip(*seen, strict=True)
    assert len(set(tokens)) == 1
    return float(max(end - start for start, end in zip(begun, ended, strict=True)))


def _request_token(settings: Settings, barrier: Any, answers: Any) -> None:
    """Request a token in a separate process; one clock serves all processes of a machine. It has
    looked for a token before, as a program that runs for longer than an hour has."""
    with Services.open(settings) as services:
        services.tokens.cached_access_token("crm")
        barrier.wait(PROCESS_START_TIMEOUT_SECONDS)
        begun = time.perf_counter()
        token = services.tokens.access_token("crm").value
        answers.put((token, begun, time.perf_counter()))
