"""What programs print when Zoho rejects a request: status and URL count, no word of theirs."""

import re

from support.claims import over_rows
from support.harness import Harness

from wizard.diagnosis.pasted_text import DiagnosisResult
from wizard.diagnosis.pasted_text.http_messages import programs
from wizard.diagnosis.pasted_text.parsed_text import ParsedText
from wizard.diagnosis.pasted_text.sent_requests import nearest_host
from wizard.model import Confidence
from wizard.zoho import load

TOKEN = "1000." + "a1b2c3d4" * 4 + "." + "0f1e2d3c" * 4
LEADS = "https://www.zohoapis.eu/crm/v8/Leads"
TOKEN_URL = "https://accounts.zoho.eu/oauth/v2/token"
QUERY = f"{TOKEN_URL}?refresh_token={TOKEN}&grant_type=refresh_token&client_id=x&client_secret=y"


def read(harness: Harness, text: str) -> DiagnosisResult:
    return harness.services.reader.explain_text(text)


def codes(reading: DiagnosisResult) -> list[str]:
    return [reading.explanation.code, *(each.code for each in reading.explanation.causes)]


MESSAGES = {
    # program: message of a failed call of LEADS, with its status; some name neither URL nor method
    "Python requests": f"HTTPError: 403 Client Error:  for url: {LEADS}",
    "httpx": f"httpx.HTTPStatusError: Client error '401 Unauthorized' for url '{LEADS}'\nFor more…",
    "Python urllib3": (
        'urllib3.connectionpool:https://www.zohoapis.eu:443 "GET /crm/v8/Leads HTTP/1.1" 401 9'
    ),
    "aiohttp": f"ClientResponseError: 401, message='Unauthorized', url=URL('{LEADS}')",
    "Python urllib": "urllib.error.HTTPError: HTTP Error 401: Unauthorized",
    "Airbyte": f"'GET' request to '{LEADS}' failed with status code '401' and error message: ''",
    ".NET": "Response status code does not indicate success: 401 (Unauthorized).",
    ".NET Framework": "WebException: The remote server returned an error: (401) Unauthorized.",
    "Java": f"java.io.IOException: Server returned HTTP response code: 401 for URL: {LEADS}",
    "Spring": (
        f"WebClientResponseException$Unauthorized: 401 Unauthorized from GET {LEADS}\n"
        'HttpClientErrorException$Unauthorized: 401 UNAUTHORIZED on GET request for "' + LEADS + '"'
    ),
    "Feign": f"feign.FeignException: [401 Unauthorized] during [GET] to [{LEADS}] [Crm#leads()]",
    "OkHttp": (
        f"Response{{protocol=h2, code=401, message=, url={LEADS}}}\n<-- 401 {LEADS} (98ms)\n"
        "retrofit2.HttpException: HTTP 401"
    ),
    "MuleSoft": f"HTTP GET on resource '{LEADS}' failed: unauthorized (401).",
    "curl": "curl: (22) The requested URL returned error: 401",
    "wget": "2026-11-29 10:00:00 ERROR 401: Unauthorized.",
    "Guzzle": f"Client error: `GET {LEADS}` resulted in a `401 Unauthorized` response:",
    "Symfony HttpClient": f'HTTP/2 401  returned for "{LEADS}".',
    "Laravel": "Illuminate\\Http\\Client\\RequestException: HTTP request returned status code 401:",
    "PHP": (
        f"file_get_contents({LEADS}): Failed to open stream: HTTP request failed! "
        "HTTP/1.1 401 Unauthorized"
    ),
    "axios": f"AxiosError: Request failed with status code 401\n config: {{ url: '{LEADS}', }}",
    "ky": f"HTTPError: Request failed with status code 401 Unauthorized: GET {LEADS}",
    "got": "HTTPError: Response code 401 (Unauthorized)",
    "request-promise": "StatusCodeError: 401 - undefined",
    "ofetch": f'FetchError: [GET] "{LEADS}": 401 Unauthorized',
    "openid-client": "OPError: expected 200 OK, got: 401 Unauthorized",
    "browser": (
        "Failed to load resource: the server responded with a status of 401 ()\n"
        f"Http failure response for {LEADS}: 401 OK"
    ),
    "Go": (
        "oauth2: cannot fetch token: 401 Unauthorized\nResponse: \n"
        f"GET {LEADS} giving up after 5 attempt(s)"
    ),
    "rclone": 'HTTP error 401 (401 Unauthorized) returned body: ""',
    "reqwest": f"HTTP status client error (401 Unauthorized) for url ({LEADS})",
    "Ruby": (
        f"the server responded with status 401 for GET {LEADS}\nRestClient::Unauthorized: 401 "
        'Unauthorized\nNet::HTTPClientException: 401 "Unauthorized"'
    ),
    "Dart": (
        "DioException: because the response has a status code of 401 and validateStatus\n"
        "DioError [DioErrorType.response]: Http status error [401]"
    ),
    "Alamofire": "Response status code was unacceptable: 401.",
    "Apps Script": "Exception: Request failed for https://www.zohoapis.eu returned code 401.",
    "Power Query": (
        f"DataSource.Error: Web.Contents failed to get contents from '{LEADS}' (401): Denied\n"
        "Expression.Error: The credentials provided for the Web source are invalid. (401)"
    ),
    "n8n": (
        '"httpCode": "401"\nAuthorization failed - please check your credentials\n'
        "Forbidden - perhaps check your credentials?\nBad request - please check your parameters\n"
        "The service is receiving too many requests from you\n"
        "The service was not able to process your request"
    ),
    "Make": (
        "Failed to verify connection. Status Code Error: 401\nRuntimeError: [401] Unauthorized\n"
        "ConnectionError: [401] Unauthorized"
    ),
    "Zapier": f"ErrorException: Got 401 calling GET {LEADS}, expected 2xx.",
    "PocketBase": f"failed to fetch OAuth2 user profile via {LEADS} (401):",
    "Postman": f"GET {LEADS} 401 118 ms",
}


