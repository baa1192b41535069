"""What is seen of a destination: a preview of a delivery, and how it stands later. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from wizard.model import Failure, Grant
from wizard.model.states import DestinationState
from wizard.store import Destination


@dataclass(frozen=True)
class DestinationStatus:
    """What was found when a destination was looked at."""

    destination: Destination
    state: DestinationState
    found_generation: int = 0
    """The generation found there; 0: none that the connection knows."""
    changed_fields: tuple[str, ...] = ()
    """The fields that were edited."""
    failure: Failure | None = None

    @property
    def details(self) -> dict[str, str]:
        """What the words of its state need."""
        fields = ", ".join(self.changed_fields)
        return {"generation": str(self.found_generation), "fields": fields}

    @property
    def needs_delivery(self) -> bool:
        """Whether the program there may be using something else than the current grant."""
        return self.state not in (DestinationState.CURRENT, DestinationState.UNVERIFIABLE)


@dataclass(frozen=True)
class FieldChange:
    """One field of a preview."""

    name: str
    kind: str
    """``added``, ``changed`` or ``same``."""
    is_secret: bool
    value: str = field(repr=False)


@dataclass(frozen=True)
class DeliveryPreview:
    """What a delivery would do; nothing was done."""

    destination: Destination
    generation: int
    changes: tuple[FieldChange, ...]
    is_new: bool
    """Nothing is there yet."""
    mode: str = ""
    """The mode the file has now and will not keep, as ``0644``; empty where it is private."""
    owner: str = ""
    """Who owns the file, and will read what is put there, where that is somebody else."""


def field_changes(
    before: Mapping[str, str], after: Mapping[str, str], secrets: Iterable[str]
) -> tuple[FieldChange, ...]:
    """The fields of an entry after a delivery, each against what stood there before."""
    secrets = tuple(secrets)
    return tuple(
        FieldChange(
            name, _change_kind(before.get(name), value), any(s in value for s in secrets), value
        )
        for name, value in after.items()
    )


def _change_kind(before: str | None, after: str) -> str:
    if before is None:
        return "added"
    return "same" if before == after else "changed"


def compare_token(
    destination: Destination,
    token: str | None,
    grants: tuple[Grant, ...],
    current: Grant | None,
) -> DestinationStatus:
    """Judge the refresh token found at a destination by the grants its connection knows."""
    if token is None:
        return DestinationStatus(destination, DestinationState.MISSING)
    found = next((each for each in grants if each.refresh_token == token), None)
    if found is None and content_digest(token) == destination.token_digest:
        return DestinationStatus(destination, DestinationState.ROTATED, destination.generation)
    if found is None:
        return DestinationStatus(destination, DestinationState.UNKNOWN_TOKEN)
    same = current is not None and current.generation == found.generation
    condition = DestinationState.CURRENT if same else DestinationState.OUT_OF_DATE
    return DestinationStatus(destination, condition, found.generation)


def unseen(destination: Destination, current: Grant | None) -> DestinationStatus:
    """Judge what a command was given, which cannot be read back."""
    condition = DestinationState.OUT_OF_DATE
    if current is not None and current.generation == destination.generation:
        given = destination.token_digest
        same = given is None or given == content_digest(current.refresh_token)
        condition = DestinationState.UNVERIFIABLE if same else DestinationState.ROTATED
    return DestinationStatus(destination, condition, destination.generation)


def content_digest(text: str) -> str:
    """Enough to know a file again; its tokens are long and random, so that this tells nothing."""
    return hashlib.sha256(text.encode()).hexdigest()


def with_write_intent(
    destination: Destination, previous_content: str | None, text: str, token: str
) -> Destination:
    """The destination as it is about to hold `text`, with the refresh token `token`, in the place
    of `before`."""
    return replace(
        destination,
        content_sha256=content_digest(text),
        previous_content=previous_content,
        previous_generation=destination.generation,
        token_digest=content_digest(token),
    )


def was_interrupted(
    destination: Destination, text: str | None, token: str | None, grants: Iterable[Grant]
) -> bool:
    """Whether `text`, which has our refresh token `token` in its place, is what an `intended`
    delivery has put there and nobody wrote down: the generation is the one before still."""
    return (
        None not in (text, token)
        and content_digest(str(text)) == destination.content_sha256
        and destination.previous_generation == destination.generation
        and content_digest(str(token))
        in {destination.token_digest, *(content_digest(grant.refresh_token) for grant in grants)}
    )
