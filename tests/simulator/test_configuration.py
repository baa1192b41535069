"""How a simulator is configured: keys, their errors, and what each of them does."""

import fcntl
import resource
import socket
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from support.claims import over_rows
from support.zoho_driver import ANNA, ZohoDriver

from wizard.simulator.configuration import (
    Configuration,
    configuration_schema,
    read_configuration,
    row_of_user,
)
from wizard.simulator.server import Simulator, listen_at
from wizard.simulator.settings import SimulatorSettings, setting_definitions
from wizard.simulator.world import World

EXAMPLE = """
port = 0
seed = 7
clock = 2026-12-01T09:00:00Z
behavior = "documented"
journal = "requests.jsonl"

[settings]
token_request_limit = 3

[[users]]
email = "kim@example.com"
location = "us"
organizations = [{ product = "crm", organization_id = "1", name = "Kim Inc." }]
"""


def test_a_file_says_what_the_simulator_starts_with_and_returns_to(tmp_path: Path) -> None:
    file = tmp_path / "simulator.toml"
    file.write_text(EXAMPLE)
    with Simulator(read_configuration(file)) as simulator:
        for _ in "before", "after a reset":
            (kim,) = simulator.controls.users()
            assert (kim["email"], kim["first_name"], kim["location"]) == (
                *("kim@example.com", "Kim"),
                "us",
            )
            settings = simulator.controls.settings()
            assert settings["token_request_limit"] == 3
            assert settings["rate_limit_status"] == 200
            assert simulator.controls.now() == datetime(2026, 12, 1, 9, tzinfo=UTC)
            simulator.controls.advance(60)
            assert simulator.controls.now() == datetime(2026, 12, 1, 9, 1, tzinfo=UTC)
            ids = simulator.controls.register_client("kim@example.com", [])["client_id"]
            simulator.controls.change_settings(token_request_limit=5)
            simulator.controls.reset()
    assert (tmp_path / "requests.jsonl").exists()
    with Simulator(Configuration(port=0, seed=7).with_changes(users=[kim_row()])) as other:
        assert other.controls.register_client("kim@example.com", [])["client_id"] == ids


def kim_row() -> dict[str, Any]:
    return {"email": "kim@example.com", "location": "us"}


@over_rows(
    ("text", "error"),
    [
        ("prot = 1", "“prot” is unknown. Did you mean “port”?"),
        ("colour = 1", "“colour” is unknown. Expected “port”"),
        ("port = 70000", "“port” must be at most 65535, not 70000."),
        ("port = true", "“port” must be a whole number, not true."),
        ("[settings]\ncode_limt = 1", "“settings.code_limt” is unknown. Did you mean “settings.c"),
        ("[settings]\nrate_limit_key = 'x'", "“settings.rate_limit_key” must be “refresh_token” o"),
        ("[[users]]\nlocation = 'us'", "“users[0].email” is missing."),
        ("[[users]]\nemail = 'a@b'\nlocation = 'usa'", "“users[0].location” must be “us”,"),
        ("users = [{email = 'a@b', location = 'us', organizations = [{product = 'crm'}]}]",
         "“users[0].organizations[0].organization_id” is missing."),
        ("clock = 'noon'", "“clock” must be an offset such as +1h, or a time"),
        ("clock = 2026-12-01T09:00:00", "“clock” must be an offset such as +1h, or a time"),
        ("clock = '+99999999999d'", "The clock can be in the years"),
        ("behavior = 'new'", "“behavior” must be “current” or “documented”"),
        ("listen = 'localhost'", "“listen” must be an IP address such as 127.0.0.1"),
        ("listen = '0.0.0.0'", "no authentication"),
        ("public_url = 'zoho:8730'", "“public_url” must be a URL such as"),
        ("public_url = 'http://['", "“public_url” must be a URL such as"),
        ("port", "isn’t valid TOML"),
    ],
)  # fmt: skip
def test_an_error_names_the_file_the_key_and_what_is_expected(
    tmp_path: Path, text: str, error: str
) -> None:
    file = tmp_path / "simulator.toml"
    file.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_configuration(file)
    assert str(caught.value).startswith(str(file))
    assert error in str(caught.value)


