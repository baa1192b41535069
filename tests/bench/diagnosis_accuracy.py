"""Diagnoses of known causes: how many are right and wrong, and how many requests they take."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from support.failure_scenarios import FAILURE_SCENARIOS, FailureScenario, explain
from support.field_cases import Score, codes_of, load_cases, score

from bench.installation import Installation
from bench.measurements import Measurement, ratio
from wizard.diagnosis.judgment import is_decided

MAX_REQUESTS = 4
"""Requests to its own data center that one diagnosis may send."""

TARGETS = {
    Score.RIGHT_AMONG: "≥ 85% with right first",
    Score.UNKNOWN: "≤ 10%",
    Score.CONFIDENTLY_WRONG: "0%",
}


@dataclass(frozen=True)
class Outcome:
    """The result of one diagnosis in a scenario."""

    score: Score
    is_class_right: bool
    """The class of causes with the same response from Zoho is right."""
    is_decided: bool
    """The true cause comes first, and no other cause has the same confidence."""
    is_mistaken: bool
    """A wrong cause comes first."""
    request_count: int


def measure(installation: Installation) -> Iterator[Measurement]:
    """Diagnose each cause in its own scenario, as a user who diagnoses ``crm`` or pastes a
    response; and the cases of public reports, as pastes."""
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
    yield share("the true cause comes first, and is the most certain", "is_decided")
    yield share("a wrong cause comes first, and is the most certain", "is_mistaken", "0%")
    yield from _distribution("causes made to happen", [each.score for each in verdicts])
    halves = {"tuned": "public reports, tuned", "held_out": "public reports, held out"}
    for folder, what in halves.items():
        yield from _distribution(what, _score_cases(installation, folder))
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


def _distribution(what: str, scores: Sequence[Score]) -> Iterator[Measurement]:
    """How many diagnoses got each score."""
    count = Counter(scores)
    for each in Score:
        share = f"{count[each] / len(scores):.0%}"
        against = f"{len(scores)} {what}"
        yield Measurement(
            f"diagnosis: {each}", str(count[each]), against, share, TARGETS.get(each, "")
        )


def _score_cases(installation: Installation, folder: str) -> list[Score]:
    with installation.harness(f"field-{folder}") as harness:
        explain_text = harness.services.reader.explain_text
        cases = load_cases(folder)
        return [score(explain_text(each.paste).explanation, each.causes) for each in cases]


def _diagnose(installation: Installation, home: str, scenario: FailureScenario) -> Outcome:
    with installation.harness(home) as harness:
        met = scenario.produce(harness)
        harness.controls.clear_journal()
        found = explain(harness, met)
        requests = len([entry for entry in harness.controls.journal() if entry["location"]])
    first = next(iter(codes_of(found)[1:]), found.code)
    sure = is_decided(found.causes) or not found.causes
    return Outcome(
        score=score(found, {scenario.cause}),
        is_class_right=found.failure_class == scenario.failure_class,
        is_decided=sure and first == scenario.cause,
        is_mistaken=sure and first != scenario.cause,
        request_count=requests,
    )
