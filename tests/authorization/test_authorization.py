"""An authorization from start to stored grant, and everything that can go wrong in between."""

import base64
import hashlib
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.harness import ANNA, BOB, CARLA, SCOPE, SECOND_ORGANIZATION, Harness, query_parameters
from support.records import attempts_of
from support.tokens import wait_for
from support.web_visitor import counted

from wizard.authorization import MAX_WAITING_ATTEMPTS, CompletedAttempt, StartedAttempt
from wizard.errors import WizardError
from wizard.model import AttemptMode, AttemptState, Client, ClientSecret, Failure
from wizard.services import Services


def begin_and_consent(
    harness: Harness, email: str = ANNA
) -> tuple[StartedAttempt, list[tuple[str, str]]]:
    """An attempt for a new connection ``crm``, and the parameters of Zoho's callback."""
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    return begun, query_parameters(harness.give_consent(begun, email))


def cookies(started: StartedAttempt) -> dict[str, str]:
    return {started.cookie_name: started.cookie_value}


def rejection_code(
    harness: Harness, params: list[tuple[str, str]], cookies_sent: dict[str, str]
) -> str:
    """The code with which a foreign callback is refused; nothing was exchanged."""
    with pytest.raises(WizardError) as error:
        harness.services.authorization.complete(params, cookies_sent)
    assert harness.code_exchanges() == []
    return error.value.failure.code


def state_of(harness: Harness, started: StartedAttempt) -> AttemptState:
    return harness.services.store.attempts.get(started.attempt.id).state


def failure_of(completed: CompletedAttempt) -> Failure:
    assert completed.failure is not None
    return completed.failure


def changed(params: list[tuple[str, str]], **changes: str | None) -> list[tuple[str, str]]:
    """`params` with some replaced (``accounts_server`` for the hyphenated name) or removed."""
    wanted = {name.replace("_", "-"): value for name, value in changes.items()}
    kept = [(name, value) for name, value in params if name not in wanted]
    return kept + [(name, value) for name, value in wanted.items() if value is not None]


# --- Start ---------------------------------------------------------------------------------------


