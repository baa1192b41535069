"""What checking one connection came to: a pure judge of what was asked and what is stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from wizard.diagnosis.patterns import NOT_ASKED, UNREACHED
from wizard.model import Failure, Grant, GrantState, Rung, RungState
from wizard.validation import SUSPECTED


@dataclass(frozen=True)
class Verdict:
    """What checking one connection came to, not yet put into words."""

    name: str
    grant: Grant | None
    """The grant that was checked, as it is now: the verdict is about this generation."""
    rungs: tuple[Rung, ...]
    """What was asked, in this check."""
    failure: Failure | None

    @property
    def location(self) -> str:
        """The data centre that was asked; empty where there is no grant."""
        return self.grant.location if self.grant else ""

    @property
    def works(self) -> bool:
        return self.failure is None

    @property
    def open(self) -> bool:
        """It could not be asked within the limits: nothing is known for sure."""
        return self.failure is not None and self.failure.code in NOT_ASKED

    @property
    def suspected(self) -> bool:
        """Its access token is refused, and whether its refresh token lives could not be asked."""
        return self.failure is not None and self.failure.code == SUSPECTED

    @property
    def unreached(self) -> bool:
        """Its data centre, or the way there, did not answer."""
        return self.failure is not None and self.failure.code in UNREACHED

    @property
    def dead(self) -> bool:
        """Zoho has refused the grant for good."""
        return self.grant is not None and self.grant.state is GrantState.DEAD


def judged(
    name: str, grant: Grant | None, rungs: Sequence[Rung], failure: Failure | None = None
) -> Verdict:
    """The verdict on `grant` of connection `name` after `rungs` were asked; `failure` is what kept
    more from being asked."""
    if grant is not None and grant.state in (GrantState.DEAD, GrantState.MISMATCH):
        failure = grant.failure or failure
    failed = next((rung for rung in rungs if rung.state is RungState.FAILED), None)
    if failure is None and failed is not None:
        failure = failed.failure or Failure("unknown")
    return Verdict(name, grant, tuple(rungs), failure)
