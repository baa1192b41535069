"""What a text says by its form: an address, a request, an answer, a token, a page. Pure."""

import re

from wizard.diagnosis.evidence import Met, Shape
from wizard.diagnosis.reading import request
from wizard.diagnosis.reading.clues import Clues
from wizard.diagnosis.reading.meaning import Meaning, status_of
from wizard.diagnosis.reading.shapes import CLIENT_ID, SECRET, foreign, shape_of
from wizard.errors import WizardError
from wizard.zoho import Zoho, parse_scope

LONGEST_LIFE = 86_400
"""Seconds; no access token lives for a day, so a greater number counts something else."""
HEADER = 40
"""Characters of ``Authorization: Zoho-oauthtoken`` and quotes around a token."""
LONGEST_ADDRESS = 8_000
"""Characters; browsers and servers cut addresses at about that length."""

_BY_STATUS = {
    401: "token-invalid",
    403: "no-permission",
    404: "wrong-path",
    407: "network-proxy",
    429: "product-throttled",
}


def authorization_url(clues: Clues, zoho: Zoho) -> Meaning | None:
    """The address of a consent: what is wrong with it, as far as it shows."""
    address = request.authorization_url(clues)
    if address is None:
        return None
    asked = clues.query(address)
    if not asked.get("client_id") or asked.get("response_type") != "code":
        return Meaning("zoho-page-invalid-response-type", met=Met.CONSENT)
    if not CLIENT_ID.fullmatch(asked["client_id"]):
        return Meaning("zoho-page-invalid-client", met=Met.CONSENT)
    try:
        parse_scope(asked.get("scope", ""))
    except WizardError as error:
        return Meaning(error.failure.code, met=Met.CONSENT, details=_masked_details(error))
    if asked.get("access_type") != "offline":
        return Meaning("authorization-url-online", met=Met.CONSENT)
    silent = asked.get("prompt") != "consent"
    return Meaning("authorization-url-silent" if silent else "authorization-url-sound")


def callback(clues: Clues, zoho: Zoho) -> Meaning | None:
    """The address of a callback with a code in it."""
    for address in clues.addresses:
        given = clues.query(address)
        if "code" in given and ("accounts-server" in given or "location" in given):
            place = zoho.find(given.get("location", ""))
            named = place.name if place else "a data centre that is not known"
            return Meaning("callback-pasted", met=Met.CALLBACK, details={"data_centre": named})
    return None


def token_answer(clues: Clues, zoho: Zoho) -> Meaning | None:
    """A token endpoint's answer that is no error."""
    names = clues.names
    if "access_token" not in names or "expires_in" not in names:
        return None
    lives = [int(v) for v in clues.values("expires_in") if re.fullmatch(r"\d{1,12}", v)]
    if any(life > LONGEST_LIFE for life in lives):
        return Meaning("expiry-in-milliseconds", details={"given": str(max(lives))})
    if "refresh_token" in clues.values("grant_type"):
        return Meaning("answer-of-a-refresh")
    if "refresh_token" not in names:
        return Meaning("no-refresh-token", met=Met.EXCHANGE)
    return Meaning("answer-good")


def token_request(clues: Clues, zoho: Zoho) -> Meaning | None:
    """A token request that Zoho cannot have taken: by GET, as JSON, or incomplete."""
    if not request.token_requests(clues):
        return None
    sent = request.sent_in(clues, zoho)
    incomplete = sent.parameters is not None and "grant_type" not in sent.parameters
    if sent.method == "GET" or "json" in sent.content_type.lower() or incomplete:
        return Meaning("token-request-refused", met=Met.CLIENT)
    return None if 400 not in clues.statuses else Meaning("token-request-refused", met=Met.CLIENT)


def single_word(clues: Clues, zoho: Zoho) -> Meaning | None:
    """A token, an id or a secret alone."""
    for word in request.text_is_one_word(clues):
        if CLIENT_ID.fullmatch(word):
            return Meaning("client-id-alone", details={"known": "It names no client stored here"})
        if SECRET.fullmatch(word):
            return Meaning("secret-alone")
    token = clues.token
    bare = clues.text.strip("\"'`“”‘’ \t\r\n")
    shape = shape_of(token) if token else None
    if shape is not None and shape is not Shape.WHOLE:
        return Meaning("token-not-whole", details={"shape": shape.value.replace("-", " ")})
    return Meaning("token-alone") if token and len(bare) <= len(token) + HEADER else None


def page(clues: Clues, zoho: Zoho) -> Meaning | None:
    """HTML that no rule knows: not Zoho's interface."""
    if not clues.is_page:
        return None
    return Meaning("not-json", met=Met.NETWORK, details=status_of(clues))


def http_status(clues: Clues, zoho: Zoho) -> Meaning | None:
    """An HTTP status and nothing else that is known."""
    alone = [
        int(word) for word in request.text_is_one_word(clues) if re.fullmatch("[45]\\d\\d", word)
    ]
    for status in reversed([*alone, *clues.statuses]):
        code = "data-centre-down" if status >= 500 else _BY_STATUS.get(status)
        if code:
            return Meaning(code, str(status), Met.PRODUCT, {"status": str(status)})
    return None


def address(clues: Clues, zoho: Zoho) -> Meaning | None:
    """An address of Zoho's and nothing else, which tells a data centre."""
    place = (
        zoho.find(clues.text) if len(clues.text) < LONGEST_ADDRESS and "." in clues.text else None
    )
    if place is None:
        return None
    return Meaning("zoho-address", details={"data_centre": place.name, "location": place.location})


def some_token(clues: Clues, zoho: Zoho) -> Meaning | None:
    """A token among other things, of which none says that anything failed."""
    return Meaning("token-alone") if clues.token else None


def _masked_details(error: WizardError) -> dict[str, str]:
    return {name: foreign(text) for name, text in error.failure.details.items()}