def test_the_authorization_url_requests_offline_access_with_state_and_s256(
    harness: Harness,
) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.url).query).items()}
    digest = hashlib.sha256(begun.attempt.code_verifier.encode()).digest()
    assert asked == {
        "response_type": "code",
        "client_id": begun.attempt.client_id,
        "redirect_uri": "http://localhost:8733/callback",
        "scope": ",".join(SCOPE),
        "access_type": "offline",
        "prompt": "consent",
        "state": begun.attempt.oauth_state,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    assert begun.cookie_name == f"zw_flow_{begun.attempt.id}"
    assert begun.cookie_value not in begun.url
    assert "secret" not in begun.url


@pytest.mark.local_store
def test_secrets_of_attempts_are_unique_and_never_stored_in_plain_text(
    harness: Harness,
) -> None:
    harness.add_connection()
    begin, seen = harness.services.authorization.begin, []
    for start in range(40):
        if start % 8 == 0:
            harness.advance(minutes=10, seconds=1)
        begun = begin("crm")
        attempt = begun.attempt
        assert 43 <= len(attempt.code_verifier) <= 128
        seen += [attempt.oauth_state, attempt.code_verifier, begun.cookie_value, attempt.id]
    assert len(set(seen)) == len(seen)
    database = (harness.directory / "data" / "wizard.db").read_bytes()
    written = database + (harness.directory / "data" / "wizard.db-wal").read_bytes()
    for attempt in attempts_of(harness.services.store, "crm"):
        assert attempt.code_verifier.encode() not in written
        assert attempt.oauth_state.encode() not in written


def test_at_most_eight_attempts_are_open_and_the_oldest_is_dropped(harness: Harness) -> None:
    harness.add_connection()
    first = harness.services.authorization.begin("crm")
    for _ in range(MAX_WAITING_ATTEMPTS - 1):
        harness.services.authorization.begin("crm")
    assert state_of(harness, first) is AttemptState.REDIRECTED
    harness.advance(minutes=11)
    harness.services.authorization.begin("crm")
    assert state_of(harness, first) is AttemptState.ABANDONED
    open_attempts = [
        a for a in harness.services.store.attempts.open() if a.state is AttemptState.REDIRECTED
    ]
    assert len(open_attempts) == MAX_WAITING_ATTEMPTS


def test_a_client_without_a_secret_for_its_data_center_cannot_authorize(harness: Harness) -> None:
    elsewhere = (ClientSecret("in", "f0" * 21),)
    harness.services.store.clients.add(
        Client(
            "1000.X",
            "Lost",
            "eu",
            "http://localhost:8733/callback",
            elsewhere,
            created_at=harness.now(),
        )
    )
    harness.add_connection("crm", harness.services.store.clients.get("1000.X"))
    with pytest.raises(WizardError, match="missing-secret"):
        harness.services.authorization.begin("crm")
    assert attempts_of(harness.services.store, "crm") == ()


# --- Complete ------------------------------------------------------------------------------------


def test_an_accepted_consent_ends_in_a_stored_grant(harness: Harness) -> None:
    begun, params = begin_and_consent(harness)
    done = harness.services.authorization.complete(params, cookies(begun))
    assert done.failure is None
    assert done.generation == 1
    assert done.attempt.state is AttemptState.STORED
    grant = harness.services.store.grants.get("crm", 1)
    assert grant is not None
    assert grant.location == "eu"
    assert grant.location == "eu"
    assert set(grant.scope) == set(SCOPE)


def test_a_code_from_a_different_data_center_is_exchanged_there_with_its_secret(
    harness: Harness,
) -> None:
    client = harness.register_client()
    secret = harness.controls.enable_data_center(client.client_id, "in")
    harness.services.clients.set_secret(client.client_id, secret, "in")
    harness.add_connection("crm", client)
    done = harness.authorize("crm", BOB)
    assert done.failure is None
    (posted,) = harness.code_exchanges()
    assert posted["location"] == "in"
    harness.verify("crm", 1)
    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    assert grant.location == "in"


def test_without_a_secret_for_the_accounts_data_center_nothing_is_sent(harness: Harness) -> None:
    client = harness.register_client()
    harness.controls.enable_data_center(client.client_id, "in")
    harness.add_connection("crm", client)
    done = harness.authorize("crm", BOB)
    assert failure_of(done).code == "missing-secret"
    assert failure_of(done).details["data_center"] == "India"
    assert harness.code_exchanges() == []
    assert done.attempt.state is AttemptState.FAILED


def test_one_secret_for_all_data_centers_is_sent_there_after_confirmation(harness: Harness) -> None:
    client = harness.register_client()
    secret = harness.controls.enable_data_center(client.client_id, "in", same_credentials=True)
    harness.services.clients.set_secret(client.client_id, secret, has_common_secret=True)
    harness.add_connection("crm", client)
    assert harness.authorize("crm", BOB).failure is None


def test_a_common_secret_that_a_data_center_rejects_is_named(harness: Harness) -> None:
    client = harness.register_client()
    harness.controls.enable_data_center(client.client_id, "in")
    secret = client.secret_for("eu")
    assert secret is not None
    harness.services.clients.set_secret(client.client_id, secret, has_common_secret=True)
    harness.add_connection("crm", client)
    assert failure_of(harness.authorize("crm", BOB)).code == "invalid-client-secret"


def test_a_client_that_is_disabled_in_the_data_center_of_the_account_is_named(
    harness: Harness,
) -> None:
    client = harness.register_client()
    harness.controls.enable_data_center(client.client_id, "in", same_credentials=True)
    secret = client.secret_for("eu")
    assert secret is not None
    harness.services.clients.set_secret(client.client_id, secret, has_common_secret=True)
    harness.add_connection("crm", client)
    begun = harness.services.authorization.begin("crm")
    callback = harness.give_consent(begun, BOB)
    harness.simulator.world.clients.disable_data_center(client.client_id, "in")
    assert failure_of(harness.complete_authorization(begun, callback)).code == "multi-dc-off"


def test_an_unknown_data_center_is_detected_from_the_callback(harness: Harness) -> None:
    harness.add_connection()
    harness.services.store.connections.set_location("crm", None)
    harness.authorize("crm")
    assert harness.services.store.connections.get("crm").location == "eu"


def test_a_response_without_a_refresh_token_stores_nothing(harness: Harness) -> None:
    harness.add_verified_connection("first")
    client = harness.services.store.clients.all()[0]
    harness.add_connection("crm", client)
    begun = harness.services.authorization.begin("crm")
    silent = begun.url.replace("prompt=consent", "prompt=")
    done = harness.complete_authorization(begun, harness.controls.authorize(silent, ANNA))
    assert failure_of(done).code == "no-refresh-token"
    assert harness.services.store.grants.of_connection("crm") == ()
    assert done.attempt.state is AttemptState.FAILED
    assert harness.authorize("crm").generation == 1


def test_a_code_older_than_two_minutes_is_refused_and_a_retry_works(harness: Harness) -> None:
    begun, params = begin_and_consent(harness)
    harness.advance(seconds=121)
    done = harness.services.authorization.complete(params, cookies(begun))
    assert failure_of(done).code == "code-refused"
    assert failure_of(done).zoho_error == "invalid_code"
    assert harness.authorize("crm").generation == 1


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("access_denied", "access-denied"),
        ("no_org", "no-organization"),
        ("server_error", "callback-error"),
        ("<script>alert(1)</script>\x1b[31m" + "x" * 500, "callback-error"),
    ],
)
def test_access_denied_at_zoho_ends_the_attempt(harness: Harness, word: str, code: str) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    params = [("error", word), ("state", begun.attempt.oauth_state)]
    done = harness.services.authorization.complete(params, cookies(begun))
    assert failure_of(done).code == code
    assert len(failure_of(done).zoho_error) <= 80
    assert "\x1b" not in failure_of(done).zoho_error
    assert state_of(harness, begun) is AttemptState.FAILED
    assert harness.code_exchanges() == []


