"""The preview of a delivery, and the status of a destination. Pure functions."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from wizard.model import Failure, Grant
from wizard.model.states import DestinationState
from wizard.store import Destination


@dataclass(frozen=True)
class DestinationStatus:
    """The result of checking a destination."""

    destination: Destination
    state: DestinationState
    found_generation: int = 0
    """The generation of the refresh token there; 0: unknown or none."""
    changed_fields: tuple[str, ...] = ()
    """Fields that someone else changed."""
    failure: Failure | None = None

    @property
    def details(self) -> dict[str, str]:
        """The placeholders of the state's messages."""
        fields = ", ".join(self.changed_fields)
        return {"generation": str(self.found_generation), "fields": fields}

    @property
    def needs_delivery(self) -> bool:
        """Whether the program there may not use the current grant."""
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
    """What a delivery would change."""

    destination: Destination
    generation: int
    changes: tuple[FieldChange, ...]
    is_new: bool
    """The file doesn't exist yet."""
    mode: str = ""
    """The file's current mode if the delivery changes it, such as ``0644``; otherwise empty."""
    owner: str = ""
    """The file's owner if that is a different user, who can read the new content; else empty."""


def field_changes(
    before: Mapping[str, str], after: Mapping[str, str], secrets: Iterable[str]
) -> tuple[FieldChange, ...]:
    """The fields of an entry after a delivery, compared with those before it."""
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
    """The status by the refresh token found at a destination and the connection's grants."""
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
    """The status of a command's destination, which can't be read back."""
    condition = DestinationState.OUT_OF_DATE
    if current is not None and current.generation == destination.generation:
        given = destination.token_digest
        same = given is None or given == content_digest(current.refresh_token)
        condition = DestinationState.UNVERIFIABLE if same else DestinationState.ROTATED
    return DestinationStatus(destination, condition, destination.generation)


def content_digest(text: str) -> str:
    """A digest that recognizes a content or token. Tokens are long and random, so it reveals
    nothing."""
    return hashlib.sha256(text.encode()).hexdigest()


def with_write_intent(
    destination: Destination, previous_content: str | None, text: str, token: str
) -> Destination:
    """The destination with the intent to replace `previous_content` by `text`, which contains the
    refresh token `token`."""
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
    """Whether `text` with refresh token `token` is from a delivery that was interrupted after the
    write: its intent is stored, but the generation is still the previous one."""
    return (
        None not in (text, token)
        and content_digest(str(text)) == destination.content_sha256
        and destination.previous_generation == destination.generation
        and content_digest(str(token))
        in {destination.token_digest, *(content_digest(grant.refresh_token) for grant in grants)}
    )