def test_every_key_is_described() -> None:
    keys = configuration_schema()["properties"]
    assert [name for name, each in keys.items() if not each["description"]] == []


@over_rows(
    ("clock", "seconds"), [("+90s", 90), ("+10m", 600), ("-1h", -3600), ("+2d", 172800), ("+5", 5)]
)
def test_the_clock_can_run_ahead_of_real_time(clock: str, seconds: int) -> None:
    world = World(Configuration(clock=clock))
    world.clock.advance(1000)
    world.reset()
    assert world.clock.offset == timedelta(seconds=seconds)


def test_documented_behavior_differs_only_in_choices_that_exist() -> None:
    documented = {
        name: row["documented"]
        for name, row in setting_definitions().items()
        if "documented" in row
    }
    current = SimulatorSettings.of_behavior("current")
    assert documented
    assert current.with_changes(**documented) == SimulatorSettings.of_behavior("documented")
    assert [name for name in documented if current.to_dict()[name] == documented[name]] == []


def test_the_documented_rate_limit_counts_by_client_and_answers_with_200() -> None:
    with Simulator(Configuration(port=0, behavior="documented")) as simulator:
        zoho = ZohoDriver(simulator)
        for number in range(10):
            zoho.refresh(f"1000.{number}")
        limited = zoho.refresh("1000.x")
    assert (limited.status_code, limited.json()["error"]) == (200, "Access Denied")


def test_a_user_in_short_has_an_organization_in_each_product() -> None:
    row = row_of_user("kim@example.com:us")
    with Simulator(Configuration(port=0, users=[row])) as simulator:
        issued = simulator.controls.issue_tokens("kim@example.com", "ZohoCRM.org.READ")
        answer = requests.get(
            f"{issued['api_domain']}/crm/v8/org",
            headers={"Authorization": f"Bearer {issued['access_token']}"},
            timeout=10,
        )
    assert answer.json()["org"][0]["company_name"] == "Example"
    with pytest.raises(ValueError, match="EMAIL:LOCATION"):
        row_of_user("kim@example.com")


def get_as(host: str, simulator: Simulator) -> int:
    """The status of a request with this host name to wherever the simulator listens."""
    address = f"http://127.0.0.1:{simulator.port}/_simulator/controls/now"
    return requests.get(address, headers={"Host": host}, timeout=10).status_code


def test_beyond_loopback_it_answers_for_addresses_and_its_public_url_only() -> None:
    everywhere = Configuration(
        port=0, listen="0.0.0.0", allow_remote=True, public_url="http://zoho:8730"
    )
    with Simulator(everywhere) as simulator:
        assert simulator.url == "http://zoho:8730"
        hosts = ("127.0.0.1", "zoho:8730", "192.0.2.7:8730", "evil.example")
        assert [get_as(host, simulator) for host in hosts] == [200, 200, 200, 403]
        issued = simulator.controls.issue_tokens(ANNA, "ZohoCRM.org.READ")
    assert issued["api_domain"] == "http://zoho:8730/eu/www"
    with Simulator() as simulator:
        assert get_as("localhost:1", simulator) == 200
        assert get_as("192.0.2.7:8730", simulator) == 403


@pytest.mark.skipif(not socket.has_ipv6, reason="IPv6 is not available")
def test_it_can_listen_on_the_loopback_address_of_ipv6() -> None:
    with Simulator(Configuration(port=0, listen="::1")) as simulator:
        assert requests.get(f"{simulator.url}/_simulator/controls/now", timeout=10).ok


def test_many_idle_connections_and_open_files_do_not_stop_it() -> None:
    def listen_at_high_descriptor(port: int) -> socket.socket:
        with listen_at("127.0.0.1", port) as low:
            return socket.socket(fileno=fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 1024))

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 4096), limits[1]))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        simulator = stack.enter_context(
            Simulator(Configuration(port=0), listen=listen_at_high_descriptor)
        )
        for _ in range(120):
            stack.enter_context(socket.create_connection(("127.0.0.1", simulator.port), 10))
        assert requests.get(f"{simulator.url}/_simulator/controls/now", timeout=10).ok


def test_a_journal_that_cannot_be_written_leaves_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Simulator(Configuration(port=0, journal=str(tmp_path / "none" / "requests.jsonl")))
