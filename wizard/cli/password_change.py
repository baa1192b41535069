"""``password-change``: what to know before one, and a check after it."""

from typing import Any

import click

from wizard.cli.checking import checked, report
from wizard.cli.connections import STATE_WORDS
from wizard.cli.painter import moment
from wizard.cli.reauthorize import reauthorize
from wizard.cli.terminal import Terminal, json_option, pass_terminal
from wizard.diagnosis.password_change import Risk, advice, risks
from wizard.errors import fail
from wizard.watch import Look


@click.command("password-change")
@click.argument("email", required=False, default="")
@click.option("--message", is_flag=True, help="Print what to send to whoever changes it.")
@click.option("--check", "checks", is_flag=True, help="After the change: prove what hangs on it.")
@json_option
@pass_terminal
def password_change(terminal: Terminal, email: str, message: bool, checks: bool) -> None:
    """What a change of the password of EMAIL puts at risk.

    And how to keep it alive; without EMAIL, for every account. --check afterwards says what died,
    and how it is repaired.
    """
    found = _risks(terminal, email)
    if checks:
        look = checked(terminal, [name for risk in found for name in risk.names])
        _lead_into_repair(terminal, look)
        report(terminal, look)
    if message:
        click.echo("\n".join(risk.message.strip() + "\n" for risk in found), nl=False)
    elif terminal.painter.as_json:
        terminal.painter.document({"accounts": [_json(risk) for risk in found], "advice": advice()})
    else:
        for risk in found:
            _paint(terminal, risk)
        _advise(terminal, email)


def _lead_into_repair(terminal: Terminal, look: Look) -> None:
    """At a terminal, offer to repair at once what a look has found dead."""
    names = [name for trouble in look.troubles for name in trouble.to_repair]
    if names and terminal.interactive and not terminal.painter.as_json:
        terminal.painter.blank()
        if click.confirm("Repair them now?", err=True):
            click.get_current_context().invoke(reauthorize, names=tuple(names), yes=True)


def _risks(terminal: Terminal, email: str) -> tuple[Risk, ...]:
    store = terminal.house.store
    every = risks(store.overview(), store.destinations(), store.last_refreshes())
    found = tuple(risk for risk in every if risk.email.casefold() == email.casefold() or not email)
    if not found:
        raise fail("no-account", email=email, known=", ".join(each.email for each in every))
    return found


def _paint(terminal: Terminal, risk: Risk) -> None:
    painter, place = terminal.painter, terminal.house.zoho.data_centre(risk.location)
    painter.heading(f"{risk.email}, {place.name}")
    painter.table(
        ("Connection", "State", "Last used"),
        [(each.name, STATE_WORDS[each.state], moment(each.worked_at)) for each in risk.stakes],
    )
    for program in risk.programs:
        painter.item(f"  Program: {program}")


def _advise(terminal: Terminal, email: str) -> None:
    painter = terminal.painter
    painter.blank()
    for sentence in advice():
        painter.note(f"• {sentence}")
    painter.blank()
    of = f" {email}" if email else ""
    painter.note("To send before:", command=f"zoho-wizard password-change{of} --message")
    painter.note("To run after:", command=f"zoho-wizard password-change{of} --check")


def _json(risk: Risk) -> dict[str, Any]:
    return {
        "email": risk.email,
        "location": risk.location,
        "connections": risk.stakes,
        "clients": risk.clients,
        "programs": risk.programs,
    }
