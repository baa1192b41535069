"""Programs request a token every hour for months, while everything goes wrong that can."""

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness, settings_for
from support.records import attempts_of

from soak.start import start_seconds
from wizard.errors import WizardError
from wizard.model import AttemptState, Grant, GrantState
from wizard.reauthorization.plan import Action
from wizard.services import Services
from wizard.simulator.configuration import Configuration
from wizard.simulator.server import Simulator

TESTS = Path(__file__).resolve().parents[1]

ACCOUNTS = {ANNA: "", CARLA: FIRST_ORGANIZATION}
CONNECTIONS_PER_ACCOUNT = 3
FAULTS = (
    *("data-center-down", "html-page", "truncated-json", "unexpected-json", "connection-closed"),
    *("server-error", "rate-limit", "redirect"),
)
TASKS = {"token": 3, "check": 3, "authorize": 30}
"""What a process does that is killed, and about how many steps that takes."""


@dataclass
class Figures:
    """What happened, and what must not have happened."""

    hours: int = 0
    expiries: int = 0
    refreshes: int = 0
    """Of those expiries, during which nothing was made to fail."""
    tokens_served: int = 0
    outages: int = 0
    kills: int = 0
    restarts: int = 0
    password_changes: int = 0
    reauthorizations: int = 0
    unclear_outcomes: int = 0
    """A process was killed while it exchanged a code: shown to the user as an unknown outcome."""
    tokens_lost: int = 0
    """Refresh tokens that work at Zoho, and that the wizard neither stores nor reports."""
    unserved: int = 0
    """Requests that failed although nothing was wrong."""
    false_rejections: int = 0
    """Grants that need re-authorization although their refresh token works."""
    missed_rejections: int = 0
    """Grants that a day's check left as verified although Zoho had revoked them."""
    memory_growth: float = 0.0
    """Of this process, the simulator included, from the first fifth to the end."""
    wal_bytes: int = 0
    """The largest size of the database's write-ahead log."""
    start_seconds: float = 0.0
    """Processor time of `list` with a thousand connections, after a kill."""

    def lines(self) -> Iterator[str]:
        """The rows of a Markdown table."""
        yield from ("| Soak | Figure |", "|---|---|")
        for name, value in vars(self).items():
            shown = f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
            yield f"| {name.replace('_', ' ').capitalize()} | {shown} |"

    @property
    def failures(self) -> dict[str, int]:
        """What must not have happened, with how often it did."""
        must_be_zero = {
            "tokens_lost": self.tokens_lost,
            "unserved": self.unserved,
            "false_rejections": self.false_rejections,
            "missed_rejections": self.missed_rejections,
            "other than one refresh per expiry": abs(self.refreshes - self.expiries),
        }
        return {name: count for name, count in must_be_zero.items() if count}


