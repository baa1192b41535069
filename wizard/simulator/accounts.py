"""The accounts server's endpoints for programs: tokens, revocation, who am I, server info."""

import json
from typing import Any

from flask import Blueprint, Response, g, request

from wizard.simulator import openid, revocation_endpoint, scopes, token_endpoint
from wizard.simulator.data_centers import can_share_clients, data_centers
from wizard.simulator.product_apis import METHODS, parse_authorization
from wizard.simulator.request_context import current_world
from wizard.simulator.token_endpoint import AccountsResponse, TokenRequest
from wizard.simulator.world import World

JSON = "application/json;charset=UTF-8"


routes = Blueprint("accounts", __name__, url_prefix="/<location:location>/accounts")
"""What stands below `/<location>/accounts`, the pages for people excepted."""


@routes.route("/oauth/v2/token", methods=METHODS)
def issue_tokens(location: str) -> Response:
    """Give tokens for codes, refresh tokens and client credentials."""
    if request.method != "POST":
        return _respond(AccountsResponse(None, current_world().settings.get_token_status))
    language = request.headers.get("Accept-Language", "")
    ask = TokenRequest(
        location, request_parameters(), language, int(g.get("clock_skew_seconds", 0))
    )
    return _respond(token_endpoint.handle_token_request(current_world(), ask))


@routes.route("/oauth/v2/token/revoke", methods=METHODS)
def revoke_without_client(location: str) -> Response:
    """End a token for whoever has it."""
    if request.method != "POST":
        return _respond(revocation_endpoint.BAD_REQUEST)
    return _respond(
        revocation_endpoint.revoke_without_client(
            current_world(), location, request_parameters().get("token", "")
        )
    )


@routes.route("/oauth/v2/revoke/token", methods=METHODS)
def revoke_with_client(location: str) -> Response:
    """End a token for its client (RFC 7009)."""
    basic = request.authorization
    if request.method != "POST" or basic is None or basic.type != "basic":
        return _respond(revocation_endpoint.BAD_REQUEST)
    said = request_parameters()
    credentials = said.get("client_id", ""), said.get("client_secret", "")
    kind = said.get("token_type", "refresh_token")
    return _respond(
        revocation_endpoint.revoke_with_client(
            current_world(), location, said.get("token", ""), kind, credentials
        )
    )


@routes.get("/oauth/user/info")
def user_info(location: str) -> Response:
    """Say whose access token it is, in Zoho's own shape."""
    return _respond(_user_info(current_world(), location))


@routes.get("/oauth/v2/userinfo")
def openid_userinfo(location: str) -> Response:
    """Say whose access token it is, as OpenID Connect has it."""
    return _respond(_openid_userinfo(current_world(), location))


@routes.get("/oauth/serverinfo")
def server_info(location: str) -> Response:
    """Name the accounts servers that share clients with this one."""
    places = [each for each in data_centers() if can_share_clients(each, location)]
    servers = {each: current_world().accounts_server(each) for each in places}
    return _respond(AccountsResponse({"result": "success", "locations": servers}))


@routes.get("/.well-known/openid-configuration")
def openid_configuration(location: str) -> Response:
    """Describe this accounts server as OpenID Connect Discovery has it."""
    return _respond(AccountsResponse(openid.discovery(current_world(), location)))


def request_parameters() -> dict[str, str]:
    """Return the parameters of the present request, each once: the body (urlencoded or
    multipart) goes before the query, and Basic authorization before both for the client."""
    found = {**request.args.to_dict(), **request.form.to_dict()}
    basic = request.authorization
    if basic and basic.type == "basic":
        found |= {"client_id": basic.username or "", "client_secret": basic.password or ""}
    return found


def _user_info(world: World, location: str) -> AccountsResponse:
    alive = world.access_token(_access_token(), location)
    if alive is None:
        return AccountsResponse({"response": "error", "cause": "INVALID_OAUTHTOKEN"}, 401)
    if not scopes.covers(alive.permission.scopes, "AaaServer.profile.READ"):
        return AccountsResponse({"response": "error", "cause": "INVALID_OAUTHSCOPE"}, 401)
    user = world.people.by_zuid[alive.permission.zuid]
    return AccountsResponse(
        {
            "First_Name": user.first_name,
            "Email": user.email,
            "Last_Name": user.last_name,
            "Display_Name": user.display_name,
            "ZUID": user.zuid,
        }
    )


def _openid_userinfo(world: World, location: str) -> AccountsResponse:
    alive = world.access_token(_access_token(), location)
    if alive is None:
        return AccountsResponse({"response": "error", "cause": "INVALID_OAUTHTOKEN"}, 401)
    if not openid.is_requested(alive.permission.scopes):
        return AccountsResponse({"response": "error", "cause": "INVALID_OAUTHSCOPE"}, 401)
    user = world.people.by_zuid[alive.permission.zuid]
    return AccountsResponse(openid.claims_of(user, alive.permission.scopes))


def _access_token() -> str:
    return parse_authorization(request.headers.get("Authorization", "")) or ""


def _respond(response: AccountsResponse) -> Response:
    if response.body is None:
        return html_page(response.status)
    return Response(json_line(response.body), response.status, content_type=JSON)


def json_line(body: dict[str, Any]) -> str:
    """Return JSON in one line without a line end: one of the official SDKs reads the last line."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def html_page(status: int) -> Response:
    """Return the bare HTML page that a servlet container shows for a status."""
    words = {
        400: "Bad Request",
        404: "Not Found",
        405: "Method Not Allowed",
        500: "Internal Server Error",
    }
    title = f"HTTP Status {status} – {words.get(status, 'Error')}"
    page = f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1>"
    return Response(f"{page}</body></html>", status, content_type="text/html;charset=UTF-8")
