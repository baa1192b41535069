"""Clients, connections, reports, the request log and the history, in a real database."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Text, event, insert, literal, select, update
from support.killed_move import fill
from support.records import (
    CLIENT_ID,
    NOW,
    add_connections,
    add_grant,
    attempts_of,
    make_attempt,
    make_client,
    make_connection,
    raises_failure,
)
from support.storage import either_engine

from wizard.errors import WizardError
from wizard.model import (
    Account,
    Event,
    Failure,
    GrantState,
    HttpExchange,
    Identifier,
    Organization,
    RequestKind,
    SecretState,
    StepEvidence,
    StepState,
    TokenRequest,
    VerificationStep,
)
from wizard.paths import host_name
from wizard.store import AccessPermission, KeyPermission, Store, schema
from wizard.store.history import EventFilter

database_url = either_engine

# --- permissions -------------------------------------------------------------------------------


def test_what_somebody_without_the_key_wrote_into_the_database_gives_no_access(
    store: Store,
) -> None:
    add_connections(store, "crm", "books")
    users, keys = store.access_permissions, store.key_permissions
    user = AccessPermission("crm", 1000, "www-data", NOW)
    key = KeyPermission("crm", "SHA256:abc", "deploy@web1", NOW)
    users.add(user)
    keys.add(key)
    tables = schema.access_permissions, schema.key_permissions
    with store.database.write() as c:
        for table, identity in zip(tables, ("uid", "fingerprint"), strict=True):
            (stored,) = c.execute(select(table)).mappings()
            other = {"uid": 1001, "fingerprint": "SHA256:def"}[identity]
            for forged in (
                {**stored, "connection": "books"},
                {**stored, identity: other},
                {**stored, "connection": "books", identity: other, "seal": b""},
            ):
                c.execute(insert(table).values(forged))
    for name, new_name in (("books", "sales"), ("sales", "books")):
        store.connections.rename(name, new_name)
        assert users.all() == (replace(user, machine=store.database.machine_id),)
        assert keys.all() == (*keys.of_key("SHA256:abc"), *keys.of_key("SHA256:def")) == (key,)
        granted = {(e, uid) for e in ("crm", "books", "sales") for uid in (1000, 1001)}
        assert {each for each in granted if users.exists(*each)} == {("crm", 1000)}
    users.add(replace(user, connection="books"))
    keys.add(replace(key, connection="books"))
    store.connections.rename("books", "sales")
    assert users.exists("sales", 1000)
    assert [each.connection for each in keys.of_key("SHA256:abc")] == ["crm", "sales"]


# --- the store --------------------------------------------------------------------------------


def test_a_process_that_does_not_know_the_new_tables_neither_reads_nor_writes(
    store: Store,
) -> None:
    add_connections(store)
    with store.database.write() as c:
        is_shared = store.database.is_shared
        change = (
            "UPDATE zoho_wizard_store SET version = {}" if is_shared else "PRAGMA user_version = {}"
        )
        c.exec_driver_sql(change.format(store.database.known_version + 1))
    uses: tuple[Callable[[], object], ...] = (
        lambda: store.connections.add(make_connection("desk")),
        lambda: store.events.record_token_serving(Event(NOW, "crm", "token-served", {})),
        lambda: store.snapshot().__enter__(),
        store.require_active,
    )
    for use in uses:
        with raises_failure("store-newer-version"):
            use()


@pytest.mark.slow
def test_a_value_that_cannot_be_read_is_named(store: Store) -> None:
    fill(store)
    is_shared = store.database.is_shared
    for table in schema.metadata.sorted_tables:
        if table is schema.events or (table.info and not is_shared):
            continue
        for column in table.columns:
            kind = column.type
            if not isinstance(kind, schema.UtcDateTime | schema.EnumValue | schema.Json):
                continue
            for text in ("", "x", "null", "[" * 100_000, '{"a": 1}', "9999-12-31T23:59:59+00:00"):
                with store.database._begin_write() as c:
                    c.execute(update(table).values({column.name: literal(text, Text)}))
                with (
                    pytest.raises(WizardError) as caught,
                    store.database.read() as c,
                ):
                    c.execute(select(column)).all()
                found = caught.value.failure
                assert found.code == "store-value-unreadable"
                assert found.details["column"] == str(column)


# --- clients ----------------------------------------------------------------------------------


def test_a_client_is_read_as_it_was_added(store: Store) -> None:
    store.clients.add(make_client())
    assert store.clients.get(CLIENT_ID) == make_client()
    assert store.clients.all() == (make_client(),)


def test_a_client_is_added_once_by_id_and_by_name(store: Store) -> None:
    store.clients.add(make_client())
    with raises_failure("client-exists"):
        store.clients.add(make_client(name="Another"))
    with raises_failure("client-name-taken"):
        store.clients.add(make_client("1000.ANOTHER"))


def test_an_unknown_client_gets_the_nearest_names(store: Store) -> None:
    store.clients.add(make_client())
    with pytest.raises(WizardError) as caught:
        store.clients.get("1000.MADEUPP")
    assert CLIENT_ID in caught.value.failure.details["nearest"]


def test_a_new_secret_keeps_the_old_one_until_it_is_confirmed(store: Store) -> None:
    store.clients.add(make_client(secret="old"))
    store.clients.set_secret(CLIENT_ID, "eu", "new")
    found = {secret.state: secret.value for secret in store.clients.get(CLIENT_ID).secrets}
    assert found == {SecretState.CURRENT: "new", SecretState.PREVIOUS: "old"}
    assert store.clients.get(CLIENT_ID).secret_for("eu") == "new"
    store.clients.confirm_secret(CLIENT_ID, "eu")
    assert [secret.value for secret in store.clients.get(CLIENT_ID).secrets] == ["new"]


def test_a_rejected_secret_is_replaced_by_the_previous_one(store: Store) -> None:
    store.clients.add(make_client(secret="old"))
    store.clients.set_secret(CLIENT_ID, "eu", "new")
    store.clients.restore_secret(CLIENT_ID, "eu")
    assert [secret.value for secret in store.clients.get(CLIENT_ID).secrets] == ["old"]
    with raises_failure("changed-meanwhile"):
        store.clients.restore_secret(CLIENT_ID, "eu")
    assert store.clients.get(CLIENT_ID).secret_for("eu") == "old"


def test_setting_the_same_secret_again_changes_nothing(store: Store) -> None:
    store.clients.add(make_client(secret="old"))
    store.clients.set_secret(CLIENT_ID, "eu", "new")
    store.clients.set_secret(CLIENT_ID, "eu", "new")
    store.clients.restore_secret(CLIENT_ID, "eu")
    assert store.clients.get(CLIENT_ID).secret_for("eu") == "old"


def test_a_secret_serves_another_data_center_only_when_marked_common(store: Store) -> None:
    store.clients.add(make_client())
    assert store.clients.get(CLIENT_ID).secret_for("us") is None
    store.clients.set_secret(CLIENT_ID, "eu", "s3cret", has_common_secret=True)
    assert store.clients.get(CLIENT_ID).secret_for("us") == "s3cret"


def test_a_client_in_use_is_not_removed(store: Store) -> None:
    add_connections(store)
    with raises_failure("client-in-use"):
        store.clients.remove(CLIENT_ID)
    store.connections.remove("crm")
    store.clients.remove(CLIENT_ID)
    with raises_failure("unknown-client"):
        store.clients.remove(CLIENT_ID)


# --- connections --------------------------------------------------------------------------------


def test_a_connection_is_read_as_it_was_added(store: Store) -> None:
    add_connections(store, "desk", "crm")
    assert store.connections.get("crm") == make_connection()
    assert [each.name for each in store.connections.all()] == ["crm", "desk"]


@pytest.mark.parametrize(
    "name", ["", "-x", ".hidden", "a/b", "a b", "a\n", "a\x00", "é", "x" * 64, "..", "%2e"]
)
def test_a_name_unfit_for_files_urls_and_shells_is_refused(store: Store, name: str) -> None:
    store.clients.add(make_client())
    with raises_failure("bad-name"):
        store.connections.add(make_connection(name))


def test_names_are_unique_regardless_of_case(store: Store) -> None:
    add_connections(store)
    with raises_failure("connection-exists"):
        store.connections.add(make_connection("CRM"))


def test_a_connection_needs_a_known_client(store: Store) -> None:
    with raises_failure("unknown-client"):
        store.connections.add(make_connection())


def test_an_unknown_connection_gets_the_names_and_the_data_directory(store: Store) -> None:
    add_connections(store, "crm-production")
    with pytest.raises(WizardError) as caught:
        store.connections.get("crm-prodution")
    details = caught.value.failure.details
    assert details["nearest"] == "crm-production"
    assert details["data_directory"] == store.database.place


def test_the_nearest_name_is_found_regardless_of_case(store: Store) -> None:
    add_connections(store, "crm2", "books", "desk", "mail")
    with pytest.raises(WizardError) as caught:
        store.connections.get("CRM2")
    assert caught.value.failure.details["nearest"] == "crm2"


def test_scope_and_location_are_changed_by_name(store: Store) -> None:
    add_connections(store)
    store.connections.set_scope("crm", ("ZohoCRM.modules.READ", "ZohoCRM.org.READ"))
    store.connections.set_location("crm", None)
    found = store.connections.get("crm")
    assert found.scope == ("ZohoCRM.modules.READ", "ZohoCRM.org.READ")
    assert found.location is None
    with raises_failure("unknown-connection"):
        store.connections.set_scope("nowhere", ())
    with raises_failure("unknown-connection"):
        store.connections.set_location("nowhere", "us")


def test_removing_a_connection_removes_its_grants_and_keeps_its_history(store: Store) -> None:
    add_connections(store)
    add_grant(store)
    store.verification_reports.begin("crm", 1, NOW)
    store.events.record(Event(NOW, "crm", "connected"))
    store.connections.remove("crm")
    assert store.grants.of_connection("crm") == ()
    assert attempts_of(store, "crm") == ()
    assert store.verification_reports.get("crm", 1) is None
    found = store.events.search(EventFilter(connections=["crm"]))
    assert [each.kind for each in found] == ["created", "connected"]
    with raises_failure("unknown-connection"):
        store.connections.remove("crm")


# --- reports ------------------------------------------------------------------------------------

EXCHANGE = HttpExchange(
    "POST", "https://accounts.zoho.eu/oauth/v2/token", {"code": "(masked)"}, 200, "{}", NOW
)
FAILURE = Failure("throttled", "Access Denied", True, True, {"host": "eu"}, EXCHANGE, NOW)


def test_a_report_grows_step_by_step_and_ends(store: Store) -> None:
    add_connections(store)
    add_grant(store)
    good = VerificationStep(
        "refresh",
        StepState.PASSED,
        (StepEvidence("access-token-issued", {"expires_in": "3600"}),),
        NOW,
    )
    bad = VerificationStep("identity", StepState.FAILED, (), NOW, FAILURE)
    store.verification_reports.begin("crm", 1, NOW)
    store.verification_reports.add_step("crm", 1, good)
    store.verification_reports.add_step("crm", 1, bad)
    found = store.verification_reports.get("crm", 1)
    assert found is not None
    assert (found.steps, found.finished_at) == ((good, bad), None)
    store.verification_reports.finish("crm", 1, NOW)
    found = store.verification_reports.get("crm", 1)
    assert found is not None
    assert (found.finished_at, found.is_verified) == (NOW, False)


def test_verifying_again_starts_a_new_report(store: Store) -> None:
    add_connections(store)
    add_grant(store)
    for _ in range(2):
        store.verification_reports.begin("crm", 1, NOW)
        store.verification_reports.add_step(
            "crm", 1, VerificationStep("refresh", StepState.PASSED, (), NOW)
        )
    found = store.verification_reports.get("crm", 1)
    assert found is not None
    assert len(found.steps) == 1


def test_a_report_is_finished_once(store: Store) -> None:
    add_connections(store)
    add_grant(store)
    store.verification_reports.begin("crm", 1, NOW)
    store.verification_reports.finish("crm", 1, NOW)
    with raises_failure("changed-meanwhile"):
        store.verification_reports.finish("crm", 1, NOW)


# --- the request log and the history --------------------------------------------------------------


def token_request(minutes: int = 0, connection: str = "crm") -> TokenRequest:
    return TokenRequest(
        RequestKind.REFRESH, NOW + timedelta(minutes=minutes), "eu", CLIENT_ID, connection
    )


def test_the_request_log_lists_recent_requests_newest_first(store: Store) -> None:
    numbers = [store.request_log.add(token_request(minutes)) for minutes in (0, 5, 10)]
    store.request_log.finish(numbers[1], "ok")
    found = store.request_log.requests(since=NOW + timedelta(minutes=5))
    assert [(each.at, each.outcome) for each in found] == [
        (NOW + timedelta(minutes=10), "pending"),
        (NOW + timedelta(minutes=5), "ok"),
    ]


@pytest.mark.parametrize("narrowed", ["client_id", "connection", "location"])
def test_the_request_log_is_filtered_by_the_given_values(store: Store, narrowed: str) -> None:
    another: dict[str, Any] = {narrowed: "another"}
    store.request_log.add(token_request())
    store.request_log.add(replace(token_request(), **another))
    found = store.request_log.requests(since=NOW, **another)
    assert [getattr(each, narrowed) for each in found] == ["another"]
    assert len(store.request_log.requests(since=NOW)) == 2


def test_the_request_log_keeps_one_month(store: Store) -> None:
    store.request_log.add(token_request())
    store.request_log.add(token_request(minutes=31 * 24 * 60))
    assert len(store.request_log.requests(since=NOW - timedelta(days=1))) == 1


def test_a_rejected_token_is_stored_as_its_fingerprint(store: Store) -> None:
    assert not store.rejections.is_refresh_token_rejected("one")
    store.rejections.add_refresh_token("one")
    store.rejections.add_refresh_token("one")
    assert store.rejections.is_refresh_token_rejected("one")
    assert not store.rejections.is_refresh_token_rejected("another")


def test_the_history_lists_the_last_lines_newest_first(store: Store) -> None:
    add_connections(store)
    for number in range(5):
        store.events.record(Event(NOW, "crm", f"event-{number}", {"what": "this"}))
    found = store.events.of_connection("crm", limit=2)
    assert [(each.kind, each.details["what"]) for each in found] == [
        ("event-4", "this"),
        ("event-3", "this"),
    ]


def test_a_renamed_connection_keeps_its_history_with_the_names_that_it_had(store: Store) -> None:
    add_connections(store)
    store.connections.rename("crm", "sales")
    store.connections.add(make_connection("crm"))
    store.events.record(Event(NOW, "sales", "edited"))

    def history(name: str) -> list[tuple[str, str]]:
        return [(each.connection, each.kind) for each in store.events.of_connection(name)]

    assert history("sales") == [("sales", "edited"), ("crm", "created")]
    assert history("crm") == [("crm", "created")]
    found = store.events.search(EventFilter(connections=["sales"]))
    assert [(each.connection, each.kind) for each in found] == history("sales")[::-1]


def test_events_are_found_by_what_is_known_of_them(store: Store) -> None:
    store.clients.add(make_client())
    now = datetime.now(UTC)
    for minutes, name in enumerate(("books", "crm", "desk")):
        created_at = now + timedelta(minutes=minutes)
        store.connections.add(replace(make_connection(name), created_at=created_at))
    store.events.record_token_serving(Event(now, "crm", "token-served", {}, "www-data", 4711))

    def found(limit: int | None = None, **wanted: Any) -> list[str]:
        events = store.events.search(EventFilter(**wanted), limit)
        return [each.connection for each in events if each.machine == host_name()]

    assert found() == ["books", "crm", "crm", "desk"]
    assert found(2) == ["crm", "desk"]
    assert found(connections=["crm", "desk"]) == ["crm", "crm", "desk"]
    assert found(since=now + timedelta(minutes=1)) == ["crm", "desk"]
    assert found(until=now + timedelta(minutes=1)) == ["books", "crm"]
    assert found(users=["www-data", "nobody"]) == found(kinds=["token-served"]) == ["crm"]
    assert found(machines=[host_name()]) == found()
    assert found(machines=["elsewhere"]) == []


# --- the overview ---------------------------------------------------------------------------------


def test_an_overview_line_has_grant_candidate_and_attempt(store: Store) -> None:
    add_connections(store, "fresh", "waiting", "verified")
    store.attempts.add(make_attempt("open", "waiting"))
    add_grant(store, name="verified")
    anna = Account(Identifier("100"), "anna@zylker.example", "Anna")
    zylker = (Organization("crm", Identifier("1"), "Zylker GmbH", "Production"),)
    store.grants.set_account("verified", 1, anna, zylker)
    store.grants.activate("verified", 1, 0)
    store.verification_reports.begin("verified", 1, NOW)
    store.verification_reports.finish("verified", 1, NOW)
    store.request_log.finish(store.request_log.add(token_request(connection="verified")), "ok")
    store.request_log.finish(
        store.request_log.add(token_request(5, connection="verified")), "throttled"
    )
    newer = add_grant(store, "1000.newer", "verified")
    lines = {line.connection.name: line for line in store.overviews.all()}
    assert list(lines) == ["fresh", "verified", "waiting"]
    fresh, verified, waiting = lines.values()
    assert (fresh.grant, fresh.candidate, fresh.attempt) == (None,) * 3
    assert waiting.attempt == make_attempt("open", "waiting")
    assert verified.grant is not None
    assert (verified.grant.state, verified.grant.account) == (GrantState.VERIFIED, anna)
    assert verified.grant.organizations == zylker
    assert verified.candidate == newer
    assert verified.last_check is None
    assert store.overviews.last_refreshes() == {"verified": NOW}


def test_the_overview_reads_in_the_same_statements_for_one_connection_and_for_many(
    store: Store,
) -> None:
    statements: list[str] = []
    add_connections(store)
    engine = store.database.engine
    event.listen(
        engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2])
    )
    store.overviews.all()
    for_one = len(statements)
    for number in range(20):
        store.connections.add(make_connection(f"another-{number}"))
        add_grant(store, name=f"another-{number}")
    statements.clear()
    assert len(store.overviews.all()) == 21
    assert len(statements) == for_one


def test_connections_that_are_not_simply_verified_are_found_among_many(store: Store) -> None:
    add_connections(store, "dead", "failed", "fresh", "gone", "renewing", "unfinished", "well")
    for name in ("dead", "failed", "gone", "renewing", "unfinished", "well"):
        add_grant(store, name=name)
        store.grants.activate(name, 1, 0)
        store.verification_reports.begin(name, 1, NOW)
    for name, state in (("failed", StepState.FAILED), ("unfinished", StepState.FAILED)):
        store.verification_reports.add_step(name, 1, VerificationStep("identity", state, (), NOW))
    for name in ("failed", "well"):
        store.verification_reports.finish(name, 1, NOW)
    store.grants.set_state("dead", 1, GrantState.NEEDS_REAUTHORIZATION)
    store.grants.set_state("gone", 1, GrantState.REVOKED)
    add_grant(store, name="renewing")
    lines = {line.connection.name: line for line in store.overviews.unsettled()}
    assert list(lines) == ["dead", "failed", "fresh", "gone", "renewing"]
    assert [
        name for name, line in lines.items() if line.last_check and line.last_check.failures
    ] == ["failed"]
    assert store.overviews.all(["failed", "well"])[0] == lines["failed"]


def test_names_are_found_by_a_part_in_any_case(store: Store) -> None:
    add_connections(store, "crm-Anna", "crm-bob", "books_anna")
    assert store.connections.find("ANNA")[:3] == (("books_anna", "crm-Anna"), 2, 3)
    assert store.connections.find(limit=2)[:3] == (("books_anna", "crm-Anna"), 3, 3)
    assert store.connections.find("%")[:3] == ((), 0, 3)


def test_a_search_tells_the_tags_and_accounts_of_all_connections(store: Store) -> None:
    add_connections(store, "books", "crm", "desk")
    store.connections.edit("books", tags=["prod", "eu"])
    store.connections.edit("desk", tags=["prod"])
    for found in (store.connections.find("crm"), store.connections.find("nothing")):
        assert (found.total, found.tags, found.emails) == (3, ("eu", "prod"), ())


def test_names_are_found_by_owner_and_tag_in_any_case(store: Store) -> None:
    add_connections(store, "books", "crm", "desk")
    store.connections.edit("books", owner="Équipe Ventes")
    store.connections.edit("desk", tags=["ventes-eu"])
    found = store.connections.find("VENTES").names
    assert found == ("books", "desk") == store.connections.find("ventes").names
    assert store.connections.find("ÉQUIPE").names == ("books",)
    matching = [each.name for each in store.connections.all() if each.matches("équipe")]
    assert matching == ["books"]


def test_owner_tags_and_note_are_kept_until_they_are_changed(store: Store) -> None:
    add_connections(store)
    store.connections.edit("crm", owner=" Anna ", add_tags=["Prod", "eu"], note="One\r\ntwo\n")
    assert store.connections.get("crm") == replace(
        make_connection(), owner="Anna", tags=("eu", "prod"), note="One\ntwo"
    )
    edited = store.connections.edit("crm", owner="", add_tags=["sales"], remove_tags=["PROD"])
    assert edited == store.connections.get("crm")
    assert (edited.owner, edited.tags, edited.note) == ("", ("eu", "sales"), "One\ntwo")
    store.connections.rename("crm", "crm-eu")
    assert store.connections.get("crm-eu").tags == ("eu", "sales")
    with raises_failure("unknown-connection"):
        store.connections.edit("crm", note="")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"owner": "x" * 101}, "bad-owner"),
        ({"owner": "Anna\nBob"}, "bad-owner"),
        ({"owner": "Anna \u202e"}, "bad-owner"),
        ({"tags": ["a b"]}, "bad-tag"),
        ({"tags": ["-x"]}, "bad-tag"),
        ({"tags": [""]}, "bad-tag"),
        ({"tags": ["x" * 33]}, "bad-tag"),
        ({"tags": [str(number) for number in range(21)]}, "too-many-tags"),
        ({"note": "x" * 1001}, "bad-note"),
        ({"note": "\x1b[31m"}, "bad-note"),
        ({"note": f"1000.{'a' * 32}.{'b' * 32}"}, "bad-note"),
    ],
)
def test_an_unfit_owner_tag_or_note_is_refused(
    store: Store, values: dict[str, Any], code: str
) -> None:
    add_connections(store)
    with raises_failure(code):
        store.connections.edit("crm", **values)
    with raises_failure(code):
        store.connections.add(replace(make_connection("other"), **values))
    assert store.connections.all() == (make_connection(),)


def test_connections_are_selected_by_all_of_several_tags(store: Store) -> None:
    add_connections(store, "books", "crm", "desk")
    store.connections.edit("books", tags=["eu", "prod"])
    store.connections.edit("crm", tags=["prod"])
    assert store.connections.tagged(["PROD"]) == ("books", "crm")
    assert store.connections.tagged(["prod", "eu"]) == ("books",)
    assert store.connections.tags() == ("eu", "prod")
    with pytest.raises(WizardError) as caught:
        store.connections.tagged(["prd"])
    assert caught.value.failure.details == {"tag": "prd", "known": "eu, prod"}
