"""The accounts server's endpoints for programs: tokens, revocation, user info, server info.

Errors of `POST /oauth/v2/token` come with HTTP 200 and `{"error": …}`; only the rate limit and a
malformed request are 400. The order of the checks: grant_type present, rate limit, client ID,
client secret, code or refresh token, redirect URI, PKCE verifier.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g
from flask import request as http_request

from wizard.simulator.catalog import (
    can_share_clients,
    data_centers,
    products_of,
    scopes_cover,
    self_client_scopes,
)
from wizard.simulator.clients import SELF_CLIENT, Client
from wizard.simulator.grants import (
    ROTATED,
    AccessToken,
    AuthorizationCode,
    Permission,
    RefreshToken,
)
from wizard.simulator.id_tokens import (
    id_token,
    is_openid_requested,
    openid_claims,
    public_keys,
)
from wizard.simulator.product_apis import parse_authorization
from wizard.simulator.products import METHODS
from wizard.simulator.request_context import JSON, current_world, html_page, json_line
from wizard.simulator.world import World

RATE_LIMIT_BODY = {
    "error_description": "You have made too many requests continuously. "
    "Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}
RATE_LIMIT_BODY_IN_CHINESE = {
    "error_description": "您已连续提出过多请求，请稍后再试。",
    "error": "拒绝访问",
    "status": "failure",
}
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")


@dataclass(frozen=True)
class AccountsResponse:
    """A response of the accounts server. `body` None is Zoho's HTML page of that status, with
    `title` if there is one.
    """

    body: dict[str, Any] | None
    status: int = 200
    title: str = ""


@dataclass(frozen=True)
class TokenRequest:
    """One token request in a data center.

    `parameters` come from query, body and Basic authorization; `language` is Accept-Language.
    Access tokens expire `clock_skew_seconds` before the lifetime in the response.
    """

    location: str
    parameters: Mapping[str, str]
    language: str = ""
    clock_skew_seconds: int = 0

    def __getitem__(self, name: str) -> str:
        return self.parameters.get(name, "")


def handle_token_request(world: World, request: TokenRequest) -> AccountsResponse:
    """Return the response to a POST, and issue its tokens."""
    if not request["grant_type"]:
        return AccountsResponse(None, world.settings.get_token_status)
    if not _is_within_rate_limit(world, request):
        return rate_limit_response(world, request.language)
    client = world.clients.find(request["client_id"], request.location)
    if client is None or request["grant_type"] not in GRANT_TYPES:
        return _error("invalid_client")
    secret_error = client_secret_error(world, client, request.location, request["client_secret"])
    if secret_error:
        return _error(secret_error)
    if request["grant_type"] == "refresh_token":
        return _refresh(world, request, client)
    if request["grant_type"] == "client_credentials":
        return _client_credentials(world, request, client)
    return _exchange_code(world, request, client)


def rate_limit_response(world: World, language: str = "") -> AccountsResponse:
    """Return the rate limit's response, in Chinese if requested and enabled."""
    is_chinese = world.settings.localized_rate_limit and language.lower().startswith("zh")
    return AccountsResponse(
        RATE_LIMIT_BODY_IN_CHINESE if is_chinese else RATE_LIMIT_BODY,
        world.settings.rate_limit_status,
    )


def client_secret_error(world: World, client: Client, location: str, secret: str) -> str:
    """Return the error for a client secret in a data center, "" if it's valid."""
    expected = client.secret_in(location) or ""
    if hmac.compare_digest(expected.encode(), secret.encode()):
        return ""
    if secret in client.secrets.values():
        return world.settings.wrong_data_center_secret_error
    return "invalid_client_secret"


def _is_within_rate_limit(world: World, request: TokenRequest) -> bool:
    settings = world.settings
    by_token = settings.rate_limit_key == "refresh_token" and request["refresh_token"]
    key = request["refresh_token"] if by_token else request["client_id"]
    return not key or world.rate_limits.take(
        ("token", request.location, key),
        settings.token_request_limit,
        settings.token_request_period_seconds,
        world.clock(),
    )


def _exchange_code(world: World, request: TokenRequest, client: Client) -> AccountsResponse:
    code = world.code(request["code"], client, request.location)
    if code is None:
        return _error("invalid_code")
    if code.redirect_uri is not None and request["redirect_uri"] != code.redirect_uri:
        return _error("invalid_redirect_uri")
    if not _is_verifier_correct(code, request["code_verifier"]):
        return _error(world.settings.pkce_mismatch_error)
    if code.issues_refresh_token and not _can_create_refresh_token(world, code.permission):
        return rate_limit_response(world, request.language)
    code.is_used = True
    parent = (
        world.grants.issue_refresh_token(code.permission) if code.issues_refresh_token else None
    )
    token = world.grants.issue_access_token(
        code.permission, parent, shortened_by_seconds=request.clock_skew_seconds
    )
    body = _token_body(world, token, client, parent)
    if is_openid_requested(code.permission.scopes):
        body["id_token"] = id_token(world, code.permission, client, code.nonce)
    return AccountsResponse(body)


