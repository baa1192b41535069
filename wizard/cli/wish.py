"""What a new connection shall be, from the options of ``connect``."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import click

from wizard.cli.serving import breaking
from wizard.cli.terminal import Exit, Terminal
from wizard.errors import WizardError, fail
from wizard.model import Client, Connection
from wizard.validation import parse_credentials
from wizard.zoho import ALWAYS, parse_scope, preset

T = TypeVar("T")

USE_IT = "Use the new secret?"


@dataclass(frozen=True)
class Wish:
    """The options of ``connect``, as given."""

    tasks: tuple[str, ...] = ()
    scope: str = ""
    data_centre: str = ""
    client_id: str = ""
    self_client: bool = False

    @property
    def empty(self) -> bool:
        """Nothing was asked for but the name."""
        return not (self.tasks or self.scope or self.data_centre or self.client_id)

    def scopes(self) -> tuple[str, ...]:
        """The scopes of the tasks and those named, with the one that tells who consented.

        Raises ``unknown-preset``, ``malformed-scope``, or ``no-task`` when none was named.
        """
        wanted = [scope for task in self.tasks for scope in preset(task).scope]
        if self.scope:
            wanted.extend(parse_scope(self.scope))
        if not wanted:
            raise fail("no-task")
        return parse_scope(",".join([*wanted, ALWAYS]))

    def location(self, terminal: Terminal) -> str | None:
        """The data centre meant; None where none was named. Raises ``unknown-data-centre``."""
        return location_of(terminal, self.data_centre)

    def stored_client(self, terminal: Terminal) -> Client | None:
        """The client named, or the only fitting one there is; None where there is none.

        Raises ``unknown-client``, or ``client-choice-needed`` where several fit.
        """
        store = terminal.house.store
        if self.client_id:
            return store.client(self.client_id)
        fitting = [
            each for each in store.clients() if self.self_client is not bool(each.redirect_uri)
        ]
        if len(fitting) > 1:
            names = ", ".join(f"{each.client_id} ({each.name})" for each in fitting)
            raise fail("client-choice-needed", clients=names)
        return fitting[0] if fitting else None


def location_of(terminal: Terminal, text: str) -> str | None:
    """The data centre that `text` means: a code, a name or any Zoho address; None for none.

    Raises ``unknown-data-centre``.
    """
    if not text:
        return None
    zoho = terminal.house.zoho
    found = zoho.find(text)
    return found.location if found else zoho.data_centre(text).location


def create(terminal: Terminal, name: str, wish: Wish, client: Client) -> Connection:
    """Store the connection that is wished for; raises ``connection-exists`` or ``bad-name``."""
    connection = Connection(
        name=name,
        client_id=client.client_id,
        scope=wish.scopes(),
        location=wish.location(terminal) or client.location,
        presets=wish.tasks,
        created_at=terminal.clock(),
    )
    terminal.house.store.add_connection(connection)
    return connection


def register(
    terminal: Terminal,
    *,
    name: str = "",
    location: str | None = None,
    self_client: bool = False,
    same_for_all: bool = False,
) -> Client:
    """Ask for a client's id and secret, prove them at Zoho, and store the client. The new secret of
    a client that is stored already takes its place if the person says so.

    Raises what `Clients.admit` raises; nothing is stored then.
    """
    house = terminal.house
    redirect_uri = "" if self_client else house.settings.redirect_uri
    if terminal.interactive:
        _say_how_to_register(terminal, name, location, redirect_uri)
    credentials = parse_credentials(_paste(terminal))
    known = {each.client_id for each in house.store.clients()}
    client = with_new_secret(
        terminal,
        lambda replace: house.clients.admit(
            credentials,
            name=name,
            redirect_uri=redirect_uri,
            location=location,
            same_for_all=same_for_all,
            replace=replace,
        ),
    )
    for note in credentials.notes:
        terminal.painter.note(note)
    if client.client_id in known:
        terminal.painter.note(f"This client is already stored, as {client.name}.")
    home = house.zoho.data_centre(client.location)
    terminal.painter.good(f"{client.client_id} is right at {home.name} ({home.location}).")
    return client


def with_new_secret(
    terminal: Terminal, act: Callable[[bool], T], may: Callable[[str], bool] | None = None
) -> T:
    """What `act` returns. It is told whether a secret that differs from the stored one may replace
    it: first no, and yes if that fails and the person agrees. `may` asks (default: the terminal).

    Raises ``secret-differs`` if nobody can be asked, and `Exit` if the answer is no.
    """
    try:
        return act(False)
    except WizardError as error:
        if error.failure.code != "secret-differs" or not (may or terminal.interactive):
            raise
        terminal.painter.finding(terminal.explain(error.failure))
    with breaking():
        if not (may or partial(click.confirm, err=True))(USE_IT):
            terminal.painter.note("Nothing was changed.")
            raise Exit(1)
    return act(True)


def _say_how_to_register(
    terminal: Terminal, name: str, location: str | None, redirect_uri: str
) -> None:
    zoho = terminal.house.zoho
    home = zoho.data_centre(location) if location else zoho.data_centres[0]
    kind = "Server-based Applications" if redirect_uri else "Self Client"
    where = home.name if location else f"{home.name}; another: --data-centre"
    terminal.painter.note(
        f"Open Zoho's API console ({where}) and choose {kind}:", command=home.console_add
    )
    if redirect_uri:
        terminal.painter.facts(
            [
                ("Client Name", name or terminal.house.clients.free_name()),
                ("Homepage URL", terminal.settings.base_url),
                ("Authorized Redirect URIs", redirect_uri),
            ]
        )


def _paste(terminal: Terminal) -> str:
    """Id and secret together: two prompts for a person, all of stdin from a script."""
    if not terminal.interactive:
        return terminal.secret_text("")
    asked = "Client ID, or both in any shape (it stays unseen)"
    first = click.prompt(asked, err=True, hide_input=True)
    if "secret" in first.lower() or len(first.split()) > 1:
        return str(first)
    return f"{first}\n{terminal.secret_text('Client Secret')}"
