"""``monitor``: all connections checked on a schedule, with a notification when one fails."""

import random
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Literal

import click

from wizard.cli.commands.connections import print_no_connections
from wizard.cli.commands.status import run_unattended
from wizard.cli.commands.token import POLL_INTERVAL_SECONDS, DurationType
from wizard.cli.flows.service_manager import print_user_units
from wizard.cli.flows.serving import stop_signals
from wizard.cli.flows.units import crontab_line, monitor_units
from wizard.cli.flows.verification import incident_report, most_severe
from wizard.cli.renderer import print_incidents
from wizard.cli.results.checks import MonitorCheck, NotificationTest, Timer
from wizard.cli.terminal import Exit, StopEvent, Terminal, pass_terminal
from wizard.delivery import commands
from wizard.errors import WizardError, fail, message
from wizard.model import Failure
from wizard.model.failure import codes_with
from wizard.monitoring.notifications import DEFAULT_REMINDER_INTERVAL, resolve_target, target_name
from wizard.monitoring.service import CheckRun
from wizard.timefmt import format_age, format_duration_option
from wizard.transport import webhook

MIN_INTERVAL = timedelta(minutes=10)
"""A check may cost a connection one of the ten token requests that Zoho allows in this time."""

INTERVAL_JITTER = 0.1
"""Part of the interval by which a check may come sooner or later, so that many installations
don't ask at once."""

MAX_WAIT_SHARE = 0.5
"""Part of the interval that a check may wait for Zoho's rate limits."""

HEARTBEAT_TIMEOUT_SECONDS = 30.0  # seconds for a heartbeat


@click.command()
@click.option(
    "--every",
    type=DurationType(),
    default="1h",
    metavar="DURATION",
    help="Check this often, such as 30m or 6h. Default: 1h.",
)
@click.option("--once", is_flag=True, help="Check once and exit, for timers.")
@click.option(
    "--notify",
    metavar="COMMAND|URL",
    help="Send each notification to this command, on standard input, or to this URL. It is stored, "
    "and an empty text removes it.",
)
@click.option(
    "--remind",
    type=DurationType(),
    default=format_duration_option(DEFAULT_REMINDER_INTERVAL),
    metavar="DURATION",
    help="Send a reminder of what still fails after this time, or never with 0. Default: 24h.",
)
@click.option("--test-notify", "tested", is_flag=True, help="Send only a test notification.")
@click.option(
    "--heartbeat",
    default="",
    metavar="URL|COMMAND",
    help="Fetch this URL, or run this command, after each check without a failure. Default: none.",
)
@click.option(
    "--print",
    "timer",
    type=click.Choice(["systemd", "cron"]),
    help="Print a timer for these options instead, after a test with an empty environment.",
)
@pass_terminal
def monitor(
    terminal: Terminal,
    every: timedelta,
    once: bool,
    notify: str | None,
    remind: timedelta,
    tested: bool,
    heartbeat: str,
    timer: Literal["systemd", "cron"] | None,
) -> None:
    """Check all connections regularly and notify you.

    It reports each failing connection once, in one notification per cause, and once when
    everything works again. A notification is JSON with “event” (incident, all-well or test). An
    incident lists the affected connections. With --once, the exit code is that of the most severe
    failure, or 6 if a notification couldn’t be sent. With --json, each check is one line.

    \b
    Examples:
      zoho-wizard monitor --notify 'mail -s Zoho ops@example.com'
      zoho-wizard monitor --notify https://hooks.example.com/zoho
      zoho-wizard monitor --test-notify
      zoho-wizard monitor --print systemd
    """
    if every < MIN_INTERVAL:
        raise fail("monitor-interval-too-short", minimum=format_duration_option(MIN_INTERVAL))
    environment = terminal.settings.child_environment
    notify = notify and resolve_target(notify, environment)
    if heartbeat and not webhook.is_url(heartbeat):
        heartbeat = resolve_target(heartbeat, environment)
    if timer:
        variables = run_unattended(terminal)
        options = _monitor_options(_storable_notify_option(terminal, notify), heartbeat, remind)
        text = (
            crontab_line(variables, every, options)
            if timer == "cron"
            else print_user_units(variables, lambda of: monitor_units(of, every, options))
        )
        terminal.emit_event(Timer(timer, text), lambda: terminal.renderer.print_raw(text))
        return
    if notify is not None:
        _store_notify_command(terminal, notify, tested=tested)
    if tested:
        _test(terminal)
        return
    with stop_signals() as stop_event, ExitStack() as turn:
        code = _run_checks(terminal, heartbeat, every, remind, stop_event, turn, once)
        while not once and not stop_event.wait(_next_delay_seconds(every)):
            with _outlived_outages(terminal):
                _run_checks(terminal, heartbeat, every, remind, stop_event, turn, once)
    raise Exit(code if once else 0)


def _monitor_options(notify: str | None, heartbeat: str, remind: timedelta) -> list[str]:
    options = [("--notify", notify)] if notify is not None else []
    options += (
        [("--remind", format_duration_option(remind))]
        if remind != DEFAULT_REMINDER_INTERVAL
        else []
    )
    options += [("--heartbeat", heartbeat)] if heartbeat else []
    return [word for option in options for word in option]


def _storable_notify_option(terminal: Terminal, notify: str | None) -> str | None:
    """What a timer may show of --notify: a URL may be a secret, so it is stored now and left
    out."""
    if not notify or not webhook.is_url(notify):
        return notify
    terminal.services.store.monitoring.set_notify_command(notify)
    terminal.renderer.print_note(message("notes", "notify-url-stored"))
    return None


