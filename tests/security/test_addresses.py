"""Where a code, a secret and a refresh token may go, when what is stored has been tampered with or
is older than the table; and that what was refused for good goes nowhere."""

import sqlite3
from contextlib import closing

import pytest
from asking import failure
from core import ANNA, Core

from wizard.model import AttemptState, GrantState


def tampered(core: Core, statement: str, *values: str) -> None:
    """Change a row behind the wizard's back."""
    with closing(sqlite3.connect(core.house.home.database)) as handle:
        assert handle.execute(statement, values).rowcount == 1
        handle.commit()


@pytest.mark.parametrize("column", ["authorization_endpoint", "token_endpoint"])
@pytest.mark.parametrize("elsewhere", ["https://evil.example/oauth/v2/token", "{0}/in/accounts"])
def test_an_attempt_whose_endpoints_are_no_longer_those_of_the_table_is_not_finished(
    core: Core, column: str, elsewhere: str
) -> None:
    core.connection()
    begun = core.house.authorization.begin("crm")
    callback = core.consent(begun)
    core.admin.clear_journal()
    address = elsewhere.format(core.sandbox.url)
    tampered(core, f"UPDATE attempts SET {column} = ? WHERE id = ?", address, begun.attempt.id)
    done = core.finish(begun, callback)
    assert done.failure is not None
    assert done.failure.code == "issuer-mismatch"
    assert done.attempt.state is AttemptState.REFUSED
    assert core.admin.journal() == []


def test_a_grant_that_was_moved_to_another_data_centre_goes_nowhere(core: Core) -> None:
    core.proved()
    core.house.cache.drop("crm")
    tampered(core, "UPDATE grants SET location = ? WHERE connection = ?", "in", "crm")
    core.admin.clear_journal()
    assert failure(core).code == "sealed-record-damaged"
    assert core.admin.journal() == []


def test_a_refresh_token_that_was_refused_for_good_is_not_asked_whatever_its_row_says(
    core: Core,
) -> None:
    core.proved()
    core.admin.change_password(ANNA)
    core.advance(minutes=2)
    assert failure(core, fresh=True).code == "grant-dead"
    asked = len(core.refreshes())
    # As a restored backup has it, which was made while the grant still lived.
    core.house.store.mark_grant("crm", 1, GrantState.PROVED, expected=GrantState.DEAD)
    assert failure(core, fresh=True).code == "grant-dead"
    assert len(core.refreshes()) == asked
