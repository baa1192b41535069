"""Clients, connections, receipts, the ledger and the history, in a real database."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event
from support.records import (
    CLIENT_ID,
    NOW,
    add_connections,
    add_grant,
    make_attempt,
    make_client,
    make_connection,
    raises_failure,
)

from wizard.errors import WizardError
from wizard.model import (
    Account,
    Event,
    Failure,
    GrantState,
    HttpExchange,
    Organization,
    RequestKind,
    SecretState,
    StepState,
    TokenRequest,
    VerificationStep,
)
from wizard.store import Store

# --- clients ----------------------------------------------------------------------------------


def test_a_client_is_read_as_it_was_added(store: Store) -> None:
    store.add_client(make_client())
    assert store.client(CLIENT_ID) == make_client()
    assert store.clients() == (make_client(),)


def test_a_client_is_added_once_by_id_and_by_name(store: Store) -> None:
    store.add_client(make_client())
    with raises_failure("client-exists"):
        store.add_client(make_client(name="Another"))
    with raises_failure("client-name-taken"):
        store.add_client(make_client("1000.ANOTHER"))


def test_an_unknown_client_is_answered_with_the_nearest(store: Store) -> None:
    store.add_client(make_client())
    with pytest.raises(WizardError) as caught:
        store.client("1000.MADEUPP")
    assert CLIENT_ID in caught.value.failure.details["nearest"]


def test_a_new_secret_keeps_the_old_one_until_it_is_confirmed(store: Store) -> None:
    store.add_client(make_client(secret="old"))
    store.set_secret(CLIENT_ID, "eu", "new")
    found = {secret.state: secret.value for secret in store.client(CLIENT_ID).secrets}
    assert found == {SecretState.CURRENT: "new", SecretState.PREVIOUS: "old"}
    assert store.client(CLIENT_ID).secret_for("eu") == "new"
    store.confirm_secret(CLIENT_ID, "eu")
    assert [secret.value for secret in store.client(CLIENT_ID).secrets] == ["new"]


def test_a_refused_secret_gives_way_to_the_one_before(store: Store) -> None:
    store.add_client(make_client(secret="old"))
    store.set_secret(CLIENT_ID, "eu", "new")
    store.restore_secret(CLIENT_ID, "eu")
    assert [secret.value for secret in store.client(CLIENT_ID).secrets] == ["old"]
    with raises_failure("changed-meanwhile"):
        store.restore_secret(CLIENT_ID, "eu")
    assert store.client(CLIENT_ID).secret_for("eu") == "old"


def test_setting_the_same_secret_again_forgets_nothing(store: Store) -> None:
    store.add_client(make_client(secret="old"))
    store.set_secret(CLIENT_ID, "eu", "new")
    store.set_secret(CLIENT_ID, "eu", "new")
    store.restore_secret(CLIENT_ID, "eu")
    assert store.client(CLIENT_ID).secret_for("eu") == "old"


def test_a_secret_serves_another_data_center_only_when_marked_common(store: Store) -> None:
    store.add_client(make_client())
    assert store.client(CLIENT_ID).secret_for("us") is None
    store.set_secret(CLIENT_ID, "eu", "s3cret", has_common_secret=True)
    assert store.client(CLIENT_ID).secret_for("us") == "s3cret"


def test_a_client_in_use_is_not_removed(store: Store) -> None:
    add_connections(store)
    with raises_failure("client-in-use"):
        store.remove_client(CLIENT_ID)
    store.remove_connection("crm")
    store.remove_client(CLIENT_ID)
    with raises_failure("unknown-client"):
        store.remove_client(CLIENT_ID)


# --- connections --------------------------------------------------------------------------------


def test_a_connection_is_read_as_it_was_added(store: Store) -> None:
    add_connections(store, "desk", "crm")
    assert store.connection("crm") == make_connection()
    assert [each.name for each in store.connections()] == ["crm", "desk"]


@pytest.mark.parametrize(
    "name", ["", "-x", ".hidden", "a/b", "a b", "a\n", "a\x00", "é", "x" * 64, "..", "%2e"]
)
def test_a_name_unfit_for_files_urls_and_shells_is_refused(store: Store, name: str) -> None:
    store.add_client(make_client())
    with raises_failure("bad-name"):
        store.add_connection(make_connection(name))


def test_names_are_taken_regardless_of_capitals(store: Store) -> None:
    add_connections(store)
    with raises_failure("connection-exists"):
        store.add_connection(make_connection("CRM"))


def test_a_connection_needs_a_known_client(store: Store) -> None:
    with raises_failure("unknown-client"):
        store.add_connection(make_connection())


def test_an_unknown_connection_is_answered_with_names_and_home(store: Store) -> None:
    add_connections(store, "crm-production")
    with pytest.raises(WizardError) as caught:
        store.connection("crm-prodution")
    details = caught.value.failure.details
    assert details["nearest"] == "Nearest: crm-production."
    assert details["data_directory"].endswith("data")


def test_scope_and_location_are_changed_by_name(store: Store) -> None:
    add_connections(store)
    store.set_scope("crm", ("ZohoCRM.modules.READ", "ZohoCRM.org.READ"))
    store.set_location("crm", None)
    found = store.connection("crm")
    assert found.scope == ("ZohoCRM.modules.READ", "ZohoCRM.org.READ")
    assert found.location is None
    with raises_failure("unknown-connection"):
        store.set_scope("nowhere", ())
    with raises_failure("unknown-connection"):
        store.set_location("nowhere", "us")


def test_a_removed_connection_takes_its_grants_along_and_leaves_its_history(store: Store) -> None:
    add_connections(store)
    add_grant(store)
    store.begin_report("crm", 1, NOW)
    store.record_event(Event(NOW, "crm", "connected"))
    store.remove_connection("crm")
    assert store.grants("crm") == ()
    assert store.attempts("crm") == ()
    assert store.verification_report("crm", 1) is None
    assert [each.kind for each in store.history("crm")] == ["connected"]
    with raises_failure("unknown-connection"):
        store.remove_connection("crm")


# --- receipts -----------------------------------------------------------------------------------

EXCHANGE = HttpExchange(
    "POST", "https://accounts.zoho.eu/oauth/v2/token", {"code": "(masked)"}, 200, "{}", NOW
)
FAILURE = Failure("throttled", "Access Denied", True, True, {"host": "eu"}, EXCHANGE, NOW)


def test_a_receipt_grows_rung_by_rung_and_ends(store: Store) -> None:
    add_connections(store)
    add_grant(store)
    good = VerificationStep("refresh", StepState.PASSED, {"expires in": "3600 s"}, NOW)
    bad = VerificationStep("identity", StepState.FAILED, {}, NOW, FAILURE)
    store.begin_report("crm", 1, NOW)
    store.add_step("crm", 1, good)
    store.add_step("crm", 1, bad)
    found = store.verification_report("crm", 1)
    assert found is not None
    assert (found.steps, found.finished_at) == ((good, bad), None)
    store.finish_report("crm", 1, NOW)
    found = store.verification_report("crm", 1)
    assert found is not None
    assert (found.finished_at, found.is_verified) == (NOW, False)


def test_climbing_again_begins_a_fresh_receipt(store: Store) -> None:
    add_connections(store)
    add_grant(store)
    for _ in range(2):
        store.begin_report("crm", 1, NOW)
        store.add_step("crm", 1, VerificationStep("refresh", StepState.PASSED, {}, NOW))
    found = store.verification_report("crm", 1)
    assert found is not None
    assert len(found.steps) == 1


def test_a_receipt_is_finished_once(store: Store) -> None:
    add_connections(store)
    add_grant(store)
    store.begin_report("crm", 1, NOW)
    store.finish_report("crm", 1, NOW)
    with raises_failure("changed-meanwhile"):
        store.finish_report("crm", 1, NOW)


# --- the ledger and the history -------------------------------------------------------------------


def token_request(minutes: int = 0, connection: str = "crm") -> TokenRequest:
    return TokenRequest(
        RequestKind.REFRESH, NOW + timedelta(minutes=minutes), "eu", CLIENT_ID, connection
    )


def test_the_ledger_tells_newest_first_what_was_asked_since(store: Store) -> None:
    numbers = [store.add_token_request(token_request(minutes)) for minutes in (0, 5, 10)]
    store.finish_token_request(numbers[1], "ok")
    told = store.token_requests(since=NOW + timedelta(minutes=5))
    assert [(each.at, each.outcome) for each in told] == [
        (NOW + timedelta(minutes=10), "pending"),
        (NOW + timedelta(minutes=5), "ok"),
    ]


@pytest.mark.parametrize("narrowed", ["client_id", "connection", "location"])
def test_the_ledger_is_narrowed_by_what_is_given(store: Store, narrowed: str) -> None:
    another = {narrowed: "another"}
    store.add_token_request(token_request())
    store.add_token_request(replace(token_request(), **another))
    told = store.token_requests(since=NOW, **another)
    assert [getattr(each, narrowed) for each in told] == ["another"]
    assert len(store.token_requests(since=NOW)) == 2


def test_the_ledger_forgets_after_a_month(store: Store) -> None:
    store.add_token_request(token_request())
    store.add_token_request(token_request(minutes=31 * 24 * 60))
    assert len(store.token_requests(since=NOW - timedelta(days=1))) == 1


def test_a_refused_token_is_remembered_by_its_fingerprint(store: Store) -> None:
    assert not store.is_rejected_token("one")
    store.add_rejected_token("one")
    store.add_rejected_token("one")
    assert store.is_rejected_token("one")
    assert not store.is_rejected_token("another")


def test_the_history_tells_the_last_lines_newest_first(store: Store) -> None:
    for number in range(5):
        store.record_event(Event(NOW, "crm", f"event-{number}", {"what": "this"}))
    told = store.history("crm", limit=2)
    assert [(each.kind, each.details) for each in told] == [
        ("event-4", {"what": "this"}),
        ("event-3", {"what": "this"}),
    ]


# --- at a glance ----------------------------------------------------------------------------------


def test_an_overview_line_tells_grant_candidate_and_attempt(store: Store) -> None:
    add_connections(store, "fresh", "waiting", "proved")
    store.add_attempt(make_attempt("open", "waiting"))
    add_grant(store, name="proved")
    anna = Account("100", "anna@zylker.example", "Anna")
    zylker = (Organization("crm", "1", "Zylker GmbH", "Production"),)
    store.set_grant_account("proved", 1, anna, zylker)
    store.activate_grant("proved", 1, 0)
    store.begin_report("proved", 1, NOW)
    store.finish_report("proved", 1, NOW)
    store.finish_token_request(store.add_token_request(token_request(connection="proved")), "ok")
    store.finish_token_request(
        store.add_token_request(token_request(5, connection="proved")), "throttled"
    )
    newer = add_grant(store, "1000.newer", "proved")
    lines = {line.connection.name: line for line in store.overviews()}
    assert list(lines) == ["fresh", "proved", "waiting"]
    fresh, proved, waiting = lines.values()
    assert (fresh.grant, fresh.candidate, fresh.open_attempt) == (None,) * 3
    assert waiting.open_attempt == make_attempt("open", "waiting")
    assert proved.grant is not None
    assert (proved.grant.state, proved.grant.account) == (GrantState.VERIFIED, anna)
    assert proved.grant.organizations == zylker
    assert proved.candidate == newer
    assert not proved.has_failed_check
    assert store.last_refreshes() == {"proved": NOW}


def test_the_overview_asks_the_same_for_one_connection_and_for_many(store: Store) -> None:
    statements: list[str] = []
    add_connections(store)
    engine = store.database.engine
    event.listen(engine, "before_cursor_execute", lambda *heard: statements.append(heard[2]))
    store.overviews()
    for_one = len(statements)
    for number in range(20):
        store.add_connection(make_connection(f"another-{number}"))
        add_grant(store, name=f"another-{number}")
    statements.clear()
    assert len(store.overviews()) == 21
    assert len(statements) == for_one


def test_what_is_not_simply_proved_is_found_among_many(store: Store) -> None:
    add_connections(store, "dead", "failed", "fresh", "gone", "renewing", "unfinished", "well")
    for name in ("dead", "failed", "gone", "renewing", "unfinished", "well"):
        add_grant(store, name=name)
        store.activate_grant(name, 1, 0)
        store.begin_report(name, 1, NOW)
    for name, state in (("failed", StepState.FAILED), ("unfinished", StepState.FAILED)):
        store.add_step(name, 1, VerificationStep("identity", state, {}, NOW))
    for name in ("failed", "well"):
        store.finish_report(name, 1, NOW)
    store.set_grant_state("dead", 1, GrantState.NEEDS_REAUTHORIZATION)
    store.set_grant_state("gone", 1, GrantState.REVOKED)
    add_grant(store, name="renewing")
    lines = {line.connection.name: line for line in store.unsettled_overviews()}
    assert list(lines) == ["dead", "failed", "fresh", "gone", "renewing"]
    assert [name for name, line in lines.items() if line.has_failed_check] == ["failed"]
    assert store.overviews(["failed", "well"])[0] == lines["failed"]


def test_names_are_found_by_a_part_in_any_case(store: Store) -> None:
    add_connections(store, "crm-Anna", "crm-bob", "books_anna")
    assert store.connection_names("ANNA") == ["books_anna", "crm-Anna"]
    assert store.connection_names(limit=2) == ["books_anna", "crm-Anna"]
    assert (store.count_connections("anna"), store.count_connections()) == (2, 3)
    assert store.connection_names("%") == []
