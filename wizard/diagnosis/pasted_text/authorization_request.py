"""Where a code came from, as far as a text shows the consent that gave it. Pure.

A log of a connection holds up to three addresses: the consent's, the callback's and the token
endpoint's. What the first two say, the third has to agree with.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import replace
from urllib.parse import SplitResult

from wizard.credential_formats import CLIENT_ID, TOKEN_PREFIX
from wizard.diagnosis.evidence import SentRequest
from wizard.diagnosis.pasted_text.parsed_text import ParsedText
from wizard.zoho import Zoho

_CODE = re.compile(TOKEN_PREFIX)
"""How every code of Zoho's begins; products call their errors' numbers codes, too."""


def with_authorization_request(
    sent_request: SentRequest, parsed: ParsedText, authorization_url: SplitResult | None
) -> SentRequest:
    """`sent` with how `consent`, the address of an authorization request, asked."""
    if authorization_url is None:
        return sent_request
    asked = parsed.query(authorization_url)
    return replace(
        sent_request,
        is_offline=asked.get("access_type") == "offline",
        has_consent_prompt=asked.get("prompt") == "consent",
    )


def with_code_origin(
    sent_request: SentRequest, parsed: ParsedText, zoho: Zoho, authorization_url: SplitResult | None
) -> SentRequest:
    """`sent`, a token request with a code, with what `consent` and callback say of that code."""
    codes = [value for value in parsed.values("code") if _CODE.match(value)]
    if not codes or sent_request.grant_type == "refresh_token":
        return sent_request
    named = (*parsed.values("accounts-server"), *parsed.values("location"))
    place = next((found for each in named if (found := zoho.find_data_center(each))), None)
    asked = parsed.query(authorization_url) if authorization_url else {}
    asked_for = asked.get("client_id", "")
    return replace(
        sent_request,
        code_location=place.location if place else "",
        code_client_id=asked_for if CLIENT_ID.fullmatch(asked_for) else "",
        is_code_repeated=_is_sent_again(codes, has_callback=place is not None),
        has_code_challenge="code_challenge" in asked if authorization_url else None,
        is_verifier_valid=_is_verifier_valid(asked, parsed.values("code_verifier")),
    )


def _is_sent_again(codes: list[str], *, has_callback: bool) -> bool:
    """Whether the last code was sent twice; a callback in the text shows it once more."""
    return codes.count(codes[-1]) > (2 if has_callback else 1)


def _is_verifier_valid(parameters: dict[str, str], verifiers: list[str]) -> bool | None:
    """Whether the verifier belongs to the challenge (RFC 7636, section 4.6)."""
    challenge = parameters.get("code_challenge", "")
    if not challenge or not verifiers:
        return None
    shown = verifiers[-1]
    if parameters.get("code_challenge_method", "plain").upper() == "S256":
        digest = hashlib.sha256(shown.encode()).digest()
        shown = urlsafe_b64encode(digest).rstrip(b"=").decode()
    return shown == challenge
