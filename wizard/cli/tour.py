"""``tour``: the whole story by itself, in a real browser, with a table of proofs at the end."""

import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from wizard.cli.pictures import Camera
from wizard.cli.serving import serving
from wizard.cli.simulation import PORT, running
from wizard.cli.story import INTEGRATIONS, Proof, Story
from wizard.cli.terminal import Exit, Terminal, json_option, pass_terminal
from wizard.errors import fail
from wizard.house import House
from wizard.settings import SANDBOX_PORT, from_environment

VIEW = {"width": 1040, "height": 780}
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
        tempfile.TemporaryDirectory(prefix="zoho-wizard-tour-") as home,
        _stage(terminal, home, Camera(pictures)) as story,
    ):
        proofs = [_play(terminal, act) for act in _acts(story)]
    _conclude(terminal, proofs)


def _acts(story: Story) -> tuple[Callable[[], Proof], ...]:
    return (
        story.first_connection,
        story.script,
        lambda: story.next_connection("Second connection, same client", INTEGRATIONS[1]),
        lambda: story.next_connection("Third connection, same client", INTEGRATIONS[2]),
        story.handing_over,
        lambda: story.programs("The programs work"),
        story.password_change,
        story.finding,
        story.repair,
        lambda: story.programs("The programs work again"),
    )


@contextmanager
def _stage(terminal: Terminal, home: str, camera: Camera) -> Iterator[Story]:
    """A simulated Zoho, a wizard beside it and a browser before both."""
    from wizard.sandbox.person import NoBrowser, open_browser

    browser_path = terminal.settings.browser
    with running(_free(PORT)) as simulated:
        environment = {"ZOHO_WIZARD_HOME": home, "ZOHO_WIZARD_PORT": str(_free(SANDBOX_PORT))}
        chosen = from_environment(environment, sandbox_url=simulated.url)
        try:
            with (
                House.open(chosen, simulated.clock) as house,
                serving(house) as launch_link,
                open_browser(Path(browser_path) if browser_path else None) as browser,
            ):
                yield Story(
                    house,
                    simulated,
                    browser.new_context(viewport=VIEW),  # type: ignore[arg-type]
                    browser.new_context(),
                    launch_link,
                    camera,
                    environment=chosen.chosen,
                    directory=Path(home),
                )
        except NoBrowser as error:
            raise fail("no-browser", found=str(error)) from error


def _free(port: int) -> int:
    """`port`, or any free one where a demo has it."""
    for wish in (port, 0):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", wish))
            except OSError:
                continue
            return int(trial.getsockname()[1])
    raise fail("port-in-use", host="127.0.0.1", port=str(port))


def _play(terminal: Terminal, act: Callable[[], Proof]) -> Proof:
    proof = act()
    if not terminal.painter.as_json:
        say = terminal.painter.good if proof.good else terminal.painter.note
        say(f"{proof.title}: {proof.evidence}")
    return proof


def _conclude(terminal: Terminal, proofs: list[Proof]) -> None:
    painter = terminal.painter
    if painter.as_json:
        painter.document({"proved": all(each.good for each in proofs), "proofs": proofs})
    else:
        painter.blank()
        painter.table(("Proof", "", "Actions", "Evidence"), [_row(each) for each in proofs])
    if not all(each.good for each in proofs):
        raise Exit(1)


def _row(proof: Proof) -> tuple[str, str, str, str]:
    actions = "" if proof.actions is None else str(proof.actions)
    allowed = f" of {proof.limit}" if proof.limit else ""
    return (
        proof.title,
        "✓ proved" if proof.good else "✗ failed",
        actions + allowed,
        proof.evidence,
    )
