"""Access tokens for Zoho's APIs, from zoho-wizard.

This file needs only the standard library and works on its own: ``zoho-wizard sample python`` prints
it, to be copied into a project as ``zoho_tokens.py``.

    tokens = AccessTokens()
    token = tokens.token("crm")
    url = f"{token.api_bases['crm']}/org"
    requests.get(url, auth=tokens.requests_auth("crm"))
    httpx.get(url, auth=tokens.httpx_auth("crm"))  # and httpx.AsyncClient

It asks the wizard's socket if there is one, else the command ``zoho-wizard token``. Both keep the
token until it is about to expire, share one refresh between all programs, and stay within Zoho's
rate limits. Don't store a token: ask for each request.
"""

from __future__ import annotations  # it runs on Python 3.9 too

import http.client
import json
import os
import shlex
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_SOCKET = "/run/zoho-wizard/socket"
"""Where a container finds the socket of the wizard on its host."""
TIMEOUT_SECONDS = 75.0
"""Enough for a refresh with all its retries."""
REUSE_SECONDS = 30.0
"""How long a token is used again without asking."""


@dataclass(frozen=True)
class AccessToken:
    """An access token and where it can be used."""

    value: str = field(repr=False)
    expires_at: datetime
    """Aware, in UTC."""
    api_domain: str
    """``https://www.zohoapis.eu``."""
    api_bases: dict[str, str]
    """By product: the base URL of its API, such as ``https://www.zohoapis.eu/crm/v8``."""
    accounts_server: str
    location: str
    """The data center: ``us``, ``eu`` …"""
    organization_id: str | None
    organization_ids: dict[str, str]
    """By product."""
    connection: str

    @property
    def authorization(self) -> str:
        """The value of the ``Authorization`` header."""
        return f"Zoho-oauthtoken {self.value}"


class TokenError(Exception):
    """The wizard has no token. `code` doesn't change between versions; the sentences may."""

    def __init__(self, error: dict[str, Any], exit_code: int) -> None:
        sentences = (str(error.get(part) or "") for part in ("title", "cause", "fix"))
        super().__init__(" ".join(filter(None, sentences)) or f"zoho-wizard failed: {exit_code}")
        self.code = str(error.get("code") or "unknown")
        self.exit_code = exit_code
        self.commands: list[str] = list(error.get("commands") or ())
        """What a person can run."""
        retry_at = error.get("retry_at")
        self.retry_at = parse_time(retry_at) if retry_at else None
        """When to try again; None: unknown, or waiting doesn't help."""


class UsageError(TokenError):
    """Exit code 2: the call is wrong, for example an unknown connection."""


class NeedsReauthorization(TokenError):
    """Exit code 3: a person has to re-authorize the connection."""


class TemporaryError(TokenError):
    """Exit code 4: a rate limit, the network, or another process. Try again at `retry_at`."""


class StorageError(TokenError):
    """Exit code 5: the wizard's own data or key can't be read."""


class AccessDenied(TokenError):
    """The socket's owner hasn't given this user access to the connection."""


class WizardNotFound(TokenError):
    """There is neither a socket nor the command ``zoho-wizard``."""


_ERRORS: dict[int, type[TokenError]] = {
    2: UsageError,
    3: NeedsReauthorization,
    4: TemporaryError,
    5: StorageError,
}


