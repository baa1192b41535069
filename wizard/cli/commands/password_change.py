"""``password-change``: what to know before one, and a check after it."""

import click

from wizard.cli.commands.check import exit_with_result, run_checks
from wizard.cli.commands.connections import print_no_connections
from wizard.cli.commands.reauthorize import reauthorize
from wizard.cli.results.checks import AccountRisk, AffectedConnectionSummary, PasswordChangeReport
from wizard.cli.results.connections import status_fields
from wizard.cli.terminal import Terminal, pass_terminal
from wizard.diagnosis.cautions import PasswordChangeRisk, advice, password_change_risks
from wizard.errors import describe_status, message
from wizard.model import is_same_email
from wizard.monitoring.service import CheckRun
from wizard.reauthorization.service import unknown_account


@click.command("password-change")
@click.argument("email", required=False, default="")
@click.option("--message", is_flag=True, help="Print a message for the account owner.")
@click.option(
    "--check",
    is_flag=True,
    help="After the change, check the connections that depend on the account.",
)
@pass_terminal
def password_change(terminal: Terminal, email: str, message: bool, check: bool) -> None:
    """Show what a password change affects.

    It lists the connections and programs of the account, and says how to keep them working.
    Without EMAIL, it does so for every account. After the change, --check finds the connections
    that need re-authorization.

    \b
    Examples:
      zoho-wizard password-change anna@zylker.example
      zoho-wizard password-change anna@zylker.example --message
      zoho-wizard password-change anna@zylker.example --check
    """
    selected = _risks(terminal, email)
    if check:
        check_run = run_checks(
            terminal, [name for risk in selected for name in risk.connection_names]
        )
        _offer_reauthorization(terminal, check_run)
        if not selected:
            _print_nothing_affected(terminal)
            return
        exit_with_result(terminal, check_run)

    def render() -> None:
        if message and selected:
            terminal.renderer.print_letter("\n".join(_message_of(risk) for risk in selected))
            return
        if not selected:
            _print_nothing_affected(terminal)
            return
        for risk in selected:
            _print_risk(terminal, risk)
        _print_advice(terminal, email)

    accounts = tuple(_account_risk(risk) for risk in selected)
    terminal.emit(PasswordChangeReport(accounts, tuple(advice())), render)


def _offer_reauthorization(terminal: Terminal, check_run: CheckRun) -> None:
    """On a terminal, offer to re-authorize at once what needs it."""
    names = [name for incident in check_run.incidents for name in incident.to_reauthorize]
    if names and terminal.is_interactive and not terminal.renderer.as_json:
        terminal.renderer.print_blank()
        if terminal.ask_yes_no(message("prompts", "reauthorize-now"), option="--yes"):
            click.get_current_context().invoke(reauthorize, names=tuple(names), yes=True)


def _risks(terminal: Terminal, email: str) -> tuple[PasswordChangeRisk, ...]:
    store = terminal.services.store
    all_risks = password_change_risks(
        store.overviews.all(),
        store.destinations.programs(),
        store.overviews.last_refreshes(),
        terminal.clock(),
    )
    selected = tuple(risk for risk in all_risks if not email or is_same_email(risk.email, email))
    if email and not selected:
        raise unknown_account(email, [each.email for each in all_risks])
    return selected


def _print_nothing_affected(terminal: Terminal) -> None:
    if terminal.services.store.connections.all():
        terminal.renderer.print_note(message("notes", "no-password-needed"))
    else:
        print_no_connections(terminal)


def _print_risk(terminal: Terminal, risk: PasswordChangeRisk) -> None:
    renderer, data_center = terminal.renderer, terminal.services.zoho.data_center(risk.location)
    renderer.print_heading(f"{risk.email}, {data_center.name}")
    renderer.print_table(
        ("Connection", "State", "Last used"),
        [
            (
                each.name,
                describe_status(each.status, terminal.clock()),
                terminal.format_time(each.last_refreshed_at),
            )
            for each in risk.connections
        ],
    )
    for program in risk.programs:
        renderer.print_item(f"  Program: {program}")


def _print_advice(terminal: Terminal, email: str) -> None:
    renderer = terminal.renderer
    renderer.print_blank()
    for sentence in advice():
        renderer.print_note(f"• {sentence}")
    renderer.print_blank()
    of = f" {email}" if email else ""
    renderer.print_note(
        message("notes", "before-password-change"),
        command=f"zoho-wizard password-change{of} --message",
    )
    renderer.print_note(
        message("notes", "after-password-change"),
        command=f"zoho-wizard password-change{of} --check",
    )


def _message_of(risk: PasswordChangeRisk) -> str:
    return risk.message_to_owner.strip() + "\n"


def _account_risk(risk: PasswordChangeRisk) -> AccountRisk:
    connections = tuple(
        AffectedConnectionSummary(
            name=each.name,
            last_refreshed_at=each.last_refreshed_at,
            **status_fields(each.status),
        )
        for each in risk.connections
    )
    return AccountRisk(
        email=risk.email,
        location=risk.location,
        connections=connections,
        client_ids=risk.client_ids,
        programs=risk.programs,
        message=_message_of(risk),
    )
