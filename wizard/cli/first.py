"""A first connection in the assisted window: its client in Zoho's console, then its consent."""

from collections.abc import Callable
from dataclasses import replace

import click

from wizard.browser import Console, Form
from wizard.cli.assisting import Assisted
from wizard.cli.repairing import OVER
from wizard.cli.terminal import Terminal
from wizard.cli.wish import Wish, create, with_new_secret
from wizard.errors import WizardError, fail, phrase
from wizard.model import Client
from wizard.validation import parse_credentials
from wizard.zoho import DataCentre

EXPERIMENT = (
    "This is an experiment: the wizard knows Zoho's console from descriptions, and was never tried "
    "on it. At the first surprise it leaves the rest to you."
)
SHOWN = (
    "Zoho shows the id and the secret of the new client. Taken over, they are checked with Zoho, "
    "stored encrypted, and shown nowhere."
)
MAY_I = "May the wizard take them over from that page?"


class ByHand(Exception):
    """The window goes no further with the client; what is wrong is said, and nothing is lost."""

    def __init__(self, error: WizardError) -> None:
        super().__init__(error.failure.code)
        self.failure = error.failure


def located(terminal: Terminal, wish: Wish) -> Wish:
    """`wish` with a data centre, which is asked for where it decides which console opens.

    Raises ``choice-needed`` where nobody can be asked, ``unknown-data-centre``.
    """
    if wish.data_centre or wish.stored_client(terminal) is not None:
        return wish
    if not terminal.interactive:
        raise fail("choice-needed", options="--client")
    asked = "Your Zoho's data centre (eu, us, in …), or any address of your Zoho"
    answered = replace(wish, data_centre=str(click.prompt(asked, err=True)))
    answered.location(terminal)
    return answered


def consent_in_window(
    terminal: Terminal, name: str, wish: Wish, window: Assisted, may: Callable[[str], bool]
) -> int:
    """See that connection `name` and its client are stored, and lead to its consent; returns the
    generation of the grant. `may` asks the person a question.

    Raises `ByHand` where the client must be registered by hand, and as `Assisted.lead`.
    """
    store = terminal.house.store
    if name not in {each.name for each in store.connections()}:
        client = wish.stored_client(terminal) or _registered(terminal, wish, window, may)
        create(terminal, name, wish, client)
    grant = store.grant(name)
    account = grant.account if grant else None
    return window.lead(name, email=account.email if account else "")


def _registered(
    terminal: Terminal, wish: Wish, window: Assisted, may: Callable[[str], bool]
) -> Client:
    place = terminal.house.zoho.data_centre(wish.location(terminal) or "")
    console = window.console()
    try:
        client = _from_console(terminal, place, console, may)
    except WizardError as error:
        if error.failure.code == OVER and window.ended:
            raise
        console.say(phrase("handovers", "console-by-hand"))
        raise ByHand(_surprise("closed") if error.failure.code == OVER else error) from None
    terminal.painter.good(f"{client.client_id} is right at {place.name} ({place.location}).")
    return client


def _from_console(
    terminal: Terminal, place: DataCentre, console: Console, may: Callable[[str], bool]
) -> Client:
    """Have a client registered at `place` and take it over; raises ``console-surprise``,
    ``window-closed``, and as `Clients.admit`."""
    house, settings = terminal.house, terminal.settings
    terminal.painter.note(f"Zoho's API console ({place.name}) opens in a window of its own.")
    terminal.painter.note(EXPERIMENT)
    name = house.clients.free_name()
    console.register(place, Form(name, settings.base_url, settings.redirect_uri))
    console.say(phrase("handovers", "console-created"))
    terminal.painter.note(SHOWN)
    if not may(MAY_I):
        raise _surprise("kept")
    console.say(None)
    text = console.pick_up(place)
    try:
        credentials = parse_credentials(text)
    except WizardError:
        raise _surprise("unread") from None
    return with_new_secret(
        terminal,
        lambda replace: house.clients.admit(
            credentials,
            redirect_uri=settings.redirect_uri,
            location=place.location,
            replace=replace,
        ),
        may,
    )


def _surprise(code: str) -> WizardError:
    return fail("console-surprise", what=phrase("surprises", code))
