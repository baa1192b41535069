"""The service manager: what `serve` tells systemd, the socket that it gave us, and its version.

The protocol is one datagram for each message (sd_notify(3)).
"""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache

from wizard.cli.flows.units import (
    USER_CREDENTIALS_VERSION,
    UnitFile,
    UnitOptions,
    printed_units,
)
from wizard.settings import Settings

FIRST_INHERITED_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START."""

REPORTS_PER_WATCHDOG_INTERVAL = 3
"""One report may be late without a restart."""

VERSION_TIMEOUT_SECONDS = 10

USER_UNITS_SHOWN = "~/.config/systemd/user"
"""How ``--print`` names the directory of user units."""


class ServiceManager:
    """Tells the service manager how the service is; without one, it does nothing."""

    def __init__(self, settings: Settings) -> None:
        self._management = settings.management
        self._next_report_at = 0.0

    def notify_ready(self, status: str) -> None:
        """The service answers requests; `status` is shown by ``systemctl status``."""
        self._send(f"READY=1\nSTATUS={status}")

    def notify_stopping(self) -> None:
        """The service finishes the requests in progress, and then ends."""
        self._send("STOPPING=1")

    def report_alive(self, test: Callable[[], object]) -> None:
        """Reset the watchdog if it is time and `test` returns."""
        interval = self._management.watchdog_seconds / REPORTS_PER_WATCHDOG_INTERVAL
        if interval and time.monotonic() >= self._next_report_at:
            test()
            self._send("WATCHDOG=1")
            self._next_report_at = time.monotonic() + interval

    def _send(self, state: str) -> None:
        address = self._management.notify_socket
        if not address:
            return
        # "@" is how the variable spells an abstract address.
        target = "\0" + address[1:] if address.startswith("@") else address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
            wire.sendto(state.encode(), target)


def inherited_socket(settings: Settings) -> socket.socket | None:
    """The listening Unix socket that the service manager opened; None if there is none."""
    if not settings.management.has_socket:
        return None
    inherited = socket.socket(fileno=FIRST_INHERITED_DESCRIPTOR)
    inherited.set_inheritable(False)
    is_unix = inherited.family == socket.AF_UNIX and inherited.type == socket.SOCK_STREAM
    return inherited if is_unix else None


@cache
def systemd_version() -> int:
    """The version of systemd on this machine; 0 if there is none."""
    program = shutil.which("systemctl")
    if program is None:
        return 0
    with suppress(OSError, subprocess.SubprocessError):
        shown = subprocess.run(  # noqa: S603 - found on the search path
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_SECONDS,
            check=False,
        ).stdout
        if found := re.match(r"systemd (\d+)", shown):
            return int(found[1])
    return 0


def user_unit_options(variables: dict[str, str]) -> UnitOptions:
    """How user units are on this machine. Older versions of systemd can't decrypt the credentials
    of a user, whose key is then in a keyring or a key file."""
    return UnitOptions("user", variables, systemd_version() >= USER_CREDENTIALS_VERSION)


def print_user_units(
    variables: dict[str, str], units_of: Callable[[UnitOptions], Sequence[UnitFile]]
) -> str:
    """User units for ``--print``, with the commands that start them."""
    units = units_of(user_unit_options(variables))
    started = next(each.name for each in reversed(units) if "[Install]" in each.text)
    commands = (
        f"Then: systemctl --user daemon-reload; systemctl --user enable --now {started}",
        "To run it while you are signed out: loginctl enable-linger",
    )
    return printed_units(units, USER_UNITS_SHOWN, commands)
