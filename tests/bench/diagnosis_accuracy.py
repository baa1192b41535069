"""Diagnoses of known causes: how many are right and wrong, and how many requests they take."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from support.failure_scenarios import FAILURE_SCENARIOS, FailureScenario, explain

from bench.installation import Installation
from bench.measurements import Measurement, ratio
from wizard.diagnosis.judgment import is_decided
from wizard.model import Confidence

MAX_REQUESTS = 4
"""Requests to its own data center that one diagnosis may send."""


@dataclass(frozen=True)
class Outcome:
    """The result of one diagnosis."""

    is_class_right: bool
    """The class of causes with the same response from Zoho is right."""
    has_true_cause: bool
    """The true cause is listed."""
    is_first: bool
    """It comes first."""
    is_decided: bool
    """It comes first, and no other cause has the same confidence."""
    is_mistaken: bool
    """A wrong cause comes first."""
    is_misled: bool
    """A wrong cause is called certain."""
    request_count: int


def measure(installation: Installation) -> Iterator[Measurement]:
    """Diagnose each cause in its own scenario, as a user who diagnoses ``crm`` or pastes a
    response."""
    verdicts = [
        _diagnose(installation, f"world-{n}", world) for n, world in enumerate(FAILURE_SCENARIOS)
    ]

    def share(name: str, field: str, target: str = "") -> Measurement:
        count = sum(getattr(each, field) for each in verdicts)
        against = f"{len(verdicts)} causes made to happen"
        return Measurement(
            f"diagnosis: {name}", str(count), against, f"{count / len(verdicts):.0%}", target
        )

    yield share("the class is right", "is_class_right", "100%")
    yield share("the true cause is among those given", "has_true_cause", "100%")
    yield share("it comes first", "is_first")
    yield share("it comes first, and nothing else is as sure", "is_decided")
    yield share("another one comes first, and nothing else is as sure", "is_mistaken", "0%")
    yield share("another one is called certain", "is_misled", "0%")
    requests = [each.request_count for each in verdicts]
    seen = f"{statistics.mean(requests):.1f}, {max(requests)}"
    against = f"the budget of {MAX_REQUESTS}"
    yield Measurement(
        "diagnosis: asks of Zoho, on average (pastes ask nothing) and at most",
        seen,
        against,
        ratio(max(requests), MAX_REQUESTS),
        "≤ 1",
    )


def _diagnose(installation: Installation, home: str, scenario: FailureScenario) -> Outcome:
    with installation.harness(home) as harness:
        met = scenario.produce(harness)
        harness.controls.clear_journal()
        found = explain(harness, met)
        requests = len([entry for entry in harness.controls.journal() if entry["location"]])
    given = {each.code: each.confidence for each in found.causes}
    given = given or {found.code: Confidence.CONFIRMED}
    first, sure = next(iter(given)), is_decided(found.causes) or not found.causes
    return Outcome(
        is_class_right=found.failure_class == scenario.failure_class,
        has_true_cause=scenario.cause in given,
        is_first=first == scenario.cause,
        is_decided=sure and first == scenario.cause,
        is_mistaken=sure and first != scenario.cause,
        is_misled=any(
            given[each] is Confidence.CONFIRMED for each in given.keys() - {scenario.cause}
        ),
        request_count=requests,
    )
