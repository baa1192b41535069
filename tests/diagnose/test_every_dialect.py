"""Every product's own words, and every page of Zoho's, as they really come and are pasted."""

import html
import re

import pytest
import requests
from core import Core
from zoho_driver import ANNA, CALLBACK, Zoho

from wizard.diagnosis.reading import Reading
from wizard.zoho import Product, products

DEAD = "1000." + "0" * 32 + "." + "f" * 32


@pytest.fixture
def zoho(core: Core) -> Zoho:
    """Zoho as a program sees it that is not the wizard."""
    return Zoho(core.sandbox)


def called(core: Core, product: Product, token: str) -> str:
    """A call with `token` and its answer, as a log shows them."""
    probe = product.probes[0]
    place = core.house.zoho.data_centre("eu")
    url = place.host(product.host) + probe.path
    headers = {"Authorization": f"Zoho-oauthtoken {token}", "Accept": product.accept}
    answer = requests.get(url, headers=headers, params=dict(probe.params), timeout=10)
    return f"GET {answer.request.url} -> {answer.status_code}\n{answer.text}"


def code_of(reading: Reading) -> str:
    assert reading.finding.failure is not None
    return reading.finding.failure.code


@pytest.mark.parametrize("product", products(), ids=lambda each: each.id)
def test_a_dead_token_is_known_by_every_products_answer(core: Core, product: Product) -> None:
    text = called(core, product, DEAD)
    reading = core.house.reader.read(text)
    assert code_of(reading) in ("token-invalid", "not-authorized")
    assert len(reading.finding.causes) > 1, "nothing decides"
    answer_alone = core.house.reader.read(text.partition("\n")[2])
    assert answer_alone.explained


@pytest.mark.parametrize("product", products(), ids=lambda each: each.id)
def test_a_missing_scope_is_known_by_every_products_answer(
    core: Core, zoho: Zoho, product: Product
) -> None:
    token = zoho.tokens(scope="AaaServer.profile.READ")["access_token"]
    reading = core.house.reader.read(called(core, product, token))
    assert code_of(reading) in ("scope-missing", "not-authorized")
    assert token not in repr(reading)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"client_id": "1000.MADEUP"}, "zoho-page-invalid-client"),
        ({"response_type": ""}, "zoho-page-invalid-response-type"),
        ({"scope": "ZohoCRM.org.READ,Nonsense"}, "zoho-page-invalid-scope"),
        ({"redirect_uri": CALLBACK + "/"}, "zoho-page-invalid-redirect-uri"),
    ],
)
def test_a_page_of_zohos_is_known_by_its_source_and_by_its_text(
    core: Core, zoho: Zoho, wrong: dict[str, str], code: str
) -> None:
    source = zoho.browse(ANNA, zoho.authorization_url(**wrong)).text
    shown = html.unescape(re.sub(r"<[^>]+>", " ", source.partition("<body")[2]))
    for text in (source, shown):
        assert code_of(core.house.reader.read(text)) == code


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_page_that_answers_a_token_request_is_known_with_its_request(
    core: Core, zoho: Zoho, method: str
) -> None:
    answer = requests.request(method, zoho.at("/oauth/v2/token"), timeout=10)
    assert answer.status_code == 400
    text = f"{method} {answer.request.url}\n\nHTTP/1.1 400 Bad Request\n\n{answer.text}"
    reading = core.house.reader.read(text)
    assert reading.finding.failure_class == "not-a-token-request"