def _refresh(world: World, request: TokenRequest, client: Client) -> AccountsResponse:
    rotation = world.settings.refresh_token_rotation
    parent = world.refresh_token(request["refresh_token"], client, request.location)
    if parent is None:
        replaced = world.grants.refresh_tokens.get(request["refresh_token"])
        if rotation == "reuse-detection" and replaced and replaced.invalidation_reason == ROTATED:
            world.grants.invalidate_family(replaced, "used again")
        return _error("invalid_code")
    if rotation == "off":
        active = list(world.grants.active_access_tokens(parent))
        if active and world.settings.access_token_reuse:
            seconds = (active[-1].expires_at - world.clock()).total_seconds()
            body = _token_body(world, active[-1], client)
            return AccountsResponse({**body, "expires_in": int(seconds)})
        token = world.grants.issue_access_token(
            parent.permission, parent, shortened_by_seconds=request.clock_skew_seconds
        )
        return AccountsResponse(_token_body(world, token, client))
    new = world.grants.rotate(parent)
    token = world.grants.issue_access_token(
        new.permission, new, shortened_by_seconds=request.clock_skew_seconds
    )
    body = _token_body(world, token, client)
    return AccountsResponse({**body, "refresh_token": new.refresh_token})


def _client_credentials(world: World, request: TokenRequest, client: Client) -> AccountsResponse:
    if client.kind != SELF_CLIENT:
        return _error("invalid_client")
    requested = self_client_scopes(request["scope"])
    if not requested:
        return _error("invalid_scope")
    organizations = _organizations_of_soid(world, client, requested, request["soid"])
    if organizations is None:
        return _error("missing_org_info")
    permission = Permission(
        client.client_id, client.owner, request.location, requested, organizations
    )
    token = world.grants.issue_access_token(
        permission, shortened_by_seconds=request.clock_skew_seconds
    )
    token.has_no_user = True
    return AccountsResponse(_token_body(world, token, client))


def _organizations_of_soid(
    world: World, client: Client, requested_scopes: list[str], soid: str
) -> dict[str, str] | None:
    products = [each for each in products_of(requested_scopes) if each.needs_soid]
    service, _, organization_id = soid.partition(".")
    owner = world.users.by_zuid[client.owner]
    for product in products:
        owned = {each.organization_id for each in owner.organizations_in(product.key)}
        expected = product.soid_service or product.service
        if service.casefold() != expected.casefold() or organization_id not in owned:
            return None
    return {product.key: organization_id for product in products}


def _is_verifier_correct(code: AuthorizationCode, verifier: str) -> bool:
    if code.code_challenge is None:
        return True
    challenge = verifier
    if code.code_challenge_method.upper() == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(challenge.encode(), code.code_challenge.encode())


def _can_create_refresh_token(world: World, permission: Permission) -> bool:
    settings = world.settings
    return world.rate_limits.take(
        ("refresh token", str(permission.zuid), permission.client_id),
        settings.new_refresh_token_limit,
        settings.new_refresh_token_period_seconds,
        world.clock(),
    )


def _token_body(
    world: World, token: AccessToken, client: Client, parent: RefreshToken | None = None
) -> dict[str, Any]:
    permission = token.permission
    settings = world.settings
    body: dict[str, Any] = {"access_token": token.access_token}
    if parent:
        body["refresh_token"] = parent.refresh_token
    body["scope"] = settings.scope_separator.join(permission.scopes)
    body["api_domain"] = world.api_domain(permission.location)
    body["token_type"] = "Bearer"  # noqa: S105
    body["expires_in"] = settings.access_token_lifetime_seconds
    if settings.legacy_expires_in_sec:
        body["expires_in_sec"] = settings.access_token_lifetime_seconds
        body["expires_in"] = settings.access_token_lifetime_seconds * 1000
    return body


def _error(error_code: str) -> AccountsResponse:
    return AccountsResponse({"error": error_code})


SUCCESS = AccountsResponse({"status": "success"})
BAD_REQUEST = AccountsResponse(None, 400)

routes = Blueprint("accounts", __name__, url_prefix="/<location:location>/accounts")
"""Everything below `/<location>/accounts` but the pages."""


@routes.route("/oauth/v2/token", methods=METHODS)
def issue_tokens(location: str) -> Response:
    """Issue tokens for codes, refresh tokens and client credentials."""
    if http_request.method != "POST":
        return respond(AccountsResponse(None, current_world().settings.get_token_status))
    language = http_request.headers.get("Accept-Language", "")
    token_request = TokenRequest(
        location, request_parameters(), language, int(g.get("clock_skew_seconds", 0))
    )
    return respond(handle_token_request(current_world(), token_request))


