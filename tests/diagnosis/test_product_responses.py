"""Every product's errors and every Zoho page, as they are really returned and pasted."""

import html
import re

import pytest
import requests
from support.claims import over_rows
from support.harness import Harness
from support.zoho_driver import ANNA, REDIRECT_URI, ZohoDriver

from wizard.diagnosis.pasted_text import DiagnosisResult
from wizard.zoho import Product, products

INVALID_TOKEN = "1000." + "0" * 32 + "." + "f" * 32


@pytest.fixture
def zoho(harness: Harness) -> ZohoDriver:
    """Zoho as a program other than the wizard uses it."""
    return ZohoDriver(harness.simulator)


def api_call_log(harness: Harness, product: Product, token: str) -> str:
    """A call with `token` and its response, as a log shows them."""
    probe = product.probes[0]
    place = harness.services.zoho.data_center("eu")
    url = place.base_url_of(product.host) + probe.path
    headers = {"Authorization": f"Zoho-oauthtoken {token}", "Accept": product.accept}
    answer = requests.get(url, headers=headers, params=dict(probe.params), timeout=10)
    return f"GET {answer.request.url} -> {answer.status_code}\n{answer.text}"


def code_of(reading: DiagnosisResult) -> str:
    assert reading.explanation.failure is not None
    return reading.explanation.failure.code


@over_rows("product", products())
def test_an_invalid_token_is_recognized_in_the_response_of_every_product(
    harness: Harness, product: Product
) -> None:
    text = api_call_log(harness, product, INVALID_TOKEN)
    reading = harness.services.reader.explain_text(text)
    assert code_of(reading) in ("token-invalid", "not-authorized")
    assert len(reading.explanation.causes) > 1, "no evidence decides"
    answer_alone = harness.services.reader.explain_text(text.partition("\n")[2])
    assert answer_alone.is_explained


@pytest.mark.parametrize("product", products(), ids=lambda each: each.id)
def test_a_missing_scope_is_recognized_in_the_response_of_every_product(
    harness: Harness, zoho: ZohoDriver, product: Product
) -> None:
    token = zoho.issue_tokens(scope="AaaServer.profile.READ")["access_token"]
    reading = harness.services.reader.explain_text(api_call_log(harness, product, token))
    causes = [each.code for each in reading.explanation.causes]
    # Projects returns the same error for a wrong path.
    is_scope = code_of(reading) in ("scope-missing", "not-authorized")
    assert is_scope or causes[0] == "scope-not-granted", causes
    assert token not in repr(reading)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"client_id": "1000.MADEUP"}, "zoho-page-invalid-client"),
        ({"response_type": ""}, "zoho-page-invalid-response-type"),
        ({"scope": "ZohoCRM.org.READ,Nonsense"}, "zoho-page-invalid-scope"),
        ({"redirect_uri": REDIRECT_URI + "/"}, "zoho-page-invalid-redirect-uri"),
    ],
)
def test_a_zoho_page_is_recognized_by_its_source_and_by_its_text(
    harness: Harness, zoho: ZohoDriver, wrong: dict[str, str], code: str
) -> None:
    source = zoho.open_page(ANNA, zoho.authorization_url(**wrong)).text
    shown = html.unescape(re.sub(r"<[^>]+>", " ", source.partition("<body")[2]))
    for text in (source, shown):
        assert code_of(harness.services.reader.explain_text(text)) == code


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_in_response_to_a_token_request_is_recognized_with_its_request(
    harness: Harness, zoho: ZohoDriver, method: str
) -> None:
    answer = requests.request(method, zoho.url_for("/oauth/v2/token"), timeout=10)
    assert answer.status_code == 400
    text = f"{method} {answer.request.url}\n\nHTTP/1.1 400 Bad Request\n\n{answer.text}"
    reading = harness.services.reader.explain_text(text)
    assert reading.explanation.failure_class == "not-a-token-request"
