"""`python -O` strips every assert; no defence may be one."""

import os
import subprocess
import sys
from pathlib import Path

FORGED = """
import sys
from pathlib import Path
from core import Core, query
from ports import free_port
from wizard.errors import WizardError
from wizard.house import House
from wizard.sandbox.server import Sandbox
from wizard.settings import from_environment
from wizard.web import LaunchTokens, create_app

assert False, "asserts are alive"

def outcome(params, jar):
    try:
        done = house.authorization.complete(params, jar)
    except WizardError as error:
        return error.failure.code
    return done.failure.code if done.failure else "accepted"

home = Path(sys.argv[1])
with Sandbox() as zoho:
    chosen = {"ZOHO_WIZARD_HOME": str(home), "ZOHO_WIZARD_ZOHO": zoho.url, "HOME": str(home)}
    settings = from_environment({**chosen, "ZOHO_WIZARD_PORT": str(free_port())})
    with House.open(settings, zoho.clock) as house:
        core = Core(house, zoho, home)
        core.connection()
        begun = house.authorization.begin("crm")
        params = dict(query(core.consent(begun)))
        jar = {begun.cookie_name: begun.cookie_value}
        without_state = {name: text for name, text in params.items() if name != "state"}
        print(outcome(list(without_state.items()), jar))
        print(outcome(list(without_state.items()), {}))
        print(outcome(list(params.items()), {}))
        print(outcome(list(params.items()), {begun.cookie_name: "guess"}))
        print(outcome([*params.items(), ("code", "again")], jar))
        print(outcome(list({**params, "accounts-server": "https://evil.example"}.items()), jar))
        print(outcome(list(params.items()), jar))
        print(len(core.exchanges()))
        launch = LaunchTokens()
        pages = create_app(house, launch=launch).test_client()
        own = {"base_url": settings.base_url}
        print(pages.get("/status", **own).status_code)
        pages.get(f"/launch/{launch.issue()}", **own)
        print(pages.get("/status", **own).status_code)
        print(pages.get("/status", base_url="http://evil.example").status_code)
        print(pages.post("/connections/crm/authorize", **own).status_code)
"""

REFUSED = """callback-without-state
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


def test_every_forged_callback_and_request_is_refused_without_asserts(tmp_path: Path) -> None:
    tests = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-O", "-c", FORGED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (REFUSED, "")