class AccessTokens:
    """The access tokens of one wizard. Threads can share it."""

    def __init__(
        self, *, socket_path: str | None = None, command: Sequence[str] | None = None
    ) -> None:
        """`socket_path` is by default ``$ZOHO_TOKEN_SOCKET`` or `DEFAULT_SOCKET`; empty: no socket.
        `command` is by default that of ``$ZOHO_TOKEN_COMMAND``, or ``zoho-wizard``."""
        if socket_path is None:
            socket_path = os.environ.get("ZOHO_TOKEN_SOCKET")
        self._is_default_socket = socket_path is None
        self._socket_path = DEFAULT_SOCKET if socket_path is None else socket_path
        self._command = tuple(command or _default_command())
        self._recent: dict[str, tuple[float, AccessToken]] = {}
        self._lock = threading.Lock()

    def token(self, name: str) -> AccessToken:
        """An access token of connection `name`, good for at least two minutes. Raises
        `TokenError`."""
        with self._lock:
            asked_at, token = self._recent.get(name, (0.0, None))
        if token is not None and time.monotonic() - asked_at < REUSE_SECONDS:
            return token
        return self._request(name)

    def report(self, name: str, rejected: str) -> AccessToken:
        """Report that Zoho rejected an access token of connection `name`; return a different one.
        No program gets the rejected one again. Raises `TokenError`."""
        return self._request(name, rejected)

    def requests_auth(self, name: str) -> RequestsAuth:
        """For ``requests``: ``requests.get(url, auth=tokens.requests_auth("crm"))``."""
        return RequestsAuth(self, name)

    def httpx_auth(self, name: str) -> Any:
        """For ``httpx.Client`` and ``httpx.AsyncClient``:
        ``httpx.Client(auth=tokens.httpx_auth("crm"))``."""
        return _httpx_auth(self, name)

    def sdk_store(self) -> Any:
        """A token store for Zoho's official Python SDK 8, which then never refreshes by itself:
        ``Initializer.initialize(token=OAuthToken(id="crm", find_user=False), store=…, …)``."""
        return _sdk_store(self)

    def _request(self, name: str, rejected: str = "") -> AccessToken:
        token = parse_document(self._ask(name, rejected))
        with self._lock:
            self._recent[name] = time.monotonic(), token
        return token

    def _ask(self, name: str, rejected: str) -> dict[str, Any]:
        """The answer of the socket if there is one, else of the command. The default socket may be
        that of a different user's wizard: if it refuses, the command may have the connection."""
        try:
            document = self._ask_socket(name, rejected)
        except AccessDenied as refusal:
            if not self._is_default_socket:
                raise
            try:
                return self._ask_command(name, rejected)
            except (UsageError, WizardNotFound):
                raise refusal from None
        return document or self._ask_command(name, rejected)

    def _ask_socket(self, name: str, rejected: str) -> dict[str, Any] | None:
        """The wizard's answer; None if nobody serves the socket."""
        if not self._socket_path or not hasattr(socket, "AF_UNIX"):
            return None
        connection = _UnixConnection(self._socket_path)
        method, body = ("POST", rejected) if rejected else ("GET", None)
        headers = {"Accept": "application/json"}
        try:
            connection.request(method, f"/token/{quote(name, safe='')}", body, headers)
            response = connection.getresponse()
            document = json.loads(response.read())
        except (FileNotFoundError, ConnectionRefusedError, PermissionError):
            return None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TemporaryError({"code": "socket-failed", "title": str(error)}, 4) from error
        finally:
            connection.close()
        if response.status == 403:
            raise AccessDenied(document["error"], int(document["error"]["exit_code"]))
        if response.status != 200:
            raise _error(document, 1)
        return dict(document)

    def _ask_command(self, name: str, rejected: str) -> dict[str, Any]:
        command = [*self._command, "token", name, "--json", *(["--rejected", "-"] * bool(rejected))]
        try:
            done = subprocess.run(  # noqa: S603 - the wizard's own command, without a shell
                command, input=rejected, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
            )
        except FileNotFoundError:
            missing = f"Neither {self._socket_path or 'a socket'} nor {command[0]} was found."
            raise WizardNotFound({"code": "wizard-not-found", "title": missing}, 127) from None
        except subprocess.TimeoutExpired as error:
            raise TemporaryError({"code": "command-timeout", "title": str(error)}, 4) from None
        if done.returncode:
            raise _error(_last_document(done.stderr), done.returncode)
        return dict(json.loads(done.stdout))


class RequestsAuth:
    """Adds the ``Authorization`` header; reports a rejected token and repeats the request once."""

    def __init__(self, tokens: AccessTokens, name: str) -> None:
        self._tokens = tokens
        self._name = name

    def __call__(self, request: Any) -> Any:
        """Called by ``requests`` for each request."""
        token = self._tokens.token(self._name)
        request.headers["Authorization"] = token.authorization

        def repeat(response: Any, **options: Any) -> Any:
            sent = response.request
            # requests removes the header when it follows a redirect to a different host.
            is_ours = sent.headers.get("Authorization") == token.authorization
            can_repeat = sent.body is None or isinstance(sent.body, (str, bytes))
            if not (
                is_ours and can_repeat and is_rejection(response.status_code, response.content)
            ):
                return response
            again = sent.copy()
            again.headers["Authorization"] = self._tokens.report(
                self._name, token.value
            ).authorization
            response.close()
            repeated = response.connection.send(again, **options)
            repeated.history.append(response)
            repeated.request = again
            return repeated

        request.register_hook("response", repeat)
        return request


