"""`kill -9` between the one POST of a code and the commit of its tokens."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.harness import Harness, query_parameters
from support.tokens import wait_for

from wizard.model import AttemptState
from wizard.services import Services

COMPLETE_AUTHORIZATION = """
import sys
from pathlib import Path
from support.harness import query_parameters, settings_for
from wizard.services import Services
directory, url, callback, name, value = sys.argv[1:]
with Services.open(settings_for(Path(directory), url)) as services:
    services.authorization.complete(query_parameters(callback), {name: value})
"""


@pytest.mark.parametrize("processed", [False, True])
def test_a_process_killed_while_waiting_for_a_token_leaves_an_unknown_outcome_and_no_second_post(
    harness: Harness, processed: bool
) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    callback = harness.give_consent(begun)
    harness.controls.clear_journal()
    harness.controls.inject_fault(
        "byte-by-byte", endpoint="oauth/v2/token", seconds=60, processed=processed
    )
    store, wanted = harness.services.store, begun.attempt.id
    command = (
        str(harness.directory),
        harness.simulator.url,
        callback,
        begun.cookie_name,
        begun.cookie_value,
    )
    with subprocess.Popen(
        [sys.executable, "-c", COMPLETE_AUTHORIZATION, *command], cwd=Path(__file__).parent.parent
    ) as doomed:
        wait_for(lambda: len(harness.code_exchanges()) == 1)
        assert store.attempts.get(wanted).state is AttemptState.EXCHANGE_INTENT
        doomed.kill()
    with Services.open(harness.services.settings, harness.services.clock) as reopened:
        assert reopened.store.attempts.get(wanted).state is AttemptState.OUTCOME_UNKNOWN
        done = reopened.authorization.complete(
            query_parameters(callback), {begun.cookie_name: begun.cookie_value}
        )
        assert done.failure is not None
        assert done.failure.code == "callback-repeated"
    assert len(harness.code_exchanges()) == 1
    assert store.grants.of_connection("crm") == ()
