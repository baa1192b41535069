"""The product APIs: each on its own host, with its own errors; what they do is in tables."""

import re
from collections.abc import Mapping
from string import Template
from typing import Any

from flask import Blueprint, Response, abort, request

from wizard.simulator import crm_changes, crm_modules, crm_records, record_actions, workdrive_files
from wizard.simulator.api_calls import ApiCall, ApiRequest, fill
from wizard.simulator.catalog import product_at, product_hosts, scopes_cover
from wizard.simulator.grants import AccessToken
from wizard.simulator.products import METHODS, ApiResponse, Product, Route
from wizard.simulator.request_context import current_world
from wizard.simulator.users import Organization, User
from wizard.simulator.world import World

_AUTHORIZATION = re.compile(r"(?:zoho-oauthtoken|bearer)\s+(\S+)", re.IGNORECASE)

PATH_NOT_FOUND = ApiResponse(404, '{"code":"404","message":"API endpoint not found"}')
"""For a path that no product of the host has: what Zoho answered to Recruit's path on the shared
API host.
"""


HANDLERS = {
    **record_actions.ACTIONS,
    **crm_modules.ACTIONS,
    **crm_records.ACTIONS,
    **crm_changes.ACTIONS,
    **workdrive_files.ACTIONS,
}
"""The handler of each action."""

routes = Blueprint("products", __name__)
"""`/<location>/<host>/…` of every product."""


@routes.route("/<location:location>/<host>/<path:rest>", methods=METHODS)
def call_api(location: str, host: str, rest: str) -> Response:
    """Answer as the products of the host do."""
    if host not in product_hosts():
        abort(404)
    body = request.get_data()
    response = handle_api_request(
        current_world(),
        ApiRequest(
            location,
            f"{host}/{rest}".rstrip("/"),
            request.method,
            request.args.to_dict(),
            {name.casefold(): value for name, value in request.headers.items()},
            body,
            request.form.to_dict(),
            {name: each.read() for name, each in request.files.items()},
        ),
    )
    answer = Response(
        response.content or response.body, response.status, content_type=response.content_type
    )
    answer.headers.extend(response.headers)
    return answer


def handle_api_request(world: World, request: ApiRequest) -> ApiResponse:
    """Return the response of the API to a request."""
    product = product_at(request.address)
    if product is None:
        return PATH_NOT_FOUND
    method = request.method
    if method == "HEAD" and world.settings.head_requests == "as_get":
        method = "GET"
    at_path = product.routes_at(request.address)
    route = next((each for each in at_path if each.endpoint.method == method), None)
    case, token = _check_request(world, product, at_path, route, request)
    if case or route is None or token is None:
        return _error_response(world, product, case, request)
    case, parameter = query_error(product, route, request.query)
    if case:
        return _error_response(world, product, case, request, parameter)
    return _success(world, product, route, token, request)


def parse_authorization(authorization: str) -> str | None:
    """Return the access token of an Authorization header, if it has a form Zoho accepts.

    `Zoho-oauthtoken` or `Bearer`, in any case.
    """
    match = _AUTHORIZATION.fullmatch(authorization.strip())
    return match[1] if match else None


def query_error(product: Product, route: Route, query: Mapping[str, str]) -> tuple[str, str]:
    """Return the key of the query's error ("" for none), and the parameter that it's about."""
    endpoint = route.endpoint
    if product.requires_parameter(route) and not query.get(endpoint.required_parameter):
        return "required", endpoint.required_parameter
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
    at_path: list[Route],
    route: Route | None,
    request: ApiRequest,
) -> tuple[str, AccessToken | None]:
    """Return the key of the error ("" for none), and the token.

    `at_path` are the routes to the path, and `route` is the one of the request's method. The token
    is judged before anything else; for an unknown path, that's a setting.
    """
    if not at_path and world.settings.unknown_path_check == "path":
        return "path", None
    presented = parse_authorization(request.headers.get("authorization", ""))
    if presented is None:
        return "no_token", None
    token = world.access_token(presented, request.location)
    if token is None:
        return "invalid_token", None
    if route is None:
        return ("method" if at_path and "method" in product.errors else "path"), token
    scopes = [Template(each).safe_substitute(route.values) for each in route.endpoint.scopes]
    if not any(scopes_cover(token.permission.scopes, scope) for scope in scopes):
        return "scope", token
    if route.endpoint.requires_user and token.has_no_user:
        return "scope", token
    user = world.users.by_zuid[token.permission.zuid]
    return ("permission" if product.key in user.products_without_api_access else ""), token


def _success(
    world: World, product: Product, route: Route, token: AccessToken, request: ApiRequest
) -> ApiResponse:
    endpoint = route.endpoint
    user = world.users.by_zuid[token.permission.zuid]
    organizations = _visible_organizations(product, user, token)
    default = organizations[0] if organizations else None
    if endpoint.organization_parameter:
        name = endpoint.organization_parameter
        wanted = route.values.get(name) or request.parameter(name)
        if not wanted:
            has_choice = len(organizations) > 1 and "organizations" in product.errors
            case = "organizations" if has_choice else "organization"
            return _error_response(world, product, case, request)
        default = next((each for each in organizations if each.organization_id == wanted), None)
        if default is None:
            return _error_response(world, product, "permission", request)
    counted = (product.key, default.organization_id if default else str(user.zuid))
    limit = product.calls_per_minute
    if limit and not world.rate_limits.take(counted, limit, 60, world.clock()):
        return _error_response(world, product, "rate_limit", request)
    if endpoint.action:
        call = ApiCall(world, product, route, token, user, default, request)
        return HANDLERS[endpoint.action](call)
    items = [
        fill(endpoint.item, _template_values(user, org, request, org is default))
        for org in organizations
    ]
    values = _template_values(user, default, request, True)
    body = fill(endpoint.body, values | route.values, items=",".join(items))
    return ApiResponse(endpoint.status, body, endpoint.content_type)


def _visible_organizations(product: Product, user: User, token: AccessToken) -> list[Organization]:
    owned = user.organizations_in(product.key)
    if not product.binds_organization:
        return owned
    bound = token.permission.organizations.get(product.key)
    return [each for each in owned if each.organization_id == bound]


def _error_response(
    world: World, product: Product, case: str, request: ApiRequest, parameter: str = ""
) -> ApiResponse:
    settings = world.settings
    match product.key, case:
        case "crm", "invalid_token" if settings.crm_authentication_failure:
            case = "no_token"
        case "projects", "scope" if settings.projects_scope_error == "URL_RULE_NOT_CONFIGURED":
            case = "path"
    error = product.errors_at(request.address)[case]
    status = error.status if error.status != 500 or settings.workdrive_500 else 401
    body = fill(error.body, {"path": request.path, "parameter": parameter})
    return ApiResponse(status, body, error.content_type)


def _template_values(
    user: User, organization: Organization | None, request: ApiRequest, is_default: bool
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "path": request.path,
        **user.template_values,
        "is_default": is_default,
    }
    if organization:
        values["organization_id"] = organization.organization_id
        values["organization_name"] = organization.name
        values["environment"] = organization.environment
    return values
