"""The table: each cause produced for real, its class always right, never a confident wrong one,
and mended by the remedy that is told."""

import pytest
from core import Core
from scenes import codes
from worlds import WORLDS, World, told_of

from wizard.diagnosis.judge import decided
from wizard.model import Confidence


def _row(world: World) -> object:
    marks = [pytest.mark.slow] if world.slow else []
    return pytest.param(world, id=world.name, marks=marks)


@pytest.mark.parametrize("world", [_row(each) for each in WORLDS])
def test_a_cause_is_told_as_surely_as_the_evidence_allows_and_mended(
    core: Core, world: World
) -> None:
    found = told_of(core, world.happens(core))
    assert found.failure_class == world.failure_class
    assert world.cause in ({each.code for each in found.causes} or {found.code})
    assert codes(found, Confidence.CERTAIN) <= {world.cause}
    assert (decided(found.causes) or not found.causes) is world.decided
    assert bool(found.question) is not world.decided
    if found.causes and world.decided:
        assert found.causes[0].code == world.cause
    assert found.steps or found.exit_code == 4, "there is a button, or there is time to wait"
    world.mended(core, found)


def test_worlds_are_named_apart() -> None:
    assert len({world.name for world in WORLDS}) == len(WORLDS)
