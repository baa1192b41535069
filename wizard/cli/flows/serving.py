"""Serving the pages and the local API, or finding the wizard that does; opening a page of it.

A one-time browser link opens a session, and every user of a machine can read every command line
(``ps``). So the browser gets the name of a small HTML file that only its owner can read and that
redirects to the link. The file is removed after the browser has had time to read it.
"""

import html
import json
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Literal
from urllib.parse import urljoin, urlsplit

import click

from wizard import files
from wizard.assisted_browser import check_display, remove_leftovers
from wizard.cli.commands.status import run_unattended
from wizard.cli.flows.service_manager import ServiceManager, inherited_socket, print_user_units
from wizard.cli.flows.units import serve_units
from wizard.cli.renderer import Renderer
from wizard.cli.results.connections import OpenedPage
from wizard.cli.results.installation import ServeEvent, ServiceUnit
from wizard.cli.terminal import (
    CONNECTION_NAME,
    StopEvent,
    StopHandler,
    Terminal,
    pass_terminal,
    stop_signal_numbers,
)
from wizard.clients import AssistedConnection
from wizard.errors import WizardError, fail, message
from wizard.fastpath.process import WIZARD_COMMAND
from wizard.local_api import SOCKET_NAME, LocalApi, find_service, request_browser_link
from wizard.locks import ExclusiveLock
from wizard.model import Explanation
from wizard.model.failure import codes_with
from wizard.paths import Paths
from wizard.services import Services
from wizard.settings import Settings
from wizard.store import Store

POLL_INTERVAL_SECONDS = 0.2
"""Seconds between two checks whether to stop."""

STORE_CHECK_INTERVAL_SECONDS = 2.0
"""Seconds between two checks whether the store was moved."""

STOP_TIMEOUT_SECONDS = 10.0
"""For the browser to close and its profile to be removed."""
REAUTHORIZE_ARGUMENTS = ("reauthorize", "--assist", "--json")
"""Continues the current re-authorization, so that no names are in the command line."""
CONNECT_ARGUMENTS = ("connect", "--assist", "--yes", "--json", "--from-page")
"""Reads from stdin what was entered on the page, so that none of it is in the command line."""

READ_TIMEOUT_SECONDS = 60.0
"""Time for the browser to read the file; its link expires no later."""

REDIRECT_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<title>Zoho OAuth wizard</title>
<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0; url={link}">
<p><a href="{link}">Continue to the wizard</a></p></html>
"""


BrowserLinkFactory = Callable[[str, bool], str]
"""Creates a one-time link to a page (a path); the flag says that it's printed, not opened."""


@contextmanager
def running_server(
    services: Services, directory: Path | None = None
) -> Iterator[BrowserLinkFactory]:
    """Serve the pages and the sockets while the context lasts.

    `directory` is that of the shared socket. Raises ``already-served``, ``port-in-use``,
    ``socket-unusable``, ``shared-directory-unsafe`` or ``shared-directory-in-use``.
    """
    with _alone(services):
        _note_address(services)
        inherited = inherited_socket(services.settings)
        with (
            served_pages(services) as create_browser_link,
            LocalApi(services, create_browser_link, directory, inherited),
        ):
            yield create_browser_link


@contextmanager
def running_sockets(services: Services, directory: Path | None = None) -> Iterator[None]:
    """Serve the sockets without the pages. Raises as `running_server` does."""
    inherited = inherited_socket(services.settings)
    with _alone(services), LocalApi(services, None, directory, inherited):
        yield


@contextmanager
def served_pages(services: Services) -> Iterator[BrowserLinkFactory]:
    """Serve the pages while the context lasts. Raises ``port-in-use``."""
    from wizard.web.server import serve as serve_pages

    remove_leftovers(services.paths)
    server = serve_pages(services, start_assist=assist_process_factory(services.settings))
    try:
        yield lambda path, is_printed: server.new_browser_link(path, is_printed=is_printed)
    finally:
        server.stop()


