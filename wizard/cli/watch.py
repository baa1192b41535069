"""``watch``: all connections checked on a schedule, and somebody told, once for each cause."""

import random
import shlex
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import click

from wizard.cli.connections import say_empty
from wizard.cli.painter import moment
from wizard.cli.proving import gravest
from wizard.cli.schedule import cron, systemd
from wizard.cli.serving import stopping
from wizard.cli.status import try_unattended
from wizard.cli.terminal import Exit, Terminal, json_option, pass_terminal
from wizard.cli.tokens import STEP, Span
from wizard.cli.troubles import tell_all
from wizard.delivery import command as commands
from wizard.errors import WizardError, fail
from wizard.watch import Look

SHORTEST = timedelta(minutes=10)
"""A look may cost a connection one of the ten token requests that Zoho gives it in this time."""

JITTER = 0.1
"""By how much of the span a look may come sooner or later: many homes do not ask at once."""

MOST_WAITING = 0.5
"""How much of the span a look may wait for what Zoho's limits keep from being asked."""

PATIENCE = 30.0  # seconds for a heartbeat


@click.command()
@click.option("--every", type=Span(), default="1h", metavar="SPAN", help="How often (30m, 6h).")
@click.option("--once", is_flag=True, help="Look once and end; for timers.")
@click.option(
    "--notify",
    metavar="COMMAND",
    help="Run with the finding as JSON on stdin: once for each cause, and once when all is well. "
    "It is remembered, and also run when `token` meets a dead grant; '' forgets it.",
)
@click.option(
    "--heartbeat",
    default="",
    metavar="URL|COMMAND",
    help="Fetched or run after each look that found all well.",
)
@click.option(
    "--print",
    "timer",
    type=click.Choice(["systemd", "cron"]),
    help="Print a timer for this instead, having tried it with an empty environment.",
)
@json_option
@pass_terminal
def watch(
    terminal: Terminal,
    every: timedelta,
    once: bool,
    notify: str | None,
    heartbeat: str,
    timer: str | None,
) -> None:
    """Check all connections again and again, and tell when one fails.

    A cause is told once, however many connections it stopped, and the all-clear once. Superseded
    tokens of repairs are ended when their grace is over. With --once the exit code is that of
    the gravest finding.
    """
    if every < SHORTEST:
        raise fail("watch-too-often", least=str(int(SHORTEST.total_seconds() // 60)))
    environment = terminal.settings.child_environment
    notify = notify and _absolute(commands.settle(notify, environment), environment)
    if heartbeat and not _is_url(heartbeat):
        heartbeat = _absolute(commands.settle(heartbeat, environment), environment)
    if timer:
        given = try_unattended(terminal)
        printed = systemd if timer == "systemd" else cron
        click.echo(printed(given, every, _options(notify, heartbeat)), nl=False)
        return
    if notify is not None:
        terminal.house.store.set_notify_command(notify)
    with stopping() as stopped:
        look = _round(terminal, heartbeat, every, stopped)
        while not once and not stopped.wait(_pause(every)):
            look = _round(terminal, heartbeat, every, stopped)
    raise Exit(gravest([each.finding.exit_code for each in look.troubles]) if once else 0)


def _options(notify: str | None, heartbeat: str) -> list[str]:
    given = [("--notify", notify)] if notify is not None else []
    given += [("--heartbeat", heartbeat)] if heartbeat else []
    return [word for option in given for word in option if word is not None]


def _absolute(line: str, environment: Mapping[str, str]) -> str:
    """A settled command line whose program is found without a search path."""
    program, *words = shlex.split(line)
    return shlex.join([shutil.which(program, path=environment.get("PATH")) or program, *words])


def _pause(every: timedelta) -> float:
    return every.total_seconds() * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


def _round(terminal: Terminal, heartbeat: str, every: timedelta, stopped: threading.Event) -> Look:
    """Look once, tell what is new, and remember that."""
    deadline = terminal.clock() + every * MOST_WAITING

    def wait(until: datetime) -> bool:
        while terminal.clock() < until <= deadline:
            if stopped.wait(STEP):
                return False
        return until <= deadline

    terminal.house.repairs.retire()
    look = terminal.house.alarm.look(wait=wait)
    _say(terminal, look)
    for failure in terminal.house.alarm.tell(look):
        terminal.painter.finding(terminal.explain(failure))
    if heartbeat and look.well and look.verdicts:
        _beat(terminal, heartbeat)
    return look


def _say(terminal: Terminal, look: Look) -> None:
    painter = terminal.painter
    if painter.as_json:
        painter.document(look.to_json())
        return
    tell_all(painter, look.troubles)
    if not look.verdicts:
        say_empty(terminal)
    elif look.well:
        painter.good(f"{moment(look.at)}: all {len(look.verdicts)} connections work.")


def _beat(terminal: Terminal, heartbeat: str) -> None:
    if _is_url(heartbeat):
        _done(terminal, lambda: _fetch(heartbeat))
    else:
        _done(terminal, lambda: commands.run(heartbeat, terminal.settings.child_environment))


def _fetch(url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE):  # noqa: S310 - http or https, checked
            return
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise fail("heartbeat-failed", reason=str(error)) from None


def _done(terminal: Terminal, act: Callable[[], None]) -> None:
    """Do what must not end the watch; what fails is said."""
    try:
        act()
    except WizardError as error:
        terminal.painter.finding(terminal.explain(error.failure))


def _is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))
