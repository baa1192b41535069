"""What checking one connection came to: a pure judge of what was asked and what is stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from wizard.diagnosis.causes import NOT_CHECKED_CODES, UNREACHABLE_CODES
from wizard.model import Failure, Grant, GrantState, StepState, VerificationStep
from wizard.verification import SUSPECTED_REJECTION


@dataclass(frozen=True)
class CheckResult:
    """What checking one connection came to, not yet put into words."""

    name: str
    grant: Grant | None
    """The grant that was checked, as it is now: the verdict is about this generation."""
    steps: tuple[VerificationStep, ...]
    """What was asked, in this check."""
    failure: Failure | None

    @property
    def location(self) -> str:
        """The data centre that was asked; empty where there is no grant."""
        return self.grant.location if self.grant else ""

    @property
    def is_working(self) -> bool:
        return self.failure is None

    @property
    def is_pending(self) -> bool:
        """It could not be asked within the limits: nothing is known for sure."""
        return self.failure is not None and self.failure.code in NOT_CHECKED_CODES

    @property
    def is_suspected(self) -> bool:
        """Its access token is refused, and whether its refresh token lives could not be asked."""
        return self.failure is not None and self.failure.code == SUSPECTED_REJECTION

    @property
    def is_unreachable(self) -> bool:
        """Its data centre, or the way there, did not answer."""
        return self.failure is not None and self.failure.code in UNREACHABLE_CODES

    @property
    def needs_reauthorization(self) -> bool:
        """Zoho has refused the grant for good."""
        return self.grant is not None and self.grant.state is GrantState.NEEDS_REAUTHORIZATION


def check_result(
    name: str,
    grant: Grant | None,
    steps: Sequence[VerificationStep],
    failure: Failure | None = None,
) -> CheckResult:
    """The verdict on `grant` of connection `name` after `rungs` were asked; `failure` is what kept
    more from being asked."""
    if grant is not None and grant.state in (GrantState.NEEDS_REAUTHORIZATION, GrantState.MISMATCH):
        failure = grant.failure or failure
    failed = next((step for step in steps if step.state is StepState.FAILED), None)
    if failure is None and failed is not None:
        failure = failed.failure or Failure("unknown")
    return CheckResult(name, grant, tuple(steps), failure)