@contextmanager
def _alone(services: Services) -> Iterator[None]:
    """Be the only one that serves this data directory. Raises ``already-served``."""
    with ExitStack() as until_stopped:
        # Without a lock, the port still keeps a second server from starting.
        with _if_writable():
            until_stopped.enter_context(alone(services.paths))
        # If the lock's file was removed, the lock is free although a server still runs.
        socket = Path(services.paths.socket)
        if find_service(socket):
            link = request_browser_link(socket, "/", is_printed=True) or ""
            raise _already_served(services.paths, urljoin(link, "/").rstrip("/"))
        yield


@contextmanager
def _if_writable() -> Iterator[None]:
    """Ignore that a file can't be made, on a full disk or a read-only file system."""
    try:
        yield
    except WizardError as error:
        if error.failure.code not in codes_with("unwritable"):
            raise


def _note_address(wizard_services: Services) -> None:
    """Store the URL of the pages for the error message of a second server; optional."""
    with suppress(OSError):
        address = wizard_services.settings.base_url.encode()
        files.replace(wizard_services.paths.serving_address, address, is_durable=False)


def alone(paths: Paths) -> AbstractContextManager[None]:
    """Lock the data directory for serving: a second server would replace the first one's sockets.
    Raises ``already-served``."""
    return ExclusiveLock(paths.serving_lock, lambda: _already_served(paths))


def _already_served(paths: Paths, address: str = "") -> WizardError:
    with suppress(OSError):
        address = address or Path(paths.serving_address).read_text("utf-8")
    known = {"address": address} if address else {}  # it may have just started
    return fail("already-served", path=paths.data_dir, **known)


@contextmanager
def available_server(services: Services) -> Iterator[BrowserLinkFactory]:
    """Browser links of the wizard that already serves, else of a server for this context. A service
    without pages keeps its sockets."""
    running, create_browser_link = _find_running_server(services)
    if create_browser_link:
        yield create_browser_link
        return
    with (served_pages if running else running_server)(services) as create_browser_link:
        yield create_browser_link


def _find_running_server(services: Services) -> tuple[bool, BrowserLinkFactory | None]:
    """Whether another process serves this data directory, and its browser links if it serves the
    pages."""
    socket = Path(services.paths.socket)

    def create_browser_link(path: str, is_printed: bool) -> str:
        # Without a link, the page says how to open a new one.
        return (
            request_browser_link(socket, path, is_printed=is_printed)
            or services.settings.base_url + path
        )

    found = find_service(socket)
    return found is not None, create_browser_link if found and found.has_pages else None


def wait_until(
    stop_event: StopEvent,
    on_enter: Callable[[], None] = lambda: None,
    is_done: Callable[[], bool] = lambda: False,
) -> bool:
    """Wait for `is_done` (returns True) or `stop_event` (returns False).

    Each Enter in the terminal calls `on_enter`.
    """
    while not stop_event.is_set():
        if is_done():
            return True
        if _is_enter_pressed(stop_event):
            on_enter()
    return False


@contextmanager
def stop_signals() -> Iterator[StopEvent]:
    """An event that Ctrl-C, SIGTERM and SIGHUP set, instead of interrupting the current operation.

    Enter it before serving starts, so that a signal at any time leads to an orderly shutdown.
    """
    stop_handler = StopHandler()
    woken = signal.set_wakeup_fd(stop_handler.event.wakeup_fd, warn_on_full_buffer=False)
    previous = {number: signal.signal(number, stop_handler) for number in stop_signal_numbers()}
    try:
        yield stop_handler.event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        stop_handler.event.close()


def _is_enter_pressed(stop_event: StopEvent) -> bool:
    """Wait one interval; True if Enter was pressed meanwhile."""
    # Windows can select on sockets only; `zoho-wizard` opens a new link there.
    if sys.platform == "win32" or not sys.stdin.isatty():
        stop_event.wait(POLL_INTERVAL_SECONDS)
        return False
    readable, _, _ = select.select([sys.stdin], [], [], POLL_INTERVAL_SECONDS)
    if readable and not sys.stdin.readline():
        stop_event.set()
        return False
    return bool(readable)


