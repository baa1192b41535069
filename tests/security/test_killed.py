"""`kill -9` between the one POST of a code and the commit of what it brought."""

import subprocess
import sys
from pathlib import Path

import pytest
from asking import wait_for
from core import Core, query

from wizard.house import House
from wizard.model import AttemptState

FINISH = """
import sys
from pathlib import Path
from core import query, settings_for
from wizard.house import House
directory, url, callback, name, value = sys.argv[1:]
with House.open(settings_for(Path(directory), url)) as house:
    house.authorization.complete(query(callback), {name: value})
"""


@pytest.mark.parametrize("processed", [False, True])
def test_a_process_killed_while_it_waits_for_a_token_leaves_an_unknown_outcome_and_no_second_post(
    core: Core, processed: bool
) -> None:
    core.connection()
    begun = core.house.authorization.begin("crm")
    callback = core.consent(begun)
    core.admin.clear_journal()
    core.admin.fault("drip", endpoint="oauth/v2/token", seconds=60, processed=processed)
    store, wanted = core.house.store, begun.attempt.id
    told = (str(core.directory), core.sandbox.url, callback, begun.cookie_name, begun.cookie_value)
    with subprocess.Popen(
        [sys.executable, "-c", FINISH, *told], cwd=Path(__file__).parent.parent
    ) as doomed:
        wait_for(lambda: len(core.exchanges()) == 1)
        assert store.attempt(wanted).state is AttemptState.EXCHANGE_INTENT
        doomed.kill()
    with House.open(core.house.settings, core.house.clock) as reopened:
        assert reopened.store.attempt(wanted).state is AttemptState.OUTCOME_UNKNOWN
        done = reopened.authorization.complete(
            query(callback), {begun.cookie_name: begun.cookie_value}
        )
        assert done.failure is not None
        assert done.failure.code == "callback-repeated"
    assert len(core.exchanges()) == 1
    assert store.grants("crm") == ()
