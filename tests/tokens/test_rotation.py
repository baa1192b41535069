"""A server that replaces refresh tokens: the new one is stored first, the old never sent again."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support.concurrent_requests import request_tokens_concurrently
from support.harness import Harness
from support.tokens import current_grant, token_failure, wait_for

from wizard.errors import Conflict
from wizard.model import Confidence, Grant, GrantState
from wizard.model.states import PENDING_TIMEOUT, ConnectionState
from wizard.services import Services

TOKEN = "oauth/v2/token"

PROGRAM = """
import sys
from pathlib import Path
from support.harness import settings_for
from wizard.services import Services
directory, url = sys.argv[1:]
with Services.open(settings_for(Path(directory), url)) as services:
    services.tokens.access_token("crm")
"""


@pytest.fixture
def rotating(harness: Harness) -> Harness:
    """A verified connection to a server that rotates and detects reuse; nothing is cached."""
    harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    return harness


def outcomes(harness: Harness) -> list[str]:
    """The server's outcome of each refresh, in order."""
    return [entry["outcome"] for entry in harness.refresh_requests()]


def is_accepted(harness: Harness, grant: Grant) -> bool:
    """Whether the server still accepts the stored refresh token.

    With reuse detection, it does only if no earlier one was sent again.
    """
    return not harness.simulator.world.grants.refresh_tokens[
        grant.refresh_token
    ].invalidation_reason


def lose_response(harness: Harness) -> None:
    """A process requests a token and is killed after the server has replaced the refresh token, but
    before the response arrives."""
    harness.controls.inject_fault("byte-by-byte", endpoint=TOKEN, seconds=60, processed=True)
    command = (sys.executable, "-c", PROGRAM, str(harness.directory), harness.simulator.url)
    with subprocess.Popen(command, cwd=Path(__file__).parent.parent) as doomed:
        wait_for(lambda: len(harness.refresh_requests()) == 1)
        doomed.kill()


def causes(harness: Harness) -> list[tuple[str, Confidence]]:
    """The causes that a diagnosis of the rejected connection names, likeliest first."""
    finding = harness.services.diagnosis.status_of("crm").explanation
    assert finding is not None
    return [(each.code, each.confidence) for each in finding.causes]


# --- A new refresh token replaces the old one ----------------------------------------------------


def test_each_new_refresh_token_is_stored_and_the_previous_one_never_sent_again(
    rotating: Harness,
) -> None:
    first = current_grant(rotating)
    for _ in range(4):
        rotating.advance(hours=2)
        assert rotating.services.tokens.access_token("crm").value
    assert outcomes(rotating) == ["ok"] * 4
    now = current_grant(rotating)
    assert now.refresh_token != first.refresh_token
    assert is_accepted(rotating, now)
    assert now.generation == first.generation
    assert now.rotated_at is not None


def test_the_verification_of_a_candidate_stores_each_new_refresh_token(harness: Harness) -> None:
    harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    harness.add_connection()
    done = harness.authorize("crm")
    assert done.generation is not None
    issued = harness.services.store.grants.get("crm", done.generation)
    harness.controls.clear_journal()
    harness.controls.inject_fault("unexpected-json", endpoint="user/info")
    harness.verify("crm", done.generation)
    harness.verify("crm", done.generation)
    grant = harness.services.store.grants.get("crm", done.generation)
    assert issued is not None
    assert grant is not None
    assert grant.refresh_token != issued.refresh_token
    assert is_accepted(harness, grant)
    assert outcomes(harness) == ["ok"] * 2


def test_a_caller_that_read_the_grant_earlier_sends_the_stored_refresh_token(
    rotating: Harness,
) -> None:
    early = current_grant(rotating)
    rotating.services.tokens.refresh_grant(early)
    rotating.services.tokens.refresh_grant(early)
    rotating.services.tokens.refresh_for_check(early)
    assert outcomes(rotating) == ["ok"] * 3
    rotating.services.tokens.revoke(early)
    assert current_grant(rotating).state is GrantState.REVOKED
    assert not is_accepted(rotating, current_grant(rotating))


def test_many_processes_without_a_cached_token_make_one_refresh_and_one_rotation(
    rotating: Harness,
) -> None:
    tokens = request_tokens_concurrently([rotating.services.settings], "crm", 12)
    assert len(set(tokens)) == 1
    assert len(rotating.refresh_requests()) == 1
    assert is_accepted(rotating, current_grant(rotating))


