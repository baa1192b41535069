"""The self client's "Generate Code": a code for one's own data, without a redirect."""

from collections.abc import Mapping
from typing import Any

from flask import abort, render_template, request

from wizard.simulator import scopes
from wizard.simulator.clients import SELF_CLIENT, Client
from wizard.simulator.grants import Permission
from wizard.simulator.pages import page_context
from wizard.simulator.pages.console import own_client
from wizard.simulator.people import Organization
from wizard.simulator.product_catalog import products_of
from wizard.simulator.self_client import generate_code

MINUTES = (3, 5, 7, 10)
INVALID_SCOPE = "Enter valid scopes, separated by commas."
DESCRIPTION_MISSING = "Enter a scope description."
CODE_LIMIT_REACHED = "Maximum request limit reached. Please try again after some time."

pages = page_context.location_blueprint("self_client", "api-console")


@pages.get("/client/<client_id>/code")
@page_context.sign_in_required
def form(client_id: str) -> str:
    """Show the form that generates a code."""
    return _page("form", _self_client(client_id), errors={}, sent={})


@pages.post("/client/<client_id>/code")
@page_context.sign_in_required
def generate(client_id: str) -> str:
    """Generate a code, after asking for the portal where the scopes leave a choice."""
    mine, user = _self_client(client_id), page_context.require_user()
    errors = _errors(request.form)
    if errors:
        return _page("form", mine, errors=errors, sent=request.form)
    asked = scopes.split(request.form["scope"])
    bound = [product for product in products_of(asked) if product.binds_organization]
    owned = {each.key: user.organizations_in(each.key) for each in bound}
    chosen = {
        key: _chosen_organization(each, request.form.get(key))
        for key, each in owned.items()
        if each
    }
    if None in chosen.values():
        choices = [(each, owned[each.key]) for each in bound if len(owned[each.key]) > 1]
        return _page("portal", mine, sent=request.form, choices=choices)
    ids = {key: each.organization_id for key, each in chosen.items() if each}
    return _generate(
        mine, Permission(client_id, user.zuid, page_context.current_location(), asked, ids)
    )


def _generate(mine: Client, permission: Permission) -> str:
    minutes = int(request.form["minutes"])
    code = generate_code(page_context.current_world(), permission, lifetime_seconds=60 * minutes)
    if code is None:
        return _page("form", mine, errors={"scope": CODE_LIMIT_REACHED}, sent=request.form)
    return _page("done", mine, code=code.code, minutes=minutes)


def _chosen_organization(
    owned: list[Organization], organization_id: str | None
) -> Organization | None:
    if len(owned) == 1:
        return owned[0]
    return next((each for each in owned if each.organization_id == organization_id), None)


def _errors(form_fields: Mapping[str, str]) -> dict[str, str]:
    errors = {}
    asked = scopes.split(form_fields.get("scope", ""))
    if not asked or not all(map(scopes.is_known, asked)):
        errors["scope"] = INVALID_SCOPE
    if not form_fields.get("description", "").strip():
        errors["description"] = DESCRIPTION_MISSING
    if form_fields.get("minutes") not in {str(each) for each in MINUTES}:
        abort(400)
    return errors


def _self_client(client_id: str) -> Client:
    mine = own_client(client_id)
    return mine if mine.kind == SELF_CLIENT else abort(404)


def _page(step: str, mine: Client, **values: Any) -> str:
    return render_template(
        f"simulator/code_{step}.html", tab="code", client=mine, durations=MINUTES, **values
    )
