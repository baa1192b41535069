"""Each cause is produced for real, its class is always right, no wrong cause is confident, and the
suggested fix works."""

import pytest
from support.diagnosis import cause_codes
from support.failure_scenarios import FAILURE_SCENARIOS, FailureScenario, explain
from support.harness import Harness

from wizard.diagnosis.judgment import is_decided
from wizard.model import Confidence


def _case(scenario: FailureScenario) -> object:
    marks = [pytest.mark.slow] if scenario.is_slow else []
    return pytest.param(scenario, id=scenario.name, marks=marks)


@pytest.mark.parametrize("scenario", [_case(each) for each in FAILURE_SCENARIOS])
def test_a_cause_has_the_confidence_the_evidence_allows_and_its_fix_works(
    harness: Harness, scenario: FailureScenario
) -> None:
    found = explain(harness, scenario.produce(harness))
    assert found.failure_class == scenario.failure_class
    assert scenario.cause in ({each.code for each in found.causes} or {found.code})
    assert cause_codes(found, Confidence.CONFIRMED) <= {scenario.cause}
    assert (is_decided(found.causes) or not found.causes) is scenario.is_decided
    assert bool(found.question) is not scenario.is_decided
    if found.causes and scenario.is_decided:
        assert found.causes[0].code == scenario.cause
    assert found.next_steps or found.exit_code == 4, "there is a button, or there is time to wait"
    scenario.apply_fix(harness, found)


def test_scenarios_have_distinct_names() -> None:
    assert len({scenario.name for scenario in FAILURE_SCENARIOS}) == len(FAILURE_SCENARIOS)
