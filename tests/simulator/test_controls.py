"""The simulator's controls, clock, faults, journal and saved state, and the page that shows it."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect
from support.zoho_driver import ANNA, DORA, REDIRECT_URI, ZohoDriver

from wizard.simulator.configuration import Configuration
from wizard.simulator.controls import Controls
from wizard.simulator.remote import RemoteSimulator
from wizard.simulator.server import Simulator
from wizard.simulator.settings import Clock, FileClock
from wizard.simulator.simulated_user import SimulatedUser
from wizard.simulator.traffic import FAULT_KINDS
from wizard.simulator.world import World


@pytest.fixture(params=["in process", "over HTTP"])
def controls(request: pytest.FixtureRequest, zoho: ZohoDriver) -> Controls:
    remote = RemoteSimulator(zoho.url)
    return zoho.controls if request.param == "in process" else remote.controls


def test_the_controls_do_the_same_in_process_and_over_http(
    zoho: ZohoDriver, controls: Controls
) -> None:
    before = controls.now()
    assert controls.advance(3600) - before >= timedelta(hours=1)
    client = controls.register_client(ANNA, [REDIRECT_URI], name="Another")
    assert client["secrets"]["eu"]
    assert controls.change_settings(code_lifetime_seconds=5)["code_lifetime_seconds"] == 5
    assert controls.settings()["code_lifetime_seconds"] == 5
    assert [each["name"] for each in controls.state()["clients"]] == ["A client", "Another"]
    zoho.issue_tokens()
    assert controls.state()["active_refresh_tokens"] == 1
    assert [each["outcome"] for each in controls.journal()] == ["ok"]
    controls.clear_journal()
    assert controls.journal() == []
    controls.reset()
    assert controls.state()["clients"] == []
    assert controls.settings()["code_lifetime_seconds"] == 120


def test_invalid_control_values_are_errors_with_a_reason(controls: Controls) -> None:
    with pytest.raises(LookupError, match="There is no user"):
        controls.change_password("nobody@zylker.example")
    with pytest.raises(ValueError, match="“nonsense” is unknown"):
        controls.change_settings(nonsense=1)
    with pytest.raises(ValueError, match="“kind” must be"):
        controls.inject_fault("nonsense")
    with pytest.raises(ValueError, match="Invalid Client"):
        controls.authorize("http://x/?client_id=1&response_type=code", ANNA)


def test_obstacles_to_signing_in_are_added_through_the_controls(controls: Controls) -> None:
    controls.add_user(
        "pia@zylker.example",
        location="eu",
        password="pia-made-up-password",
        first_name="Pia",
        last_name="Lund",
        approves_by_push=True,
    )
    controls.announce("pia@zylker.example", "preannouncement")
    controls.require_captcha("pia@zylker.example")
    controls.reset_password("pia@zylker.example", "good-for-once")
    pia = controls.users()[-1]
    assert (pia["password"], pia["must_change_password"]) == ("good-for-once", True)
    assert (pia["announcements"], pia["approves_by_push"]) == (["preannouncement"], True)
    controls.forgot_password("pia@zylker.example", "remembered-now")
    assert controls.users()[-1]["password"] == "remembered-now"
    with pytest.raises(ValueError, match="“kind” must be"):
        controls.announce("pia@zylker.example", "nonsense")


def test_the_state_shows_no_secret(zoho: ZohoDriver) -> None:
    tokens = zoho.issue_tokens()
    shown = json.dumps(zoho.controls.state())
    secrets = [zoho.client["secrets"]["eu"], tokens["refresh_token"], tokens["access_token"]]
    secrets += [each.password for each in zoho.world.users]
    assert not [each for each in secrets if each in shown]


def test_the_controls_refuse_other_host_names_and_other_origins(zoho: ZohoDriver) -> None:
    address = f"{zoho.url}/_simulator/controls/now"
    rebound = requests.get(address, headers={"Host": "evil.example"}, timeout=10)
    foreign = requests.post(address, json={}, headers={"Origin": "http://localhost:1"}, timeout=10)
    own = requests.post(address, json={}, headers={"Origin": zoho.url}, timeout=10)
    assert [each.status_code for each in (rebound, foreign, own)] == [403, 403, 200]
    assert requests.post(address, data="x", timeout=10).status_code == 400
    assert requests.get(f"{zoho.url}/_simulator/controls/reset", timeout=10).status_code == 405


def test_a_file_gives_the_time_to_other_processes(tmp_path: Path) -> None:
    mirror = tmp_path / "clock"
    here, there = Clock(mirror), FileClock(mirror)
    here.advance(timedelta(days=1))
    assert abs(there() - here()) < timedelta(seconds=5)
    here.set(here() - timedelta(days=400))
    assert abs(there() - here()) < timedelta(seconds=5)
    assert FileClock(tmp_path / "absent")().tzinfo is not None


def test_the_date_header_follows_the_clock(zoho: ZohoDriver) -> None:
    zoho.controls.advance(86400)
    date = parsedate_to_datetime(zoho.refresh("x").headers["Date"])
    assert abs(date - zoho.controls.now()) < timedelta(seconds=5)


def test_a_skewed_response_has_a_wrong_date_and_its_token_expires_sooner(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    zoho.controls.inject_fault("clock-skew", endpoint="oauth/v2/token", seconds=3000)
    answer = zoho.refresh(body["refresh_token"])
    assert parsedate_to_datetime(answer.headers["Date"]) - zoho.controls.now() > timedelta(
        seconds=2990
    )
    assert answer.json()["expires_in"] == 3600
    zoho.controls.advance(601)
    assert not zoho.is_accepted(answer.json()["access_token"])
    assert zoho.is_accepted(body["access_token"])


@pytest.mark.parametrize(
    ("kind", "status", "part"),
    [
        ("html-page", 200, "<html>"),
        ("truncated-json", 200, "{"),
        ("unexpected-json", 200, "success"),
        ("rate-limit", 400, "Access Denied"),
        ("data-center-down", 503, "<html>"),
        ("server-error", 500, "general_error"),
        ("redirect", 302, ""),
        ("oversize", 200, "xxxxxxxxxx"),
        ("byte-by-byte", 200, "{}"),
        ("slow", 200, "invalid_code"),
    ],
)
def test_a_fault_occurs_once_and_only_where_it_was_set(
    zoho: ZohoDriver, kind: str, status: int, part: str
) -> None:
    zoho.controls.inject_fault(kind, location="eu", endpoint="oauth/v2/token", seconds=0.01)
    assert requests.get(zoho.url_for("/oauth/serverinfo"), timeout=10).status_code == 200
    address, said = (
        zoho.url_for("/oauth/v2/token"),
        {**zoho.credentials, "grant_type": "refresh_token"},
    )
    answer = requests.post(address, data=said, timeout=10, allow_redirects=False)
    assert answer.status_code == status
    assert part in answer.text
    assert zoho.refresh("x").json() == {"error": "invalid_code"}


def test_a_fault_can_include_retry_after(zoho: ZohoDriver) -> None:
    zoho.controls.inject_fault("data-center-down", endpoint="oauth/v2/token", retry_after="120")
    assert zoho.refresh("x").headers["Retry-After"] == "120"


def test_a_response_can_be_lost_after_the_code_was_used(zoho: ZohoDriver) -> None:
    code = zoho.authorization_code()
    zoho.controls.inject_fault("connection-closed", endpoint="oauth/v2/token", processed=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        zoho.exchange(code)
    assert zoho.exchange(code).json() == {"error": "invalid_code"}
    assert zoho.controls.state()["active_refresh_tokens"] == 1


def test_a_slow_response_comes_byte_by_byte(zoho: ZohoDriver) -> None:
    zoho.controls.inject_fault("byte-by-byte", endpoint="serverinfo", seconds=60, processed=True)
    with requests.get(zoho.url_for("/oauth/serverinfo"), stream=True, timeout=10) as answer:
        assert next(answer.iter_content(1)) == b"{"


def test_faults_can_be_counted_and_removed(zoho: ZohoDriver) -> None:
    zoho.controls.inject_fault("data-center-down", times=3)
    assert zoho.refresh("x").status_code == 503
    zoho.controls.clear_faults()
    assert zoho.refresh("x").status_code == 200


def test_the_journal_names_the_requests_and_contains_no_secret(zoho: ZohoDriver) -> None:
    code = zoho.authorization_code()
    body = zoho.exchange(code, code_verifier="v" * 43).json()
    zoho.exchange(code, client_id=zoho.credentials["client_secret"])
    zoho.call_api(body["access_token"], f"/crm/v8/{body['access_token']}")
    requests.post(
        zoho.url_for("/oauth/v2/revoke/token"),
        data={"token": body["refresh_token"]},
        auth=(zoho.client_id, zoho.credentials["client_secret"]),
        headers={"Origin": "http://localhost:1"},
        timeout=10,
    )
    entries = zoho.controls.journal()
    written = json.dumps(entries)
    tokens = [body["access_token"], body["refresh_token"]]
    secrets = [code, zoho.credentials["client_secret"], *tokens, "v" * 43]
    assert not [each for each in secrets if each in written]
    assert [(each["path"], each["outcome"]) for each in entries] == [
        ("/oauth/v2/token", "ok"),
        ("/oauth/v2/token", "invalid_client"),
        ("/crm/v8/1000.‹hidden›.‹hidden›", "INVALID_URL_PATTERN"),
        ("/oauth/v2/revoke/token", "ok"),
    ]
    assert entries[0]["parameters"]["code"] == ["‹70 characters›"]
    assert entries[0]["parameters"]["redirect_uri"] == [REDIRECT_URI]
    assert entries[3]["client_id"] == zoho.client_id
    assert entries[3]["headers"]["Origin"] == "http://localhost:1"


def test_the_same_seed_creates_the_same_ids(zoho: ZohoDriver) -> None:
    zoho.controls.reset(7)
    one = zoho.controls.register_client(ANNA, [])
    zoho.controls.reset(7)
    assert zoho.controls.register_client(ANNA, []) == one
    zoho.controls.reset(8)
    assert zoho.controls.register_client(ANNA, []) != one


def test_a_saved_simulator_continues_where_it_stopped(zoho: ZohoDriver) -> None:
    body = zoho.issue_tokens()
    zoho.controls.change_settings(token_request_limit=3)
    zoho.controls.advance(60)
    saved = json.loads(json.dumps(zoho.world.to_dict()))
    world = World()
    world.load(saved)
    assert world.to_dict()["users"] == saved["users"]
    assert world.to_dict()["clock_offset"] == saved["clock_offset"]
    with Simulator(world=world) as again:
        later = ZohoDriver(again)
        later.client = zoho.client
        assert "access_token" in later.refresh(body["refresh_token"]).json()
        assert later.is_accepted(body["access_token"])
        assert later.controls.settings()["token_request_limit"] == 3


def test_a_saved_simulator_of_a_different_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 99"):
        World().load({"format": 99})


def test_users_are_listed_with_password_and_current_one_time_code(zoho: ZohoDriver) -> None:
    dora = next(each for each in zoho.controls.users() if each["email"] == DORA)
    user = zoho.world.users.get(DORA)
    assert user.check_password(dora["password"])
    assert user.check_one_time_code(dora["one_time_code"], zoho.controls.now())
    assert not user.check_one_time_code(
        dora["one_time_code"], zoho.controls.now() + timedelta(minutes=5)
    )
    assert dora["password"] not in repr(user)


def test_two_simulators_run_next_to_each_other() -> None:
    with Simulator() as one, Simulator() as other:
        assert one.url != other.url
        one.controls.register_client(ANNA, [])
        assert other.controls.state()["clients"] == []


def test_many_concurrent_refreshes_are_counted_exactly(zoho: ZohoDriver) -> None:
    refresh_token = zoho.issue_tokens()["refresh_token"]
    with ThreadPoolExecutor(16) as storm:
        answers = list(storm.map(lambda _: zoho.refresh(refresh_token).status_code, range(40)))
    assert (answers.count(200), answers.count(400)) == (10, 30)


def test_a_port_in_use_is_an_error_at_once(zoho: ZohoDriver) -> None:
    with pytest.raises(OSError, match="in use"):
        Simulator(Configuration(port=int(zoho.url.rpartition(":")[2])))


def test_a_delayed_response_is_not_in_a_journal_cleared_meanwhile() -> None:
    with Simulator() as simulator:
        simulator.controls.inject_fault("slow", endpoint="serverinfo", seconds=60)
        address = f"{simulator.url}/eu/accounts/oauth/serverinfo"
        slow = threading.Thread(target=lambda: requests.get(address, timeout=30))
        slow.start()
        while simulator.controls.state()["faults"]:
            pass
        simulator.controls.clear_journal()
        requests.get(f"{address}?late=no", timeout=30)
        simulator.controls.clear_faults()  # releases it
        slow.join(timeout=30)
        assert not slow.is_alive()
        assert [list(each["parameters"]) for each in simulator.controls.journal()] == [["late"]]


def test_slow_responses_delay_neither_others_nor_the_shutdown() -> None:
    with Simulator() as simulator:
        simulator.controls.inject_fault("slow", endpoint="serverinfo", seconds=60)
        address = f"{simulator.url}/eu/accounts/oauth/serverinfo"
        slow = threading.Thread(target=lambda: requests.get(address, timeout=30))
        slow.start()
        while simulator.controls.state()["faults"]:
            pass
        assert requests.get(address, timeout=5).status_code == 200
    slow.join(timeout=10)
    assert not slow.is_alive()


@pytest.fixture
def state(person: SimulatedUser, zoho_simulator: Simulator) -> Page:
    """The state page, opened from the simulator's root."""
    person.go(zoho_simulator.url)
    expect(person.page).to_have_url(re.compile(r"/_simulator/$"))
    return person.page


