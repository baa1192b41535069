"""One authorization: begun, answered, exchanged once, stored; and everything else that may come."""

import base64
import hashlib
import resource
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from core import ANNA, BOB, CARLA, OUTLET, SCOPE, Core, query
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wizard.authorization import ALIVE, Begun, Completed
from wizard.errors import WizardError
from wizard.house import House
from wizard.model import AttemptState, Client, ClientSecret, Failure, Mode


def begun_with_callback(core: Core, email: str = ANNA) -> tuple[Begun, list[tuple[str, str]]]:
    """An attempt for a fresh connection ``crm``, and the parameters Zoho answered it with."""
    core.connection()
    begun = core.house.authorization.begin("crm")
    return begun, query(core.consent(begun, email))


def cookies(begun: Begun) -> dict[str, str]:
    return {begun.cookie_name: begun.cookie_value}


def refused(core: Core, params: list[tuple[str, str]], jar: dict[str, str]) -> str:
    """The code with which a callback that is not ours is turned away; nothing was exchanged."""
    with pytest.raises(WizardError) as error:
        core.house.authorization.complete(params, jar)
    assert core.exchanges() == []
    return error.value.failure.code


def state_of(core: Core, begun: Begun) -> AttemptState:
    return core.house.store.attempt(begun.attempt.id).state


def failed(done: Completed) -> Failure:
    assert done.failure is not None
    return done.failure


def changed(params: list[tuple[str, str]], **changes: str | None) -> list[tuple[str, str]]:
    """`params` with some replaced (``accounts_server`` for the hyphened name), or left out."""
    wanted = {name.replace("_", "-"): value for name, value in changes.items()}
    kept = [(name, value) for name, value in params if name not in wanted]
    return kept + [(name, value) for name, value in wanted.items() if value is not None]


# --- Begin ---------------------------------------------------------------------------------------


def test_the_request_asks_for_offline_access_with_state_and_s256(core: Core) -> None:
    core.connection()
    begun = core.house.authorization.begin("crm")
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


def test_no_two_starts_share_a_secret_and_none_stands_in_the_database_in_clear(core: Core) -> None:
    core.connection()
    begin, seen = core.house.authorization.begin, []
    for start in range(40):
        if start % 8 == 0:
            core.advance(minutes=10, seconds=1)
        begun = begin("crm")
        attempt = begun.attempt
        assert 43 <= len(attempt.code_verifier) <= 128
        seen += [attempt.oauth_state, attempt.code_verifier, begun.cookie_value, attempt.id]
    assert len(set(seen)) == len(seen)
    database = (core.directory / "data" / "wizard.db").read_bytes()
    written = database + (core.directory / "data" / "wizard.db-wal").read_bytes()
    for attempt in core.house.store.attempts("crm"):
        assert attempt.code_verifier.encode() not in written
        assert attempt.oauth_state.encode() not in written


def test_at_most_eight_attempts_are_alive_and_the_oldest_gives_way(core: Core) -> None:
    core.connection()
    first = core.house.authorization.begin("crm")
    for _ in range(ALIVE - 1):
        core.house.authorization.begin("crm")
    assert state_of(core, first) is AttemptState.REDIRECTED
    core.advance(minutes=11)
    core.house.authorization.begin("crm")
    assert state_of(core, first) is AttemptState.ABANDONED
    alive = [a for a in core.house.store.open_attempts() if a.state is AttemptState.REDIRECTED]
    assert len(alive) == ALIVE


def test_a_client_without_a_secret_for_its_home_begins_nothing(core: Core) -> None:
    elsewhere = (ClientSecret("in", "f0" * 21),)
    core.house.store.add_client(
        Client(
            "1000.X",
            "Lost",
            "eu",
            "http://localhost:8733/callback",
            elsewhere,
            created_at=core.now(),
        )
    )
    core.connection("crm", core.house.store.client("1000.X"))
    with pytest.raises(WizardError, match="missing-secret"):
        core.house.authorization.begin("crm")
    assert core.house.store.attempts("crm") == ()


# --- Complete ------------------------------------------------------------------------------------


def test_an_accepted_consent_ends_in_a_stored_grant(core: Core) -> None:
    begun, params = begun_with_callback(core)
    done = core.house.authorization.complete(params, cookies(begun))
    assert done.failure is None
    assert done.generation == 1
    assert done.attempt.state is AttemptState.STORED
    grant = core.house.store.grant("crm", 1)
    assert grant is not None
    assert grant.location == "eu"
    assert grant.location == "eu"
    assert set(grant.scope) == set(SCOPE)


