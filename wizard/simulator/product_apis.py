"""The product APIs: one cheap read each, on its own host, with its own errors."""

import json
import re
from collections.abc import Mapping
from string import Template

from flask import Blueprint, Response, abort, request

from wizard.simulator.catalog import (
    ApiResponse,
    Endpoint,
    Product,
    product_at,
    product_hosts,
    scopes_cover,
)
from wizard.simulator.grants import AccessToken
from wizard.simulator.request_context import current_world
from wizard.simulator.users import Organization, User
from wizard.simulator.world import World

_AUTHORIZATION = re.compile(r"(?:zoho-oauthtoken|bearer)\s+(\S+)", re.IGNORECASE)

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]
"""All are routed, so that the endpoint itself refuses the ones it doesn't accept."""

PATH_NOT_FOUND = ApiResponse(404, '{"code":"404","message":"API endpoint not found"}')
"""For a path that no product of the host has: what Zoho answered to Recruit's path on the shared
API host.
"""


routes = Blueprint("products", __name__)
"""`/<location>/<host>/…` of every product."""


@routes.route("/<location:location>/<host>/<path:rest>", methods=METHODS)
def call_api(location: str, host: str, rest: str) -> Response:
    """Answer as the products of the host do."""
    if host not in product_hosts():
        abort(404)
    response = handle_api_request(
        current_world(),
        location,
        f"{host}/{rest}",
        method=request.method,
        authorization=request.headers.get("Authorization", ""),
        query=request.args.to_dict(),
        headers=dict(request.headers),
    )
    return Response(response.body, response.status, content_type=response.content_type)


def handle_api_request(
    world: World,
    location: str,
    api_path: str,
    *,
    method: str,
    authorization: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
) -> ApiResponse:
    """Return the response of the API at `api_path` (`host/path`) of a data center.

    `authorization` is the header, `Zoho-oauthtoken` or `Bearer` in any case. The query or a header
    can name an organization. Nothing is stored: a message posted to Cliq can't be read again.
    """
    api_path = api_path.rstrip("/")
    product = product_at(api_path)
    if product is None:
        return PATH_NOT_FOUND
    if method == "HEAD" and world.settings.head_requests == "as_get":
        method = "GET"
    at_path = product.endpoints_at(api_path)
    endpoint = next((each for each in at_path if each.method == method), None)
    case, token = _check_request(world, product, at_path, endpoint, location, authorization)
    if case or endpoint is None or token is None:
        return _error_response(world, product, case, api_path)
    case, parameter = query_error(product, endpoint, api_path, query)
    if case:
        return _error_response(world, product, case, api_path, parameter)
    return _success(world, product, endpoint, token, {**query, **headers}, api_path)


def parse_authorization(authorization: str) -> str | None:
    """Return the access token of an Authorization header, if it has a form Zoho accepts."""
    match = _AUTHORIZATION.fullmatch(authorization.strip())
    return match[1] if match else None


def query_error(
    product: Product, endpoint: Endpoint, api_path: str, query: Mapping[str, str]
) -> tuple[str, str]:
    """Return the key of the query's error ("" for none), and the parameter that it's about."""
    required = endpoint.required_parameter
    if product.requires_parameter(endpoint, api_path) and not query.get(required):
        return "required", required
    for name, maximum in product.numbers.items():
        value = query.get(name, "1")
        if not value.isdecimal() or not 1 <= int(value) <= (maximum or int(value)):
            return "number", name
    known = {*endpoint.parameters, endpoint.organization_parameter}
    extra = next((name for name in query if name not in known), "")
    return ("extra", extra) if extra and "extra" in product.errors else ("", "")


def _check_request(
    world: World,
    product: Product,
    at_path: list[Endpoint],
    endpoint: Endpoint | None,
    location: str,
    authorization: str,
) -> tuple[str, AccessToken | None]:
    """Return the key of the error ("" for none), and the token.

    `at_path` are the endpoints of the path, and `endpoint` is the one of the request's method. The
    token is judged before anything else; for an unknown path, that's a setting.
    """
    if not at_path and world.settings.unknown_path_check == "path":
        return "path", None
    presented = parse_authorization(authorization)
    if presented is None:
        return "no_token", None
    token = world.access_token(presented, location)
    if token is None:
        return "invalid_token", None
    if endpoint is None:
        return ("method" if at_path and "method" in product.errors else "path"), token
    if not any(scopes_cover(token.permission.scopes, scope) for scope in endpoint.scopes):
        return "scope", token
    if endpoint.requires_user and token.has_no_user:
        return "scope", token
    user = world.users.by_zuid[token.permission.zuid]
    return ("permission" if product.key in user.products_without_api_access else ""), token


def _success(
    world: World,
    product: Product,
    endpoint: Endpoint,
    token: AccessToken,
    parameters: Mapping[str, str],
    api_path: str,
) -> ApiResponse:
    user = world.users.by_zuid[token.permission.zuid]
    organizations = _visible_organizations(product, user, token)
    if endpoint.organization_parameter:
        named = {name.casefold(): value for name, value in parameters.items()}
        wanted = named.get(endpoint.organization_parameter.casefold())
        if not wanted:
            has_choice = len(organizations) > 1 and "organizations" in product.errors
            case = "organizations" if has_choice else "organization"
            return _error_response(world, product, case, api_path)
        if wanted not in {each.organization_id for each in organizations}:
            return _error_response(world, product, "permission", api_path)
    default = organizations[0] if organizations else None
    items = [
        _fill(endpoint.item, _template_values(user, org, api_path, org is default))
        for org in organizations
    ]
    body = _fill(endpoint.body, _template_values(user, default, api_path, True), ",".join(items))
    return ApiResponse(200, body)


def _visible_organizations(product: Product, user: User, token: AccessToken) -> list[Organization]:
    owned = user.organizations_in(product.key)
    if not product.binds_organization:
        return owned
    bound = token.permission.organizations.get(product.key)
    return [each for each in owned if each.organization_id == bound]


def _error_response(
    world: World, product: Product, case: str, api_path: str, parameter: str = ""
) -> ApiResponse:
    settings = world.settings
    match product.key, case:
        case "crm", "invalid_token" if settings.crm_authentication_failure:
            case = "no_token"
        case "projects", "scope" if settings.projects_scope_error == "URL_RULE_NOT_CONFIGURED":
            case = "path"
    error = product.errors[case]
    path = "/" + api_path.partition("/")[2]
    status = error.status if error.status != 500 or settings.workdrive_500 else 401
    body = _fill(error.body, {"path": path, "parameter": parameter})
    return ApiResponse(status, body, error.content_type)


def _template_values(
    user: User, organization: Organization | None, api_path: str, is_default: bool
) -> dict[str, str]:
    values = {
        "path": "/" + api_path.partition("/")[2],
        "zuid": str(user.zuid),
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "display_name": user.display_name,
        "is_default": "true" if is_default else "false",
    }
    if organization:
        values["organization_id"] = organization.organization_id
        values["organization_name"] = organization.name
        values["environment"] = organization.environment
    return values


def _fill(template: str, values: Mapping[str, str], items: str = "") -> str:
    escaped = {name: json.dumps(value)[1:-1] for name, value in values.items()}
    return Template(template).safe_substitute(escaped, items=items)
