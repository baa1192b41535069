"""The authorization endpoint: decide what a browser that asks for consent sees, and show it.

`evaluate` changes nothing. `accept`, `reject` and `no_account` do what the buttons do and return
the URL that the browser goes to. `generate_code` issues a self client's code. The consent page says
in words what the client asks for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

from flask import abort, jsonify, redirect, render_template, url_for
from flask import request as http_request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from wizard.simulator.catalog import (
    is_known_scope,
    product_of_scope,
    products,
    products_of,
    self_client_scopes,
    split_scopes,
)
from wizard.simulator.clients import CLIENT_BASED, MOBILE, SELF_CLIENT, Client
from wizard.simulator.grants import AuthorizationCode, Permission
from wizard.simulator.products import METHODS, Product
from wizard.simulator.request_context import (
    current_location,
    current_world,
    location_blueprint,
    require_user,
    sign_in_page,
    signed_in_user,
)
from wizard.simulator.users import Organization, User
from wizard.simulator.world import World

REQUEST_LIMIT_TEXT = (
    "Access Denied: Maximum request limit reached for your account. "
    "Please try again after some time or contact the app's developer."
)


@dataclass(frozen=True)
class PageRequest:
    """The parameters of a request for a page, unchecked: one field each, "" if it's missing.

    Unknown parameters are ignored.
    """

    location: str

    @classmethod
    def read(cls, location: str, parameters: Mapping[str, str]) -> Self:
        """Read the request from a query (name → first value)."""
        names = [each.name for each in fields(cls) if each.name != "location"]
        return cls(location, **{name: parameters[name] for name in names if name in parameters})


@dataclass(frozen=True)
class AuthorizationRequest(PageRequest):
    """The parameters of `GET /oauth/v2/auth`."""

    client_id: str = ""
    response_type: str = ""
    redirect_uri: str = ""
    scope: str = ""
    access_type: str = "online"
    prompt: str = ""
    state: str = ""
    code_challenge: str = ""
    code_challenge_method: str = "plain"
    nonce: str = ""

    @property
    def scopes(self) -> list[str]:
        """The requested scopes."""
        return split_scopes(self.scope)

    @property
    def is_offline(self) -> bool:
        """Whether the client asks for a refresh token."""
        return self.access_type == "offline"


@dataclass(frozen=True)
class SignInRequired:
    """No user is signed in: redirect to the sign-in page."""


@dataclass(frozen=True)
class ErrorPage:
    """One of Zoho's error pages; the browser doesn't return to the client."""

    title: str
    description: str
    status: int


@dataclass(frozen=True)
class AlreadyConsented:
    """Silent re-authorization: no page is shown.

    The browser goes to the URL that `accept` returns for `organizations` (product key → ID) with
    `is_consent_shown=False`.
    """

    organizations: Mapping[str, str]


@dataclass(frozen=True)
class NoAccount:
    """The user has no account in `product`: the only button is "Back to app"; see `no_account`."""

    request: AuthorizationRequest
    client: Client
    product: Product


@dataclass(frozen=True)
class ChooseOrganization:
    """The user has to choose: product key → organizations."""

    request: AuthorizationRequest
    client: Client
    choices: Mapping[str, list[Organization]]


@dataclass(frozen=True)
class ConsentRequired:
    """The consent page. `organizations` is product key → the chosen or only organization."""

    request: AuthorizationRequest
    client: Client
    user: User
    organizations: Mapping[str, Organization]


Decision = (
    SignInRequired | ErrorPage | AlreadyConsented | NoAccount | ChooseOrganization | ConsentRequired
)


def evaluate(
    world: World,
    request: AuthorizationRequest,
    user: User | None,
    organization_ids: Mapping[str, str] | None = None,
) -> Decision:
    """Return what the browser shows.

    `user` is signed in at this accounts server. Parameters are checked only if there is a user.
    `organization_ids` (product key → organization ID) are the choices made so far.
    """
    if user is None:
        return SignInRequired()
    error = _error_page(world, request)
    if error:
        return error
    client = world.clients.get(request.client_id)
    return _evaluate_account(world, request, client, user, organization_ids or {})


def accept(
    world: World,
    request: AuthorizationRequest,
    user: User,
    organization_ids: Mapping[str, str],
    *,
    is_consent_shown: bool = True,
) -> str:
    """Issue a code to the client, or an access token to a client-based one, and return the callback
    URL.

    If the client has reached its limit of codes, the URL has `access_denied`; or, depending on the
    setting, the result is "" and the caller shows `request_limit_page`.
    """
    settings = world.settings
    key = ("code", request.client_id)
    if not world.rate_limits.take(
        key, settings.code_limit, settings.code_period_seconds, world.clock()
    ):
        return reject(world, request) if settings.code_limit_response == "redirect" else ""
    permission = Permission(
        request.client_id, user.zuid, request.location, request.scopes, dict(organization_ids)
    )
    if is_consent_shown:
        world.grants.remember_consent(permission)
    if request.response_type == "token":
        return _callback_with_access_token(world, request, permission)
    code = world.grants.issue_code(
        permission,
        redirect_uri=request.redirect_uri,
        issues_refresh_token=request.is_offline and is_consent_shown,
        lifetime_seconds=settings.code_lifetime_seconds,
        code_challenge=request.code_challenge or None,
        code_challenge_method=request.code_challenge_method,
        nonce=request.nonce,
    )
    parameters = {
        "code": code.code,
        "location": request.location,
        "accounts-server": world.accounts_server(request.location),
    }
    suffix = "&" if settings.trailing_ampersand else ""
    return _callback_url(world, request, parameters) + suffix


def renew(world: World, request: AuthorizationRequest, user: User | None) -> str | ErrorPage:
    """Return the callback URL with a new access token for a client-based client, without a page.

    It needs a user who is signed in and has consented to the scopes.
    """
    error = _error_page(world, request)
    if error:
        return error
    if user is None:
        return _callback_with_fragment(request, {"error": "prompt_required"})
    earlier = world.grants.consent(user.zuid, request.client_id, request.location)
    if earlier is None or not is_subset(request.scopes, earlier.scopes):
        return _callback_with_fragment(request, {"error": "client_not_granted"})
    return _callback_with_access_token(world, request, replace(earlier, scopes=request.scopes))


def _callback_with_access_token(
    world: World, request: AuthorizationRequest, permission: Permission
) -> str:
    token = world.grants.issue_access_token(permission)
    parameters = {
        "access_token": token.access_token,
        "expires_in": str(world.settings.access_token_lifetime_seconds),
        "location": request.location,
        "api_domain": world.api_domain(request.location),
    }
    return _callback_with_fragment(request, parameters)


def _callback_with_fragment(request: AuthorizationRequest, parameters: dict[str, str]) -> str:
    state = {"state": request.state} if request.state else {}
    return f"{request.redirect_uri}#{urlencode(parameters | state, safe=':')}"


def reject(world: World, request: AuthorizationRequest) -> str:
    """Return the URL that "Reject" leads to."""
    return _callback_url(world, request, {"error": "access_denied"})


def no_account(world: World, request: AuthorizationRequest) -> str:
    """Return the URL that "Back to app" leads to."""
    return _callback_url(world, request, {"error": "no_org"})


def request_limit_page(world: World) -> ErrorPage:
    """Return the page shown instead of a code that exceeds the limit."""
    return ErrorPage("Access Denied", REQUEST_LIMIT_TEXT, world.settings.error_page_status)


def _error_page(world: World, request: AuthorizationRequest) -> ErrorPage | None:
    status = world.settings.error_page_status
    client = world.clients.find(request.client_id, request.location)
    if not request.client_id or not request.response_type:
        return ErrorPage("Invalid response type", "A required parameter is missing.", status)
    if client is None or client.kind == SELF_CLIENT:
        return ErrorPage("Invalid Client", "The client ID passed does not exist.", status)
    if request.response_type != ("token" if client.kind == CLIENT_BASED else "code"):
        return ErrorPage("An error occurred", "Your request cannot be processed.", 500)
    if request.redirect_uri not in client.redirect_uris:
        return invalid_redirect_uri(world)
    if not request.scopes or not all(is_known_scope(each) for each in request.scopes):
        return ErrorPage("Invalid OAuth scope", "The scope passed does not exist.", status)
    if client.kind == MOBILE and not request.code_challenge and world.settings.pkce_for_mobile:
        return ErrorPage("An error occurred", "The code challenge is missing.", status)
    return None


def invalid_redirect_uri(world: World) -> ErrorPage:
    """Return the page for a redirect URI that isn't registered."""
    description = "The redirect URI passed is not the one configured."
    return ErrorPage("Invalid Redirect Uri", description, world.settings.error_page_status)


