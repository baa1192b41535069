"""A third-party OAuth client runs the whole code flow, including sign-in and consent."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.third_party_environments import python_programs
from support.zoho_driver import ANNA, REDIRECT_URI, ZohoDriver

PROGRAM = Path(__file__).parent / "programs" / "third_party_client.py"

pytestmark = pytest.mark.slow


def test_requests_oauthlib_does_the_whole_code_flow(zoho: ZohoDriver) -> None:
    credentials = zoho.credentials
    done = subprocess.run(
        [
            str(python_programs("requests-oauthlib") / "python"),
            str(PROGRAM),
            zoho.url_for(""),
            credentials["client_id"],
            credentials["client_secret"],
            REDIRECT_URI,
            ANNA,
            zoho.world.users.get(ANNA).password,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OAUTHLIB_INSECURE_TRANSPORT": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"email": ANNA, "company": "Zylker GmbH"}
    tokens = [each for each in zoho.controls.journal() if each["path"] == "/oauth/v2/token"]
    assert [each["outcome"] for each in tokens] == ["ok", "ok"]
