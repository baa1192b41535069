"""How far one connection of a repair is: a pure judge of what is stored about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from wizard.model import (
    Attempt,
    AttemptState,
    Failure,
    Grant,
    GrantState,
    Mode,
    Receipt,
    RungState,
)
from wizard.store import Destination, Overview, RepairLine
from wizard.transport import bounded


class LineState(StrEnum):
    """Where one connection stands on its way through a repair."""

    PENDING = "pending"
    """Its consent has not begun."""
    AT_ZOHO = "at-zoho"
    """A browser was sent to Zoho and has not come back."""
    ASKED = "asked"
    """Its link was forwarded to the person whose account it is, and no answer has come yet."""
    REFUSED = "refused"
    """Its last consent led to no grant."""
    PROVING = "proving"
    WAITING = "waiting"
    """The new grant is stored; a limit or the network kept it from being proved."""
    UNPROVED = "unproved"
    """The new grant is stored, but a live call with it failed."""
    HELD = "held"
    """The new grant reaches somebody else, or less, than the one before."""
    DELIVERING = "delivering"
    """Proved; a destination does not hold the new grant yet."""
    NOT_DELIVERED = "not-delivered"
    """Proved; a destination could not take it, and holds the one before where that still lives."""
    REPAIRED = "repaired"
    SKIPPED = "skipped"


AGAIN = timedelta(minutes=2)
"""After which a proof that the network broke off is tried again: five times within Zoho's window,
where each takes one of a grant's token requests."""

THROTTLED = "throttled"
RATE_LIMITS = frozenset({THROTTLED, "token-budget", "client-budget"})
"""Failures that say that a rate limit is used up, Zoho's own or the wizard's below it."""

OTHER_ACCOUNT = "other-account"
"""The code under which a grant of another person is held."""

SETTLED = (LineState.REPAIRED, LineState.NOT_DELIVERED, LineState.SKIPPED)
"""States in which a repair asks nothing more of the person."""

ARRIVED = (LineState.DELIVERING, LineState.NOT_DELIVERED, LineState.REPAIRED)
"""States in which the new grant is proved and in use."""


@dataclass(frozen=True)
class Line:
    """One connection of a repair, and who is needed for it."""

    connection: str
    state: LineState
    email: str
    """Who must sign in; empty where no consent has told it yet."""
    location: str
    client_id: str
    client: str
    before: int = 0
    """The generation that was current when the repair began; 0: none."""
    generation: int = 0
    """The newest that is current, or waits to be."""
    scope: tuple[str, ...] = ()
    """To be asked for beside what the connection has."""
    accept: str = ""
    """The e-mail address of who takes the connection over; empty: nobody does."""
    failure: Failure | None = None
    again_at: datetime | None = None
    """When a proof that was broken off is tried again."""
    revoke_at: datetime | None = None
    """When the superseded refresh token is revoked; None: none lives, or a destination holds it."""

    @property
    def rate_limited(self) -> bool:
        """Whether its proof waits for a rate limit, and for nothing else."""
        limit = self.failure is not None and self.failure.code in RATE_LIMITS
        return limit and self.state is LineState.WAITING


@dataclass(frozen=True)
class Evidence:
    """What is stored about one connection of a repair."""

    stored: RepairLine
    now: Overview
    receipt: Receipt | None
    """Of the newest grant that is neither proved nor given up."""
    attempt: Attempt | None
    """The newest authorization since the repair began."""
    destinations: Sequence[Destination]


def judge(seen: Evidence) -> tuple[LineState, Failure | None]:
    """The state of a connection, and what stands in its way."""
    candidate = seen.now.candidate
    if seen.stored.skipped:
        return LineState.SKIPPED, None
    if candidate is not None and candidate.state is GrantState.MISMATCH:
        taken_over = takes_over(seen.stored, candidate)
        return (LineState.PROVING, None) if taken_over else (LineState.HELD, candidate.failure)
    if has_arrived(seen.stored, seen.now.grant):
        return _delivery(seen.destinations, seen.now.connection.generation)
    attempt = seen.attempt
    if attempt is not None and attempt.state in (
        AttemptState.REDIRECTED,
        AttemptState.CALLBACK_SEEN,
        AttemptState.EXCHANGE_INTENT,
    ):
        forwarded = attempt.mode is Mode.FORWARDED
        return (LineState.ASKED if forwarded else LineState.AT_ZOHO), None
    if candidate is not None:
        return _proof(candidate, seen.receipt)
    if attempt is not None and attempt.failure is not None:
        if attempt.failure.code == THROTTLED:  # its code is lost, and it asks for another
            return LineState.PENDING, None
        return LineState.REFUSED, attempt.failure
    return LineState.PENDING, None


def has_arrived(stored: RepairLine, current: Grant | None) -> bool:
    """Whether the consent that the repair is about was given and proved."""
    if current is None or current.state is not GrantState.PROVED:
        return False
    return current.generation > stored.before and is_expected(stored, current)


def is_expected(stored: RepairLine, grant: Grant) -> bool:
    """Whether `grant` is from the person who was to take the connection over, if anybody was."""
    if not stored.accept:
        return True
    return grant.account is not None and same_address(grant.account.email, stored.accept)


def takes_over(stored: RepairLine, held: Grant) -> bool:
    """Whether a held grant is from the person who was announced, and not yet judged any further."""
    other = held.failure is not None and held.failure.code == OTHER_ACCOUNT
    return other and bool(stored.accept) and is_expected(stored, held)


def same_address(one: str, other: str) -> bool:
    """Whether two e-mail addresses are one person's, who may write capitals or not."""
    return one.casefold() == other.casefold()


def holds(destination: Destination, generation: int) -> bool:
    """Whether a destination holds grant `generation`, and its program has read it where a command
    makes it do so."""
    done = destination.generation == generation and destination.failure is None
    return done and (not destination.reload or destination.in_use_at is not None)


def _delivery(
    destinations: Sequence[Destination], generation: int
) -> tuple[LineState, Failure | None]:
    open_ones = [each for each in destinations if not holds(each, generation)]
    if not open_ones:
        return LineState.REPAIRED, None
    failures = [each.failure for each in open_ones if each.failure is not None]
    if len(failures) < len(open_ones):
        return LineState.DELIVERING, None
    return LineState.NOT_DELIVERED, failures[0]


def _proof(candidate: Grant, receipt: Receipt | None) -> tuple[LineState, Failure | None]:
    if receipt is None or receipt.finished_at is None:
        return LineState.PROVING, None
    failed = next((each for each in receipt.rungs if each.state is RungState.FAILED), None)
    if failed is None:  # climbed well, and about to be proved
        return LineState.PROVING, None
    failure = failed.failure or candidate.failure
    passing = failure is not None and failure.temporary
    return (LineState.WAITING if passing else LineState.UNPROVED), failure


def again_at(failure: Failure | None, receipt: Receipt | None) -> datetime | None:
    """When a proof that `failure` broke off is tried again."""
    if failure is None or receipt is None or receipt.finished_at is None:
        return None
    return bounded(failure.retry_at, receipt.finished_at) or receipt.finished_at + AGAIN