def test_a_refresh_token_is_replaced_only_if_the_one_that_was_sent_is_still_stored(
    rotating: Harness,
) -> None:
    grant, store = current_grant(rotating), rotating.services.store
    store.grants.rotate(grant, "1000.new.new", rotating.now())
    with pytest.raises(Conflict):
        store.grants.rotate(grant, "1000.late.late", rotating.now())
    assert current_grant(rotating).refresh_token == "1000.new.new"


# --- The new one is committed, or the response is not used ---------------------------------------


def test_a_response_whose_refresh_token_cannot_be_stored_is_not_used(rotating: Harness) -> None:
    grant = current_grant(rotating)
    rotating.controls.inject_fault("slow", endpoint=TOKEN, seconds=1, processed=True)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(token_failure, rotating)
        wait_for(lambda: not rotating.controls.state()["faults"])  # its request has arrived
        rotating.services.store.grants.rotate(grant, "1000.other.other", rotating.now())
        assert asked.result().code == "rotation-not-stored"
    assert rotating.services.token_cache.get("crm") is None
    assert rotating.services.request_log.view("crm").requests[0].outcome == "rotation-not-stored"


@pytest.mark.slow
def test_a_new_refresh_token_that_cannot_be_stored_at_once_is_stored_after_a_pause(
    rotating: Harness,
) -> None:
    path, settings = rotating.services.paths.database, rotating.services.settings
    with closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as writer:

        def pause(_seconds: float) -> None:
            writer.execute("ROLLBACK")

        rotating.controls.inject_fault("slow", endpoint=TOKEN, seconds=1, processed=True)
        with (
            Services.open(settings, rotating.services.clock, pause) as services,
            ThreadPoolExecutor(1) as threads,
        ):
            asked = threads.submit(services.tokens.access_token, "crm")
            wait_for(lambda: not rotating.controls.state()["faults"])  # its request has arrived
            writer.execute("BEGIN IMMEDIATE")
            assert asked.result().value
    assert is_accepted(rotating, current_grant(rotating))


@pytest.fixture
def small_files(rotating: Harness) -> Iterator[None]:
    """Limit files to about 200,000 bytes, as on a disk that is nearly full."""
    resource = pytest.importorskip("resource")
    rotating.services.store.database.checkpoint()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.local_store
def test_a_rotating_refresh_token_is_not_sent_without_disk_space_for_the_next(
    rotating: Harness, small_files: None
) -> None:
    assert token_failure(rotating).code == "disk-full"
    assert rotating.refresh_requests() == []


# --- A lost response -----------------------------------------------------------------------------


@pytest.mark.local_store
def test_a_kill_before_the_commit_is_shown_as_an_unknown_outcome(rotating: Harness) -> None:
    lose_response(rotating)
    diagnosis = rotating.services.diagnosis
    assert diagnosis.status_of("crm").status.state is ConnectionState.VERIFIED, (
        "it may still be in transit"
    )
    rotating.advance(seconds=PENDING_TIMEOUT.total_seconds() + 1)
    step = diagnosis.status_of("crm")
    assert step.status.state is ConnectionState.OUTCOME_UNKNOWN
    assert step.explanation is not None
    assert step.explanation.code == "refresh-outcome-unknown"
    assert step.explanation.next_steps[0].command == "zoho-wizard check crm"
    assert "no answer was stored" in step.explanation.cause


@pytest.mark.local_store
def test_after_a_kill_the_old_refresh_token_is_sent_once_and_its_rejection_is_a_lost_rotation(
    rotating: Harness,
) -> None:
    lose_response(rotating)
    assert token_failure(rotating).code == "refresh-token-rejected"
    for _ in range(3):
        assert token_failure(rotating).code == "refresh-token-rejected"
    assert len(rotating.refresh_requests()) == 2, "the one that was lost, and one more"
    assert current_grant(rotating).state is GrantState.NEEDS_REAUTHORIZATION
    assert causes(rotating)[0] == ("rotated-token-lost", Confidence.LIKELY)
    finding = rotating.services.diagnosis.status_of("crm").explanation
    assert finding is not None
    assert "no response to it was stored" in finding.causes[0].evidence_for[0]
    assert "twice" not in finding.cause
    assert finding.next_steps[0].command == "zoho-wizard reauthorize crm"


