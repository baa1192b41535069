"""A repair keeps Zoho's limits, and goes on by itself where it runs into one all the same."""

from datetime import timedelta

from bench.place import consented, fill
from core import Core
from repairing import accept, kill, lines, next_step, states

from wizard.model import GrantState
from wizard.reauthorization import Step

TEN = [f"crm-000{number}" for number in range(10)]


def ten(core: Core, counted_by: str) -> None:
    """Ten connections of one client that died with a password, at a Zoho that counts token requests
    for each refresh token, or for the client."""
    fill(core.house.store, *consented(core, 10))
    kill(core, *TEN)
    core.advance(minutes=11)
    core.house.repairs.begin(TEN)
    core.admin.change_settings(throttle_key=counted_by)
    core.admin.clear_journal()


def wait(core: Core) -> timedelta:
    """Let the time pass that the next step waits for, unless it has passed meanwhile."""
    until = next_step(core).until
    left = max(until - core.now(), timedelta()) if until else timedelta()
    core.advance(seconds=left.total_seconds())
    return left


def go_on(core: Core) -> int:
    """Accept, and prove again, as long as nothing has to be waited for; how many were accepted."""
    accepted = 0
    while (coming := next_step(core)).step in (Step.CONSENT, Step.PROVE):
        assert coming.line is not None
        name = coming.line.connection
        if coming.step is Step.PROVE:
            core.climb(name, coming.line.generation)
            core.house.repairs.settle(name)
            continue
        begun = core.house.authorization.begin(name)
        done = core.finish(begun, core.consent(begun))
        accepted += 1
        if done.generation is not None:
            core.climb(name, done.generation)
            core.house.repairs.settle(name)
    return accepted


def throttles(core: Core) -> int:
    return sum(entry["status"] == 400 for entry in core.asked())


def test_ten_of_one_client_wait_once_for_codes(core: Core) -> None:
    ten(core, "refresh_token")
    assert core.house.repairs.plan(TEN).wait == timedelta(minutes=10)
    begun = core.now()
    assert go_on(core) == 8
    waited, accepted = timedelta(), 0
    for _ in TEN:  # at most; on its way the time of the next one may come by itself
        # The tenth follows the ninth as far behind as the second followed the first.
        waited += wait(core)
        accepted += go_on(core)
    assert accepted == 2
    # What the eight took is not waited for again, so a slow machine waits less.
    assert waited <= timedelta(minutes=10) <= core.now() - begun
    assert states(core) == dict.fromkeys(TEN, "repaired")
    assert throttles(core) == 0


def test_a_throttle_in_the_middle_is_waited_for_and_loses_nothing(core: Core) -> None:
    ten(core, "client")
    taken = go_on(core)
    assert next_step(core).step is Step.WAIT
    assert throttles(core) == 1
    for _ in TEN:
        assert wait(core) <= timedelta(minutes=10)
        taken += go_on(core)
    assert states(core) == dict.fromkeys(TEN, "repaired")
    assert throttles(core) == 1, "from then on the client is counted as one"
    assert taken <= 11, "one code was lost"


def test_a_client_that_is_counted_as_one_gets_four_consents_in_ten_minutes(core: Core) -> None:
    ten(core, "client")
    go_on(core)
    wait(core)
    rest = [line.connection for line in lines(core) if line.state != "repaired"]
    assert len(rest) > 4
    assert core.house.repairs.plan(rest).wait == timedelta(minutes=10)
    assert go_on(core) == 4


def test_a_proof_that_the_network_broke_off_is_made_again_without_a_consent(core: Core) -> None:
    ten(core, "refresh_token")
    core.admin.fault("dc-down", endpoint="crm/v8/org")
    accept(core, TEN[0])
    assert states(core)[TEN[0]] == "waiting"
    assert wait(core) <= timedelta(minutes=2)
    assert next_step(core).step is Step.PROVE
    assert go_on(core) == 7
    assert states(core)[TEN[0]] == "repaired"
    grant = core.house.store.grant(TEN[0])
    assert grant is not None
    assert (grant.generation, grant.state) == (2, GrantState.PROVED)
