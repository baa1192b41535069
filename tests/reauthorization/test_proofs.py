"""What the results of a repair say of a connection whose proof waits for a rate limit."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from core import ANNA, Core
from repairing import connect, kill, lines
from shell import Shell

from wizard.cli.proofs import exit_code, paint_proofs, proof_json
from wizard.cli.proving import Outcome
from wizard.cli.terminal import Terminal
from wizard.model import GrantState
from wizard.reauthorization import Line
from wizard.web import LaunchTokens, create_app

URL = r"http://127\.0\.0\.1:\d+/\w+/accounts/oauth/v2/auth\S+"


@pytest.fixture
def terminal(core: Core) -> Terminal:
    terminal = Terminal(core.house.clock)
    terminal.settings, terminal.house = core.house.settings, core.house
    return terminal


def throttled(core: Core, name: str) -> Line:
    """A consent for `name`, whose proof Zoho then keeps waiting."""
    core.house.repairs.begin([name])
    begun = core.house.authorization.begin(name)
    done = core.finish(begun, core.consent(begun))
    assert done.generation is not None, done.failure
    core.admin.fault("throttle", endpoint="oauth/v2/token", times=9)
    core.climb(name, done.generation)
    core.admin.clear_faults()
    (line,) = lines(core)
    return line


@pytest.mark.parametrize("dead", [True, False])
def test_a_proof_that_waits_for_a_rate_limit_says_so_and_nothing_else(
    core: Core, terminal: Terminal, capsys: pytest.CaptureFixture[str], dead: bool
) -> None:
    connect(core, "crm", core.client())
    core.advance(minutes=11)
    if dead:
        kill(core, "crm")
    line = throttled(core, "crm")
    assert line.again_at is not None
    until = line.again_at.astimezone()

    paint_proofs(terminal, [line])
    name, state, _reaches, proved, _programs = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (name, proved) == ("crm", "")
    assert state == f"… waiting for Zoho's rate limit until {until:%H:%M:%S}"

    told = proof_json(terminal, line)
    assert (told["state"], told["proved"], told["proved_at"]) == ("waiting", False, None)
    assert told["again_at"] == line.again_at
    assert told["error"]["code"] == "throttled"
    assert exit_code(terminal, line) == 4

    launch = LaunchTokens()
    browser, base_url = create_app(core.house, launch=launch).test_client(), "http://localhost:8733"
    browser.get(f"/launch/{launch.issue()}", base_url=base_url)
    page = browser.get("/repair", base_url=base_url).text
    assert f"Waiting for Zoho’s rate limit until {until.day} {until:%b %Y, %H:%M:%S}" in page
    assert "Proved" not in page


def test_a_time_of_another_day_is_told_with_its_date(
    core: Core, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(core, "crm", core.client())
    core.house.repairs.begin(["crm"])
    core.house.repairs.skip("crm")
    core.advance(hours=30)
    paint_proofs(terminal, list(lines(core)))
    proved = capsys.readouterr().out.split("\t")[3]
    grant = core.house.store.grant("crm")
    assert grant is not None
    assert proved.startswith(f"{grant.granted_at.astimezone():%Y-%m-%d} ")


def test_a_proved_connection_is_told_with_the_time_of_its_proof_in_every_place(
    core: Core, terminal: Terminal
) -> None:
    connect(core, "crm", core.client())
    kill(core, "crm")
    core.advance(minutes=11)
    line = throttled(core, "crm")
    assert line.again_at is not None
    core.advance(minutes=11)
    core.climb("crm", line.generation)
    (line,) = lines(core)
    told = proof_json(terminal, line)
    assert told["proved"]
    assert told["proved_at"] > datetime.min.replace(tzinfo=UTC)
    assert told["again_at"] is None


@pytest.mark.parametrize("state", GrantState)
def test_only_a_proved_grant_is_called_proved(core: Core, state: GrantState) -> None:
    grant = replace(core.proved(), state=state)
    told = Outcome("crm", grant).to_json()
    assert told["proved"] is (told["state"] == "proved")


def test_connect_tells_that_its_proof_waits_as_what_it_is(shell: Shell, stored: Core) -> None:
    client = stored.client()
    running = shell.start(
        *("connect", "crm", "--task", "crm-read-leads", "--no-browser", "--json"),
        *("--client", client.client_id),
    )
    # Two asked for the client when it was stored; the exchange is the third, and the refresh waits.
    shell.sandbox.admin.change_settings(throttle_key="client", token_requests=3)
    running.type(shell.sandbox.admin.authorize(running.see(URL), ANNA))
    done = running.end()
    told = json.loads(done.out)
    assert done.code == 4
    assert (told["proved"], told["state"], told["error"]["code"]) == (
        False,
        "unproved",
        "throttled",
    )
