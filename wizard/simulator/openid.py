"""The little of OpenID Connect that Zoho Accounts speaks: discovery, id_token, userinfo."""

import base64
import hashlib
import hmac
import json
from typing import Any

from wizard.simulator.clients import Client
from wizard.simulator.grants import Permission
from wizard.simulator.people import User
from wizard.simulator.world import World


def is_requested(scopes: list[str]) -> bool:
    """Whether the scopes ask for an identity: openid, email or profile."""
    return any(each.casefold() in ("openid", "email", "profile") for each in scopes)


def discovery(world: World, location: str) -> dict[str, Any]:
    """Return the discovery document of an accounts server."""
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


def id_token(world: World, permission: Permission, client: Client) -> str:
    """Return an identity token (a JSON Web Token, RFC 7519), signed with the client's secret.

    The simulated Zoho keeps no signing keys; HS256 needs none.
    """
    user = world.people.by_zuid[permission.zuid]
    now = int(world.clock().timestamp())
    claims = {
        "iss": world.accounts_server(permission.location),
        "aud": client.client_id,
        "iat": now,
        "exp": now + world.settings.access_token_lifetime_seconds,
        **claims_of(user, permission.scopes),
    }
    signed = f"{_encode_json({'alg': 'HS256', 'typ': 'JWT'})}.{_encode_json(claims)}"
    key = (client.secret_in(permission.location) or "").encode()
    return f"{signed}.{_encode_base64(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


def claims_of(user: User, scopes: list[str]) -> dict[str, str]:
    """Return what userinfo tells for these scopes; an e-mail address only for `email`."""
    asked = {each.casefold() for each in scopes}
    claims = {"sub": str(user.zuid)}
    if "profile" in asked:
        claims |= {
            "name": user.display_name,
            "first_name": user.first_name,
            "last_name": user.last_name,
        }
    return claims | ({"email": user.email} if "email" in asked else {})


def _encode_json(value: dict[str, Any]) -> str:
    return _encode_base64(json.dumps(value, separators=(",", ":")).encode())


def _encode_base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
