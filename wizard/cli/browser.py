"""Opening a page of the wizard in the user's browser, or printing a link to it.

A one-time browser link opens a session, and every user of a machine can read every command line
(``ps``). So the browser gets the name of a small HTML file that only its owner can read and that
redirects to the link. The file is removed after the browser has had time to read it.
"""

import html
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from wizard import files
from wizard.cli.renderer import Renderer
from wizard.settings import Settings

READ_TIMEOUT_SECONDS = 60.0
"""Time for the browser to read the file; its link expires no later."""

REDIRECT_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<title>Zoho OAuth wizard</title>
<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0; url={link}">
<p><a href="{link}">Continue to the wizard</a></p></html>
"""


BrowserLinkFactory = Callable[[str, bool], str]
"""Creates a one-time link to a page (a path); the flag says that it's printed, not opened."""


def open_page(
    page: str, create_browser_link: BrowserLinkFactory, settings: Settings, renderer: Renderer
) -> str | None:
    """Open `page` in the user's browser; without one, print a link and return it."""
    command = None if settings.is_over_ssh else _browser_command(settings)
    if command is not None:
        _start_browser(
            command,
            _write_redirect_file(create_browser_link(page, False), Path(settings.paths.cache_dir)),
        )
        renderer.print_note("The wizard opens in your browser.")
        return None
    link = create_browser_link(page, True)
    if settings.is_over_ssh:
        _print_ssh_tunnel(link, renderer)
    else:
        renderer.print_note("Open this link in your browser (it works once, for ten minutes):")
        renderer.print_command(link)
    return link


def _print_ssh_tunnel(link: str, renderer: Renderer) -> None:
    port = urlsplit(link).port
    renderer.print_note(
        "You're connected over SSH. Forward the port: run this on your own machine,",
        command=f"ssh -N -L {port}:localhost:{port} user@host",
    )
    renderer.print_note("then open this link there (it works once, for ten minutes):", command=link)
    renderer.print_note(
        "If you can't forward a port, use --no-browser: your browser will end on a page that can't "
        "be reached. That's right: copy its full URL and paste it here."
    )


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
