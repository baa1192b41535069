"""ID tokens of OpenID Connect: claims, RS256 signature (RFC 7519) and public keys (RFC 7517).

The signing key is made when it's first needed and is gone with the process: it protects nothing.
"""

import base64
import hashlib
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from wizard.simulator.clients import Client
from wizard.simulator.grants import Permission
from wizard.simulator.users import User
from wizard.simulator.world import World

KEY_BITS, PUBLIC_EXPONENT = 2048, 65537


def is_openid_requested(scopes: list[str]) -> bool:
    """Whether the scopes ask for an identity: openid, email or profile."""
    return any(each.casefold() in ("openid", "email", "profile") for each in scopes)


def openid_claims(user: User, scopes: list[str]) -> dict[str, str]:
    """Return the claims for these scopes; an email address only for `email`."""
    requested = {each.casefold() for each in scopes}
    claims = {"sub": str(user.zuid)}
    if "profile" in requested:
        claims |= {
            "name": user.display_name,
            "first_name": user.first_name,
            "last_name": user.last_name,
        }
    return claims | ({"email": user.email} if "email" in requested else {})


def id_token(world: World, permission: Permission, client: Client, nonce: str = "") -> str:
    """Return a signed ID token. With the setting, its header has Zoho's own `key_id`, too."""
    now = int(world.clock().timestamp())
    key_id = public_keys()[0]["kid"]
    header = {"alg": "RS256", "typ": "JWT", "kid": key_id}
    if world.settings.id_token_key_id:
        header["key_id"] = key_id
    claims = {
        "iss": world.accounts_server(permission.location),
        "aud": client.client_id,
        "iat": now,
        "exp": now + world.settings.access_token_lifetime_seconds,
        **({"nonce": nonce} if nonce else {}),
        **openid_claims(world.users.by_zuid[permission.zuid], permission.scopes),
    }
    signing_input = f"{_encode_json(header)}.{_encode_json(claims)}"
    signature = _signing_key().sign(signing_input.encode(), PKCS1v15(), SHA256())
    return f"{signing_input}.{_encode(signature)}"


@cache
def public_keys() -> list[dict[str, str]]:
    """Return the public keys as JSON Web Keys. A key's ID is its thumbprint (RFC 7638)."""
    numbers = _signing_key().public_key().public_numbers()
    required = {"e": _encode_number(numbers.e), "kty": "RSA", "n": _encode_number(numbers.n)}
    thumbprint = hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest()
    return [{**required, "kid": _encode(thumbprint), "alg": "RS256", "use": "sig"}]


@cache
def _signing_key() -> RSAPrivateKey:
    return generate_private_key(PUBLIC_EXPONENT, KEY_BITS)


def _encode_number(number: int) -> str:
    return _encode(number.to_bytes((number.bit_length() + 7) // 8))


def _encode_json(value: dict[str, Any]) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
