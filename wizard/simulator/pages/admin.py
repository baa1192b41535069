"""The simulator's own pages: its state, and the controls over HTTP for this machine."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for

from wizard.simulator import controls
from wizard.simulator.catalog import data_centers
from wizard.simulator.controls import READ_ONLY_CONTROLS
from wizard.simulator.middleware import current_world, json_error
from wizard.simulator.traffic import FAULT_KINDS

JOURNAL_ENTRIES_SHOWN = 40
CLOCK_STEPS_SECONDS = {"2 minutes": 120, "10 minutes": 600, "1 hour": 3600, "1 day": 86400}

pages = Blueprint("admin", __name__)


@pages.get("/")
def root() -> Any:
    """Redirect to the state page."""
    return redirect(url_for(".show"))


@pages.get("/_simulator/")
def show() -> str:
    """Show everything except the secrets of clients and tokens."""
    world = current_world()
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
    """Run a control, as the API does, and show the state again."""
    try:
        arguments = {
            name: _FIELD_PARSERS.get(name, str)(text) for name, text in request.form.items()
        }
        anchor = arguments.pop("anchor", None)
        controls.perform(current_world(), control, arguments)
    except (LookupError, TypeError, ValueError) as error:
        page = {"title": "This could not be done", "description": str(error)}
        return render_template("simulator/error.html", **page), 400
    return redirect(url_for(".show", _anchor=anchor))


_FIELD_PARSERS: dict[str, Callable[[str], Any]] = {
    "seconds": float,
    "times": int,
    "remove_tokens": lambda text: text == "yes",
    "deactivated": lambda text: text == "yes",
}
"""Form field → parser of its value. All others are text."""


controls_api = Blueprint("controls", __name__, url_prefix="/_simulator")
"""`GET` for controls that change nothing, `POST` for all, with a JSON object of arguments."""


@controls_api.get("/controls/<control>")
def read_control(control: str) -> Response:
    """Run a control that changes nothing."""
    if control not in READ_ONLY_CONTROLS:
        return json_error("LookupError", f"there is no read-only control {control!r}", 404)
    return jsonify(controls.perform(current_world(), control, {}))


@controls_api.post("/controls/<control>")
def perform_control(control: str) -> Response:
    """Run a control with arguments in JSON."""
    arguments = request.get_json(silent=True)
    if not isinstance(arguments, dict):
        return json_error("ValueError", "the arguments are not a JSON object", 400)
    try:
        return jsonify(controls.perform(current_world(), control, arguments))
    except LookupError as error:
        return json_error("LookupError", str(error), 404)
    except (ValueError, TypeError) as error:
        return json_error("ValueError", str(error), 400)
