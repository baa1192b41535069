"""A repair under way, and what comes next in it: a pure judge of its lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from wizard.reauthorization.line import SETTLED, Line, LineState


class Step(StrEnum):
    CONSENT = "consent"
    """Begin the consent of the line; after a failure, which the line carries, or leave it out."""
    WAIT = "wait"
    """Zoho's limits, or the network, are in the way of the line; go on at `Next.until`."""
    PAUSED = "paused"
    PROVE = "prove"
    """Prove the line's grant once more: what kept it from being proved is over."""
    PROVING = "proving"
    """Look again soon: nobody consents further before it is known who consented."""
    DECIDE = "decide"
    """The line is held: accept it deliberately, or give its grant back and try again."""
    DELIVERING = "delivering"
    """No consent is left; the last programs are being handed their credentials."""
    DONE = "done"


@dataclass(frozen=True)
class Repair:
    """A repair under way."""

    begun_at: datetime
    paused: bool
    lines: tuple[Line, ...]
    """In the order of their consents."""

    @property
    def done(self) -> bool:
        """Nothing is left that asks for the person."""
        return all(line.state in SETTLED for line in self.lines)


@dataclass(frozen=True)
class Next:
    """What comes next in a repair."""

    step: Step
    line: Line | None = None
    until: datetime | None = None
    previous: str = ""
    """Who consented last in the line's data centre since the repair began, and may be signed in
    there still: another person than `line.email` must sign out first."""
    left: int = 0
    """Consents that are left for the line's person in this data centre, with this one."""


_ASKABLE = (
    LineState.AT_ZOHO,
    LineState.PENDING,
    LineState.REFUSED,
    LineState.UNPROVED,
    LineState.ASKED,
)
"""States that wait for a consent, in the order in which they get it: what failed comes last."""
_UNDER_WAY = ((LineState.PROVING, Step.PROVING), (LineState.DELIVERING, Step.DELIVERING))


def next_of(
    repair: Repair,
    free: Mapping[tuple[str, str], datetime],
    signed_in: Mapping[str, str],
    now: datetime,
) -> Next:
    """What comes next. `free` says when each client may begin a consent for a data centre,
    `signed_in` who consented last in each data centre."""
    line = _first(repair, LineState.HELD)
    if line is not None:
        return Next(Step.DECIDE, line, previous=signed_in.get(line.location, ""))
    asked = [line for state in _ASKABLE for line in repair.lines if line.state is state]
    if asked and repair.paused:
        return Next(Step.PAUSED)
    stuck = _first(repair, LineState.WAITING)
    if stuck is not None:
        until = stuck.again_at or now
        return Next(Step.PROVE, stuck) if until <= now else Next(Step.WAIT, stuck, until)
    for state, step in _UNDER_WAY:
        line = _first(repair, state)
        if line is not None and (step is Step.PROVING or not asked):
            return Next(step, line)
    return _consent(asked, free, signed_in, now) if asked else Next(Step.DONE)


def _consent(
    asked: list[Line],
    free: Mapping[tuple[str, str], datetime],
    signed_in: Mapping[str, str],
    now: datetime,
) -> Next:
    """The first consent that may begin now, else the one that may begin first."""
    line = next((each for each in asked if free[each.client_id, each.location] <= now), None)
    if line is None:
        line = min(asked, key=lambda each: free[each.client_id, each.location])
        return Next(Step.WAIT, line, until=free[line.client_id, line.location])
    left = sum((each.email, each.location) == (line.email, line.location) for each in asked)
    return Next(Step.CONSENT, line, previous=signed_in.get(line.location, ""), left=left)


def _first(repair: Repair, state: LineState) -> Line | None:
    return next((line for line in repair.lines if line.state is state), None)
