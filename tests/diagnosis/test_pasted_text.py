"""Any pasted text is parsed for its meaning, without requests."""

import tomllib
from importlib import resources

from support.claims import over_rows
from support.harness import Harness

from wizard.diagnosis.pasted_text import DiagnosisResult
from wizard.diagnosis.pasted_text.parsed_text import ParsedText
from wizard.diagnosis.pasted_text.sent_requests import find_data_center, required_scope
from wizard.model import Confidence
from wizard.zoho import load

TOKEN = "1000." + "a1b2c3d4" * 4 + "." + "0f1e2d3c" * 4
CLIENT = "1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ12"
TOKEN_URL = "https://accounts.zoho.eu/oauth/v2/token"

LANGUAGES = tomllib.loads(
    resources.files("wizard.diagnosis.pasted_text").joinpath("languages.toml").read_text("utf-8")
)


def read(harness: Harness, text: str) -> DiagnosisResult:
    """The diagnosis of `text`, without requests."""
    before = len(harness.controls.journal())
    reading = harness.services.reader.explain_text(text)
    assert len(harness.controls.journal()) == before
    return reading


CODES_BY_TEXT = {
    # products, by their error codes
    "INVALID_OAUTHTOKEN": "token-invalid",
    "INVALID_TOKEN": "token-invalid",
    "INVALID_OAUTH": "token-invalid",
    "oauthtoken_invalid": "token-invalid",
    "F7003": "token-invalid",
    "1030": "token-invalid",
    "9041": "token-invalid",
    "8535": "token-invalid",
    "code 57": "not-authorized",
    '{"code":57,"message":"You are not authorized to perform this operation"}': "not-authorized",
    "OAUTH_SCOPE_MISMATCH": "scope-missing",
    "SCOPE_MISMATCH": "scope-missing",
    "INVALID_OAUTHSCOPE": "scope-missing",
    "oauthtoken_scope_invalid": "scope-missing",
    "F7007": "scope-missing",
    "NO_PERMISSION": "no-permission",
    "OAUTH_ORG_MISMATCH": "wrong-organization",
    "TOO_MANY_REQUESTS": "product-throttled",
    "44": "product-throttled",
    "45": "daily-credits-used-up",
    "1070": "product-throttled",
    "429": "product-throttled",
    "INVALID_URL_PATTERN": "wrong-path",
    "404": "wrong-path",
    # the accounts server
    "invalid_client": "invalid-client",
    "{'error': 'invalid_client_secret'}": "invalid-client-secret",
    '{"error":"invalid_redirect_uri"}': "invalid-redirect-uri",
    'body: "{\\"error\\":\\"general_error\\"}"': "general-error",
    "Error during access token generation": "token-request-refused",
    "Access Denied": "throttled",
    '{"error_description":"x","error":"Access Denied","status":"failure"}': "throttled",
    '{"error_description":"您已连续提出过多请求，请稍后再试。","error":"拒绝访问",'
    '"status":"failure"}': "throttled",
    '{"error_description":"Neznámá","error":"Přístup odepřen"}': "throttled",
    # callbacks and pages
    "http://localhost:8723/callback?error=access_denied&state=abc": "access-denied",
    "no_org": "no-organization",
    "<html><title>Invalid Client</title><body>The client ID…</body></html>": (
        "zoho-page-invalid-client"
    ),
    "Invalid OAuth scope\nThe scope passed does not exist.": "zoho-page-invalid-scope",
    "Invalid Redirect Uri": "zoho-page-invalid-redirect-uri",
    "Access Denied: Maximum request limit reached for your account.": (
        "zoho-page-too-many-requests"
    ),
    # time, network, sign-in, our own store
    "It works for an hour and then it dies": "works-for-an-hour",
    "curl: (6) Could not resolve host: accounts.zoho.eu": "network-dns",
    "Error: getaddrinfo ENOTFOUND accounts.zoho.com": "network-dns",
    "ssl.SSLCertVerificationError: certificate verify failed": "network-tls",
    "PKIX path building failed: unable to find valid certification path": "network-tls",
    "ProxyError('Cannot connect to proxy.')": "network-proxy",
    "<!DOCTYPE html><html><body>Welcome to Hotel WiFi, room number?</body></html>": "not-json",
    "This account cannot be found": "sign-in-account-not-found",
    "Your account has been closed": "sign-in-account-closed",
    "You are not allowed from this IP address": "sign-in-ip-restricted",
    "Please sign in using SAML": "sign-in-company-sso",
    "Enter the captcha": "sign-in-captcha",
    "Incorrect OTP. Please try again.": "sign-in-wrong-code",
    "Incorrect password. Please try again.": "sign-in-wrong-password",
    "This account has been deactivated. Please contact your administrator.": (
        "sign-in-account-closed"
    ),
    "Too many attempts. Try again later": "sign-in-too-many-attempts",
    "This mobile number is already registered": "sign-up-mobile-taken",
    "This email address is already associated with an account": "sign-up-address-taken",
    "OSError: [Errno 28] No space left on device": "disk-full",
    "(refresh-token-rejected)": "refresh-token-rejected",
    "✗ “crm” is dead\n  (refresh-token-rejected)": "refresh-token-rejected",
    # terms of standards, data of products, and text that people write
    '{"error":"invalid_request","error_description":"missing"}': "token-request-refused",
    '{"code":"MANDATORY_NOT_FOUND","status":"error"}': "product-data-refused",
    "Invalid value passed for organization_id": "wrong-organization",
    '{"code":6041,"message":"This user is not associated with the CompanyID"}': (
        "wrong-organization"
    ),
    "My refresh token stopped working after a password change": "password-changed",
    "the captcha library logs: error 500 in our own app": "server-failed",
    "https://crm.zoho.com.au/crm/org1/tab/Leads": "zoho-address",
}