@over_rows(("program", "message"), MESSAGES.items())
def test_the_message_of_a_program_is_not_a_word_of_zoho(
    harness: Harness, program: str, message: str
) -> None:
    reading = read(harness, message)
    assert reading.explanation.code not in ("not-understood", "unknown-oauth-error"), program
    said = reading.explanation.title + reading.explanation.cause
    assert not re.search(r"[“`](?:Unauthorized|Uncaught|for|Request|Web)[”`]", said)


@over_rows(("program", "message"), MESSAGES.items())
def test_the_message_of_a_program_shows_status_url_and_method(program: str, message: str) -> None:
    for line in message.split("\n"):
        parsed = ParsedText.parse(line)
        if re.search(r"\d{3}", line.replace(LEADS, "")):
            assert {*parsed.statuses} & {401, 403}, line
        if LEADS in line and "config" not in line:
            assert parsed.requests[-1][1] == LEADS, line
            if "GET" in line:
                assert parsed.requests[-1][0] == "GET", line


def test_every_form_of_the_table_is_in_a_message() -> None:
    text = "\n".join(MESSAGES.values())
    unused = [form for each in programs() for form in each.forms if not [*form.find(text)]]
    assert unused == []


@over_rows(
    "message",
    [
        "DataSource.Error: Web.Contents failed",
        "PHP Fatal error: Uncaught Exception",
        "Error: Unexpected end of input",
        "ERROR error: could not sync contacts",
        '{"timestamp":"2026","status":401,"error":"Unauthorized","path":"/sync"}',
    ],
)
def test_a_word_after_error_is_no_word_of_zoho_outside_a_response(
    harness: Harness, message: str
) -> None:
    assert read(harness, message).explanation.code != "unknown-oauth-error"


