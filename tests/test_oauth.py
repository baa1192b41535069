"""The accounts server: against the simulator, and against responses that Zoho should never send."""

import datetime as dt
import json
import logging
import string
from collections.abc import Callable
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import over_rows
from support.raw_server import RawServer, http_response

from wizard import zoho
from wizard.errors import WizardError, explain
from wizard.model import Failure, HttpExchange
from wizard.oauth import (
    ClientVerdict,
    OAuth,
    TokenResponse,
    new_code_verifier,
    new_state,
    parse_client_verdict,
    parse_revocation,
    parse_token_response,
)
from wizard.simulator.server import Simulator
from wizard.transport import HttpResponse, Transport

REDIRECT_URI = "http://localhost:8733/callback"
SCOPE = ("ZohoCRM.modules.leads.READ", "ZohoCRM.org.READ", zoho.ACCOUNT_SCOPE)
ANNA = "anna@zylker.example"
NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
EU = zoho.load().data_center("eu")


def failure_of(request: Callable[[], object]) -> Failure:
    with pytest.raises(WizardError) as caught:
        request()
    finding = explain(caught.value.failure, name="crm")
    assert finding.code == caught.value.failure.code != "unknown"
    assert "…" not in finding.title + finding.cause + finding.fix
    return caught.value.failure


# --- Against the simulator ------------------------------------------------------------------------