def test_an_account_in_another_data_centre_is_exchanged_there_with_that_secret(core: Core) -> None:
    client = core.client()
    secret = core.admin.enable(client.client_id, "in")
    core.house.clients.change_secret(client.client_id, secret, "in")
    core.connection("crm", client)
    done = core.authorize("crm", BOB)
    assert done.failure is None
    (posted,) = core.exchanges()
    assert posted["location"] == "in"
    core.climb("crm", 1)
    grant = core.house.store.grant("crm")
    assert grant is not None
    assert grant.location == "in"


def test_without_a_secret_for_the_accounts_data_centre_nothing_is_sent(core: Core) -> None:
    client = core.client()
    core.admin.enable(client.client_id, "in")
    core.connection("crm", client)
    done = core.authorize("crm", BOB)
    assert failed(done).code == "missing-secret"
    assert failed(done).details["data_centre"] == "India"
    assert core.exchanges() == []
    assert done.attempt.state is AttemptState.REFUSED


def test_one_secret_for_all_data_centres_goes_there_on_the_persons_word(core: Core) -> None:
    client = core.client()
    secret = core.admin.enable(client.client_id, "in", same_credentials=True)
    core.house.clients.change_secret(client.client_id, secret, same_for_all=True)
    core.connection("crm", client)
    assert core.authorize("crm", BOB).failure is None


def test_a_common_secret_that_is_not_common_is_refused_by_name(core: Core) -> None:
    client = core.client()
    core.admin.enable(client.client_id, "in")
    secret = client.secret_for("eu")
    assert secret is not None
    core.house.clients.change_secret(client.client_id, secret, same_for_all=True)
    core.connection("crm", client)
    assert failed(core.authorize("crm", BOB)).code == "invalid-client-secret"


def test_a_client_switched_off_in_the_accounts_data_centre_is_named(core: Core) -> None:
    client = core.client()
    core.admin.enable(client.client_id, "in", same_credentials=True)
    secret = client.secret_for("eu")
    assert secret is not None
    core.house.clients.change_secret(client.client_id, secret, same_for_all=True)
    core.connection("crm", client)
    begun = core.house.authorization.begin("crm")
    callback = core.consent(begun, BOB)
    core.sandbox.world.clients.disable(client.client_id, "in")
    assert failed(core.finish(begun, callback)).code == "multi-dc-off"


def test_an_unknown_data_centre_is_learned_from_the_callback(core: Core) -> None:
    core.connection()
    core.house.store.set_location("crm", None)
    core.authorize("crm")
    assert core.house.store.connection("crm").location == "eu"


def test_an_answer_without_refresh_token_stores_nothing(core: Core) -> None:
    core.proved("first")
    client = core.house.store.clients()[0]
    core.connection("crm", client)
    begun = core.house.authorization.begin("crm")
    silent = begun.url.replace("prompt=consent", "prompt=")
    done = core.finish(begun, core.admin.authorize(silent, ANNA))
    assert failed(done).code == "no-refresh-token"
    assert core.house.store.grants("crm") == ()
    assert done.attempt.state is AttemptState.REFUSED
    assert core.authorize("crm").generation == 1


def test_a_code_older_than_two_minutes_is_refused_and_the_repeat_works(core: Core) -> None:
    begun, params = begun_with_callback(core)
    core.advance(seconds=121)
    done = core.house.authorization.complete(params, cookies(begun))
    assert failed(done).code == "code-refused"
    assert failed(done).zoho_word == "invalid_code"
    assert core.authorize("crm").generation == 1


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("access_denied", "access-denied"),
        ("no_org", "no-organization"),
        ("server_error", "callback-error"),
        ("<script>alert(1)</script>\x1b[31m" + "x" * 500, "callback-error"),
    ],
)
def test_a_refusal_at_zoho_ends_the_attempt(core: Core, word: str, code: str) -> None:
    core.connection()
    begun = core.house.authorization.begin("crm")
    params = [("error", word), ("state", begun.attempt.oauth_state)]
    done = core.house.authorization.complete(params, cookies(begun))
    assert failed(done).code == code
    assert len(failed(done).zoho_word) <= 80
    assert "\x1b" not in failed(done).zoho_word
    assert state_of(core, begun) is AttemptState.REFUSED
    assert core.exchanges() == []


