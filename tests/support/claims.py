"""One test of one claim over the rows of a table."""

import functools
import inspect
from collections.abc import Callable, Iterable

import pytest

Test = Callable[..., None]


def over_rows(names: str | tuple[str, ...], rows: Iterable[object]) -> Callable[[Test], Test]:
    """Check a claim for every row, and show each row that violates it.

    Takes the arguments of `pytest.mark.parametrize` and makes one test of them: for a claim without
    state. All rows share the test's fixtures.
    """
    columns = [each.strip() for each in names.split(",")] if isinstance(names, str) else names
    table = list(rows)

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def check(**fixtures: object) -> None:
            broken = []
            for row in table:
                values = row if isinstance(row, tuple) and len(columns) > 1 else (row,)
                try:
                    test(**dict(zip(columns, values, strict=True)), **fixtures)
                except (Exception, pytest.fail.Exception) as error:
                    broken.append(f"{row!r}\n{type(error).__name__}: {error}")
            if broken:
                head = f"{len(broken)} of {len(table)} rows break the claim"
                pytest.fail("\n\n".join([head, *broken]), pytrace=False)

        parameters = inspect.signature(test).parameters.values()
        given = [each for each in parameters if each.name not in columns]
        check.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
        return check

    assert table, "a claim over no rows checks nothing"
    return decorate
