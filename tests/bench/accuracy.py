"""Diagnoses of causes that were made to happen: how often right, how often wrong, at what price."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from worlds import WORLDS, World, told_of

from bench.figures import Figure, ratio
from bench.place import Place
from wizard.diagnosis.judge import decided
from wizard.model import Confidence

BUDGET = 4
"""Asks of its own data centre that one diagnosis may take."""


@dataclass(frozen=True)
class Verdict:
    """What one diagnosis came to."""

    classed: bool
    """The class of causes that Zoho answers alike is the right one."""
    named: bool
    """The true cause is among those that are given."""
    first: bool
    """It comes first."""
    decided: bool
    """It comes first, and nothing else is as sure."""
    mistaken: bool
    """Another one does."""
    misled: bool
    """Another one is called certain."""
    asks: int


def measure(place: Place) -> Iterator[Figure]:
    """Each cause in a world of its own, judged as a person would who diagnoses ``crm``, or pastes
    what a program was answered."""
    verdicts = [_verdict(place, f"world-{n}", world) for n, world in enumerate(WORLDS)]

    def share(what: str, part: str, aim: str = "") -> Figure:
        count = sum(getattr(each, part) for each in verdicts)
        against = f"{len(verdicts)} causes made to happen"
        return Figure(
            f"diagnosis: {what}", str(count), against, f"{count / len(verdicts):.0%}", aim
        )

    yield share("the class is right", "classed", "100%")
    yield share("the true cause is among those given", "named", "100%")
    yield share("it comes first", "first")
    yield share("it comes first, and nothing else is as sure", "decided")
    yield share("another one comes first, and nothing else is as sure", "mistaken", "0%")
    yield share("another one is called certain", "misled", "0%")
    asks = [each.asks for each in verdicts]
    seen = f"{statistics.mean(asks):.1f}, {max(asks)}"
    against = f"the budget of {BUDGET}"
    yield Figure(
        "diagnosis: asks of Zoho, on average (pastes ask nothing) and at most",
        seen,
        against,
        ratio(max(asks), BUDGET),
        "≤ 1",
    )


def _verdict(place: Place, home: str, world: World) -> Verdict:
    with place.core(home) as core:
        met = world.happens(core)
        core.admin.clear_journal()
        found = told_of(core, met)
        asks = len([entry for entry in core.admin.journal() if entry["location"]])
    given = {each.code: each.confidence for each in found.causes}
    given = given or {found.code: Confidence.CERTAIN}
    first, sure = next(iter(given)), decided(found.causes) or not found.causes
    return Verdict(
        classed=found.failure_class == world.failure_class,
        named=world.cause in given,
        first=first == world.cause,
        decided=sure and first == world.cause,
        mistaken=sure and first != world.cause,
        misled=any(given[each] is Confidence.CERTAIN for each in given.keys() - {world.cause}),
        asks=asks,
    )
