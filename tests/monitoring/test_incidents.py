"""One message for each cause, by what it affects."""

from datetime import timedelta
from pathlib import Path

from support.diagnosis import add_verified_connection, client_of, detect_rejection
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness

from wizard.diagnosis.incidents import CauseLevel, Incident
from wizard.store import Destination


def open_incidents(harness: Harness) -> tuple[Incident, ...]:
    return harness.services.incidents.stored()


def test_without_failures_there_is_no_message(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    assert open_incidents(harness) == ()


def test_connections_of_one_account_rejected_together_are_one_message(harness: Harness) -> None:
    for name in ("crm", "books", "leads"):
        add_verified_connection(harness, name)
    add_verified_connection(harness, "carla", email=CARLA, organization=FIRST_ORGANIZATION)
    harness.controls.change_password(ANNA)
    detect_rejection(harness, "crm", "books", "leads", "carla")
    (found,) = open_incidents(harness)
    assert found.level is CauseLevel.ACCOUNT
    assert found.names == ("books", "crm", "leads")
    assert found.email == ANNA
    assert found.explanation.title == f"3 connections of {ANNA} need re-authorization"
    assert found.explanation.causes[0].code == "password-changed"
    assert found.explanation.next_steps[0].command == "zoho-wizard reauthorize books crm leads"


def test_a_single_rejection_keeps_its_own_message(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.change_password(ANNA)
    detect_rejection(harness, "crm")
    (found,) = open_incidents(harness)
    assert found.level is CauseLevel.CONNECTION
    assert found.explanation.code == "refresh-token-rejected"


def test_an_incident_of_one_client_is_distinguished_from_one_of_the_account(
    harness: Harness,
) -> None:
    add_verified_connection(harness, "books")
    first = add_verified_connection(harness, "crm")
    add_verified_connection(harness, "leads", client_of(harness, first.connection))
    harness.controls.revoke_app(ANNA, client_of(harness, "crm").client_id)
    detect_rejection(harness, "crm", "leads", "books")
    (found,) = open_incidents(harness)
    assert found.level is CauseLevel.CLIENT
    assert found.names == ("crm", "leads")
    assert "“crm”" in found.explanation.title


def test_a_rejected_client_is_fixed_without_a_consent(harness: Harness) -> None:
    first = add_verified_connection(harness, "crm")
    add_verified_connection(harness, "leads", client_of(harness, first.connection))
    harness.controls.rotate_secret(client_of(harness, "crm").client_id)
    detect_rejection(harness, "crm", "leads")
    (found,) = open_incidents(harness)
    assert (found.level, found.names) == (CauseLevel.CLIENT, ("crm", "leads"))
    assert not found.needs_reauthorization
    assert not found.email


def test_a_data_center_that_is_down_rejects_nothing(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    add_verified_connection(harness, "books")
    harness.controls.inject_fault("data-center-down", location="eu", times=50)
    detect_rejection(harness, "crm", "books")
    (found,) = open_incidents(harness)
    assert found.level is CauseLevel.DATA_CENTER
    assert found.explanation.exit_code == 4
    assert found.explanation.code == "data-center-unreached"


def test_a_message_names_the_programs_and_when_their_last_tokens_expire(
    harness: Harness, tmp_path: Path
) -> None:
    add_verified_connection(harness, "crm")
    target = tmp_path / "program.env"
    delivery = harness.services.delivery
    delivery.add(delivery.describe(Destination("crm", "dotenv", str(target))))
    last = harness.services.store.overviews.last_refreshes()["crm"]
    harness.controls.change_password(ANNA)
    detect_rejection(harness, "crm")
    (found,) = open_incidents(harness)
    assert found.programs == (str(target),)
    assert found.access_tokens_expire_at == last + timedelta(hours=1)
    harness.advance(hours=2)
    (later,) = open_incidents(harness)
    assert later.access_tokens_expire_at is None


def test_an_access_token_that_was_rejected_is_not_said_to_work(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.change_password(ANNA)
    harness.services.checks.check(["crm"])  # with the access token first
    (found,) = open_incidents(harness)
    assert found.access_tokens_expire_at is None
