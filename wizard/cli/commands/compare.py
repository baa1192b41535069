"""`compare`: compare the simulator's rules with Zoho, step by step, for a volunteer."""

from collections.abc import Iterable
from importlib.metadata import version

import click

from wizard.cli.flows.authorization import can_paste_again
from wizard.cli.flows.serving import stop_signals
from wizard.cli.renderer import Renderer
from wizard.cli.terminal import Exit, StopEvent, Terminal, pass_terminal
from wizard.clients import parse_credentials
from wizard.comparison.judgment import ComparisonReport, Difference, Outcome, RuleComparison
from wizard.comparison.probes import Consent
from wizard.comparison.service import Comparison
from wizard.errors import WizardError, fail, message
from wizard.services import transport_of, zoho_of
from wizard.timefmt import format_iso
from wizard.zoho import DataCenter, Zoho

ERROR_PAGE = "error"
"""What to type instead of a URL."""


@click.command()
@click.option(
    "--data-center",
    required=True,
    help="Say where your account is: a code such as eu, or any Zoho URL.",
)
@click.option(
    "--without-crm",
    is_flag=True,
    help="Request no CRM scopes. Zoho refuses them if your account has no CRM.",
)
@click.option("--yes", is_flag=True, help="Don’t ask before each step. Only with a simulator.")
@pass_terminal
def compare(terminal: Terminal, data_center: str, without_crm: bool, yes: bool) -> None:
    """Compare the simulator’s rules with Zoho.

    You register a client just for this, consent once, and send the report to the project.
    The report contains no tokens, IDs, names or email addresses. The command asks before each
    step, changes no data, stores nothing here, and revokes the token that it gets.

    \b
    Examples:
      zoho-wizard compare --data-center eu
      zoho-wizard compare --data-center eu > report.txt
      zoho-wizard compare --data-center in --without-crm --json
    """
    table = zoho_of(terminal.settings)
    found = table.find_data_center(data_center) or table.data_center(data_center)
    if yes and table.is_live:
        raise click.BadParameter(message("usage-errors", "only-for-simulator"), param_hint="--yes")
    comparison = Comparison(
        transport_of(terminal.settings, table, terminal.clock),
        table,
        terminal.clock,
        found,
        terminal.settings.redirect_uri,
        has_crm=not without_crm,
    )
    with stop_signals() as stop_event:
        try:
            for step in comparison.table.steps:
                if step == "client" or comparison.can_run(step):
                    _run_step(terminal, comparison, found, step, stop_event, is_confirmed=yes)
        except WizardError:
            if stop_event.is_set():  # the input ended because of the signal
                raise click.Abort from None
            raise
        finally:
            revocation = _revoke(terminal, comparison)
    report = _report(terminal, table, found, comparison, revocation)
    terminal.emit(report, lambda: _print_report(terminal.renderer, report))
    if comparison.client_id:
        terminal.renderer.print_note(
            message("notes", "delete-client"),
            command=found.console_client_url(comparison.client_id),
        )
    if revocation == "failed":
        raise Exit(1)


def _revoke(terminal: Terminal, comparison: Comparison) -> str:
    """Revoke what was issued, and say so; returns what `Comparison.revoke` returns."""
    revocation = comparison.revoke()
    if revocation == "revoked":
        terminal.renderer.print_success(message("notes", "comparison-revoked"))
    if revocation == "failed":
        failure = fail("comparison-not-revoked").failure
        terminal.renderer.print_explanation(terminal.explain(failure))
    return revocation


def _run_step(
    terminal: Terminal,
    comparison: Comparison,
    data_center: DataCenter,
    step: str,
    stop_event: StopEvent,
    *,
    is_confirmed: bool,
) -> None:
    """Run one step if the user agrees; raises `click.Abort` after a signal."""
    requests, consent = comparison.table.requests_of(step), comparison.table.consent_of(step)
    number = comparison.table.steps.index(step) + 1
    task = message("comparison-steps", step, count=str(len(requests)))
    total = str(len(comparison.table.steps))
    terminal.renderer.print_blank()
    terminal.renderer.print_note(
        message("notes", "step", number=str(number), total=total, task=task)
    )
    if not (
        is_confirmed
        or terminal.ask_yes_no(message("prompts", "continue"), option=_option(terminal))
    ):
        return
    if step == "client":
        _ask_for_client(terminal, comparison, data_center)
    if consent and not _get_consent(terminal, comparison, consent, stop_event):
        return
    with terminal.renderer.progress() as show:
        for request in requests:
            if stop_event.is_set():
                raise click.Abort
            show(f"{request.call} ({request.id})")
            comparison.send(request)