@over_rows(("text", "code"), CODES_BY_TEXT.items())
def test_a_paste_is_parsed_for_its_meaning(harness: Harness, text: str, code: str) -> None:
    reading = read(harness, text)
    assert reading.explanation.failure is not None
    assert reading.explanation.failure.code == code
    assert reading.is_explained
    assert reading.explanation.fix


@over_rows(
    "text",
    [
        "hello world",
        "57 records",
        "It works. No problem.",
        '{"code":"4820"}',
        '{"error":"strange"}',
        "🦄",
    ],
)
def test_an_unknown_text_is_called_unknown_and_shown(harness: Harness, text: str) -> None:
    reading = read(harness, text)
    assert not reading.is_explained
    assert reading.excerpt == text


@over_rows("language", sorted(LANGUAGES))
def test_zoho_error_pages_are_recognized_in_every_language(harness: Harness, language: str) -> None:
    phrases = {text: code for table in LANGUAGES[language].values() for text, code in table.items()}
    assert set(phrases.values()) >= {
        *("sign-in-account-not-found", "sign-in-account-closed", "sign-in-wrong-password"),
        *("sign-in-wrong-code", "sign-in-ip-restricted", "sign-in-too-many-attempts"),
        *("sign-up-address-taken", "sign-up-mobile-taken", "zoho-page-invalid-client"),
        *("zoho-page-invalid-redirect-uri", "zoho-page-invalid-scope"),
    }
    for text, code in phrases.items():
        reading = read(harness, f"Zoho\n{text.capitalize()} 1.\n© Zoho")
        assert reading.explanation.failure is not None
        assert reading.explanation.failure.code == code, text


@over_rows(
    "answer",
    [
        # any language in the full format; a non-Latin script in half of it
        '{"error_description":"…","error":"Zugriff verweigert","status":"failure"}',
        '{"error_description":"…","error":"Ingen adgang","status":"failure"}',
        'HTTP/1.1 400 Bad Request\n\n{"error_description":"…","error":"Pristup odbijen"}',
        '{"error_description":"…","error":"Доступ запрещён"}',
        'HTTP/1.1 400\n\n{"error":"アクセスが拒否されました"}',
    ],
)
def test_a_rate_limit_is_recognized_by_its_format_and_not_by_its_text(
    harness: Harness, answer: str
) -> None:
    reading = read(harness, answer)
    assert reading.explanation.failure is not None
    assert reading.explanation.failure.code == "throttled"


