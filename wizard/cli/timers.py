"""Timers for ``watch``, ready to be installed: absolute paths, and all that it needs to know."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta


def systemd_timer(variables: Mapping[str, str], interval: timedelta, options: Sequence[str]) -> str:
    """A user's service and timer for systemd, with the environment `given`."""
    seconds = int(interval.total_seconds())
    environment = "".join(
        f'Environment="{_escape_specifiers(f"{name}={value}")}"\n'
        for name, value in variables.items()
    )
    return f"""\
# ~/.config/systemd/user/zoho-wizard-monitor.service
[Unit]
Description=Check the Zoho connections
[Service]
Type=oneshot
{environment}ExecStart={_escape_specifiers(shlex.join(monitor_command(options))).replace("$", "$$")}
# 3: a connection is dead, and the notification was sent: the unit did its work. 6 is missing here
# because the unit must fail when a notification could not be sent.
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
# Without you being signed in it runs after: loginctl enable-linger
"""


def crontab_line(variables: Mapping[str, str], interval: timedelta, options: Sequence[str]) -> str:
    """A line for crontab, with the environment `given`; cron knows minutes within an hour and
    hours within a day, so that `every` is rounded to what it can say."""
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
        *monitor_command(options),
    ]
    # cron reads a bare percent sign as the end of the line.
    return f"{schedule} {shlex.join(words)}\n".replace("%", r"\%")


def monitor_command(options: Sequence[str]) -> list[str]:
    """The words that look once, whatever the directory and the search path."""
    return [sys.executable, "-P", "-m", "wizard", "monitor", "--once", *options]


def _escape_specifiers(text: str) -> str:
    """`text` in a unit file, where a percent sign begins a specifier."""
    return text.replace("%", "%%")