def _option(terminal: Terminal) -> str:
    return (
        "--yes"
        if terminal.settings.simulator_url
        else message("input-options", "answers-in-terminal")
    )


def _ask_for_client(terminal: Terminal, comparison: Comparison, data_center: DataCenter) -> None:
    """Say which client to register, and ask for its ID and secret, which stay hidden."""
    terminal.renderer.print_note(
        message("notes", "register-server-based", location=data_center.name),
        command=data_center.console_add_url,
    )
    registered = (
        ("Client Name", "Comparison"),
        ("Homepage URL", terminal.settings.base_url),
        ("Authorized Redirect URIs", terminal.settings.redirect_uri),
    )
    for label, value in registered:
        terminal.renderer.print_command(f"{label}: {value}")
    prompts = (message("prompts", each) for each in ("hidden-client-id", "hidden-client-secret"))
    pasted = [terminal.read_secret(each, whole=False) for each in prompts]
    comparison.set_client(parse_credentials("\n".join(pasted)))


def _get_consent(
    terminal: Terminal, comparison: Comparison, consent: Consent, stop_event: StopEvent
) -> bool:
    """Get the callback URL of a consent; False if there is none. `click.Abort` after a signal."""
    url = comparison.authorization_url(consent)
    redirect_uri = terminal.settings.redirect_uri
    terminal.renderer.print_note(message("notes", "open-consent"), command=url)
    terminal.renderer.print_note(
        message("notes", "paste-callback-or-word", redirect_uri=redirect_uri, word=ERROR_PAGE)
    )
    while True:
        if stop_event.is_set():
            raise click.Abort
        text = terminal.read_secret(message("prompts", "callback-url"), whole=False)
        if text.strip().lower() == ERROR_PAGE:
            comparison.refuse(consent)
            return False
        try:
            comparison.complete(consent, text)
        except WizardError as error:
            terminal.renderer.print_explanation(terminal.explain(error.failure))
            if not (terminal.is_interactive and can_paste_again(error.failure)):
                return False
        else:
            return True


# --- The report -----------------------------------------------------------------------------------


def _report(
    terminal: Terminal,
    table: Zoho,
    data_center: DataCenter,
    comparison: Comparison,
    revocation: str,
) -> ComparisonReport:
    rules = comparison.results()
    outcomes = [each.outcome for each in rules]
    return ComparisonReport(
        version=version("zoho-wizard"),
        compared_at=terminal.clock(),
        location=data_center.location,
        is_live=table.is_live,
        revocation=revocation,
        counts={each.value: outcomes.count(each) for each in Outcome},
        rules=rules,
    )


def _print_report(renderer: Renderer, report: ComparisonReport) -> None:
    counts = {name: str(count) for name, count in report.counts.items()}
    renderer.print_facts(
        [
            ("Compared with", "Zoho" if report.is_live else "a simulator, not Zoho"),
            ("Data center", report.location),
            ("Time", format_iso(report.compared_at)),
            ("Version", report.version),
            ("Refresh token", report.revocation),
            ("As simulated", counts[Outcome.AS_SIMULATED]),
            ("Differs", counts[Outcome.DIFFERS]),
            ("Not compared", counts[Outcome.NOT_COMPARED]),
        ]
    )
    differing = _with_outcome(report.rules, Outcome.DIFFERS)
    if differing:
        renderer.print_heading("Differs")
    for rule in differing:
        renderer.print_item(f"✗ {rule.rule} ({rule.confidence})")
        for difference in rule.differences:
            _print_difference(renderer, difference)
    same = _with_outcome(report.rules, Outcome.AS_SIMULATED)
    if same:
        renderer.print_heading("As simulated")
        renderer.print_item(f"✓ {_names(same)}")
    others = _with_outcome(report.rules, Outcome.NOT_COMPARED)
    if others:
        renderer.print_heading("Not compared")
    for reason in dict.fromkeys(each.reason for each in others):
        names = _names(each for each in others if each.reason == reason)
        renderer.print_item(f"– {message('comparison-reasons', reason or '')} {names}")


def _print_difference(renderer: Renderer, difference: Difference) -> None:
    renderer.print_item(f"    {difference.request}: {difference.call}")
    for label, facts in (("expected", difference.expected), ("seen", difference.seen)):
        shown = "; ".join(f"{name}: {value}" for name, value in facts.items())
        renderer.print_item(f"      {label.ljust(8)}  {shown}")


def _with_outcome(rules: Iterable[RuleComparison], outcome: Outcome) -> list[RuleComparison]:
    return [each for each in rules if each.outcome is outcome]


def _names(rules: Iterable[RuleComparison]) -> str:
    return ", ".join(each.rule for each in rules)
