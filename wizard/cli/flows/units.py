"""systemd units and crontab lines that run the wizard, with the environment that they need."""

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta

from wizard.fastpath.process import WIZARD_COMMAND

_PLAIN_WORD = re.compile(r"[A-Za-z0-9@+=:,./_-]+")


def systemd_service(variables: Mapping[str, str], options: Sequence[str]) -> str:
    """A systemd user service that serves the pages and the sockets."""
    return f"""\
# ~/.config/systemd/user/zoho-wizard.service
[Unit]
Description=Zoho OAuth wizard
[Service]
{_environment(variables)}ExecStart={_command_line((*WIZARD_COMMAND, "serve", *options))}
Restart=on-failure
[Install]
WantedBy=default.target

# Then: systemctl --user daemon-reload; systemctl --user enable --now zoho-wizard.service
# To run it while you are signed out: loginctl enable-linger
"""


def systemd_timer(variables: Mapping[str, str], interval: timedelta, options: Sequence[str]) -> str:
    """A systemd user service and timer that check the connections."""
    seconds = int(interval.total_seconds())
    return f"""\
# ~/.config/systemd/user/zoho-wizard-monitor.service
[Unit]
Description=Check the Zoho connections
[Service]
Type=oneshot
{_environment(variables)}ExecStart={_command_line(_monitor_command(options))}
# 3: a connection needs re-authorization, and the notification was sent: the unit did its work. 6 is
# missing here because the unit must fail when a notification couldn't be sent.
SuccessExitStatus=3

# ~/.config/systemd/user/zoho-wizard-monitor.timer
[Unit]
Description=Check the Zoho connections
[Timer]
OnBootSec=5min
OnUnitActiveSec={seconds}s
RandomizedDelaySec={seconds // 10}s
[Install]
WantedBy=timers.target

# Then: systemctl --user daemon-reload; systemctl --user enable --now zoho-wizard-monitor.timer
# To run it while you are signed out: loginctl enable-linger
"""


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


def _monitor_command(options: Sequence[str]) -> list[str]:
    """The command that checks once, whatever the directory and the search path are."""
    return [*WIZARD_COMMAND, "monitor", "--once", *options]


def _environment(variables: Mapping[str, str]) -> str:
    return "".join(f'Environment="{_escape(f"{n}={value}")}"\n' for n, value in variables.items())


def _command_line(words: Sequence[str]) -> str:
    # In a command line, systemd also replaces variables.
    return " ".join(
        each if _PLAIN_WORD.fullmatch(each) else f'"{_escape(each)}"'.replace("$", "$$")
        for each in words
    )


def _escape(text: str) -> str:
    """`text` within the quotes of a unit file, where backslashes are read as in C, and a percent
    sign starts a specifier (systemd.syntax(7), systemd.unit(5))."""
    for special, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("%", "%%")):
        text = text.replace(special, escaped)
    return text
