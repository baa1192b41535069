"""The fixture that the package provides for users' own tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wizard.simulator.server import Simulator

USERS_TEST = """
import urllib.request

def test_mine(zoho_simulator):
    address = f"{zoho_simulator.url}/eu/accounts/oauth/serverinfo"
    with urllib.request.urlopen(address) as answer:
        assert answer.status == 200
    client = zoho_simulator.controls.register_client("anna@zylker.example", ["http://localhost/back"])
    assert client["client_id"].startswith("1000.")
"""

CONFIGURED_TESTS = """
import pytest

@pytest.fixture(scope="module")
def shared(zoho_simulator_factory):
    return zoho_simulator_factory(seed=7, users=[{"email": "kim@example.com", "location": "us"}])

@pytest.mark.zoho_simulator(seed=7, settings={"token_request_limit": 3})
def test_the_mark(zoho_simulator):
    assert zoho_simulator.controls.settings()["token_request_limit"] == 3

def test_the_default(zoho_simulator):
    assert zoho_simulator.controls.settings()["token_request_limit"] == 10

@pytest.mark.zoho_simulator(sead=7)
def test_a_misspelled_key(zoho_simulator):
    pass

@pytest.mark.parametrize("number", [1, 2])
def test_a_simulator_for_a_module(shared, number):
    assert [each["email"] for each in shared.controls.users()] == ["kim@example.com"]
    shared.controls.register_client("kim@example.com", [])
    assert len(shared.controls.state()["clients"]) == number

@pytest.mark.parametrize("number", [1, 2])
def test_a_simulator_for_the_session(zoho_simulator_session, number):
    zoho_simulator_session.controls.register_client("anna@zylker.example", [])
    assert len(zoho_simulator_session.controls.state()["clients"]) == number
"""


def _python(*words: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def _pytest(folder: Path, tests: str, *options: str) -> str:
    """Run tests of another project, with the simulator's fixtures; return what pytest prints."""
    (folder / "conftest.py").write_text('pytest_plugins = ["wizard.simulator.pytest_plugin"]\n')
    (folder / "test_mine.py").write_text(tests)
    words = ("-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider", *options)
    done = _python(*words, ".", folder=folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    return done.stdout + done.stderr


def test_one_line_gives_another_project_the_fixture(tmp_path: Path) -> None:
    assert "1 passed" in _pytest(tmp_path, USERS_TEST)


@pytest.mark.slow
def test_a_mark_and_a_factory_configure_the_simulator(tmp_path: Path) -> None:
    printed = _pytest(tmp_path, CONFIGURED_TESTS)
    assert "“sead” is unknown. Did you mean “seed”?" in printed
    assert "6 passed, 1 error" in printed


@pytest.mark.slow
def test_tests_can_use_a_simulator_that_runs_elsewhere(
    tmp_path: Path, zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.register_client("anna@zylker.example", [])
    printed = _pytest(
        tmp_path,
        """
import pytest

@pytest.mark.zoho_simulator(seed=7, settings={"token_request_limit": 3})
def test_the_mark(zoho_simulator):
    assert zoho_simulator.controls.settings()["token_request_limit"] == 3
    assert zoho_simulator.controls.state()["clients"] == []
    zoho_simulator.controls.register_client("anna@zylker.example", [], name="Theirs")
""",
        f"--zoho-simulator-url={zoho_simulator.url}",
    )
    assert "1 passed" in printed
    assert [each["name"] for each in zoho_simulator.controls.state()["clients"]] == ["Theirs"]


@pytest.mark.slow
def test_a_project_with_a_package_named_wizard_can_run_its_own_tests(tmp_path: Path) -> None:
    (tmp_path / "wizard").mkdir()
    (tmp_path / "wizard" / "__init__.py").write_text("SPELLS = 3\n")
    theirs = "from wizard import SPELLS\n\ndef test_theirs():\n    assert SPELLS == 3\n"
    (tmp_path / "test_theirs.py").write_text(theirs)
    done = _python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0", ".", folder=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_does_not_load_flask_for_those_who_do_not_use_it(tmp_path: Path) -> None:
    words = "import sys, wizard.simulator.pytest_plugin; print('flask' in sys.modules)"
    assert _python("-c", words, folder=tmp_path).stdout == "False\n"


def test_a_running_simulator_loads_neither_playwright_nor_authlib(tmp_path: Path) -> None:
    words = """
import sys
from urllib.request import urlopen

from wizard.simulator.server import Simulator

with Simulator() as simulator:
    simulator.controls.users()
    urlopen(f"{simulator.url}/_simulator/").close()
    urlopen(f"{simulator.url}/eu/accounts/signin").close()
print(sorted({"authlib", "flask", "playwright", "requests"} & set(sys.modules)))
"""
    assert _python("-c", words, folder=tmp_path).stdout == "['flask']\n"
