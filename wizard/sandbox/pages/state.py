"""The page that shows the sandbox from outside: people, clients, tokens, clock, journal, faults."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from wizard.sandbox import controls
from wizard.sandbox.data_centres import data_centres
from wizard.sandbox.faults import KINDS
from wizard.sandbox.pages import visit

JOURNAL_SHOWN = 40
STEPS = {"2 minutes": 120, "10 minutes": 600, "1 hour": 3600, "1 day": 86400}

pages = Blueprint("state", __name__)


@pages.get("/")
def root() -> Any:
    """Lead to the state page."""
    return redirect(url_for(".show"))


@pages.get("/_sandbox/")
def show() -> str:
    """Show everything, secrets of clients and tokens excepted."""
    world = visit.world()
    counts = {
        client.client_id: len(list(world.grants.live_refresh_tokens(client_id=client.client_id)))
        for client in world.clients
    }
    return render_template(
        "sandbox/state.html",
        world=world,
        now=world.clock(),
        centres=data_centres(),
        live_refresh_tokens=counts,
        refresh_tokens=len(list(world.grants.live_refresh_tokens())),
        access_tokens=len(list(world.grants.live_access_tokens())),
        journal=world.journal.entries()[: -JOURNAL_SHOWN - 1 : -1],
        kinds=KINDS,
        steps=STEPS,
    )


@pages.post("/_sandbox/page/<verb>")
def do(verb: str) -> Any:
    """Carry out a control, as the admin API does, and show the state again."""
    try:
        wish = {name: _READERS.get(name, str)(text) for name, text in request.form.items()}
        back = wish.pop("back", None)
        controls.perform(visit.world(), verb, wish)
    except (LookupError, TypeError, ValueError) as error:
        page = {"title": "This could not be done", "description": str(error)}
        return render_template("sandbox/error.html", **page), 400
    return redirect(url_for(".show", _anchor=back))


_READERS: dict[str, Callable[[str], Any]] = {
    "seconds": float,
    "times": int,
    "remove_tokens": lambda text: text == "yes",
    "deactivated": lambda text: text == "yes",
}
"""How a field of a form becomes the JSON value that a control takes; others are text."""
