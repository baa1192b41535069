"""Requests to the accounts server: authorization URL, code exchange, refresh, revocation.

Authlib builds the requests. Responses are parsed here, because Authlib accepts any JSON as a token,
and Zoho reports errors with HTTP 200: the body decides. Only an explicit OAuth error is permanent;
any other failure says nothing about a token and is ``temporary``.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from wizard.errors import WizardError, message
from wizard.model import Clock, Failure, HttpExchange, Token
from wizard.transport import HttpResponse, Transport, believable_date, retry_at, sanitize_line
from wizard.zoho import DataCenter, Zoho, limits

_INVALID_CODE = f"1000.{'0' * 32}.{'0' * 32}"
"""Has the form of a code, but was never issued: a request with it only checks the client."""


# Zoho's error words. Zoho doesn't document `invalid_grant`, which is RFC 6749's word for its
# `invalid_code`, but may return it one day.
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
"""Errors of a revocation that mean that the token is already invalid."""

_TOKEN_TYPES = ("bearer", "zoho-oauthtoken")
"""Zoho returns ``Bearer``. Its products document ``Zoho-oauthtoken`` for the same scheme in the
``Authorization`` header."""

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

_DEFAULT_LIFETIME_SECONDS = 300
"""How long an access token is used if its lifetime is missing or implausible."""
_PLAUSIBLE_LIFETIMES_SECONDS = range(60, 86_401)
"""Zoho's is an hour. Less than a minute is useless, and more than a day is in another unit, such as
milliseconds."""


class ClientVerdict(StrEnum):
    """A data center's verdict about a client id and secret."""

    VALID = "valid"
    UNKNOWN_CLIENT = "unknown-client"
    WRONG_SECRET = "wrong-secret"  # noqa: S105 a verdict, not a secret


@dataclass(frozen=True)
class TokenResponse:
    """A successful response of the token endpoint."""

    access_token: Token = field(repr=False)
    refresh_token: Token | None = field(repr=False)
    """None if the consent wasn't shown. In the response to a refresh, it replaces the one that was
    sent (RFC 6749, section 6); Zoho returns none there."""
    scope: tuple[str, ...]
    """As granted; empty if missing, which means as requested (RFC 6749, section 5.1)."""
    api_domain: str
    """Where the token may be sent: always the data center's own."""
    rejected_api_domain: str | None
    """The domain in the response, if it isn't the data center's own."""
    expires_at: datetime
    expires_in: int
    """In seconds."""
    location: str
    exchange: HttpExchange
    server_time: datetime | None
    """The accounts server's time."""


@dataclass(frozen=True)
class RefreshResponse:
    """The response to a refresh, of which only the refresh token has been parsed."""

    new_refresh_token: Token | None = field(repr=False)
    """Replaces the refresh token that was sent; to be stored before anything else."""
    response: HttpResponse = field(repr=False)
    data_center: DataCenter
    requested_at: datetime

    def token(self) -> TokenResponse:
        """The access token; raises any other result. If there is also a new refresh token, the
        failure says so."""
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
    """Parse the refresh token that replaces the one that was sent, whatever else is wrong with the
    response. An explicit error, or two different tokens, means that there is none.
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
    """Parse a response of the token endpoint; raises any error."""
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
        # From the time of the request, so that the token doesn't expire at Zoho first.
        expires_at=requested_at + timedelta(seconds=seconds),
        expires_in=seconds,
        location=data_center.location,
        exchange=response.exchange,
        server_time=believable_date(response, response.exchange.at),
    )


def parse_client_verdict(response: HttpResponse, at: datetime) -> ClientVerdict:
    """Parse the response to a pre-flight. Zoho checks the client first, so an error about the code
    or the redirect URI means that the client is valid.
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
    """Whether the token was revoked; False if it was unknown. Raises any error.

    Zoho returns 200 with an empty body or a status. For an unknown token it returns 400, mostly
    with an HTML page. An HTML page with 200 isn't from Zoho.
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
    """The JSON object of a successful response; raises the error, whatever its status."""
    body = response.json
    if response.status >= 500:
        until = retry_at(response, at)
        raise _response_error("data-center-down", response, temporary=True, until=until)
    if not isinstance(body, dict):
        raise _response_error("not-json", response, temporary=True)
    word = _error_word(body)
    if is_rate_limited(response):
        pause = timedelta(seconds=limits().rate_limit_pause_seconds)
        until = retry_at(response, at) or at + pause
        raise _response_error("throttled", response, zoho_error=word, temporary=True, until=until)
    if "error" in body:
        # With a token next to it, the response contradicts itself: it rejects nothing.
        if not _is_error(body["error"]) or body.get("access_token"):
            raise _malformed(response, "error")
        code = _FAILURE_CODES.get(word, "unknown-oauth-error")
        raise _response_error(code, response, zoho_error=word, temporary=code in _TEMPORARY_CODES)
    if response.status != 200:
        raise _malformed(response, "status")
    return body


def is_rotated(failure: Failure) -> bool:
    """Whether the failed response has replaced the refresh token."""
    return "rotated" in failure.details


def _is_error(value: object) -> bool:
    """Whether an ``error`` isn't empty."""
    return bool(value) and bool(_sanitized(value).strip())