def require_page_visitor(terminal: Terminal, alternatives: str) -> None:
    """Raise ``input-needed`` with ``--no-input``: the steps on a page need a person. Without a
    terminal, a command waits for the page, whose link is printed."""
    if terminal.no_input:
        raise fail("input-needed", options=alternatives)


def print_waiting(
    terminal: Terminal, what: Literal["consent", "verification", "verifications"]
) -> None:
    """Say what the command waits for on a page, and which keys work here."""
    terminal.renderer.print_note(message("notes", f"waiting-for-{what}"))
    keys = "waiting-keys" if terminal.is_interactive else "waiting-key"
    terminal.renderer.print_note(message("notes", keys))


def print_browser_link(
    terminal: Terminal, create_browser_link: BrowserLinkFactory, page: str = "/"
) -> None:
    """Print a new one-time browser link on stderr."""
    terminal.renderer.print_note(message("notes", "open-link"))
    terminal.renderer.print_command(create_browser_link(page, True))


@click.command()
@click.option(
    "--share",
    type=click.Path(path_type=Path),
    help="Create the socket for other users in this directory. Default: none.",
)
@click.option("--socket-only", is_flag=True, help="Serve only the sockets, without the web app.")
@click.option(
    "--print",
    "unit",
    type=click.Choice(["systemd"]),
    help="Print a service unit for these options instead, after a test with an empty environment.",
)
@pass_terminal
def serve(
    terminal: Terminal, share: Path | None, socket_only: bool, unit: Literal["systemd"] | None
) -> None:
    """Serve the web app until stopped.

    Programs of this user, and of users with `access`, get answers on Unix sockets. No browser
    opens. Press Enter for a new link. After Ctrl-C or SIGTERM, requests in progress finish within
    30 seconds. With --json, each event is one line.

    \b
    Examples:
      zoho-wizard serve
      zoho-wizard serve --share /run/zoho-wizard
      zoho-wizard serve --print systemd
    """
    if unit:
        options = ["--share", str(share.absolute())] if share else []
        options += ["--socket-only"] if socket_only else []
        text = print_user_units(run_unattended(terminal), lambda of: serve_units(of, options))
        terminal.emit_event(ServiceUnit(unit, text), lambda: terminal.renderer.print_raw(text))
    elif socket_only:
        _serve_sockets(terminal, share)
    else:
        _serve_app(terminal, share)


def _serve_sockets(terminal: Terminal, share: Path | None) -> None:
    with stop_signals() as stop_event, running_sockets(terminal.services, share):
        socket = terminal.services.paths.socket
        shared = str(share / SOCKET_NAME) if share else ""

        def print_start() -> None:
            note = message("notes", "serving-socket", path=socket, shared=shared)
            terminal.renderer.print_note(note)
            if not terminal.settings.management.notify_socket:
                terminal.renderer.print_note(message("notes", "press-ctrl-c"))

        terminal.emit_event(ServeEvent("serving", None, None), print_start)
        _serve_until(terminal, stop_event, None)


def _serve_app(terminal: Terminal, share: Path | None) -> None:
    with (
        stop_signals() as stop_event,
        running_server(terminal.services, share) as create_browser_link,
    ):
        base_url = terminal.services.settings.base_url

        def report(event: Literal["serving", "link"], render: Callable[[], object]) -> None:
            link = create_browser_link("/", True) if terminal.is_json else None
            terminal.emit_event(ServeEvent(event, base_url, link), render)

        def print_start() -> None:
            terminal.renderer.print_note(message("notes", "wizard-running", address=base_url))
            # A service writes to the journal, which other users may read.
            if terminal.settings.management.notify_socket:
                return
            print_browser_link(terminal, create_browser_link)
            terminal.renderer.print_note(message("notes", "serving-keys"))

        report("serving", print_start)
        new_link = partial(print_browser_link, terminal, create_browser_link)
        _serve_until(terminal, stop_event, base_url, lambda: report("link", new_link))


