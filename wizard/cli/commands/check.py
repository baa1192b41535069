"""``check``: whether connections work; several at a time, reported in their order."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import NoReturn

import click

from wizard.cli.commands.connections import print_no_connections
from wizard.cli.commands.token import POLL_INTERVAL_SECONDS, DurationType
from wizard.cli.flows.token_host import host_of, refuse_options, request_report
from wizard.cli.flows.verification import (
    VerificationOutcome,
    incident_report,
    most_severe,
    print_outcome,
)
from wizard.cli.renderer import print_incidents
from wizard.cli.results.checks import CheckReport
from wizard.cli.results.connections import ConnectionVerification
from wizard.cli.terminal import (
    CONNECTION_NAME,
    TAG,
    Exit,
    Terminal,
    pass_terminal,
    tagged_connections,
)
from wizard.connection_details import describe_access
from wizard.errors import describe_status, message
from wizard.model import Explanation, VerificationStep
from wizard.model.states import ConnectionState, ConnectionStatus, LastCheck
from wizard.monitoring.checks import CheckResult
from wizard.monitoring.service import CheckRun
from wizard.tokens.budgets import RefreshPurpose

COLUMNS = ("Connection", "State", "Details")


@click.command()
@click.argument("names", type=CONNECTION_NAME, nargs=-1, metavar="[NAME]...")
@click.option(
    "--all", "all_connections", is_flag=True, help="Check all connections. This is the default."
)
@click.option(
    "--tag",
    "tags",
    type=TAG,
    multiple=True,
    help="Check only connections with this tag. Repeat it for those that have several tags.",
)
@click.option(
    "--full",
    is_flag=True,
    help="Verify each connection again: make every API call, with a new access token.",
)
@click.option(
    "--wait",
    type=DurationType(),
    default="0",
    metavar="DURATION",
    help="Wait up to this long, such as 15m, for connections that a rate limit delays. Default: 0.",
)
@click.option(
    "--ignore-wait",
    "ignore_wait",
    is_flag=True,
    help="Check one connection despite a rate limit, once, if its request budget allows it.",
)
@pass_terminal
def check(
    terminal: Terminal,
    names: tuple[str, ...],
    all_connections: bool,
    tags: tuple[str, ...],
    full: bool,
    wait: timedelta,
    ignore_wait: bool,
) -> None:
    """Check whether connections work.

    It checks the connections that you name, or all of them, with as few requests to Zoho as
    possible. Connections that fail for the same cause are explained together. The exit code is
    that of the most severe failure. Connections that aren’t authorized yet, or are revoked,
    count only if you name them.

    \b
    Examples:
      zoho-wizard check
      zoho-wizard check crm --full
      zoho-wizard check --tag prod --wait 15m
    """
    if names and all_connections:
        raise click.UsageError(message("usage-errors", "names-or-all"))
    if names and tags:
        raise click.UsageError(message("usage-errors", "names-or-tag"))
    if host := host_of(terminal):
        refuse_options(terminal, tag=tags, full=full, wait=wait, ignore_wait=ignore_wait)
        report = request_report(terminal, host, "check", names, CheckReport)
        _end_with_report(terminal, report, is_named=bool(names))
        return
    tagged = tagged_connections(terminal, tags) if tags else None
    if not names and terminal.settings.paths.is_empty:
        terminal.emit(CheckReport((), ()), lambda: print_no_connections(terminal))
        return
    store = terminal.services.store
    named = [store.connections.get(name) for name in names]
    selected = [connection.name for connection in named or store.connections.all()]
    if tagged is not None:
        selected = [name for name in selected if name in tagged]
    if ignore_wait and len(named) != 1:
        raise click.UsageError(message("usage-errors", "ignore-wait-one"))
    purpose = RefreshPurpose.INSISTED if ignore_wait else RefreshPurpose.VERIFICATION
    is_named = bool(named)
    check_run = run_checks(
        terminal, selected, full=full, purpose=purpose, wait=wait, is_named=is_named
    )
    if store.database.is_shared:
        for name in selected if is_named else (None,):
            terminal.services.reauthorization.deliver_overdue(name)
    exit_with_result(terminal, check_run, is_named=is_named)


def run_checks(
    terminal: Terminal,
    names: Sequence[str],
    *,
    full: bool = False,
    purpose: RefreshPurpose = RefreshPurpose.VERIFICATION,
    wait: timedelta = timedelta(0),
    is_named: bool = True,
) -> CheckRun:
    """Check connections `names`, and report each connection and each cause once. Unless they were
    named, only monitored ones count as working or not."""
    is_single = len(names) == 1
    completed: set[str] = set()

    def show_step(_name: str, step: VerificationStep) -> None:
        if is_single and not terminal.renderer.as_json:
            terminal.renderer.print_step(step)

    with terminal.renderer.progress() as show_progress:
        subject = {"name": names[0]} if is_single else {"count": str(len(names))}
        show_progress(message("notes", "checking", **subject))

        def on_result(result: CheckResult) -> None:
            completed.add(result.name)
            if not is_single:
                counts = {"completed": str(len(completed)), "count": str(len(names))}
                show_progress(message("notes", "checked", **counts))

        def wait_until(until: datetime) -> bool:
            show_progress(message("notes", "waiting-for-limit", until=terminal.format_time(until)))
            return _wait_until(terminal, until, deadline)

        deadline = terminal.clock() + wait
        wait_callback = wait_until if wait else None
        checker = terminal.services.checks
        results = checker.check(
            names,
            full=full,
            purpose=purpose,
            wait=wait_callback,
            on_step=show_step,
            on_result=on_result,
        )
    check_run = terminal.services.monitoring.check_run_of(results)
    _print_results(terminal, check_run, _counted(check_run, is_named=is_named))
    return check_run


def exit_with_result(terminal: Terminal, check_run: CheckRun, *, is_named: bool = True) -> NoReturn:
    """End with the exit code of the most severe failure. Unless the connections were named, only
    monitored ones count: `reauthorize --all` leaves the others alone, too."""
    if not check_run.results:
        print_no_connections(terminal)
    counted = _counted(check_run, is_named=is_named)
    failures = [(each.failure, each.name) for each in counted if each.failure is not None]
    raise Exit(most_severe([terminal.explain(*each).exit_code for each in failures]))


def _counted(check_run: CheckRun, *, is_named: bool) -> Sequence[CheckResult]:
    return [each for each in check_run.results if is_named or each.is_monitored]


def _wait_until(terminal: Terminal, until: datetime, deadline: datetime) -> bool:
    """Wait until `until` if that is before `deadline`; False if it isn't, or after Ctrl-C."""
    try:
        while terminal.clock() < until <= deadline:
            time.sleep(POLL_INTERVAL_SECONDS)
    except KeyboardInterrupt:
        return False
    return until <= deadline


