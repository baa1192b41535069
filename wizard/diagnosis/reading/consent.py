"""Where a code came from, as far as a text shows the consent that gave it. Pure.

A log of a connection holds up to three addresses: the consent's, the callback's and the token
endpoint's. What the first two say, the third has to agree with.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import replace
from urllib.parse import SplitResult

from wizard.diagnosis.evidence import Sent
from wizard.diagnosis.reading.clues import Clues
from wizard.diagnosis.reading.shapes import CLIENT_ID
from wizard.zoho import Zoho

_CODE = re.compile(r"1\d{3}\.")
"""How every code of Zoho's begins; products call their errors' numbers codes, too."""


def with_consent(sent: Sent, clues: Clues, consent: SplitResult | None) -> Sent:
    """`sent` with how `consent`, the address of an authorization request, asked."""
    if consent is None:
        return sent
    asked = clues.query(consent)
    return replace(
        sent,
        offline=asked.get("access_type") == "offline",
        consent_asked=asked.get("prompt") == "consent",
    )


def with_origin(sent: Sent, clues: Clues, zoho: Zoho, consent: SplitResult | None) -> Sent:
    """`sent`, a token request with a code, with what `consent` and callback say of that code."""
    codes = [value for value in clues.values("code") if _CODE.match(value)]
    if not codes or sent.grant_type == "refresh_token":
        return sent
    named = (*clues.values("accounts-server"), *clues.values("location"))
    place = next((found for each in named if (found := zoho.find(each))), None)
    asked = clues.query(consent) if consent else {}
    asked_for = asked.get("client_id", "")
    return replace(
        sent,
        code_location=place.location if place else "",
        code_client_id=asked_for if CLIENT_ID.fullmatch(asked_for) else "",
        code_repeated=_sent_again(codes, callback=place is not None),
        challenge="code_challenge" in asked if consent else None,
        verifier_fits=_fits(asked, clues.values("code_verifier")),
    )


def _sent_again(codes: list[str], *, callback: bool) -> bool:
    """Whether the last code was sent twice; a callback in the text shows it once more."""
    return codes.count(codes[-1]) > (2 if callback else 1)


def _fits(asked: dict[str, str], verifiers: list[str]) -> bool | None:
    """Whether the verifier belongs to the challenge (RFC 7636, section 4.6)."""
    challenge = asked.get("code_challenge", "")
    if not challenge or not verifiers:
        return None
    shown = verifiers[-1]
    if asked.get("code_challenge_method", "plain").upper() == "S256":
        digest = hashlib.sha256(shown.encode()).digest()
        shown = urlsafe_b64encode(digest).rstrip(b"=").decode()
    return shown == challenge
