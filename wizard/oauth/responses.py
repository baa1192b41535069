"""Judges of the accounts server's answers: pure functions of an `Answer`.

Zoho reports errors with HTTP 200, so the body decides. A failure is permanent only where Zoho said
so in an explicit OAuth error; whatever else comes back says nothing about a token and is
``temporary``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from wizard.errors import WizardError, message
from wizard.model import Failure, HttpExchange, Token
from wizard.transport import HttpResponse, believable_date, retry_at, sanitize_line
from wizard.zoho import DataCenter, limits

# Zoho's error words. `invalid_grant` is RFC 6749's word for what Zoho calls `invalid_code`; Zoho
# does not document it, and a client should survive the day it does.
_FAILURE_CODES = {
    "invalid_client": "invalid-client",
    "invalid_client_secret": "invalid-client-secret",
    "invalid_code": "invalid-code",
    "invalid_grant": "invalid-code",
    "invalid_redirect_uri": "invalid-redirect-uri",
    "missing_org_info": "missing-org-info",
    "invalid_scope": "invalid-scope",
    "general_error": "general-error",
}
_TEMPORARY_CODES = ("general-error",)
_ALREADY_INVALID = ("invalid_token", "invalid_code")
"""Words for a token that there is nothing to revoke of."""

_TOKEN_TYPES = ("bearer", "zoho-oauthtoken")
"""Zoho names the type ``Bearer``. ``Zoho-oauthtoken`` is its own word for the same scheme, which
its products document for the ``Authorization`` header."""

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

_DEFAULT_LIFETIME_SECONDS = 300
"""Seconds an access token is trusted where its life is missing or makes no sense."""
_PLAUSIBLE_LIFETIMES_SECONDS = range(60, 86_401)
"""Zoho's live an hour. Less than a minute is of no use to anybody, and a number beyond a day is in
another unit, such as milliseconds."""


class ClientVerdict(StrEnum):
    """What a data centre thinks of a client id and secret."""

    VALID = "valid"
    UNKNOWN_CLIENT = "unknown-client"
    WRONG_SECRET = "wrong-secret"  # noqa: S105 a verdict, no secret


@dataclass(frozen=True)
class TokenResponse:
    """What the token endpoint gave."""

    access_token: Token = field(repr=False)
    refresh_token: Token | None = field(repr=False)
    """None where consent was not shown. In the answer to a refresh it replaces the one that was
    sent (RFC 6749, section 6); Zoho sends none there."""
    scope: tuple[str, ...]
    """As granted; empty where Zoho did not say, which means as asked (RFC 6749, section 5.1)."""
    api_domain: str
    """Where the token may be sent: the data centre's own, whatever Zoho named."""
    rejected_api_domain: str | None
    """The domain Zoho named, where it is not this data centre's own."""
    expires_at: datetime
    expires_in: int
    """Seconds."""
    location: str
    exchange: HttpExchange
    server_time: datetime | None
    """What the accounts server takes the time for."""


@dataclass(frozen=True)
class RefreshResponse:
    """The answer to a refresh, before it is judged as a whole."""

    new_refresh_token: Token | None = field(repr=False)
    """Replaces the refresh token that was sent: to be stored before anything else is done."""
    response: HttpResponse = field(repr=False)
    data_center: DataCenter
    requested_at: datetime

    def token(self) -> TokenResponse:
        """The access token; raises what else the answer says. If the answer also has a new refresh
        token, the failure says so."""
        try:
            return parse_token_response(self.response, self.data_center, self.requested_at)
        except WizardError as error:
            if self.new_refresh_token is None:
                raise
            details = {**error.failure.details, "rotated": message("changes", "rotated")}
            raise WizardError(replace(error.failure, details=details)) from error


def parse_refresh(
    response: HttpResponse, data_center: DataCenter, requested_at: datetime, refresh_token: str
) -> RefreshResponse:
    """Read the refresh token that replaces the one that was sent, whatever else is wrong with the
    answer. Beside an explicit error there is none, and two different ones are as good as none.
    """
    found = None
    if not any(map(_is_error, response.issued_values("error"))):
        given = response.issued_values("refresh_token")
        found = Token.of(given[0]) if given and all(each == given[0] for each in given) else None
    replaces = found is not None and found != refresh_token
    return RefreshResponse(found if replaces else None, response, data_center, requested_at)


def parse_token_response(
    response: HttpResponse, data_center: DataCenter, requested_at: datetime
) -> TokenResponse:
    """The token in the token endpoint's answer; raises what else it says."""
    body = _json_body(response, requested_at)
    access_token = Token.of(response.issued("access_token"))
    refresh_token = Token.of(response.issued("refresh_token"))
    token_type = body.get("token_type", "Bearer")
    if access_token is None:
        raise _malformed(response, "access_token")
    if refresh_token is None and body.get("refresh_token") is not None:
        raise _malformed(response, "refresh_token")
    if not isinstance(token_type, str) or token_type.lower() not in _TOKEN_TYPES:
        raise _malformed(response, "token_type")
    seconds = _lifetime_seconds(body)
    named = body.get("api_domain", data_center.api_domain)
    return TokenResponse(
        access_token=access_token,
        refresh_token=refresh_token,
        scope=_scope(body.get("scope")),
        api_domain=data_center.api_domain,
        rejected_api_domain=None if named == data_center.api_domain else _sanitized(named),
        # From before the question, so that our token never outlives Zoho's.
        expires_at=requested_at + timedelta(seconds=seconds),
        expires_in=seconds,
        location=data_center.location,
        exchange=response.exchange,
        server_time=believable_date(response, response.exchange.at),
    )


