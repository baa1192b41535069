"""``database``: two machines with one PostgreSQL database, as their operator sets them up."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.harness import Harness
from support.postgresql import postgresql_server
from support.shell import CommandResult, Shell
from support.storage import execute

from wizard.services import Services
from wizard.settings import from_environment

PASSPHRASE = "correct horse battery\n"


@pytest.fixture
def empty_url() -> Iterator[str]:
    """The URL of a database without tables."""
    server = postgresql_server()
    name = server.create_database()
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def run_on_second(shell: Shell, *arguments: str, stdin_text: str = "") -> CommandResult:
    """Run a command on another machine."""
    home = str(shell.directory / "second")
    return shell.run(*arguments, stdin_text=stdin_text, ZOHO_WIZARD_HOME=home)


def error_code(result: CommandResult) -> str:
    return str(json.loads(result.stderr)["error"]["code"])


@pytest.mark.slow
def test_a_second_machine_with_the_key_prints_the_token_of_the_first(
    shell: Shell, empty_url: str
) -> None:
    created = json.loads(shell.run("database", "use", empty_url, "--json").stdout)
    assert created["is_new"]
    assert json.loads(shell.run("status", "--json").stdout)["database"] == created["database"]
    assert created["database"] in shell.run("list").stderr, "where no connection was found"
    with Services.open(from_environment(shell.environment), shell.simulator.clock) as services:
        Harness(services, shell.simulator, shell.directory).add_verified_connection()
        token = services.tokens.access_token("crm").value
    assert shell.run("token", "crm").stdout == f"{token}\n"
    assert not Path(shell.environment["ZOHO_WIZARD_HOME"], "data/simulator/wizard.db").exists()

    without = run_on_second(shell, "database", "use", empty_url, "--json")
    assert (without.exit_code, error_code(without)) == (5, "key-of-store-missing")
    exported = shell.run("database", "export-key", "team.zoho-key", stdin_text=PASSPHRASE)
    assert exported.exit_code == 0, exported.stderr
    use = ("database", "use", empty_url, "--key", str(shell.directory / "team.zoho-key"))
    used = run_on_second(shell, *use, "--json", stdin_text=PASSPHRASE)
    assert used.exit_code == 0, used.stderr
    requests = len(shell.simulator.controls.journal())
    assert run_on_second(shell, "token", "crm").stdout == f"{token}\n"
    assert len(shell.simulator.controls.journal()) == requests

    refused = run_on_second(shell, "uninstall", "--revoke", "--yes", "--json")
    assert (refused.exit_code, error_code(refused)) == (2, "uninstall-revoke-shared")
    removed = run_on_second(shell, "uninstall", "--yes", "--json")
    assert json.loads(removed.stdout)["machine"] == json.loads(used.stdout)["machine"]
    assert shell.run("token", "crm").stdout == f"{token}\n"
    assert not Path(shell.directory, "second").exists()


def test_a_key_of_a_different_store_is_refused_and_not_kept(shell: Shell, empty_url: str) -> None:
    shell.run("database", "use", empty_url)
    home = {"ZOHO_WIZARD_HOME": str(shell.directory / "stranger")}
    shell.run("list", **home)
    shell.run("client", "list", **home)
    exported = shell.run(
        "database", "export-key", "stranger.zoho-key", stdin_text=PASSPHRASE, **home
    )
    assert exported.exit_code == 0, exported.stderr
    use = ("database", "use", empty_url, "--json", "--key", "stranger.zoho-key")
    refused = run_on_second(shell, *use, stdin_text=PASSPHRASE)
    assert (refused.exit_code, error_code(refused)) == (5, "key-wrong")
    assert not [*Path(shell.directory, "second").rglob("key")]
    assert run_on_second(shell, "list").exit_code == 0, "nothing was changed"


def test_a_url_with_a_password_is_refused_as_an_argument_and_in_the_environment(
    shell: Shell,
) -> None:
    url = "postgresql://anna:s3cret@localhost/wizard"
    for refused in (
        shell.run("database", "use", url, "--json"),
        shell.run("list", "--json", ZOHO_WIZARD_DATABASE_URL=url),
    ):
        assert (refused.exit_code, error_code(refused)) == (2, "database-password-in-url")
        assert "s3cret" not in refused.stdout + refused.stderr


def test_a_local_database_with_connections_is_not_left_behind(
    shell_harness: Harness, shell: Shell, empty_url: str
) -> None:
    shell_harness.add_connection()
    refused = shell.run("database", "use", empty_url, "--json")
    assert (refused.exit_code, error_code(refused)) == (2, "database-local-in-use")
    assert shell.run("list").stdout.count("crm")
    malformed = shell.run("database", "use", "mysql://localhost/wizard", "--json")
    assert error_code(malformed) == "database-url-malformed", "the URL is checked first"


@pytest.mark.slow
def test_without_the_database_a_cached_token_is_served_as_stale_until_it_is_too_old(
    shell: Shell, empty_url: str
) -> None:
    shell.run("database", "use", empty_url)
    with Services.open(from_environment(shell.environment), shell.simulator.clock) as services:
        Harness(services, shell.simulator, shell.directory).add_verified_connection()
        token = services.tokens.access_token("crm").value
    name = empty_url.partition("@/")[2].partition("?")[0]
    postgresql_server().execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    shell.simulator.controls.advance(61)
    cached = shell.run("token", "crm", "--json")
    assert cached.exit_code == 0, cached.stderr
    served = json.loads(cached.stdout)
    assert (served["access_token"], served["stale"]) == (token, True)
    assert f"ZOHO_ACCESS_TOKEN={token}" in shell.run("run", "crm", "--", "env").stdout
    forced = shell.run("token", "crm", "--force-refresh", "--json")
    assert (forced.exit_code, error_code(forced)) == (5, "database-unreachable")
    shell.simulator.controls.advance(3600 - 61 - 119)
    lost = shell.run("token", "crm", "--json")
    assert (lost.exit_code, error_code(lost)) == (5, "database-unreachable")
    postgresql_server().execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert shell.run("token", "crm").stdout.startswith("1000.")


@pytest.mark.slow
def test_after_a_rotation_the_other_machine_needs_the_new_key(shell: Shell, empty_url: str) -> None:
    shell.run("database", "use", empty_url)
    with Services.open(from_environment(shell.environment), shell.simulator.clock) as services:
        Harness(services, shell.simulator, shell.directory).add_verified_connection()
    key_file = shell.directory / "team.zoho-key"
    export = ("database", "export-key", str(key_file))
    use = ("database", "use", empty_url, "--key", str(key_file))
    shell.run(*export, stdin_text=PASSPHRASE)
    run_on_second(shell, *use, stdin_text=PASSPHRASE)
    rotate = ("database", "rotate-encryption-key", "--json")
    unasked = shell.run(*rotate)
    assert (unasked.exit_code, error_code(unasked)) == (2, "input-needed")
    rotated = shell.run(*rotate, "--yes")
    assert rotated.exit_code == 0, rotated.stderr
    assert json.loads(rotated.stdout)["sealed_values"] >= 3
    token = shell.run("token", "crm").stdout
    refused = run_on_second(shell, "list", "--json")
    assert (refused.exit_code, error_code(refused)) == (5, "key-of-store-rotated")
    shell.run(*export, stdin_text=PASSPHRASE)
    used = run_on_second(shell, *use, stdin_text=PASSPHRASE)
    assert used.exit_code == 0, used.stderr
    assert run_on_second(shell, "token", "crm").stdout == token


@pytest.mark.slow
def test_everything_moves_to_the_shared_database_and_back(
    shell_harness: Harness, shell: Shell, empty_url: str
) -> None:
    shell_harness.add_verified_connection()
    shell_harness.services.close()
    unasked = shell.run("database", "migrate", empty_url, "--json")
    assert (unasked.exit_code, error_code(unasked)) == (2, "input-needed")
    planned = json.loads(shell.run("database", "migrate", empty_url, "--dry-run", "--json").stdout)
    assert (planned["is_dry_run"], planned["connections"]) == (True, 1)
    assert "wizard.db" in json.loads(shell.run("status", "--json").stdout)["database"]

    serving = shell.start("serve", "--json")
    serving.read_stdout_line()
    moved = json.loads(shell.run("database", "migrate", empty_url, "--yes", "--json").stdout)
    assert moved == {**planned, "is_dry_run": False}
    stopped = serving.finish()
    assert (stopped.exit_code, error_code(stopped)) == (5, "store-moved")
    assert json.loads(shell.run("status", "--json").stdout)["database"] == moved["target"]
    token = shell.run("token", "crm").stdout
    assert token.startswith("1000.")
    assert run_on_second(shell, "database", "migrate", "local").exit_code == 0, "it is there"

    again = shell.run("database", "migrate", empty_url, "--yes", "--json")
    assert json.loads(again.stdout)["target"] == moved["target"]
    answered = shell.run_in_terminal(
        "database", "migrate", "local", replies=[("Other machines lose their connections", "y")]
    )
    assert answered.exit_code == 0, answered.stdout
    assert "wizard.db" in json.loads(shell.run("status", "--json").stdout)["database"]
    assert shell.run("token", "crm").exit_code == 0
    events = audited(shell, "--kind", "database-moved")
    there = {"source": planned["source"], "target": planned["target"]}
    back = {"source": planned["target"], "target": planned["source"]}
    assert [each["details"] for each in events] == [there, back]


def audited(shell: Shell, *filters: str) -> list[dict[str, Any]]:
    """The events of the audit log."""
    return [json.loads(line) for line in shell.run("audit", *filters, "--json").stdout.splitlines()]


def test_a_key_that_was_given_is_not_rotated(shell: Shell) -> None:
    given = {"ZOHO_WIZARD_KEY_FILE": str(shell.directory / "given")}
    shell.run("client", "list", **given)
    key = (shell.directory / "given").read_bytes()
    refused = shell.run("database", "rotate-encryption-key", "--yes", "--json", **given)
    assert (refused.exit_code, error_code(refused)) == (2, "key-given")
    assert (shell.directory / "given").read_bytes() == key


@pytest.fixture
def two_machines(shell: Shell, empty_url: str) -> str:
    """Two machines that share a database with one verified connection; the name of the second."""
    shell.run("database", "use", empty_url, "--machine-name", "web1")
    with Services.open(from_environment(shell.environment), shell.simulator.clock) as services:
        Harness(services, shell.simulator, shell.directory).add_verified_connection()
    shell.run("database", "export-key", "team.zoho-key", stdin_text=PASSPHRASE)
    use = ("database", "use", empty_url, "--key", str(shell.directory / "team.zoho-key"))
    used = run_on_second(shell, *use, "--machine-name", "web2", "--json", stdin_text=PASSPHRASE)
    return str(json.loads(used.stdout)["machine"])


def result(done: CommandResult) -> dict[str, Any]:
    """What a command printed."""
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_the_machines_are_listed_and_one_is_removed(shell: Shell, two_machines: str) -> None:
    add = ("destination", "add", "crm", "--profile", "dotenv", "--yes", "--to")
    assert run_on_second(shell, *add, str(shell.directory / ".env")).exit_code == 0
    assert run_on_second(shell, "access", "add", "crm", "--user", "4711").exit_code == 0
    (first, second) = result(shell.run("database", "machines", "--json"))["machines"]
    assert (first["name"], first["is_this_one"], first["destinations"]) == ("web1", True, 0)
    assert (second["name"], second["is_this_one"], second["destinations"]) == ("web2", False, 1)
    assert result(shell.run("status", "--json"))["machines"][1]["name"] == "web2"
    assert (
        result(shell.run("destination", "list", "--json"))["destinations"][0]["machine"] == "web2"
    )
    assert result(shell.run("access", "list", "--json"))["permissions"][0]["machine"] == "web2"
    assert "web2" in shell.run("destination", "list").stdout
    assert "web2" in shell.run("access", "list").stdout
    assert "web2" in shell.run("status").stdout
    assert "web2" in shell.run("database", "machines").stdout
    own = result(run_on_second(shell, "destination", "list", "--json"))["destinations"]
    assert own[0]["machine"] is None
    assert error_code(shell.run("deliver", "crm", "--json")) == "no-destination"

    remove = ("database", "machines", "remove", "--json")
    assert error_code(shell.run(*remove, "web2")) == "input-needed"
    assert error_code(shell.run(*remove, "web1")) == "machine-is-this-one", "before it asks"
    assert error_code(shell.run(*remove, "web3")) == "unknown-machine"
    assert result(shell.run(*remove, "web2", "--yes")) == {"name": "web2"}
    assert result(shell.run("destination", "list", "--json"))["destinations"] == []
    removed = shell.run("audit", "--kind", "machine-removed", "--json").stdout
    assert json.loads(removed)["details"] == {"name": "web2"}


@pytest.mark.slow
def test_an_event_names_its_machine_as_it_was_called_then(
    shell: Shell, two_machines: str, empty_url: str
) -> None:
    run_on_second(shell, "access", "add", "crm", "--user", "4711")
    renamed = run_on_second(shell, "database", "use", empty_url, "--machine-name", "db2")
    assert renamed.exit_code == 0, renamed.stderr
    assert run_on_second(shell, "token", "crm").exit_code == 0
    run_on_second(shell, "list")  # adds what the fast path served
    events = audited(shell)
    machines = {(each["kind"], each["machine"]) for each in events}
    served = {("created", "web1"), ("access-added", two_machines), ("token-served", "db2")}
    assert served <= machines
    changes = [each["details"] for each in events if each["kind"] == "machine-renamed"]
    assert changes[-1] == {"previous_name": two_machines, "name": "db2"}


@pytest.mark.slow
def test_a_service_that_does_not_know_the_new_tables_stops_and_says_so(
    shell: Shell, two_machines: str, empty_url: str
) -> None:
    serving = shell.start("serve", "--json", ZOHO_WIZARD_HOME=str(shell.directory / "second"))
    serving.read_stdout_line()
    execute(empty_url, "UPDATE zoho_wizard_store SET version = 99")
    for done in (serving.finish(), run_on_second(shell, "list", "--json")):
        assert (done.exit_code, error_code(done)) == (5, "store-newer-version")


@pytest.mark.slow
def test_the_next_token_of_a_machine_delivers_what_the_other_one_reauthorized(
    shell: Shell, two_machines: str
) -> None:
    env = shell.directory / ".env"
    add = ("destination", "add", "crm", "--profile", "dotenv", "--yes", "--to", str(env))
    run_on_second(shell, *add, "--then", "true")
    with Services.open(from_environment(shell.environment), shell.simulator.clock) as services:
        harness = Harness(services, shell.simulator, shell.directory)
        services.reauthorization.begin(("crm",))
        done = harness.authorize("crm")
        harness.verify("crm", done.generation or 0)
        services.reauthorization.continue_after_verification("crm")
        grants = [services.store.grants.get("crm", generation) for generation in (1, 2)]
    replaced, new = (each.refresh_token for each in grants if each)
    assert replaced in env.read_text()
    (behind,) = result(shell.run("list", "--json"))["outdated_machines"]
    assert behind["name"] == "web2"
    assert "web2" in shell.run("list").stderr
    assert "not the current" in shell.run("destination", "list").stdout
    token = run_on_second(shell, "token", "crm")
    assert (token.exit_code, token.stdout.count("\n")) == (0, 1)
    assert new in env.read_text()
    assert shell.simulator.world.grants.refresh_tokens[replaced].invalidation_reason
    assert not result(shell.run("list", "--json"))["outdated_machines"]


@pytest.mark.slow
def test_of_two_monitors_one_checks_and_the_other_one_takes_over_when_it_is_killed(
    shell: Shell, two_machines: str
) -> None:
    def check_on_second() -> tuple[int, bool]:
        found = result(run_on_second(shell, "monitor", "--once", "--json"))
        return found["checked"], found["is_of_connections"]

    running = shell.start("monitor", "--json")
    assert json.loads(running.read_stdout_line())["checked"] == 1
    assert check_on_second() == (0, False)
    shell.simulator.controls.advance(3600)
    assert check_on_second() == (0, False)
    running.finish(signal.SIGKILL)
    assert check_on_second() == (1, True)
    status = result(shell.run("status", "--json"))
    assert (status["last_checked_on"], status["last_backup_on"]) == ("web2", None)
