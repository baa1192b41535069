"""The self client's "Generate Code": a code for one's own data, without a redirect."""

from collections.abc import Mapping
from typing import Any

from flask import abort, render_template, request

from wizard.sandbox import scopes
from wizard.sandbox.catalogue import products_of
from wizard.sandbox.clients import SELF_CLIENT, Client
from wizard.sandbox.grants import Permission
from wizard.sandbox.pages import visit
from wizard.sandbox.pages.console import own_client
from wizard.sandbox.people import Organization
from wizard.sandbox.self_client import generate_code

MINUTES = (3, 5, 7, 10)
SCOPE_WRONG = "Enter valid scopes, separated by commas."
DESCRIPTION_MISSING = "Enter a scope description."
TOO_MANY = "Maximum request limit reached. Please try again after some time."

pages = visit.located("self_client", "api-console")


@pages.get("/client/<client_id>/code")
@visit.signed_in
def form(client_id: str) -> str:
    """Show the form that generates a code."""
    return _page("form", _self_client(client_id), errors={}, sent={})


@pages.post("/client/<client_id>/code")
@visit.signed_in
def generate(client_id: str) -> str:
    """Generate a code, after asking for the portal where the scopes leave a choice."""
    mine, user = _self_client(client_id), visit.present_user()
    errors = _errors(request.form)
    if errors:
        return _page("form", mine, errors=errors, sent=request.form)
    asked = scopes.split(request.form["scope"])
    bound = [product for product in products_of(asked) if product.binds]
    owned = {each.key: user.organizations_in(each.key) for each in bound}
    chosen = {key: _chosen(each, request.form.get(key)) for key, each in owned.items() if each}
    if None in chosen.values():
        choices = [(each, owned[each.key]) for each in bound if len(owned[each.key]) > 1]
        return _page("portal", mine, sent=request.form, choices=choices)
    ids = {key: each.organization_id for key, each in chosen.items() if each}
    return _generate(mine, Permission(client_id, user.zuid, visit.location(), asked, ids))


def _generate(mine: Client, permission: Permission) -> str:
    minutes = int(request.form["minutes"])
    code = generate_code(visit.world(), permission, life=60 * minutes)
    if code is None:
        return _page("form", mine, errors={"scope": TOO_MANY}, sent=request.form)
    return _page("done", mine, code=code.code, minutes=minutes)


def _chosen(owned: list[Organization], organization_id: str | None) -> Organization | None:
    if len(owned) == 1:
        return owned[0]
    return next((each for each in owned if each.organization_id == organization_id), None)


def _errors(sent: Mapping[str, str]) -> dict[str, str]:
    errors = {}
    asked = scopes.split(sent.get("scope", ""))
    if not asked or not all(map(scopes.is_known, asked)):
        errors["scope"] = SCOPE_WRONG
    if not sent.get("description", "").strip():
        errors["description"] = DESCRIPTION_MISSING
    if sent.get("minutes") not in {str(each) for each in MINUTES}:
        abort(400)
    return errors


def _self_client(client_id: str) -> Client:
    mine = own_client(client_id)
    return mine if mine.kind == SELF_CLIENT else abort(404)


def _page(step: str, mine: Client, **values: Any) -> str:
    return render_template(
        f"sandbox/code_{step}.html", tab="code", client=mine, durations=MINUTES, **values
    )
