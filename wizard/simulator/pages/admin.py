"""The page that shows the simulator's people, clients, tokens, clock, journal and faults."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for

from wizard.simulator import controls
from wizard.simulator.catalog import data_centers
from wizard.simulator.controls import READ_ONLY_CONTROLS
from wizard.simulator.faults import FAULT_KINDS
from wizard.simulator.middleware import current_world, json_error
from wizard.simulator.pages import page_context

JOURNAL_ENTRIES_SHOWN = 40
CLOCK_STEPS_SECONDS = {"2 minutes": 120, "10 minutes": 600, "1 hour": 3600, "1 day": 86400}

pages = Blueprint("admin", __name__)


@pages.get("/")
def root() -> Any:
    """Lead to the state page."""
    return redirect(url_for(".show"))


@pages.get("/_simulator/")
def show() -> str:
    """Show everything, secrets of clients and tokens excepted."""
    world = page_context.current_world()
    counts = {
        client.client_id: len(list(world.grants.active_refresh_tokens(client_id=client.client_id)))
        for client in world.clients
    }
    return render_template(
        "simulator/state.html",
        world=world,
        now=world.clock(),
        data_centers=data_centers(),
        active_refresh_tokens=counts,
        refresh_tokens=len(list(world.grants.active_refresh_tokens())),
        access_tokens=len(list(world.grants.active_access_tokens())),
        journal=world.journal.entries()[: -JOURNAL_ENTRIES_SHOWN - 1 : -1],
        fault_kinds=FAULT_KINDS,
        clock_steps=CLOCK_STEPS_SECONDS,
    )


@pages.post("/_simulator/page/<control>")
def perform(control: str) -> Any:
    """Carry out a control, as the admin API does, and show the state again."""
    try:
        arguments = {
            name: _FIELD_PARSERS.get(name, str)(text) for name, text in request.form.items()
        }
        back = arguments.pop("back", None)
        controls.perform(page_context.current_world(), control, arguments)
    except (LookupError, TypeError, ValueError) as error:
        page = {"title": "This could not be done", "description": str(error)}
        return render_template("simulator/error.html", **page), 400
    return redirect(url_for(".show", _anchor=back))


_FIELD_PARSERS: dict[str, Callable[[str], Any]] = {
    "seconds": float,
    "times": int,
    "remove_tokens": lambda text: text == "yes",
    "deactivated": lambda text: text == "yes",
}
"""How a field of a form becomes the JSON value that a control takes; others are text."""


controls_api = Blueprint("controls", __name__, url_prefix="/_simulator")
"""`GET`: verbs that change nothing; `POST`: all, wishes as JSON."""


@controls_api.get("/controls/<control>")
def read_control(control: str) -> Response:
    """Say how things are."""
    if control not in READ_ONLY_CONTROLS:
        return json_error("LookupError", f"there is nothing to look at called {control!r}", 404)
    return jsonify(controls.perform(current_world(), control, {}))


@controls_api.post("/controls/<control>")
def perform_control(control: str) -> Response:
    """Do what is wished for."""
    arguments = request.get_json(silent=True)
    if not isinstance(arguments, dict):
        return json_error("ValueError", "the wish is not a JSON object", 400)
    try:
        return jsonify(controls.perform(current_world(), control, arguments))
    except LookupError as unknown:
        return json_error("LookupError", str(unknown), 404)
    except (ValueError, TypeError) as impossible:
        return json_error("ValueError", str(impossible), 400)
