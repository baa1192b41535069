"""Connections from a file in the assisted browser: one sign-in per account, and few actions."""

import pytest
from support.assisted_windows import (
    AssistedUsers,
    HeadlessWindows,
    reauthorize,
    without_waits_for_limits,
)
from support.connections_file import (
    apply_without_consents,
    check_delivered,
    file_of_three_accounts,
    plan_of,
)
from support.harness import ANNA, BOB, ERIC, Harness


def apply_assisted(harness: Harness, windows: HeadlessWindows, count: int) -> None:
    """Apply a file for `count` connections, and check what it took and what stands."""
    text, clients = file_of_three_accounts(harness, count)
    secrets = plan_of(harness, text).missing_secrets
    apply_without_consents(harness, text, clients)
    users = AssistedUsers(harness, windows)
    with without_waits_for_limits(harness):
        reauthorize(harness, windows, users)
    assert sorted(users.turns) == [(email, "sign-in") for email in sorted({ANNA, BOB, ERIC})]
    confirmation = 1
    assert len(secrets) + confirmation == 5
    check_delivered(harness, text, count)


@pytest.mark.slow
def test_four_connections_of_three_accounts_take_three_sign_ins(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    apply_assisted(harness, headless_windows, 4)


@pytest.mark.slow
def test_forty_connections_take_three_sign_ins_and_five_actions(
    harness: Harness, headless_windows: HeadlessWindows
) -> None:
    apply_assisted(harness, headless_windows, 40)