# --- Is the callback ours? (P4, P5) --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["code", "error"])
@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("no state", "callback-without-state"),
        ("empty state", "callback-without-state"),
        ("wrong state", "callback-unknown-state"),
        ("state in capitals", "callback-unknown-state"),
        ("state of another attempt", "callback-wrong-browser"),
        ("no cookie", "callback-wrong-browser"),
        ("empty cookie", "callback-wrong-browser"),
        ("wrong cookie", "callback-wrong-browser"),
        ("cookie of another attempt", "callback-wrong-browser"),
        ("neither", "callback-without-state"),
        ("state twice", "callback-repeated-parameter"),
        ("everything twice", "callback-repeated-parameter"),
    ],
)
def test_a_foreign_callback_is_refused(harness: Harness, case: str, code: str, kind: str) -> None:
    begun, params = begin_and_consent(harness)
    if kind == "error":
        params = changed(params, code=None, error="access_denied", error_description="ours!")
    other = harness.services.authorization.begin("crm")
    state = begun.attempt.oauth_state
    jar = cookies(begun)
    forged = {
        "no state": (changed(params, state=None), jar),
        "empty state": (changed(params, state=""), jar),
        "wrong state": (changed(params, state=state[:-1] + "~"), jar),
        "state in capitals": (changed(params, state=state.swapcase()), jar),
        "state of another attempt": (changed(params, state=other.attempt.oauth_state), jar),
        "no cookie": (params, {}),
        "empty cookie": (params, {begun.cookie_name: ""}),
        "wrong cookie": (params, {begun.cookie_name: begun.cookie_value[:-1] + "~"}),
        "cookie of another attempt": (params, {begun.cookie_name: other.cookie_value}),
        "neither": (changed(params, state=None), {}),
        "state twice": ([*params, ("state", state)], jar),
        "everything twice": (params * 2, jar),
    }
    assert rejection_code(harness, *forged[case]) == code
    assert state_of(harness, begun) is AttemptState.REDIRECTED
    done = harness.services.authorization.complete(params, jar)
    expected = "access-denied" if kind == "error" else None
    assert (done.failure.code if done.failure else None) == expected


def test_a_repeated_callback_is_not_exchanged_again(harness: Harness) -> None:
    begun, params = begin_and_consent(harness)
    for expected in (None, "callback-repeated", "callback-repeated"):
        done = harness.services.authorization.complete(params, cookies(begun))
        assert (done.failure.code if done.failure else None) == expected
        assert done.connection == "crm"
    assert len(harness.code_exchanges()) == 1