@pytest.mark.slow
def test_users_are_listed_with_their_passwords(state: Page, zoho_simulator: Simulator) -> None:
    people = state.get_by_role("region", name="Users")
    for each in zoho_simulator.world.users:
        expect(people).to_contain_text(each.email)
        expect(people).to_contain_text(each.password)
    dora = zoho_simulator.world.users.get(DORA)
    assert dora.check_one_time_code(
        re.findall(r"one-time code (\d{6})", people.inner_text())[0], zoho_simulator.clock()
    )


def test_clients_are_listed_without_their_secrets(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    client = zoho_simulator.controls.register_client(
        ANNA, ["http://localhost/x"], name="Lead reader"
    )
    state.reload()
    clients = state.get_by_role("region", name="Clients")
    expect(clients).to_contain_text(client["client_id"])
    assert client["secrets"]["eu"] not in state.content()


@pytest.mark.slow
def test_the_clock_is_moved_and_reset(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    person.click(state.get_by_role("button", name="Forward 10 minutes"))
    expect(state.get_by_text("600 seconds ahead")).to_be_visible()
    assert zoho_simulator.clock.offset.total_seconds() == 600
    person.click(state.get_by_role("button", name="Return to real time"))
    expect(state.get_by_text("in real time")).to_be_visible()
    assert zoho_simulator.clock.offset.total_seconds() == pytest.approx(0, abs=1e-3)


@pytest.mark.slow
def test_a_password_is_changed_through_the_controls(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    anna = zoho_simulator.world.users.get(ANNA)
    before = anna.password
    entry = state.get_by_role("listitem").filter(has_text=ANNA)
    person.click(entry.get_by_text("Change", exact=True))
    person.click(entry.get_by_role("button", name="Change password, revoke tokens"))
    expect(entry.get_by_text(before, exact=True)).to_have_count(0)
    expect(entry).to_contain_text(anna.password)


@pytest.mark.slow
def test_a_fault_is_added_and_removed(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    person.choose(
        state.get_by_label("Fault", exact=True),
        f"data-center-down: {FAULT_KINDS['data-center-down']}",
    )
    person.choose(state.get_by_label("Data center"), "EU")
    person.click(state.get_by_role("button", name="Add fault"))
    expect(state.get_by_role("region", name="Faults").get_by_role("listitem")).to_contain_text("EU")
    (fault,) = zoho_simulator.world.faults.pending
    assert (fault.kind, fault.location, fault.endpoint) == (
        "data-center-down",
        "eu",
        "oauth/v2/token",
    )
    person.click(state.get_by_role("button", name="Clear faults"))
    expect(state.get_by_role("button", name="Clear faults")).to_have_count(0)
    assert zoho_simulator.world.faults.pending == []


def test_an_invalid_number_is_rejected_with_a_reason(
    state: Page, zoho_simulator: Simulator
) -> None:
    answer = state.request.post(
        f"{zoho_simulator.url}/_simulator/page/advance", form={"seconds": "soon"}
    )
    assert answer.status == 400
    assert "soon" in answer.text()
    assert zoho_simulator.clock.offset.total_seconds() == 0


def test_no_other_site_can_press_its_buttons(state: Page, zoho_simulator: Simulator) -> None:
    answer = state.request.post(
        f"{zoho_simulator.url}/_simulator/page/reset", headers={"Origin": "http://localhost:1"}
    )
    assert answer.status == 403


def test_the_journal_lists_the_requested_pages_and_no_password(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    token_endpoint = f"{zoho_simulator.url}/eu/accounts/oauth/v2/token"
    state.request.post(
        token_endpoint, form={"grant_type": "refresh_token", "client_secret": "hush"}
    )
    person.go(f"{zoho_simulator.url}/eu/accounts/signin")
    person.go(f"{zoho_simulator.url}/_simulator/")
    journal = state.get_by_role("region", name="Requests")
    expect(journal).to_contain_text("/eu/accounts/signin")
    expect(journal).to_contain_text("client_secret=‹4 characters›")
    expect(journal).not_to_contain_text("hush")


@pytest.mark.slow
def test_a_reset_removes_everything_except_the_users(
    person: SimulatedUser, state: Page, zoho_simulator: Simulator
) -> None:
    zoho_simulator.controls.register_client(ANNA, ["http://localhost/x"])
    person.click(state.get_by_role("button", name="Reset"))
    expect(state.get_by_role("region", name="Clients")).to_contain_text("None yet.")
    assert list(zoho_simulator.world.clients) == []
    assert zoho_simulator.world.users.find(ANNA)
