"""What tests of repairs do again and again."""

from collections.abc import Iterable

from core import ANNA, Core

from wizard.model import Client
from wizard.reauthorization import Line, Next, Step


def connect(
    core: Core, name: str, client: Client, email: str = ANNA, organization: str = ""
) -> None:
    """A connection of `client` with a proved grant."""
    core.connection(name, client)
    accept(core, name, email, organization)


def accept(core: Core, name: str, email: str = ANNA, organization: str = "") -> None:
    """One consent, proved, and what follows from it."""
    scope = next((line.scope for line in lines(core) if line.connection == name), ())
    begun = core.house.authorization.begin(name, scope=scope)
    done = core.finish(begun, core.consent(begun, email, organization))
    assert done.generation is not None, done.failure
    core.climb(name, done.generation)
    core.house.repairs.settle(name)


def kill(core: Core, *names: str, email: str = ANNA) -> None:
    """The password changes, with the box ticked, and the wizard finds out about `names`."""
    core.admin.change_password(email)
    for name in names:
        grant = core.house.store.grant(name)
        assert grant is not None
        core.climb(name, grant.generation)


def lines(core: Core) -> Iterable[Line]:
    repair = core.house.repairs.current()
    return repair.lines if repair else ()


def states(core: Core) -> dict[str, str]:
    """How far each connection of the repair is."""
    return {line.connection: line.state.value for line in lines(core)}


def next_step(core: Core) -> Next:
    found = core.house.repairs.next_step()
    assert found is not None
    return found


def repair_all(core: Core, email: str = ANNA) -> None:
    """Every consent that is asked for, by one person."""
    while (step := next_step(core)).step is Step.CONSENT:
        assert step.line is not None
        accept(core, step.line.connection, email)
