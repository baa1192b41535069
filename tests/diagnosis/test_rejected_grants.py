"""Why a refresh token was rejected: each cause is produced and then diagnosed from the evidence."""

import re
from collections.abc import Callable

import pytest
from support.diagnosis import (
    add_verified_connection,
    cause_codes,
    client_of,
    detect_rejection,
    diagnose,
    readable_parts,
)
from support.failure_scenarios.refresh_tokens import (
    INVALIDATIONS,
    change_password,
    deactivate,
    evict_refresh_token,
    forget_password,
    remove_app,
    remove_both_apps,
    reset_by_administrator,
    revoke,
    revoke_both,
)
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness

from wizard.errors import message
from wizard.model import Confidence, GrantState

CERTAIN, LIKELY = Confidence.CONFIRMED, Confidence.LIKELY
POSSIBLE, RULED_OUT = Confidence.POSSIBLE, Confidence.RULED_OUT

OF_THE_ACCOUNT, OF_THE_CLIENT = (
    (change_password, deactivate),
    (remove_app, evict_refresh_token, revoke),
)
Invalidation = Callable[[Harness], None]


@pytest.mark.parametrize("death", INVALIDATIONS)
def test_a_rejection_without_other_evidence_is_reported_without_a_guess(
    harness: Harness, death: Invalidation
) -> None:
    add_verified_connection(harness, "crm")
    death(harness)
    detect_rejection(harness, "crm")
    found = diagnose(harness, max_requests=0)
    assert found.failure_class == "refresh-token-refused"
    assert cause_codes(found, POSSIBLE) == {
        "password-changed",
        "app-removed",
        "refresh-token-evicted",
        "user-deactivated",
        "token-revoked-elsewhere",
    }
    assert not cause_codes(found, CERTAIN) | cause_codes(found, LIKELY)
    assert f"change the password of {ANNA}, deactivate that user, or remove" in found.question
    assert found.next_steps[0].command == "zoho-wizard reauthorize crm"


@pytest.mark.parametrize(
    ("deaths", "beside", "same_client"),
    [
        (INVALIDATIONS, (), ()),
        pytest.param((*OF_THE_ACCOUNT, remove_both_apps), ("books",), (), marks=pytest.mark.slow),
        (OF_THE_CLIENT, ("books",), ()),
        pytest.param((remove_app, revoke_both), ("books",), ("leads",), marks=pytest.mark.slow),
        pytest.param(OF_THE_ACCOUNT, ("books", "desk"), (), marks=pytest.mark.slow),
    ],
)
def test_scenarios_without_visible_differences_get_the_same_diagnosis(
    harness: Harness,
    deaths: tuple[Invalidation, ...],
    beside: tuple[str, ...],
    same_client: tuple[str, ...],
) -> None:
    said = []
    for death in deaths:
        for name in (*beside, "crm"):
            add_verified_connection(harness, name)
        for name in same_client:
            add_verified_connection(harness, name, client_of(harness, "crm"))
        death(harness)
        detect_rejection(harness, "crm")
        found = readable_parts(diagnose(harness))
        # Only the time in the question differs.
        question = re.sub(r"(?i)since [^:?]+(?::\d\d)?", "", str(found["question"]))
        said.append({**found, "question": question})
        harness.controls.deactivate_user(ANNA, deactivated=False)
        harness.advance(hours=1)
        for name in (*beside, "crm", *same_client):
            harness.services.tokens.remove_connection(name)
    assert all(each == said[0] for each in said)


@pytest.mark.parametrize("death", [*OF_THE_ACCOUNT, forget_password, reset_by_administrator])
def test_of_two_clients_rejected_together_the_account_is_asked_about_first(
    harness: Harness, death: Invalidation
) -> None:
    add_verified_connection(harness, "crm")
    add_verified_connection(harness, "books")
    death(harness)
    detect_rejection(harness, "crm", "books")
    found = diagnose(harness)
    assert [each.code for each in found.causes][:2] == ["password-changed", "user-deactivated"]
    assert found.causes[0].evidence_for == (message("evidence", "died-together", others="books"),)
    assert "untick" in found.causes[0].fix
    assert not cause_codes(found, CERTAIN) | cause_codes(found, LIKELY), (
        "two may coincide by chance"
    )
    assert found.question


@pytest.mark.parametrize("death", OF_THE_ACCOUNT)
def test_three_clients_rejected_together_make_an_account_wide_cause_likely(
    harness: Harness, death: Invalidation
) -> None:
    for name in ("crm", "books", "desk"):
        add_verified_connection(harness, name)
    death(harness)
    detect_rejection(harness, "crm", "books", "desk")
    found = diagnose(harness)
    assert cause_codes(found, LIKELY) == {"password-changed", "user-deactivated"}
    assert found.causes[0].code == "password-changed", "the commonest comes first"
    assert "deactivate that user" in found.question, "and the other is asked about"


@pytest.mark.slow
def test_three_clients_rejected_at_different_times_are_no_pattern(harness: Harness) -> None:
    for name in ("books", "desk", "crm"):
        add_verified_connection(harness, name)
    for name in ("books", "desk", "crm"):
        harness.controls.revoke_app(ANNA, client_of(harness, name).client_id)
        detect_rejection(harness, name)
        harness.advance(hours=2)
        for other in ("desk", "crm"):
            grant = harness.services.store.grants.get(other)
            assert grant is not None
            if grant.state is GrantState.VERIFIED:
                harness.verify(other, grant.generation)
    found = diagnose(harness)
    assert not cause_codes(found, LIKELY)


