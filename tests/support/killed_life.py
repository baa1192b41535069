"""A connection's life in a process that may kill itself at one of its external effects."""

from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from support.delivery import deliver
from support.harness import Harness, settings_for
from support.interrupted_swap import kill_at_step
from wizard.services import Services
from wizard.settings import Settings
from wizard.simulator.remote import RemoteSimulator


@dataclass(frozen=True)
class KilledLife:
    """Where a life happens, and when it ends."""

    directory: Path
    simulator_url: str
    database_url: str
    """Empty: SQLite."""
    step: int
    delay_seconds: float = 0

    @property
    def settings(self) -> Settings:
        return settings_for(self.directory, self.simulator_url, self.database_url)

    @property
    def destination(self) -> Path:
        """The file to which the credentials are delivered."""
        return self.directory / ".env"


def live(life: KilledLife, reports: Connection) -> None:
    """Authorize ``crm``, refresh it, deliver it, re-authorize it. Reports each generation that was
    verified."""
    with Services.open(life.settings) as services:
        simulator = RemoteSimulator(life.simulator_url)
        harness = Harness(services, simulator, life.directory)  # type: ignore[arg-type]
        kill_at_step(life.step, services, life.delay_seconds)
        for generation in (1, 2):
            if generation == 2:
                services.reauthorization.begin(("crm",))
            done = harness.authorize("crm")
            assert done.generation == generation
            harness.verify("crm", generation)
            services.reauthorization.continue_after_verification("crm")
            reports.send(generation)
            services.tokens.access_token("crm", force_refresh=True)
            if generation == 1:
                deliver(harness, "dotenv", life.destination)
        reports.send(0)
