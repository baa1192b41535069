"""What is seen of a destination: a preview of a delivery, and how it stands later. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wizard.delivery.intent import digest
from wizard.model import Failure, Grant
from wizard.store import Destination


class Condition(StrEnum):
    """How a destination stands against the grant that its connection uses now."""

    WAITING = "waiting"
    """Nothing was delivered yet."""
    CURRENT = "current"
    BEHIND = "behind"
    """It holds another generation than the current one."""
    ROTATED = "rotated"
    """It holds the refresh token that was delivered, and the server has replaced that one since."""
    FOREIGN = "foreign"
    """It holds a refresh token that this connection does not know."""
    EDITED = "edited"
    """The refresh token is right, something that belongs to it is not."""
    MISSING = "missing"
    """The file, or our entry in it, is gone."""
    UNREADABLE = "unreadable"
    UNSEEN = "unseen"
    """A command cannot be read back; its exit code is all the proof there is."""


@dataclass(frozen=True)
class Sight:
    """What was found when a destination was looked at."""

    destination: Destination
    condition: Condition
    generation: int = 0
    """The generation found there; 0: none that the connection knows."""
    fields: tuple[str, ...] = ()
    """The fields that were edited."""
    failure: Failure | None = None

    @property
    def drifted(self) -> bool:
        """Whether the program there may be using something else than the current grant."""
        return self.condition not in (Condition.CURRENT, Condition.UNSEEN)


@dataclass(frozen=True)
class Change:
    """One field of a preview."""

    name: str
    kind: str
    """``added``, ``changed`` or ``same``."""
    secret: bool
    value: str = field(repr=False)


@dataclass(frozen=True)
class Preview:
    """What a delivery would do; nothing was done."""

    destination: Destination
    generation: int
    changes: tuple[Change, ...]
    new: bool
    """Nothing is there yet."""
    mode: str = ""
    """The mode the file has now and will not keep, as ``0644``; empty where it is private."""
    owner: str = ""
    """Who owns the file, and will read what is put there, where that is somebody else."""


def changes(
    before: Mapping[str, str], after: Mapping[str, str], secrets: Iterable[str]
) -> tuple[Change, ...]:
    """The fields of an entry after a delivery, each against what stood there before."""
    secrets = tuple(secrets)
    return tuple(
        Change(name, _kind(before.get(name), value), any(s in value for s in secrets), value)
        for name, value in after.items()
    )


def _kind(before: str | None, after: str) -> str:
    if before is None:
        return "added"
    return "same" if before == after else "changed"


def compare(
    destination: Destination,
    token: str | None,
    grants: tuple[Grant, ...],
    current: Grant | None,
) -> Sight:
    """Judge the refresh token found at a destination by the grants its connection knows."""
    if token is None:
        return Sight(destination, Condition.MISSING)
    found = next((each for each in grants if each.refresh_token == token), None)
    if found is None and digest(token) == destination.token_digest:
        return Sight(destination, Condition.ROTATED, destination.generation)
    if found is None:
        return Sight(destination, Condition.FOREIGN)
    same = current is not None and current.generation == found.generation
    condition = Condition.CURRENT if same else Condition.BEHIND
    return Sight(destination, condition, found.generation)


def unseen(destination: Destination, current: Grant | None) -> Sight:
    """Judge what a command was given, which cannot be read back."""
    condition = Condition.BEHIND
    if current is not None and current.generation == destination.generation:
        given = destination.token_digest
        same = given is None or given == digest(current.refresh_token)
        condition = Condition.UNSEEN if same else Condition.ROTATED
    return Sight(destination, condition, destination.generation)
