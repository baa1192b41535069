"""A program that is not the wizard: it asks Zoho itself, and shows what it sent and was answered
as a log shows them, or a curl command."""

import shlex
from dataclasses import dataclass
from urllib.parse import urlencode

import requests
from core import Core, query

from wizard.authorization import Begun
from wizard.model import Grant


@dataclass(frozen=True)
class Told:
    """A request and its answer."""

    request: requests.PreparedRequest
    answer: requests.Response

    @property
    def text(self) -> str:
        """Both as a log shows them."""
        sent = _lines(self.request.headers)
        body = self.request.body or ""
        body = body.decode() if isinstance(body, bytes) else body
        line = f"{self.request.method} {self.request.url} HTTP/1.1"
        status = f"HTTP/1.1 {self.answer.status_code} {self.answer.reason}"
        said = _lines(self.answer.headers)
        return f"{line}\n{sent}\n\n{body}\n\n{status}\n{said}\n\n{self.answer.text}"

    @property
    def as_curl(self) -> str:
        """Both as a terminal shows them."""
        headers = self.request.headers.items()
        shown = [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers]
        body = self.request.body or ""
        body = body.decode() if isinstance(body, bytes) else body
        data = [f"-d {shlex.quote(body)}"] if body else []
        command = " ".join(["$ curl -X", self.request.method or "", *shown, *data])
        return f"{command} {shlex.quote(self.request.url or '')}\n{self.answer.text}\n"


def _lines(headers: object) -> str:
    return "\n".join(f"{name}: {value}" for name, value in dict(headers).items())  # type: ignore[call-overload]


def ask(method: str, url: str, **options: object) -> Told:
    """Ask as a program does that is not the wizard."""
    request = requests.Request(method, url, **options).prepare()  # type: ignore[arg-type]
    with requests.Session() as session:
        return Told(request, session.send(request, timeout=10))


@dataclass(frozen=True)
class Program:
    """A program with the credentials of connection ``crm``."""

    core: Core

    @property
    def grant(self) -> Grant:
        grant = self.core.house.store.grant("crm")
        assert grant is not None
        return grant

    @property
    def credentials(self) -> dict[str, str]:
        client = self.core.house.store.client(self.core.house.store.connection("crm").client_id)
        return {"client_id": client.client_id, "client_secret": client.secrets[0].value}

    @property
    def access_token(self) -> str:
        return self.core.house.broker.access_token("crm").value

    def endpoint(self, location: str = "eu") -> str:
        return self.core.house.zoho.data_centre(location).token_endpoint

    def refresh(self, location: str = "eu", **changes: str) -> Told:
        """Ask for an access token; "" leaves a parameter out."""
        said = {"grant_type": "refresh_token", "refresh_token": self.grant.refresh_token}
        return self.post(location, **{**self.credentials, **said, **changes})

    def exchange(self, code: str, begun: Begun, location: str = "eu", **changes: str) -> Told:
        """Exchange a code that the wizard's consent brought."""
        said = {
            "grant_type": "authorization_code",
            "redirect_uri": begun.attempt.redirect_uri,
            "code_verifier": begun.attempt.code_verifier,
            "code": code,
        }
        return self.post(location, **{**self.credentials, **said, **changes})

    def post(self, location: str = "eu", **values: str) -> Told:
        sent = {name: value for name, value in values.items() if value}
        headers = {"Accept-Language": "zh-CN"}
        return ask("POST", self.endpoint(location), data=sent, headers=headers)

    def read(
        self, token: str = "", location: str = "", path: str = "Leads", scheme: str = "{}"
    ) -> Told:
        """Read from CRM, by default the leads, with the wizard's access token."""
        base = self.core.house.zoho.data_centre(location or self.grant.location).api_domain
        value = scheme.format(token or self.access_token)
        headers = {"Authorization": f"Zoho-oauthtoken {value}"}
        return ask("GET", f"{base}/crm/v8/{path}", headers=headers, params={"fields": "Last_Name"})


def code_of(callback: str) -> str:
    """The code in a callback's address."""
    return dict(query(callback))["code"]


def without(address: str, *names: str) -> str:
    """An address without these parameters."""
    base, _, _ = address.partition("?")
    return f"{base}?{urlencode([(k, v) for k, v in query(address) if k not in names])}"
