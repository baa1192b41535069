"""Check what the accounts server sent back, before it is used.

Only `check_callback` creates an `AuthorizationResponse`: its code belongs to the attempt and may be
posted to its data center. The parameters of a callback are untrusted: they are compared, and never
used as URLs.
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
"""How much of an error code is kept; Zoho's longest has about thirty characters."""

MAX_PASTE_CHARACTERS = 8_000
"""Browsers and servers limit URLs to about that length."""

_CODE = re.compile(r"[\x21-\x7e]{8,512}")

_FAILURE_CODES = {"access_denied": "access-denied", "no_org": "no-organization"}


@dataclass(frozen=True)
class AuthorizationResponse:
    """An authorization code for an attempt, and the data center it may be posted to."""

    code: str = field(repr=False)
    data_center: DataCenter


def unique_parameters(params: Parameters) -> dict[str, str]:
    """The parameters by name; raises ``callback-repeated-parameter`` if one is repeated, because
    two readers of such a URL may use different values."""
    found: dict[str, str] = {}
    for name, value in params:
        if name in found:
            raise fail(
                "callback-repeated-parameter", parameter=sanitize_line(name, MAX_ERROR_CHARACTERS)
            )
        found[name] = value
    return found


def check_callback(params: dict[str, str], attempt: Attempt, zoho: Zoho) -> AuthorizationResponse:
    """Check the parameters of a callback whose ``state`` was redeemed.

    Raises Zoho's error (``access-denied``, ``no-organization``, ``callback-error``),
    ``issuer-mismatch`` or ``callback-without-code``.
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
    """The data center that `params` name, by both parameters or neither, compared byte for byte.
    The endpoints of the one in which the attempt began must not have changed since."""
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
    """The parameters in what a user pasted: the URL that the browser ended on, its query, or a code
    with or without the rest of the query.

    Raises ``paste-not-understood``, or ``paste-not-callback`` for the URL of a different page.
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
    """The ``state`` in a URL that someone sent; empty if there is none."""
    query = "".join(text.split()).partition("?")[2]
    return dict(parse_qsl(query)).get("state", "") if len(query) <= MAX_PASTE_CHARACTERS else ""


def _parse_address(address: str, redirect_uri: str) -> list[tuple[str, str]]:
    try:
        parts, expected = urlsplit(address), urlsplit(redirect_uri)
    except ValueError:
        raise fail("paste-not-understood") from None
    if (parts.scheme, parts.netloc, parts.path) != (
        expected.scheme,
        expected.netloc,
        expected.path,
    ):
        raise fail("paste-not-callback", redirect_uri=redirect_uri)
    return parse_qsl(parts.query, keep_blank_values=True)


VERDICT_KINDS = frozenset(
    {
        *(FailureKind.CLIENT, FailureKind.GRANT, FailureKind.SCOPE, FailureKind.PERMISSION),
        *(FailureKind.AUTHORIZATION, FailureKind.LIMIT, FailureKind.UNTRUSTED, FailureKind.UNKNOWN),
    }
)
"""Kinds of failures of an exchange after which no token was issued. After others, one may be."""


def is_verdict(failure: Failure) -> bool:
    """Whether Zoho's answer to an exchange means that no token was issued."""
    # Zoho reports its own errors as an OAuth error, too.
    return failure.kind in VERDICT_KINDS or failure.code == "general-error"


def classify_exchange_failure(
    failure: Failure, client: Client, data_center: DataCenter, details: Mapping[str, str]
) -> tuple[AttemptState, Failure]:
    """The final state of an attempt whose POST failed, and the failure with a more specific code.
    An unknown client in a data center other than its own means that multi-DC is off there."""
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
