"""The pages that show and control the simulator. Zoho has no such pages."""

from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request, url_for

from wizard.simulator.admin_api import arguments_from_form, openapi_document, perform
from wizard.simulator.catalog import data_centers
from wizard.simulator.errors import SimulatorError
from wizard.simulator.request_context import current_world
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


@pages.get("/_simulator/routes")
def list_routes() -> str:
    """List the routes and controls."""
    paths = openapi_document(current_app, current_world().origin)["paths"]
    return render_template("simulator/routes.html", paths=paths)


@pages.post("/_simulator/page/<control>")
def perform_from_page(control: str) -> Any:
    """Run a control, as the API does, and show the state again."""
    form = request.form.to_dict()
    anchor = form.pop("anchor", None)
    try:
        perform(current_world(), control, arguments_from_form(control, form))
    except SimulatorError as error:
        page = {"title": "That didn’t work", "description": str(error)}
        return render_template("simulator/error.html", **page), error.status
    return redirect(url_for(".show", _anchor=anchor))
