"""Where a connection stands is read from the store, by whoever asks."""

import pytest
from core import ANNA, BOB, CARLA, PRODUCTION, Core

from wizard.authorization import Begun
from wizard.diagnosis import ZOHO_PAGES, Step
from wizard.errors import WizardError
from wizard.house import House
from wizard.model import Failure


def step(core: Core, name: str = "crm") -> Step:
    """The step, as this house and one opened anew both see it."""
    seen = core.house.diagnosis.step_of(name)
    with House.open(core.house.settings, core.house.clock) as reopened:
        assert reopened.diagnosis.step_of(name).code is seen.code
    return seen


def come_back(core: Core, begun: Begun, **params: str) -> None:
    answer = [*params.items(), ("state", begun.attempt.oauth_state)]
    core.house.authorization.complete(answer, {begun.cookie_name: begun.cookie_value})


def code_of(seen: Step) -> str:
    assert seen.finding is not None
    return seen.finding.code


def test_a_connection_goes_from_consent_to_proof_step_by_step(core: Core) -> None:
    core.connection()
    assert step(core).code == "authorize"
    begun = core.house.authorization.begin("crm")
    assert step(core).code == "waiting-for-consent"
    core.finish(begun, core.consent(begun))
    assert step(core).code == "proving"
    core.climb("crm", 1)
    proved = step(core)
    assert proved.code == "proved"
    assert proved.finding is None
    assert proved.receipt is not None
    assert proved.receipt.proved


def test_an_abandoned_consent_leaves_the_connection_as_it_was(core: Core) -> None:
    core.connection()
    begun = core.house.authorization.begin("crm")
    core.house.authorization.abandon(begun.attempt.id)
    assert step(core).code == "authorize"
    core.proved("books")
    begun = core.house.authorization.begin("books")
    assert step(core, "books").code == "waiting-for-consent"
    core.house.authorization.abandon(begun.attempt.id)
    assert step(core, "books").code == "proved"


def test_a_consent_that_nobody_came_back_from_is_not_waited_for_after_an_hour(core: Core) -> None:
    core.connection()
    core.house.authorization.begin("crm")
    core.advance(minutes=59)
    assert step(core).code == "waiting-for-consent"
    core.advance(minutes=1)
    assert step(core).code == "authorize"


@pytest.mark.parametrize(
    ("error", "code"), [("access_denied", "access-denied"), ("no_org", "no-organization")]
)
def test_a_refused_consent_says_why_and_offers_the_repeat(
    core: Core, error: str, code: str
) -> None:
    core.connection()
    come_back(core, core.house.authorization.begin("crm"), error=error)
    refused = step(core)
    assert refused.code == "refused"
    assert code_of(refused) == code
    assert refused.finding is not None
    assert refused.finding.steps[0].path == "/connections/crm"
    core.authorize("crm")
    assert step(core).code == "proving"


def test_a_refused_re_authorization_leaves_a_proved_connection_proved(core: Core) -> None:
    core.proved()
    come_back(core, core.house.authorization.begin("crm"), error="access_denied")
    seen = step(core)
    assert seen.code == "proved"
    assert code_of(seen) == "access-denied"


def test_a_missing_secret_names_the_data_centre_and_the_page_that_takes_it(core: Core) -> None:
    client = core.client()
    core.admin.enable(client.client_id, "in")
    core.connection("crm", client)
    core.authorize("crm", BOB)
    finding = step(core).finding
    assert finding is not None
    assert finding.title == "The client's secret for India is missing"
    assert finding.steps[0].path.startswith(f"/clients/{client.client_id}")
    assert finding.steps[0].command.endswith(f"{client.client_id} --data-centre in")


def test_an_unknown_outcome_stays_until_the_consent_is_repeated(core: Core) -> None:
    core.connection()
    begun = core.house.authorization.begin("crm")
    callback = core.consent(begun)
    core.admin.fault("cut", endpoint="oauth/v2/token", processed=True)
    core.finish(begun, callback)
    unknown = step(core)
    assert unknown.code == "outcome-unknown"
    assert code_of(unknown) == "outcome-unknown"
    core.authorize("crm")
    assert step(core).code == "proving"


def test_a_failed_rung_is_the_finding_of_an_unproved_grant(core: Core) -> None:
    core.connection()
    core.authorize("crm")
    core.admin.bar(ANNA, "crm")
    core.climb("crm", 1)
    assert step(core).code == "unproved"
    assert code_of(step(core)) == "no-permission"


def test_a_proved_grant_whose_last_climb_failed_says_so(core: Core) -> None:
    core.proved()
    core.admin.bar(ANNA, "crm")
    core.climb("crm", 1)
    assert step(core).code == "proved"
    assert code_of(step(core)) == "no-permission"


def test_a_dead_grant_says_what_most_likely_happened_and_who_must_sign_in(core: Core) -> None:
    core.proved()
    core.admin.change_password(ANNA)
    core.climb("crm", 1)
    dead = step(core)
    assert dead.code == "dead"
    assert dead.finding is not None
    assert dead.finding.causes[0].code == "password-changed"
    assert "change the password" in dead.finding.question
    assert ANNA in dead.finding.remedy
    assert dead.finding.exit_code == 3
    core.authorize("crm")
    core.climb("crm", 2)
    assert step(core).code == "proved"


def test_a_new_grant_that_died_before_it_was_proved_is_dead(core: Core) -> None:
    core.connection()
    core.authorize("crm")
    core.admin.change_password(ANNA)
    core.climb("crm", 1)
    assert step(core).code == "dead"


def test_a_mismatch_names_both_people(core: Core) -> None:
    core.proved()
    core.authorize("crm", CARLA, PRODUCTION)
    core.climb("crm", 2)
    held = step(core)
    assert held.code == "mismatch"
    assert held.finding is not None
    assert ANNA in held.finding.cause
    assert CARLA in held.finding.cause
    core.house.authorization.discard("crm", 2)
    assert step(core).code == "proved"


def test_a_revoked_connection_can_be_authorized_again(core: Core) -> None:
    core.house.broker.revoke(core.proved())
    assert step(core).code == "revoked"
    core.authorize("crm")
    core.climb("crm", 2)
    assert step(core).code == "proved"


def test_pages_at_zoho_that_end_a_consent_are_named_with_what_they_need(core: Core) -> None:
    connection = core.connection()
    pages = core.house.diagnosis.zoho_pages("crm")
    assert [page.code for page in pages] == list(ZOHO_PAGES)
    said = " ".join(page.cause + page.remedy for page in pages)
    assert core.house.settings.redirect_uri in said
    assert connection.client_id in said
    assert "…" not in said


def test_details_of_the_failure_outrank_those_of_the_connection(core: Core) -> None:
    core.connection()
    failure = Failure("multi-dc-off", "invalid_client", details={"data_centre": "India"})
    assert "India" in core.house.diagnosis.finding("crm", failure).title


def test_an_unknown_name_is_a_finding_of_its_own(core: Core) -> None:
    core.connection()
    with pytest.raises(WizardError) as error:
        core.house.diagnosis.step_of("crn")
    assert error.value.failure.details["nearest"] == "Nearest: crm."


def test_two_attempts_of_which_the_newer_failed_show_the_newer(core: Core) -> None:
    core.connection()
    older = core.house.authorization.begin("crm")
    come_back(core, core.house.authorization.begin("crm"), error="access_denied")
    assert step(core).code == "refused"
    core.finish(older, core.consent(older))
    assert step(core).code == "proving"