# --- Whose callback is it (P4, P5) ---------------------------------------------------------------


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
def test_a_callback_that_is_not_ours_is_refused(
    core: Core, case: str, code: str, kind: str
) -> None:
    begun, params = begun_with_callback(core)
    if kind == "error":
        params = changed(params, code=None, error="access_denied", error_description="ours!")
    other = core.house.authorization.begin("crm")
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
    assert refused(core, *forged[case]) == code
    assert state_of(core, begun) is AttemptState.REDIRECTED
    done = core.house.authorization.complete(params, jar)
    expected = "access-denied" if kind == "error" else None
    assert (done.failure.code if done.failure else None) == expected


def test_a_callback_that_comes_again_is_not_exchanged_again(core: Core) -> None:
    begun, params = begun_with_callback(core)
    for expected in (None, "callback-repeated", "callback-repeated"):
        done = core.house.authorization.complete(params, cookies(begun))
        assert (done.failure.code if done.failure else None) == expected
        assert done.connection == "crm"
    assert len(core.exchanges()) == 1


def test_an_answer_that_comes_again_without_its_cookie_is_told_from_a_stolen_one(
    core: Core,
) -> None:
    begun, params = begun_with_callback(core)
    assert refused(core, params, {}) == "callback-wrong-browser"
    core.house.authorization.complete(params, cookies(begun))
    for jar, code in (
        ({}, "callback-repeated"),
        ({begun.cookie_name: "guess"}, "callback-wrong-browser"),
    ):
        with pytest.raises(WizardError) as error:
            core.house.authorization.complete(params, jar)
        assert error.value.failure.code == code
    assert len(core.exchanges()) == 1


def test_an_attempt_expires_after_an_hour(core: Core) -> None:
    begun, params = begun_with_callback(core)
    core.advance(hours=1)
    done = core.house.authorization.complete(params, cookies(begun))
    assert failed(done).code == "attempt-expired"
    assert core.exchanges() == []
    assert state_of(core, begun) is AttemptState.REFUSED


def test_a_callback_after_a_restart_is_completed(core: Core) -> None:
    begun, params = begun_with_callback(core)
    with House.open(core.house.settings, core.house.clock) as reopened:
        assert reopened.authorization.complete(params, cookies(begun)).generation == 1


def test_five_wrong_tries_close_the_attempt(core: Core) -> None:
    begun, params = begun_with_callback(core)
    for _ in range(4):
        refused(core, params, {begun.cookie_name: "guess"})
    assert state_of(core, begun) is AttemptState.REDIRECTED
    refused(core, params, {begun.cookie_name: "guess"})
    assert state_of(core, begun) is AttemptState.REFUSED
    done = core.house.authorization.complete(params, cookies(begun))
    assert failed(done).code == "callback-repeated"
    assert core.exchanges() == []


def test_two_tabs_do_not_disturb_each_other(core: Core) -> None:
    core.connection()
    one, two = core.house.authorization.begin("crm"), core.house.authorization.begin("crm")
    jar = {**cookies(one), **cookies(two)}
    for begun, generation in ((two, 1), (one, 2)):
        params = query(core.consent(begun))
        assert core.house.authorization.complete(params, jar).generation == generation


# --- Where the code may go (P1, P2) --------------------------------------------------------------

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
def test_a_hostile_accounts_server_is_compared_and_never_used(
    core: Core, location: str | None
) -> None:
    begun, params = begun_with_callback(core)
    right = dict(params)["accounts-server"]
    core.admin.clear_journal()
    for number, hostile in enumerate(HOSTILE):
        if number:
            if number % 8 == 0:
                core.advance(minutes=10, seconds=1)
            begun = core.house.authorization.begin("crm")
            params = changed(params, state=begun.attempt.oauth_state)
        forged = changed(params, accounts_server=hostile.format(right), location=location)
        done = core.house.authorization.complete(forged, cookies(begun))
        assert failed(done).code == "issuer-mismatch", hostile
        assert hostile not in repr(failed(done)) or not hostile
        assert done.attempt.state is AttemptState.REFUSED
    assert core.admin.journal() == []


def test_only_pairs_of_one_row_are_accepted(core: Core) -> None:
    begun, params = begun_with_callback(core)
    table = core.house.zoho.data_centres
    accepted = []
    core.admin.clear_journal()
    for number, (one, other) in enumerate((a, b) for a in table for b in table):
        if number % 8 == 0:
            core.advance(minutes=10, seconds=1)
        begun = core.house.authorization.begin("crm")
        forged = changed(
            params,
            state=begun.attempt.oauth_state,
            location=one.location,
            accounts_server=other.accounts_server,
        )
        done = core.house.authorization.complete(forged, cookies(begun))
        if failed(done).code != "issuer-mismatch":
            accepted.append((one.location, other.location, failed(done).code))
    rest = [d.location for d in table if d.location not in ("eu", "cn")]
    assert ("eu", "eu", "code-refused") in accepted
    assert sorted(accepted) == sorted(
        [("eu", "eu", "code-refused"), *((each, each, "missing-secret") for each in rest)]
    )
    assert {entry["location"] for entry in core.admin.journal()} == {"eu"}


