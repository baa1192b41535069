"""Why a client, its secret, a code or a consent was refused."""

import pytest
from core import ANNA, Core
from scenes import client_of, codes, diagnosed, exchange_outside, proved, told
from worlds import WORLDS, told_of

from wizard.diagnosis import Evidence, judge
from wizard.diagnosis.codes import difference
from wizard.model import Confidence, Failure, Finding

CERTAIN, LIKELY = Confidence.CERTAIN, Confidence.LIKELY
POSSIBLE, RULED_OUT = Confidence.POSSIBLE, Confidence.RULED_OUT


def shown(core: Core, name: str = "crm") -> Finding:
    """The finding on the connection's page."""
    found = core.house.diagnosis.step_of(name).finding
    assert found is not None
    return found


# --- the client -----------------------------------------------------------------------------------


def test_a_deleted_client_is_certain_when_its_home_does_not_know_it(core: Core) -> None:
    proved(core, "crm")
    core.admin.delete_client(client_of(core, "crm").client_id)
    core.climb("crm", 1)
    step = shown(core)
    assert step.failure_class == "client-unknown"
    assert codes(step, LIKELY) == {"client-deleted"}
    found = diagnosed(core, failure=step.failure)
    assert [each.code for each in found.causes] == ["client-deleted"]
    assert codes(found, CERTAIN) == {"client-deleted"}
    assert found.steps[0].path == "/clients/new"


def test_a_deleted_client_is_looked_for_when_the_person_says_so(core: Core) -> None:
    proved(core, "crm")
    core.admin.delete_client(client_of(core, "crm").client_id)
    assert codes(diagnosed(core), CERTAIN) == {"client-deleted"}
    core.admin.clear_journal()
    found = core.house.diagnosis.diagnose("crm", search=True)
    assert len({entry["location"] for entry in core.asked()}) > 5
    assert "Every data centre was asked" in " ".join(found.causes[0].evidence_for)


def test_a_switch_that_is_off_is_certain_when_home_knows_the_client(core: Core) -> None:
    client = core.client()
    core.connection("crm", client)
    failure = Failure("multi-dc-off", "invalid_client", details={"location": "in"})
    found = diagnosed(core, failure=failure, most=1)
    assert codes(found, CERTAIN) == {"multi-dc-off"}
    assert "India" in found.title or "India" in found.remedy
    assert f"{client.client_id} --data-centre in" in found.steps[0].command


def test_the_search_through_data_centres_waits_for_the_persons_word_once_a_day(core: Core) -> None:
    proved(core, "crm")
    core.admin.delete_client(client_of(core, "crm").client_id)
    failure = Failure("invalid-client", "invalid_client", details={"location": "eu"})
    diagnosed(core, failure=failure, most=1)
    core.admin.clear_journal()
    found = core.house.diagnosis.diagnose("crm", failure, search=True)
    asked = {entry["location"] for entry in core.asked()}
    assert len(asked) > 5
    assert "Every data centre was asked" in " ".join(found.causes[0].evidence_for)
    core.admin.clear_journal()
    core.advance(hours=20)
    core.house.diagnosis.diagnose("crm", failure, search=True)
    assert {entry["location"] for entry in core.asked()} == {"eu"}


def test_an_unknown_client_of_nobody_is_told_with_all_its_causes() -> None:
    found = judge(Evidence(failure=Failure("invalid-client", "invalid_client")))
    assert codes(found, POSSIBLE) == {
        "multi-dc-off",
        "client-of-other-data-centre",
        "client-id-wrong",
        "client-id-with-blank",
        "client-deleted",
        "grant-type-wrong",
    }
    assert found.question


# --- the secret -----------------------------------------------------------------------------------


def test_a_working_access_token_does_not_hide_a_secret_that_was_refused(core: Core) -> None:
    proved(core, "crm")
    core.house.broker.access_token("crm")
    core.admin.rotate_secret(client_of(core, "crm").client_id)
    core.climb("crm", 1)
    found = diagnosed(core)
    assert (found.code, codes(found, LIKELY)) == ("invalid-client-secret", {"secret-renewed"})


# --- codes ----------------------------------------------------------------------------------------


def test_a_code_that_came_late_and_one_that_was_used_are_told_alike(core: Core) -> None:
    said = []
    for spoil in ("late", "used"):
        core.connection(spoil)
        begun = core.house.authorization.begin(spoil)
        callback = core.consent(begun)
        if spoil == "used":
            exchange_outside(core, spoil, callback, begun.attempt.code_verifier)
        core.advance(minutes=3)
        core.finish(begun, callback)
        said.append(shown(core, spoil))
    assert {each.failure_class for each in said} == {"code-refused"}
    assert codes(said[0], POSSIBLE) == {"code-expired", "code-used"}
    assert told(said[0])["causes"] == told(said[1])["causes"]


def test_a_code_exchanged_at_once_is_not_too_old(core: Core) -> None:
    core.connection()
    begun = core.house.authorization.begin("crm")
    callback = core.consent(begun)
    core.admin.revoke_app(ANNA, client_of(core, "crm").client_id)
    core.finish(begun, callback)
    found = shown(core)
    assert found.failure_class == "code-refused"
    assert "code-expired" in codes(found, RULED_OUT)
    assert not codes(found, CERTAIN)


def test_invalid_code_met_nowhere_asks_where_it_was_met() -> None:
    found = judge(Evidence(failure=Failure("invalid-code", "invalid_code")))
    assert found.failure_class == "code-or-refresh-token-refused"
    assert codes(found, POSSIBLE) >= {"code-expired", "password-changed"}
    assert "later" in found.question


# --- redirect URIs, requests, consents ------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        ("https://localhost:8723/callback", "scheme"),
        ("http://127.0.0.1:8723/callback", "loopback name"),
        ("http://localhost:8724/callback", "port"),
        ("http://localhost:8723/callback/", "slash at the end"),
        ("http://localhost:8723/oauth", "path"),
        ("http://example.com:8723/callback", "host"),
        ("http://localhost:8723/callback?x=1", "query"),
    ],
)
def test_the_part_in_which_redirect_uris_differ_is_named(sent: str, part: str) -> None:
    assert difference(sent, "http://localhost:8723/callback") == part


def test_a_paste_is_told_by_the_data_centre_that_was_asked_not_by_the_connections(
    core: Core,
) -> None:
    world = next(each for each in WORLDS if each.name == "multi-DC off, pasted")
    found = told_of(core, world.happens(core))
    assert found.causes[0].title == "The client is not switched on in United States"
    assert found.steps[0].command.endswith("--data-centre us")
