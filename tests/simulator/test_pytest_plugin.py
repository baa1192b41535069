"""The fixture that the package provides for users' own tests."""

import subprocess
import sys
from pathlib import Path

USERS_TEST = """
import urllib.request

def test_mine(zoho_simulator):
    address = f"{zoho_simulator.url}/eu/accounts/oauth/serverinfo"
    with urllib.request.urlopen(address) as answer:
        assert answer.status == 200
    client = zoho_simulator.controls.register_client("anna@zylker.example", ["http://localhost/back"])
    assert client["client_id"].startswith("1000.")
"""


def _python(*words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_one_line_gives_another_project_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["wizard.simulator.pytest_plugin"]\n')
    (tmp_path / "test_mine.py").write_text(USERS_TEST)
    done = _python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0", ".", folder=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


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
