"""``tour``: the whole story by itself, in a real browser, with a table of proofs at the end."""

import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from wizard.cli.commands.simulator import SIMULATED_ZOHO_PORT, running_simulator
from wizard.cli.flows.serving import running_server
from wizard.cli.flows.tour_scenario import INTEGRATIONS, TourScenario, TourStepResult
from wizard.cli.screenshots import Screenshots
from wizard.cli.terminal import Exit, Terminal, json_option, pass_terminal
from wizard.errors import fail
from wizard.services import Services
from wizard.settings import SIMULATOR_PORT, from_environment

VIEWPORT = {"width": 1040, "height": 780}
"""Pixels of the browser's window: what a README can show without shrinking it much."""


@click.command()
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write pictures of the pages, light and dark, into this directory.",
)
@json_option
@pass_terminal
def tour(terminal: Terminal, pictures: Path | None) -> None:
    """Watch the whole story in a real browser.

    It plays by itself, against a made-up Zoho.

    Onboards three integrations, hands them to programs, changes the password, finds out, repairs
    all with one sign-in, and shows that the programs work again: in a home of its own that is
    removed afterwards. Exit code 0 only if all of it was proved.
    """
    with (
        tempfile.TemporaryDirectory(prefix="zoho-wizard-tour-") as data_directory,
        _tour_scenario(terminal, data_directory, Screenshots(pictures)) as scenario,
    ):
        results = [_run_step(terminal, act) for act in _steps(scenario)]
    _print_results(terminal, results)


def _steps(scenario: TourScenario) -> tuple[Callable[[], TourStepResult], ...]:
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
def _tour_scenario(
    terminal: Terminal, data_directory: str, screenshots: Screenshots
) -> Iterator[TourScenario]:
    """A simulated Zoho, a wizard beside it and a browser before both."""
    from wizard.simulator.simulated_user import BrowserNotFoundError, open_browser

    browser_path = terminal.settings.browser_path
    with running_simulator(_free_port(SIMULATED_ZOHO_PORT)) as simulator:
        environment = {
            "ZOHO_WIZARD_HOME": data_directory,
            "ZOHO_WIZARD_PORT": str(_free_port(SIMULATOR_PORT)),
        }
        tour_settings = from_environment(environment, simulator_url=simulator.url)
        try:
            with (
                Services.open(tour_settings, simulator.clock) as services,
                running_server(services) as create_browser_link,
                open_browser(Path(browser_path) if browser_path else None) as browser,
            ):
                yield TourScenario(
                    services,
                    simulator,
                    browser.new_context(viewport=VIEWPORT),  # type: ignore[arg-type]
                    browser.new_context(),
                    create_browser_link,
                    screenshots,
                    environment=tour_settings.service_environment,
                    directory=Path(data_directory),
                )
        except BrowserNotFoundError as error:
            raise fail("no-browser", description=str(error)) from error


def _free_port(port: int) -> int:
    """`port`, or any free one where a demo has it."""
    for candidate in (port, 0):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(sock.getsockname()[1])
    raise fail("port-in-use", host="127.0.0.1", port=str(port))


def _run_step(terminal: Terminal, step: Callable[[], TourStepResult]) -> TourStepResult:
    result = step()
    if not terminal.renderer.as_json:
        print_result = (
            terminal.renderer.print_success if result.is_passed else terminal.renderer.print_note
        )
        print_result(f"{result.title}: {result.evidence}")
    return result


def _print_results(terminal: Terminal, results: list[TourStepResult]) -> None:
    renderer = terminal.renderer
    if renderer.as_json:
        renderer.print_json({"passed": all(each.is_passed for each in results), "steps": results})
    else:
        renderer.print_blank()
        renderer.print_table(("Proof", "", "Actions", "Evidence"), [_row(each) for each in results])
    if not all(each.is_passed for each in results):
        raise Exit(1)


def _row(result: TourStepResult) -> tuple[str, str, str, str]:
    actions = "" if result.actions is None else str(result.actions)
    limit = f" of {result.max_actions}" if result.max_actions else ""
    return (
        result.title,
        "✓ proved" if result.is_passed else "✗ failed",
        actions + limit,
        result.evidence,
    )