def test_an_old_refresh_token_that_the_server_still_accepts_ends_the_unknown_outcome(
    rotating: Harness,
) -> None:
    rotating.controls.inject_fault(
        "connection-closed", endpoint=TOKEN
    )  # before the server has done anything
    assert token_failure(rotating).code == "network-reset"
    status = rotating.services.diagnosis.status_of("crm").status
    assert status.state is ConnectionState.OUTCOME_UNKNOWN
    assert rotating.services.tokens.access_token("crm").value
    assert rotating.services.diagnosis.status_of("crm").status.state is ConnectionState.VERIFIED


@pytest.mark.parametrize("kind", ["byte-by-byte", "connection-closed", "truncated-json"])
def test_a_refresh_without_a_response_is_not_repeated_at_once_if_tokens_rotate(
    rotating: Harness, kind: str
) -> None:
    rotating.services.transport.total_timeout_seconds = 1.0
    rotating.controls.inject_fault(kind, endpoint=TOKEN, seconds=2, processed=True)
    assert token_failure(rotating).temporary
    assert len(rotating.refresh_requests()) == 1
    assert token_failure(rotating).code == "refresh-token-rejected"
    assert len(rotating.refresh_requests()) == 2
    assert causes(rotating)[0] == ("rotated-token-lost", Confidence.LIKELY)


@pytest.mark.local_store
def test_a_kill_after_the_commit_leaves_no_unknown_outcome(rotating: Harness) -> None:
    rotating.services.tokens.access_token("crm")
    last = "(SELECT max(id) FROM token_requests WHERE kind = 'refresh')"
    with closing(sqlite3.connect(rotating.services.paths.database)) as handle, handle:
        handle.execute(f"UPDATE token_requests SET outcome = 'pending' WHERE id = {last}")
    rotating.advance(hours=2)
    assert rotating.services.diagnosis.status_of("crm").status.state is ConnectionState.VERIFIED
    grant = current_grant(rotating)
    rotating.controls.evict_refresh_token(
        grant.account.email if grant.account else "", grant.client_id
    )
    assert token_failure(rotating).code == "refresh-token-rejected"
    assert ("rotated-token-lost", Confidence.POSSIBLE) in causes(rotating)


# --- What is not a lost rotation -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.local_store
def test_without_rotation_a_lost_response_is_requested_again_and_not_the_first_cause(
    harness: Harness,
) -> None:
    grant = harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    lose_response(harness)
    harness.advance(minutes=5)
    assert harness.services.diagnosis.status_of("crm").status.state is ConnectionState.VERIFIED
    harness.controls.evict_refresh_token(
        grant.account.email if grant.account else "", grant.client_id
    )
    assert token_failure(harness).code == "refresh-token-rejected"
    assert len(harness.refresh_requests()) == 3, (
        "the lost one, the rejected one and its confirmation"
    )
    assert causes(harness)[0][0] != "rotated-token-lost"
    assert ("rotated-token-lost", Confidence.POSSIBLE) in causes(harness)


@pytest.mark.parametrize(("related", "confidence"), [(True, "LIKELY"), (False, "POSSIBLE")])
def test_a_lost_first_rotation_is_likely_if_another_connection_has_rotated(
    harness: Harness, related: bool, confidence: str
) -> None:
    for name in ("books", "crm"):
        harness.add_verified_connection(name)
        harness.services.token_cache.remove(name)
    harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    if related:
        harness.services.tokens.access_token("books")
    harness.controls.inject_fault("connection-closed", endpoint=TOKEN, processed=True)
    assert token_failure(harness).code == "refresh-token-rejected"
    assert ("rotated-token-lost", Confidence[confidence]) in causes(harness)
    assert (causes(harness)[0][0] == "rotated-token-lost") is related


def test_a_rotating_refresh_token_rejected_without_a_lost_response_is_confirmed_once(
    rotating: Harness,
) -> None:
    grant = current_grant(rotating)
    rotating.controls.evict_refresh_token(
        grant.account.email if grant.account else "", grant.client_id
    )
    assert token_failure(rotating).code == "refresh-token-rejected"
    assert len(rotating.refresh_requests()) == 2
    assert ("rotated-token-lost", Confidence.POSSIBLE) in causes(rotating)
