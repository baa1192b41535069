"""Asking the person whose account it is: a message to forward, and what comes back for it."""

import sys
from collections.abc import Sequence
from itertools import groupby

import click

from wizard.authorization import Begun
from wizard.cli.painter import moment
from wizard.cli.proving import prove
from wizard.cli.terminal import Terminal
from wizard.errors import WizardError, phrase
from wizard.model import Mode
from wizard.reauthorization import SETTLED, Line


def ask_others(terminal: Terminal) -> None:
    """Print, for each person of the repair under way, the message to forward to them.

    The links are useless to others: the verifier and the client secret stay in this home.
    """
    repair = terminal.house.repairs.current()
    waiting = [line for line in repair.lines if line.state not in SETTLED] if repair else []
    documents = []
    for email, lines in groupby(waiting, key=lambda line: line.email):
        asked = _begun(terminal, list(lines))
        if asked:
            text = _message(terminal, email, asked)
            names = [line.connection for line, _ in asked]
            documents.append({"email": email, "names": names, "message": text})
    if terminal.painter.as_json:
        terminal.painter.document(documents)
    else:
        terminal.painter.product("\n\n".join(str(each["message"]) for each in documents))
        terminal.painter.note(
            "When an address comes back:", command="zoho-wizard reauthorize --answer"
        )


def take_answers(terminal: Terminal) -> list[str]:
    """Complete what was asked for with the addresses that came back, from the prompt or stdin;
    returns the names of the connections they were for."""
    if terminal.interactive:
        prompt = "The whole address that came back (it stays unseen)"
        answers = [str(click.prompt(prompt, err=True, hide_input=True))]
    else:
        answers = [line for line in sys.stdin.read().splitlines() if line.strip()]
    names = []
    for answer in answers:
        done = terminal.house.authorization.complete_forwarded(answer)
        terminal.name = done.connection
        names.append(done.connection)
        if done.failure is not None:
            terminal.painter.finding(terminal.explain(done.failure))
        elif done.generation is not None:
            prove(terminal, done.connection, done.generation)
            terminal.house.repairs.settle(done.connection)
    return names


def _begun(terminal: Terminal, lines: Sequence[Line]) -> list[tuple[Line, Begun]]:
    """A consent for each line, as many as the client may begin now."""
    asked = []
    for line in lines:
        terminal.name = line.connection
        try:
            begun = terminal.house.authorization.begin(
                line.connection, Mode.FORWARDED, scope=line.scope
            )
        except WizardError as error:
            terminal.painter.finding(terminal.explain(error.failure))
            if error.failure.retry_at is not None:
                terminal.painter.note(
                    f"Ask for the rest at {moment(error.failure.retry_at)} or later:",
                    command="zoho-wizard reauthorize --ask",
                )
                break
        else:
            asked.append((line, begun))
    return asked


def _message(terminal: Terminal, email: str, asked: Sequence[tuple[Line, Begun]]) -> str:
    line, first = asked[0]
    links = "\n".join(f"   {each.connection}: {begun.url}" for each, begun in asked)
    return phrase(
        "messages",
        "ask",
        email=email or "the person whose account it is",
        client=line.client,
        redirect_uri=first.attempt.redirect_uri,
        host=terminal.house.zoho.data_centre(line.location).accounts_server,
        links=links,
    )
