"""The calls that verify an access token: the account, its organizations, and one cheap read.

Zoho's products report errors in about ten formats. The table `zoho/error_codes.toml` maps their
words to failure codes. The HTTP status decides only if no word is known: for an invalid token it is
401 in most products, 500 in WorkDrive and 200 in Campaigns.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from wizard.errors import WizardError
from wizard.model import Account, Failure, FailureKind, HttpExchange, Identifier, Organization
from wizard.model.failure import kind_of
from wizard.transport import HttpResponse, Transport, ZohoAuth, believable_date, sanitize_line
from wizard.zoho import (
    ENVIRONMENTS,
    DataCenter,
    OrganizationListing,
    Probe,
    Product,
    Zoho,
    error_codes,
)


@dataclass(frozen=True)
class ReadResult:
    """The result of one cheap read."""

    ok: bool
    path: str
    """What was read; empty if the scope allows no cheap read."""
    failure: Failure | None = None
    exchange: HttpExchange | None = None


class ProductApi:
    """Requests the account from the accounts server, and data from the products."""

    def __init__(
        self, transport: Transport, zoho: Zoho, known_secrets: tuple[str, ...] = ()
    ) -> None:
        self._transport = transport
        self._zoho = zoho
        self._known_secrets = known_secrets

    def masking(self, secrets: tuple[str, ...]) -> "ProductApi":
        """The same, with `secrets` of the connection masked in responses: a server may repeat
        them."""
        return ProductApi(self._transport, self._zoho, secrets)

    def account(self, access_token: str, location: str) -> tuple[Account, datetime | None]:
        """The account that consented, and the accounts server's time.

        Needs ``AaaServer.profile.READ``. Raises ``token-invalid``, ``scope-missing`` and the
        transport's failures.
        """
        url = self._zoho.data_center(location).user_info_endpoint
        auth = ZohoAuth(access_token)
        answer = self._transport.get(url, auth, known_secrets=self._known_secrets)
        return parse_account(answer), believable_date(answer, answer.exchange.at)

    def organizations(
        self, product: Product, access_token: str, location: str
    ) -> tuple[Organization, ...]:
        """The organizations of the token in ``product``; none if the product doesn't list them."""
        if product.organizations is None:
            return ()
        base = self._zoho.data_center(location).base_url_of(product.host)
        answer = self._get(product, base + product.organizations.path, access_token)
        return parse_organizations(product, answer)

    def read(
        self,
        product: Product,
        access_token: str,
        location: str,
        organization: Organization | None,
        scope: tuple[str, ...],
    ) -> ReadResult:
        """One cheap read that the granted ``scope`` allows. Failures are in the result; if there is
        no such read, that is ``no-cheap-read``, and nothing is sent.
        """
        probe = product.probe_for(scope)
        if probe is None:
            details = {"product": product.title}
            return ReadResult(False, "", Failure("no-cheap-read", sent=False, details=details))
        params, headers = _probe_request(probe, organization)
        base = self._zoho.data_center(location).base_url_of(product.host)
        try:
            answer = self._get(product, base + probe.path, access_token, params, headers)
            parse_response(product.id, answer)
        except WizardError as error:
            return ReadResult(False, probe.path, error.failure, error.failure.exchange)
        return ReadResult(True, probe.path, None, answer.exchange)

    def _get(
        self,
        product: Product,
        url: str,
        access_token: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        accept = {"Accept": product.accept, **(headers or {})}
        auth = ZohoAuth(access_token)
        return self._transport.get(url, auth, params, accept, self._known_secrets)


def rejects_token(failure: Failure | None) -> bool:
    """Whether Zoho rejected the access token with a known error word. A 401 without one may come
    from anything on the network and proves nothing."""
    if failure is None or failure.code != "token-invalid":
        return False
    words = _known_words(failure.details.get("product", ""))
    return words.get(failure.zoho_error) == "token-invalid"


def probe_url(
    product: Product,
    data_center: DataCenter,
    organization: Organization | None,
    scope: tuple[str, ...],
) -> str:
    """The URL of the read that verifies the token, to try by hand; empty if there is none."""
    probe = product.probe_for(scope)
    if probe is None:
        return ""
    params, _ = _probe_request(probe, organization)
    url = data_center.base_url_of(product.host) + probe.path
    return f"{url}?{urlencode(params)}" if params else url


def _probe_request(
    probe: Probe, organization: Organization | None
) -> tuple[dict[str, str], dict[str, str]]:
    """The parameters and headers of a probe."""
    params, headers = dict(probe.params), dict[str, str]()
    if organization is not None and probe.organization_parameter == "orgId":
        headers["orgId"] = organization.id
    elif organization is not None and probe.organization_parameter:
        params[probe.organization_parameter] = organization.id
    return params, headers


# --- Parsing --------------------------------------------------------------------------------------


def parse_account(response: HttpResponse) -> Account:
    """The account in a response of ``/oauth/user/info``; the ZUID is a number or a string."""
    body = parse_response("accounts", response)
    zuid = _identifier(body.get("ZUID") if isinstance(body, dict) else None)
    if zuid is None or not zuid.isdigit():
        raise _response_error("malformed-answer", response, field="ZUID")
    email, name = body.get("Email"), body.get("Display_Name")
    return Account(
        zuid=zuid,
        email=_display_name(email) if isinstance(email, str) else "",
        display_name=_display_name(name) if isinstance(name, str) else "",
    )


def _identifier(given: object) -> Identifier | None:
    """An identifier from a number or a string."""
    return Identifier.of(str(given) if type(given) is int else given)


def _display_name(value: object) -> str:
    """A name of a person or an organization, as one line of plain text."""
    return " ".join(sanitize_line(str(value)).split())


def parse_organizations(product: Product, response: HttpResponse) -> tuple[Organization, ...]:
    """The organizations in the response to the product's listing."""
    body = parse_response(product.id, response)
    listing = product.organizations
    if listing is None:
        return ()
    rows = body  # for Projects, the list itself
    for name in listing.rows.split("."):
        rows = rows.get(name) if isinstance(rows, dict) else rows
    if not isinstance(rows, list) and response.status != 204:
        raise _response_error("malformed-answer", response, field=listing.rows)
    found = [row for row in rows or () if isinstance(row, dict) and listing.id in row]
    return tuple(_organization(product.id, listing, row, response) for row in found)


def _organization(
    product_id: str, listing: OrganizationListing, row: Mapping[str, Any], answer: HttpResponse
) -> Organization:
    identifier = _identifier(row[listing.id])
    if identifier is None:
        raise _response_error("malformed-answer", answer, field=listing.id)
    return Organization(
        product=product_id,
        id=identifier,
        name=_display_name(row.get(listing.name, "")),
        environment=_environment(row.get(listing.environment)),
    )


def _environment(value: object) -> str:
    """The environment under Zoho's name; empty for any other value."""
    named = str(value).title()
    return named if named in ENVIRONMENTS else ""


def parse_response(product_id: str, response: HttpResponse) -> Any:
    """The JSON of a successful response; None for HTTP 204, which means no records in CRM. Raises
    the failure code of the product's error.
    """
    if response.status == 204:
        return None
    body = response.json
    if 200 <= response.status < 300 and body is None:
        raise _response_error("not-json", response, temporary=True)
    if response.status >= 400 or _is_error_body(body):
        word, code = _error_code_of(product_id, body, response.status)
        temporary = kind_of(code) in (FailureKind.API_LIMIT, FailureKind.OUTAGE)
        raise _response_error(
            code, response, temporary=temporary, zoho_error=word, product=product_id
        )
    return body


def _is_error_body(body: Any) -> bool:
    """Whether a body with HTTP 200 is an error (Campaigns, People)."""
    if not isinstance(body, dict):
        return False
    inner = body.get("response")
    if isinstance(inner, dict):
        return inner.get("status") == 1
    return body.get("status") in ("error", "failure")


def _error_code_of(product_id: str, body: Any, status: int) -> tuple[str, str]:
    """The product's error word and its failure code; by status if no word is known."""
    known = _known_words(product_id)
    said = tuple(_scalar_values(body))
    for word in said:
        if word in known:
            return word, known[word]
    by_status = {401: "token-invalid", 403: "no-permission", 404: "wrong-path"}
    by_status |= {429: "product-throttled"}
    fallback = "data-center-down" if status >= 500 else "product-error"
    return (said[0] if said else ""), by_status.get(status, fallback)


def _known_words(product_id: str) -> Mapping[str, str]:
    table = error_codes()
    return {**table["common"], **table.get(product_id, {})}


def _scalar_values(body: Any) -> Iterator[str]:
    """Every short scalar of a JSON value that may be an error word, from the outside in."""
    level = [body]
    while level:
        inner = [each for each in level if isinstance(each, dict | list)]
        yield from (str(each) for each in level if _may_be_error_code(each))
        level = [
            value for each in inner for value in (each.values() if isinstance(each, dict) else each)
        ]


def _may_be_error_code(value: object) -> bool:
    return type(value) in (str, int) and str(value).isprintable() and 0 < len(str(value)) < 60


def _response_error(
    code: str,
    response: HttpResponse,
    *,
    temporary: bool = False,
    zoho_error: str = "",
    **details: str,
) -> WizardError:
    details = {"status": str(response.status), **details}
    return WizardError(
        Failure(code, zoho_error, temporary, details=details, exchange=response.exchange)
    )
