"""Failures that are no matter of tokens: scopes, rights, organizations, limits, addresses, ways."""

import pytest
from core import ANNA, CARLA, PRODUCTION, Core
from scenes import client_of, codes, diagnosed, notice, proved, refresh_outside

from wizard.diagnosis import Evidence, finding_of, judge
from wizard.diagnosis.weighing import counted
from wizard.errors import WizardError, phrase
from wizard.model import Confidence, Failure, Finding

CERTAIN, LIKELY = Confidence.CERTAIN, Confidence.LIKELY
POSSIBLE, RULED_OUT = Confidence.POSSIBLE, Confidence.RULED_OUT
BOOKS = ("AaaServer.profile.READ", "ZohoBooks.settings.READ")


def unproved(core: Core, name: str = "crm") -> Finding:
    found = core.house.diagnosis.step_of(name).finding
    assert found is not None
    return found


# --- scope, right, organization -------------------------------------------------------------------


def test_a_role_without_the_right_is_told_apart_from_the_token(core: Core) -> None:
    proved(core, "crm")
    core.admin.bar(ANNA, "crm")
    found = diagnosed(core)
    assert found.failure_class == "permission-refused"
    assert found.causes[0].code == "role-without-right"
    assert "accounts server takes the token" in found.causes[0].evidence_for[0]
    assert not codes(found, CERTAIN)


def test_books_says_57_to_three_causes_of_which_the_token_is_none(core: Core) -> None:
    core.connection("books", core.client("books"), BOOKS)
    core.authorize("books")
    core.admin.bar(ANNA, "books")
    core.climb("books", 1)
    found = unproved(core, "books")
    assert found.failure_class == "refused-without-a-reason"
    assert codes(found, POSSIBLE) == {"scope-not-granted", "role-without-right"}
    alone = finding_of(Failure("not-authorized", "57", details={"product": "books"}))
    assert codes(alone, POSSIBLE) > codes(found, POSSIBLE)


def test_an_environment_is_named_with_what_the_consent_reaches(core: Core) -> None:
    proved(core, "crm", email=CARLA, organization=PRODUCTION)
    failure = Failure("wrong-organization", "OAUTH_ORG_MISMATCH", details={"product": "crm"})
    found = diagnosed(core, failure=failure)
    assert codes(found, POSSIBLE) == {"organization-not-reached", "environment-differs"}
    reached = core.house.store.grant("crm")
    assert reached is not None
    assert reached.organizations[0].name in " ".join(found.causes[0].evidence_for)


# --- limits ---------------------------------------------------------------------------------------


def throttled(core: Core, name: str) -> Finding:
    with pytest.raises(WizardError) as met:
        core.house.broker.access_token(name, fresh=True, min_ttl=3600)
    assert met.value.failure.code == "throttled"
    return core.house.diagnosis.finding(name, met.value.failure)


def test_a_throttle_that_the_ledger_does_not_explain_is_somebody_elses(core: Core) -> None:
    grant = proved(core, "crm")
    core.advance(minutes=58)
    for _ in range(10):
        refresh_outside(core, grant)
    found = throttled(core, "crm")
    assert found.failure_class == "too-many-requests"
    assert codes(found, LIKELY) == {"throttled-by-others"}
    assert "throttled-by-ourselves" in codes(found, RULED_OUT)
    assert ":" in found.remedy.partition("until")[2], "it says when it works again"
    assert "No token is harmed" in found.cause + found.remedy


def test_a_limit_of_the_product_says_that_the_token_is_fine() -> None:
    found = finding_of(Failure("product-throttled", "TOO_MANY_REQUESTS", temporary=True))
    assert "no token is harmed" in found.cause
    assert found.exit_code == 4


@pytest.mark.parametrize("word", ["INVALID_URL_PATTERN", "404"])
def test_a_wrong_address_says_do_not_authorize_again(word: str) -> None:
    found = finding_of(Failure("wrong-path", word, details={"status": "404"}))
    assert found.failure_class == "wrong-address"
    assert "do not authorize again" in found.class_title
    assert codes(found, POSSIBLE) == {"wrong-host", "wrong-version"}


# --- the way --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "failure_class"), [("garbage", "not-zohos-answer"), ("dc-down", "")]
)
def test_what_is_in_the_way_says_nothing_about_the_token(
    core: Core, fault: str, failure_class: str
) -> None:
    proved(core, "crm")
    core.admin.fault(fault, endpoint="oauth/", times=9)
    found = diagnosed(core)
    assert found.failure_class == failure_class
    assert found.exit_code == 4
    assert not codes(found, CERTAIN) | codes(found, LIKELY)
    core.admin.clear_faults()
    assert diagnosed(core).code == "nothing-wrong"


def test_a_certificate_that_is_out_of_date_may_be_the_clocks_fault() -> None:
    details = {"host": "accounts.zoho.eu", "reason": "certificate is not yet valid"}
    found = judge(Evidence(failure=Failure("network-tls", details=details)))
    assert codes(found, LIKELY) == {"clock-against-certificate"}
    other = {"host": "accounts.zoho.eu", "reason": "self-signed certificate"}
    assert codes(judge(Evidence(failure=Failure("network-tls", details=other))), POSSIBLE) == {
        "tls-inspected",
        "clock-against-certificate",
    }


def test_a_connection_that_was_never_granted_says_so_without_asking(core: Core) -> None:
    core.connection()
    assert diagnosed(core, most=0).code == "no-grant"


def test_a_sound_connection_is_told_as_sound_with_two_asks(core: Core) -> None:
    proved(core, "crm")
    found = diagnosed(core, most=2)
    assert found.code == "nothing-wrong"
    assert not core.refreshes()


def test_diagnosing_again_and_again_stays_within_the_budgets(core: Core) -> None:
    proved(core, "crm")
    core.admin.change_password(ANNA)
    notice(core, "crm")
    core.admin.clear_journal()
    for _ in range(20):
        core.house.diagnosis.diagnose("crm")
    assert not core.refreshes()


def test_a_diagnosis_that_leaves_room_for_the_client_says_so_as_the_ledger_does(
    core: Core,
) -> None:
    proved(core, "crm")
    proved(core, "leads", client_of(core, "crm"))
    grant = core.house.store.grant("leads")
    assert grant is not None
    for _ in range(3):
        core.house.broker.refresh_grant(grant)
    core.house.cache.drop("crm")
    left = core.house.broker.ledger("crm")
    assert left.token_requests_left > left.spare_left == 0
    assert diagnosed(core, most=0).code == "client-budget"
    assert core.house.broker.access_token("crm").value, "a program gets its token"


@pytest.mark.parametrize(
    ("count", "said"), [(0, "none is known"), (1, "one is known"), (2, "2 are known")]
)
def test_none_and_one_are_said_in_words(count: int, said: str) -> None:
    counted_sign = counted("few-younger", count, most="20")
    assert said in phrase("signs", counted_sign.code, **counted_sign.details)