def _evaluate_account(
    world: World,
    request: AuthorizationRequest,
    client: Client,
    user: User,
    organization_ids: Mapping[str, str],
) -> Decision:
    earlier = world.grants.consent(user.zuid, client.client_id, request.location)
    is_silent = request.prompt != "consent"
    if is_silent and earlier and is_subset(request.scopes, earlier.scopes):
        return AlreadyConsented(earlier.organizations)
    return choose_organizations(request, client, user, organization_ids)


def choose_organizations(
    request: AuthorizationRequest,
    client: Client,
    user: User,
    organization_ids: Mapping[str, str],
) -> NoAccount | ChooseOrganization | ConsentRequired:
    """Return whether the scopes need an account or a choice that the user doesn't have, or has not
    made in `organization_ids` (product key → ID).
    """
    organizations: dict[str, Organization] = {}
    choices: dict[str, list[Organization]] = {}
    for product in products_of(request.scopes):
        owned = user.organizations_in(product.key)
        if product.needs_account and not owned:
            return NoAccount(request, client, product)
        picked = [
            each for each in owned if each.organization_id == organization_ids.get(product.key)
        ]
        if product.binds_organization and len(owned) > 1 and not picked:
            choices[product.key] = owned
        elif product.binds_organization and owned:
            organizations[product.key] = (picked or owned)[0]
    if choices:
        return ChooseOrganization(request, client, choices)
    return ConsentRequired(request, client, user, organizations)


