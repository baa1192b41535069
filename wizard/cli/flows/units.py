"""systemd units and crontab lines that run the wizard, with the environment that they need.

The units are templates in ``units.toml``.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Literal

from wizard.fastpath.process import WIZARD_COMMAND
from wizard.paths import CREDENTIALS_VARIABLE, KEY_CREDENTIAL
from wizard.tables import read_table

Scope = Literal["system", "user"]
"""Whose manager runs a unit: the system's, or the user's own."""

SERVICE, SOCKET = "zoho-wizard.service", "zoho-wizard.socket"
MONITOR, TIMER = "zoho-wizard-monitor.service", "zoho-wizard-monitor.timer"

STARTED_UNITS = (SOCKET, SERVICE, TIMER)
"""The units that are enabled, in the order in which they start; a timer starts its service."""

SYSTEM_HOME = "/var/lib/zoho-wizard"
"""``ZOHO_WIZARD_HOME`` of the system units, which systemd creates for their user."""
SYSTEM_VARIABLES = ("ZOHO_WIZARD_PORT", "ZOHO_WIZARD_SIMULATOR_URL", "HTTPS_PROXY", "SSL_CERT_FILE")
"""The settings of the installing user that the system units keep."""
USER_CREDENTIALS_VERSION = 258
"""The first version of systemd that decrypts credentials for user units. Older ones don't start a
unit that names one, even if it doesn't exist."""

_PLAIN_WORD = re.compile(r"[A-Za-z0-9@+=:,./_-]+")


@dataclass(frozen=True)
class UnitFile:
    """A unit, by its file name."""

    name: str
    text: str


@dataclass(frozen=True)
class UnitOptions:
    """What the units of one installation have in common."""

    scope: Scope
    variables: Mapping[str, str]
    """The environment that the wizard needs."""
    has_credentials: bool = True
    """Whether the manager decrypts credentials. One that doesn't exist is left out."""
    user: str = ""
    """Whom system units run as."""
    writable: Sequence[str] = ()
    """Directories that system units may write, in addition to their own."""


def serve_units(options: UnitOptions, words: Sequence[str]) -> tuple[UnitFile, ...]:
    """The units that serve; `words` are the options of ``serve``."""
    command = _command_line((*WIZARD_COMMAND, "serve", *words))
    names = (SERVICE, SOCKET) if options.scope == "system" else (SERVICE,)
    return tuple(_unit(name, options, command=command) for name in names)


def monitor_units(
    options: UnitOptions, interval: timedelta, words: Sequence[str], metrics_file: str = ""
) -> tuple[UnitFile, ...]:
    """The units that check the connections; `words` are the options of ``monitor``. After each
    check, successful or not, the metrics are written to `metrics_file`."""
    seconds = int(interval.total_seconds())
    write_metrics = (*WIZARD_COMMAND, "status", "--metrics", "--output", metrics_file)
    values = {
        "command": _command_line(_monitor_command(words)),
        "after": f"ExecStopPost={_command_line(write_metrics)}\n" if metrics_file else "",
        "interval": str(seconds),
        "delay": str(seconds // 10),
    }
    return tuple(_unit(name, options, **values) for name in (MONITOR, TIMER))


def sysusers_file(user: str) -> str:
    """A file for systemd-sysusers(8), which creates the user."""
    return _template("sysusers").format(user=user)


def printed_units(units: Sequence[UnitFile], directory: str, commands: Sequence[str]) -> str:
    """Units as ``--print`` shows them, each below its path, with the commands that start them."""
    shown = [f"# {directory}/{each.name}\n{each.text}\n" for each in units]
    return "".join(shown) + "".join(f"# {each}\n" for each in commands)


def crontab_line(variables: Mapping[str, str], interval: timedelta, options: Sequence[str]) -> str:
    """A crontab line that checks the connections. cron counts minutes within an hour and hours
    within a day, so `interval` is rounded to these."""
    minutes = int(interval.total_seconds() // 60)
    hours = minutes // 60
    if hours >= 24:
        schedule = "17 4 * * *"
    elif hours:
        schedule = f"17 */{hours} * * *" if hours > 1 else "17 * * * *"
    else:
        schedule = f"*/{minutes} * * * *"
    words = [
        "env",
        *(f"{name}={value}" for name, value in variables.items()),
        *_monitor_command(options),
    ]
    # cron reads a bare percent sign as the end of the line.
    return f"{schedule} {shlex.join(words)}\n".replace("%", r"\%")


def _unit(name: str, options: UnitOptions, **values: str) -> UnitFile:
    credential = f"LoadCredentialEncrypted={KEY_CREDENTIAL}\n" if options.has_credentials else ""
    writable = "".join(f"ReadWritePaths={_word(each)}\n" for each in options.writable)
    template = _template(options.scope, name)
    text = template.format(
        user=options.user,
        environment=_environment(options.variables),
        credential=credential,
        hardening=_template("hardening", options.scope).format(writable=writable),
        **values,
    )
    return UnitFile(name, text)


@cache
def _templates() -> Mapping[str, Any]:
    return read_table("cli/flows/units.toml")


def _template(*keys: str) -> str:
    found: Any = _templates()
    for key in keys:
        found = found[key]
    return str(found).removeprefix("\n")


def _monitor_command(options: Sequence[str]) -> list[str]:
    """The command that checks once, whatever the directory and the search path are."""
    return [*WIZARD_COMMAND, "monitor", "--once", *options]


def _environment(variables: Mapping[str, str]) -> str:
    # Each run of a unit has a directory of its own for credentials.
    kept = {n: value for n, value in variables.items() if n != CREDENTIALS_VARIABLE}
    return "".join(f'Environment="{_escape(f"{n}={value}")}"\n' for n, value in kept.items())


def _command_line(words: Sequence[str]) -> str:
    # In a command line, systemd also replaces variables.
    return " ".join(_word(each).replace("$", "$$") for each in words)


def _word(text: str) -> str:
    return text if _PLAIN_WORD.fullmatch(text) else f'"{_escape(text)}"'


def _escape(text: str) -> str:
    """`text` within the quotes of a unit file, where backslashes are read as in C, and a percent
    sign starts a specifier (systemd.syntax(7), systemd.unit(5))."""
    # systemd also ends a line at a carriage return.
    pairs = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("%", "%%"))
    for special, escaped in pairs:
        text = text.replace(special, escaped)
    return text