@pytest.mark.parametrize("replaced", ["forgot_password", "reset_password"])
def test_a_password_change_without_the_option_revokes_nothing(
    harness: Harness, replaced: str
) -> None:
    grant = add_verified_connection(harness, "crm")
    getattr(harness.controls, replaced)(ANNA)
    harness.advance(hours=1)
    assert [step.failure for step in harness.verify("crm", grant.generation)] == [None] * 6


@pytest.mark.slow
def test_an_unchecked_related_grant_is_checked_and_found_rejected(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    add_verified_connection(harness, "books")
    change_password(harness)
    detect_rejection(harness, "crm")
    found = diagnose(harness)
    assert "books" in found.causes[0].evidence_for[0]
    books = harness.services.store.grants.get("books")
    assert books is not None
    assert books.state is GrantState.NEEDS_REAUTHORIZATION


@pytest.mark.parametrize("death", OF_THE_CLIENT)
def test_a_working_grant_of_another_client_rules_out_the_password(
    harness: Harness, death: Invalidation
) -> None:
    add_verified_connection(harness, "books")
    add_verified_connection(harness, "crm")
    death(harness)
    detect_rejection(harness, "crm")
    found = diagnose(harness, max_requests=1)
    assert cause_codes(found, RULED_OUT) == {"password-changed", "user-deactivated"}
    assert cause_codes(found, POSSIBLE) >= {"app-removed", "refresh-token-evicted"}
    assert "“books”" in found.ruled_out[0].evidence_against[0]
    assert not harness.refresh_requests(), "a valid access token was enough"


def test_a_client_whose_three_connections_were_rejected_at_once_was_removed(
    harness: Harness,
) -> None:
    add_verified_connection(harness, "books")
    first = add_verified_connection(harness, "crm")
    for name in ("leads", "sync"):
        add_verified_connection(harness, name, client_of(harness, first.connection))
    remove_app(harness)
    detect_rejection(harness, "crm", "leads", "sync")
    found = diagnose(harness)
    assert cause_codes(found, LIKELY) == {"app-removed"}
    assert found.causes[0].code == "app-removed"
    assert "password-changed" in cause_codes(found, RULED_OUT)


def test_the_oldest_token_may_have_been_evicted(harness: Harness) -> None:
    oldest = add_verified_connection(harness, "crm")
    add_verified_connection(harness, "leads", client_of(harness, oldest.connection))
    evict_refresh_token(harness)
    detect_rejection(harness, "crm")
    found = diagnose(harness)
    # The newer one was authorized after the older last worked, so it is evidence only since then.
    assert "refresh-token-evicted" in cause_codes(found, POSSIBLE)
    assert not cause_codes(found, CERTAIN) | cause_codes(found, LIKELY)


def test_the_oldest_token_that_worked_recently_has_two_causes(harness: Harness) -> None:
    oldest = add_verified_connection(harness, "crm")
    add_verified_connection(harness, "leads", client_of(harness, oldest.connection))
    harness.verify("crm", oldest.generation)
    harness.advance(minutes=1)
    evict_refresh_token(harness)
    detect_rejection(harness, "crm")
    found = diagnose(harness)
    assert cause_codes(found, POSSIBLE) == {"refresh-token-evicted", "token-revoked-elsewhere"}


@pytest.mark.slow
def test_twenty_newer_tokens_make_eviction_likely(harness: Harness) -> None:
    oldest = add_verified_connection(harness, "crm")
    client = client_of(harness, oldest.connection)
    for number in range(20):
        name = f"crm-{number}"
        harness.add_connection(name, client)
        begun = harness.services.authorization.begin(name, force=True)
        harness.complete_authorization(begun, harness.give_consent(begun))
        harness.verify(name, 1)
        harness.advance(minutes=5)
    detect_rejection(harness, "crm")
    found = diagnose(harness)
    assert cause_codes(found, LIKELY) == {"refresh-token-evicted"}
    assert "20 refresh tokens" in found.causes[0].evidence_for[0]


def test_a_grant_authorized_after_the_rejection_is_no_evidence(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    change_password(harness)
    add_verified_connection(harness, "books")
    detect_rejection(harness, "crm")
    assert "password-changed" in cause_codes(diagnose(harness), POSSIBLE)


def test_the_connection_of_another_account_is_no_evidence(harness: Harness) -> None:
    client = harness.register_client("Shared")
    add_verified_connection(harness, "carlas", client, CARLA, FIRST_ORGANIZATION)
    add_verified_connection(harness, "crm", client)
    change_password(harness)
    detect_rejection(harness, "crm")
    assert cause_codes(diagnose(harness, max_requests=0), POSSIBLE) >= {
        "password-changed",
        "app-removed",
    }


def test_an_unnoticed_rejection_is_detected_by_a_check(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    add_verified_connection(harness, "books")
    change_password(harness)
    found = diagnose(harness)
    assert found.code == "refresh-token-rejected"
    assert cause_codes(found, LIKELY) | cause_codes(found, POSSIBLE) >= {"password-changed"}


def test_a_rejected_grant_is_not_requested_again(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    change_password(harness)
    first = diagnose(harness)
    assert readable_parts(diagnose(harness, max_requests=0)) == readable_parts(first)


def test_every_page_and_command_shows_the_same_diagnosis(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    add_verified_connection(harness, "books")
    change_password(harness)
    detect_rejection(harness, "crm", "books")
    step = harness.services.diagnosis.status_of("crm")
    assert step.explanation is not None
    assert readable_parts(step.explanation) == readable_parts(diagnose(harness))
