"""Incremental authorization: add scopes to a refresh token that a server-based client has already.

The client exchanges its refresh token for an enhancement token and sends the user with it to a page
that shows only what is new. Afterward, the same refresh token has the scopes, too. The callback
says only whether the user accepted: it has no code, no state and no account.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from flask import Blueprint, abort, jsonify, redirect, url_for
from flask import request as http_request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from wizard.simulator.authorization_endpoint import (
    AlreadyConsented,
    AuthorizationRequest,
    ChooseOrganization,
    ConsentRequired,
    Decision,
    ErrorPage,
    NoAccount,
    PageRequest,
    SignInRequired,
    choose_organizations,
    consent_page,
    error_page,
    invalid_redirect_uri,
    with_query,
)
from wizard.simulator.catalog import is_known_scope, split_scopes
from wizard.simulator.clients import SERVER_BASED
from wizard.simulator.products import METHODS
from wizard.simulator.request_context import (
    current_location,
    current_session,
    current_world,
    location_blueprint,
    require_user,
    sign_in_page,
    signed_in_user,
)
from wizard.simulator.token_endpoint import (
    AccountsResponse,
    TokenRequest,
    client_secret_error,
    request_parameters,
    respond,
)
from wizard.simulator.users import User
from wizard.simulator.world import World

routes = Blueprint("enhancement", __name__, url_prefix="/<location:location>/accounts")


@routes.route("/oauth/v2/token/scopeenhance", methods=METHODS)
def issue_enhancement_token(location: str) -> Any:
    """Issue an enhancement token for a refresh token."""
    if http_request.method != "POST":
        return respond(AccountsResponse(None, 400))
    return respond(
        handle_enhancement_request(current_world(), TokenRequest(location, request_parameters()))
    )


def handle_enhancement_request(world: World, request: TokenRequest) -> AccountsResponse:
    """Return the response to a POST, and issue its enhancement token."""
    if request["grant_type"] != "update_scopes_token":
        return AccountsResponse(None, 400)
    client = world.clients.find(request["client_id"], request.location)
    if client is None or client.kind != SERVER_BASED:
        return AccountsResponse({"error": "invalid_client"}, 400)
    secret_error = client_secret_error(world, client, request.location, request["client_secret"])
    if secret_error:
        return AccountsResponse({"error": secret_error}, 400)
    parent = world.refresh_token(request["refresh_token"], client, request.location)
    if parent is None:
        return AccountsResponse({"error": "invalid_code"}, 400)
    token = world.grants.issue_enhancement_token(parent)
    return AccountsResponse(
        {
            "access_token": token.enhancement_token,
            "token_type": "Bearer",
            "expires_in": world.settings.enhancement_token_lifetime_seconds,
        }
    )


@dataclass(frozen=True)
class ExtraScopeRequest(PageRequest):
    """The parameters of `GET /oauth/v2/token/addextrascope`."""

    client_id: str = ""
    response_type: str = ""
    redirect_uri: str = ""
    scope: str = ""
    enhance_token: str = ""
    logout: str = ""


def evaluate(
    world: World,
    request: ExtraScopeRequest,
    user: User | None,
    organization_ids: Mapping[str, str] | None = None,
) -> Decision:
    """Return what the browser shows. `AlreadyConsented` means that nothing would be added.

    `user` is signed in at this accounts server. `organization_ids` (product key → organization ID)
    are the choices made so far.
    """
    if user is None:
        return SignInRequired()
    error = _error_page(world, request, user)
    if error:
        return error
    client = world.clients.get(request.client_id)
    token = world.enhanceable_token(request.enhance_token, client, request.location)
    assert token is not None  # noqa: S101 - `_error_page` has checked it
    granted = {each.casefold() for each in token.permission.scopes}
    added = [each for each in split_scopes(request.scope) if each.casefold() not in granted]
    if not added:
        return AlreadyConsented(token.permission.organizations)
    shown = AuthorizationRequest(request.location, request.client_id, scope=",".join(added))
    chosen = {**(organization_ids or {}), **token.permission.organizations}
    return choose_organizations(shown, client, user, chosen)


def accept(world: World, request: ExtraScopeRequest, decision: ConsentRequired) -> str:
    """Add the scopes of `decision` to the refresh token; return the callback URL."""
    client = world.clients.get(request.client_id)
    token = world.enhanceable_token(request.enhance_token, client, request.location)
    assert token is not None  # noqa: S101 - `decision` was made with it
    ids = {key: each.organization_id for key, each in decision.organizations.items()}
    world.grants.add_scopes(token, decision.request.scopes, ids)
    world.grants.enhancement_tokens[request.enhance_token].is_used = True
    return success(request)


def success(request: ExtraScopeRequest) -> str:
    """Return the callback URL for a refresh token that has the scopes."""
    return with_query(request.redirect_uri, {"status": "success", "scope_enhanced": "true"})


def failure(request: ExtraScopeRequest, error_code: str) -> str:
    """Return the callback URL for a user who rejected (`access_denied`) or has no account
    (`no_org`).
    """
    return with_query(request.redirect_uri, {"error": error_code})


def _error_page(world: World, request: ExtraScopeRequest, user: User) -> ErrorPage | None:
    status = world.settings.error_page_status
    client = world.clients.find(request.client_id, request.location)
    if client is None or client.kind != SERVER_BASED:
        return ErrorPage("Invalid Client", "The client ID passed does not exist.", status)
    if request.redirect_uri not in client.redirect_uris:
        return invalid_redirect_uri(world)
    token = world.enhanceable_token(request.enhance_token, client, request.location)
    if request.response_type != "update_scopes" or request.logout not in ("true", "false"):
        return ErrorPage("Invalid response type", "A required parameter is missing.", status)
    scopes = split_scopes(request.scope)
    if not scopes or not all(is_known_scope(each) for each in scopes):
        return ErrorPage("Invalid OAuth scope", "The scope passed does not exist.", status)
    if token is None or token.permission.zuid != user.zuid:
        return ErrorPage("Invalid Token", "The enhance token passed is invalid.", status)
    return None


pages = location_blueprint("extra_scope", "accounts")


@pages.get("/oauth/v2/token/addextrascope")
def add_extra_scope() -> Any:
    """Answer a request for more scopes with a page or a redirect."""
    requested = ExtraScopeRequest.read(current_location(), http_request.args)
    user = signed_in_user()
    decision = evaluate(current_world(), requested, user)
    match decision:
        case SignInRequired():
            return redirect(sign_in_page())
        case ErrorPage():
            return error_page(decision)
        case AlreadyConsented():
            _sign_out_if_asked(requested)
            return redirect(success(requested))
        case ConsentRequired() | ChooseOrganization() if user and current_world().take_rejection(
            user
        ):
            return redirect(failure(requested, "access_denied"))
        case _:
            return consent_page(decision, url_for(".decide"), is_addition=True)


@pages.post("/oauth/v2/token/addextrascope/decision")
def decide() -> Response:
    """Do what a button of the page means; return the URL to go to."""
    user, body = require_user(), http_request.get_json()
    query = MultiDict(parse_qsl(body.get("query", "")))
    requested = ExtraScopeRequest.read(current_location(), query)
    decision = evaluate(current_world(), requested, user, body.get("organizations") or {})
    match decision, body.get("decision"):
        case ConsentRequired(), "accept":
            url = accept(current_world(), requested, decision)
        case ConsentRequired() | ChooseOrganization(), "reject":
            url = failure(requested, "access_denied")
        case NoAccount(), "no_org":
            url = failure(requested, "no_org")
        case _:
            abort(403, "This page has expired. Reload it.")
    _sign_out_if_asked(requested)
    return jsonify(url=url)


def _sign_out_if_asked(request: ExtraScopeRequest) -> None:
    session = current_session()
    if session and request.logout == "true":
        current_world().sessions.end(session.session_id)
