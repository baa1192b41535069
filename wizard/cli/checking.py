"""``check``: connections asked whether they work, several at a time, told in their order."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NoReturn

import click

from wizard.broker import Need
from wizard.cli.connections import say_empty
from wizard.cli.painter import moment
from wizard.cli.proving import Outcome, conclude, gravest
from wizard.cli.terminal import NAME, Exit, Terminal, json_option, pass_terminal
from wizard.cli.tokens import STEP, Span
from wizard.cli.troubles import tell_all
from wizard.model import Rung
from wizard.validation import reach
from wizard.watch import Look, Verdict

COLUMNS = ("Connection", "Verdict", "What it reaches, or what is in the way")


@click.command()
@click.argument("names", type=NAME, nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="All connections; so it is without names, too.")
@click.option(
    "--full", "whole", is_flag=True, help="Prove each anew: all its live calls, with a new token."
)
@click.option(
    "--wait",
    type=Span(),
    default="0",
    metavar="SPAN",
    help="Wait up to this long (15m, 1h) for those that Zoho's limits keep from being asked now.",
)
@click.option(
    "--ignore-wait",
    "insisted",
    is_flag=True,
    help="Ask about one connection although Zoho wants to be left alone: once, within the budget.",
)
@json_option
@pass_terminal
def check(
    terminal: Terminal,
    names: tuple[str, ...],
    every: bool,
    whole: bool,
    wait: timedelta,
    insisted: bool,
) -> None:
    """Ask whether connections work.

    Those named, or all: five at a time, with the fewest live calls that tell, and no new access
    token where one lives. What fails together is explained together. The exit code is that of the
    gravest finding.
    """
    store = terminal.house.store
    named = [] if every else [store.connection(name) for name in names]
    wanted = [connection.name for connection in named or store.connections()]
    if insisted and len(named) != 1:
        raise click.UsageError("--ignore-wait takes one NAME.")
    need = Need.INSISTED if insisted else Need.VERDICT
    report(terminal, checked(terminal, wanted, whole=whole, need=need, wait=wait))


def checked(
    terminal: Terminal,
    wanted: Sequence[str],
    *,
    whole: bool = False,
    need: Need = Need.VERDICT,
    wait: timedelta = timedelta(0),
) -> Look:
    """Look at `wanted`, and tell of each and of every cause once."""
    alone = len(wanted) == 1
    done: set[str] = set()

    def see(_name: str, rung: Rung) -> None:
        if alone and not terminal.painter.as_json:
            terminal.painter.rung(rung)

    with terminal.painter.progress() as say:

        def told(verdict: Verdict) -> None:
            done.add(verdict.name)
            if not alone:
                say(f"{len(done)} of {len(wanted)} checked")

        def waited(until: datetime) -> bool:
            say(f"Zoho's limits: the next may be asked at {moment(until)}. Ctrl-C: leave the rest.")
            return _waited(terminal, until, deadline)

        deadline = terminal.clock() + wait
        patience = waited if wait else None
        looks = terminal.house.looks
        verdicts = looks.at(wanted, whole=whole, need=need, wait=patience, see=see, told=told)
    look = terminal.house.alarm.judged(verdicts)
    _paint(terminal, look, alone=alone)
    return look


def report(terminal: Terminal, look: Look) -> NoReturn:
    """End with the code of the gravest finding of `look`."""
    if not look.verdicts:
        say_empty(terminal)
    failures = [each.failure for each in look.verdicts if each.failure is not None]
    raise Exit(gravest([terminal.explain(failure).exit_code for failure in failures]))


def _waited(terminal: Terminal, until: datetime, deadline: datetime) -> bool:
    """Wait until a moment, if it comes before `deadline` and nobody presses Ctrl-C."""
    try:
        while terminal.clock() < until <= deadline:
            time.sleep(STEP)
    except KeyboardInterrupt:
        return False
    return until <= deadline


def _paint(terminal: Terminal, look: Look, *, alone: bool) -> None:
    painter = terminal.painter
    outcomes = [_outcome(terminal, each) for each in look.verdicts]
    if painter.as_json:
        painter.document([each.to_json() for each in outcomes])
    elif alone:
        conclude(terminal, outcomes[0])
    elif outcomes:
        painter.table(COLUMNS, [_row(*each) for each in zip(look.verdicts, outcomes, strict=True)])
        well = sum(each.works for each in look.verdicts)
        if well == len(outcomes):
            painter.good(f"All {well} work.")
        else:
            painter.bad(f"{well} of {len(outcomes)} work.")
        tell_all(painter, look.troubles)


def _outcome(terminal: Terminal, verdict: Verdict) -> Outcome:
    """The verdict, its failure explained."""
    terminal.name = verdict.name
    finding = terminal.explain(verdict.failure) if verdict.failure else None
    return Outcome(verdict.name, verdict.grant, verdict.rungs, finding)


def _row(verdict: Verdict, outcome: Outcome) -> tuple[str, str, str]:
    if outcome.finding is None:
        return verdict.name, "✓ works", reach(verdict.grant) if verdict.grant else ""
    if verdict.dead and verdict.grant:
        return verdict.name, "✗ dead", reach(verdict.grant)
    word = "✗ failed"
    if verdict.suspected:
        word = "✗ refused"
    elif verdict.open:
        word = "… not asked yet"
    elif verdict.unreached:
        word = "… not reached"
    return verdict.name, word, outcome.finding.title
