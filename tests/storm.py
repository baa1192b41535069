"""Processes that ask for one access token at the same moment."""

import multiprocessing
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from core import settings_for

from wizard.errors import WizardError
from wizard.house import House
from wizard.sandbox.clock import FileClock

PATIENCE = 180
"""Seconds for many processes to start on two busy cores."""


def ask(directory: Path, url: str, name: str, together: Barrier, answers: Any) -> None:
    """In a process of its own: open the house, wait for the others, ask, tell the token."""
    with House.open(settings_for(directory, url)) as house:
        together.wait(PATIENCE)
        answers.put(house.broker.access_token(name).value)


@dataclass(frozen=True)
class Day:
    """What ten processes are given that ask through a day, in step with whoever moves the clock."""

    directory: Path
    url: str
    clock_file: Path
    names: tuple[str, ...]
    ticks: int
    begin: Barrier
    end: Barrier


def live_through(day: Day, greedy: bool, answers: Any) -> None:
    """In a process of its own: at each tick ask for every connection's token and tell it. Who is
    greedy wants a fresh one each time, and is content where there is none."""
    settings, clock = settings_for(day.directory, day.url), FileClock(day.clock_file)
    with House.open(settings, clock) as house:
        for _ in range(day.ticks):
            day.begin.wait(PATIENCE)
            for name in day.names:
                if greedy:
                    with suppress(WizardError):
                        house.broker.access_token(name, fresh=True)
                answers.put((name, house.broker.access_token(name).value))
            day.end.wait(PATIENCE)


def forkserver() -> ForkServerContext:
    """Starts processes that share nothing with this one, and start quickly."""
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["storm", "wizard.house"])
    return context


def storm(directory: Path, url: str, name: str, processes: int) -> list[str]:
    """The access tokens that `processes` processes got of connection `name`."""
    context = forkserver()
    together, answers = context.Barrier(processes), context.SimpleQueue()
    started = [
        context.Process(target=ask, args=(directory, url, name, together, answers))
        for _ in range(processes)
    ]
    for process in started:
        process.start()
    tokens = []
    for process in started:
        process.join(PATIENCE)
        assert process.exitcode == 0
        process.close()
    while not answers.empty():
        tokens.append(answers.get())
    answers.close()
    return tokens
