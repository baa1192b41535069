"""Which programs from elsewhere the tests of deliveries need."""

import shutil

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(program): skipped where it is not installed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, and say so, what needs a program that is not there: a machine with Python alone proves
    what it can, and its report names what it did not prove."""
    for item in items:
        if (mark := item.get_closest_marker("needs")) and shutil.which(mark.args[0]) is None:
            item.add_marker(pytest.mark.skip(reason=f"{mark.args[0]} is not installed"))