def test_of_callbacks_at_once_one_is_exchanged(harness: Harness) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    callback = harness.give_consent(begun)
    with ThreadPoolExecutor(4) as tabs, counted() as statements:
        with harness.services.locks.exchange("crm"):
            done = tabs.map(lambda _: harness.complete_authorization(begun, callback), range(4))
            wait_for(lambda: sum("FROM attempts" in each for each in statements) >= 4)
        codes = sorted(each.failure.code if each.failure else "" for each in done)
    assert codes == ["", *["callback-repeated"] * 3]
    assert len(harness.code_exchanges()) == 1


def test_a_repeated_callback_without_its_cookie_is_distinguished_from_a_stolen_one(
    harness: Harness,
) -> None:
    begun, params = begin_and_consent(harness)
    assert rejection_code(harness, params, {}) == "callback-wrong-browser"
    harness.services.authorization.complete(params, cookies(begun))
    for jar, code in (
        ({}, "callback-repeated"),
        ({begun.cookie_name: "guess"}, "callback-wrong-browser"),
    ):
        with pytest.raises(WizardError) as error:
            harness.services.authorization.complete(params, jar)
        assert error.value.failure.code == code
    assert len(harness.code_exchanges()) == 1


def test_an_attempt_expires_after_an_hour(harness: Harness) -> None:
    begun, params = begin_and_consent(harness)
    harness.advance(hours=1)
    done = harness.services.authorization.complete(params, cookies(begun))
    assert failure_of(done).code == "attempt-expired"
    assert harness.code_exchanges() == []
    assert state_of(harness, begun) is AttemptState.FAILED


def test_a_callback_after_a_restart_is_completed(harness: Harness) -> None:
    begun, params = begin_and_consent(harness)
    with Services.open(harness.services.settings, harness.services.clock) as reopened:
        assert reopened.authorization.complete(params, cookies(begun)).generation == 1


def test_five_wrong_callbacks_close_the_attempt(harness: Harness) -> None:
    begun, params = begin_and_consent(harness)
    for _ in range(4):
        rejection_code(harness, params, {begun.cookie_name: "guess"})
    assert state_of(harness, begun) is AttemptState.REDIRECTED
    rejection_code(harness, params, {begun.cookie_name: "guess"})
    assert state_of(harness, begun) is AttemptState.FAILED
    done = harness.services.authorization.complete(params, cookies(begun))
    assert failure_of(done).code == "callback-repeated"
    assert harness.code_exchanges() == []


def test_two_tabs_do_not_interfere(harness: Harness) -> None:
    harness.add_connection()
    one, two = (
        harness.services.authorization.begin("crm"),
        harness.services.authorization.begin("crm"),
    )
    jar = {**cookies(one), **cookies(two)}
    for begun, generation in ((two, 1), (one, 2)):
        params = query_parameters(harness.give_consent(begun))
        assert harness.services.authorization.complete(params, jar).generation == generation


# --- Where the code may be sent (P1, P2) ---------------------------------------------------------

HOSTILE = [
    "https://evil.example",
    "https://accounts.zoho.eu.evil.example",
    "https://accounts.zoho.eu@evil.example",
    "https://evil.example/accounts.zoho.eu",
    "https://evil.example#accounts.zoho.eu",
    "https://evil.example?accounts.zoho.eu",
    "https://accounts.zoho.eu",
    "http://accounts.zoho.eu",
    "https://accounts.zoho.eu:8443",
    "https://ACCOUNTS.ZOHO.EU",
    "https://accounts.zoho.eu.",
    "https://accounts.zoho.eu/",
    "https:\\\\accounts.zoho.eu",
    "//accounts.zoho.eu",
    "accounts.zoho.eu",
    "https://accounts%2ezoho.eu",
    "https://accounts.zoho.eu%00.evil.example",
    "https://accounts.zoho.eu\r\nHost: evil.example",
    "https://accounts.zoho.eu\n",
    " https://accounts.zoho.eu",
    "https://аccounts.zoho.eu",
    "https://accounts。zoho.eu",
    "https://127.0.0.1",
    "https://[::1]",
    "http://169.254.169.254",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "",
    "null",
    "{0}/",
    "{0}/.",
    "{0}@evil.example",
    "{0}?x",
    "{0}#x",
    "{0}\n",
    " {0}",
    "{0}/../../in/accounts",
]
"""``{0}`` stands for the right accounts server."""


