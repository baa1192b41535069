"""Showing a page of the wizard to the person: a browser here, or words for one elsewhere.

A launch link opens a session, and every user of a machine can read every command line (``ps``).
So the browser is started with the name of a small HTML file that only its owner can read and that
leads on to the link; the file goes when the browser has had time to read it.
"""

import html
import os
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

from wizard.cli.painter import Painter
from wizard.settings import Settings

READING_TIME = 60.0
"""Seconds a browser may take to read the file; the launch link in it lives no longer."""

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Zoho OAuth wizard</title>
<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0; url={link}">
<p><a href="{link}">Continue to the wizard</a></p></html>
"""


LaunchLink = Callable[[str, bool], str]
"""Makes a one-time link to a page (a path); the flag says that it is printed, not opened."""


def show(page: str, launch_link: LaunchLink, settings: Settings, painter: Painter) -> None:
    """Open `page` in the person's browser where there is one, and print a link where not."""
    if settings.over_ssh:
        _explain_tunnel(launch_link(page, True), painter)
    elif (command := _browser(settings)) is None:
        painter.note("Open this link in your browser (it works once, for ten minutes):")
        painter.command(launch_link(page, True))
    else:
        _start(command, _leading_to(launch_link(page, False), Path(settings.home.cache_dir)))
        painter.note("The wizard opens in your browser.")


def _explain_tunnel(link: str, painter: Painter) -> None:
    port = urlsplit(link).port
    painter.note(
        "You are on this machine over SSH. Make its port yours: run this on your own machine,",
        command=f"ssh -N -L {port}:localhost:{port} user@host",
    )
    painter.note("then open this link there (it works once, for ten minutes):", command=link)
    painter.note(
        "If you cannot make a tunnel, use --no-browser: your browser will end on a page that "
        "cannot be reached; that is right: copy its whole address and paste it here."
    )


def _browser(settings: Settings) -> list[str] | None:
    """The command that opens a file in the person's browser; None where there is no display."""
    if settings.browser:
        return [settings.browser]
    if sys.platform == "darwin":
        return ["open"]
    if sys.platform == "win32":
        return ["explorer"]
    opener = shutil.which("xdg-open") if settings.display else None
    return [opener] if opener else None


def _leading_to(link: str, directory: Path) -> Path:
    """A file in `directory`, readable by its owner alone, that leads a browser on to `link`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(directory)
    file = directory / f"open-{secrets.token_hex(8)}.html"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as page:
        page.write(PAGE.format(link=html.escape(link)))
    forget = threading.Timer(READING_TIME, _remove, [file])
    forget.daemon = True
    forget.start()
    return file


def _sweep(directory: Path) -> None:
    """Remove what runs that ended before their browser's reading time was up have left."""
    for file in directory.glob("open-*.html"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > READING_TIME:
                file.unlink()


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink()


def _start(command: list[str], file: Path) -> None:
    """Start the browser and leave it alone: it outlives the wizard and says nothing here."""
    with suppress(OSError):
        subprocess.Popen(  # noqa: S603 - the person's own choice of browser
            [*command, str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
