"""The destinations of a connection: how they stand, and what can be done with those there are.

Pages make none: a session in a browser must not become a way to write files, or to run commands,
of its choosing. They show the command that makes one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from wizard.delivery import Condition, Profile, Sight, profile, profiles
from wizard.errors import fail
from wizard.model import Finding
from wizard.store import Destination
from wizard.web.presenter import Status
from wizard.web.rooms import house

pages = Blueprint("destinations", __name__)

STATUSES = {
    Condition.WAITING: Status("Nothing delivered yet", "wait"),
    Condition.CURRENT: Status("Holds the current grant", "good"),
    Condition.BEHIND: Status("Holds grant {generation}, not the current one", "bad"),
    Condition.ROTATED: Status("Holds a replaced refresh token", "bad"),
    Condition.FOREIGN: Status("Holds somebody else’s token", "bad"),
    Condition.EDITED: Status("Edited", "wait"),
    Condition.MISSING: Status("Credentials gone", "bad"),
    Condition.UNREADABLE: Status("Cannot be read", "bad"),
    Condition.UNSEEN: Status("Delivered", "good"),
}


@dataclass(frozen=True)
class DestinationView:
    """One destination as painted; never a value that was delivered."""

    id: int
    target: str
    entry: str
    kind: str
    status: Status
    edited: str
    delivered_at: datetime | None
    use: str
    """Whether its program uses what was delivered, in words."""
    reload: str
    can_undo: bool
    finding: Finding | None


def views(name: str) -> list[DestinationView]:
    """The destinations of connection `name` as they stand now."""
    rooms = house()
    return [_view(rooms.delivery.look(each)) for each in rooms.store.destinations(name)]


def kinds() -> list[Profile]:
    """What can be a destination."""
    return list(profiles().values())


@pages.post("/connections/<name>/deliver")
def deliver(name: str) -> Response:
    """Bring the current grant to one destination."""
    return _act(name, house().delivery.deliver)


@pages.post("/connections/<name>/undo-delivery")
def undo(name: str) -> Response:
    """Put the version before back at one destination."""
    return _act(name, house().delivery.undo)


@pages.post("/connections/<name>/stop-delivery")
def stop(name: str) -> Response:
    """Deliver there no more; what it holds stays."""
    house().delivery.remove(_chosen(name))
    return redirect(f"/connections/{name}", 303)


def _act(name: str, act: Callable[[Destination], Destination]) -> Response:
    act(_chosen(name))
    return redirect(f"/connections/{name}#destinations", 303)


def _chosen(name: str) -> Destination:
    """The destination that the form names, if it is one of this connection's."""
    house().store.connection(name)
    given = request.form.get("destination", "")
    for each in house().store.destinations(name):
        if str(each.id) == given:
            return each
    raise fail("unknown-destination", name=name, target="…")


def _view(sight: Sight) -> DestinationView:
    made = sight.destination
    failure = sight.failure or made.failure
    status = STATUSES[sight.condition]
    return DestinationView(
        id=made.id,
        target=made.target,
        entry=made.entry,
        kind=profile(made.profile).title,
        status=replace(status, word=status.word.format(generation=sight.generation)),
        edited=", ".join(sight.fields),
        delivered_at=made.delivered_at,
        use=_use(made),
        reload=made.reload,
        can_undo=made.delivered_at is not None and made.before_generation != made.generation,
        finding=house().diagnosis.finding(made.connection, failure) if failure else None,
    )


def _use(made: Destination) -> str:
    if made.in_use_at is not None:
        return "in use: the reload succeeded"
    if made.reload:
        return "not proved: the reload has not succeeded"
    return "not known: no reload command was given"
