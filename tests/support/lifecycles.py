"""State machines over the real services, their store and a simulated Zoho on one clock."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from support.harness import Harness, settings_for
from wizard.services import Services
from wizard.simulator.server import Simulator

_numbers = count()


class Lifecycle(RuleBasedStateMachine):
    """A machine with a new data directory and a simulator that was reset."""

    def __init__(self, simulator: Simulator, parent: Path) -> None:
        super().__init__()
        simulator.controls.reset()
        directory = parent / str(next(_numbers))
        directory.mkdir()
        self.harness = Harness(self._open(simulator, directory), simulator, directory)

    def _open(self, simulator: Simulator, directory: Path) -> Services:
        def sleep(seconds: float) -> None:
            simulator.clock.advance(seconds)

        settings = settings_for(directory, simulator.url)
        return Services.open(settings, simulator.clock, sleep)

    @property
    def services(self) -> Services:
        return self.harness.services

    def open_again(self, directory: Path | None = None) -> None:
        """Close the services and open them again, as a new process does."""
        self.services.close()
        self.harness.directory = directory or self.harness.directory
        self.harness.services = self._open(self.harness.simulator, self.harness.directory)

    def teardown(self) -> None:
        self.services.close()


def run_lifecycle(machine: Callable[[], Lifecycle], examples: int, steps: int) -> None:
    """Run `examples` sequences of at most `steps` steps, the same ones each time."""
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # to shorten a sequence that fails takes minutes
    )
    # It only calls the machine, so any function that returns one will do.
    run_state_machine_as_test(machine, settings=chosen)  # type: ignore[arg-type]
