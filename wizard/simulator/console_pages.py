"""The API console of a data center: register clients, see and change them, generate codes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import abort, redirect, render_template, request, url_for

from wizard.simulator import authorization_endpoint
from wizard.simulator.catalog import (
    can_share_clients,
    data_centers,
    products_of,
    self_client_scopes,
)
from wizard.simulator.clients import CLIENT_BASED, MOBILE, SELF_CLIENT, SERVER_BASED, Client
from wizard.simulator.grants import Permission
from wizard.simulator.request_context import (
    current_location,
    current_world,
    location_blueprint,
    require_user,
    sign_in_required,
)
from wizard.simulator.users import Organization

CLIENT_TYPES = {
    SERVER_BASED: (
        "Server-based Applications",
        "For programs with a web server or a local page that receives the code.",
    ),
    SELF_CLIENT: (
        "Self Client",
        "For your own programs and data, without a redirect or a page.",
    ),
    CLIENT_BASED: (
        "Client-based Applications",
        "For programs that run in a browser and can’t keep a secret.",
    ),
    MOBILE: ("Mobile-based Applications", "For apps on a phone or a computer, with PKCE."),
    "non-browser": ("Non-browser Applications", "For devices without a browser."),
}
SUPPORTED_KINDS = (SERVER_BASED, SELF_CLIENT, MOBILE)
SELF_CLIENT_NAME = "Self Client"

NAME_MISSING = "Enter a client name."
INVALID_NAME = "The client name can have no special characters except _ and &."
INVALID_HOMEPAGE = "Enter a valid homepage URL, such as https://www.example.com."
INVALID_REDIRECT_URIS = "Enter valid redirect URIs: full URLs that start with http:// or https://."

_NAME = re.compile(r"[\w& ]+")
_APP_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
MINUTES = (3, 5, 7, 10)
INVALID_SCOPE = "Enter valid scopes, separated by commas."
DESCRIPTION_MISSING = "Enter a scope description."
CODE_LIMIT_REACHED = "Maximum request limit reached. Please try again after some time."

pages = location_blueprint("console", "api-console")


@dataclass(frozen=True)
class Registration:
    """Name, homepage URL and redirect URIs in the form of a client."""

    name: str = ""
    homepage: str = ""
    redirect_uris: tuple[str, ...] = ()

    @classmethod
    def read(cls, form: Mapping[str, str]) -> "Registration":
        """Read the form, without spaces around the lines."""
        return cls(
            name=form.get("name", "").strip(),
            homepage=form.get("homepage", "").strip(),
            redirect_uris=tuple(form.get("redirect_uris", "").split()),
        )

    @classmethod
    def of(cls, client: Client) -> "Registration":
        """Return the values of a registered client."""
        return cls(client.name, client.homepage, tuple(client.redirect_uris))

    def errors(self, kind: str) -> dict[str, str]:
        """Return field name → error; empty if Zoho would accept the form for a client of `kind`."""
        errors = {}
        if not _NAME.fullmatch(self.name):
            errors["name"] = INVALID_NAME if self.name else NAME_MISSING
        if not _is_full_url(self.homepage):
            errors["homepage"] = INVALID_HOMEPAGE
        if not self.redirect_uris or not all(
            _is_redirect_uri(each, kind) for each in self.redirect_uris
        ):
            errors["redirect_uris"] = INVALID_REDIRECT_URIS
        return errors


@pages.get("/")
@sign_in_required
def home() -> str:
    """List the clients that this user registered in this data center."""
    return render_template(
        "simulator/console.html", clients=_own_clients(), client_types=CLIENT_TYPES
    )


@pages.get("/add")
@sign_in_required
def add() -> str:
    """Show the types of clients."""
    return render_template(
        "simulator/add.html", client_types=CLIENT_TYPES, supported_kinds=SUPPORTED_KINDS
    )


@pages.get("/add/<kind>")
@sign_in_required
def form(kind: str) -> Any:
    """Show the form for a new client."""
    if kind not in SUPPORTED_KINDS:
        abort(404)
    existing = current_world().clients.self_client_of(require_user().zuid)
    if kind == SELF_CLIENT and existing:
        return redirect(url_for(".client", client_id=existing.client_id))
    return _form(kind, Registration())


@pages.post("/add/<kind>")
@sign_in_required
def create(kind: str) -> Any:
    """Register a client, or show the errors of the form."""
    if kind not in SUPPORTED_KINDS:
        abort(404)
    registration = Registration.read(request.form)
    if kind == SELF_CLIENT:
        registration = Registration(name=SELF_CLIENT_NAME)
    elif errors := registration.errors(kind):
        return _form(kind, registration, errors)
    client = current_world().clients.register(
        require_user().zuid,
        current_location(),
        name=registration.name,
        homepage=registration.homepage,
        redirect_uris=list(registration.redirect_uris),
        kind=kind,
    )
    return redirect(url_for(".client", client_id=client.client_id))


@pages.get("/client/<client_id>")
@sign_in_required
def client(client_id: str) -> Any:
    """Show a client: its secret, or for a self client the form that generates a code."""
    client = own_client(client_id)
    if client.kind == SELF_CLIENT:
        return redirect(url_for(".code_form", client_id=client_id))
    return _tab("secret", client)


@pages.get("/client/<client_id>/secret")
@sign_in_required
def secret(client_id: str) -> str:
    """Show the ID of a client and its secret in this data center."""
    return _tab("secret", own_client(client_id))


@pages.post("/client/<client_id>/secret")
@sign_in_required
def regenerate(client_id: str) -> Any:
    """Replace the secret."""
    current_world().clients.rotate_secret(own_client(client_id).client_id, current_location())
    return redirect(url_for(".secret", client_id=client_id))


@pages.get("/client/<client_id>/details")
@sign_in_required
def details(client_id: str) -> str:
    """Show the form with the registered values."""
    client = _client_with_redirects(client_id)
    return _tab("details", client, registration=Registration.of(client), errors={})


@pages.post("/client/<client_id>/details")
@sign_in_required
def update(client_id: str) -> Any:
    """Change name, homepage and redirect URIs, or show the errors of the form."""
    client, registration = _client_with_redirects(client_id), Registration.read(request.form)
    if errors := registration.errors(client.kind):
        return _tab("details", client, registration=registration, errors=errors)
    client.name, client.homepage = registration.name, registration.homepage
    client.redirect_uris = list(registration.redirect_uris)
    return _tab("details", client, registration=registration, errors={}, updated=True)


@pages.post("/client/<client_id>/delete")
@sign_in_required
def delete(client_id: str) -> Any:
    """Delete a client and its tokens."""
    current_world().delete_client(own_client(client_id).client_id)
    return redirect(url_for(".home"))


@pages.get("/client/<client_id>/settings")
@sign_in_required
def settings(client_id: str) -> str:
    """Show in which data centers the client is enabled, and its secrets."""
    client = _client_with_redirects(client_id)
    all_data_centers = data_centers().values()
    shared = [
        each for each in all_data_centers if can_share_clients(client.location, each.location)
    ]
    return _tab("settings", client, data_centers=shared)


@pages.post("/client/<client_id>/settings/<location:other_location>")
@sign_in_required
def toggle_data_center(client_id: str, other_location: str) -> Any:
    """Enable or disable another data center."""
    client, clients = _client_with_redirects(client_id), current_world().clients
    if not can_share_clients(client.location, other_location) or other_location == client.location:
        abort(404)
    if client.is_known_in(other_location):
        clients.disable_data_center(client_id, other_location)
    else:
        clients.enable_data_center(client_id, other_location)
    return redirect(url_for(".settings", client_id=client_id))


@pages.post("/client/<client_id>/settings")
@sign_in_required
def share_credentials(client_id: str) -> Any:
    """Use the same credentials in all data centers, or different ones."""
    client = _client_with_redirects(client_id)
    current_world().clients.use_same_credentials(client.client_id, "same" in request.form)
    return redirect(url_for(".settings", client_id=client_id))


def own_client(client_id: str) -> Client:
    """Return a client that this user registered in this console, else 404."""
    matching = (each for each in _own_clients() if each.client_id == client_id)
    return next(matching, None) or abort(404)


def _own_clients() -> list[Client]:
    owned = current_world().clients.owned_by(require_user().zuid)
    return [each for each in owned if each.location == current_location()]


def _client_with_redirects(client_id: str) -> Client:
    client = own_client(client_id)
    return client if client.kind != SELF_CLIENT else abort(404)


def _form(kind: str, registration: Registration, errors: dict[str, str] | None = None) -> str:
    return render_template(
        "simulator/new_client.html",
        kind=kind,
        title=CLIENT_TYPES[kind][0],
        registration=registration,
        errors=errors or {},
    )


def _tab(tab: str, client: Client, **values: Any) -> str:
    return render_template(f"simulator/client_{tab}.html", tab=tab, client=client, **values)


@pages.get("/client/<client_id>/code")
@sign_in_required
def code_form(client_id: str) -> str:
    """Show the form that generates a code."""
    return _code_page("form", _self_client(client_id), errors={}, sent={})


@pages.post("/client/<client_id>/code")
@sign_in_required
def generate_code(client_id: str) -> str:
    """Generate a code, after asking for the organization if the scopes leave a choice."""
    client, user = _self_client(client_id), require_user()
    errors = _code_errors(request.form)
    if errors:
        return _code_page("form", client, errors=errors, sent=request.form)
    requested = self_client_scopes(request.form["scope"])
    bound = [product for product in products_of(requested) if product.binds_organization]
    owned = {each.key: user.organizations_in(each.key) for each in bound}
    chosen = {
        key: _chosen_organization(each, request.form.get(key))
        for key, each in owned.items()
        if each
    }
    if None in chosen.values():
        choices = [(each, owned[each.key]) for each in bound if len(owned[each.key]) > 1]
        return _code_page("portal", client, sent=request.form, choices=choices)
    ids = {key: each.organization_id for key, each in chosen.items() if each}
    return _generate_code(
        client, Permission(client_id, user.zuid, current_location(), requested, ids)
    )


def _generate_code(client: Client, permission: Permission) -> str:
    minutes = int(request.form["minutes"])
    code = authorization_endpoint.generate_code(
        current_world(), permission, lifetime_seconds=60 * minutes
    )
    if code is None:
        return _code_page("form", client, errors={"scope": CODE_LIMIT_REACHED}, sent=request.form)
    return _code_page("done", client, code=code.code, minutes=minutes)


def _chosen_organization(
    owned: list[Organization], organization_id: str | None
) -> Organization | None:
    if len(owned) == 1:
        return owned[0]
    return next((each for each in owned if each.organization_id == organization_id), None)


def _code_errors(form_fields: Mapping[str, str]) -> dict[str, str]:
    errors = {}
    if not self_client_scopes(form_fields.get("scope", "")):
        errors["scope"] = INVALID_SCOPE
    if not form_fields.get("description", "").strip():
        errors["description"] = DESCRIPTION_MISSING
    if form_fields.get("minutes") not in {str(each) for each in MINUTES}:
        abort(400)
    return errors


def _self_client(client_id: str) -> Client:
    client = own_client(client_id)
    return client if client.kind == SELF_CLIENT else abort(404)


def _code_page(step: str, client: Client, **values: Any) -> str:
    return render_template(
        f"simulator/code_{step}.html", tab="code", client=client, durations=MINUTES, **values
    )


def _is_full_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_redirect_uri(url: str, kind: str) -> bool:
    """Whether Zoho accepts it: `localhost` works; whether 127.0.0.1 does is a setting. An app can
    have a scheme of its own.
    """
    if kind == MOBILE and _APP_SCHEME.match(url):
        return True
    is_address = _is_full_url(url) and urlsplit(url).hostname == "127.0.0.1"
    is_accepted = not is_address or current_world().settings.loopback_address_redirects
    return _is_full_url(url) and is_accepted and "#" not in url
