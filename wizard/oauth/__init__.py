"""The accounts server: authorization URL, code exchange, refresh, revocation.

The only importer of Authlib, which builds the requests. Answers are judged here and not by
Authlib, because Zoho reports errors with HTTP 200 and Authlib takes any JSON for a token.
"""

import secrets
from typing import Any

from authlib.integrations.requests_client import OAuth2Session

from wizard.model import Clock
from wizard.oauth.judge import (
    ClientVerdict,
    TokenResponse,
    judge_client,
    judge_revocation,
    judge_token,
)
from wizard.transport import Answer, Transport
from wizard.zoho import DataCentre, Zoho

__all__ = ["ClientVerdict", "OAuth", "TokenResponse", "new_code_verifier", "new_state"]

_IMPOSSIBLE_CODE = f"1000.{'0' * 32}.{'0' * 32}"
"""Of the form of a code, and never issued: asking about it proves the client and costs nothing."""


class _Session(OAuth2Session):  # type: ignore[misc]
    """Authlib's session, with its parsing of tokens put aside."""

    def parse_response_token(self, resp: Any) -> Any:
        return resp


def _without_client(_client: object, _method: str, uri: str, headers: Any, body: str) -> Any:
    """Authlib's hook for how a client is named: not at all."""
    return uri, headers, body


class OAuth:
    """Asks the accounts servers of the table."""

    def __init__(self, transport: Transport, zoho: Zoho, clock: Clock) -> None:
        self._transport = transport
        self._zoho = zoho
        self._clock = clock

    def authorization_url(
        self,
        data_centre: DataCentre,
        client_id: str,
        redirect_uri: str,
        scope: tuple[str, ...],
        state: str,
        code_verifier: str,
    ) -> str:
        """Where to send the browser. Asks for offline access with the consent shown: only both
        together yield a refresh token.
        """
        with _Session(client_id=client_id, code_challenge_method="S256") as session:
            url, _ = session.create_authorization_url(
                data_centre.authorization_endpoint,
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
        """Post the code, once. A Self Client's code has neither redirect URI nor verifier.

        Raises the code of Zoho's error, or of the transport's failure: with ``sent`` True the
        outcome is unknown and the code must not be posted again.
        """
        asked_at = self._clock()
        answer = self._ask_token(
            token_endpoint,
            client_id,
            client_secret,
            grant_type="authorization_code",
            code=code,
            redirect_uri=redirect_uri,
            code_verifier=code_verifier,
        )
        return judge_token(answer, self._zoho.data_centre(location), asked_at)

    def refresh(
        self, data_centre: DataCentre, client_id: str, client_secret: str, refresh_token: str
    ) -> TokenResponse:
        """A new access token. Raises ``invalid-code`` where Zoho no longer takes the grant."""
        asked_at = self._clock()
        answer = self._ask_token(
            data_centre.token_endpoint,
            client_id,
            client_secret,
            grant_type="refresh_token",
            refresh_token=refresh_token,
        )
        return judge_token(answer, data_centre, asked_at)

    def probe_client(
        self, data_centre: DataCentre, client_id: str, client_secret: str
    ) -> ClientVerdict:
        """Whether ``data_centre`` knows the client and takes the secret, by asking about a code
        that cannot exist. Raises on an answer that tells neither.
        """
        answer = self._ask_token(
            data_centre.token_endpoint,
            client_id,
            client_secret,
            grant_type="authorization_code",
            code=_IMPOSSIBLE_CODE,
        )
        return judge_client(answer, self._clock())

    def revoke(
        self, data_centre: DataCentre, client_id: str, client_secret: str, refresh_token: str
    ) -> None:
        """Take back a grant and with it its access tokens; one already invalid counts as gone.

        To the form that names the client Zoho answers alike for a token it does not know and for
        a client, or a secret, that it does not take: there the token may live on. The older form
        asks for no client, and ends it in either case.
        """
        client, as_client = (client_id, client_secret), "client_secret_basic"
        answer = self._ask_to_revoke(
            data_centre.revocation_endpoint, client, as_client, refresh_token
        )
        if not judge_revocation(answer, self._clock()):
            plainly = data_centre.plain_revocation_endpoint
            answer = self._ask_to_revoke(plainly, client, _without_client, refresh_token)
            judge_revocation(answer, self._clock())

    def _ask_to_revoke(
        self, endpoint: str, client: tuple[str, str], method: object, refresh_token: str
    ) -> Answer:
        client_id, client_secret = client
        with _Session(
            client_id=client_id,
            client_secret=client_secret,
            revocation_endpoint_auth_method=method,
        ) as session:
            wire = self._transport.fit(session)
            # Zoho's name for the hint is token_type and not RFC 7009's token_type_hint.
            session.revoke_token(endpoint, token=refresh_token, body="token_type=refresh_token")
        return wire.answer

    def _ask_token(
        self, token_endpoint: str, client_id: str, client_secret: str, **parameters: str | None
    ) -> Answer:
        with _Session(
            client_id=client_id,
            client_secret=client_secret,
            token_endpoint_auth_method="client_secret_post",  # noqa: S106 a method, no secret
        ) as session:
            wire = self._transport.fit(session)
            session.fetch_token(token_endpoint, **parameters)
        return wire.answer


def new_state() -> str:
    """A fresh ``state``: 256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def new_code_verifier() -> str:
    """A fresh ``code_verifier``: 384 random bits, 64 characters (RFC 7636 allows 43 to 128)."""
    return secrets.token_urlsafe(48)
