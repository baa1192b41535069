"""Asking the person whose account it is: a message to forward, and what comes back for it."""

import sys
from collections.abc import Sequence
from itertools import groupby

import click

from wizard.authorization import StartedAttempt
from wizard.cli.flows.verification import verify
from wizard.cli.renderer import format_datetime
from wizard.cli.terminal import Terminal
from wizard.errors import WizardError, message
from wizard.model import AttemptMode
from wizard.reauthorization import SETTLED_STATES, ReauthorizationItem


def print_requests(terminal: Terminal) -> None:
    """Print, for each person of the repair under way, the message to forward to them.

    The links are useless to others: the verifier and the client secret stay in this home.
    """
    reauthorization = terminal.services.reauthorization.current()
    waiting = (
        [line for line in reauthorization.items if line.state not in SETTLED_STATES]
        if reauthorization
        else []
    )
    documents = []
    for email, lines in groupby(waiting, key=lambda line: line.email):
        authorizations = _begin_authorizations(terminal, list(lines))
        if authorizations:
            text = _request_message(terminal, email, authorizations)
            names = [line.connection for line, _ in authorizations]
            documents.append({"email": email, "names": names, "message": text})
    if terminal.renderer.as_json:
        terminal.renderer.print_json(documents)
    else:
        terminal.renderer.print_output("\n\n".join(str(each["message"]) for each in documents))
        terminal.renderer.print_note(
            "When an address comes back:", command="zoho-wizard reauthorize --response"
        )


def complete_responses(terminal: Terminal) -> list[str]:
    """Complete what was asked for with the addresses that came back, from the prompt or stdin;
    returns the names of the connections they were for."""
    if terminal.is_interactive:
        prompt = "The whole address that came back (it stays unseen)"
        responses = [str(click.prompt(prompt, err=True, hide_input=True))]
    else:
        responses = [line for line in sys.stdin.read().splitlines() if line.strip()]
    names = []
    for response in responses:
        completed = terminal.services.authorization.complete_forwarded(response)
        terminal.connection_name = completed.connection
        names.append(completed.connection)
        if completed.failure is not None:
            terminal.renderer.print_explanation(terminal.explain(completed.failure))
        elif completed.generation is not None:
            verify(terminal, completed.connection, completed.generation)
            terminal.services.reauthorization.continue_after_verification(completed.connection)
    return names


def _begin_authorizations(
    terminal: Terminal, items: Sequence[ReauthorizationItem]
) -> list[tuple[ReauthorizationItem, StartedAttempt]]:
    """A consent for each line, as many as the client may begin now."""
    authorizations = []
    for item in items:
        terminal.connection_name = item.connection
        try:
            attempt = terminal.services.authorization.begin(
                item.connection, AttemptMode.FORWARDED, additional_scope=item.additional_scope
            )
        except WizardError as error:
            terminal.renderer.print_explanation(terminal.explain(error.failure))
            if error.failure.retry_at is not None:
                terminal.renderer.print_note(
                    f"Ask for the rest at {format_datetime(error.failure.retry_at)} or later:",
                    command="zoho-wizard reauthorize --request",
                )
                break
        else:
            authorizations.append((item, attempt))
    return authorizations


def _request_message(
    terminal: Terminal,
    email: str,
    authorizations: Sequence[tuple[ReauthorizationItem, StartedAttempt]],
) -> str:
    item, first = authorizations[0]
    links = "\n".join(f"   {each.connection}: {begun.url}" for each, begun in authorizations)
    return message(
        "letters",
        "consent-request",
        email=email or "the person whose account it is",
        client=item.client_name,
        redirect_uri=first.attempt.redirect_uri,
        host=terminal.services.zoho.data_center(item.location).accounts_server,
        links=links,
    )
