"""The consent pages: what a client asks for, in words, and what the user decides."""

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from flask import abort, jsonify, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from wizard.simulator import authorization_endpoint
from wizard.simulator.authorization_endpoint import (
    AlreadyConsented,
    AuthorizationRequest,
    ChooseOrganization,
    ConsentRequired,
    ErrorPage,
    NoAccount,
)
from wizard.simulator.catalog import product_of_scope, products
from wizard.simulator.middleware import current_world
from wizard.simulator.pages.page_context import (
    current_location,
    location_blueprint,
    require_user,
    sign_in_page,
    signed_in_user,
)

NOT_FOUND = ErrorPage("400 not found", "This address answers GET only.", 400)

pages = location_blueprint("consent", "accounts")


@pages.route("/oauth/v2/auth", methods=["GET", "POST"])
def authorize() -> Any:
    """Answer an authorization request with a page or a redirect."""
    if request.method != "GET":
        return _error_page(NOT_FOUND)
    requested = AuthorizationRequest.read(current_location(), request.args)
    decision = authorization_endpoint.evaluate(current_world(), requested, signed_in_user())
    match decision:
        case authorization_endpoint.SignInRequired():
            return redirect(sign_in_page())
        case ErrorPage():
            return _error_page(decision)
        case AlreadyConsented():
            return _skip_consent(requested, dict(decision.organizations))
        case _:
            return _consent_page(decision)


@pages.post("/oauth/v2/auth/decision")
def decide() -> Response:
    """Do what a button of the consent page means; return the URL to go to.

    The request is checked again from the page's own query, so that the user accepts only what was
    shown.
    """
    user, body = require_user(), request.get_json()
    requested = AuthorizationRequest.read(
        current_location(), MultiDict(parse_qsl(body.get("query", "")))
    )
    chosen = body.get("organizations") or {}
    # The page was shown, so an earlier consent, maybe in another tab, must not skip it.
    decision = authorization_endpoint.evaluate(
        current_world(), replace(requested, prompt="consent"), user, chosen
    )
    match decision, body.get("decision"):
        case ConsentRequired(), "accept":
            url = authorization_endpoint.accept(
                current_world(), requested, user, _organization_ids(decision)
            )
            return jsonify(url=url or url_for(".request_limit"))
        case ConsentRequired() | ChooseOrganization(), "reject":
            return jsonify(url=authorization_endpoint.reject(current_world(), requested))
        case NoAccount(), "no_org":
            return jsonify(url=authorization_endpoint.no_account(current_world(), requested))
    return abort(403, "This page has grown old. Load it again.")


@pages.get("/oauth/v2/auth/limit")
def request_limit() -> Any:
    """Show the page that replaces a code over the limit."""
    return _error_page(authorization_endpoint.request_limit_page(current_world()))


def _skip_consent(
    authorization_request: AuthorizationRequest, organization_ids: dict[str, str]
) -> Any:
    user = require_user()
    url = authorization_endpoint.accept(
        current_world(),
        authorization_request,
        user,
        organization_ids,
        is_consent_shown=False,
    )
    return (
        redirect(url)
        if url
        else _error_page(authorization_endpoint.request_limit_page(current_world()))
    )


def _consent_page(decision: ConsentRequired | ChooseOrganization | NoAccount) -> str:
    choices = decision.choices if isinstance(decision, ChooseOrganization) else {}
    return render_template(
        "simulator/consent.html",
        client=decision.client,
        scope_groups=describe_scopes(decision.request.scopes),
        choices=[(products()[key], owned) for key, owned in choices.items()],
        missing_product=decision.product if isinstance(decision, NoAccount) else None,
        sign_out=url_for("pages.sign_in.sign_out", serviceurl=request.url),
    )


def _organization_ids(consent: ConsentRequired) -> dict[str, str]:
    return {key: each.organization_id for key, each in consent.organizations.items()}


def _error_page(page: ErrorPage) -> tuple[str, int]:
    return (
        render_template("simulator/error.html", title=page.title, description=page.description),
        page.status,
    )


_OPERATION_TEXTS = {
    "ALL": "View, create, change and delete",
    "READ": "View",
    "CREATE": "Create",
    "UPDATE": "Change",
    "DELETE": "Delete",
    "WRITE": "Create and change",
    "CREATE-UPDATE": "Create and change",
}


@dataclass(frozen=True)
class ScopeGroup:
    """What a client asks for in one product, one description for each scope."""

    product: str
    descriptions: list[str]


def describe_scopes(scopes: list[str]) -> list[ScopeGroup]:
    """Return the scopes in words, by product in the order of the scopes."""
    groups: dict[str, list[str]] = {}
    for scope in scopes:
        groups.setdefault(product_title(scope), []).append(describe_scope(scope))
    return [ScopeGroup(product, descriptions) for product, descriptions in groups.items()]


def product_title(scope: str) -> str:
    """Return the product of a scope: `ZohoCRM.org.READ` → CRM."""
    service = scope.partition(".")[0]
    known = product_of_scope(scope)
    if known:
        return known.title
    if "." not in scope or service == "AaaServer":
        return "Your Zoho account"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"^zoho", "", service, flags=re.I))


def describe_scope(scope: str) -> str:
    """Return what a scope allows: `ZohoCRM.modules.leads.READ` → View leads (modules)."""
    _, *names, operation = scope.split(".") if "." in scope else ("", scope, "READ")
    *parents, subject = (_spell_out(name) for name in names)
    action = _OPERATION_TEXTS.get(operation.upper(), operation)
    return f"{action} {subject}" + (f" ({', '.join(parents)})" if parents else "")


def _spell_out(name: str) -> str:
    if name.casefold() == "fullaccess":
        return "everything"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()