@over_rows(
    "message",
    [
        '{"error":"strange_word"}',
        "{'error': 'strange_word'}",
        "http://localhost:8733/callback?state=a&error=strange_word",
        "{ error: 'strange_word' }",
        'WWW-Authenticate: Bearer error="strange_word"',
    ],
)
def test_an_unknown_word_in_a_response_is_shown_as_zohos(harness: Harness, message: str) -> None:
    explanation = read(harness, message).explanation
    assert explanation.code == "unknown-oauth-error"
    assert explanation.failure is not None
    assert explanation.failure.zoho_error == "strange_word"


# --- a status without its body --------------------------------------------------------------------


def test_the_token_endpoints_400_is_first_the_rate_limit_until_its_body_is_known(
    harness: Harness,
) -> None:
    reading = read(harness, f"HTTPError: 400 Client Error: Bad Request for url: {QUERY}")
    assert codes(reading)[:2] == ["token-request-unexplained", "throttled-by-others"]
    assert "token-request-by-get" not in codes(reading)
    assert "print(response" in reading.explanation.fix
    assert TOKEN not in repr(reading)


def test_an_unauthorized_call_is_a_token_or_a_scope(harness: Harness) -> None:
    reading = read(harness, MESSAGES["httpx"])
    assert {"access-token-expired", "scope-not-granted"} <= {*codes(reading)}
    assert "ZohoCRM.modules.leads.READ" in reading.explanation.cause
    assert {each.confidence for each in reading.explanation.causes} == {Confidence.POSSIBLE}
    assert "error.response.text" in reading.explanation.fix


def test_scopes_in_the_text_are_compared_with_the_call(harness: Harness) -> None:
    call = f"GET {LEADS}\nHTTP/1.1 401\nscope: "
    lacking = read(harness, call + "ZohoCRM.users.READ ZohoCRM.org.READ").explanation
    assert (lacking.causes[0].code, lacking.causes[0].confidence) == (
        "scope-not-granted",
        Confidence.LIKELY,
    )
    enough = read(harness, call + "ZohoCRM.modules.ALL").explanation
    assert enough.causes[0].code != "scope-not-granted"


def test_a_token_response_shows_where_the_token_works(harness: Harness) -> None:
    issued = (
        f'{{"access_token":"{TOKEN}","api_domain":"https://www.zohoapis.in","expires_in":3600}}'
    )
    asked = read(harness, f"{issued}\nGET {LEADS}\nHTTP/1.1 401").explanation
    assert asked.causes[0].code == "access-token-of-other-data-center"
    same = read(harness, f"{issued}\nGET {LEADS.replace('.eu', '.in')}\nHTTP/1.1 401").explanation
    assert "access-token-of-other-data-center" not in [each.code for each in same.causes]


@over_rows(
    "header",
    [
        "Authorization: Zoho-oauthtoken undefined",
        "authorization: 'Bearer null'",
        "headers={'Authorization': 'Zoho-oauthtoken None'}",
        "Authorization: Zoho-oauthtoken [object Object]",
        "Content-Type: application/json",
    ],
)
def test_a_call_without_a_token_is_recognized(harness: Harness, header: str) -> None:
    assert "token-not-sent" in codes(read(harness, f"GET {LEADS}\n{header}\n\nHTTP/1.1 401"))[:2]


@over_rows("header", ["Authorization: Zoho-oauthtoken <token>", "Authorization: Bearer ****"])
def test_a_redacted_token_is_not_called_missing(harness: Harness, header: str) -> None:
    causes = read(harness, f"GET {LEADS}\n{header}\n\nHTTP/1.1 401").explanation.causes
    assert len(causes) > 1


# --- a missing field ------------------------------------------------------------------------------

