"""Serving the pages from a terminal, and finding the wizard that already does."""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import FrameType

import click

from wizard.broker.lock import exclusive
from wizard.browser import remove_left
from wizard.cli.beside import starter
from wizard.cli.terminal import Terminal, pass_terminal
from wizard.cli.window import LaunchLink, show
from wizard.endpoint import Endpoint, ring
from wizard.errors import WizardError, fail
from wizard.home import Home
from wizard.house import House

TURN = 0.2
"""Seconds between two looks at whether to stop; shorter than anybody notices."""


@contextmanager
def serving(house: House, share: Path | None = None) -> Iterator[LaunchLink]:
    """Serve the pages and the sockets of `house` while the context lasts.

    `share` is the directory of the socket for other users. Raises ``already-served``,
    ``port-in-use``, ``shared-directory-unsafe`` or ``shared-directory-in-use``.
    """
    from wizard.web import serve as serve_pages

    with alone(house.home):
        _note_address(house)
        remove_left(house.home)
        server = serve_pages(house, assist=starter(house.settings))

        def launch_link(page: str, printed: bool) -> str:
            return server.new_launch_url(page, printed=printed)

        try:
            with Endpoint(house, launch_link, share):
                yield launch_link
        finally:
            server.stop()


def _note_address(house: House) -> None:
    """Keep the address of the pages for whoever wants to serve too; a full disk costs only that."""
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        descriptor = os.open(house.home.serving_address, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(house.settings.base_url)


def alone(home: Home) -> AbstractContextManager[None]:
    """Be the only wizard that serves `home` on this machine: a second one would take the sockets
    of the first away. Raises ``already-served``."""

    def refused() -> WizardError:
        address = ""
        with suppress(OSError):
            address = Path(home.serving_address).read_text("utf-8")
        known = {"address": address} if address else {}  # it may have just begun
        return fail("already-served", path=home.data_dir, **known)

    return exclusive(home.serving_lock, refused)


@contextmanager
def reaching(house: House) -> Iterator[LaunchLink]:
    """Launch links of the wizard that already serves this home, else serve while it lasts."""
    if elsewhere := _serving_already(house):
        yield elsewhere
    else:
        with serving(house) as launch_link:
            yield launch_link


def _serving_already(house: House) -> LaunchLink | None:
    """Launch links of another process that serves this home; None where there is none."""
    socket = Path(house.home.socket)

    def launch_link(page: str, printed: bool) -> str:
        # Where it has ended meanwhile, its page says how to open a new one.
        return ring(socket, page, printed=printed) or house.settings.base_url + page

    return launch_link if ring(socket, "/", printed=True) else None


def wait(
    stopped: threading.Event,
    on_enter: Callable[[], None] = lambda: None,
    done: Callable[[], bool] = lambda: False,
) -> bool:
    """Wait until `done` (returns True) or until `stopped` (returns False).

    Each press of Enter in the terminal calls `on_enter`.
    """
    while not stopped.is_set():
        if done():
            return True
        if _enter_was_pressed(stopped):
            on_enter()
    return False


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, instead of breaking into what is under way.

    Whoever serves enters it first, so that a signal at any moment still ends in order.
    """
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def breaking() -> Iterator[None]:
    """Within `stopping`, let Ctrl-C break into a question: it would else wait for its answer."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _enter_was_pressed(stopped: threading.Event) -> bool:
    """Wait one turn; True when a line was typed meanwhile."""
    # Windows can select on sockets only: there a new link is had from bare `zoho-wizard`.
    if sys.platform == "win32" or not sys.stdin.isatty():
        stopped.wait(TURN)
        return False
    readable, _, _ = select.select([sys.stdin], [], [], TURN)
    if readable and not sys.stdin.readline():
        stopped.set()
        return False
    return bool(readable)


def print_link(terminal: Terminal, launch_link: LaunchLink, page: str = "/") -> None:
    """Print a fresh launch link on stderr."""
    terminal.painter.note("Open in your browser (works once, for ten minutes):")
    terminal.painter.command(launch_link(page, True))


@click.command()
@click.option(
    "--share",
    type=click.Path(path_type=Path),
    help="The directory of the socket that other users ask; see `zoho-wizard allow`.",
)
@pass_terminal
def serve(terminal: Terminal, share: Path | None) -> None:
    """Serve the web app until stopped.

    Programs are answered on Unix sockets. No browser is opened. Press Enter for a new link.
    Ctrl-C or SIGTERM: nothing new is accepted, what is under way is finished within 30 seconds.
    """
    with stopping() as stopped, serving(terminal.house, share) as launch_link:
        terminal.painter.note(f"The wizard serves on {terminal.house.settings.base_url}")
        print_link(terminal, launch_link)
        terminal.painter.note("Enter: a new link.  Ctrl-C: stop.")
        wait(stopped, lambda: print_link(terminal, launch_link))
        terminal.painter.note("Stopping: what is under way is finished first.")


def open_app(terminal: Terminal) -> None:
    """Show the web app of the wizard that serves already, else serve for as long as we run."""
    if elsewhere := _serving_already(terminal.house):
        show("/", elsewhere, terminal.settings, terminal.painter)
        return
    with stopping() as stopped, serving(terminal.house) as launch_link:
        show("/", launch_link, terminal.settings, terminal.painter)
        terminal.painter.note("Enter: a new link.  Ctrl-C: stop.")
        wait(stopped, lambda: print_link(terminal, launch_link))
