"""A new project that has only the wheel: its first tests of its own program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFTEST = 'pytest_plugins = ["wizard.simulator.pytest_plugin"]\n'
THEIR_TEST = """
import requests

ANNA, SCOPE = "anna@zylker.example", "ZohoCRM.modules.ALL"


def ask(tokens):
    url = f"{tokens['accounts_server']}/oauth/v2/token"
    return requests.post(url, data={**tokens, "grant_type": "refresh_token"}).json()


def call(tokens, method="GET", **request):
    headers = {"Authorization": f"Zoho-oauthtoken {tokens['access_token']}"}
    url = f"{tokens['api_domain']}/crm/v8/Leads"
    return requests.request(method, url, headers=headers, **request)


def test_what_a_program_meets_at_zoho(zoho_simulator):
    zoho, fields = zoho_simulator.controls, {"fields": "Last_Name", "per_page": 1}
    tokens = zoho.issue_tokens(ANNA, SCOPE)
    assert call(tokens, "POST", json={"data": [{"Last_Name": "Lee"}]}).status_code == 201
    assert call(tokens, params=fields).json()["info"]["more_records"]
    assert all("access_token" in ask(tokens) for _ in range(10))
    assert ask(tokens)["error"] == "Access Denied"  # the rate limit
    assert call(tokens, params=fields).status_code == 401  # evicted by ten newer ones
    zoho.advance(600)
    zoho.change_password(ANNA)
    assert ask(tokens) == {"error": "invalid_code"}
    zoho.move_account(ANNA, "us")
    assert ask(zoho.issue_tokens(ANNA, SCOPE))["api_domain"].endswith("/us/www")
"""


@pytest.mark.slow
def test_ten_lines_test_limits_eviction_a_password_change_and_data_centers(tmp_path: Path) -> None:
    wheels, site, project = tmp_path / "wheels", tmp_path / "site", tmp_path / "project"
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    wheel = (*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels))
    subprocess.run([*wheel, str(ROOT)], check=True, timeout=300)
    (file,) = wheels.glob("*.whl")
    install = (*pip, "install", "--no-deps", "--target", str(site), str(file))
    subprocess.run(install, check=True, timeout=300)
    project.mkdir()
    (project / "conftest.py").write_text(CONFTEST)
    where = f"import wizard\n\ndef test_it():\n    assert {str(site)!r} in wizard.__file__\n"
    (project / "test_mine.py").write_text(THEIR_TEST)
    (project / "test_where.py").write_text(where)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(site), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