MISSING = {
    "KeyError: 'access_token'": "error-answer-ignored",
    'KeyError: "expires_in"': "error-answer-ignored",
    "Notice: Undefined index: expires_in in /app/Zoho.php on line 31": "error-answer-ignored",
    'Warning: Undefined array key "access_token" in /app/x.php': "error-answer-ignored",
    "Undefined property: stdClass::$access_token": "error-answer-ignored",
    "TypeError: Cannot read properties of undefined (reading 'access_token')": (
        "error-answer-ignored"
    ),
    "Cannot read property 'access_token' of undefined": "error-answer-ignored",
    "Cannot destructure property 'access_token' of '(intermediate value)'": "error-answer-ignored",
    "undefined is not an object (evaluating 'body.access_token')": "error-answer-ignored",
    "oauth2: server response missing access_token": "error-answer-ignored",
    "MissingTokenError: (missing_token) Missing access token parameter.": "error-answer-ignored",
    "Failed to parse server response: missing field `access_token` at line 1": (
        "error-answer-ignored"
    ),
    'Missing JSON object member with key "access_token"': "error-answer-ignored",
    'Required option not passed: "access_token"': "error-answer-ignored",
    'KeyError: key not found: "access_token"': "error-answer-ignored",
    "org.json.JSONException: No value for access_token": "error-answer-ignored",
    'JSONObject["access_token"] not found.': "error-answer-ignored",
    "The given key 'access_token' was not present in the dictionary.": "error-answer-ignored",
    "Expression.Error: The field 'access_token' of the record wasn't found.": (
        "error-answer-ignored"
    ),
    "tokens: { has_access_token: false, expires_in: undefined }": "error-answer-ignored",
    "data.access_token is undefined": "error-answer-ignored",
    "access_token\n  Field required [type=missing]": "error-answer-ignored",
    "Field 'access_token' is required for type with serial name": "error-answer-ignored",
    'keyNotFound(CodingKeys(stringValue: "access_token", intValue: nil))': "error-answer-ignored",
    "Zoho did not return access_token in the response": "error-answer-ignored",
    "No access token in response": "error-answer-ignored",
    "time() + data[\"expires_in\"]\n  ~~~^~~\nTypeError: unsupported operand for +: 'NoneType'": (
        "error-answer-ignored"
    ),
    "TypeError: 'NoneType' in time.time() + data.get('expires_in')": "error-answer-ignored",
    "KeyError: 'Email'": "account-unreadable",
    "Undefined index: Email": "account-unreadable",
    "KeyError: 'refresh_token'": "no-refresh-token",
    "grant_type=refresh_token\nKeyError: 'refresh_token'": "answer-of-a-refresh",
}


@over_rows(("text", "code"), MISSING.items())
def test_a_missing_field_is_an_error_that_the_program_ignored(
    harness: Harness, text: str, code: str
) -> None:
    assert read(harness, text).explanation.code == code


def test_an_ignored_error_is_shown_by_a_command_of_the_program(harness: Harness) -> None:
    found = read(
        harness, "Traceback (most recent call last):\nKeyError: 'access_token'"
    ).explanation
    assert "print(response.text)" in found.fix
    assert "invalid_client" in found.cause
    assert "`access_token`" in found.cause


def test_zohos_word_beside_a_missing_field_decides(harness: Harness) -> None:
    text = "{'error': 'invalid_client'}\nKeyError: 'access_token'"
    assert read(harness, text).explanation.code == "invalid-client"


# --- an SDK's own words, tokens of another format, hosts that don't exist -------------------------


@over_rows(
    ("text", "code"),
    [
        ("No Tokens exist for the given user-identifier. Please generate", "sdk-error"),
        ("Exception while retrieving tokens from persistence - x", "sdk-error"),
        ("ZohoOAuthException: Can not read tokens file, please check permissions", "sdk-error"),
        ("Exception in get_token - FileStore", "sdk-error"),
        (
            "Type of zcrmsdk\\oauth\\exception\\ZohoOAuthException::$file must be string",
            "sdk-outdated",
        ),
        ("Exception of type 'ZCRMSDK.OAuth.Common.ZohoOAuthException' was thrown.", "sdk-outdated"),
        ("jwt.exceptions.DecodeError: Invalid header padding", "jwt-expected"),
        ("IDX12741: JWT must have three segments (JWS)", "jwt-expected"),
        ("JsonWebTokenError: jwt malformed", "jwt-expected"),
        (
            "invalid_header_parameter_name: Invalid Header Parameter Name: key_id",
            "id-token-refused",
        ),
    ],
)
def test_words_of_a_library_are_called_its_own(harness: Harness, text: str, code: str) -> None:
    reading = read(harness, text)
    assert reading.explanation.code == code
    assert not {"password-changed", "no-refresh-token"} & {*codes(reading)}


