"""`make tour`: run each step, print what it shows, and a table at the end.

The exit code is 0 only if every step succeeds. `--pictures DIR` writes screenshots.
"""

import argparse
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import ViewportSize

from tour.scenario import INTEGRATIONS, Screenshots, StepResult, TourScenario
from wizard.cli.commands.simulator import SIMULATED_ZOHO_PORT, running_simulator
from wizard.cli.flows.serving import running_server
from wizard.cli.renderer import Renderer
from wizard.services import Services
from wizard.settings import SIMULATOR_PORT, from_environment
from wizard.simulator.configuration import Configuration
from wizard.simulator.simulated_user import BrowserNotFoundError, open_browser

VIEWPORT: ViewportSize = {"width": 1040, "height": 780}
"""Pixels. README shows the screenshots almost at this size."""


def main(pictures: Path | None) -> int:
    """Run the tour with a data directory of its own; return the exit code."""
    renderer = Renderer()
    with (
        tempfile.TemporaryDirectory(prefix="zoho-wizard-tour-") as data_directory,
        _scenario(data_directory, Screenshots(pictures)) as scenario,
    ):
        results = [_run(renderer, step) for step in _steps(scenario)]
    renderer.print_blank()
    renderer.print_table(("Step", "", "Actions", "Evidence"), [_row(each) for each in results])
    return 0 if all(each.has_passed for each in results) else 1


def _steps(scenario: TourScenario) -> tuple[Callable[[], StepResult], ...]:
    return (
        scenario.first_connection,
        scenario.run_script,
        lambda: scenario.next_connection("Second connection, same client", INTEGRATIONS[1]),
        lambda: scenario.next_connection("Third connection, same client", INTEGRATIONS[2]),
        scenario.deliver_credentials,
        lambda: scenario.run_programs("The programs work"),
        scenario.change_password,
        scenario.detect_failure,
        scenario.reauthorize,
        lambda: scenario.run_programs("The programs work again"),
    )


@contextmanager
def _scenario(data_directory: str, screenshots: Screenshots) -> Iterator[TourScenario]:
    """Start a simulated Zoho, a wizard that uses it, and a browser."""
    browser_path = from_environment().browser_path
    with running_simulator(Configuration(port=_free_port(SIMULATED_ZOHO_PORT))) as simulator:
        environment = {
            "ZOHO_WIZARD_HOME": data_directory,
            "ZOHO_WIZARD_PORT": str(_free_port(SIMULATOR_PORT)),
        }
        settings = from_environment(environment, changes=simulator.environment)
        with (
            Services.open(settings, simulator.clock) as services,
            running_server(services) as create_browser_link,
            open_browser(Path(browser_path) if browser_path else None) as browser,
        ):
            yield TourScenario(
                services,
                simulator,
                browser.new_context(viewport=VIEWPORT),
                browser.new_context(),
                create_browser_link,
                screenshots,
                environment=settings.service_environment,
                directory=Path(data_directory),
            )


def _free_port(port: int) -> int:
    """Return `port`, or another free one if a demo uses it."""
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _run(renderer: Renderer, step: Callable[[], StepResult]) -> StepResult:
    result = step()
    print_result = renderer.print_success if result.has_passed else renderer.print_failure
    print_result(f"{result.title}: {result.evidence}")
    return result


def _row(result: StepResult) -> tuple[str, str, str, str]:
    actions = "" if result.actions is None else str(result.actions)
    limit = f" of {result.max_actions}" if result.max_actions else ""
    outcome = "✓ passed" if result.has_passed else "✗ failed"
    return result.title, outcome, actions + limit, result.evidence


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tour")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write screenshots to DIR")
    try:
        sys.exit(main(parser.parse_args().pictures))
    except BrowserNotFoundError as error:
        sys.exit(str(error))