class Months:
    """One data directory, two processes that use it, and a simulated Zoho on one clock."""

    def __init__(self, simulator: Simulator, directory: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.figures = Figures()
        self.simulator = simulator
        self.directory = directory
        self.processes = [self.open() for _ in range(2)]
        self.harness = Harness(self.processes[0], simulator, directory)
        self.names: list[str] = []
        for email, organization in ACCOUNTS.items():
            client = self.harness.register_client(email.partition("@")[0], ANNA)
            for number in range(CONNECTIONS_PER_ACCOUNT):
                self.names.append(name := f"{email.partition('@')[0]}-{number}")
                self.harness.add_connection(name, client)
                done = self.harness.authorize(name, email, organization)
                assert done.generation is not None
                self.harness.verify(name, done.generation)
            self.harness.advance(minutes=11)

    def open(self) -> Services:
        def sleep(seconds: float) -> None:
            self.simulator.clock.advance(seconds)

        settings = settings_for(self.directory, self.simulator.url)
        return Services.open(settings, self.simulator.clock, sleep)

    def run(self, days: int) -> Figures:
        """Let the days pass."""
        early_memory = 0
        for day in range(days):
            if day == max(1, days // 5):
                early_memory = resident_bytes()
            outage = range(0)
            if day % 2:
                begin = self.chance.randrange(24)
                outage = range(begin, begin + self.chance.randrange(1, 4))
            for hour in range(24):
                self.pass_hour(is_outage=hour in outage)
            self.end_day(day)
        if early_memory:
            self.figures.memory_growth = resident_bytes() / early_memory - 1
        for services in self.processes:
            services.close()
        return self.figures

    def pass_hour(self, *, is_outage: bool) -> None:
        """Each program of two processes requests its token, once per hour."""
        self.figures.hours += 1
        self.harness.advance(minutes=60)
        self.harness.controls.clear_journal()
        if is_outage:
            self.figures.outages += 1
            kind, processed = self.chance.choice(FAULTS), self.chance.random() < 0.5
            self.harness.controls.inject_fault(
                kind, endpoint="oauth/v2/token", times=1000, processed=processed
            )
        for name in self.names:
            is_due = self.is_due(name)
            for services in self.chance.sample(self.processes, 2):
                with self.counts_failures(name, is_outage=is_outage):
                    services.tokens.access_token(name)
                    self.figures.tokens_served += 1
            self.figures.expiries += is_due and not is_outage
        if is_outage:
            self.harness.controls.clear_faults()
        else:
            outcomes = [each["outcome"] for each in self.harness.refresh_requests()]
            self.figures.refreshes += outcomes.count("ok")
        wal = Path(f"{self.processes[0].paths.database}-wal")
        self.figures.wal_bytes = max(self.figures.wal_bytes, wal.stat().st_size)

    @contextmanager
    def counts_failures(self, name: str, *, is_outage: bool) -> Iterator[None]:
        try:
            yield
        except WizardError:
            self.figures.unserved += not is_outage and self.is_working(self.grant_of(name))

    def end_day(self, day: int) -> None:
        """A kill, a change of password or a restart; then the daily check, and what it finds."""
        if day % 2 == 0:
            self.kill_a_process()
        if day % 7 == 6:
            self.figures.password_changes += 1
            self.harness.controls.change_password(self.chance.choice([*ACCOUNTS]))
        if day % 10 == 9:
            self.figures.restarts += 1
            self.processes[1].close()
            self.processes[1] = self.open()
        self.harness.advance(minutes=11)
        self.processes[1].checks.check(self.names)
        for name in self.names:
            grant = self.grant_of(name)
            is_rejected = grant.state is GrantState.NEEDS_REAUTHORIZATION
            self.figures.false_rejections += is_rejected and self.is_working(grant)
            self.figures.missed_rejections += not is_rejected and not self.is_working(grant)
        self.reauthorize()
        self.harness.advance(hours=1)
        self.processes[0].reauthorization.revoke_replaced_tokens()
        self.count_lost_tokens()
        world = self.simulator.world.grants  # it keeps all for its journal; real time is short
        world.access_tokens = {
            key: each
            for key, each in world.access_tokens.items()
            if each.expires_at > self.simulator.clock()
        }

    def kill_a_process(self) -> None:
        """Kill a process at a random step of a task, and open the data directory again."""
        task = self.chance.choice([*TASKS])
        step = self.chance.randrange(1, TASKS[task] + 1)
        command = [
            *(sys.executable, "-m", "soak.killed", str(self.directory), self.simulator.url),
            *(self.simulator.clock().isoformat(), str(step), task, self.chance.choice(self.names)),
        ]
        done = subprocess.run(command, env=child_environment(), timeout=120)
        assert done.returncode in (0, -signal.SIGKILL), done
        self.figures.kills += done.returncode != 0
        self.processes[1].close()
        self.processes[1] = self.open()

    def reauthorize(self) -> None:
        """Authorize again what needs it, and finish what a kill interrupted."""
        services = self.processes[0]
        with suppress(WizardError):  # nothing needs it
            services.reauthorization.begin()
        for _ in range(4 * len(self.names)):
            step = services.reauthorization.next_action()
            if step is None or step.action is Action.DONE:
                break
            if step.action is Action.WAIT:
                self.harness.advance(minutes=11)
                continue
            assert step.item is not None
            name = step.item.connection
            candidate = services.store.grants.candidate(name)
            if candidate is None:
                email = step.item.email
                done = self.harness.authorize(name, email, ACCOUNTS[email])
                assert done.generation is not None, done.failure
                generation = done.generation
                self.figures.reauthorizations += 1
            else:
                generation = candidate.generation
            self.harness.verify(name, generation)
            services.reauthorization.continue_after_verification(name)
            self.harness.advance(minutes=4)

    def count_lost_tokens(self) -> None:
        store = self.processes[0].store
        stored = {
            grant.refresh_token for name in self.names for grant in store.grants.of_connection(name)
        }
        active = self.simulator.world.grants.active_refresh_tokens()
        orphans = {each.refresh_token for each in active} - stored
        unclear = [
            attempt
            for name in self.names
            for attempt in attempts_of(store, name)
            if attempt.state is AttemptState.OUTCOME_UNKNOWN
        ]
        self.figures.unclear_outcomes = len(unclear)
        self.figures.tokens_lost = max(self.figures.tokens_lost, len(orphans) - len(unclear))

    def is_due(self, name: str) -> bool:
        tokens = self.processes[0].tokens
        token = tokens.cached_access_token(name) if self.is_usable(name) else None
        return token is None or not tokens.is_fresh(token)

    def is_usable(self, name: str) -> bool:
        return not self.grant_of(name).state.is_ended

    def grant_of(self, name: str) -> Grant:
        grant = self.processes[0].store.grants.get(name)
        assert grant is not None
        return grant

    def is_working(self, grant: Grant) -> bool:
        """Whether Zoho accepts its refresh token."""
        tokens = self.simulator.world.grants.refresh_tokens
        return not tokens[grant.refresh_token].invalidation_reason


def child_environment() -> dict[str, str]:
    """For a process that imports what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}


def resident_bytes() -> int:
    """The memory of this process now; elsewhere than on Linux, the most it ever had."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def soak(days: int, seed: int = 1) -> Figures:
    """Run `days` simulated days in a new data directory."""
    place = os.environ.get("PYTEST_DEBUG_TEMPROOT")
    with (
        tempfile.TemporaryDirectory(prefix="soak-", dir=place) as directory,
        Simulator(Configuration(port=0)) as simulator,
    ):
        figures = Months(simulator, Path(directory) / "months", seed).run(days)
        figures.start_seconds = start_seconds(Path(directory) / "start", child_environment())
        return figures