@pytest.mark.parametrize(
    "iss", ["https://evil.example", "{0}/", "", "{0}:443", "HTTPS{0}", "{0}.", " {0}"]
)
def test_an_issuer_that_is_named_must_be_the_data_centres_own(core: Core, iss: str) -> None:
    begun, params = begun_with_callback(core)
    right = dict(params)["accounts-server"]
    done = core.house.authorization.complete(changed(params, iss=iss.format(right)), cookies(begun))
    assert failed(done).code == "issuer-mismatch"
    assert core.exchanges() == []


@pytest.mark.parametrize("code", [None, "", "x", "a b c d e f g h", "é" * 20, "x" * 2000])
def test_a_callback_without_a_usable_code_is_refused(core: Core, code: str | None) -> None:
    begun, params = begun_with_callback(core)
    done = core.house.authorization.complete(changed(params, code=code), cookies(begun))
    assert failed(done).code == "callback-without-code"
    assert core.exchanges() == []


# --- One POST a code (P7) ------------------------------------------------------------------------

CLEAR = {"throttle": "throttled", "redirect": "unexpected-redirect"}
FAULTS = ["garbage", "half", "cut", "oversize", "throttle", "dc-down", "server-error", "redirect"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("processed", [False, True])
def test_an_unclear_answer_is_an_unknown_outcome_and_never_posted_again(
    core: Core, fault: str, processed: bool
) -> None:
    begun, params = begun_with_callback(core)
    core.admin.fault(fault, endpoint="oauth/v2/token", processed=processed)
    done = core.house.authorization.complete(params, cookies(begun))
    if fault in CLEAR:
        assert failed(done).code == CLEAR[fault]
    else:
        assert failed(done).code == "outcome-unknown"
        assert done.attempt.state is AttemptState.OUTCOME_UNKNOWN
    again = core.house.authorization.complete(params, cookies(begun))
    assert failed(again).code == "callback-repeated"
    with House.open(core.house.settings, core.house.clock) as reopened:
        assert failed(reopened.authorization.complete(params, cookies(begun)))
    assert len(core.exchanges()) <= 1
    assert core.house.store.grants("crm") == ()


@pytest.fixture
def small_files(core: Core) -> Iterator[None]:
    """No file can grow beyond some two hundred thousand bytes, as on a disk that is nearly full."""
    core.house.store.database.fold()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_code_is_not_posted_while_there_is_no_room_for_what_it_brings(
    core: Core, request: pytest.FixtureRequest
) -> None:
    begun, params = begun_with_callback(core)
    request.getfixturevalue("small_files")
    done = core.house.authorization.complete(params, cookies(begun))
    assert failed(done).code == "disk-full"
    assert done.attempt.state is AttemptState.REFUSED
    assert core.exchanges() == []


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fault=st.sampled_from([None, *FAULTS]),
    processed=st.booleans(),
    visits=st.lists(st.sampled_from(["same tab", "no cookie", "restart", "late"]), max_size=4),
)
def test_whatever_happens_a_code_is_posted_at_most_once(
    core: Core, fault: str | None, processed: bool, visits: list[str]
) -> None:
    if not core.house.store.connections():
        core.connection()
    core.advance(minutes=10, seconds=1)
    core.admin.clear_faults()
    core.admin.clear_journal()
    begun = core.house.authorization.begin("crm")
    params = query(core.consent(begun))
    if fault:
        core.admin.fault(fault, endpoint="oauth/v2/token", processed=processed)
    for visit in ["same tab", *visits]:
        jar = {} if visit == "no cookie" else cookies(begun)
        core.advance(seconds=121 if visit == "late" else 0)
        with ExitStack() as stack:
            house = core.house
            if visit == "restart":
                house = stack.enter_context(House.open(house.settings, house.clock))
            with suppress(WizardError):  # no cookie: not ours
                house.authorization.complete(params, jar)
    assert len(core.exchanges()) <= 1
    assert state_of(core, begun) in (
        AttemptState.STORED,
        AttemptState.REFUSED,
        AttemptState.OUTCOME_UNKNOWN,
    )


