"""Which cases of a claim `make test` tries. `make test-all` tries every one."""

from collections import defaultdict
from collections.abc import Iterable

import pytest

SHARE = 8
"""One case in so many is tried, and never fewer than the first and the last."""


def tried_cases(count: int) -> set[int]:
    """The cases of `count` that are tried, evenly spread."""
    last = count - 1
    steps = max(1, round(count / SHARE))
    return {round(step * last / steps) for step in range(steps + 1)}


def mark_variations_slow(items: Iterable[pytest.Item]) -> None:
    """Mark as slow the cases that aren't tried of each parametrized test that needs a simulator:
    a case of a pure function takes a millisecond, a case with a simulator half a second or more.
    """
    by_test = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and "zoho_simulator" in item.fixturenames:
            by_test[item.nodeid.partition("[")[0]].append(item)
    for cases in by_test.values():
        tried = tried_cases(len(cases))
        for number, case in enumerate(cases):
            if number not in tried:
                case.add_marker(pytest.mark.slow)
