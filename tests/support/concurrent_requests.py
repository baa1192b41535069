"""Processes that request one access token at the same moment."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from support.harness import Harness, settings_for
from support.tokens import wait_for
from wizard.errors import WizardError
from wizard.services import Services
from wizard.settings import Settings
from wizard.simulator.settings import FileClock

PRELOADED = (
    "support.concurrent_requests",
    "authlib.integrations.requests_client",
    "filelock",
    "sqlalchemy.dialects.sqlite",
    "wizard.store.postgresql",
    "wizard.tokens.service",
    "wizard.transport.adapter",
)
"""What the processes import on use, so that it costs each of them nothing."""
PROCESS_START_TIMEOUT_SECONDS = 180
"""Seconds for many processes to start on two busy cores."""


def request_token(settings: Settings, name: str, barrier: Barrier, results: Any) -> None:
    """In a process of its own: open the services, wait for the others, and send the token."""
    with Services.open(settings) as services:
        barrier.wait(PROCESS_START_TIMEOUT_SECONDS)
        results.put(services.tokens.access_token(name).value)


@dataclass(frozen=True)
class Workload:
    """The input of ten processes that request tokens through a day, in step with the clock."""

    directory: Path
    url: str
    clock_file: Path
    names: tuple[str, ...]
    rounds: int
    start_barrier: Barrier
    end_barrier: Barrier


def run_workload(workload: Workload, forces_refresh: bool, results: Any) -> None:
    """In a process of its own: at each tick request every connection's token and send it.

    A greedy process requires a fresh one each time, and accepts if there is none.
    """
    settings, clock = settings_for(workload.directory, workload.url), FileClock(workload.clock_file)
    with Services.open(settings, clock) as services:
        for _ in range(workload.rounds):
            workload.start_barrier.wait(PROCESS_START_TIMEOUT_SECONDS)
            for name in workload.names:
                if forces_refresh:
                    with suppress(WizardError):
                        services.tokens.access_token(name, force_refresh=True)
                results.put((name, services.tokens.access_token(name).value))
            workload.end_barrier.wait(PROCESS_START_TIMEOUT_SECONDS)


def run_storm(workload: Workload, threads: int, results: Any) -> None:
    """In a process of its own: at each tick, request every connection's token in `threads` threads
    at once. Send for each its name, the token or the code of a failure, and the wait in seconds."""
    settings, clock = settings_for(workload.directory, workload.url), FileClock(workload.clock_file)

    def request(name: str) -> tuple[str, str, float]:
        begun = time.monotonic()
        try:
            token = services.tokens.access_token(name).value
        except WizardError as error:
            token = error.failure.code
        return name, token, time.monotonic() - begun

    with (
        Services.open(settings, clock) as services,
        ThreadPoolExecutor(max(threads, len(workload.names))) as pool,
    ):
        for _ in range(workload.rounds):
            workload.start_barrier.wait(PROCESS_START_TIMEOUT_SECONDS)
            results.put(list(pool.map(request, workload.names * threads)))
            workload.end_barrier.wait(PROCESS_START_TIMEOUT_SECONDS)


def forkserver_context() -> ForkServerContext:
    """Starts processes that share nothing with this one, and starts them quickly."""
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    # Before Python 3.14, the server ignores our `sys.path`, and silently what it can't import.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
        forkserver.ensure_running()
    return context


@contextmanager
def process_that_refreshes(harness: Harness) -> Iterator[None]:
    """A process that waits for Zoho's response to a refresh of connection crm. It's killed at the
    end; Zoho has processed the request."""
    harness.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=60, processed=True)
    context = forkserver_context()
    alone, answers = context.Barrier(1), context.SimpleQueue()
    holder = context.Process(
        target=request_token, args=(harness.services.settings, "crm", alone, answers)
    )
    holder.start()
    try:
        wait_for(lambda: not harness.controls.state()["faults"])  # its request has arrived
        yield
    finally:
        holder.kill()
        holder.join(PROCESS_START_TIMEOUT_SECONDS)
        holder.close()


def request_tokens_concurrently(
    settings: Sequence[Settings], name: str, processes: int
) -> list[str]:
    """The access tokens that `processes` processes got for connection `name`; they take `settings`
    in turn."""
    context = forkserver_context()
    together, answers = context.Barrier(processes), context.SimpleQueue()
    started = [
        context.Process(target=request_token, args=(own, name, together, answers))
        for own in islice(cycle(settings), processes)
    ]
    for process in started:
        process.start()
    tokens = []
    for process in started:
        process.join(PROCESS_START_TIMEOUT_SECONDS)
        assert process.exitcode == 0
        process.close()
    while not answers.empty():
        tokens.append(answers.get())
    answers.close()
    return tokens
