"""The test helpers: a row that violates its claim is shown, and a new skip fails CI."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.claims import over_rows
from support.tokens import wait_for
from support.variations import tried_cases

TESTS = """
import pytest
from support.claims import over_rows
from support.tokens import wait_for

@pytest.mark.skip(reason="no printer")
@pytest.mark.parametrize("sheet", [1, 2])
def test_prints(sheet): ...

def test_reads(): ...
"""
KNOWN = '[[skip]]\ntest = "test_it.py::{}"\nreason = "{}"\n'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("listed", "exit_code"),
    [
        (KNOWN.format("test_prints", "no printer"), 0),
        (KNOWN.format("test_prints", "no paper"), 1),
        (KNOWN.format("test_reads", "no printer"), 1),
        ("", 1),
    ],
)
def test_a_skip_fails_the_run_unless_it_is_listed_with_its_reason(
    tmp_path: Path, listed: str, exit_code: int
) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "known.toml").write_text(listed)
    plugins = ("-p", "xdist", "-p", "support.known_skips", "-p", "no:cacheprovider", "-n1")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--known-skips=known.toml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_code, done.stdout
    assert ("test_it.py::test_prints[1]: no printer" in done.stdout) is bool(exit_code)


def test_quick_tests_try_the_first_the_last_and_one_in_eight_of_many_cases() -> None:
    assert [tried_cases(count) for count in (1, 2, 3)] == [{0}, {0, 1}, {0, 2}]
    assert tried_cases(17) == {0, 8, 16}
    for count in range(1, 200):
        tried = tried_cases(count)
        assert {0, count - 1} <= tried <= {*range(count)}
        assert len(tried) <= 2 + count / 8


def test_each_listed_skip_names_a_test_and_a_reason() -> None:
    root = Path(__file__).parents[1]
    listed = tomllib.loads((root / ".ci/known-skips.toml").read_text("utf-8"))["skip"]
    assert listed
    for each in listed:
        assert set(each) == {"test", "reason"}, each
        file, _, name = each["test"].partition("::")
        assert f"def {name}(" in (root / file).read_text("utf-8"), each


def test_each_row_that_violates_a_claim_is_shown() -> None:
    @over_rows("text, length", [("one", 3), ("two", 4), ("three", 5), ("four", "x")])
    def claim(text: str, length: int) -> None:
        assert len(text) == int(length), "another length"

    with pytest.raises(pytest.fail.Exception) as caught:
        claim()
    shown = str(caught.value)
    assert "2 of 4 rows" in shown
    assert "('two', 4)\nAssertionError: another length" in shown
    assert "('four', 'x')\nValueError" in shown
    assert "three" not in shown


START_AND_DIE = """
import os
from support.postgresql import PostgresqlServer
print(PostgresqlServer().directory, flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_database_server_of_killed_tests_stops_and_leaves_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", START_AND_DIE],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    directory = Path(done.stdout.strip())
    assert directory.is_absolute(), done.stderr
    wait_for(lambda: not directory.exists())