@pytest.mark.parametrize("location", ["eu", "in", "EU", "mars", None])
def test_a_hostile_accounts_server_is_compared_but_never_contacted(
    harness: Harness, location: str | None
) -> None:
    begun, params = begin_and_consent(harness)
    right = dict(params)["accounts-server"]
    harness.controls.clear_journal()
    for number, hostile in enumerate(HOSTILE):
        if number:
            if number % 8 == 0:
                harness.advance(minutes=10, seconds=1)
            begun = harness.services.authorization.begin("crm")
            params = changed(params, state=begun.attempt.oauth_state)
        forged = changed(params, accounts_server=hostile.format(right), location=location)
        done = harness.services.authorization.complete(forged, cookies(begun))
        assert failure_of(done).code == "issuer-mismatch", hostile
        assert hostile not in repr(failure_of(done)) or not hostile
        assert done.attempt.state is AttemptState.FAILED
    assert harness.controls.journal() == []


@pytest.mark.slow
def test_only_a_location_and_accounts_server_of_one_row_are_accepted(harness: Harness) -> None:
    begun, params = begin_and_consent(harness)
    table = harness.services.zoho.data_centers
    accepted = []
    harness.controls.clear_journal()
    for number, (one, other) in enumerate((a, b) for a in table for b in table):
        if number % 8 == 0:
            harness.advance(minutes=10, seconds=1)
        begun = harness.services.authorization.begin("crm")
        forged = changed(
            params,
            state=begun.attempt.oauth_state,
            location=one.location,
            accounts_server=other.accounts_server,
        )
        done = harness.services.authorization.complete(forged, cookies(begun))
        if failure_of(done).code != "issuer-mismatch":
            accepted.append((one.location, other.location, failure_of(done).code))
    rest = [d.location for d in table if d.location not in ("eu", "cn")]
    assert ("eu", "eu", "code-refused") in accepted
    assert sorted(accepted) == sorted(
        [("eu", "eu", "code-refused"), *((each, each, "missing-secret") for each in rest)]
    )
    assert {entry["location"] for entry in harness.controls.journal()} == {"eu"}


@pytest.mark.parametrize(
    "iss", ["https://evil.example", "{0}/", "", "{0}:443", "HTTPS{0}", "{0}.", " {0}"]
)
def test_an_issuer_must_belong_to_the_data_center(harness: Harness, iss: str) -> None:
    begun, params = begin_and_consent(harness)
    right = dict(params)["accounts-server"]
    done = harness.services.authorization.complete(
        changed(params, iss=iss.format(right)), cookies(begun)
    )
    assert failure_of(done).code == "issuer-mismatch"
    assert harness.code_exchanges() == []


@pytest.mark.parametrize("code", [None, "", "x", "a b c d e f g h", "é" * 20, "x" * 2000])
def test_a_callback_without_a_usable_code_is_refused(harness: Harness, code: str | None) -> None:
    begun, params = begin_and_consent(harness)
    done = harness.services.authorization.complete(changed(params, code=code), cookies(begun))
    assert failure_of(done).code == "callback-without-code"
    assert harness.code_exchanges() == []


# --- One POST per code (P7) ----------------------------------------------------------------------