@over_rows(
    ("host", "nearest"),
    [
        ("accounts.zoho.au", "accounts.zoho.com.au"),
        ("accounts.zoho.ca", "accounts.zohocloud.ca"),
        ("accounts.zoho.cn", "accounts.zoho.com.cn"),
        ("accounts.zoho.co.uk", "accounts.zoho.uk"),
        ("accounts.zoho.eu.com", "accounts.zoho.eu"),
        ("www.zohoapis.au", "www.zohoapis.com.au"),
        ("account.zoho.eu", "accounts.zoho.eu"),
        ("crm.zohoapis.com", "www.zohoapis.com"),
        ("accounts.zoho.eu", ""),
        ("accounts.zoho.example", ""),
    ],
)
def test_the_host_that_was_probably_meant_is_named(host: str, nearest: str) -> None:
    assert nearest_host(host, load()) == nearest


@over_rows(
    "message",
    [
        "curl: (6) Could not resolve host: accounts.zoho.au",
        "Error: getaddrinfo ENOTFOUND accounts.zoho.au",
        "No such host is known. (accounts.zoho.au:443)",
        "java.net.UnknownHostException: accounts.zoho.au",
        "dial tcp: lookup accounts.zoho.au on 10.0.0.2:53: no such host",
        "POST https://accounts.zoho.au/oauth/v2/token",
    ],
)
def test_a_host_that_does_not_exist_is_not_an_offline_computer(
    harness: Harness, message: str
) -> None:
    found = read(harness, message).explanation
    assert found.code == "host-does-not-exist"
    assert "accounts.zoho.com.au" in found.cause


def test_the_same_lookup_of_a_host_that_exists_may_be_an_offline_computer(harness: Harness) -> None:
    message = "curl: (6) Could not resolve host: accounts.zoho.eu"
    assert read(harness, message).explanation.code == "network-dns"


# --- sentences that need a sign -------------------------------------------------------------------

CONTRADICTIONS = {
    "token-request-by-get": f"HTTPError: 400 Client Error: Bad Request for url: {QUERY}",
    "not-json": "<html><head><title>Zoho Accounts</title></head></html>\nHTTP 503",
    "captive-portal": '<html><link href="https://static.zohocdn.com/x.css"><body>400</body></html>',
    "network-dns": "getaddrinfo ENOTFOUND accounts.zoho.ca",
    "no-refresh-token": (
        f'grant_type=client_credentials\n{{"access_token":"{TOKEN}","expires_in":3600}}'
    ),
    "answer-good": (
        f'{{"access_token":"{TOKEN}","refresh_token":"{TOKEN}","expires_in":3600}}\n'
        f"GET {LEADS}\nHTTP/1.1 401"
    ),
    "answer-of-a-refresh": (
        f'grant_type=refresh_token {{"access_token":"{TOKEN}","expires_in":3600}}\nGET {LEADS} 401'
    ),
    "token-request-refused": (
        f'POST {TOKEN_URL} 200\n{{"access_token":"{TOKEN}","refresh_token":"a","expires_in":9}}'
    ),
    "token-alone": f"Authorization: Zoho-oauthtoken {TOKEN}\nRequest failed with status code 404",
    "callback-pasted": (
        f"http://localhost:8733/callback?code={TOKEN}&location=eu\n"
        f"HTTPError: 400 Client Error:  for url: {TOKEN_URL}"
    ),
    "authorization-url-sound": "https://accounts.zoho.ca/oauth/v2/auth?client_id=1000."
    + "A1B2C3D4E5" * 3
    + "&response_type=code&scope=ZohoCRM.org.READ&access_type=offline&prompt=consent",
    "zoho-address": f"GET {LEADS} 403",
    "zoho-page-invalid-scope": f'GET {LEADS}\n403 {{"code":6403,"message":"Invalid OAuth scope"}}',
    "not-understood": "KeyError: 'access_token'",
    "clock-wrong": "RangeError: Invalid time value { expires_in: undefined }",
    "token-invalid": "HTTPStatusError: 401 UNAUTHORIZED",
    "expiry-in-milliseconds": f'{{"access_token":"{TOKEN}","expires_in":3600}}',
}


