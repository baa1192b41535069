"""Errors of products: known words, unknown words in known forms, and products without OAuth."""

import tomllib
from importlib import resources

from support.claims import over_rows
from support.harness import Harness

from wizard.diagnosis.pasted_text import DiagnosisResult
from wizard.model import FailureKind
from wizard.zoho import error_codes, other_products

SOURCES = {"documented", "captured", "assumed"}
URLS = {
    "common": "https://www.zohoapis.eu/crm/v8/Leads",
    "books": "https://www.zohoapis.eu/books/v3/invoices",
    "inventory": "https://www.zohoapis.eu/inventory/v1/items",
    "invoice": "https://invoice.zoho.com/api/v3/contacts",
    "expense": "https://www.zohoapis.in/expense/v1/expensereports",
    "billing": "https://www.zohoapis.com/billing/v1/plans",
    "creator": "https://www.zohoapis.eu/creator/v2.1/meta/applications",
    "people": "https://people.zoho.eu/people/api/forms",
    "projects": "https://projectsapi.zoho.in/restapi/portals/",
    "workdrive": "https://www.zohoapis.eu/workdrive/api/v1/users/me",
    "sign": "https://sign.zoho.eu/api/v1/requests",
    "analytics": "https://analyticsapi.zoho.eu/restapi/v2/orgs",
    "campaigns": "https://campaigns.zoho.eu/api/v1.1/getmailinglists",
    "zeptomail": "https://api.zeptomail.in/v1.1/email",
}


def read(harness: Harness, text: str) -> DiagnosisResult:
    return harness.services.reader.explain_text(text)


def observed(result: DiagnosisResult) -> str:
    assert result.explanation.failure is not None
    return result.explanation.failure.code


def test_every_word_of_the_table_has_a_source() -> None:
    text = resources.files("wizard.zoho").joinpath("error_codes.toml").read_text("utf-8")
    tables = tomllib.loads(text)
    tables.pop("aliases")
    assert {source for row in tables.values() for _, source in row.values()} == SOURCES


@over_rows("row", [(p, w, c) for p, row in error_codes().items() for w, c in row.items()])
def test_every_word_of_the_table_is_explained_in_a_response_of_its_product(
    harness: Harness, row: tuple[str, str, str]
) -> None:
    product, word, code = row
    body = f'{{"code":"{word}","message":"Something in other words"}}'
    found = read(harness, f"GET {URLS[product]}\nHTTP/1.1 400\n{body}")
    assert (observed(found), found.is_explained) == (code, True)


CRM = '{"code":"NEW_WORD","details":{},"message":"MESSAGE","status":"error"}'
ANALYTICS = '{"status":"failure","summary":"NEW","data":{"errorCode":7,"errorMessage":"MESSAGE"}}'
MAIL = '{"data":{"moreInfo":"MESSAGE"},"status":{"code":400,"description":"Invalid Input"}}'
PROJECTS = '{"error":{"status_code":"400","title":"NEW_WORD","details":[{"message":"MESSAGE"}]}}'
ZEPTOMAIL = (
    '{"error":{"code":"TM_9999","details":[{"code":"SM_999","message":"MESSAGE","target":"x"}],'
    '"message":"Bad Request","request_id":"1"}}'
)
BOOKS = 'GET https://www.zohoapis.eu/books/v3/bills {"code":104001,"message":"MESSAGE"}'
DESK = 'GET https://desk.zoho.eu/api/v1/x {"errorCode":"NEW_WORD","message":"MESSAGE"}'
CLIQ = 'GET https://cliq.zoho.eu/api/v2/x {"code":"new_word","message":"MESSAGE"}'
OTHER_API = '{"code":"NEW_WORD","message":"MESSAGE"}'
OF_A_PROGRAM = "GET https://desk.zoho.eu/api/v1/tickets code: ECONNABORTED, message: MESSAGE"