def parse_client_verdict(response: HttpResponse, at: datetime) -> ClientVerdict:
    """What the answer about an impossible code says of the client. The code and the redirect URI
    are looked at only after the client, so an error about either vouches for it.
    """
    try:
        _json_body(response, at)
    except WizardError as error:
        match error.failure.code:
            case "invalid-code" | "invalid-redirect-uri":
                return ClientVerdict.VALID
            case "invalid-client":
                return ClientVerdict.UNKNOWN_CLIENT
            case "invalid-client-secret":
                return ClientVerdict.WRONG_SECRET
        raise
    raise _malformed(response, "error")


def parse_revocation(response: HttpResponse, at: datetime) -> bool:
    """Whether the token was revoked; False where Zoho found nothing to revoke. Raises what else
    the answer says.

    Zoho answers 200, with an empty body or a status. A token it does not know (any more) is a 400,
    mostly with an HTML page. An HTML page with 200 is somebody else's.
    """
    body = response.json
    word = body.get("error") if isinstance(body, dict) else None
    if response.status == 400 and word in (None, *_ALREADY_INVALID):
        return False
    if response.status == 200 and word is None and (isinstance(body, dict) or not response.body):
        return True
    _json_body(response, at)
    raise _malformed(response, "status")


def _json_body(response: HttpResponse, at: datetime) -> Mapping[str, Any]:
    """The JSON object of an answer that is no error; raises the error, whatever its status."""
    body = response.json
    if response.status >= 500:
        until = retry_at(response, at)
        raise _response_error("data-centre-down", response, temporary=True, until=until)
    if not isinstance(body, dict):
        raise _response_error("not-json", response, temporary=True)
    word = _sanitized(body["error"]).strip() if "error" in body else ""
    if word not in _FAILURE_CODES and _is_rate_limited(response, body):
        pause = timedelta(seconds=limits().rate_limit_pause_seconds)
        until = retry_at(response, at) or at + pause
        raise _response_error("throttled", response, zoho_error=word, temporary=True, until=until)
    if "error" in body:
        if not _is_error(body["error"]):
            raise _malformed(response, "error")
        code = _FAILURE_CODES.get(word, "unknown-oauth-error")
        raise _response_error(code, response, zoho_error=word, temporary=code in _TEMPORARY_CODES)
    if response.status != 200:
        raise _malformed(response, "status")
    return body


def is_rotated(failure: Failure) -> bool:
    """Whether the answer that failed has replaced the refresh token all the same."""
    return "rotated" in failure.details


def _is_error(value: object) -> bool:
    """Whether an ``error`` names one; an empty one says nothing."""
    return bool(value) and bool(_sanitized(value).strip())


def _is_rate_limited(response: HttpResponse, body: Mapping[str, Any]) -> bool:
    """Zoho translates the throttle's words, so only its frame tells: it alone carries an
    ``error_description`` or a ``status``, and it alone is a 400 or 429 with JSON.
    """
    if response.status == 429:
        return True
    framed = "error_description" in body or body.get("status") == "failure"
    return "error" in body and (framed or response.status == 400)


def _lifetime_seconds(body: Mapping[str, Any]) -> int:
    """The access token's life in seconds. By Zoho's older shape ``expires_in`` is milliseconds
    where ``expires_in_sec`` stands beside it.
    """
    given = body.get("expires_in_sec", body.get("expires_in"))
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 10:
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        return _DEFAULT_LIFETIME_SECONDS
    return given if given in _PLAUSIBLE_LIFETIMES_SECONDS else _DEFAULT_LIFETIME_SECONDS


def _scope(value: object) -> tuple[str, ...]:
    """Zoho takes scopes with commas and gives them back with blanks. What is not written in the
    alphabet of scopes is none (RFC 6749, section 3.3).
    """
    if not isinstance(value, str):
        return ()
    return tuple(dict.fromkeys(filter(_SCOPE.fullmatch, value.replace(",", " ").split())))


def _sanitized(value: object) -> str:
    """A stranger's word made fit to be shown, and short."""
    return sanitize_line(str(value), 120)


def _malformed(response: HttpResponse, field: str) -> WizardError:
    return _response_error("malformed-answer", response, temporary=True, field=field)


def _response_error(
    code: str,
    response: HttpResponse,
    *,
    zoho_error: str = "",
    temporary: bool = False,
    until: datetime | None = None,
    **details: str,
) -> WizardError:
    failure = Failure(
        code=code,
        zoho_error=zoho_error,
        temporary=temporary,
        details={"status": str(response.status), **details},
        exchange=response.exchange,
        retry_at=until,
    )
    return WizardError(failure)
