"""Access tokens that Zoho rejected: no path hands one out again, and one refresh replaces it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from asking import current, left
from core import ANNA, Core
from shell import Shell

from wizard.__main__ import cached_token
from wizard.broker import reported_token
from wizard.broker.budgets import Need
from wizard.errors import WizardError
from wizard.house import House
from wizard.model import Failure, GrantState
from wizard.zoho import limits


def refused(core: Core, rejected: str = "", *, fresh: bool = False) -> Failure:
    """The failure that asking for a token of ``crm`` ends in."""
    with pytest.raises(WizardError) as error:
        core.house.broker.access_token("crm", rejected=rejected, fresh=fresh)
    return error.value.failure


def spend(core: Core) -> None:
    """Use up what the grant may ask for when nothing was rejected."""
    for _ in range(limits().token_requests_budget - 1):  # its proof was the first
        core.house.cache.drop("crm")
        core.house.broker.access_token("crm")


def test_a_rejected_token_is_replaced_by_one_refresh(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    core.admin.clear_journal()
    second = core.house.broker.access_token("crm", rejected=first.value)
    assert second.value != first.value
    assert core.house.broker.access_token("crm").value == second.value
    assert len(core.refreshes()) == 1
    assert core.house.store.history("crm")[0].kind == "token-rejected"
    assert first.value not in str(core.house.store.history("crm"))


def test_a_report_of_another_token_gets_the_current_one_and_marks_nothing(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    second = core.house.broker.access_token("crm", rejected=first.value)
    core.admin.clear_journal()
    for other in (first.value, "1000.somebody.elses"):
        assert core.house.broker.access_token("crm", rejected=other).value == second.value
    assert core.refreshes() == []


def test_a_token_rejected_within_the_minute_is_handed_to_nobody_until_it_is_over(
    core: Core,
) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    second = core.house.broker.access_token("crm", rejected=first.value)
    core.admin.clear_journal()
    for told in (refused(core, second.value), refused(core), refused(core, fresh=True)):
        assert (told.code, told.temporary, told.sent) == ("token-rejected", True, False)
        assert told.retry_at is not None
        assert timedelta() < told.retry_at - core.now() <= timedelta(minutes=1)
    assert core.refreshes() == []
    core.advance(seconds=61)
    assert core.house.broker.access_token("crm").value not in (first.value, second.value)
    assert len(core.refreshes()) == 1


def test_a_token_made_by_force_counts_as_the_forced_refresh_of_its_minute(core: Core) -> None:
    core.proved()
    core.advance(seconds=61)
    forced = core.house.broker.access_token("crm", fresh=True)
    assert refused(core, forced.value).code == "token-rejected"


def test_a_token_that_a_check_replaced_counts_as_the_forced_refresh_of_its_minute(
    core: Core,
) -> None:
    grant = core.proved()
    first = core.house.broker.access_token("crm")
    core.house.broker.renew_for_verdict(grant, first.value)
    second = core.house.broker.access_token("crm")
    assert second.value != first.value
    assert refused(core, second.value).code == "token-rejected"


def test_twenty_programs_that_report_one_token_make_one_refresh(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    core.admin.clear_journal()
    together, tokens = threading.Barrier(20), []

    def report() -> None:
        together.wait()
        tokens.append(core.house.broker.access_token("crm", rejected=first.value).value)

    threads = [threading.Thread(target=report) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 20
    assert len({*tokens, first.value}) == 2
    assert len(core.refreshes()) == 1


# --- the budget -----------------------------------------------------------------------------------


def test_one_request_of_the_budget_is_reserved_for_what_was_rejected(core: Core) -> None:
    core.proved()
    spend(core)
    last = core.house.broker.access_token("crm")
    for need in (Need.TOKEN, Need.VERDICT, Need.SPARE):
        with pytest.raises(WizardError, match="token-budget"):
            core.house.broker.refresh_grant(current(core), need)
    second = core.house.broker.access_token("crm", rejected=last.value)
    assert second.value != last.value
    core.advance(seconds=61)
    told = refused(core, second.value)
    assert told.code == "token-budget"
    assert told.retry_at is not None
    assert refused(core).code == "token-budget", "it isn't served stale either"
    core.advance(seconds=(told.retry_at - core.now()).total_seconds() + 1)
    assert core.house.broker.access_token("crm").value != second.value


def test_a_client_that_is_counted_as_one_keeps_one_for_what_was_rejected(core: Core) -> None:
    core.proved()
    core.house.cache.drop("crm")
    core.admin.fault("throttle", endpoint="oauth/v2/token")
    assert refused(core).code == "throttled"
    core.advance(minutes=10, seconds=1)
    core.connection("two", core.house.store.clients()[0])
    core.climb("two", core.authorize("two").generation or 0)
    first = core.house.broker.access_token("crm")
    two = core.house.store.grant("two")
    assert two is not None
    for _ in range(5):
        core.house.broker.refresh_grant(two)
    assert core.house.broker.ledger("crm").client_requests_left == 0
    core.house.cache.drop("crm")
    assert refused(core).code == "token-budget"
    core.house.cache.put(first)
    assert core.house.broker.access_token("crm", rejected=first.value).value != first.value


def test_while_zoho_is_down_a_rejected_token_is_not_served_stale(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    core.admin.fault("dc-down", endpoint="oauth/v2/token", times=100)
    core.advance(seconds=left(core, first) - 200)
    assert core.house.broker.access_token("crm").stale
    assert refused(core, first.value).code == "data-centre-down"
    assert refused(core).temporary, "another program doesn't get it either"
    core.admin.clear_faults()
    core.advance(minutes=6)
    assert core.house.broker.access_token("crm").value != first.value


# --- what is left behind --------------------------------------------------------------------------


def test_a_rejected_token_that_stands_in_the_cache_again_is_not_handed_out(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    second = core.house.broker.access_token("crm", rejected=first.value)
    core.house.cache.put(first)  # as if its file couldn't be removed
    assert core.house.broker.cached_token(current(core)) is None
    assert core.house.broker.access_token("crm").value not in (first.value, second.value)


def test_who_comes_late_with_a_rejected_token_does_not_cache_it(core: Core) -> None:
    grant = core.proved()
    answer = core.house.broker.refresh_grant(grant)
    core.house.broker.keep(grant, answer)
    core.house.broker.reject(grant, answer.access_token)
    core.house.broker.keep(grant, answer)
    assert core.house.cache.get("crm") is None


def test_a_rejection_is_known_after_a_restart(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    second = core.house.broker.access_token("crm", rejected=first.value)
    refused(core, second.value)
    with (
        House.open(core.house.settings, core.house.clock) as reopened,
        pytest.raises(WizardError, match="token-rejected"),
    ):
        reopened.broker.access_token("crm")


def test_a_minute_that_stands_in_the_future_holds_nobody_up(core: Core) -> None:
    core.proved()
    ahead = timedelta(days=300)
    with House.open(core.house.settings, lambda: core.sandbox.clock() + ahead) as house:
        house.broker.access_token("crm", fresh=True)
    forced = core.house.broker.access_token("crm")
    assert core.house.broker.access_token("crm", rejected=forced.value).value != forced.value


def test_a_new_grant_is_not_held_up_by_what_was_rejected_before(core: Core) -> None:
    core.proved()
    first = core.house.broker.access_token("crm")
    second = core.house.broker.access_token("crm", rejected=first.value)
    refused(core, second.value)
    core.climb("crm", core.authorize("crm").generation or 0)
    assert core.house.broker.access_token("crm").generation == 2


# --- the fast path --------------------------------------------------------------------------------


def printed(shell: Shell, core: Core) -> str | None:
    """What the fast path of ``token crm`` would print."""
    return cached_token("crm", shell.environment, core.now().timestamp())


def test_the_fast_path_does_not_print_a_token_that_was_rejected(shell: Shell, stored: Core) -> None:
    grant = stored.proved()
    token = stored.house.broker.access_token("crm")
    assert printed(shell, stored) == token.value
    stored.house.broker.reject(grant, "1000.another")
    assert printed(shell, stored) == token.value
    stored.house.broker.reject(grant, token.value)
    assert printed(shell, stored) is None


def test_the_fast_path_does_not_print_a_token_of_a_grant_that_was_found_rejected(
    shell: Shell, stored: Core
) -> None:
    grant = stored.proved()
    stored.admin.change_password(ANNA)
    assert printed(shell, stored), "nobody knows yet"
    with pytest.raises(WizardError, match="grant-dead"):
        stored.house.broker.refresh_grant(grant)
    assert printed(shell, stored) is None


def test_nor_one_that_stood_in_the_future_when_its_grant_was_found_rejected(
    shell: Shell, stored: Core
) -> None:
    grant = stored.proved()
    token = stored.house.broker.access_token("crm")
    later = replace(token, issued_at=stored.now() + timedelta(minutes=10))
    stored.house.cache.put(later)
    assert printed(shell, stored) is None
    stored.admin.change_password(ANNA)
    with pytest.raises(WizardError, match="grant-dead"):
        stored.house.broker.refresh_grant(grant)
    stored.advance(minutes=11)
    assert printed(shell, stored) is None


@contextmanager
def somebody_else(path: str) -> Iterator[None]:
    """As the user who may write the files in a directory, and not the directory itself."""
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


def test_a_cached_token_whose_file_cannot_be_removed_is_emptied(shell: Shell, stored: Core) -> None:
    stored.proved()
    assert printed(shell, stored)
    with somebody_else(stored.house.home.cache_dir):
        stored.house.cache.drop("crm")
    assert os.path.exists(stored.house.home.cache_file("crm"))
    assert printed(shell, stored) is None


def test_a_cache_that_cannot_be_dropped_keeps_no_grant_from_being_found_dead(core: Core) -> None:
    grant = core.proved()
    core.admin.change_password(ANNA)
    path = core.house.home.cache_file("crm")
    os.unlink(path)
    os.mkdir(path)  # which can be neither removed as a file nor emptied
    with pytest.raises(WizardError, match="grant-dead"):
        core.house.broker.refresh_grant(grant)
    assert current(core).state is GrantState.DEAD


# --- what is reported -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [b"", b"\n", b"1000.a b", b"1000.a\n1000.b", b"1000.\xc3\xa9", b'"1000.a"', b"a" * 2049],
)
def test_what_is_no_access_token_is_refused_and_not_repeated(given: bytes) -> None:
    with pytest.raises(WizardError) as error:
        reported_token(given)
    assert error.value.failure.code == "report-malformed"
    assert dict(error.value.failure.details) == {"most": "2048"}


def test_a_reported_token_may_end_with_its_line() -> None:
    assert reported_token(b"1000.abc.def\r\n") == "1000.abc.def"