def _serve_until(
    terminal: Terminal,
    stop_event: StopEvent,
    base_url: str | None,
    on_enter: Callable[[], None] = lambda: None,
) -> None:
    """Wait for `stop_event`, and keep the service manager informed."""
    manager = ServiceManager(terminal.settings)
    manager.notify_ready(
        message("notes", "service-serving", address=base_url or terminal.services.paths.socket)
    )
    store = terminal.services.store
    require_active = store_check(store)

    def report_alive() -> bool:
        # If the store can't be read, this ends the process, or blocks until the watchdog does.
        manager.report_alive(store.database.version)
        return require_active()

    wait_until(stop_event, on_enter, report_alive)
    manager.notify_stopping()
    terminal.emit_event(
        ServeEvent("stopping", base_url, None),
        lambda: terminal.renderer.print_note(message("notes", "stopping")),
    )


def store_check(store: Store) -> Callable[[], bool]:
    """A condition for `wait_until` that is never true, and raises ``store-moved`` or
    ``store-newer-version`` soon after everything was moved to a different store or an update has
    changed the tables, which a new process uses."""
    next_at = 0.0

    def require_active() -> bool:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + STORE_CHECK_INTERVAL_SECONDS
            try:
                store.require_active()
            except WizardError as error:
                if error.failure.code in codes_with("outdated_process"):
                    raise
        return False

    return require_active


def open_app(
    terminal: Terminal,
    page: str = "/",
    result: Callable[[str | None], object] | None = None,
) -> None:
    """Open a page of the wizard that is serving, or serve until stopped.

    With ``--json``, prints what `result` makes of the browser link (None if a browser was opened),
    by default a `ServeEvent`.
    """
    base_url = terminal.services.settings.base_url

    def show(create_browser_link: BrowserLinkFactory) -> None:
        link = open_page(page, create_browser_link, terminal.settings, terminal.renderer)
        event = result(link) if result else ServeEvent("serving", base_url, link)
        terminal.emit_event(event, lambda: None)

    running, links = _find_running_server(terminal.services)
    if links:
        show(links)
        return
    serve_app = served_pages if running else running_server
    with stop_signals() as stop_event, serve_app(terminal.services) as create_browser_link:
        show(create_browser_link)
        terminal.renderer.print_note(message("notes", "serving-keys"))
        new_link = partial(print_browser_link, terminal, create_browser_link, page)
        wait_until(stop_event, new_link, store_check(terminal.services.store))


@click.command("open")
@click.argument("name", type=CONNECTION_NAME)
@pass_terminal
def open_connection(terminal: Terminal, name: str) -> None:
    """Open a connection’s page in a browser.

    It uses the wizard that is running, or serves until you stop it. Without a browser, over SSH
    for example, it prints a one-time browser link.

    \b
    Examples:
      zoho-wizard open crm
      zoho-wizard open crm --json
    """
    terminal.services.store.connections.get(name)
    page = f"/connections/{name}"
    url = terminal.services.settings.base_url + page
    open_app(terminal, page, lambda link: OpenedPage(name, url, link))


