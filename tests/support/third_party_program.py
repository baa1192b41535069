"""A program other than the wizard that sends requests to Zoho, and shows requests and responses as
in a log or a curl command."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import requests

from support.harness import Harness, query_parameters
from wizard.authorization import StartedAttempt
from wizard.model import Grant


@dataclass(frozen=True)
class LoggedExchange:
    """A request and its response."""

    request: requests.PreparedRequest
    response: requests.Response

    @property
    def as_log(self) -> str:
        """Both as a log shows them."""
        sent = _header_lines(self.request.headers)
        body = self.request.body or ""
        body = body.decode() if isinstance(body, bytes) else body
        line = f"{self.request.method} {self.request.url} HTTP/1.1"
        status = f"HTTP/1.1 {self.response.status_code} {self.response.reason}"
        said = _header_lines(self.response.headers)
        return f"{line}\n{sent}\n\n{body}\n\n{status}\n{said}\n\n{self.response.text}"

    @property
    def as_curl(self) -> str:
        """Both as a terminal shows them."""
        headers = self.request.headers.items()
        shown = [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers]
        body = self.request.body or ""
        body = body.decode() if isinstance(body, bytes) else body
        data = [f"-d {shlex.quote(body)}"] if body else []
        command = " ".join(["$ curl -X", self.request.method or "", *shown, *data])
        return f"{command} {shlex.quote(self.request.url or '')}\n{self.response.text}\n"


def _header_lines(headers: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def send_request(method: str, url: str, **options: Any) -> LoggedExchange:
    """Send a request as a program other than the wizard does."""
    request = requests.Request(method, url, **options).prepare()
    with requests.Session() as session:
        return LoggedExchange(request, session.send(request, timeout=10))


@dataclass(frozen=True)
class ThirdPartyProgram:
    """A program with the credentials of connection ``crm``."""

    harness: Harness

    @property
    def grant(self) -> Grant:
        grant = self.harness.services.store.grants.get("crm")
        assert grant is not None
        return grant

    @property
    def credentials(self) -> dict[str, str]:
        client = self.harness.services.store.clients.get(
            self.harness.services.store.connections.get("crm").client_id
        )
        return {"client_id": client.client_id, "client_secret": client.secrets[0].value}

    @property
    def access_token(self) -> str:
        return self.harness.services.tokens.access_token("crm").value

    def token_endpoint(self, location: str = "eu") -> str:
        return self.harness.services.zoho.data_center(location).token_endpoint

    def refresh(self, location: str = "eu", **changes: str) -> LoggedExchange:
        """Request an access token; "" leaves a parameter out."""
        said = {"grant_type": "refresh_token", "refresh_token": self.grant.refresh_token}
        return self.post(location, **{**self.credentials, **said, **changes})

    def exchange(
        self, code: str, started: StartedAttempt, location: str = "eu", **changes: str
    ) -> LoggedExchange:
        """Exchange the code of one of the wizard's consents."""
        said = {
            "grant_type": "authorization_code",
            "redirect_uri": started.attempt.redirect_uri,
            "code_verifier": started.attempt.code_verifier,
            "code": code,
        }
        return self.post(location, **{**self.credentials, **said, **changes})

    def post(self, location: str = "eu", **values: str) -> LoggedExchange:
        sent = {name: value for name, value in values.items() if value}
        headers = {"Accept-Language": "zh-CN"}
        return send_request("POST", self.token_endpoint(location), data=sent, headers=headers)

    def read_crm(
        self, token: str = "", location: str = "", path: str = "Leads", scheme: str = "{}"
    ) -> LoggedExchange:
        """Read from CRM, by default the leads, with the wizard's access token."""
        base = self.harness.services.zoho.data_center(location or self.grant.location).api_domain
        value = scheme.format(token or self.access_token)
        headers = {"Authorization": f"Zoho-oauthtoken {value}"}
        return send_request(
            "GET", f"{base}/crm/v8/{path}", headers=headers, params={"fields": "Last_Name"}
        )


def code_from(callback_url: str) -> str:
    """The code in a callback's URL."""
    return dict(query_parameters(callback_url))["code"]


def without_parameters(url: str, *names: str) -> str:
    """A URL without these parameters."""
    base, _, _ = url.partition("?")
    return f"{base}?{urlencode([(k, v) for k, v in query_parameters(url) if k not in names])}"
