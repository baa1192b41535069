"""The API console of a data centre: register clients, see their secrets, change their settings."""

from typing import Any

from flask import abort, redirect, render_template, request, url_for

from wizard.simulator.clients import SELF_CLIENT, SERVER_BASED, Client
from wizard.simulator.data_centers import can_share_clients, data_centers
from wizard.simulator.pages import page_context
from wizard.simulator.pages.registration import Registration

CLIENT_TYPES = {
    SERVER_BASED: (
        "Server-based Applications",
        "For programs with a web server or a local page that receives the code, and a secret.",
    ),
    SELF_CLIENT: (
        "Self Client",
        "For a program of your own that reaches nobody's data but yours: no redirect, no page.",
    ),
    "client-based": (
        "Client-based Applications",
        "For programs that run wholly in a browser and cannot keep a secret.",
    ),
    "mobile-based": ("Mobile-based Applications", "For programs on a telephone."),
    "non-browser": ("Non-browser Applications", "For devices without a browser of their own."),
}
SUPPORTED_KINDS = (SERVER_BASED, SELF_CLIENT)
SELF_CLIENT_NAME = "Self Client"

pages = page_context.location_blueprint("console", "api-console")


@pages.get("/")
@page_context.sign_in_required
def home() -> str:
    """List the clients this person registered in this data centre."""
    return render_template(
        "simulator/console.html", clients=_own_clients(), client_types=CLIENT_TYPES
    )


@pages.get("/add")
@page_context.sign_in_required
def add() -> str:
    """Offer the types of client."""
    return render_template(
        "simulator/add.html", client_types=CLIENT_TYPES, supported_kinds=SUPPORTED_KINDS
    )


@pages.get("/add/<kind>")
@page_context.sign_in_required
def form(kind: str) -> Any:
    """Show the form of a new client."""
    if kind not in SUPPORTED_KINDS:
        abort(404)
    existing = page_context.current_world().clients.self_client_of(page_context.require_user().zuid)
    if kind == SELF_CLIENT and existing:
        return redirect(url_for(".client", client_id=existing.client_id))
    return _form(kind, Registration())


@pages.post("/add/<kind>")
@page_context.sign_in_required
def create(kind: str) -> Any:
    """Register a client, or say what is wrong with the form."""
    if kind not in SUPPORTED_KINDS:
        abort(404)
    asked = Registration.read(request.form)
    if kind == SELF_CLIENT:
        asked = Registration(name=SELF_CLIENT_NAME)
    elif asked.errors():
        return _form(kind, asked, asked.errors())
    made = page_context.current_world().clients.register(
        page_context.require_user().zuid,
        page_context.current_location(),
        name=asked.name,
        homepage=asked.homepage,
        redirect_uris=list(asked.redirect_uris),
        kind=kind,
    )
    return redirect(url_for(".client", client_id=made.client_id))


@pages.get("/client/<client_id>")
@page_context.sign_in_required
def client(client_id: str) -> Any:
    """Show a client: its secret, or for a self client the form that generates a code."""
    mine = own_client(client_id)
    if mine.kind == SELF_CLIENT:
        return redirect(url_for("pages.self_client.form", client_id=client_id))
    return _tab("secret", mine)


@pages.get("/client/<client_id>/secret")
@page_context.sign_in_required
def secret(client_id: str) -> str:
    """Show a client's id and its secret in this data centre."""
    return _tab("secret", own_client(client_id))


@pages.post("/client/<client_id>/secret")
@page_context.sign_in_required
def regenerate(client_id: str) -> Any:
    """Make a new secret; the old one is wrong from now on."""
    page_context.current_world().clients.rotate_secret(
        own_client(client_id).client_id, page_context.current_location()
    )
    return redirect(url_for(".secret", client_id=client_id))


@pages.get("/client/<client_id>/details")
@page_context.sign_in_required
def details(client_id: str) -> str:
    """Show what was registered, to be changed."""
    mine = _server_based(client_id)
    return _tab("details", mine, registration=Registration.of(mine), errors={})


@pages.post("/client/<client_id>/details")
@page_context.sign_in_required
def update(client_id: str) -> Any:
    """Change name, homepage and redirect URIs, or say what is wrong with them."""
    mine, asked = _server_based(client_id), Registration.read(request.form)
    if asked.errors():
        return _tab("details", mine, registration=asked, errors=asked.errors())
    mine.name, mine.homepage = asked.name, asked.homepage
    mine.redirect_uris = list(asked.redirect_uris)
    return _tab("details", mine, registration=asked, errors={}, updated=True)


@pages.post("/client/<client_id>/delete")
@page_context.sign_in_required
def delete(client_id: str) -> Any:
    """Delete a client for good."""
    page_context.current_world().clients.delete(own_client(client_id).client_id)
    return redirect(url_for(".home"))


@pages.get("/client/<client_id>/settings")
@page_context.sign_in_required
def settings(client_id: str) -> str:
    """Show in which data centres the client is known, and with which secrets."""
    mine = _server_based(client_id)
    all_data_centers = data_centers().values()
    shared = [each for each in all_data_centers if can_share_clients(mine.location, each.location)]
    return _tab("settings", mine, data_centers=shared)


@pages.post("/client/<client_id>/settings/<location:other_location>")
@page_context.sign_in_required
def toggle_data_center(client_id: str, other_location: str) -> Any:
    """Switch another data centre on or off."""
    mine, clients = _server_based(client_id), page_context.current_world().clients
    if not can_share_clients(mine.location, other_location) or other_location == mine.location:
        abort(404)
    if mine.is_known_in(other_location):
        clients.disable_data_center(client_id, other_location)
    else:
        clients.enable_data_center(client_id, other_location)
    return redirect(url_for(".settings", client_id=client_id))


@pages.post("/client/<client_id>/settings")
@page_context.sign_in_required
def share_credentials(client_id: str) -> Any:
    """Use the same credentials in all data centres, or each its own."""
    mine = _server_based(client_id)
    page_context.current_world().clients.use_same_credentials(
        mine.client_id, "same" in request.form
    )
    return redirect(url_for(".settings", client_id=client_id))


def own_client(client_id: str) -> Client:
    """Return a client of this person, registered in this console; 404 for any other."""
    mine = (each for each in _own_clients() if each.client_id == client_id)
    return next(mine, None) or abort(404)


def _own_clients() -> list[Client]:
    owned = page_context.current_world().clients.owned_by(page_context.require_user().zuid)
    return [each for each in owned if each.location == page_context.current_location()]


def _server_based(client_id: str) -> Client:
    mine = own_client(client_id)
    return mine if mine.kind == SERVER_BASED else abort(404)


def _form(kind: str, registration: Registration, errors: dict[str, str] | None = None) -> str:
    return render_template(
        "simulator/new_client.html",
        kind=kind,
        title=CLIENT_TYPES[kind][0],
        registration=registration,
        errors=errors or {},
    )


def _tab(tab: str, mine: Client, **values: Any) -> str:
    return render_template(f"simulator/client_{tab}.html", tab=tab, client=mine, **values)
