"""The destinations of a connection: their status, delivery, undo and removal.

Pages can't add destinations, so that a browser session can't write arbitrary files or run arbitrary
commands. They show the command that adds one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from wizard.delivery.profiles import Profile, profile, profiles
from wizard.delivery.status import DestinationStatus
from wizard.errors import fail
from wizard.model import Explanation
from wizard.store import Destination
from wizard.web.context import get_services
from wizard.web.view_models import StatusBadge, state_badge

pages = Blueprint("destinations", __name__)


@dataclass(frozen=True)
class DestinationView:
    """One destination, without delivered values."""

    id: int
    target: str
    entry: str
    kind: str
    badge: StatusBadge
    changed_fields: str
    delivered_at: datetime | None
    usage: str
    """Whether its program uses what was delivered, in words."""
    reload_command: str
    can_undo: bool
    explanation: Explanation | None


def destination_views(name: str) -> list[DestinationView]:
    """The destinations of connection `name` and their status."""
    services = get_services()
    return [
        _destination_view(services.delivery.check(each))
        for each in services.store.destinations.all(name)
    ]


def available_profiles() -> list[Profile]:
    """The profiles that a destination can have."""
    return list(profiles().values())


@pages.post("/connections/<name>/deliver")
def deliver(name: str) -> Response:
    """Deliver the current grant to one destination."""
    return _apply(name, get_services().delivery.deliver)


@pages.post("/connections/<name>/undo-delivery")
def undo(name: str) -> Response:
    """Restore the previous content of one destination."""
    return _apply(name, get_services().delivery.undo)


@pages.post("/connections/<name>/remove-destination")
def remove(name: str) -> Response:
    """Stop delivering to one destination, which keeps its content."""
    get_services().delivery.remove(_selected_destination(name))
    return redirect(f"/connections/{name}", 303)


def _apply(name: str, action: Callable[[Destination], Destination]) -> Response:
    action(_selected_destination(name))
    return redirect(f"/connections/{name}#destinations", 303)


def _selected_destination(name: str) -> Destination:
    """The destination that the form names, if it belongs to this connection."""
    get_services().store.connections.get(name)
    value = request.form.get("destination", "")
    for each in get_services().store.destinations.all(name):
        if str(each.id) == value:
            return each
    raise fail("unknown-destination", name=name, target="…")


def _destination_view(status: DestinationStatus) -> DestinationView:
    destination, failure = status.destination, status.failure
    return DestinationView(
        id=destination.id,
        target=destination.target,
        entry=destination.entry,
        kind=profile(destination.profile).title,
        badge=state_badge(status.state, **status.details),
        changed_fields=", ".join(status.changed_fields),
        delivered_at=destination.delivered_at,
        usage=_usage_text(destination),
        reload_command=destination.reload_command,
        can_undo=destination.delivered_at is not None
        and destination.previous_generation != destination.generation,
        explanation=get_services().diagnosis.explain(destination.connection, failure)
        if failure
        else None,
    )


def _usage_text(destination: Destination) -> str:
    if destination.reloaded_at is not None:
        return "in use: the reload succeeded"
    if destination.reload_command:
        return "not proved: the reload has not succeeded"
    return "not known: no reload command was given"
