"""The product APIs: one cheap read each, on its own host, in its own words of refusal."""

import json
import re
from collections.abc import Mapping
from string import Template

from flask import Blueprint, Response, abort, request

from wizard.sandbox import present, scopes
from wizard.sandbox.catalogue import Probe, Product, Reply, hosts, product_at
from wizard.sandbox.grants import AccessToken
from wizard.sandbox.people import Organization, User
from wizard.sandbox.world import World

_AUTHORIZATION = re.compile(r"(?:zoho-oauthtoken|bearer)\s+(\S+)", re.IGNORECASE)

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]
"""All reach an endpoint that takes one alone: the refusal is its own to word."""

NO_SUCH_HOST_PATH = Reply(404, '{"code":"404","message":"API endpoint not found"}')
"""What a host says about a path none of its products has: the measured reply to Recruit's path on
the shared API host."""


routes = Blueprint("products", __name__)
"""`/<location>/<host>/…` of every product."""


@routes.route("/<location:location>/<host>/<path:rest>", methods=METHODS)
def product(location: str, host: str, rest: str) -> Response:
    """Answer as the host's products do."""
    if host not in hosts():
        abort(404)
    reply = answer(
        present.world(),
        location,
        f"{host}/{rest}",
        method=request.method,
        authorization=request.headers.get("Authorization", ""),
        said={**request.args.to_dict(), **dict(request.headers)},
    )
    return Response(reply.body, reply.status, content_type=reply.content_type)


def answer(
    world: World,
    location: str,
    address: str,
    *,
    method: str,
    authorization: str,
    said: Mapping[str, str],
) -> Reply:
    """Return what the API at `address` (`host/path`) of a data centre answers.

    `authorization` is the header, `Zoho-oauthtoken` or `Bearer` in any case; `said` holds the
    query parameters and headers, where an organization may be named. Nothing is written: a message
    that Cliq takes is nowhere to be read.
    """
    product = product_at(address)
    if product is None:
        return NO_SUCH_HOST_PATH
    probe = product.probe_at(address, method)
    case, token = _judge(world, product, probe, location, authorization)
    if case == "" and probe and token:
        return _read(world, product, probe, token, said, address)
    return _refusal(world, product, case, address)


def presented_token(authorization: str) -> str | None:
    """Return the access token of an Authorization header, if it has a form Zoho accepts."""
    match = _AUTHORIZATION.fullmatch(authorization.strip())
    return match[1] if match else None


def _judge(
    world: World, product: Product, probe: Probe | None, location: str, authorization: str
) -> tuple[str, AccessToken | None]:
    """Return which refusal is due ("" for none), and the token."""
    if probe is None:
        return "path", None
    presented = presented_token(authorization)
    if presented is None:
        return "none", None
    token = world.access_token(presented, location)
    if token is None:
        return "dead", None
    if not any(scopes.covers(token.permission.scopes, scope) for scope in probe.scopes):
        return "scope", token
    if probe.for_a_person and token.without_person:
        return "scope", token
    user = world.people.by_zuid[token.permission.zuid]
    return ("permission" if product.key in user.barred_from else ""), token


def _read(
    world: World,
    product: Product,
    probe: Probe,
    token: AccessToken,
    said: Mapping[str, str],
    address: str,
) -> Reply:
    user = world.people.by_zuid[token.permission.zuid]
    organizations = _visible(product, user, token)
    if probe.organization_in:
        named = {name.casefold(): value for name, value in said.items()}
        wanted = named.get(probe.organization_in.casefold())
        if not wanted:
            return _refusal(world, product, "organization", address)
        if wanted not in {each.organization_id for each in organizations}:
            return _refusal(world, product, "permission", address)
    default = organizations[0] if organizations else None
    items = [
        _filled(probe.each, _facts(user, org, address, org is default)) for org in organizations
    ]
    body = _filled(probe.body, _facts(user, default, address, True), ",".join(items))
    return Reply(200, body)


def _visible(product: Product, user: User, token: AccessToken) -> list[Organization]:
    owned = user.organizations_in(product.key)
    if not product.binds:
        return owned
    bound = token.permission.organizations.get(product.key)
    return [each for each in owned if each.organization_id == bound]


def _refusal(world: World, product: Product, case: str, address: str) -> Reply:
    if product.key == "crm" and case == "dead" and world.settings.crm_authentication_failure:
        case = "none"
    reply = product.errors[case]
    path = "/" + address.partition("/")[2]
    status = reply.status if reply.status != 500 or world.settings.workdrive_500 else 401
    return Reply(status, _filled(reply.body, {"path": path}), reply.content_type)


def _facts(
    user: User, organization: Organization | None, address: str, default: bool
) -> dict[str, str]:
    facts = {
        "path": "/" + address.partition("/")[2],
        "zuid": str(user.zuid),
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "display_name": user.display_name,
        "is_default": "true" if default else "false",
    }
    if organization:
        facts["organization_id"] = organization.organization_id
        facts["organization_name"] = organization.name
        facts["environment"] = organization.environment
    return facts


def _filled(template: str, facts: Mapping[str, str], items: str = "") -> str:
    quoted = {name: json.dumps(value)[1:-1] for name, value in facts.items()}
    return Template(template).safe_substitute(quoted, items=items)
