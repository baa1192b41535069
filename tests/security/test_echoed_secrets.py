"""Secrets that a server repeats are not stored, shown or logged."""

import base64
import html
import json
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.claims import over_rows
from support.harness import settings_for
from support.raw_server import RawServer, http_response

from wizard import zoho
from wizard.authorization.callback import check_callback
from wizard.credential_formats import MASK
from wizard.errors import WizardError, describe_outcome, explain
from wizard.model import (
    Attempt,
    AttemptMode,
    AttemptState,
    Client,
    ClientSecret,
    Connection,
    Grant,
    GrantState,
)
from wizard.serialization import to_json
from wizard.services import Services, utc_now
from wizard.store import StoreContents
from wizard.transport import HttpResponse, Transport, ZohoAuth
from wizard.transport.redaction import mask_text

ACCESS = "1000.0123456789abcdef0123456789abcdef.fedcba9876543210fedcba9876543210"
REFRESH = "kept~Refresh/token+of_the-grant.987654=="
SECRET = "canary-of-the_client.secret/1+2~3"
SENT = (ACCESS, REFRESH, SECRET)


def escaped(secret: str) -> str:
    return "".join(f"\\u{ord(each):04x}" for each in secret)


def percent(secret: str) -> str:
    return "".join(f"%{ord(each):02X}" for each in secret)


WRITINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in capitals": str.upper,
    "in a URL": lambda secret: quote(secret, safe=""),
    "wholly in a URL": percent,
    "twice in a URL": lambda secret: quote(percent(secret)),
    "in JSON": escaped,
    "in JSON within JSON": lambda secret: json.dumps(escaped(secret))[1:-1],
    "with slashes as PHP writes them": lambda secret: secret.replace("/", "\\/"),
    "in HTML": lambda secret: "".join(f"&#{ord(each)};" for each in secret),
    "in hexadecimal HTML": lambda secret: "".join(f"&#x{ord(each):X};" for each in secret),
    "in hex": lambda secret: secret.encode().hex(),
    "in base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "in base64 behind a name": lambda secret: base64.b64encode(f"n:{secret}".encode()).decode(),
    "with what is not seen": lambda secret: "\u200b".join(secret),
    "with a sequence of a terminal": lambda secret: secret[:9] + "\x1b[0m" + secret[9:],
}


def frames(text: str) -> Iterator[tuple[str, bytes]]:
    """Responses that contain `text`, by their kind."""
    yield "error", json.dumps({"error": text}).encode()
    yield "error raw", b'{"error":"' + text.encode() + b'"}'
    yield "throttle", json.dumps({"error": text, "status": "failure"}).encode()
    yield "description", json.dumps({"error": "x", "error_description": text}).encode()
    yield "nested", json.dumps({"error": {"deep": [text]}}).encode()
    yield "name", json.dumps({"error": "x", text: 1}).encode()
    yield "UTF-16", json.dumps({"error": text}, ensure_ascii=False).encode("utf-16", "ignore")
    yield "domain", json.dumps({"access_token": "a.b.c.d.e", "api_domain": text}).encode()
    yield "scope", json.dumps({"access_token": "a.b.c.d.e", "scope": f"A.b {text}"}).encode()
    yield "page", f"<html><body>{html.escape(text)}</body></html>".encode()
    yield "twice", b'{"error":"' + text.encode() + b'","error":1}'


def seen(text: str, secret: str) -> bool:
    """Whether `secret` is in `text`, in plain text or decoded."""
    plain = text.replace("\\\\", "\\").replace("\\/", "/")
    return any(
        write(secret).lower() in each.lower()
        for name, write in WRITINGS.items()
        for each in (text, plain)
        if name != "in base64 behind a name"
    )


def exchanged(body: bytes, status: int) -> tuple[list[HttpResponse], list[WizardError]]:
    """The results of requests with each secret, if the server returns this response."""
    answers, errors = [], []
    with RawServer(http_response(status, body, Location="http://x")) as server:
        table = replace(zoho.load(), allowed_base_urls=(server.url,))
        transport = Transport(table, utc_now)
        form = {"client_secret": SECRET, "refresh_token": REFRESH, "client_id": "1000.ABC"}
        acts: tuple[Callable[[requests.Session], object], ...] = (
            lambda session: session.post(f"{server.url}/token", data=form),
            lambda session: session.post(f"{server.url}/revoke", auth=("1000.ABC", SECRET)),
            lambda session: session.get(f"{server.url}/info", auth=ZohoAuth(ACCESS)),
        )
        for act in acts:
            with requests.Session() as session:
                wire = transport.attach(session)
                try:
                    act(session)
                    answers.append(wire.last_response)
                except WizardError as error:
                    errors.append(error)
    return answers, errors


