"""Requests to the accounts server: authorization URL, code exchange, refresh, revocation.

Authlib builds the requests. Responses are parsed here, because Zoho reports errors with HTTP 200
and Authlib accepts any JSON as a token.
"""

import secrets
from typing import Any

from wizard.model import Clock
from wizard.oauth.responses import (
    ClientVerdict,
    RefreshResponse,
    TokenResponse,
    is_rotated,
    parse_client_verdict,
    parse_refresh,
    parse_revocation,
    parse_token_response,
)
from wizard.transport import HttpResponse, Transport
from wizard.zoho import DataCenter, Zoho

__all__ = [
    "ClientVerdict",
    "OAuth",
    "RefreshResponse",
    "TokenResponse",
    "is_rotated",
    "new_code_verifier",
    "new_state",
]

_INVALID_CODE = f"1000.{'0' * 32}.{'0' * 32}"
"""Has the form of a code, but was never issued: a request with it only checks the client."""


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


def new_state() -> str:
    """A fresh ``state``: 256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def new_code_verifier() -> str:
    """A fresh ``code_verifier``: 384 random bits, 64 characters (RFC 7636 allows 43 to 128)."""
    return secrets.token_urlsafe(48)
