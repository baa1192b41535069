"""The token endpoint, judged and carried out: `POST /oauth/v2/token`.

Errors come with HTTP 200 and `{"error": …}`; only the throttle and a request that is not one at
all are 400. The checks stand in this order: grant_type present, throttle, client id, client
secret, code or refresh token, redirect URI, PKCE verifier.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wizard.sandbox import openid, scopes
from wizard.sandbox.catalogue import products_of
from wizard.sandbox.clients import SELF_CLIENT, Client
from wizard.sandbox.grants import ROTATED, AccessToken, Code, Permission, RefreshToken
from wizard.sandbox.world import World

THROTTLED = {
    "error_description": "You have made too many requests continuously. "
    "Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}
THROTTLED_IN_CHINESE = {
    "error_description": "您已连续提出过多请求，请稍后再试。",
    "error": "拒绝访问",
    "status": "failure",
}
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")


@dataclass(frozen=True)
class Answer:
    """What the endpoint says. `body` None stands for Zoho's HTML page of that status."""

    body: dict[str, Any] | None
    status: int = 200


@dataclass(frozen=True)
class Ask:
    """One token request in a data centre.

    `parameters` come from query, body and Basic authorization; `language` is Accept-Language;
    `skew` seconds make an access token die before the life it is given in words.
    """

    location: str
    parameters: Mapping[str, str]
    language: str = ""
    skew: int = 0

    def __getitem__(self, name: str) -> str:
        return self.parameters.get(name, "")


def answer(world: World, ask: Ask) -> Answer:
    """Return the endpoint's answer to a POST, and make the tokens it names."""
    if not ask["grant_type"]:
        return Answer(None, world.settings.get_token_status)
    if not _within_limit(world, ask):
        return throttled(world, ask.language)
    client = world.clients.known(ask["client_id"], ask.location)
    if client is None or ask["grant_type"] not in GRANT_TYPES:
        return _error("invalid_client")
    refusal = wrong_secret(world, client, ask.location, ask["client_secret"])
    if refusal:
        return _error(refusal)
    if ask["grant_type"] == "refresh_token":
        return _refresh(world, ask, client)
    if ask["grant_type"] == "client_credentials":
        return _client_credentials(world, ask, client)
    return _exchange(world, ask, client)


def throttled(world: World, language: str = "") -> Answer:
    """Return what the throttle says, in Chinese where asked for and set."""
    chinese = world.settings.localised_throttle and language.lower().startswith("zh")
    return Answer(THROTTLED_IN_CHINESE if chinese else THROTTLED, world.settings.throttle_status)


def wrong_secret(world: World, client: Client, location: str, secret: str) -> str:
    """Return the error word for a client secret in a data centre, "" where it is right."""
    right = client.secret_in(location) or ""
    if hmac.compare_digest(right.encode(), secret.encode()):
        return ""
    if secret in client.secrets.values():
        return world.settings.wrong_data_centre_secret
    return "invalid_client_secret"


def _within_limit(world: World, ask: Ask) -> bool:
    settings = world.settings
    by_token = settings.throttle_key == "refresh_token" and ask["refresh_token"]
    key = ask["refresh_token"] if by_token else ask["client_id"]
    return not key or world.limits.take(
        ("token", ask.location, key),
        settings.token_requests,
        settings.token_requests_period,
        world.clock(),
    )


def _exchange(world: World, ask: Ask, client: Client) -> Answer:
    code = world.code(ask["code"], client, ask.location)
    if code is None:
        return _error("invalid_code")
    if code.redirect_uri is not None and ask["redirect_uri"] != code.redirect_uri:
        return _error("invalid_redirect_uri")
    if not _verifies(code, ask["code_verifier"]):
        return _error(world.settings.pkce_mismatch)
    if code.refresh_token and not _may_create(world, code.permission):
        return throttled(world, ask.language)
    code.used = True
    parent = world.grants.issue_refresh_token(code.permission) if code.refresh_token else None
    token = world.grants.issue_access_token(code.permission, parent, shorter_by=ask.skew)
    return Answer(_success(world, token, client, parent))


def _refresh(world: World, ask: Ask, client: Client) -> Answer:
    rotation = world.settings.refresh_token_rotation
    parent = world.refresh_token(ask["refresh_token"], client, ask.location)
    if parent is None:
        replaced = world.grants.refresh_tokens.get(ask["refresh_token"])
        if rotation == "reuse-detection" and replaced and replaced.ended == ROTATED:
            world.grants.end_family(replaced, "used again")
        return _error("invalid_code")
    if rotation == "off":
        token = world.grants.issue_access_token(parent.permission, parent, shorter_by=ask.skew)
        return Answer(_success(world, token, client))
    new = world.grants.rotate(parent)
    token = world.grants.issue_access_token(new.permission, new, shorter_by=ask.skew)
    body = _success(world, token, client)
    return Answer({**body, "refresh_token": new.refresh_token})


def _client_credentials(world: World, ask: Ask, client: Client) -> Answer:
    if client.kind != SELF_CLIENT:
        return _error("invalid_client")
    asked = scopes.split(ask["scope"])
    if not asked or not all(scopes.is_known(each) for each in asked):
        return _error("invalid_scope")
    organizations = _organizations_of_soid(world, client, asked, ask["soid"])
    if organizations is None:
        return _error("missing_org_info")
    permission = Permission(client.client_id, client.owner, ask.location, asked, organizations)
    token = world.grants.issue_access_token(permission, shorter_by=ask.skew)
    token.without_person = True
    return Answer(_success(world, token, client))


def _organizations_of_soid(
    world: World, client: Client, asked: list[str], soid: str
) -> dict[str, str] | None:
    needing = [each for each in products_of(asked) if each.needs_soid]
    service, _, organization_id = soid.partition(".")
    owner = world.people.by_zuid[client.owner]
    for product in needing:
        owned = {each.organization_id for each in owner.organizations_in(product.key)}
        if service.casefold() != product.service.casefold() or organization_id not in owned:
            return None
    return {product.key: organization_id for product in needing}


def _verifies(code: Code, verifier: str) -> bool:
    if code.code_challenge is None:
        return True
    shown = verifier
    if code.code_challenge_method.upper() == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        shown = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(shown.encode(), code.code_challenge.encode())


def _may_create(world: World, permission: Permission) -> bool:
    settings = world.settings
    return world.limits.take(
        ("refresh token", str(permission.zuid), permission.client_id),
        settings.refresh_tokens_created,
        settings.refresh_tokens_created_period,
        world.clock(),
    )


def _success(
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
    body["expires_in"] = settings.access_token_life
    if settings.legacy_expires_in_sec:
        body["expires_in_sec"] = settings.access_token_life
        body["expires_in"] = settings.access_token_life * 1000
    if parent and openid.is_asked(permission.scopes):
        body["id_token"] = openid.id_token(world, permission, client)
    return body


def _error(word: str) -> Answer:
    return Answer({"error": word})