EMPTY_MESSAGES = {"rate-limit": "throttled", "redirect": "unexpected-redirect"}
FAULTS = [
    "html-page",
    "truncated-json",
    "connection-closed",
    "oversize",
    "rate-limit",
    "data-center-down",
    "server-error",
    "redirect",
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("processed", [False, True])
def test_an_unclear_response_is_an_unknown_outcome_and_is_never_posted_again(
    harness: Harness, fault: str, processed: bool
) -> None:
    begun, params = begin_and_consent(harness)
    harness.controls.inject_fault(fault, endpoint="oauth/v2/token", processed=processed)
    done = harness.services.authorization.complete(params, cookies(begun))
    if fault in EMPTY_MESSAGES:
        assert failure_of(done).code == EMPTY_MESSAGES[fault]
    else:
        assert failure_of(done).code == "outcome-unknown"
        assert done.attempt.state is AttemptState.OUTCOME_UNKNOWN
    again = harness.services.authorization.complete(params, cookies(begun))
    assert failure_of(again).code == "callback-repeated"
    with Services.open(harness.services.settings, harness.services.clock) as reopened:
        assert failure_of(reopened.authorization.complete(params, cookies(begun)))
    assert len(harness.code_exchanges()) <= 1
    assert harness.services.store.grants.of_connection("crm") == ()


@pytest.fixture
def small_files(harness: Harness) -> Iterator[None]:
    """Limit files to about 200,000 bytes, as on a disk that is nearly full."""
    harness.services.store.database.checkpoint()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.local_store
def test_a_code_is_not_posted_without_disk_space_for_its_tokens(
    harness: Harness, request: pytest.FixtureRequest
) -> None:
    begun, params = begin_and_consent(harness)
    request.getfixturevalue("small_files")
    done = harness.services.authorization.complete(params, cookies(begun))
    assert failure_of(done).code == "disk-full"
    assert done.attempt.state is AttemptState.FAILED
    assert harness.code_exchanges() == []


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fault=st.sampled_from([None, *FAULTS]),
    processed=st.booleans(),
    visits=st.lists(st.sampled_from(["same tab", "no cookie", "restart", "late"]), max_size=4),
)
def test_a_code_is_posted_at_most_once(
    harness: Harness, fault: str | None, processed: bool, visits: list[str]
) -> None:
    if not harness.services.store.connections.all():
        harness.add_connection()
    harness.advance(minutes=10, seconds=1)
    harness.controls.clear_faults()
    harness.controls.clear_journal()
    begun = harness.services.authorization.begin("crm")
    params = query_parameters(harness.give_consent(begun))
    if fault:
        harness.controls.inject_fault(fault, endpoint="oauth/v2/token", processed=processed)
    for visit in ["same tab", *visits]:
        jar = {} if visit == "no cookie" else cookies(begun)
        harness.advance(seconds=121 if visit == "late" else 0)
        with ExitStack() as stack:
            services = harness.services
            if visit == "restart":
                services = stack.enter_context(Services.open(services.settings, services.clock))
            with suppress(WizardError):  # no cookie: not ours
                services.authorization.complete(params, jar)
    assert len(harness.code_exchanges()) <= 1
    assert state_of(harness, begun) in (
        AttemptState.STORED,
        AttemptState.FAILED,
        AttemptState.OUTCOME_UNKNOWN,
    )


def test_a_process_killed_between_post_and_store_leaves_an_unknown_outcome(
    harness: Harness,
) -> None:
    begun, params = begin_and_consent(harness)
    store = harness.services.store
    store.attempts.advance(
        begun.attempt.id, AttemptState.REDIRECTED, AttemptState.CALLBACK_RECEIVED
    )
    store.attempts.advance(
        begun.attempt.id, AttemptState.CALLBACK_RECEIVED, AttemptState.EXCHANGE_INTENT
    )
    with harness.services.locks.exchange("crm"):
        harness.services.authorization.close_interrupted()
        assert state_of(harness, begun) is AttemptState.EXCHANGE_INTENT, "its process is alive"
    harness.services.authorization.close_interrupted()
    assert state_of(harness, begun) is AttemptState.OUTCOME_UNKNOWN
    done = harness.services.authorization.complete(params, cookies(begun))
    assert failure_of(done).code == "callback-repeated"
    assert harness.code_exchanges() == []


def test_a_callback_whose_first_process_was_killed_is_not_exchanged_by_a_second(
    harness: Harness,
) -> None:
    begun, params = begin_and_consent(harness)
    harness.services.store.attempts.advance(
        begun.attempt.id, AttemptState.REDIRECTED, AttemptState.CALLBACK_RECEIVED
    )
    done = harness.services.authorization.complete(params, cookies(begun))
    assert failure_of(done).code == "callback-repeated"
    assert harness.code_exchanges() == []


# --- Pasted callbacks ----------------------------------------------------------------------------


def paste_attempt(harness: Harness) -> tuple[StartedAttempt, str]:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm", AttemptMode.PASTE)
    return begun, harness.give_consent(begun)


def paste(harness: Harness, started: StartedAttempt, text: str) -> CompletedAttempt:
    return harness.services.authorization.complete_pasted(
        started.attempt.id, started.cookie_value, text
    )


