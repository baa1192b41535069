"""Timers for ``watch``, ready to be installed: absolute paths, and all that it needs to know."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta


def systemd(given: Mapping[str, str], every: timedelta, options: Sequence[str]) -> str:
    """A user's service and timer for systemd, with the environment `given`."""
    seconds = int(every.total_seconds())
    environment = "".join(
        f'Environment="{_specified(f"{name}={value}")}"\n' for name, value in given.items()
    )
    return f"""\
# ~/.config/systemd/user/zoho-wizard-watch.service
[Unit]
Description=Check the Zoho connections
[Service]
Type=oneshot
{environment}ExecStart={_specified(shlex.join(command(options))).replace("$", "$$")}
# 3: a connection is dead, and the notification was sent: the unit did its work. 6 is missing here
# because the unit must fail when a notification could not be sent.
SuccessExitStatus=3

# ~/.config/systemd/user/zoho-wizard-watch.timer
[Unit]
Description=Check the Zoho connections
[Timer]
OnBootSec=5min
OnUnitActiveSec={seconds}s
RandomizedDelaySec={seconds // 10}s
[Install]
WantedBy=timers.target

# Then: systemctl --user daemon-reload; systemctl --user enable --now zoho-wizard-watch.timer
# Without you being signed in it runs after: loginctl enable-linger
"""


def cron(given: Mapping[str, str], every: timedelta, options: Sequence[str]) -> str:
    """A line for crontab, with the environment `given`; cron knows minutes within an hour and
    hours within a day, so that `every` is rounded to what it can say."""
    minutes = int(every.total_seconds() // 60)
    hours = minutes // 60
    if hours >= 24:
        when = "17 4 * * *"
    elif hours:
        when = f"17 */{hours} * * *" if hours > 1 else "17 * * * *"
    else:
        when = f"*/{minutes} * * * *"
    words = ["env", *(f"{name}={value}" for name, value in given.items()), *command(options)]
    # cron reads a bare percent sign as the end of the line.
    return f"{when} {shlex.join(words)}\n".replace("%", r"\%")


def command(options: Sequence[str]) -> list[str]:
    """The words that look once, whatever the directory and the search path."""
    return [sys.executable, "-P", "-m", "wizard", "watch", "--once", *options]


def _specified(text: str) -> str:
    """`text` in a unit file, where a percent sign begins a specifier."""
    return text.replace("%", "%%")