@over_rows(
    "answer",
    [
        '{"error":"Unauthorized","error_description":"Full authentication is required"}',
        'HTTP/1.1 400\n\n{"error":"Bad Request","path":"/x"}',
        '{"error":"invalid_grant","error_description":"…","status":"failure"}',
        '{"error":"unauthorized","error_description":"…","status":"failure"}',
    ],
)
def test_an_error_from_another_server_is_not_a_rate_limit(harness: Harness, answer: str) -> None:
    failure = read(harness, answer).explanation.failure
    assert failure is not None
    assert failure.code != "throttled"


def causes(reading: DiagnosisResult) -> list[str]:
    return [cause.code for cause in reading.explanation.causes]


@over_rows(
    "word",
    ["invalid_code", "invalid_client", "invalid_client_secret", "INVALID_TOKEN", "57", "F7003"],
)
def test_no_cause_of_a_code_without_context_is_called_likelier(harness: Harness, word: str) -> None:
    finding = read(harness, word).explanation
    assert len(finding.causes) > 1
    assert {cause.confidence for cause in finding.causes} == {Confidence.POSSIBLE}
    assert finding.question


def test_noise_around_a_response_does_not_hide_it(harness: Harness) -> None:
    noise = "2026-11-23 10:00:01,123 INFO worker-7 heartbeat ok 200\n" * 2000
    crm = harness.services.zoho.data_center("eu").api_domain
    log = (
        f"{noise}ERROR GET {crm}/crm/v8/coql -> 401 "
        '{"code":"OAUTH_SCOPE_MISMATCH","details":{},"status":"error"}\nTraceback (most recent'
    )
    reading = read(harness, log)
    assert reading.explanation.code == "scope-missing"
    assert "ZohoCRM.coql.READ" in reading.explanation.causes[0].explanation
    assert any("CRM" in each for each in reading.understood)
    assert "OAUTH_SCOPE_MISMATCH" in reading.excerpt


@over_rows(
    ("request_", "cause"),
    [
        (f"{TOKEN_URL}?grant_type=refresh_token&refresh_token={TOKEN}", "token-request-by-get"),
        (f"curl -G '{TOKEN_URL}' -X GET -d grant_type=refresh_token", "token-request-by-get"),
        (
            f"curl {TOKEN_URL} -H 'Content-Type: application/json' -d '{{\"grant_type\":\"x\"}}'",
            "token-request-as-json",
        ),
        (f"curl -X POST {TOKEN_URL} -d client_id={CLIENT}", "token-request-incomplete"),
    ],
)
def test_a_token_request_shows_its_own_mistake(harness: Harness, request_: str, cause: str) -> None:
    assert causes(read(harness, request_))[0] == cause


@over_rows(
    ("around", "verdict"),
    [
        ("{0}", "token-alone"),
        ("Authorization: Zoho-oauthtoken {0}", "token-alone"),
        ('"{0}"', "token-not-whole"),
        ("{0} ", "token-alone"),
    ],
)
def test_a_token_is_recognized_by_its_format(harness: Harness, around: str, verdict: str) -> None:
    reading = read(harness, around.format(TOKEN))
    assert reading.explanation.code == verdict
    assert TOKEN not in str(reading)


def test_a_truncated_token_a_client_id_and_a_secret_are_distinguished(harness: Harness) -> None:
    assert read(harness, TOKEN[:50]).explanation.code == "token-not-whole"
    assert read(harness, CLIENT).explanation.code == "client-id-alone"
    assert read(harness, "0123456789abcdef" * 2 + "01234567ab").explanation.code == "secret-alone"


@over_rows(
    ("sent", "cause"),
    [
        (TOKEN[:60], "token-truncated"),
        (f'"{TOKEN}"', "token-quoted"),
        (CLIENT, "id-in-its-place"),
    ],
)
def test_a_value_sent_in_place_of_a_token_is_named(harness: Harness, sent: str, cause: str) -> None:
    text = (
        "GET https://www.zohoapis.eu/crm/v8/Leads\n"
        f"Authorization: Zoho-oauthtoken {sent}\n\n"
        'HTTP/1.1 401\n{"code":"INVALID_TOKEN","message":"invalid oauth token"}'
    )
    assert causes(read(harness, text)) == [cause]