def test_a_process_that_died_between_post_and_store_leaves_an_unknown_outcome(core: Core) -> None:
    begun, params = begun_with_callback(core)
    store = core.house.store
    store.advance_attempt(begun.attempt.id, AttemptState.REDIRECTED, AttemptState.CALLBACK_SEEN)
    store.advance_attempt(
        begun.attempt.id, AttemptState.CALLBACK_SEEN, AttemptState.EXCHANGE_INTENT
    )
    with core.house.broker.exchanging("crm"):
        core.house.authorization.close_interrupted()
        assert state_of(core, begun) is AttemptState.EXCHANGE_INTENT, "its process is alive"
    core.house.authorization.close_interrupted()
    assert state_of(core, begun) is AttemptState.OUTCOME_UNKNOWN
    done = core.house.authorization.complete(params, cookies(begun))
    assert failed(done).code == "callback-repeated"
    assert core.exchanges() == []


# --- Without a browser of ours -------------------------------------------------------------------


def pasting(core: Core) -> tuple[Begun, str]:
    core.connection()
    begun = core.house.authorization.begin("crm", Mode.PASTE)
    return begun, core.consent(begun)


def paste(core: Core, begun: Begun, text: str) -> Completed:
    return core.house.authorization.complete_pasted(begun.attempt.id, begun.cookie_value, text)


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
def test_a_pasted_address_or_code_is_understood(core: Core, shape: str) -> None:
    begun, address = pasting(core)
    code = dict(query(address))["code"]
    text = shape.format(
        address=address,
        bare=address.removeprefix("http://"),
        query=address.split("?")[1],
        code=code,
    )
    if shape.endswith("location=eu"):
        text += f"&{urlencode({'accounts-server': f'{core.sandbox.url}/eu/accounts'})}"
    assert paste(core, begun, text).generation == 1


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
def test_a_wrong_paste_is_named_and_the_right_one_still_works(
    core: Core, text: str, code: str
) -> None:
    begun, address = pasting(core)
    with pytest.raises(WizardError) as error:
        paste(core, begun, text)
    assert error.value.failure.code == code
    assert paste(core, begun, address).generation == 1


def test_a_paste_is_bound_to_the_process_that_began(core: Core) -> None:
    begun, address = pasting(core)
    authorization = core.house.authorization
    with pytest.raises(WizardError, match="callback-wrong-browser"):
        authorization.complete_pasted(begun.attempt.id, "guess", address)
    with pytest.raises(WizardError, match="callback-wrong-browser"):
        authorization.complete(query(address), cookies(begun))
    assert paste(core, begun, address).generation == 1


def test_a_pasted_code_is_posted_once(core: Core) -> None:
    begun, address = pasting(core)
    code = dict(query(address))["code"]
    assert paste(core, begun, code).generation == 1
    assert failed(paste(core, begun, code)).code == "callback-repeated"
    assert len(core.exchanges()) == 1


def test_a_self_clients_code_is_exchanged_without_redirect_uri_and_pkce(core: Core) -> None:
    made = core.admin.register_client(ANNA, [], name="Self", kind="self-client")
    ((_, secret),) = made["secrets"].items()
    client = core.house.clients.register(
        f"{made['client_id']} {secret}", name="Self", redirect_uri="", location="eu"
    )
    core.connection("crm", client)
    with pytest.raises(WizardError, match="self-client"):
        core.house.authorization.begin("crm")
    code = core.admin.generate_code(client.client_id, ",".join(SCOPE))
    done = core.house.authorization.complete_self_client("crm", f" {code}\n")
    assert done.generation == 1
    core.climb("crm", 1)
    assert core.house.broker.access_token("crm").value
    again = core.house.authorization.complete_self_client("crm", code)
    assert failed(again).code == "code-refused"


# --- Again ---------------------------------------------------------------------------------------


def test_a_second_consent_is_generation_two_with_the_same_scope(core: Core) -> None:
    core.proved("crm", CARLA, OUTLET)
    done = core.authorize("crm", CARLA, OUTLET)
    assert done.generation == 2
    grant = core.house.store.grant("crm", 2)
    assert grant is not None
    assert set(grant.scope) == set(SCOPE)


def test_a_failed_second_consent_leaves_the_first_grant_at_work(core: Core) -> None:
    core.proved()
    begun = core.house.authorization.begin("crm")
    params = [("error", "access_denied"), ("state", begun.attempt.oauth_state)]
    core.house.authorization.complete(params, cookies(begun))
    assert core.house.broker.access_token("crm").generation == 1