CARRIED = ((REFRESH, SECRET), (SECRET,), (ACCESS,))
"""The secrets in each request of `exchanged`."""


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(SENT),
    st.sampled_from(list(WRITINGS)),
    st.integers(0, 10),
    st.sampled_from([200, 400, 401, 500]),
    st.sampled_from(["", "Bad token ", "<b>"]),
)
def test_no_secret_that_was_sent_is_in_any_failure_or_output(
    secret: str, writing: str, frame: int, status: int, before: str
) -> None:
    name, body = list(frames(before + WRITINGS[writing](secret)))[frame]
    answers, errors = exchanged(body, status)
    assert errors == []
    for answer, carried in zip(answers, CARRIED, strict=True):
        if secret in carried:
            document = json.dumps(answer.json, ensure_ascii=False)
            assert not seen(document, secret), name
            assert not seen(answer.exchange.response_body, secret), name
            assert secret not in repr(answer)


@pytest.mark.slow
@over_rows("secret", SENT)
@over_rows("writing", WRITINGS)
def test_a_secret_is_masked_in_every_encoding_and_context(secret: str, writing: str) -> None:
    index = next(n for n, carried in enumerate(CARRIED) if secret in carried)
    for name, body in frames(WRITINGS[writing](secret)):
        answers, _ = exchanged(body, 200)
        assert not seen(json.dumps(answers[index].json, ensure_ascii=False), secret), name
        assert not seen(answers[index].exchange.response_body, secret), name


def test_a_secret_too_short_to_be_recognized_by_its_start_is_masked_when_escaped() -> None:
    secret = "pass+w0rd"
    in_url = "".join(f"%{ord(each):02X}" for each in secret)
    in_json = "".join(f"\\u{ord(each):04x}" for each in secret)
    assert [mask_text(each, (secret,)) for each in (in_url, in_json)] == [MASK, MASK]


def test_a_token_next_to_an_error_is_not_repeated_in_its_message() -> None:
    given = "a-token-that-was-not-sent-but-given"
    body = {"error": f"no {given}", "deep": {"refresh_token": given}, "access_token": given}
    [answer, *_], _ = exchanged(json.dumps(body).encode(), 200)
    assert answer.json == {
        "error": f"no {MASK}",
        "deep": {"refresh_token": MASK},
        "access_token": MASK,
    }
    assert given not in answer.exchange.response_body
    assert answer.issued("access_token") == given


@pytest.mark.parametrize("secret", [SECRET.replace("_", "").split("/")[0], ACCESS])
def test_a_redirect_to_a_host_named_like_a_secret_does_not_name_it(secret: str) -> None:
    with RawServer(http_response(302, Location=f"http://{secret}.example/x")) as server:
        transport = Transport(replace(zoho.load(), allowed_base_urls=(server.url,)), utc_now)
        with pytest.raises(WizardError) as raised:
            transport.get(f"{server.url}/x", ZohoAuth(secret))
    assert raised.value.failure.details["to"] == f"{MASK}.example"


def test_a_callback_that_repeats_our_state_or_its_code_shows_neither() -> None:
    state, verifier, code = "state-" + "s" * 40, "verifier-" + "v" * 40, "1000.code-of-callback"
    attempt = Attempt(
        "1",
        "crm",
        "1000.ABC",
        AttemptMode.BROWSER,
        AttemptState.CALLBACK_RECEIVED,
        "eu",
        *("", "", "http://localhost/callback", (), utc_now(), state, verifier, ""),
    )
    for secret in (state, verifier, code):
        params = {"error": f"bad {quote(secret)}", "code": code, "state": state}
        with pytest.raises(WizardError) as raised:
            check_callback(params, attempt, zoho.load())
        assert raised.value.failure.zoho_error == f"bad {MASK}"


@over_rows("length", [12, 20, 30])
@over_rows("after", ["", "…", " ...", " was wrong", '"'])
@over_rows("write", [str, str.upper, escaped, percent])
@over_rows("secret", SENT)
def test_the_start_of_a_secret_is_masked_where_the_server_truncated_it(
    secret: str, write: Callable[[str], str], after: str, length: int
) -> None:
    cut = write(secret[:length])
    shown = mask_text(f"the token {cut}{after}", SENT)
    assert shown == f"the token {MASK}{after}"
    assert mask_text(f"{cut}, {cut}", SENT) == f"{MASK}, {MASK}"


def test_a_common_prefix_is_no_secret() -> None:
    assert mask_text("canary-of-t and 1000.012345", SENT) == "canary-of-t and 1000.012345"