def _httpx_auth(tokens: AccessTokens, name: str) -> Any:
    import asyncio

    import httpx

    def may_repeat(request: Any, response: Any) -> bool:
        return response.status_code == 401 and isinstance(request.stream, httpx.ByteStream)

    class HttpxAuth(httpx.Auth):  # type: ignore[misc,unused-ignore]
        """As `RequestsAuth`."""

        def sync_auth_flow(self, request: Any) -> Any:
            token = tokens.token(name)
            request.headers["Authorization"] = token.authorization
            response = yield request
            if may_repeat(request, response) and is_rejection(401, response.read()):
                different = tokens.report(name, token.value)
                request.headers["Authorization"] = different.authorization
                yield request

        async def async_auth_flow(self, request: Any) -> Any:
            token = await asyncio.to_thread(tokens.token, name)
            request.headers["Authorization"] = token.authorization
            response = yield request
            if may_repeat(request, response) and is_rejection(401, await response.aread()):
                different = await asyncio.to_thread(tokens.report, name, token.value)
                request.headers["Authorization"] = different.authorization
                yield request

    return HttpxAuth()


def _sdk_store(tokens: AccessTokens) -> Any:
    from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
    from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

    class WizardStore(TokenStore):  # type: ignore[misc,unused-ignore]
        """Finds the wizard's tokens by the name of the connection. It stores nothing."""

        def find_token_by_id(self, id: str) -> Any:
            token = tokens.token(id)
            found = OAuthToken(id=id, access_token=token.value, find_user=False)
            found.set_expires_in(str(int(token.expires_at.timestamp() * 1000)))
            found.set_api_domain(token.api_domain)
            return found

        def find_token(self, token: Any) -> Any:
            return self.find_token_by_id(token.get_id()) if token.get_id() else None

        def save_token(self, token: Any) -> None:
            """The wizard has it already."""

        def delete_token(self, id: str) -> None:
            """Tokens are revoked in the wizard."""

        def get_tokens(self) -> list[Any]:
            return []

        def delete_tokens(self) -> None:
            """As `delete_token`."""

    return WizardStore()


def is_rejection(status: int, body: bytes) -> bool:
    """Whether a product rejected the access token. Products also use 401 for a missing scope, and
    then a different token doesn't help."""
    return status == 401 and b"SCOPE" not in body.upper()


def parse_document(document: dict[str, Any]) -> AccessToken:
    """The token in the answer of the socket or of ``token --json``."""
    return AccessToken(
        value=str(document["access_token"]),
        expires_at=parse_time(str(document["expires_at"])),
        api_domain=str(document["api_domain"]),
        api_bases=dict(document["api_bases"]),
        accounts_server=str(document["accounts_server"]),
        location=str(document["location"]),
        organization_id=document["organization_id"],
        organization_ids=dict(document["organization_ids"]),
        connection=str(document["connection"]),
    )


def parse_time(text: str) -> datetime:
    """A time in ISO 8601, aware, in UTC."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)  # noqa: UP017 - as above


def _default_command() -> list[str]:
    """The wizard's command; in ``zoho-wizard run``, the one that started this program."""
    words = shlex.split(os.environ.get("ZOHO_TOKEN_COMMAND", ""))
    return words[:-2] if words[-2:-1] == ["token"] else ["zoho-wizard"]


def _last_document(text: str) -> dict[str, Any]:
    """The error on the last line of stderr; empty if there is none."""
    try:
        return dict(json.loads(text.strip().splitlines()[-1]))
    except (IndexError, TypeError, ValueError):
        return {"error": {"title": text.strip()[-500:]}}


def _error(document: dict[str, Any], exit_code: int) -> TokenError:
    error = dict(document.get("error") or {})
    exit_code = int(error.get("exit_code") or exit_code)
    return _ERRORS.get(exit_code, TokenError)(error, exit_code)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("zoho-wizard", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