@over_rows(("code", "text"), CONTRADICTIONS.items())
def test_a_firm_sentence_is_not_said_of_a_text_that_contradicts_it(
    harness: Harness, code: str, text: str
) -> None:
    assert code not in codes(read(harness, text))


@over_rows("path", ["portal/1/modules/loans/records", "portal/1/projects"])
def test_a_wrong_url_that_may_be_a_missing_scope_does_not_clear_the_token(
    harness: Harness, path: str
) -> None:
    text = (
        f"GET https://projects.zoho.eu/api/v3/{path}\nHTTP/1.1 400\n"
        '{"error":{"status_code":"400","title":"URL_RULE_NOT_CONFIGURED"}}'
    )
    reading = read(harness, text)
    assert "scope-not-granted" in codes(reading)[:3]
    assert "re-authorize" not in repr(reading.explanation)


# --- what is said of a text that isn't understood -----------------------------------------------


def test_a_text_without_an_error_still_says_what_was_understood(harness: Harness) -> None:
    text = (
        "POST /crm/v8/Leads HTTP/1.1\nHost: www.zohoapis.eu\n"
        "scope: ZohoCRM.modules.ALL\nsomething went wrong in wp-content/plugins/x"
    )
    reading = read(harness, text)
    assert not reading.is_explained
    said = " ".join(reading.understood)
    assert all(each in said for each in ("POST", "Europe", "ZohoCRM.modules.ALL", "WordPress"))
    assert "wp_remote_retrieve_body" in reading.explanation.fix


@over_rows(
    ("page", "code"),
    [
        ("ID de cliente inválido. El ID transmitido no existe", "zoho-page-invalid-client"),
        ("無効な Redirect URI です", "zoho-page-invalid-redirect-uri"),
        ("Недопустимая область OAuth", "zoho-page-invalid-scope"),
    ],
)
def test_a_page_is_recognized_by_terms_that_every_language_has(
    harness: Harness, page: str, code: str
) -> None:
    url = "https://accounts.zoho.eu/oauth/v2/auth?client_id=1000.A1B2&response_type=code"
    assert read(harness, f"{url}\n{page}").explanation.code == code


@over_rows(
    ("text", "code"),
    [
        ("Failed to refresh access token", "token-request-failed"),
        ("Error: unable to get a new Zoho access token", "token-request-failed"),
        ("token exchange failed (HTTP 401)", "token-request-failed"),
        ("could not retrieve the token: 400 Bad Request", "token-request-unexplained"),
        ("sync failed: 401 - Unauthorized", "call-unauthorized"),
        ("POST https://accounts.zoho.eu/oauth/v2/token 429 Too Many Requests", "throttled"),
        ("GET https://www.zohoapis.eu/crm/v8/org 429 Too Many Requests", "product-throttled"),
        ("Response code: 503", "server-failed"),
        ("GET https://www.zohoapis.eu/crm/v8/org 503", "data-center-down"),
    ],
)
def test_a_bare_status_is_judged_by_the_request_it_belongs_to(
    harness: Harness, text: str, code: str
) -> None:
    assert read(harness, text).explanation.code == code
