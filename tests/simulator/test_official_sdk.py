"""Zoho's unmodified Python SDK for CRM works with the simulator."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.third_party_environments import python_programs
from support.zoho_driver import ZohoDriver

PROGRAM = Path(__file__).parent / "programs" / "official_sdk.py"

pytestmark = pytest.mark.slow

BLOCKED_PROXIES = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
}
"""A proxy that doesn't exist: every request except to loopback fails."""

SCOPE = "ZohoCRM.org.READ,ZohoCRM.users.READ,ZohoCRM.modules.ALL,ZohoCRM.settings.fields.READ"


def _run(zoho: ZohoDriver, refresh_token: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    credentials = zoho.credentials
    return subprocess.run(
        [
            str(python_programs("zoho-sdk") / "python"),
            str(PROGRAM),
            zoho.url_for(""),
            zoho.url_for("", host="www"),
            credentials["client_id"],
            credentials["client_secret"],
            refresh_token,
            str(folder),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, **BLOCKED_PROXIES},
    )


def test_the_official_sdk_reads_organization_user_and_a_lead(
    zoho: ZohoDriver, tmp_path: Path
) -> None:
    refresh_token = zoho.issue_tokens(scope=SCOPE)["refresh_token"]
    done = _run(zoho, refresh_token, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "company": "Zylker GmbH",
        "email": "anna@zylker.example",
        "lead": "Lovelace",
    }
    asked = [(each["path"], each["outcome"]) for each in zoho.controls.journal()[1:]]
    assert asked == [
        ("/oauth/v2/token", "ok"),
        ("/crm/v8/org", "ok"),
        ("/crm/v8/users", "ok"),
        ("/crm/v8/settings/fields", "ok"),
        ("/crm/v8/Leads", "ok"),
    ]


def test_the_official_sdk_shows_the_error_code_for_a_revoked_refresh_token(
    zoho: ZohoDriver, tmp_path: Path
) -> None:
    refresh_token = zoho.issue_tokens()["refresh_token"]
    zoho.controls.change_password("anna@zylker.example")
    done = _run(zoho, refresh_token, tmp_path)
    assert done.returncode != 0
    assert "invalid_code" in done.stderr
