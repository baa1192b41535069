"""A link leads the owner of an account through all consents of one request."""

import pytest
from playwright.sync_api import expect
from support.browser import accessibility_violations
from support.harness import ANNA
from support.user_journey import Journey

from wizard.simulator.simulated_user import ConsentPage
from wizard.zoho import limits


@pytest.mark.slow
def test_after_each_accept_the_next_consent_opens_as_soon_as_the_limit_allows(
    journey: Journey,
) -> None:
    client = journey.register_client()
    for name in ("a", "b", "c"):
        journey.add_connection(name, client)
    journey.services.reauthorization.begin(("a", "b", "c"))
    for _ in range(limits().codes_budget - 2):
        journey.services.request_log.record_authorization(client.client_id, "eu", "a")
    person, page = journey.person, journey.page
    journey.open_wizard("/approvals/a,b,c")
    person.click(page.get_by_role("button", name="Continue at Zoho"))
    journey.consent_page(ANNA).accept()
    ConsentPage(person).accept()
    page.get_by_role("timer").wait_for()
    assert accessibility_violations(page) == []
    journey.advance(seconds=limits().window_seconds + 1)
    ConsentPage(person).accept()
    expect(page.get_by_text("Nothing is left to approve")).to_be_visible()
    assert person.actions == 4, person.counter.log
