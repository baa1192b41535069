"""The account, its organizations, one cheap read: against the simulator's products and formats."""

import datetime as dt
import json
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from support.claims import over_rows
from support.raw_server import RawServer, http_response

from wizard import zoho
from wizard.errors import WizardError, explain
from wizard.model import Account, Failure, HttpExchange, Identifier, Organization
from wizard.oauth import OAuth, TokenResponse, new_code_verifier
from wizard.product_api import (
    ProductApi,
    parse_account,
    parse_organizations,
    parse_response,
    probe_url,
    rejects_token,
)
from wizard.simulator.server import Simulator
from wizard.transport import HttpResponse, Transport

REDIRECT_URI = "http://localhost:8733/callback"
ANNA, CARLA = "anna@zylker.example", "carla@zylker.example"
INVALID_TOKEN = "1000.00000000000000000000000000000000.00000000000000000000000000000000"
NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)

PRODUCTS = over_rows("product", zoho.products())
PRODUCTS_WITH_ONE_ERROR = ("books", "inventory", "campaigns")
"""Products with the same response to an invalid token, a missing scope and a missing permission."""


class ConsentedAccount:
    """A consent in the European data center, and the product API under test."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.zoho = zoho.load(simulator.url)
        self.eu = self.zoho.data_center("eu")
        transport = Transport(self.zoho, simulator.clock)
        self.oauth = OAuth(transport, self.zoho, simulator.clock)
        self.resource = ProductApi(transport, self.zoho)

    def token(
        self, scope: tuple[str, ...], email: str = ANNA, organization_id: str = ""
    ) -> TokenResponse:
        client = self.simulator.controls.register_client(email, [REDIRECT_URI])
        client_id, verifier = str(client["client_id"]), new_code_verifier()
        url = self.oauth.authorization_url(
            self.eu, client_id, REDIRECT_URI, (*scope, zoho.ACCOUNT_SCOPE), "state", verifier
        )
        callback = self.simulator.controls.authorize(url, email, organization_id)
        return self.oauth.exchange_code(
            self.eu.token_endpoint,
            client_id,
            str(client["secrets"]["eu"]),
            parse_qs(urlsplit(callback).query)["code"][0],
            REDIRECT_URI,
            verifier,
            "eu",
        )


@pytest.fixture
def consented_account(zoho_simulator: Simulator) -> ConsentedAccount:
    return ConsentedAccount(zoho_simulator)


def failure_of(request: Callable[[], object]) -> Failure:
    with pytest.raises(WizardError) as caught:
        request()
    return with_description(caught.value.failure)


def with_description(failure: Failure | None) -> Failure:
    assert failure is not None
    finding = explain(failure, name="crm")
    assert finding.code == failure.code != "unknown"
    assert "…" not in finding.title + finding.cause + finding.fix
    return failure


# --- Against the simulator ---


def test_the_account_that_consented_is_returned_with_the_server_time(
    consented_account: ConsentedAccount,
) -> None:
    token = consented_account.token(())
    account, date = consented_account.resource.account(token.access_token, "eu")
    assert account.email == ANNA
    assert account.zuid.isdigit()
    assert account.display_name.startswith("Anna")
    assert date is not None


def test_a_token_of_another_data_center_is_invalid(consented_account: ConsentedAccount) -> None:
    token = consented_account.token(())
    found = failure_of(lambda: consented_account.resource.account(token.access_token, "in"))
    assert found.code == "token-invalid"


@PRODUCTS
def test_each_product_is_read_with_the_scopes_of_its_probes(
    consented_account: ConsentedAccount, product: zoho.Product
) -> None:
    scope = tuple({probe.scope for probe in product.probes})
    token = consented_account.token(scope)
    place = (token.access_token, "eu")
    organizations = consented_account.resource.organizations(product, *place)
    chosen = organizations[0] if organizations else None
    for probe in product.probes:
        reading = consented_account.resource.read(product, *place, chosen, (probe.scope,))
        assert reading.failure is None
        assert reading.ok
        assert reading.path == probe.path
    assert all(each.name and each.id for each in organizations)
    assert bool(organizations) is (product.organizations is not None)


@PRODUCTS
def test_each_product_reports_an_invalid_token(
    consented_account: ConsentedAccount, product: zoho.Product
) -> None:
    for probe in product.probes:
        reading = consented_account.resource.read(
            product, INVALID_TOKEN, "eu", None, (probe.scope,)
        )
        assert not reading.ok
        expected = "not-authorized" if product.id in PRODUCTS_WITH_ONE_ERROR else "token-invalid"
        assert with_description(reading.failure).code == expected


@PRODUCTS
def test_each_product_reports_a_missing_scope(
    consented_account: ConsentedAccount, product: zoho.Product
) -> None:
    token = consented_account.token(())
    probe = product.probes[-1]
    reading = consented_account.resource.read(
        product, token.access_token, "eu", None, (probe.scope,)
    )
    expected = "not-authorized" if product.id in PRODUCTS_WITH_ONE_ERROR else "scope-missing"
    if product.id == "projects":
        expected = "wrong-path"  # Projects doesn't tell the two apart
    assert with_description(reading.failure).code == expected


def test_crm_names_the_organization_and_environment_of_the_consent(
    consented_account: ConsentedAccount,
) -> None:
    crm = zoho.product("crm")
    token = consented_account.token(("ZohoCRM.org.READ",), CARLA, "20091000003")
    (found,) = consented_account.resource.organizations(crm, token.access_token, "eu")
    assert found == Organization("crm", Identifier("20091000003"), "Zylker GmbH", "Sandbox")


def test_a_user_without_permission_is_distinguished_from_a_missing_scope(
    consented_account: ConsentedAccount,
) -> None:
    crm = zoho.product("crm")
    token = consented_account.token(("ZohoCRM.org.READ",))
    consented_account.simulator.controls.remove_api_access(ANNA, "crm")
    found = failure_of(
        lambda: consented_account.resource.organizations(crm, token.access_token, "eu")
    )
    assert (found.code, found.temporary) == ("no-permission", False)


def test_without_a_scope_for_a_cheap_read_nothing_is_requested(
    consented_account: ConsentedAccount,
) -> None:
    crm = zoho.product("crm")
    before = len(consented_account.simulator.controls.journal())
    reading = consented_account.resource.read(
        crm, INVALID_TOKEN, "eu", None, ("ZohoCRM.modules.leads.CREATE",)
    )
    assert with_description(reading.failure).code == "no-cheap-read"
    assert len(consented_account.simulator.controls.journal()) == before


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("html-page", "not-json"),
        ("truncated-json", "not-json"),
        ("connection-closed", "network-reset"),
        ("oversize", "answer-too-large"),
        ("data-center-down", "data-center-down"),
        ("redirect", "unexpected-redirect"),
    ],
)
def test_a_malformed_response_is_named_and_says_nothing_about_the_token(
    consented_account: ConsentedAccount, kind: str, code: str
) -> None:
    token = consented_account.token(())
    consented_account.simulator.controls.inject_fault(kind, endpoint="oauth/user/info")
    found = failure_of(lambda: consented_account.resource.account(token.access_token, "eu"))
    assert found.code == code
    assert found.temporary is (kind != "redirect")
    assert consented_account.resource.account(token.access_token, "eu")[0].email == ANNA


def test_a_read_never_raises_for_network_failures() -> None:
    with RawServer(http_response(302, Location="https://evil.example")) as server:
        table = zoho.load(server.url)
        resource = ProductApi(Transport(table, lambda: NOW), table)
        crm = zoho.product("crm")
        reading = resource.read(crm, INVALID_TOKEN, "eu", None, ("ZohoCRM.org.READ",))
    assert with_description(reading.failure).code == "unexpected-redirect"


@pytest.mark.parametrize(
    ("product_id", "scope", "header", "query"),
    [
        ("desk", "Desk.tickets.READ", "orgId: 77", "?limit=1 "),
        ("books", "ZohoBooks.invoices.READ", "", "organization_id=77"),
    ],
)
def test_a_read_names_the_organization_if_the_product_requires_it(
    product_id: str, scope: str, header: str, query: str
) -> None:
    organization = Organization(product_id, Identifier("77"), "Zylker")
    with RawServer(http_response()) as server:
        table = zoho.load(server.url)
        resource = ProductApi(Transport(table, lambda: NOW), table)
        resource.read(zoho.product(product_id), INVALID_TOKEN, "eu", organization, (scope,))
        request = server.requests[0].decode()
    assert header in request
    assert query in request.partition("\r\n")[0]
    assert INVALID_TOKEN not in request.partition("\r\n")[0]


def test_the_call_to_copy_has_the_right_host_and_the_organization() -> None:
    ca = zoho.load().data_center("ca")
    books, desk = zoho.product("books"), zoho.product("desk")
    organization = Organization("books", Identifier("77"), "Zylker")
    url = probe_url(books, ca, organization, ("ZohoBooks.invoices.READ",))
    assert url == "https://www.zohoapis.ca/books/v3/invoices?per_page=1&organization_id=77"
    url = probe_url(desk, ca, None, ("Desk.basic.READ",))
    assert url == "https://desk.zohocloud.ca/api/v1/organizations"
    assert probe_url(desk, ca, None, ("Desk.tickets.CREATE",)) == ""


# --- Responses ----


def make_response(body: object, status: int = 200) -> HttpResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, {}, raw, HttpExchange("GET", "https://x", {}, status, "", NOW))


@pytest.mark.parametrize("zuid", [600000001, "600000001"])
def test_a_zuid_is_a_number_or_text(zuid: object) -> None:
    body = {"ZUID": zuid, "Email": "ada@example.com", "Display_Name": "Ada Lovelace"}
    assert parse_account(make_response(body)) == Account(
        Identifier("600000001"), "ada@example.com", "Ada Lovelace"
    )


@over_rows(
    "body", [{}, {"ZUID": None}, {"ZUID": ""}, {"ZUID": True}, {"ZUID": "x"}, {"ZUID": 1.5}, []]
)
def test_an_account_without_a_zuid_is_malformed(body: object) -> None:
    assert failure_of(lambda: parse_account(make_response(body))).code == "malformed-answer"


@over_rows(
    ("product_id", "status", "body", "code"),
    [
        ("accounts", 401, {"response": "error", "cause": "INVALID_OAUTHTOKEN"}, "token-invalid"),
        ("accounts", 401, {"response": "error", "cause": "INVALID_OAUTHSCOPE"}, "scope-missing"),
        ("crm", 401, {"code": "AUTHENTICATION_FAILURE"}, "token-invalid"),
        ("crm", 429, {"code": "TOO_MANY_REQUESTS"}, "product-throttled"),
        ("crm", 404, {"code": "INVALID_URL_PATTERN"}, "wrong-path"),
        ("crm", 400, {"code": "REQUIRED_PARAM_MISSING"}, "product-error"),
        ("books", 401, {"code": 14, "message": "x"}, "token-invalid"),
        ("books", 401, {"code": 57, "message": "x"}, "not-authorized"),
        ("books", 400, {"code": 6, "message": "CompanyID is required"}, "wrong-organization"),
        ("inventory", 429, {"code": 1070}, "product-throttled"),
        ("desk", 403, {"errorCode": "OAUTH_ORG_MISMATCH"}, "wrong-organization"),
        ("creator", 401, {"code": 1030, "description": "x"}, "token-invalid"),
        ("people", 200, {"response": {"errors": {"code": 7040}, "status": 1}}, "no-permission"),
        ("people", 200, {"response": {"errors": [{"code": 7040}], "status": 1}}, "no-permission"),
        ("projects", 401, {"error": {"title": "INVALID_OAUTHTOKEN"}}, "token-invalid"),
        ("workdrive", 500, {"errors": [{"id": "F7003", "title": "x"}]}, "token-invalid"),
        ("workdrive", 500, {"errors": [{"id": "F7007", "title": "x"}]}, "scope-missing"),
        ("workdrive", 500, b"<html></html>", "data-center-down"),
        ("mail", 400, {"data": {"errorCode": "INVALID_TICKET"}}, "token-invalid"),
        ("sign", 401, {"code": 9041, "status": "failure"}, "token-invalid"),
        ("analytics", 401, {"status": "failure", "data": {"errorCode": 8540}}, "scope-missing"),
        ("campaigns", 200, {"code": "1007", "status": "error"}, "not-authorized"),
        ("campaigns", 200, {"code": "6304", "status": "error"}, "no-permission"),
        ("cliq", 401, b"\r\n", "token-invalid"),
        ("cliq", 403, b"", "no-permission"),
        ("social", 401, {"error": {"message": "INVALID_OAUTHSCOPE"}}, "scope-missing"),
        ("bookings", 401, b"<html></html>", "token-invalid"),
        ("any", 418, {"n": 1}, "product-error"),
        ("any", 404, b"", "wrong-path"),
        ("any", 200, b"<html></html>", "not-json"),
        ("any", 200, b"", "not-json"),
    ],
)
def test_each_error_format_is_parsed(product_id: str, status: int, body: object, code: str) -> None:
    found = failure_of(lambda: parse_response(product_id, make_response(body, status)))
    assert found.code == code
    assert found.temporary is (code in ("product-throttled", "data-center-down", "not-json"))


def test_numbers_in_a_successful_response_are_no_errors() -> None:
    body = {"code": 0, "data": [{"id": 57, "code": "INVALID_TOKEN"}], "status": "success"}
    assert parse_response("books", make_response(body)) == body


def test_no_content_from_crm_means_an_empty_list() -> None:
    assert parse_response("crm", make_response(b"", 204)) is None
    assert parse_organizations(zoho.product("crm"), make_response(b"", 204)) == ()


@over_rows("body", [{}, {"org": None}, {"org": {"id": 1}}, 7, {"data": []}])
def test_a_listing_without_its_rows_is_malformed(body: object) -> None:
    crm = zoho.product("crm")
    assert (
        failure_of(lambda: parse_organizations(crm, make_response(body))).code == "malformed-answer"
    )


def test_the_rows_of_a_listing_may_be_a_bare_array() -> None:
    (found,) = parse_organizations(
        zoho.product("projects"), make_response([{"id": 1, "org_name": "Z"}])
    )
    assert found == Organization("projects", Identifier("1"), "Z")


@over_rows(
    ("kind", "environment"),
    [("production", "Production"), ("Sandbox", "Sandbox"), ("enterprise", ""), (None, "")],
)
def test_an_environment_is_named_only_where_zoho_names_one(kind: object, environment: str) -> None:
    body = {"org": [{"id": "1", "company_name": "Z", "type": kind}, "odd", {"name": "no id"}]}
    (found,) = parse_organizations(zoho.product("crm"), make_response(body))
    assert found.environment == environment


@over_rows(
    ("product", "body", "status", "rejects"),
    [
        ("crm", {"code": "INVALID_TOKEN", "message": "invalid oauth token"}, 401, True),
        ("accounts", {"cause": "INVALID_OAUTHTOKEN", "response": "error"}, 401, True),
        ("books", {"code": 14, "message": "Invalid value"}, 401, True),
        ("crm", {"code": 14}, 401, False),
        ("books", {"code": 57, "message": "You are not authorized"}, 401, False),
        ("crm", {"code": "OAUTH_SCOPE_MISMATCH"}, 401, False),
        ("crm", {"message": "Sign in to use this network"}, 401, False),
        ("crm", {}, 401, False),
    ],
)
def test_only_an_error_code_of_zoho_rejects_an_access_token(
    product: str, body: object, status: int, rejects: bool
) -> None:
    failure = failure_of(lambda: parse_response(product, make_response(body, status)))
    assert rejects_token(failure) is rejects
    assert not rejects_token(None)