@pytest.mark.parametrize("secret", [SECRET, REFRESH])
def test_a_diagnosis_shows_no_secret_that_a_product_repeats(tmp_path: Path, secret: str) -> None:
    def answer(path: str, secret: str) -> dict[str, object]:
        if path.endswith("/token"):
            return {"access_token": ACCESS, "expires_in": 3600}
        return {"error": secret, "code": secret}

    echo = Echo(secret, answer)
    with echo.server as server, Services.open(settings_for(tmp_path, server.url)) as services:
        now = services.clock()
        client = Client(
            "1000.ABC", "Zylker", "eu", "", (ClientSecret("eu", SECRET),), created_at=now
        )
        scope = ("AaaServer.profile.READ", "ZohoCRM.org.READ")
        connection = Connection("crm", "1000.ABC", scope, "eu", generation=1, created_at=now)
        grant = Grant("crm", 1, "1000.ABC", REFRESH, scope, "eu", GrantState.VERIFIED, now)
        services.store.transfers.import_contents(StoreContents((client,), (connection,), (grant,)))
        services.tokens.access_token("crm")
        shown = to_json(services.diagnosis.diagnose("crm"))
    assert any(b"/crm/" in each or b"/info" in each for each in server.requests)
    assert not seen(shown, secret)


# --- The attack: database, terminal and log -------------------------------------------------------


class Echo:
    """A Zoho that answers each request with `body`, in which ``{secret}`` is what it was sent."""

    def __init__(self, secret: str, body: Callable[[str, str], dict[str, object]]) -> None:
        self._secret = secret
        self._body = body
        self.server = RawServer(self._act)

    def _act(self, wire: socket.socket) -> None:
        path = self.server.requests[-1].split(b" ")[1].decode()
        answer = self._body(path, self._secret)
        status = 400 if "error" in answer else 200
        wire.sendall(http_response(status, json.dumps(answer)))


def refuses(_path: str, secret: str) -> dict[str, object]:
    return {"error": f"unknown {secret}", "hint": [secret]}


def throttles(_path: str, secret: str) -> dict[str, object]:
    return {"error": secret, "error_description": secret, "status": "failure"}


def misleads(_path: str, secret: str) -> dict[str, object]:
    return {"access_token": "given.access.token", "api_domain": f"https://{secret}.example"}


def names(path: str, secret: str) -> dict[str, object]:
    if path.endswith("/token"):
        return {"access_token": ACCESS, "expires_in": 3600}
    return {"ZUID": 7, "Email": secret, "Display_Name": secret, "code": secret, "message": secret}


@pytest.mark.parametrize(
    ("answers", "secret"),
    [
        *(
            (each, secret)
            for each in (refuses, throttles, misleads)
            for secret in (REFRESH, SECRET)
        ),
        *((names, secret) for secret in SENT),
    ],
)
@pytest.mark.parametrize("writing", ["plain", "in a URL", "in JSON", "in base64"])
def test_a_secret_that_zoho_repeats_is_not_in_the_database_the_terminal_or_the_log(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    answers: Callable[[str, str], dict[str, object]],
    secret: str,
    writing: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = Echo(WRITINGS[writing](secret), answers)
    with echo.server as server, Services.open(settings_for(tmp_path, server.url)) as services:
        now = services.clock()
        secrets = (ClientSecret("eu", SECRET),)
        client = Client("1000.ABC", "Zylker", "eu", "", secrets, created_at=now)
        scope = ("AaaServer.profile.READ", "ZohoCRM.org.READ")
        connection = Connection("crm", "1000.ABC", scope, "eu", created_at=now)
        grant = Grant("crm", 1, "1000.ABC", REFRESH, scope, "eu", GrantState.NOT_VERIFIED, now)
        services.store.transfers.import_contents(StoreContents((client,), (connection,), (grant,)))
        steps = list(services.verification.verify("crm", 1))
        report = services.store.verification_reports.get("crm", 1)
        shown = [to_json(report), *(str(each.evidence) for each in steps)]
        for step in steps:
            if step.failure:
                shown.append(to_json(explain(step.failure, name="crm")))
        shown += [
            describe_outcome(ask.outcome) for ask in services.request_log.view("crm").requests
        ]
        stored = b"".join(
            each.read_bytes()
            for each in tmp_path.rglob("*")
            if each.is_file() and each.suffix != ".key"
        ).decode("latin-1")
    assert len(steps) > 1 or answers is not names
    assert not seen(stored, secret)
    assert not any(seen(each, secret) for each in shown)
    assert not seen(caplog.text, secret)
