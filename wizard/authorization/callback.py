"""What came back from the accounts server, judged before anything is done with it.

An `AuthorizationResponse` is made here and nowhere else: whoever holds one knows that its code
answers this attempt and which row of the table of data centres it may be posted to. Everything in
a callback is foreign text; it is compared and never used as an address.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlsplit

from wizard.credential_formats import TOKEN
from wizard.errors import WizardError, fail
from wizard.model import Attempt, AttemptState, Client, Failure, FailureKind
from wizard.transport import mask_text, sanitize_line
from wizard.zoho import DataCenter, Zoho

Parameters = Sequence[tuple[str, str]]

MAX_ERROR_CHARACTERS = 80
"""Characters of somebody else's error word that we keep; Zoho's longest has some thirty."""

MAX_PASTE_CHARACTERS = 8_000
"""Characters; browsers and servers cut addresses at about that length."""

_CODE = re.compile(r"[\x21-\x7e]{8,512}")

_FAILURE_CODES = {"access_denied": "access-denied", "no_org": "no-organization"}


@dataclass(frozen=True)
class AuthorizationResponse:
    """A code that answers an attempt, and the data centre that may be given it."""

    code: str = field(repr=False)
    data_center: DataCenter


def unique_parameters(params: Parameters) -> dict[str, str]:
    """The parameters by name; raises ``callback-repeated-parameter`` when one comes twice, since
    two readers of such an address may believe two different things."""
    found: dict[str, str] = {}
    for name, value in params:
        if name in found:
            raise fail(
                "callback-repeated-parameter", parameter=sanitize_line(name, MAX_ERROR_CHARACTERS)
            )
        found[name] = value
    return found


def check_callback(params: dict[str, str], attempt: Attempt, zoho: Zoho) -> AuthorizationResponse:
    """Judge the parameters of a callback whose ``state`` was found and redeemed.

    Raises the refusal that Zoho sent (``access-denied``, ``no-organization``,
    ``callback-error``), ``issuer-mismatch`` or ``callback-without-code``.
    """
    if "error" in params:
        ours = (attempt.oauth_state, attempt.code_verifier, params.get("code", ""))
        word = sanitize_line(mask_text(params["error"], ours), MAX_ERROR_CHARACTERS)
        code = _FAILURE_CODES.get(word, "callback-error")
        raise WizardError(Failure(code, zoho_error=word, details={"name": attempt.connection}))
    data_center = _data_center_of(params, attempt, zoho)
    code = params.get("code", "")
    if not _CODE.fullmatch(code):
        raise fail("callback-without-code", name=attempt.connection)
    return AuthorizationResponse(code, data_center)


def _data_center_of(params: dict[str, str], attempt: Attempt, zoho: Zoho) -> DataCenter:
    """The row of the table that `params` name; both of the pair or neither, compared byte for
    byte. The row in which the attempt began must still be what it was then."""
    mismatch = fail("issuer-mismatch", name=attempt.connection)
    start = zoho.data_center(attempt.location)
    endpoints = (start.authorization_endpoint, start.token_endpoint)
    if endpoints != (attempt.authorization_endpoint, attempt.token_endpoint):
        raise mismatch
    location, accounts_server = params.get("location"), params.get("accounts-server")
    if location is None and accounts_server is None:
        data_center = start
    elif zoho.accepts_callback(location or "", accounts_server or ""):
        data_center = zoho.data_center(location or "")
    else:
        raise mismatch
    issuer = params.get("iss", data_center.accounts_server)
    if data_center.is_separate != start.is_separate or issuer != data_center.accounts_server:
        raise mismatch
    return data_center


def parse_pasted(text: str, redirect_uri: str) -> list[tuple[str, str]]:
    """The parameters in what a person pasted: the whole address the browser ended on, its query,
    or a bare code, after which more of the query may follow.

    Raises ``paste-not-understood``, or ``paste-not-callback`` for another page's address.
    """
    cleaned = "".join(text.split())
    if not cleaned or len(cleaned) > MAX_PASTE_CHARACTERS:
        raise fail("paste-not-understood")
    if "://" in cleaned or cleaned.startswith("localhost"):
        return _parse_address(cleaned if "://" in cleaned else f"http://{cleaned}", redirect_uri)
    first = re.split(r"[?&]", cleaned)[0]
    query = f"code={cleaned}" if TOKEN.fullmatch(first) else cleaned.lstrip("?&")
    params = parse_qsl(query, keep_blank_values=True)
    if not {"code", "error"} & {name for name, _ in params}:
        raise fail("paste-not-understood")
    return params


def find_state(text: str) -> str:
    """The ``state`` in an address that somebody sent; empty where there is none."""
    query = "".join(text.split()).partition("?")[2]
    return dict(parse_qsl(query)).get("state", "") if len(query) <= MAX_PASTE_CHARACTERS else ""


def _parse_address(address: str, redirect_uri: str) -> list[tuple[str, str]]:
    try:
        parts, wanted = urlsplit(address), urlsplit(redirect_uri)
    except ValueError:
        raise fail("paste-not-understood") from None
    if (parts.scheme, parts.netloc, parts.path) != (wanted.scheme, wanted.netloc, wanted.path):
        raise fail("paste-not-callback", redirect_uri=redirect_uri)
    return parse_qsl(parts.query, keep_blank_values=True)


VERDICT_KINDS = frozenset(
    {
        *(FailureKind.CLIENT, FailureKind.GRANT, FailureKind.SCOPE, FailureKind.PERMISSION),
        *(FailureKind.AUTHORIZATION, FailureKind.LIMIT, FailureKind.UNTRUSTED, FailureKind.UNKNOWN),
    }
)
"""Kinds of failures after which no token can exist. After any other that was sent, one may."""


def is_verdict(failure: Failure) -> bool:
    """Whether Zoho answered an exchange so that no token can exist."""
    # Zoho says that it had an error of its own in an explicit OAuth error.
    return failure.kind in VERDICT_KINDS or failure.code == "general-error"


def classify_exchange_failure(
    failure: Failure, client: Client, data_center: DataCenter, details: Mapping[str, str]
) -> tuple[AttemptState, Failure]:
    """The end of an attempt whose one POST failed, and the failure named by what it means here:
    an unknown client in a foreign data centre is a switch in the console that is off."""
    code, failure_details = failure.code, {**details, **failure.details}
    state = AttemptState.FAILED
    if failure.sent and not is_verdict(failure):
        state, failure_details["reason"], code = (
            AttemptState.OUTCOME_UNKNOWN,
            code,
            "outcome-unknown",
        )
    elif code == "invalid-client" and data_center.location != client.location:
        code = "multi-dc-off"
    elif code == "invalid-code":
        code = "code-refused"
    return state, replace(failure, code=code, details=failure_details)