@routes.route("/oauth/v2/token/revoke", methods=METHODS)
def revoke_without_client(location: str) -> Response:
    """Revoke a token without client authentication, the older form."""
    if http_request.method != "POST":
        return respond(BAD_REQUEST)
    return respond(
        _revoke_without_client(current_world(), location, request_parameters().get("token", ""))
    )


@routes.route("/oauth/v2/revoke/token", methods=METHODS)
def revoke_with_client(location: str) -> Response:
    """Revoke a token of an authenticated client, the newer form (RFC 7009)."""
    basic = http_request.authorization
    if http_request.method != "POST" or basic is None or basic.type != "basic":
        return respond(BAD_REQUEST)
    parameters = request_parameters()
    credentials = parameters.get("client_id", ""), parameters.get("client_secret", "")
    token = parameters.get("token", "")
    kind = parameters.get("token_type", "refresh_token")
    return respond(_revoke_with_client(current_world(), location, token, kind, credentials))


@routes.get("/oauth/user/info")
def user_info(location: str) -> Response:
    """Return the user of an access token in Zoho's own format."""
    return respond(_user_info(current_world(), location))


@routes.get("/oauth/v2/userinfo")
def openid_userinfo(location: str) -> Response:
    """Return the user of an access token in the format of OpenID Connect."""
    return respond(_openid_userinfo(current_world(), location))


@routes.get("/oauth/serverinfo")
def server_info(location: str) -> Response:
    """Return the accounts servers that share clients with this one."""
    locations = [each for each in data_centers() if can_share_clients(each, location)]
    servers = {each: current_world().accounts_server(each) for each in locations}
    return respond(AccountsResponse({"result": "success", "locations": servers}))


@routes.get("/oauth/v2/keys")
def signing_keys(location: str) -> Response:
    """Return the public keys of ID tokens (a JSON Web Key Set)."""
    return respond(AccountsResponse({"keys": public_keys()}))


@routes.get("/.well-known/openid-configuration")
def openid_configuration(location: str) -> Response:
    """Return the discovery document of OpenID Connect."""
    return respond(AccountsResponse(discovery(current_world(), location)))


def request_parameters() -> dict[str, str]:
    """Return the parameters of the current request, each once.

    The body (urlencoded or multipart) overrides the query, and Basic authorization overrides both.
    """
    parameters = {**http_request.args.to_dict(), **http_request.form.to_dict()}
    basic = http_request.authorization
    if basic and basic.type == "basic":
        parameters |= {"client_id": basic.username or "", "client_secret": basic.password or ""}
    return parameters


def discovery(world: World, location: str) -> dict[str, Any]:
    """Return the discovery document. It promises only what is served."""
    issuer = world.accounts_server(location)
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/v2/auth",
        "token_endpoint": f"{issuer}/oauth/v2/token",
        "revocation_endpoint": f"{issuer}/oauth/v2/token/revoke",
        "userinfo_endpoint": f"{issuer}/oauth/v2/userinfo",
        "jwks_uri": f"{issuer}/oauth/v2/keys",
        "response_types_supported": ["code", "token"],
        "grant_types_supported": [*GRANT_TYPES, "implicit"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email", "profile"],
        "claims_supported": ["sub", "name", "first_name", "last_name", "email"],
        "code_challenge_methods_supported": ["S256", "plain"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
    }


def _user_info(world: World, location: str) -> AccountsResponse:
    token = world.access_token(_access_token(), location)
    if token is None:
        return AccountsResponse({"response": "error", "cause": "INVALID_OAUTHTOKEN"}, 401)
    if not scopes_cover(token.permission.scopes, "AaaServer.profile.READ"):
        if world.settings.user_info_scope_error == "405":
            return AccountsResponse({"status_code": 405})
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
    scopes = {each.casefold() for each in token.permission.scopes}
    if scopes.isdisjoint({"openid", "email", "profile"}):
        return AccountsResponse({"response": "error", "cause": "INVALID_OAUTHSCOPE"}, 401)
    if scopes == {"profile"} and world.settings.userinfo_for_profile_alone == "page":
        return AccountsResponse(None, 400, "Zoho Accounts")
    user = world.users.by_zuid[token.permission.zuid]
    return AccountsResponse(openid_claims(user, token.permission.scopes))


def _access_token() -> str:
    return parse_authorization(http_request.headers.get("Authorization", "")) or ""


def respond(response: AccountsResponse) -> Response:
    """Return a response of the accounts server over HTTP."""
    if response.body is None:
        return html_page(response.status, response.title)
    return Response(json_line(response.body), response.status, content_type=JSON)


def _revoke_without_client(world: World, location: str, token: str) -> AccountsResponse:
    found = _find_token(world, location, token)
    if found is None:
        return BAD_REQUEST
    world.grants.revoke(found)
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
    world.grants.revoke(found)
    return SUCCESS


def _find_token(world: World, location: str, value: str) -> RefreshToken | AccessToken | None:
    refresh = world.grants.refresh_tokens.get(value)
    if refresh and not refresh.invalidation_reason and refresh.permission.location == location:
        return refresh
    return world.access_token(value, location)