@over_rows(
    ("body", "message", "code"),
    [
        # A message says what it is about, whatever the word.
        (CRM, "the scope is too small", "scope-missing"),
        (CRM, "oauth token expired", "token-invalid"),
        (ANALYTICS, "Workspace name already exists.", "product-data-refused"),
        (ANALYTICS, "The daily limit of this plan is exhausted", "daily-credits-used-up"),
        (MAIL, "Folder id is not valid", "product-data-refused"),
        (PROJECTS, "This feature needs a higher edition", "edition-without-api"),
        (BOOKS, "Enter a valid parameter", "product-data-refused"),
        (DESK, "orgId must be passed", "wrong-organization"),
        (CLIQ, "No such endpoint", "wrong-path"),
        (ZEPTOMAIL, "Subject is too long", "product-data-refused"),
        # Else the status does.
        (f"HTTP/1.1 403\n{CRM}", "sorry about that", "call-forbidden"),
        (f"HTTP/1.1 429\n{CRM}", "slow down please", "product-throttled"),
        (CRM, "sorry about that", "product-error"),
        # Not a product of Zoho, or not the product's word.
        (OTHER_API, "the scope is too small", "not-understood"),
        (OF_A_PROGRAM, "it failed", "not-understood"),
    ],
)
def test_an_unknown_word_in_a_known_form_is_read_by_its_message_then_by_its_status(
    harness: Harness, body: str, message: str, code: str
) -> None:
    assert observed(read(harness, body.replace("MESSAGE", message))) == code


def test_an_unknown_word_gives_no_verdict_about_the_token(harness: Harness) -> None:
    found = read(harness, CRM).explanation
    assert found.kind is FailureKind.UNKNOWN
    assert found.failure is not None
    assert found.failure.zoho_error == "NEW_WORD"
    assert not found.causes


@over_rows(
    ("text", "title"),
    [
        ("GET https://fsm.zoho.eu/fsm/v1/Requests 401", "Zoho FSM"),
        ("GET https://www.zohoapis.com.au/fsm/v1/Requests 401", "Zoho FSM"),
        ("GET https://www.zohoapis.in/bookings/v1/json/services 401", "Zoho Bookings"),
        ("POST https://meeting.zoho.com.cn/api/v2/1/sessions.json 401", "Zoho Meeting"),
        ("GET https://subscriptions.zoho.in/api/v1/plans 401", "Zoho Billing"),
        ("GET https://salesiq.zoho.eu/api/v2/acme/visitors 401", "Zoho SalesIQ"),
        ("GET https://sdpondemand.manageengine.eu/api/v3/requests 401", "ServiceDesk Plus"),
        ("GET https://calendar.zohocloud.ca/api/v1/calendars 401", "Zoho Calendar"),
        ("POST https://crm-20099.zohomcp.in/mcp/abc/message 401", "Zoho MCP"),
        ("HTTP 401 granted: ZohoVault.secrets.READ", "Zoho Vault"),
        ("Zoho Backstage says 401 Unauthorized", "Zoho Backstage"),
    ],
)
def test_a_product_that_the_wizard_does_not_verify_is_named(
    harness: Harness, text: str, title: str
) -> None:
    assert any(title in each for each in read(harness, text).understood)


def test_every_other_product_is_known_by_each_of_its_hosts() -> None:
    for product in other_products():
        for host in product.hosts:
            urls = (f"https://{host}.zoho.eu/api", f"https://{host}.com/api")
            owners = {e.id for url in urls for e in other_products() if e.has_url(url)}
            assert owners == {product.id}
    assert not any(e.has_url("https://accounts.zoho.eu/oauth/v2/token") for e in other_products())


@over_rows(
    ("text", "is_said"),
    [
        ("POST https://api.zeptomail.eu/v1.1/email\nAuthorization: Zoho-oauthtoken 1.x", True),
        ("smtplib.SMTPAuthenticationError: (535, b'Authentication Failed') smtp.zoho.eu", True),
        ("POST https://flow.zoho.in/1/flow/webhook/incoming HTTP/1.1 401", True),
        ("POST https://api.zeptomail.eu/v1.1/email HTTP/1.1 500", False),
        ("GET https://mail.zoho.eu/api/accounts HTTP/1.1 401", False),
        ("POST https://crm-1.zohomcp.in/mcp/abc/message HTTP/1.1 401", False),
    ],
)
def test_a_product_without_oauth_is_said_so_if_its_authorization_failed(
    harness: Harness, text: str, is_said: bool
) -> None:
    found = read(harness, text).explanation
    assert (found.code == "product-without-oauth") is is_said