def _store_notify_command(terminal: Terminal, notify: str, *, tested: bool) -> None:
    """Store the program or URL to notify; if it is new, say how to test it."""
    store = terminal.services.store
    changed = notify != store.monitoring.notify_command()
    store.monitoring.set_notify_command(notify)
    if notify and changed and not tested:
        terminal.renderer.print_note(
            message("notes", "to-try"), command="zoho-wizard monitor --test-notify"
        )


def _test(terminal: Terminal) -> None:
    failure = terminal.services.monitoring.test()
    if failure is not None:
        raise WizardError(failure)
    by = target_name(terminal.services.store.monitoring.notify_command())
    text = message("notes", "test-notification-sent", by=by)
    terminal.emit_event(NotificationTest(by), lambda: terminal.renderer.print_success(text))


def _next_delay_seconds(every: timedelta) -> float:
    return every.total_seconds() * random.uniform(1 - INTERVAL_JITTER, 1 + INTERVAL_JITTER)  # noqa: S311 - no secret


def _run_checks(
    terminal: Terminal,
    heartbeat: str,
    every: timedelta,
    remind: timedelta,
    stop_event: StopEvent,
    turn: ExitStack,
    once: bool,
) -> int:
    """Check once and notify; return the exit code. Certain failures are reported before the check
    waits for Zoho's rate limits. `turn` has the lock of the machine that checks the connections."""
    service, store = terminal.services.monitoring, terminal.services.store
    store.require_active()
    deadline = terminal.clock() + every * MAX_WAIT_SHARE

    def wait(until: datetime) -> bool:
        while terminal.clock() < until <= deadline:
            if stop_event.wait(POLL_INTERVAL_SECONDS):
                return False
        return until <= deadline

    terminal.services.record_served_tokens()
    terminal.services.reauthorization.deliver_overdue()
    terminal.services.reauthorization.revoke_replaced_tokens()

    def notify_certain(found: CheckRun) -> None:
        _notify(terminal, lambda: service.notify_certain(found))

    if _is_our_turn(terminal, turn, every, once):
        check_run = service.run_checks(wait=wait, before_wait=notify_certain)
        store.require_active()  # otherwise, all checks failed since then
    else:
        check_run = service.check_destinations()
    _print_check_run(terminal, check_run)
    codes = _notify(terminal, lambda: service.notify(check_run, remind))
    has_checked = check_run.results or not check_run.is_of_connections
    if heartbeat and check_run.is_healthy and has_checked:
        codes += _notify(terminal, lambda: _send_heartbeat(terminal, heartbeat))
    return most_severe([*codes, *(each.explanation.exit_code for each in check_run.incidents)])


@contextmanager
def _outlived_outages(terminal: Terminal) -> Iterator[None]:
    """Print that the database can't be reached. The next check tries again."""
    try:
        yield
    except WizardError as error:
        if error.failure.code not in codes_with("database_away"):
            raise
        terminal.renderer.print_explanation(terminal.explain(error.failure))


def _is_our_turn(terminal: Terminal, turn: ExitStack, every: timedelta, once: bool) -> bool:
    """Whether this machine checks the connections, so that no other one that shares the store does:
    it gets the lock, and keeps it until the next time. Timers keep no lock in between, so the last
    check counts."""
    turn.close()  # the lock may be lost, as after a restart of the server
    try:
        turn.enter_context(terminal.services.locks.monitoring())
    except WizardError as error:
        if error.failure.code != "monitored-elsewhere":
            raise
        return False
    return not (once and terminal.services.monitoring.was_checked_elsewhere(every))


def _notify(terminal: Terminal, act: Callable[[], Sequence[Failure]]) -> list[int]:
    """Notify or send the heartbeat; print what failed, which must not end `monitor`, and return its
    exit codes."""
    try:
        failures = act()
    except WizardError as error:
        failures = [error.failure]
    explanations = [terminal.explain(failure) for failure in failures]
    for explanation in explanations:
        terminal.renderer.print_explanation(explanation)
    return [each.exit_code for each in explanations]


def _print_check_run(terminal: Terminal, check_run: CheckRun) -> None:
    incidents = tuple(incident_report(each) for each in check_run.incidents)
    of_connections = check_run.is_of_connections
    terminal.emit_event(
        MonitorCheck(check_run.at, len(check_run.results), incidents, of_connections),
        lambda: _render_check_run(terminal, check_run),
    )


def _render_check_run(terminal: Terminal, check_run: CheckRun) -> None:
    renderer = terminal.renderer
    print_incidents(renderer, check_run.incidents, terminal.clock())
    if not check_run.is_of_connections:
        store = terminal.services.store
        at, machine = store.monitoring.last_check()
        by, age = store.machines.others().get(machine or "", ""), ""
        if at and by:
            age = format_age(at, terminal.services.clock())
        renderer.print_note(message("notes", "monitored-elsewhere", machine=by, age=age))
    elif not check_run.results:
        print_no_connections(terminal)
    elif check_run.is_healthy:
        details = {"at": terminal.format_time(check_run.at), "count": str(len(check_run.results))}
        renderer.print_success(message("notes", "monitor-all-work", **details))


def _send_heartbeat(terminal: Terminal, heartbeat: str) -> tuple[Failure, ...]:
    if webhook.is_url(heartbeat):
        _fetch(heartbeat)
    else:
        try:
            commands.run_command(heartbeat, terminal.settings.child_environment)
        except WizardError as error:
            code, details = error.failure.code, error.failure.details
            reason = message("notifications", code, by=target_name(heartbeat), **details)
            raise fail("heartbeat-failed", reason=reason) from error
    return ()


def _fetch(url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=HEARTBEAT_TIMEOUT_SECONDS):  # noqa: S310 - http or https, checked
            return
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise fail("heartbeat-failed", reason=str(error)) from None
