"""A server that replaces refresh tokens: the new one is stored first, the old never sent again."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from asking import current, failure, wait_for
from core import Core
from storm import storm

from wizard.broker.budgets import UNDER_WAY
from wizard.diagnosis import StepCode
from wizard.errors import Conflict
from wizard.house import House
from wizard.model import Confidence, Grant, GrantState

TOKEN = "oauth/v2/token"

ASK = """
import sys
from pathlib import Path
from core import settings_for
from wizard.house import House
directory, url = sys.argv[1:]
with House.open(settings_for(Path(directory), url)) as house:
    house.broker.access_token("crm")
"""


@pytest.fixture
def rotating(core: Core) -> Core:
    """A proved connection to a server that rotates and detects reuse; nothing is cached."""
    core.admin.change_settings(refresh_token_rotation="reuse-detection")
    core.proved()
    core.house.cache.drop("crm")
    core.admin.clear_journal()
    return core


def outcomes(core: Core) -> list[str]:
    """What the server made of each refresh, in order."""
    return [entry["outcome"] for entry in core.refreshes()]


def lives(core: Core, grant: Grant) -> bool:
    """Whether the server still accepts the refresh token that is stored. With reuse detection it
    does only where none before it was sent again."""
    return not core.sandbox.world.grants.refresh_tokens[grant.refresh_token].ended


def lose_an_answer(core: Core) -> None:
    """A process asks for a token and is killed after the server has replaced the refresh token,
    before the answer is here."""
    core.admin.fault("drip", endpoint=TOKEN, seconds=60, processed=True)
    told = (sys.executable, "-c", ASK, str(core.directory), core.sandbox.url)
    with subprocess.Popen(told, cwd=Path(__file__).parent.parent) as doomed:
        wait_for(lambda: len(core.refreshes()) == 1)
        doomed.kill()


def causes(core: Core) -> list[tuple[str, Confidence]]:
    """The causes that a diagnosis of the dead connection names, the likeliest first."""
    finding = core.house.diagnosis.step_of("crm").finding
    assert finding is not None
    return [(each.code, each.confidence) for each in finding.causes]


# --- A new refresh token replaces the old one ----------------------------------------------------


def test_each_new_refresh_token_is_stored_and_the_one_before_never_sent_again(
    rotating: Core,
) -> None:
    first = current(rotating)
    for _ in range(4):
        rotating.advance(hours=2)
        assert rotating.house.broker.access_token("crm").value
    assert outcomes(rotating) == ["ok"] * 4
    now = current(rotating)
    assert now.refresh_token != first.refresh_token
    assert lives(rotating, now)
    assert now.generation == first.generation
    assert now.rotated_at is not None


def test_the_verification_of_a_candidate_stores_each_new_refresh_token(core: Core) -> None:
    core.admin.change_settings(refresh_token_rotation="reuse-detection")
    core.connection()
    done = core.authorize("crm")
    assert done.generation is not None
    issued = core.house.store.grant("crm", done.generation)
    core.admin.clear_journal()
    core.admin.fault("strange", endpoint="user/info")
    core.climb("crm", done.generation)
    core.climb("crm", done.generation)
    grant = core.house.store.grant("crm", done.generation)
    assert issued is not None
    assert grant is not None
    assert grant.refresh_token != issued.refresh_token
    assert lives(core, grant)
    assert outcomes(core) == ["ok"] * 2


def test_a_caller_that_read_the_grant_earlier_sends_the_stored_refresh_token(
    rotating: Core,
) -> None:
    early = current(rotating)
    rotating.house.broker.refresh_grant(early)
    rotating.house.broker.refresh_grant(early)
    rotating.house.broker.renew_for_verdict(early)
    assert outcomes(rotating) == ["ok"] * 3
    rotating.house.broker.revoke(early)
    assert current(rotating).state is GrantState.REVOKED
    assert not lives(rotating, current(rotating))


def test_many_processes_that_find_no_token_make_one_refresh_and_one_rotation(
    rotating: Core,
) -> None:
    tokens = storm(rotating.directory, rotating.sandbox.url, "crm", 12)
    assert len(set(tokens)) == 1
    assert len(rotating.refreshes()) == 1
    assert lives(rotating, current(rotating))


def test_a_refresh_token_is_replaced_only_where_the_one_that_was_sent_is_still_stored(
    rotating: Core,
) -> None:
    grant, store = current(rotating), rotating.house.store
    store.rotate(grant, "1000.new.new", rotating.now())
    with pytest.raises(Conflict):
        store.rotate(grant, "1000.late.late", rotating.now())
    assert current(rotating).refresh_token == "1000.new.new"


# --- The new one is committed, or the answer is not used -----------------------------------------


def test_an_answer_whose_refresh_token_cannot_be_stored_is_not_used(rotating: Core) -> None:
    grant = current(rotating)
    rotating.admin.fault("slow", endpoint=TOKEN, seconds=1, processed=True)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(failure, rotating)
        wait_for(lambda: not rotating.admin.state()["faults"])  # its request has arrived
        rotating.house.store.rotate(grant, "1000.other.other", rotating.now())
        assert asked.result().code == "rotation-not-stored"
    assert rotating.house.cache.get("crm") is None
    assert rotating.house.broker.ledger("crm").asks[0].outcome == "rotation-not-stored"


@pytest.mark.slow
def test_a_new_refresh_token_that_cannot_be_stored_at_once_is_stored_after_a_pause(
    rotating: Core,
) -> None:
    path, settings = rotating.house.home.database, rotating.house.settings
    with closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as writer:

        def pause(_seconds: float) -> None:
            writer.execute("ROLLBACK")

        rotating.admin.fault("slow", endpoint=TOKEN, seconds=1, processed=True)
        with (
            House.open(settings, rotating.house.clock, pause) as house,
            ThreadPoolExecutor(1) as threads,
        ):
            asked = threads.submit(house.broker.access_token, "crm")
            wait_for(lambda: not rotating.admin.state()["faults"])  # its request has arrived
            writer.execute("BEGIN IMMEDIATE")
            assert asked.result().value
    assert lives(rotating, current(rotating))


@pytest.fixture
def small_files(rotating: Core) -> Iterator[None]:
    """No file can grow beyond some two hundred thousand bytes, as on a disk that is nearly full."""
    resource = pytest.importorskip("resource")
    rotating.house.store.database.fold()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_rotating_refresh_token_is_not_sent_while_there_is_no_room_for_the_next(
    rotating: Core, small_files: None
) -> None:
    assert failure(rotating).code == "disk-full"
    assert rotating.refreshes() == []


# --- An answer that was lost ---------------------------------------------------------------------


def test_a_kill_before_the_commit_is_shown_as_an_unknown_outcome(rotating: Core) -> None:
    lose_an_answer(rotating)
    diagnosis = rotating.house.diagnosis
    assert diagnosis.step_of("crm").code is StepCode.PROVED, "it may still be on its way"
    rotating.advance(seconds=UNDER_WAY.total_seconds() + 1)
    step = diagnosis.step_of("crm")
    assert step.code is StepCode.OUTCOME_UNKNOWN
    assert step.finding is not None
    assert step.finding.code == "refresh-outcome-unknown"
    assert step.finding.steps[0].command == "zoho-wizard check crm"
    assert "its answer was not stored" in step.finding.cause


def test_after_a_kill_the_old_refresh_token_is_sent_once_and_its_refusal_is_a_lost_rotation(
    rotating: Core,
) -> None:
    lose_an_answer(rotating)
    assert failure(rotating).code == "grant-dead"
    for _ in range(3):
        assert failure(rotating).code == "grant-dead"
    assert len(rotating.refreshes()) == 2, "the one that was lost, and one more"
    assert current(rotating).state is GrantState.DEAD
    assert causes(rotating)[0] == ("rotated-token-lost", Confidence.LIKELY)
    finding = rotating.house.diagnosis.step_of("crm").finding
    assert finding is not None
    assert finding.causes[0].title == "A rotated refresh token was lost"
    assert "no answer to it was stored" in finding.causes[0].evidence_for[0]
    assert "twice" not in finding.cause
    assert finding.steps[0].command == "zoho-wizard reauthorize crm"


def test_an_old_refresh_token_that_the_server_still_accepts_ends_the_unknown_outcome(
    rotating: Core,
) -> None:
    rotating.admin.fault("cut", endpoint=TOKEN)  # before the server has done anything
    assert failure(rotating).code == "network-reset"
    assert rotating.house.diagnosis.step_of("crm").code is StepCode.OUTCOME_UNKNOWN
    assert rotating.house.broker.access_token("crm").value
    assert rotating.house.diagnosis.step_of("crm").code is StepCode.PROVED


@pytest.mark.parametrize("kind", ["drip", "cut", "half"])
def test_a_refresh_without_an_answer_is_not_repeated_at_once_where_tokens_rotate(
    rotating: Core, kind: str
) -> None:
    rotating.house.transport.total_seconds = 1.0
    rotating.admin.fault(kind, endpoint=TOKEN, seconds=2, processed=True)
    assert failure(rotating).temporary
    assert len(rotating.refreshes()) == 1
    assert failure(rotating).code == "grant-dead"
    assert len(rotating.refreshes()) == 2
    assert causes(rotating)[0] == ("rotated-token-lost", Confidence.LIKELY)


def test_a_kill_after_the_commit_leaves_nothing_unknown(rotating: Core) -> None:
    rotating.house.broker.access_token("crm")
    last = "(SELECT max(id) FROM asks WHERE kind = 'refresh')"
    with closing(sqlite3.connect(rotating.house.home.database)) as handle, handle:
        handle.execute(f"UPDATE asks SET outcome = 'asked' WHERE id = {last}")
    rotating.advance(hours=2)
    assert rotating.house.diagnosis.step_of("crm").code is StepCode.PROVED
    grant = current(rotating)
    rotating.admin.evict(grant.account.email if grant.account else "", grant.client_id)
    assert failure(rotating).code == "grant-dead"
    assert ("rotated-token-lost", Confidence.POSSIBLE) in causes(rotating)


# --- What is not a lost rotation -----------------------------------------------------------------


def test_where_nothing_rotates_a_lost_answer_is_asked_again_and_not_blamed_first(
    core: Core,
) -> None:
    grant = core.proved()
    core.house.cache.drop("crm")
    core.admin.clear_journal()
    lose_an_answer(core)
    core.advance(minutes=5)
    assert core.house.diagnosis.step_of("crm").code is StepCode.PROVED
    core.admin.evict(grant.account.email if grant.account else "", grant.client_id)
    assert failure(core).code == "grant-dead"
    assert len(core.refreshes()) == 3, "the lost one, the refused one and its confirmation"
    assert causes(core)[0][0] != "rotated-token-lost"
    assert ("rotated-token-lost", Confidence.POSSIBLE) in causes(core)


@pytest.mark.parametrize(("kin", "confidence"), [(True, "LIKELY"), (False, "POSSIBLE")])
def test_a_first_rotation_that_was_lost_is_likely_where_another_connection_has_seen_one(
    core: Core, kin: bool, confidence: str
) -> None:
    for name in ("books", "crm"):
        core.proved(name)
        core.house.cache.drop(name)
    core.admin.change_settings(refresh_token_rotation="reuse-detection")
    if kin:
        core.house.broker.access_token("books")
    core.admin.fault("cut", endpoint=TOKEN, processed=True)
    assert failure(core).code == "grant-dead"
    assert ("rotated-token-lost", Confidence[confidence]) in causes(core)
    assert (causes(core)[0][0] == "rotated-token-lost") is kin


def test_a_rotating_refresh_token_that_is_refused_without_a_lost_answer_is_confirmed_once(
    rotating: Core,
) -> None:
    grant = current(rotating)
    rotating.admin.evict(grant.account.email if grant.account else "", grant.client_id)
    assert failure(rotating).code == "grant-dead"
    assert len(rotating.refreshes()) == 2
    assert ("rotated-token-lost", Confidence.POSSIBLE) in causes(rotating)