class AssistProcess:
    """One run of ``connect --assist`` for `connection`, or of ``reauthorize --assist`` without one;
    its stderr is read after it has ended."""

    def __init__(self, settings: Settings, connection: AssistedConnection | None = None) -> None:
        arguments = CONNECT_ARGUMENTS if connection else REAUTHORIZE_ARGUMENTS
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - until the process ends
        with tempfile.TemporaryFile() as stdin:
            if connection:
                stdin.write(json.dumps(asdict(connection)).encode())
                stdin.seek(0)
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [*WIZARD_COMMAND, *arguments],
                env={**settings.child_environment, **settings.service_environment},
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
            )

    @property
    def is_running(self) -> bool:
        """Whether it hasn't ended yet."""
        return self._process.poll() is None

    @property
    def explanation(self) -> Explanation | None:
        """Why it failed; None: it runs, or it succeeded."""
        if self.is_running or self._process.returncode == 0:
            return None
        self._stderr.seek(0)
        return explanation_in(self._stderr.read().decode("utf-8", "replace"))

    def stop(self) -> None:
        """End it in order, which closes its window, and wait for that."""
        if self.is_running:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_SECONDS)


def explanation_in(output: str) -> Explanation | None:
    """The last error in the stderr of a run with ``--json``."""
    for line in reversed(output.splitlines()):
        if line.startswith('{"error":'):
            error = json.loads(line)["error"]
            return Explanation(error["code"], error["title"], error["cause"], error["fix"])
    return None


def assist_process_factory(
    settings: Settings,
) -> Callable[[AssistedConnection | None], AssistProcess] | None:
    """Starts the assisted browser; None if there is no display for it."""
    try:
        check_display(settings)
    except WizardError:
        return None
    return partial(AssistProcess, settings)


def open_page(
    page: str, create_browser_link: BrowserLinkFactory, settings: Settings, renderer: Renderer
) -> str | None:
    """Open `page` in the user's browser; without one, print a link and return it."""
    command = None if settings.is_over_ssh else _browser_command(settings)
    if command is not None:
        cache_dir = Path(settings.paths.cache_dir)
        with suppress(OSError):  # in a read-only file system, the link is printed
            _start_browser(
                command, _write_redirect_file(create_browser_link(page, False), cache_dir)
            )
            renderer.print_note(message("notes", "browser-opens"))
            return None
    link = create_browser_link(page, True)
    if settings.is_over_ssh:
        _print_ssh_tunnel(link, renderer)
    else:
        renderer.print_note(message("notes", "open-link"))
        renderer.print_command(link)
    return link


def _print_ssh_tunnel(link: str, renderer: Renderer) -> None:
    port = urlsplit(link).port
    renderer.print_note(
        message("notes", "ssh-forward"),
        command=f"ssh -N -L {port}:localhost:{port} user@host",
    )
    renderer.print_note(message("notes", "ssh-open-link"), command=link)
    renderer.print_note(message("notes", "ssh-paste"))


def _browser_command(settings: Settings) -> list[str] | None:
    """The command that opens a file in the user's browser; None if there is no display."""
    if settings.browser_path:
        return [settings.browser_path]
    if sys.platform == "darwin":
        return ["open"]
    if sys.platform == "win32":
        return ["explorer"]
    opener = shutil.which("xdg-open") if settings.has_display else None
    return [opener] if opener else None


def _write_redirect_file(link: str, directory: Path) -> Path:
    """Write a file in `directory`, readable only by its owner, that redirects to `link`."""
    files.make_directory(str(directory))
    _remove_stale_files(directory)
    file = directory / f"open-{secrets.token_hex(8)}.html"
    files.create(str(file), REDIRECT_PAGE.format(link=html.escape(link)).encode(), is_durable=False)
    timer = threading.Timer(READ_TIMEOUT_SECONDS, _remove_file, [file])
    timer.daemon = True
    timer.start()
    return file


def _remove_stale_files(directory: Path) -> None:
    """Remove files of runs that ended before they could remove them."""
    for file in directory.glob("open-*.html"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > READ_TIMEOUT_SECONDS:
                file.unlink()


def _remove_file(file: Path) -> None:
    with suppress(OSError):
        file.unlink()


def _start_browser(command: list[str], file: Path) -> None:
    """Start the browser, detached: it outlives the wizard and prints nothing here."""
    with suppress(OSError):
        subprocess.Popen(  # noqa: S603 - the user's choice of browser
            [*command, str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