def _error_word(body: Mapping[str, Any]) -> str:
    return _sanitized(body["error"]).strip() if "error" in body else ""


def is_rate_limited(response: HttpResponse) -> bool:
    """Whether the token endpoint's answer is a rate limit. Zoho translates its words, but no other
    error has an ``error_description`` or a ``status``, or is JSON with HTTP 400 or 429.
    """
    body = response.json
    if not isinstance(body, dict) or _error_word(body) in _FAILURE_CODES:
        return False
    if response.status == 429:
        return True
    framed = "error_description" in body or body.get("status") == "failure"
    return "error" in body and (framed or response.status == 400)


def _lifetime_seconds(body: Mapping[str, Any]) -> int:
    """The access token's lifetime. In Zoho's older format, ``expires_in`` is in milliseconds, and
    there is also ``expires_in_sec``.
    """
    given = body.get("expires_in_sec", body.get("expires_in"))
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 10:
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        return _DEFAULT_LIFETIME_SECONDS
    return given if given in _PLAUSIBLE_LIFETIMES_SECONDS else _DEFAULT_LIFETIME_SECONDS


def _scope(value: object) -> tuple[str, ...]:
    """Parse scopes. Zoho expects commas and returns spaces. Words with characters that scopes can't
    have (RFC 6749, section 3.3) are ignored.
    """
    if not isinstance(value, str):
        return ()
    return tuple(dict.fromkeys(filter(_SCOPE.fullmatch, value.replace(",", " ").split())))


def _sanitized(value: object) -> str:
    """A foreign value that is safe to show, and short."""
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


def _without_client(_client: object, _method: str, uri: str, headers: Any, body: str) -> Any:
    """Authlib's hook for client authentication: none."""
    return uri, headers, body


