"""A stubbed response is what the next request of its kind gets, and no other."""

import pytest
import requests
from support.zoho_driver import ZohoDriver


def test_the_next_request_gets_the_stubbed_response_and_no_other(zoho: ZohoDriver) -> None:
    body = {"code": "INTERNAL_ERROR"}
    headers = {"Retry-After": "7"}
    zoho.controls.stub_response(
        "GET", "/crm/v8/org", status=500, body=body, headers=headers, times=2
    )
    token = zoho.issue_tokens()["access_token"]
    other = [zoho.call_api(token, "/crm/v7/org"), zoho.call_api(token, host="desk")]
    assert [each.status_code for each in other] == [200, 404]
    stubbed = [zoho.call_api("dead", "/crm/v8/org/"), zoho.call_api(token, "/crm/v8/org?x=1")]
    assert [(each.status_code, each.json()) for each in stubbed] == [(500, body)] * 2
    assert stubbed[0].headers["Retry-After"] == "7"
    assert zoho.call_api(token).status_code == 200
    assert zoho.controls.state()["stubbed_responses"] == []
    assert zoho.controls.journal()[-2]["outcome"] == "INTERNAL_ERROR"


def test_a_stub_can_be_for_one_host_name_and_be_text(zoho: ZohoDriver) -> None:
    html, host = {"Content-Type": "text/html"}, "accounts.zoho.in"
    zoho.controls.stub_response("POST", "/oauth/v2/token", host=host, body="<html>", headers=html)
    assert "error" in zoho.refresh("x").json()
    answer = requests.post(zoho.url_for("/oauth/v2/token", "in"), timeout=10)
    assert (answer.text, answer.headers["Content-Type"]) == ("<html>", "text/html")
    zoho.controls.stub_response("GET", "/not/simulated", body={"is": "stubbed"})
    assert zoho.call_api("dead", "/not/simulated").json() == {"is": "stubbed"}
    zoho.controls.stub_response("GET", "/crm/v8/org")
    zoho.controls.clear_stubbed_responses()
    assert zoho.call_api("dead").status_code == 401


def test_a_stub_that_cannot_be_sent_is_refused(zoho: ZohoDriver) -> None:
    with pytest.raises(ValueError, match=r"headers\.X-Note"):
        zoho.controls.stub_response("GET", "/x", headers={"X-Note": "a\nb"})
    with pytest.raises(ValueError, match="method"):
        zoho.controls.stub_response("SEND", "/x")