def is_subset(scopes: list[str], others: list[str]) -> bool:
    """Whether each of `scopes` is one of `others`; case-insensitive."""
    return {each.casefold() for each in scopes} <= {each.casefold() for each in others}


def _callback_url(world: World, request: AuthorizationRequest, parameters: dict[str, str]) -> str:
    state = {"state": request.state} if request.state else {}
    if world.settings.callback_order == "state_first":
        return with_query(request.redirect_uri, state | parameters)
    return with_query(request.redirect_uri, parameters | state)


def with_query(redirect_uri: str, parameters: Mapping[str, str]) -> str:
    """Return a redirect URI with `parameters` after its own query. Zoho doesn't encode colons."""
    separator = "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{separator}{urlencode(parameters, safe=':')}"


def generate_code(
    world: World, permission: Permission, lifetime_seconds: int | None = None
) -> AuthorizationCode | None:
    """Issue a self client's code, which always yields a refresh token. Names of scopes that their
    service doesn't have are dropped silently.

    `lifetime_seconds` defaults to the setting. None if the client has reached its limit of codes.
    """
    settings = world.settings
    limit, period = settings.code_limit, settings.code_period_seconds
    permission = replace(permission, scopes=self_client_scopes(",".join(permission.scopes)))
    if not world.rate_limits.take(("code", permission.client_id), limit, period, world.clock()):
        return None
    return world.grants.issue_code(
        permission,
        redirect_uri=None,
        issues_refresh_token=True,
        lifetime_seconds=settings.self_client_code_lifetime_seconds
        if lifetime_seconds is None
        else lifetime_seconds,
    )


