"""`python -O` strips every assert; no defense may rely on one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FORGED_REQUESTS = """
import sys
from pathlib import Path
from support.harness import Harness, query_parameters
from support.ports import free_port
from wizard.errors import WizardError
from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.settings import from_environment
from wizard.web.sessions import LinkTokens
from wizard.web.app import create_app

assert False, "asserts are alive"

def outcome(params, jar):
    try:
        done = services.authorization.complete(params, jar)
    except WizardError as error:
        return error.failure.code
    return done.failure.code if done.failure else "accepted"

home = Path(sys.argv[1])
with Simulator() as zoho:
    chosen = {"ZOHO_WIZARD_HOME": str(home), "HOME": str(home)}
    chosen["ZOHO_WIZARD_SIMULATOR_URL"] = zoho.url
    settings = from_environment({**chosen, "ZOHO_WIZARD_PORT": str(free_port())})
    with Services.open(settings, zoho.clock) as services:
        harness = Harness(services, zoho, home)
        harness.add_connection()
        begun = services.authorization.begin("crm")
        params = dict(query_parameters(harness.give_consent(begun)))
        jar = {begun.cookie_name: begun.cookie_value}
        without_state = {name: text for name, text in params.items() if name != "state"}
        print(outcome(list(without_state.items()), jar))
        print(outcome(list(without_state.items()), {}))
        print(outcome(list(params.items()), {}))
        print(outcome(list(params.items()), {begun.cookie_name: "guess"}))
        print(outcome([*params.items(), ("code", "again")], jar))
        print(outcome(list({**params, "accounts-server": "https://evil.example"}.items()), jar))
        print(outcome(list(params.items()), jar))
        print(len(harness.code_exchanges()))
        link_tokens = LinkTokens()
        pages = create_app(services, link_tokens=link_tokens).test_client()
        own = {"base_url": settings.base_url}
        print(pages.get("/status", **own).status_code)
        pages.get(f"/browser-link/{link_tokens.issue()}", **own)
        print(pages.get("/status", **own).status_code)
        print(pages.get("/status", base_url="http://evil.example").status_code)
        print(pages.post("/connections/crm/authorize", **own).status_code)
"""

EXPECTED_OUTPUT = """callback-without-state
callback-without-state
callback-wrong-browser
callback-wrong-browser
callback-repeated-parameter
issuer-mismatch
callback-repeated
0
403
200
400
403
"""


@pytest.mark.slow
def test_every_forged_callback_and_request_is_refused_without_asserts(tmp_path: Path) -> None:
    tests = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-O", "-c", FORGED_REQUESTS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (EXPECTED_OUTPUT, "")