class OAuthCaller:
    """A client registered by Anna, and the OAuth code under test, pointed at the simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.zoho = zoho.load(simulator.url)
        self.data_center = self.zoho.data_center("eu")
        self.oauth = OAuth(Transport(self.zoho, simulator.clock), self.zoho, simulator.clock)
        registered = simulator.controls.register_client(ANNA, [REDIRECT_URI])
        self.client_id = str(registered["client_id"])
        self.secret = str(registered["secrets"]["eu"])
        self.code_verifier = new_code_verifier()

    def code(self, scope: tuple[str, ...] = SCOPE) -> str:
        url = self.oauth.authorization_url(
            self.data_center, self.client_id, REDIRECT_URI, scope, "the-state", self.code_verifier
        )
        callback = self.simulator.controls.authorize(url, ANNA)
        return parse_qs(urlsplit(callback).query)["code"][0]

    def exchange(self, code: str, **other: str) -> TokenResponse:
        sent = {
            "client_id": self.client_id,
            "client_secret": self.secret,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": self.code_verifier,
            **other,
        }
        return self.oauth.exchange_code(
            self.data_center.token_endpoint, code=code, location="eu", **sent
        )

    def refresh(self, refresh_token: str | None) -> TokenResponse:
        return self.oauth.refresh(
            self.data_center, self.client_id, self.secret, refresh_token or ""
        ).token()

    def grant(self) -> TokenResponse:
        return self.exchange(self.code())


@pytest.fixture
def oauth_caller(zoho_simulator: Simulator) -> OAuthCaller:
    return OAuthCaller(zoho_simulator)


def test_a_code_is_exchanged_for_a_grant_and_the_grant_for_an_access_token(
    oauth_caller: OAuthCaller,
) -> None:
    token = oauth_caller.grant()
    assert token.refresh_token
    assert set(token.scope) == set(SCOPE)
    assert token.api_domain == f"{oauth_caller.simulator.url}/eu/www"
    assert token.rejected_api_domain is None
    assert token.expires_in == 3600
    assert token.expires_at <= token.exchange.at + dt.timedelta(seconds=3600)
    again = oauth_caller.refresh(token.refresh_token)
    assert again.refresh_token is None
    assert again.access_token != token.access_token
    assert again.server_time is not None


def test_tokens_appear_in_no_repr_exchange_or_log(
    oauth_caller: OAuthCaller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    code = oauth_caller.code()
    token = oauth_caller.exchange(code)
    assert token.refresh_token is not None
    shown = f"{token!r} {token.exchange!r} {caplog.text}"
    for secret in (code, oauth_caller.secret, token.access_token, token.refresh_token):
        assert secret not in shown
    assert oauth_caller.code_verifier not in shown


def test_a_code_is_refused_after_120_seconds(oauth_caller: OAuthCaller) -> None:
    code = oauth_caller.code()
    oauth_caller.simulator.controls.advance(121)
    found = failure_of(lambda: oauth_caller.exchange(code))
    assert (found.code, found.zoho_error, found.temporary) == (
        "invalid-code",
        "invalid_code",
        False,
    )


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"client_id": "1000.UNKNOWN"}, "invalid-client"),
        ({"client_secret": "wrong"}, "invalid-client-secret"),
        ({"redirect_uri": f"{REDIRECT_URI}/"}, "invalid-redirect-uri"),
        ({"code_verifier": "w" * 43}, "invalid-code"),
    ],
)
def test_parameters_that_do_not_match_the_code_are_named(
    oauth_caller: OAuthCaller, wrong: dict[str, str], code: str
) -> None:
    issued = oauth_caller.code()
    assert failure_of(lambda: oauth_caller.exchange(issued, **wrong)).code == code


def test_a_self_client_code_needs_neither_redirect_uri_nor_verifier(
    zoho_simulator: Simulator,
) -> None:
    oauth_caller = OAuthCaller(zoho_simulator)
    made = zoho_simulator.controls.register_client(ANNA, [], kind="self-client")
    code = zoho_simulator.controls.generate_code(str(made["client_id"]), ",".join(SCOPE))
    token = oauth_caller.oauth.exchange_code(
        oauth_caller.data_center.token_endpoint,
        str(made["client_id"]),
        str(made["secrets"]["eu"]),
        code,
        None,
        None,
        "eu",
    )
    assert token.refresh_token


def test_a_client_is_verified_without_a_code(oauth_caller: OAuthCaller) -> None:
    oauth, eu = oauth_caller.oauth, oauth_caller.data_center
    assert oauth.preflight(eu, oauth_caller.client_id, oauth_caller.secret) is ClientVerdict.VALID
    assert oauth.preflight(eu, oauth_caller.client_id, "made-up") is ClientVerdict.WRONG_SECRET
    elsewhere = oauth_caller.zoho.data_center("in")
    verdict = oauth.preflight(elsewhere, oauth_caller.client_id, "made-up")
    assert verdict is ClientVerdict.UNKNOWN_CLIENT


def test_a_revoked_grant_is_rejected_and_revoking_it_again_is_harmless(
    oauth_caller: OAuthCaller,
) -> None:
    token = oauth_caller.grant()
    assert token.refresh_token is not None
    for _ in range(2):
        oauth_caller.oauth.revoke(
            oauth_caller.data_center,
            oauth_caller.client_id,
            oauth_caller.secret,
            token.refresh_token,
        )
    assert failure_of(lambda: oauth_caller.refresh(token.refresh_token)).code == "invalid-code"


def test_a_password_change_revokes_the_grant(oauth_caller: OAuthCaller) -> None:
    token = oauth_caller.grant()
    oauth_caller.simulator.controls.change_password(ANNA)
    assert failure_of(lambda: oauth_caller.refresh(token.refresh_token)).code == "invalid-code"


@pytest.mark.parametrize("localised", [False, True])
def test_a_rate_limit_is_recognized_in_any_language(
    oauth_caller: OAuthCaller, localised: bool
) -> None:
    oauth_caller.simulator.controls.change_settings(localized_rate_limit=localised)
    token = oauth_caller.grant()

    def exhaust() -> None:
        for _ in range(zoho.limits().token_requests + 1):
            oauth_caller.refresh(token.refresh_token)

    found = failure_of(exhaust)
    assert (found.code, found.temporary) == ("throttled", True)
    assert found.retry_at is not None
    assert found.retry_at > oauth_caller.simulator.clock()


def test_the_authorization_url_requests_offline_access_with_consent_and_pkce() -> None:
    table = zoho.load()
    oauth = OAuth(Transport(table, lambda: NOW), table, lambda: NOW)
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # the example of RFC 7636
    url = oauth.authorization_url(EU, "1000.ABC", REDIRECT_URI, SCOPE, "the-state", verifier)
    assert url.startswith("https://accounts.zoho.eu/oauth/v2/auth?")
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "response_type": "code",
        "client_id": "1000.ABC",
        "redirect_uri": REDIRECT_URI,
        "scope": ",".join(SCOPE),
        "state": "the-state",
        "access_type": "offline",
        "prompt": "consent",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }


def test_states_and_verifiers_are_long_random_and_never_the_same() -> None:
    allowed = set(string.ascii_letters + string.digits + "-._~")
    states = {new_state() for _ in range(1000)}
    verifiers = {new_code_verifier() for _ in range(1000)}
    assert len(states) == len(verifiers) == 1000
    assert all(len(each) == 43 for each in states)
    assert all(43 <= len(each) <= 128 and set(each) <= allowed for each in verifiers)


def test_code_and_secret_are_sent_once_in_the_body_and_never_in_the_url() -> None:
    with RawServer(http_response(body='{"error":"invalid_code"}')) as server:
        table = zoho.load(server.url)
        oauth = OAuth(Transport(table, lambda: NOW), table, lambda: NOW)
        endpoint = table.data_center("eu").token_endpoint
        with pytest.raises(WizardError, match="invalid-code"):
            oauth.exchange_code(endpoint, "id", "s e&c", "the-code", "http://l/c", "v" * 43, "eu")
        (request,) = server.requests
    head, _, body = request.decode().partition("\r\n\r\n")
    assert head.startswith("POST /eu/accounts/oauth/v2/token HTTP/1.1")
    assert "the-code" not in head
    assert "Authorization" not in head
    assert sorted(parse_qsl(body)) == [
        ("client_id", "id"),
        ("client_secret", "s e&c"),
        ("code", "the-code"),
        ("code_verifier", "v" * 43),
        ("grant_type", "authorization_code"),
        ("redirect_uri", "http://l/c"),
    ]


@over_rows("status", [301, 302, 303, 307, 308])
def test_a_redirected_token_request_or_revocation_is_refused(status: int) -> None:
    answer = http_response(status, '{"access_token":"x"}', Location="/eu/accounts/elsewhere")
    with RawServer(answer) as server:
        table = zoho.load(server.url)
        oauth = OAuth(Transport(table, lambda: NOW), table, lambda: NOW)
        eu = table.data_center("eu")
        requests: tuple[Callable[[], object], ...] = (
            lambda: oauth.refresh(eu, "id", "secret", "token"),
            lambda: oauth.revoke(eu, "id", "secret", "token"),
            lambda: oauth.preflight(eu, "id", "secret"),
        )
        for request in requests:
            assert failure_of(request).code == "unexpected-redirect"
        assert len(server.requests) == 3


# --- Responses ------------------------------------------------------------------------------------


def make_response(body: object, status: int = 200, **headers: str) -> HttpResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(
        status, named, raw, HttpExchange("POST", EU.token_endpoint, {}, status, "", NOW)
    )


GOOD = {
    "access_token": "1000.a.b",
    "refresh_token": "1000.c.d",
    "scope": "ZohoCRM.org.READ AaaServer.profile.READ",
    "api_domain": EU.api_domain,
    "token_type": "Bearer",
    "expires_in": 3600,
}


def parse_good(**changes: object) -> TokenResponse:
    return parse_token_response(make_response({**GOOD, **changes}), EU, NOW)


@over_rows("kind", ["Bearer", "bearer", "BEARER", "Zoho-oauthtoken"])
def test_the_token_type_is_compared_without_case(kind: str) -> None:
    assert parse_good(token_type=kind).access_token == "1000.a.b"


@over_rows(
    ("shape", "seconds"),
    [
        ({"expires_in": 3600}, 3600),
        ({"expires_in": "3600"}, 3600),
        ({"expires_in": 3_600_000, "expires_in_sec": 3600}, 3600),
        ({"expires_in": None}, 300),
        ({"expires_in": 0}, 300),
        ({"expires_in": -1}, 300),
        ({"expires_in": 1e12}, 300),
        ({"expires_in": 3_600_000}, 300),
        ({"expires_in": True}, 300),
        ({"expires_in": "soon"}, 300),
        ({"expires_in": [3600]}, 300),
        ({"expires_in": "9" * 400}, 300),
    ],
)
def test_an_invalid_lifetime_counts_as_300_seconds(shape: dict[str, object], seconds: int) -> None:
    token = parse_good(**shape)
    assert token.expires_in == seconds
    assert token.expires_at == NOW + dt.timedelta(seconds=seconds)


def test_a_missing_lifetime_counts_as_300_seconds() -> None:
    body = {name: value for name, value in GOOD.items() if name != "expires_in"}
    assert parse_token_response(make_response(body), EU, NOW).expires_in == 300


@over_rows(
    "domain",
    [
        "https://www.zohoapis.com",
        "http://www.zohoapis.eu",
        "https://www.zohoapis.eu.evil.example",
        "https://www.zohoapis.eu/",
        "https://evil.example",
        "",
        7,
    ],
)
def test_a_foreign_api_domain_is_refused_and_the_grant_kept(domain: object) -> None:
    token = parse_good(api_domain=domain)
    assert token.api_domain == EU.api_domain
    assert token.rejected_api_domain == str(domain)
    assert token.refresh_token == "1000.c.d"


@over_rows(
    ("scope", "granted"),
    [
        ("A.b.READ C.d.ALL", ("A.b.READ", "C.d.ALL")),
        ("A.b.READ,C.d.ALL", ("A.b.READ", "C.d.ALL")),
        (None, ()),
        (["A.b.READ"], ()),
    ],
)
def test_granted_scopes_are_read_with_blanks_or_commas(
    scope: object, granted: tuple[str, ...]
) -> None:
    assert parse_good(scope=scope).scope == granted


def test_a_missing_refresh_token_is_no_error_here() -> None:
    assert parse_good(refresh_token=None).refresh_token is None


PERMANENT = {
    "invalid_client": "invalid-client",
    "invalid_client_secret": "invalid-client-secret",
    "invalid_code": "invalid-code",
    "invalid_grant": "invalid-code",
    "invalid_redirect_uri": "invalid-redirect-uri",
    "missing_org_info": "missing-org-info",
    "invalid_scope": "invalid-scope",
    "something_new": "unknown-oauth-error",
}


@over_rows(("word", "code"), PERMANENT.items())
def test_an_explicit_error_is_permanent_and_keeps_the_code_from_zoho(word: str, code: str) -> None:
    found = failure_of(lambda: parse_token_response(make_response({"error": word}), EU, NOW))
    assert (found.code, found.zoho_error, found.temporary) == (code, word, False)


RATE_LIMITED = {"error_description": "x", "error": "Access Denied", "status": "failure"}


@over_rows(
    ("body", "status"),
    [
        (RATE_LIMITED, 400),
        (RATE_LIMITED, 200),
        ({**RATE_LIMITED, "error": "拒绝访问"}, 400),
        ({"error": "Access Denied"}, 400),
        ({"error": "Access Denied", "error_description": "x"}, 200),
        ({}, 429),
    ],
)
def test_a_rate_limit_is_recognized_by_its_format_and_lasts_ten_minutes(
    body: dict[str, str], status: int
) -> None:
    found = failure_of(lambda: parse_token_response(make_response(body, status), EU, NOW))
    assert (found.code, found.temporary) == ("throttled", True)
    assert found.retry_at == NOW + dt.timedelta(minutes=10)


def test_a_rate_limit_lasts_as_long_as_zoho_says() -> None:
    tired = make_response(RATE_LIMITED, 400, retry_after="30")
    found = failure_of(lambda: parse_token_response(tired, EU, NOW))
    assert found.retry_at == NOW + dt.timedelta(seconds=30)


NO_TOKENS: list[object] = [
    None,
    "",
    0,
    1,
    True,
    [],
    {},
    "with blank",
    "tab\t",
    "line\r\nX: y",
    "é",
    "\x00",
]

MALFORMED: list[tuple[object, int, str]] = [
    *(({**GOOD, "access_token": value}, 200, "malformed-answer") for value in NO_TOKENS),
    *(({**GOOD, "refresh_token": value}, 200, "malformed-answer") for value in NO_TOKENS[1:]),
    *(
        ({**GOOD, "token_type": value}, 200, "malformed-answer")
        for value in ("mac", "", 1, None, ["Bearer"])
    ),
    *((GOOD, status, "malformed-answer") for status in (201, 204, 400, 401, 403, 404)),
    *((GOOD, status, "data-center-down") for status in (500, 502, 503, 504)),
    ({"error": "invalid_code"}, 503, "data-center-down"),
    ({}, 200, "malformed-answer"),
    *(({**GOOD, "error": value}, 200, "malformed-answer") for value in ("", " ", None, False)),
    *(({**GOOD, "error": word}, 200, "malformed-answer") for word in PERMANENT),
    *(
        (body, 200, "not-json")
        for body in (
            b"",
            b" ",
            b"null",
            b"[]",
            b"1",
            b'"token"',
            b"<html></html>",
            b'{"access_token":"1000.a.b"',
            b'{"access_token":"1000.a.b","access_token":"1000.x.y"}',
            b'{"access_token":"1000.a.b","expires_in":NaN}',
            b"{'access_token':'1000.a.b'}",
            b'{"access_token":"1000.a.b"}}',
            b"\xff\xfe\xff",
            b"\x00",
            b"access_token=1000.a.b",
            b"[" * 99_999,
            b'{"a":' * 99_999,
            b"9" * 9_999,
        )
    ),
    (b"<html>Bad Request</html>", 400, "not-json"),
    (b"<html>Sign in</html>", 511, "data-center-down"),
]


@over_rows(("body", "status", "code"), MALFORMED)
def test_a_malformed_response_is_inconclusive_and_no_token(
    body: object, status: int, code: str
) -> None:
    found = failure_of(lambda: parse_token_response(make_response(body, status), EU, NOW))
    assert (found.code, found.temporary, found.sent) == (code, True, True)


def test_there_are_more_than_sixty_malformed_responses() -> None:
    assert len(MALFORMED) >= 60


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "error", "error_description", "status", "expires_in_sec"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    ),
    st.sampled_from([200, 400, 401, 429, 500]),
)
def test_every_response_is_a_valid_token_or_a_failure_with_a_message(
    body: dict[str, object], status: int
) -> None:
    try:
        token = parse_token_response(make_response(body, status), EU, NOW)
    except WizardError as error:
        token = None
        found = explain(error.failure).code
    else:
        found = ""
    assert found != "unknown"
    assert token is None or (token.access_token.isascii() and 60 <= token.expires_in <= 86_400)


@over_rows(
    ("body", "status"),
    [(b"<html></html>", 200), ({}, 500), (RATE_LIMITED, 400), ({"error": "new"}, 200), (GOOD, 200)],
)
def test_a_response_that_does_not_mention_the_client_is_inconclusive(
    body: object, status: int
) -> None:
    assert (
        failure_of(lambda: parse_client_verdict(make_response(body, status), NOW)).code
        != "invalid-code"
    )


@over_rows(
    ("body", "status", "verdict"),
    [
        ({"status": "success"}, 200, "revoked"),
        (b"", 200, "revoked"),
        (b"<html>400</html>", 400, "nothing to revoke"),
        ({"status": "error"}, 400, "nothing to revoke"),
        ({"error": "invalid_token"}, 400, "nothing to revoke"),
        (RATE_LIMITED, 400, "throttled"),
        ({"error": "invalid_client"}, 200, "invalid-client"),
        ({"error": "invalid_client"}, 400, "invalid-client"),
        ({"error": "invalid_client_secret"}, 401, "invalid-client-secret"),
        (b"<html>Sign in to the hotel</html>", 200, "not-json"),
        (b"", 500, "data-center-down"),
        (b"", 404, "not-json"),
        ({}, 403, "malformed-answer"),
    ],
)
def test_only_a_clear_response_to_a_revocation_counts_as_revoked(
    body: object, status: int, verdict: str
) -> None:
    try:
        found = (
            "revoked" if parse_revocation(make_response(body, status), NOW) else "nothing to revoke"
        )
    except WizardError as error:
        found = error.failure.code
    assert found == verdict
