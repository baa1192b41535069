"""One consent in the terminal: the address goes out, what the browser ended on comes back."""

import sys
from typing import Protocol

import click

from wizard.authorization import Begun, Completed
from wizard.cli.terminal import Terminal
from wizard.errors import WizardError, fail
from wizard.model import Mode
from wizard.reauthorization import Line, Next

RETRY_A_PASTE = ("paste-not-understood", "paste-not-callback", "callback-unknown-state")
"""The attempt still waits after these: the person may simply paste again."""


class Consents(Protocol):
    """A way in which the consents of a repair are given."""

    by_page: bool
    """Nobody is at a terminal: what a person must decide is decided on the page of the repair."""

    def introduce(self, coming: Next) -> None:
        """Say whose consents come next."""

    def give(self, line: Line) -> int:
        """Ask for the consent of `line` and for its answer; returns the generation of the grant
        that is stored then. Raises as `consent` does."""

    def tell(self, words: str) -> None:
        """Say why nothing is asked for now."""

    def attend(self) -> None:
        """Called again and again while nothing is asked for; raises where nobody can go on."""


def counted(count: int) -> str:
    """How many, in words."""
    return "1 consent" if count == 1 else f"{count} consents"


class PasteBack:
    """Consents in any browser; where it ends is pasted into the terminal."""

    by_page = False

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def introduce(self, coming: Next) -> None:
        """Say who must sign in, and who may be signed in there still."""
        line, painter = coming.line, self._terminal.painter
        if line is None or not line.email:
            return
        painter.blank()
        task = f"Next: {counted(coming.left)} as {line.email}."
        painter.note(f"{task} Sign in to Zoho as {line.email}.")
        if coming.previous and coming.previous != line.email:
            place = self._terminal.house.zoho.data_centre(line.location)
            painter.note(
                f"{coming.previous} may be signed in there still. Sign out first, or use a private "
                "window:",
                command=place.sign_out_url,
            )

    def give(self, line: Line) -> int:
        """Print the address and wait for what comes back."""
        client = self._terminal.house.store.client(line.client_id)
        self_client = not client.redirect_uri
        return consent(self._terminal, line.connection, self_client=self_client, scope=line.scope)

    def tell(self, words: str) -> None:
        """Say it here."""
        self._terminal.painter.note(words)

    def attend(self) -> None:
        """A terminal needs no looking after."""


def consent(
    terminal: Terminal, name: str, *, self_client: bool, scope: tuple[str, ...] = ()
) -> int:
    """Ask for a consent for connection `name` and for its answer; returns the generation of the
    grant that is stored then. `scope` is asked for beside what the connection has.

    Raises what `Authorization.begin` raises, and the failure of a consent that led to no grant.
    """
    return generation_of(
        _self_client(terminal, name) if self_client else _paste_back(terminal, name, scope)
    )


def generation_of(completed: Completed) -> int:
    """The generation of the grant that an attempt led to; raises its failure else."""
    if completed.failure is not None:
        raise WizardError(completed.failure)
    if completed.generation is None:
        raise fail("unknown", name=completed.connection)
    return completed.generation


def _paste_back(terminal: Terminal, name: str, scope: tuple[str, ...]) -> Completed:
    painter, authorization = terminal.painter, terminal.house.authorization
    begun = authorization.begin(name, Mode.PASTE, scope=scope)
    painter.note("Open this address in any browser, sign in and accept:", command=begun.url)
    painter.note(
        f"Your browser will end at {terminal.settings.redirect_uri}, on a page that cannot be "
        "reached, or that says the consent was begun elsewhere; that is right: copy its whole "
        "address and paste it here. (A bare code is taken too, but then only PKCE protects it.)"
    )
    try:
        return _pasted(terminal, begun)
    except BaseException:
        # Only this process could have finished it.
        authorization.abandon(begun.attempt.id)
        raise


def _pasted(terminal: Terminal, begun: Begun) -> Completed:
    while True:
        text = _line(terminal, "The whole address (it stays unseen)")
        try:
            return terminal.house.authorization.complete_pasted(
                begun.attempt.id, begun.cookie_value, text
            )
        except WizardError as error:
            if error.failure.code not in RETRY_A_PASTE or not terminal.interactive:
                raise
            terminal.painter.finding(terminal.explain(error.failure))


def _self_client(terminal: Terminal, name: str) -> Completed:
    connection = terminal.house.store.connection(name)
    client = terminal.house.store.client(connection.client_id)
    home = terminal.house.zoho.data_centre(client.location)
    terminal.painter.note(
        "In Zoho's API console, at your Self Client, choose Generate Code with this scope:",
        command=home.console_client(client.client_id),
    )
    terminal.painter.command(",".join(connection.scope))
    code = _line(terminal, "The code (it lives for some minutes, and stays unseen)")
    return terminal.house.authorization.complete_self_client(name, code)


def _line(terminal: Terminal, prompt: str) -> str:
    if terminal.interactive:
        return str(click.prompt(prompt, err=True, hide_input=True))
    return sys.stdin.readline()