@over_rows("placeholder", ["<token>", "$TOKEN", "1000.****", "1000.xxx", "YOUR_TOKEN"])
def test_a_placeholder_for_a_token_is_not_called_invalid(
    harness: Harness, placeholder: str
) -> None:
    text = f'curl -H "Authorization: Zoho-oauthtoken {placeholder}" …\n{{"code":"INVALID_TOKEN"}}'
    assert len(causes(read(harness, text))) > 1


def test_a_lifetime_in_milliseconds_is_explained(harness: Harness) -> None:
    answer = f'{{"access_token":"{TOKEN}","expires_in_sec":3600,"expires_in":3600000}}'
    assert read(harness, answer).explanation.code == "expiry-in-milliseconds"


def test_a_response_without_a_refresh_token_shows_why(harness: Harness) -> None:
    answer = f'{{"access_token":"{TOKEN}","expires_in":3600,"token_type":"Bearer"}}'
    reading = read(harness, answer)
    assert reading.explanation.failure is not None
    assert reading.explanation.failure.code == "no-refresh-token"
    assert {"access-type-online", "consent-not-shown"} <= set(causes(reading))
    assert (
        read(harness, answer[:-1] + f',"refresh_token":"{TOKEN}"}}').explanation.code
        == "answer-good"
    )


@over_rows(
    ("change", "code"),
    [
        ({}, "authorization-url-sound"),
        ({"access_type=offline": "access_type=online"}, "authorization-url-online"),
        ({"&prompt=consent": ""}, "authorization-url-silent"),
        ({"response_type=code": "response_type=token"}, "zoho-page-invalid-response-type"),
        ({"ZohoCRM.modules.READ": "leads"}, "malformed-scope"),
    ],
)
def test_an_authorization_url_shows_its_result(
    harness: Harness, change: dict[str, str], code: str
) -> None:
    address = (
        f"https://accounts.zoho.com/oauth/v2/auth?client_id={CLIENT}&response_type=code"
        "&scope=ZohoCRM.modules.READ&redirect_uri=http%3A%2F%2Flocalhost%3A8733%2Fcallback"
        "&access_type=offline&prompt=consent&state=abc"
    )
    for old, new in change.items():
        address = address.replace(old, new)
    assert read(harness, address).explanation.code == code


def test_an_authorization_url_is_compared_with_its_client(harness: Harness) -> None:
    harness.add_connection("crm")
    address = harness.services.authorization.begin("crm").url
    assert read(harness, address).explanation.code == "authorization-url-sound"
    reading = read(harness, address.replace("%2Fcallback", "%2Fcallback%2F"))
    assert causes(reading) == ["redirect-uri-differs"]
    assert reading.comparison is not None
    assert (reading.comparison.sent_difference, reading.comparison.registered_difference) == (
        "/",
        "",
    )


def test_a_settings_file_is_searched_for_a_stored_token(harness: Harness) -> None:
    grant = harness.add_verified_connection("crm")
    reading = read(harness, f"ZOHO_CLIENT_ID={CLIENT}\nZOHO_REFRESH_TOKEN={grant.refresh_token}\n")
    assert reading.explanation.code == "token-stored"
    assert reading.connection == "crm"
    assert grant.refresh_token not in repr(reading)


def test_a_request_with_headers_shows_the_scope_it_needs(harness: Harness) -> None:
    # Hosts of the real Zoho are paths of the simulator, so the real table is used.
    zoho = load()
    clues = ParsedText.parse("POST /crm/v8/Deals HTTP/1.1\r\nHost: www.zohoapis.eu\r\n\r\n{}")
    assert required_scope(clues, zoho) == "ZohoCRM.modules.deals.CREATE"
    assert find_data_center(clues, zoho) == zoho.data_center("eu")
    clues = ParsedText.parse("curl 'https://desk.zoho.in/api/v1/tickets?limit=1' -H 'orgId: 1'")
    assert required_scope(clues, zoho) == "Desk.tickets.READ"
