"""A failure scenario, and how its fix is applied: by the command that the diagnosis names."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from support.diagnosis import diagnose
from support.harness import ANNA, Harness
from support.third_party_program import LoggedExchange, ThirdPartyProgram
from wizard.model import Explanation, Failure

UserInput = Failure | str | None
"""What a user starts with: the failure that a command or page showed, a text to paste, or only
the name of the connection."""


def follow_next_step(harness: Harness, explanation: Explanation) -> None:
    """Wait as long as it says, run the diagnosis's first command with a user who signs in and
    presses Accept, and check that the connection works."""
    assert explanation.next_steps or explanation.exit_code == 4, (
        "there is a command, or there is time to wait"
    )
    harness.advance(minutes=11)
    if explanation.next_steps:
        _run(harness, shlex.split(explanation.next_steps[0].command)[1:])
    assert_works(harness)


def assert_works(harness: Harness) -> None:
    """Check that nothing is wrong and that a program can read with its token."""
    found = diagnose(harness)
    assert found.code == "nothing-wrong", found
    program = ThirdPartyProgram(harness)
    assert program.read_crm().response.ok or "ZohoCRM.modules.leads.READ" not in program.grant.scope


def _run(harness: Harness, command: list[str]) -> None:
    match command:
        case ["reauthorize", name]:
            reauthorize(harness, name)
        case ["token", name, *_]:
            harness.services.tokens.access_token(name)
        case ["check", name]:
            newest = harness.services.store.grants.candidate(
                name
            ) or harness.services.store.grants.get(name)
            assert newest is not None
            harness.verify(name, newest.generation)
        case ["connect", name, "--add", "--scope", scope]:
            reauthorize(harness, name, (scope,))
        case ["client", "set-secret", client_id, "--data-center", location]:
            # Paste the secret that the console shows for this data center.
            harness.services.clients.set_secret(
                client_id, secret_in_console(harness, client_id, location)
            )
            harness.verify("crm", 1)
        case ["client", "check", client_id]:
            assert all(each.failure is None for each in harness.services.clients.check(client_id))
        case _:
            raise AssertionError(f"nobody can run {command}")


def secret_in_console(harness: Harness, client_id: str, location: str) -> str:
    """The secret that the API console shows for a client in a data center."""
    return harness.simulator.world.clients.get(client_id).secrets[location]


def reauthorize(harness: Harness, name: str, scope: tuple[str, ...] = ()) -> None:
    """Sign in as anna, press Accept, and verify the new grant."""
    begun = harness.services.authorization.begin(name, additional_scope=scope)
    done = harness.complete_authorization(begun, harness.give_consent(begun, ANNA))
    assert done.generation is not None, done.failure
    harness.verify(name, done.generation)


ApplyFix = Callable[[Harness, Explanation], None]


def after_user_action(
    user_action: Callable[[Harness], None], apply_fix: ApplyFix = follow_next_step
) -> ApplyFix:
    """The user action at Zoho that the fix needs, and then its command."""

    def apply(harness: Harness, explanation: Explanation) -> None:
        user_action(harness)
        apply_fix(harness, explanation)

    return apply


def with_corrected_request(send_again: Callable[[ThirdPartyProgram], LoggedExchange]) -> ApplyFix:
    """The program sends the request that the fix suggests; return the response."""

    def apply(harness: Harness, _explanation: Explanation) -> None:
        exchange = send_again(ThirdPartyProgram(harness))
        assert exchange.response.ok, exchange.response.text
        assert "error" not in exchange.response.text

    return apply


@dataclass(frozen=True)
class FailureScenario:
    """What happened to the connection ``crm`` or around it, and its expected diagnosis."""

    name: str
    produce: Callable[[Harness], UserInput]
    failure_class: str
    cause: str
    is_decided: bool = False
    """There is evidence, so the true cause must come first."""
    apply_fix: ApplyFix = follow_next_step
    """Follows the fix as a user new to OAuth would, and checks that it worked."""
    is_slow: bool = False


def explain(harness: Harness, user_input: UserInput) -> Explanation:
    """The diagnosis of a user's text or connection. A paste sends no requests."""
    if not isinstance(user_input, str):
        return diagnose(harness, failure=user_input)
    harness.controls.clear_journal()
    reading = harness.services.reader.explain_text(user_input)
    assert harness.controls.journal() == []
    for client in harness.services.store.clients.all():
        assert all(secret.value not in repr(reading) for secret in client.secrets)
    return reading.explanation
