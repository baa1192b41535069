"""What a text says by its form: an address, a request, an answer, a token, a page. Pure."""

import re

from wizard.credential_formats import CLIENT_ID, CLIENT_SECRET
from wizard.diagnosis.evidence import Origin, TokenFormat
from wizard.diagnosis.pasted_text import http_request
from wizard.diagnosis.pasted_text.parsed_text import ParsedText
from wizard.diagnosis.pasted_text.recognition import RecognizedFailure, status_details
from wizard.diagnosis.pasted_text.token_formats import masked_line, token_format_of
from wizard.errors import WizardError
from wizard.zoho import Zoho, parse_scope

MAX_LIFETIME_SECONDS = 86_400
"""Seconds; no access token lives for a day, so a greater number counts something else."""
HEADER_CHARACTERS = 40
"""Characters of ``Authorization: Zoho-oauthtoken`` and quotes around a token."""
MAX_ADDRESS_CHARACTERS = 8_000
"""Characters; browsers and servers cut addresses at about that length."""

_CODE_BY_STATUS = {
    401: "token-invalid",
    403: "no-permission",
    404: "wrong-path",
    407: "network-proxy",
    429: "product-throttled",
}


def authorization_url(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """The address of a consent: what is wrong with it, as far as it shows."""
    address = http_request.authorization_url(parsed)
    if address is None:
        return None
    asked = parsed.query(address)
    if not asked.get("client_id") or asked.get("response_type") != "code":
        return RecognizedFailure("zoho-page-invalid-response-type", origin=Origin.CONSENT)
    if not CLIENT_ID.fullmatch(asked["client_id"]):
        return RecognizedFailure("zoho-page-invalid-client", origin=Origin.CONSENT)
    try:
        parse_scope(asked.get("scope", ""))
    except WizardError as error:
        return RecognizedFailure(
            error.failure.code, origin=Origin.CONSENT, details=_masked_details(error)
        )
    if asked.get("access_type") != "offline":
        return RecognizedFailure("authorization-url-online", origin=Origin.CONSENT)
    silent = asked.get("prompt") != "consent"
    return RecognizedFailure("authorization-url-silent" if silent else "authorization-url-sound")


def callback(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """The address of a callback with a code in it."""
    for address in parsed.addresses:
        given = parsed.query(address)
        if "code" in given and ("accounts-server" in given or "location" in given):
            place = zoho.find_data_center(given.get("location", ""))
            named = place.name if place else "a data centre that is not known"
            return RecognizedFailure(
                "callback-pasted", origin=Origin.CALLBACK, details={"data_center": named}
            )
    return None


def token_response(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token endpoint's answer that is no error."""
    names = parsed.names
    if "access_token" not in names or "expires_in" not in names:
        return None
    lifetimes = [int(v) for v in parsed.values("expires_in") if re.fullmatch(r"\d{1,12}", v)]
    if any(lifetime > MAX_LIFETIME_SECONDS for lifetime in lifetimes):
        return RecognizedFailure("expiry-in-milliseconds", details={"value": str(max(lifetimes))})
    if "refresh_token" in parsed.values("grant_type"):
        return RecognizedFailure("answer-of-a-refresh")
    if "refresh_token" not in names:
        return RecognizedFailure("no-refresh-token", origin=Origin.EXCHANGE)
    return RecognizedFailure("answer-good")


def token_request(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token request that Zoho cannot have taken: by GET, as JSON, or incomplete."""
    if not http_request.token_requests(parsed):
        return None
    sent = http_request.parse_sent_request(parsed, zoho)
    incomplete = sent.parameters is not None and "grant_type" not in sent.parameters
    if sent.method == "GET" or "json" in sent.content_type.lower() or incomplete:
        return RecognizedFailure("token-request-refused", origin=Origin.CLIENT)
    return (
        None
        if 400 not in parsed.statuses
        else RecognizedFailure("token-request-refused", origin=Origin.CLIENT)
    )


def single_word(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token, an id or a secret alone."""
    for word in http_request.single_word_of(parsed):
        if CLIENT_ID.fullmatch(word):
            return RecognizedFailure(
                "client-id-alone", details={"known": "It names no client stored here"}
            )
        if CLIENT_SECRET.fullmatch(word):
            return RecognizedFailure("secret-alone")
    token = parsed.token
    bare = parsed.text.strip("\"'`“”‘’ \t\r\n")
    shape = token_format_of(token) if token else None
    if shape is not None and shape is not TokenFormat.COMPLETE:
        return RecognizedFailure(
            "token-not-whole", details={"format": shape.value.replace("-", " ")}
        )
    return (
        RecognizedFailure("token-alone")
        if token and len(bare) <= len(token) + HEADER_CHARACTERS
        else None
    )


def page(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """HTML that no rule knows: not Zoho's interface."""
    if not parsed.is_page:
        return None
    return RecognizedFailure("not-json", origin=Origin.NETWORK, details=status_details(parsed))


def http_status(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """An HTTP status and nothing else that is known."""
    alone = [
        int(word)
        for word in http_request.single_word_of(parsed)
        if re.fullmatch("[45]\\d\\d", word)
    ]
    for status in reversed([*alone, *parsed.statuses]):
        code = "data-centre-down" if status >= 500 else _CODE_BY_STATUS.get(status)
        if code:
            return RecognizedFailure(code, str(status), Origin.PRODUCT, {"status": str(status)})
    return None


def address(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """An address of Zoho's and nothing else, which tells a data centre."""
    place = (
        zoho.find_data_center(parsed.text)
        if len(parsed.text) < MAX_ADDRESS_CHARACTERS and "." in parsed.text
        else None
    )
    if place is None:
        return None
    return RecognizedFailure(
        "zoho-address", details={"data_center": place.name, "location": place.location}
    )


def any_token(parsed: ParsedText, zoho: Zoho) -> RecognizedFailure | None:
    """A token among other things, of which none says that anything failed."""
    return RecognizedFailure("token-alone") if parsed.token else None


def _masked_details(error: WizardError) -> dict[str, str]:
    return {name: masked_line(text) for name, text in error.failure.details.items()}