class OAuth:
    """Sends requests to the accounts servers of the table."""

    def __init__(self, transport: Transport, zoho: Zoho, clock: Clock) -> None:
        self._transport = transport
        self._zoho = zoho
        self._clock = clock

    def authorization_url(
        self,
        data_center: DataCenter,
        client_id: str,
        redirect_uri: str,
        scope: tuple[str, ...],
        state: str,
        code_verifier: str,
    ) -> str:
        """The URL to send the browser to. It requests offline access and a visible consent, because
        only both together yield a refresh token.
        """
        with _new_session(client_id=client_id, code_challenge_method="S256") as session:
            url, _ = session.create_authorization_url(
                data_center.authorization_endpoint,
                state=state,
                code_verifier=code_verifier,
                redirect_uri=redirect_uri,
                scope=",".join(scope),
                access_type="offline",
                prompt="consent",
            )
        return str(url)

    def exchange_code(
        self,
        token_endpoint: str,
        client_id: str,
        client_secret: str,
        code: str,
        redirect_uri: str | None,
        code_verifier: str | None,
        location: str,
    ) -> TokenResponse:
        """Post the code once. A Self Client's code has neither redirect URI nor verifier.

        Raises Zoho's error or the transport's failure. If that was ``sent``, the outcome is
        unknown, and the code must not be posted again.
        """
        requested_at = self._clock()
        answer = self._request_token(
            token_endpoint,
            client_id,
            client_secret,
            grant_type="authorization_code",
            code=code,
            redirect_uri=redirect_uri,
            code_verifier=code_verifier,
        )
        return parse_token_response(answer, self._zoho.data_center(location), requested_at)

    def refresh(
        self, data_center: DataCenter, client_id: str, client_secret: str, refresh_token: str
    ) -> RefreshResponse:
        """Request a new access token. The caller stores the new refresh token, if there is one, and
        only then reads the access token, which raises ``invalid-code`` if Zoho rejects the
        grant."""
        requested_at = self._clock()
        answer = self._request_token(
            data_center.token_endpoint,
            client_id,
            client_secret,
            grant_type="refresh_token",
            refresh_token=refresh_token,
        )
        return parse_refresh(answer, data_center, requested_at, refresh_token)

    def request_enhancement_token(
        self, data_center: DataCenter, client_id: str, client_secret: str, refresh_token: str
    ) -> Token:
        """Request a token with which the user can add scopes to `refresh_token`. Raises any other
        result."""
        answer = self._request_token(
            data_center.enhancement_endpoint,
            client_id,
            client_secret,
            grant_type="update_scopes_token",
            refresh_token=refresh_token,
        )
        _json_body(answer, self._clock())
        token = Token.of(answer.issued("access_token"))
        if token is None:
            raise _malformed(answer, "access_token")
        return token

    def preflight(
        self, data_center: DataCenter, client_id: str, client_secret: str
    ) -> ClientVerdict:
        """Check whether ``data_center`` knows the client and accepts the secret, with a code that
        can't exist. Raises any other error.
        """
        answer = self._request_token(
            data_center.token_endpoint,
            client_id,
            client_secret,
            grant_type="authorization_code",
            code=_INVALID_CODE,
        )
        return parse_client_verdict(answer, self._clock())

    def revoke(
        self, data_center: DataCenter, client_id: str, client_secret: str, refresh_token: str
    ) -> None:
        """Revoke a refresh token and its access tokens; an invalid one counts as revoked.

        The endpoint with client authentication returns the same error for an unknown token as for a
        rejected client or secret, and then the token may still be valid. The older endpoint needs
        no client and revokes it in both cases.
        """
        client, as_client = (client_id, client_secret), "client_secret_basic"
        answer = self._request_revocation(
            data_center.revocation_endpoint, client, as_client, refresh_token
        )
        if not parse_revocation(answer, self._clock()):
            plainly = data_center.unauthenticated_revocation_endpoint
            answer = self._request_revocation(plainly, client, _without_client, refresh_token)
            parse_revocation(answer, self._clock())

    def _request_revocation(
        self, endpoint: str, client: tuple[str, str], auth_method: object, refresh_token: str
    ) -> HttpResponse:
        client_id, client_secret = client
        with _new_session(
            client_id=client_id,
            client_secret=client_secret,
            revocation_endpoint_auth_method=auth_method,
        ) as session:
            wire = self._transport.attach(session)
            # Zoho calls RFC 7009's token_type_hint token_type.
            session.revoke_token(endpoint, token=refresh_token, body="token_type=refresh_token")
        return wire.last_response

    def _request_token(
        self, token_endpoint: str, client_id: str, client_secret: str, **parameters: str | None
    ) -> HttpResponse:
        with _new_session(
            client_id=client_id,
            client_secret=client_secret,
            token_endpoint_auth_method="client_secret_post",  # noqa: S106 a method, no secret
        ) as session:
            wire = self._transport.attach(session)
            session.fetch_token(token_endpoint, **parameters)
        return wire.last_response


def _new_session(**options: object) -> Any:
    """Open Authlib's session without its parsing of tokens. Authlib is imported on use, because
    that is slow, and most commands send no request."""
    from authlib.integrations.requests_client import OAuth2Session

    session = OAuth2Session(**options)
    session.parse_response_token = lambda response: response
    return session


def extra_scope_url(
    data_center: DataCenter,
    client_id: str,
    redirect_uri: str,
    scope: tuple[str, ...],
    enhancement_token: str,
) -> str:
    """The URL where the user adds `scope` to a refresh token. It contains a secret."""
    query = {
        "client_id": client_id,
        "response_type": "update_scopes",
        "redirect_uri": redirect_uri,
        "scope": ",".join(scope),
        "enhance_token": enhancement_token,
        "logout": "false",
    }
    return f"{data_center.extra_scope_page}?{urlencode(query)}"


def new_state() -> str:
    """A fresh ``state``: 256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def new_code_verifier() -> str:
    """A fresh ``code_verifier``: 384 random bits, 64 characters (RFC 7636 allows 43 to 128)."""
    return secrets.token_urlsafe(48)