def _print_results(terminal: Terminal, check_run: CheckRun, counted: Sequence[CheckResult]) -> None:
    outcomes = [_to_outcome(terminal, each) for each in check_run.results]
    statuses = check_statuses(terminal, check_run.results)
    report = CheckReport(
        tuple(each.result(statuses[each.name]) for each in outcomes),
        tuple(incident_report(each) for each in check_run.incidents),
    )
    terminal.emit(
        report, partial(_render_results, terminal, check_run, outcomes, statuses, counted)
    )


def _render_results(
    terminal: Terminal,
    check_run: CheckRun,
    outcomes: Sequence[VerificationOutcome],
    statuses: Mapping[str, ConnectionStatus],
    counted: Sequence[CheckResult],
) -> None:
    renderer = terminal.renderer
    if len(outcomes) == 1:
        print_outcome(terminal, outcomes[0])
    elif outcomes:
        renderer.print_table(
            COLUMNS, [_row(each, statuses[each.name], terminal.clock()) for each in outcomes]
        )
        working = sum(each.is_working for each in counted)
        if working < len(counted):
            renderer.print_failure(_failing(counted, statuses))
        elif counted:
            code = {1: "one-works", 2: "both-work"}.get(working, "all-work")
            renderer.print_success(message("notes", code, count=str(working)))
        print_incidents(renderer, check_run.incidents, terminal.clock())


def _failing(counted: Sequence[CheckResult], statuses: Mapping[str, ConnectionStatus]) -> str:
    """How many of the connections don't work, in words; if it's unknown, how many weren't
    checked."""
    pending, total = sum(each.is_pending for each in counted), str(len(counted))
    failing = [each for each in counted if not (each.is_working or each.is_pending)]
    if not failing:
        return message("notes", "some-unchecked", count=str(pending), total=total)
    rejected = ConnectionState.NEEDS_REAUTHORIZATION
    is_rejected = all(statuses[each.name].state is rejected for each in failing)
    code = "some-need-reauthorization" if is_rejected else "some-fail"
    return message("notes", code, count=str(len(failing)), total=total)


def _to_outcome(terminal: Terminal, result: CheckResult) -> VerificationOutcome:
    """A result with its failure explained."""
    explanation = terminal.explain(result.failure, result.name) if result.failure else None
    return VerificationOutcome(result.name, result.grant, result.steps, explanation)


def check_statuses(
    terminal: Terminal, results: Sequence[CheckResult]
) -> dict[str, ConnectionStatus]:
    """The status of each connection checked, including failures of checks that aren't stored."""
    failures = {each.name: each.failure for each in results}
    now, statuses = terminal.clock(), {}
    for row in terminal.services.store.overviews.all(failures):
        failure = failures[row.connection.name]
        is_stored = row.last_check is not None and failure in row.last_check.failures
        if failure is not None and row.grant is not None and not is_stored:
            row = replace(row, last_check=LastCheck(now, (failure,)))
        statuses[row.connection.name] = row.status(now)
    return statuses


def _row(
    outcome: VerificationOutcome, status: ConnectionStatus, now: datetime
) -> tuple[str, str, str]:
    details = describe_access(outcome.grant) if outcome.grant else ""
    if outcome.explanation is not None:
        details = outcome.explanation.title
    return outcome.name, describe_status(status, now), details


# with a token host


def _end_with_report(terminal: Terminal, report: CheckReport, *, is_named: bool) -> None:
    """Print what the token host found, and end with its exit code. Without names, only connections
    that are meant to work count."""
    terminal.emit(report, lambda: _print_report(terminal, report))
    counted = (e for e in report.connections if is_named or e.state.is_authorized)
    raise Exit(most_severe([each.error.exit_code for each in counted if each.error]))


def _print_report(terminal: Terminal, report: CheckReport) -> None:
    renderer = terminal.renderer
    if len(report.connections) > 1:
        renderer.print_table(
            COLUMNS,
            [(e.name, _state(terminal, e), _summary(e)) for e in report.connections],
        )
    for each in report.connections:
        if each.error is not None:
            error = each.error
            renderer.print_explanation(Explanation(error.code, error.title, error.cause, error.fix))
        elif len(report.connections) == 1:
            renderer.print_success(f"{each.name}: {each.headline}")


def _state(terminal: Terminal, each: ConnectionVerification) -> str:
    return describe_status(ConnectionStatus(each.state, each.activity), terminal.clock())


def _summary(each: ConnectionVerification) -> str:
    return each.error.title if each.error else each.headline or ""
