"""``watch``: all connections checked on a schedule, and somebody told when one fails."""

import random
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
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
from wizard.model import Failure
from wizard.transport import webhook
from wizard.watch import REMIND, Look, settled, shown

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
    metavar="COMMAND|URL",
    help="Gets each message as JSON: a command on stdin, without a shell; a URL as a POST. It is "
    "remembered, and also used when `token` meets a dead grant; '' forgets it.",
)
@click.option(
    "--remind",
    type=Span(),
    default=f"{REMIND // timedelta(hours=1)}h",
    metavar="SPAN",
    help="Tell again of what stays broken, about this often; 0: never. Default: 24h.",
)
@click.option(
    "--test-notify", "tested", is_flag=True, help="Only send a test notification, and say how."
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
    remind: timedelta,
    tested: bool,
    heartbeat: str,
    timer: str | None,
) -> None:
    """Check all connections again and again, and tell when one fails.

    Each connection that fails is told once, in one message for each cause, and the all-clear once.
    A message is JSON with "event" (trouble, all-well, test); a trouble has "connections", those of
    them that are "new" and "known", and "reminder". One that did not arrive is sent again after
    the next check. Superseded tokens of repairs are ended when their grace is over. With --once
    the exit code is that of the gravest finding; 6 if a notification could not be sent.

    \b
      zoho-wizard watch --notify 'mail -s Zoho ops@example.com'
      zoho-wizard watch --notify "sh -c 'cat >> /var/log/zoho-alarms'"
      zoho-wizard watch --notify https://hooks.example.com/zoho
      zoho-wizard watch --test-notify
    """
    if every < SHORTEST:
        raise fail("watch-too-often", least=str(int(SHORTEST.total_seconds() // 60)))
    environment = terminal.settings.child_environment
    notify = notify and settled(notify, environment)
    if heartbeat and not webhook.is_url(heartbeat):
        heartbeat = settled(heartbeat, environment)
    if timer:
        given = try_unattended(terminal)
        options = _options(_unseen(terminal, notify), heartbeat, remind)
        printed = systemd if timer == "systemd" else cron
        click.echo(printed(given, every, options), nl=False)
        return
    if notify is not None:
        _remember(terminal, notify, tested=tested)
    if tested:
        _test(terminal)
        return
    with stopping() as stopped:
        code = _round(terminal, heartbeat, every, remind, stopped)
        while not once and not stopped.wait(_pause(every)):
            _round(terminal, heartbeat, every, remind, stopped)
    raise Exit(code if once else 0)


def _options(notify: str | None, heartbeat: str, remind: timedelta) -> list[str]:
    given = [("--notify", notify)] if notify is not None else []
    given += [("--remind", f"{int(remind.total_seconds())}s")] if remind != REMIND else []
    given += [("--heartbeat", heartbeat)] if heartbeat else []
    return [word for option in given for word in option]


def _unseen(terminal: Terminal, notify: str | None) -> str | None:
    """What a timer may show of --notify: an address, which may be a secret, is remembered now and
    left out."""
    if not notify or not webhook.is_url(notify):
        return notify
    terminal.house.store.set_notify_command(notify)
    terminal.painter.note("The address for notifications is stored encrypted, not in the timer.")
    return None


def _remember(terminal: Terminal, notify: str, *, tested: bool) -> None:
    """Keep what tells; the first time, say how to try it."""
    store = terminal.house.store
    changed = notify != store.notify_command()
    store.set_notify_command(notify)
    if notify and changed and not tested:
        terminal.painter.note("To try it:", command="zoho-wizard watch --test-notify")


def _test(terminal: Terminal) -> None:
    failure = terminal.house.alarm.test()
    if failure is not None:
        raise WizardError(failure)
    by = shown(terminal.house.store.notify_command())
    terminal.painter.good(f"The test notification was sent by {by}.")


def _pause(every: timedelta) -> float:
    return every.total_seconds() * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


def _round(
    terminal: Terminal,
    heartbeat: str,
    every: timedelta,
    remind: timedelta,
    stopped: threading.Event,
) -> int:
    """Look once, tell what is new, and remember that; returns the exit code. What is certain is
    told before Zoho's limits are waited for."""
    alarm = terminal.house.alarm
    deadline = terminal.clock() + every * MOST_WAITING

    def wait(until: datetime) -> bool:
        while terminal.clock() < until <= deadline:
            if stopped.wait(STEP):
                return False
        return until <= deadline

    terminal.house.repairs.retire()

    def tell_certain(found: Look) -> None:
        _tell(terminal, lambda: alarm.tell_certain(found))

    look = alarm.look(wait=wait, before_wait=tell_certain)
    _say(terminal, look)
    codes = _tell(terminal, lambda: alarm.tell(look, remind))
    if heartbeat and look.well and look.verdicts:
        _beat(terminal, heartbeat)
    return gravest([*codes, *(each.finding.exit_code for each in look.troubles)])


def _tell(terminal: Terminal, act: Callable[[], Sequence[Failure]]) -> list[int]:
    """Notify, and say what failed of it, which must not end the watch; returns its exit codes."""
    try:
        failures = act()
    except WizardError as error:
        failures = [error.failure]
    findings = [terminal.explain(failure) for failure in failures]
    for finding in findings:
        terminal.painter.finding(finding)
    return [finding.exit_code for finding in findings]


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
    if webhook.is_url(heartbeat):
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
