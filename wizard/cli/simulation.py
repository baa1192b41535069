"""``sandbox`` and ``demo``: the simulated Zoho alone, and with a wizard beside it."""

import errno
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wizard import settings
from wizard.cli.serving import alone, print_link, serving, stopping, wait
from wizard.cli.terminal import Terminal, pass_terminal
from wizard.endpoint import ring
from wizard.errors import fail

if TYPE_CHECKING:
    from wizard.sandbox.server import Sandbox

PORT = 8730


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: a free one."
)
@pass_terminal
def sandbox(terminal: Terminal, port: int) -> None:
    """Serve a made-up Zoho until stopped.

    It listens on 127.0.0.1 only, and nothing of it is kept.
    Any program that takes Zoho's addresses as settings can be tried against it.
    """
    with stopping() as stopped, running(port) as simulated:
        terminal.painter.note("A made-up Zoho answers. Its people, clients, clock and journal:")
        terminal.painter.command(f"{simulated.url}/_sandbox/")
        _say_who_lives_there(terminal, simulated)
        _say_how_to_point_there(terminal, simulated)
        terminal.painter.note("Ctrl-C: stop.")
        wait(stopped)


@click.command()
@click.option("--fresh", is_flag=True, help="Begin anew: forget the made-up Zoho and its wizard.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=PORT,
    show_default=True,
    help="Of the made-up Zoho.",
)
@pass_terminal
def demo(terminal: Terminal, fresh: bool, port: int) -> None:
    """Try everything against a made-up Zoho.

    Serves it and a wizard of its own, and keeps both between runs.
    """
    chosen = settings.from_environment(sandbox_url=f"http://127.0.0.1:{port}")
    if link := ring(Path(chosen.home.socket), "/", printed=True):
        terminal.painter.note("A demo runs already. A new link to it:", command=link)
        return
    saved = Path(chosen.home.data_dir) / "zoho.json"
    with stopping() as stopped, running(port) as simulated:
        if fresh:
            _forget(chosen)
        _load(simulated, saved)
        try:
            _serve_both(terminal, chosen, simulated, stopped)
        finally:
            _save(simulated, saved)


def _serve_both(
    terminal: Terminal,
    chosen: settings.Settings,
    simulated: "Sandbox",
    stopped: threading.Event,
) -> None:
    painter = terminal.painter
    house = terminal.open(chosen, simulated.clock)
    with serving(house) as launch_link:
        painter.note("This Zoho is made up: nothing here touches your Zoho account.")
        painter.blank()
        painter.note("1. Open the wizard (the link works once, for ten minutes):")
        painter.command(launch_link("/", True))
        painter.note("2. Follow it: choose a task, register a client, sign in as one of these:")
        _say_who_lives_there(terminal, simulated)
        painter.note("3. Use what you made, by the name you gave it, in another terminal:")
        _say_how_to_point_there(terminal, simulated)
        painter.command("zoho-wizard list")
        painter.command("zoho-wizard token crm-read-leads")
        painter.note("The made-up Zoho itself, with its clock and its events:")
        painter.command(f"{simulated.url}/_sandbox/")
        painter.note(
            "With the real Zoho you begin by:", command="env -u ZOHO_WIZARD_ZOHO zoho-wizard"
        )
        painter.note("Enter: a new link.  Ctrl-C: stop. All is kept until zoho-wizard demo --fresh")
        wait(stopped, lambda: print_link(terminal, launch_link))
        painter.note("Stopping: what is under way is finished first.")


@contextmanager
def running(port: int) -> Iterator["Sandbox"]:
    """A simulated Zoho on `port`; raises ``sandbox-port-in-use``."""
    from wizard.sandbox.server import Sandbox

    try:
        simulated = Sandbox(port=port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise fail("sandbox-port-in-use", port=str(port)) from error
    with simulated:
        yield simulated


def _say_who_lives_there(terminal: Terminal, simulated: "Sandbox") -> None:
    people = simulated.admin.people()
    width = max(len(person["email"]) for person in people)
    for person in people:
        columns = (person["email"].ljust(width), person["password"].ljust(22), _kind_of(person))
        terminal.painter.note(f"     {'  '.join(columns)}")


def _kind_of(person: Mapping[str, Any]) -> str:
    """What is particular about a made-up person."""
    kind = f"at Zoho {person['location'].upper()}"
    in_crm = [each for each in person["organizations"] if each["product"] == "crm"]
    if person["one_time_code"]:
        return f"{kind}; asks for a one-time code too"
    if not in_crm:
        return f"{kind}; has no account in any product"
    return f"{kind}; chooses among organizations" if len(in_crm) > 1 else kind


def _say_how_to_point_there(terminal: Terminal, simulated: "Sandbox") -> None:
    here = Path(sys.argv[0]).resolve().parent
    if shutil.which("zoho-wizard") is None and (here / "zoho-wizard").exists():
        terminal.painter.command(f'export PATH="{here}:$PATH"')
    terminal.painter.command(f"export ZOHO_WIZARD_ZOHO={simulated.url}")


def _forget(chosen: settings.Settings) -> None:
    """Remove the sandbox's home, which holds nothing that is real. Raises ``already-served``."""
    chosen.home.prepare()
    with alone(chosen.home):
        for directory in (chosen.home.data_dir, chosen.home.config_dir):
            shutil.rmtree(directory, ignore_errors=True)


def _load(simulated: "Sandbox", saved: Path) -> None:
    """Go on where the last demo ended; raises ``demo-unreadable``."""
    try:
        text = saved.read_text("utf-8")
    except FileNotFoundError:
        return
    try:
        simulated.world.load(json.loads(text))
    except (ValueError, LookupError, TypeError) as error:
        raise fail("demo-unreadable", path=str(saved)) from error


def _save(simulated: "Sandbox", saved: Path) -> None:
    with simulated.world.lock:
        text = json.dumps(simulated.world.to_dict())
    fresh = saved.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(fresh, saved)