@pytest.mark.parametrize(
    "shape",
    [
        "{address}",
        "  {address} \n",
        "{bare}",
        "{address}&",
        "{query}",
        "?{query}",
        "{code}",
        "{code}&location=eu",
        "code={code}",
    ],
)
def test_a_pasted_url_or_code_is_accepted(harness: Harness, shape: str) -> None:
    begun, address = paste_attempt(harness)
    code = dict(query_parameters(address))["code"]
    text = shape.format(
        address=address,
        bare=address.removeprefix("http://"),
        query=address.split("?")[1],
        code=code,
    )
    if shape.endswith("location=eu"):
        text += f"&{urlencode({'accounts-server': f'{harness.simulator.url}/eu/accounts'})}"
    assert paste(harness, begun, text).generation == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "paste-not-understood"),
        ("I do not know", "paste-not-understood"),
        ("x" * 9000, "paste-not-understood"),
        ("http://[", "paste-not-understood"),
        ("https://accounts.zoho.eu/oauth/v2/auth?state=x", "paste-not-callback"),
        ("http://localhost:8733/callback?code=1000.ab.cd", "callback-without-state"),
        ("http://localhost:8733/callback?code=1&code=2", "callback-repeated-parameter"),
        ("http://localhost:8733/callback?code=1000.ab.cd&state=x", "callback-unknown-state"),
    ],
)
def test_a_wrong_paste_is_named_and_a_correct_one_still_works(
    harness: Harness, text: str, code: str
) -> None:
    begun, address = paste_attempt(harness)
    with pytest.raises(WizardError) as error:
        paste(harness, begun, text)
    assert error.value.failure.code == code
    assert paste(harness, begun, address).generation == 1


def test_a_paste_is_bound_to_the_process_that_started_the_attempt(harness: Harness) -> None:
    begun, address = paste_attempt(harness)
    authorization = harness.services.authorization
    with pytest.raises(WizardError, match="callback-wrong-browser"):
        authorization.complete_pasted(begun.attempt.id, "guess", address)
    with pytest.raises(WizardError, match="callback-wrong-browser"):
        authorization.complete(query_parameters(address), cookies(begun))
    assert paste(harness, begun, address).generation == 1


def test_a_pasted_url_of_another_attempt_is_refused(harness: Harness) -> None:
    begun, address = paste_attempt(harness)
    other = harness.services.authorization.begin("crm", AttemptMode.PASTE)
    with pytest.raises(WizardError, match="callback-unknown-state"):
        paste(harness, other, address)
    assert paste(harness, begun, address).generation == 1


def test_a_pasted_code_is_posted_once(harness: Harness) -> None:
    begun, address = paste_attempt(harness)
    code = dict(query_parameters(address))["code"]
    assert paste(harness, begun, code).generation == 1
    assert failure_of(paste(harness, begun, code)).code == "callback-repeated"
    assert len(harness.code_exchanges()) == 1


def test_a_self_client_code_is_exchanged_without_redirect_uri_and_pkce(harness: Harness) -> None:
    made = harness.controls.register_client(ANNA, [], name="Self", kind="self-client")
    ((_, secret),) = made["secrets"].items()
    client = harness.services.clients.register(
        f"{made['client_id']} {secret}", name="Self", redirect_uri="", location="eu"
    )
    harness.add_connection("crm", client)
    with pytest.raises(WizardError, match="self-client"):
        harness.services.authorization.begin("crm")
    code = harness.controls.generate_code(client.client_id, ",".join(SCOPE))
    done = harness.services.authorization.complete_self_client("crm", f" {code}\n")
    assert done.generation == 1
    harness.verify("crm", 1)
    assert harness.services.tokens.access_token("crm").value
    again = harness.services.authorization.complete_self_client("crm", code)
    assert failure_of(again).code == "code-refused"


# --- A second consent ----------------------------------------------------------------------------


def test_a_second_consent_is_generation_two_with_the_same_scope(harness: Harness) -> None:
    harness.add_verified_connection("crm", CARLA, SECOND_ORGANIZATION)
    done = harness.authorize("crm", CARLA, SECOND_ORGANIZATION)
    assert done.generation == 2
    grant = harness.services.store.grants.get("crm", 2)
    assert grant is not None
    assert set(grant.scope) == set(SCOPE)


def test_a_failed_second_consent_keeps_the_first_grant_in_use(harness: Harness) -> None:
    harness.add_verified_connection()
    begun = harness.services.authorization.begin("crm")
    params = [("error", "access_denied"), ("state", begun.attempt.oauth_state)]
    harness.services.authorization.complete(params, cookies(begun))
    assert harness.services.tokens.access_token("crm").generation == 1
