"""What a world is, and how its remedy is carried out: by the command that the finding names."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from core import ANNA, Core
from program import Program, Told
from scenes import diagnosed

from wizard.model import Failure, Finding

Met = Failure | str | None
"""What a person has in hand: the failure that a command or page showed, a text to paste, or only
the name of the connection."""


def followed(core: Core, finding: Finding) -> None:
    """Wait as long as it says, and do what the finding's first command does, with a person who
    signs in and presses Accept; then the connection works."""
    assert finding.steps or finding.exit_code == 4, "there is a command, or there is time to wait"
    core.advance(minutes=11)
    if finding.steps:
        _run(core, shlex.split(finding.steps[0].command)[1:])
    works(core)


def works(core: Core) -> None:
    """Nothing is wrong any more, and a program that asks for a token can read with it."""
    found = diagnosed(core)
    assert found.code == "nothing-wrong", found
    program = Program(core)
    assert program.read().answer.ok or "ZohoCRM.modules.leads.READ" not in program.grant.scope


def _run(core: Core, command: list[str]) -> None:
    match command:
        case ["reauthorize", name]:
            consented(core, name)
        case ["token", name, *_]:
            core.house.broker.access_token(name)
        case ["check", name]:
            newest = core.house.store.candidate(name) or core.house.store.grant(name)
            assert newest is not None
            core.climb(name, newest.generation)
        case ["connect", name, "--add", "--scope", scope]:
            consented(core, name, (scope,))
        case ["client", "secret", client_id, "--data-centre", location]:
            # What the console shows for this data centre, pasted at the prompt.
            core.house.clients.change_secret(client_id, secret_shown(core, client_id, location))
            core.climb("crm", 1)
        case ["client", "check", client_id]:
            assert all(each.failure is None for each in core.house.clients.check(client_id))
        case _:
            raise AssertionError(f"nobody can run {command}")


def secret_shown(core: Core, client_id: str, location: str) -> str:
    """The secret that the API console shows for a client in a data centre."""
    return core.sandbox.world.clients.named(client_id).secrets[location]


def consented(core: Core, name: str, scope: tuple[str, ...] = ()) -> None:
    """Somebody signs in as anna, presses Accept, and the new grant is proved."""
    begun = core.house.authorization.begin(name, scope=scope)
    done = core.finish(begun, core.consent(begun, ANNA))
    assert done.generation is not None, done.failure
    core.climb(name, done.generation)


Mended = Callable[[Core, Finding], None]


def after(person: Callable[[Core], None], then: Mended = followed) -> Mended:
    """What the remedy asks of a person at Zoho, and then its command."""

    def mended(core: Core, finding: Finding) -> None:
        person(core)
        then(core, finding)

    return mended


def corrected(again: Callable[[Program], Told]) -> Mended:
    """The program does as the remedy says, and is answered."""

    def mended(core: Core, _finding: Finding) -> None:
        told = again(Program(core))
        assert told.answer.ok, told.answer.text
        assert "error" not in told.answer.text

    return mended


@dataclass(frozen=True)
class World:
    """What happened to the connection ``crm`` or beside it, and how it must be told."""

    name: str
    happens: Callable[[Core], Met]
    failure_class: str
    cause: str
    decided: bool = False
    """The evidence is there, and the true cause must lead."""
    mended: Mended = followed
    """Follows the remedy as somebody would who is new to OAuth, and shows that it has worked."""
    slow: bool = False


def told_of(core: Core, met: Met) -> Finding:
    """The finding about what somebody has in hand. A paste is read, and nobody is asked."""
    if not isinstance(met, str):
        return diagnosed(core, failure=met)
    core.admin.clear_journal()
    reading = core.house.reader.read(met)
    assert core.admin.journal() == []
    for client in core.house.store.clients():
        assert all(secret.value not in repr(reading) for secret in client.secrets)
    return reading.finding