NOT_FOUND = ErrorPage("400 not found", "This address answers GET only.", 400)

pages = location_blueprint("consent", "accounts")


@pages.route("/oauth/v2/auth", methods=METHODS)
def authorize() -> Any:
    """Answer an authorization request with a page or a redirect."""
    if http_request.method != "GET":
        return error_page(NOT_FOUND)
    requested = AuthorizationRequest.read(current_location(), http_request.args)
    user = signed_in_user()
    decision = evaluate(current_world(), requested, user)
    match decision:
        case SignInRequired():
            return redirect(sign_in_page())
        case ErrorPage():
            return error_page(decision)
        case AlreadyConsented():
            return _skip_consent(requested, dict(decision.organizations))
        case ConsentRequired() | ChooseOrganization() if user and current_world().take_rejection(
            user
        ):
            return redirect(reject(current_world(), requested))
        case _:
            return consent_page(decision, url_for(".decide"))


@pages.get("/oauth/v2/auth/refresh")
@pages.get("/oauth/v2/refresh")
def renew_access_token() -> Any:
    """Give a client-based client a new access token."""
    requested = AuthorizationRequest.read(current_location(), http_request.args)
    answer = renew(current_world(), requested, signed_in_user())
    return error_page(answer) if isinstance(answer, ErrorPage) else redirect(answer)


@pages.post("/oauth/v2/auth/decision")
def decide() -> Response:
    """Do what a button of the consent page means; return the URL to go to.

    The request is checked again from the page's own query, so that the user accepts only what was
    shown.
    """
    user, body = require_user(), http_request.get_json()
    requested = AuthorizationRequest.read(
        current_location(), MultiDict(parse_qsl(body.get("query", "")))
    )
    chosen = body.get("organizations") or {}
    # The page was shown, so an earlier consent, maybe in another tab, must not skip it.
    decision = evaluate(current_world(), replace(requested, prompt="consent"), user, chosen)
    match decision, body.get("decision"):
        case ConsentRequired(), "accept":
            url = accept(current_world(), requested, user, _organization_ids(decision))
            return jsonify(url=url or url_for(".request_limit"))
        case ConsentRequired() | ChooseOrganization(), "reject":
            return jsonify(url=reject(current_world(), requested))
        case NoAccount(), "no_org":
            return jsonify(url=no_account(current_world(), requested))
    return abort(403, "This page has expired. Reload it.")


@pages.get("/oauth/v2/auth/limit")
def request_limit() -> Any:
    """Show the page that replaces a code over the limit."""
    return error_page(request_limit_page(current_world()))


def _skip_consent(
    authorization_request: AuthorizationRequest, organization_ids: dict[str, str]
) -> Any:
    user = require_user()
    url = accept(
        current_world(),
        authorization_request,
        user,
        organization_ids,
        is_consent_shown=False,
    )
    return redirect(url) if url else error_page(request_limit_page(current_world()))


def consent_page(
    decision: ConsentRequired | ChooseOrganization | NoAccount,
    decide: str,
    *,
    is_addition: bool = False,
) -> str:
    """Return the consent page, whose buttons post to `decide`. It says if the scopes are added."""
    choices = decision.choices if isinstance(decision, ChooseOrganization) else {}
    return render_template(
        "simulator/consent.html",
        client=decision.client,
        scope_groups=describe_scopes(decision.request.scopes),
        choices=[(products()[key], owned) for key, owned in choices.items()],
        decide=decide,
        is_addition=is_addition,
        missing_product=decision.product if isinstance(decision, NoAccount) else None,
        sign_out=url_for("pages.account.sign_out", serviceurl=http_request.url),
    )


def _organization_ids(consent: ConsentRequired) -> dict[str, str]:
    return {key: each.organization_id for key, each in consent.organizations.items()}


def error_page(page: ErrorPage) -> tuple[str, int]:
    """Return one of Zoho's error pages and its status."""
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
