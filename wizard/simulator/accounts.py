"""The accounts server's endpoints for programs: tokens, revocation, user info, server info."""

from typing import Any

from flask import Blueprint, Response, g, request

from wizard.simulator import token_endpoint
from wizard.simulator.catalog import can_share_clients, data_centers, scopes_cover
from wizard.simulator.grants import AccessToken, RefreshToken
from wizard.simulator.middleware import JSON, current_world, html_page, json_line
from wizard.simulator.product_apis import METHODS, parse_authorization
from wizard.simulator.token_endpoint import AccountsResponse, TokenRequest, client_secret_error
from wizard.simulator.world import World

SUCCESS = AccountsResponse({"status": "success"})
BAD_REQUEST = AccountsResponse(None, 400)

routes = Blueprint("accounts", __name__, url_prefix="/<location:location>/accounts")
"""Everything below `/<location>/accounts` but the pages."""


@routes.route("/oauth/v2/token", methods=METHODS)
def issue_tokens(location: str) -> Response:
    """Issue tokens for codes, refresh tokens and client credentials."""
    if request.method != "POST":
        return _respond(AccountsResponse(None, current_world().settings.get_token_status))
    language = request.headers.get("Accept-Language", "")
    token_request = TokenRequest(
        location, request_parameters(), language, int(g.get("clock_skew_seconds", 0))
    )
    return _respond(token_endpoint.handle_token_request(current_world(), token_request))


@routes.route("/oauth/v2/token/revoke", methods=METHODS)
def revoke_without_client(location: str) -> Response:
    """Revoke a token without client authentication, the older form."""
    if request.method != "POST":
        return _respond(BAD_REQUEST)
    return _respond(
        _revoke_without_client(current_world(), location, request_parameters().get("token", ""))
    )


@routes.route("/oauth/v2/revoke/token", methods=METHODS)
def revoke_with_client(location: str) -> Response:
    """Revoke a token of an authenticated client, the newer form (RFC 7009)."""
    basic = request.authorization
    if request.method != "POST" or basic is None or basic.type != "basic":
        return _respond(BAD_REQUEST)
    parameters = request_parameters()
    credentials = parameters.get("client_id", ""), parameters.get("client_secret", "")
    token = parameters.get("token", "")
    kind = parameters.get("token_type", "refresh_token")
    return _respond(_revoke_with_client(current_world(), location, token, kind, credentials))


@routes.get("/oauth/user/info")
def user_info(location: str) -> Response:
    """Return the user of an access token in Zoho's own format."""
    return _respond(_user_info(current_world(), location))


@routes.get("/oauth/v2/userinfo")
def openid_userinfo(location: str) -> Response:
    """Return the user of an access token in the format of OpenID Connect."""
    return _respond(_openid_userinfo(current_world(), location))


@routes.get("/oauth/serverinfo")
def server_info(location: str) -> Response:
    """Return the accounts servers that share clients with this one."""
    locations = [each for each in data_centers() if can_share_clients(each, location)]
    servers = {each: current_world().accounts_server(each) for each in locations}
    return _respond(AccountsResponse({"result": "success", "locations": servers}))


@routes.get("/.well-known/openid-configuration")
def openid_configuration(location: str) -> Response:
    """Return the discovery document of OpenID Connect."""
    return _respond(AccountsResponse(discovery(current_world(), location)))


def request_parameters() -> dict[str, str]:
    """Return the parameters of the current request, each once.

    The body (urlencoded or multipart) overrides the query, and Basic authorization overrides both.
    """
    parameters = {**request.args.to_dict(), **request.form.to_dict()}
    basic = request.authorization
    if basic and basic.type == "basic":
        parameters |= {"client_id": basic.username or "", "client_secret": basic.password or ""}
    return parameters


def discovery(world: World, location: str) -> dict[str, Any]:
    issuer = world.accounts_server(location)
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/v2/auth",
        "token_endpoint": f"{issuer}/oauth/v2/token",
        "revocation_endpoint": f"{issuer}/oauth/v2/token/revoke",
        "userinfo_endpoint": f"{issuer}/oauth/v2/userinfo",
        "response_types_supported": ["code", "token"],
        "grant_types_supported": ["authorization_code", "implicit", "refresh_token"],
        "scopes_supported": ["openid", "email", "profile", "phone"],
    }


def _user_info(world: World, location: str) -> AccountsResponse:
    token = world.access_token(_access_token(), location)
    if token is None:
        return AccountsResponse({"response": "error", "cause": "INVALID_OAUTHTOKEN"}, 401)
    if not scopes_cover(token.permission.scopes, "AaaServer.profile.READ"):
        return AccountsResponse({"response": "error", "cause": "INVALID_OAUTHSCOPE"}, 401)
    user = world.users.by_zuid[token.permission.zuid]
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
    token = world.access_token(_access_token(), location)
    if token is None:
        return AccountsResponse({"response": "error", "cause": "INVALID_OAUTHTOKEN"}, 401)
    if not token_endpoint.is_openid_requested(token.permission.scopes):
        return AccountsResponse({"response": "error", "cause": "INVALID_OAUTHSCOPE"}, 401)
    user = world.users.by_zuid[token.permission.zuid]
    return AccountsResponse(token_endpoint.openid_claims(user, token.permission.scopes))


def _access_token() -> str:
    return parse_authorization(request.headers.get("Authorization", "")) or ""


def _respond(response: AccountsResponse) -> Response:
    if response.body is None:
        return html_page(response.status)
    return Response(json_line(response.body), response.status, content_type=JSON)


def _revoke_without_client(world: World, location: str, token: str) -> AccountsResponse:
    found = _find_token(world, location, token)
    if found is None:
        return BAD_REQUEST
    world.grants.invalidate(found, "revoked")
    return SUCCESS


def _revoke_with_client(
    world: World, location: str, token: str, token_type: str, credentials: tuple[str, str]
) -> AccountsResponse:
    """Revoke the token if it is valid, of `token_type`, and of the client in `credentials`.

    `token_type` is `refresh_token` or `access_token`; `credentials` are client ID and secret.
    """
    client = world.clients.find(credentials[0], location)
    if client is None or client_secret_error(world, client, location, credentials[1]):
        return BAD_REQUEST
    found = _find_token(world, location, token)
    kind = {"refresh_token": RefreshToken, "access_token": AccessToken}.get(token_type)
    if found is None or kind is None or not isinstance(found, kind):
        return BAD_REQUEST
    if found.permission.client_id != client.client_id:
        return BAD_REQUEST
    world.grants.invalidate(found, "revoked")
    return SUCCESS


def _find_token(world: World, location: str, value: str) -> RefreshToken | AccessToken | None:
    refresh = world.grants.refresh_tokens.get(value)
    if refresh and not refresh.invalidation_reason and refresh.permission.location == location:
        return refresh
    return world.access_token(value, location)
