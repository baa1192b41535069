"""Access tokens that Zoho rejected: no path serves one again, and one refresh replaces it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from support.claims import over_rows
from support.harness import ANNA, Harness
from support.shell import Shell
from support.tokens import current_grant, seconds_left

from wizard.errors import WizardError
from wizard.fastpath.commands import cached_token
from wizard.model import Failure, GrantState
from wizard.services import Services
from wizard.tokens.budgets import RefreshPurpose
from wizard.tokens.service import reported_token
from wizard.zoho import limits


def refused(harness: Harness, rejected: str = "", *, force_refresh: bool = False) -> Failure:
    """The failure of a token request for ``crm``."""
    with pytest.raises(WizardError) as error:
        harness.services.tokens.access_token("crm", rejected=rejected, force_refresh=force_refresh)
    return error.value.failure


def spend(harness: Harness) -> None:
    """Use up the grant's requests other than the one for rejected tokens."""
    for _ in range(limits().token_requests_budget - 1):  # its verification was the first
        harness.services.token_cache.remove("crm")
        harness.services.tokens.access_token("crm")


def test_a_rejected_token_is_replaced_by_one_refresh(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.controls.clear_journal()
    second = harness.services.tokens.access_token("crm", rejected=first.value)
    assert second.value != first.value
    assert harness.services.tokens.access_token("crm").value == second.value
    assert len(harness.refresh_requests()) == 1
    assert harness.services.store.events.of_connection("crm")[0].kind == "token-rejected"
    assert first.value not in str(harness.services.store.events.of_connection("crm"))


def test_a_report_of_another_token_gets_the_current_one_and_marks_nothing(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    second = harness.services.tokens.access_token("crm", rejected=first.value)
    harness.controls.clear_journal()
    for other in (first.value, "1000.somebody.elses"):
        assert harness.services.tokens.access_token("crm", rejected=other).value == second.value
    assert harness.refresh_requests() == []


def test_a_token_rejected_within_the_minute_is_not_served_until_it_is_over(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    second = harness.services.tokens.access_token("crm", rejected=first.value)
    harness.controls.clear_journal()
    for failure in (
        refused(harness, second.value),
        refused(harness),
        refused(harness, force_refresh=True),
    ):
        assert (failure.code, failure.temporary, failure.sent) == ("token-rejected", True, False)
        assert failure.retry_at is not None
        assert timedelta() < failure.retry_at - harness.now() <= timedelta(minutes=1)
    assert harness.refresh_requests() == []
    harness.advance(seconds=61)
    assert harness.services.tokens.access_token("crm").value not in (first.value, second.value)
    assert len(harness.refresh_requests()) == 1


def test_a_forced_token_counts_as_the_forced_refresh_of_its_minute(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.advance(seconds=61)
    forced = harness.services.tokens.access_token("crm", force_refresh=True)
    assert refused(harness, forced.value).code == "token-rejected"


def test_a_token_replaced_by_a_check_counts_as_the_forced_refresh_of_its_minute(
    harness: Harness,
) -> None:
    grant = harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.services.tokens.refresh_for_check(grant, first.value)
    second = harness.services.tokens.access_token("crm")
    assert second.value != first.value
    assert refused(harness, second.value).code == "token-rejected"


def test_twenty_programs_that_report_one_token_make_one_refresh(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.controls.clear_journal()
    together, tokens = threading.Barrier(20), []

    def report() -> None:
        together.wait()
        tokens.append(harness.services.tokens.access_token("crm", rejected=first.value).value)

    threads = [threading.Thread(target=report) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 20
    assert len({*tokens, first.value}) == 2
    assert len(harness.refresh_requests()) == 1


@pytest.mark.parametrize("cached", [True, False])
def test_a_rejected_token_that_the_server_issues_again_is_not_served(
    harness: Harness, cached: bool
) -> None:
    harness.add_verified_connection()
    harness.controls.change_settings(access_token_reuse=True)
    first = harness.services.tokens.access_token("crm", force_refresh=True)
    harness.advance(seconds=61)
    if not cached:
        harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    refusals = (
        refused(harness, first.value),
        refused(harness),
        refused(harness, force_refresh=True),
    )
    for failure in refusals:
        assert (failure.code, failure.temporary) == ("token-rejected", True)
        assert failure.retry_at is not None
        assert timedelta() < failure.retry_at - harness.now() <= timedelta(minutes=1)
    assert len(harness.refresh_requests()) == 1
    harness.advance(seconds=61)
    assert refused(harness).code == "token-rejected"
    assert len(harness.refresh_requests()) == 2
    harness.controls.change_settings(access_token_reuse=False)
    harness.advance(seconds=61)
    assert harness.services.tokens.access_token("crm").value != first.value


def test_a_check_that_gets_the_rejected_token_again_leaves_it_rejected(
    harness: Harness,
) -> None:
    grant = harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.controls.change_settings(access_token_reuse=True)
    harness.services.tokens.reject(grant, first.value)
    harness.services.tokens.refresh_for_check(grant, first.value)
    assert harness.services.tokens.is_rejected(grant)
    assert refused(harness).code == "token-rejected"


# --- the budget -----------------------------------------------------------------------------------


def test_one_request_of_the_budget_is_reserved_for_rejected_tokens(harness: Harness) -> None:
    harness.add_verified_connection()
    spend(harness)
    last = harness.services.tokens.access_token("crm")
    for need in (RefreshPurpose.REQUIRED, RefreshPurpose.VERIFICATION, RefreshPurpose.EARLY):
        with pytest.raises(WizardError, match="token-budget"):
            harness.services.tokens.refresh_grant(current_grant(harness), need)
    second = harness.services.tokens.access_token("crm", rejected=last.value)
    assert second.value != last.value
    harness.advance(seconds=61)
    failure = refused(harness, second.value)
    assert failure.code == "token-budget"
    assert failure.retry_at is not None
    assert refused(harness).code == "token-budget", "it isn't served stale either"
    harness.advance(seconds=(failure.retry_at - harness.now()).total_seconds() + 1)
    assert harness.services.tokens.access_token("crm").value != second.value


def test_the_reserved_request_is_enough_to_detect_that_the_grant_is_rejected(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    spend(harness)
    last = harness.services.tokens.access_token("crm")
    harness.controls.change_password(ANNA)
    harness.controls.clear_journal()
    assert refused(harness, last.value).code == "refresh-token-rejected"
    assert len(harness.refresh_requests()) == 1
    assert current_grant(harness).state is GrantState.NEEDS_REAUTHORIZATION


def test_a_client_counted_as_one_reserves_one_request_for_rejected_tokens(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    assert refused(harness).code == "throttled"
    harness.advance(minutes=10, seconds=1)
    harness.add_connection("two", harness.services.store.clients.all()[0])
    harness.verify("two", harness.authorize("two").generation or 0)
    first = harness.services.tokens.access_token("crm")
    two = harness.services.store.grants.get("two")
    assert two is not None
    for _ in range(5):
        harness.services.tokens.refresh_grant(two)
    assert harness.services.request_log.view("crm").client_requests_left == 0
    harness.services.token_cache.remove("crm")
    assert refused(harness).code == "token-budget"
    harness.services.token_cache.put(first)
    assert harness.services.tokens.access_token("crm", rejected=first.value).value != first.value


def test_while_zoho_is_down_a_rejected_token_is_not_served_stale(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.controls.inject_fault("data-center-down", endpoint="oauth/v2/token", times=100)
    harness.advance(seconds=seconds_left(harness, first) - 200)
    assert harness.services.tokens.access_token("crm").stale
    assert refused(harness, first.value).code == "data-center-down"
    assert refused(harness).temporary, "another program doesn't get it either"
    harness.controls.clear_faults()
    harness.advance(minutes=6)
    assert harness.services.tokens.access_token("crm").value != first.value


# --- leftovers ------------------------------------------------------------------------------------


def test_a_rejected_token_that_is_cached_again_is_not_served(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    second = harness.services.tokens.access_token("crm", rejected=first.value)
    harness.services.token_cache.put(first)  # as if its file couldn't be removed
    assert harness.services.tokens.cached_token(current_grant(harness)) is None
    assert harness.services.tokens.access_token("crm").value not in (first.value, second.value)


def test_a_late_caller_with_a_rejected_token_does_not_cache_it(harness: Harness) -> None:
    grant = harness.add_verified_connection()
    answer = harness.services.tokens.refresh_grant(grant)
    harness.services.tokens.cache_access_token(grant, answer)
    harness.services.tokens.reject(grant, answer.access_token)
    harness.services.tokens.cache_access_token(grant, answer)
    assert harness.services.token_cache.get("crm") is None


def test_a_rejection_is_known_after_a_restart(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    second = harness.services.tokens.access_token("crm", rejected=first.value)
    refused(harness, second.value)
    with (
        Services.open(harness.services.settings, harness.services.clock) as reopened,
        pytest.raises(WizardError, match="token-rejected"),
    ):
        reopened.tokens.access_token("crm")


def test_a_minute_in_the_future_blocks_nobody(harness: Harness) -> None:
    harness.add_verified_connection()
    ahead = timedelta(days=300)
    with Services.open(
        harness.services.settings, lambda: harness.simulator.clock() + ahead
    ) as services:
        services.tokens.access_token("crm", force_refresh=True)
    forced = harness.services.tokens.access_token("crm")
    assert harness.services.tokens.access_token("crm", rejected=forced.value).value != forced.value


def test_a_new_grant_is_not_delayed_by_an_earlier_rejection(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    second = harness.services.tokens.access_token("crm", rejected=first.value)
    refused(harness, second.value)
    harness.verify("crm", harness.authorize("crm").generation or 0)
    assert harness.services.tokens.access_token("crm").generation == 2


# --- the fast path --------------------------------------------------------------------------------


def printed(shell: Shell, harness: Harness) -> str | None:
    """What the fast path of ``token crm`` would print."""
    found = cached_token("crm", shell.environment, harness.now().timestamp())
    return found.access_token if found else None


def test_the_fast_path_does_not_print_a_rejected_token(
    shell: Shell, shell_harness: Harness
) -> None:
    grant = shell_harness.add_verified_connection()
    token = shell_harness.services.tokens.access_token("crm")
    assert printed(shell, shell_harness) == token.value
    shell_harness.services.tokens.reject(grant, "1000.another")
    assert printed(shell, shell_harness) == token.value
    shell_harness.services.tokens.reject(grant, token.value)
    assert printed(shell, shell_harness) is None


def test_the_fast_path_does_not_print_a_token_of_a_rejected_grant(
    shell: Shell, shell_harness: Harness
) -> None:
    grant = shell_harness.add_verified_connection()
    shell_harness.controls.change_password(ANNA)
    assert printed(shell, shell_harness), "nobody knows yet"
    with pytest.raises(WizardError, match="refresh-token-rejected"):
        shell_harness.services.tokens.refresh_grant(grant)
    assert printed(shell, shell_harness) is None


def test_the_fast_path_does_not_print_a_token_from_the_future_of_a_rejected_grant(
    shell: Shell, shell_harness: Harness
) -> None:
    grant = shell_harness.add_verified_connection()
    token = shell_harness.services.tokens.access_token("crm")
    later = replace(token, issued_at=shell_harness.now() + timedelta(minutes=10))
    shell_harness.services.token_cache.put(later)
    assert printed(shell, shell_harness) is None
    shell_harness.controls.change_password(ANNA)
    with pytest.raises(WizardError, match="refresh-token-rejected"):
        shell_harness.services.tokens.refresh_grant(grant)
    shell_harness.advance(minutes=11)
    assert printed(shell, shell_harness) is None


@contextmanager
def act_as_other_user(path: str) -> Iterator[None]:
    """Act as a user who may write the files in a directory, but not the directory."""
    if os.geteuid() != 0:
        os.chmod(path, 0o500)
        yield
        os.chmod(path, 0o700)
        return
    nobody = 65534
    for each in os.listdir(path):
        os.chown(os.path.join(path, each), nobody, nobody)
    os.chmod(path, 0o755)
    above = path
    opened = []
    while (above := os.path.dirname(above)) != "/":
        opened.append((above, os.stat(above).st_mode))
        os.chmod(above, opened[-1][1] | 0o011)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)
        for each, mode in opened:
            os.chmod(each, mode & 0o7777)


def test_a_cached_token_whose_file_cannot_be_removed_is_emptied(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection()
    assert printed(shell, shell_harness)
    with act_as_other_user(shell_harness.services.paths.token_dir):
        shell_harness.services.token_cache.remove("crm")
    assert os.path.exists(shell_harness.services.paths.token_file("crm"))
    assert printed(shell, shell_harness) is None


def test_a_cache_that_cannot_be_removed_does_not_prevent_the_rejection_of_a_grant(
    harness: Harness,
) -> None:
    grant = harness.add_verified_connection()
    harness.controls.change_password(ANNA)
    path = harness.services.paths.token_file("crm")
    os.unlink(path)
    os.mkdir(path)  # which can be neither removed as a file nor emptied
    with pytest.raises(WizardError, match="refresh-token-rejected"):
        harness.services.tokens.refresh_grant(grant)
    assert current_grant(harness).state is GrantState.NEEDS_REAUTHORIZATION


# --- reports --------------------------------------------------------------------------------------


@over_rows(
    "given",
    [b"", b"\n", b"1000.a b", b"1000.a\n1000.b", b"1000.\xc3\xa9", b'"1000.a"', b"a" * 2049],
)
def test_text_that_is_not_an_access_token_is_refused_and_not_repeated(given: bytes) -> None:
    with pytest.raises(WizardError) as error:
        reported_token(given)
    assert error.value.failure.code == "report-malformed"
    assert dict(error.value.failure.details) == {"most": "2048"}


def test_a_reported_token_may_end_with_a_newline() -> None:
    assert reported_token(b"1000.abc.def\r\n") == "1000.abc.def"
