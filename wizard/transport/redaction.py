"""Masks secrets in what is shown, stored or logged of an HTTP exchange. Pure."""

import base64
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

MASK = "(masked)"
"""Stands in the place of a secret."""

_SECRET = frozenset(
    ("client_secret", "code", "code_verifier", "refresh_token", "access_token", "token", "id_token")
)
_TOKEN = re.compile(r"\b1\d{3}\.[0-9a-fA-F]{8,}(?:\.[0-9a-fA-F]*)?")
"""How Zoho writes codes and tokens: ``1000.<32 hex>.<32 hex>``."""
_JSON_SECRET = re.compile(r'("(?:access_token|refresh_token|id_token|client_secret)"\s*:\s*")[^"]*')
_LONGEST = 2000


def mask_parameters(parameters: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The parameters with their secret values masked, and these values."""
    secrets = tuple(value for name, value in parameters.items() if name in _SECRET and value)
    shown = {
        name: MASK if name in _SECRET else _TOKEN.sub(MASK, value)
        for name, value in parameters.items()
    }
    return shown, secrets


def secrets_of(authorization: str) -> tuple[str, ...]:
    """The secrets in an ``Authorization`` header: a token, or a client secret as Basic carries it
    (RFC 7617) and as it reads.
    """
    scheme, _, carried = authorization.partition(" ")
    if scheme.lower() != "basic":
        return (carried,)
    with suppress(ValueError):
        return carried, base64.b64decode(carried).decode().partition(":")[2]
    return (carried,)


def mask_answer(text: str, secrets: Iterable[str] = ()) -> str:
    """The start of ``text``, at most 2,000 characters, without tokens and without ``secrets``,
    which an unfriendly server may echo.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return _TOKEN.sub(MASK, _JSON_SECRET.sub(rf"\g<1>{MASK}", text))[:_LONGEST]
