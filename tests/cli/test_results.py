"""Each command prints one document with ``--json`` that matches its published schema."""

import ast
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from support.claims import over_rows
from support.harness import ANNA, Harness
from support.json_output import command_in, validate
from support.ports import free_port
from support.shell import Shell

from wizard import cli
from wizard.cli.commands.status import load_schema
from wizard.cli.results.commands import INPUTS, RESULTS
from wizard.model import Grant

CONSENT_URL = r"http://127\.0\.0\.1:\d+/\w+/accounts/oauth/v2/auth\S+"
ROOT = Path(__file__).resolve().parents[2]
WITHOUT_RESULT = {"run", "service run", "simulator run"}
"""Their output is that of the command that they run."""


def commands(
    group: click.Group = cli.zoho_wizard, path: str = ""
) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something by itself, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield f"{path}{name}", command


@pytest.mark.slow
def test_the_committed_schemas_match_the_types(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ".ci/schemas", str(tmp_path)], cwd=ROOT, check=True)
    committed = {each.name: each.read_text() for each in ROOT.glob("wizard/schemas/*.json")}
    generated = {each.name: each.read_text() for each in tmp_path.glob("*.json")}
    assert committed == generated, "run `make schemas`"


def test_every_schema_is_valid() -> None:
    for command in (*RESULTS, *INPUTS):
        jsonschema.Draft202012Validator.check_schema(load_schema(command))


def test_every_command_has_a_result_and_the_standard_options() -> None:
    names = {name for name, _ in commands()}
    assert names - WITHOUT_RESULT == RESULTS.keys() - {"error"}
    for name, command in commands():
        options = [option for each in command.params for option in each.opts]
        assert options.count("--json") == options.count("--no-input") == 1, name


def test_only_the_renderer_prints() -> None:
    printing = {"echo", "secho", "print", "prompt", "confirm", "getpass", "input"}
    for file in (ROOT / "wizard/cli").rglob("*.py"):
        if file.name in ("renderer.py", "terminal.py", "__init__.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ("print", "input", "sys.stdout.write", "sys.stderr.write"), file
            assert not (called.startswith("click.") and called[6:] in printing), (file, called)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "nix"), "unknown-connection"),
        (("list", "--no-such-option"), "usage"),
        (("no-such-command",), "usage"),
        (("client", "show", "1000.NIX"), "unknown-client"),
        (("schema", "nix"), "unknown-schema"),
    ],
)
def test_a_command_that_fails_prints_one_error_on_stderr(
    shell: Shell, words: tuple[str, ...], code: str
) -> None:
    failed = shell.run(*words, "--json")
    assert failed.stdout == ""
    error = validate(json.loads(failed.stderr), "error")["error"]
    assert (error["code"], error["exit_code"]) == (code, failed.exit_code)


def test_the_schemas_are_printed_by_the_command(shell: Shell) -> None:
    listed = json.loads(shell.run("schema", "--json").stdout)["schemas"]
    assert set(listed) == {*RESULTS, *INPUTS}
    assert json.loads(shell.run("schema", "client", "list").stdout) == load_schema("client list")


class Recorder:
    """Runs commands with ``--json`` and records which of them printed a result.

    `Shell` validates the output.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.commands: set[str] = set()

    def run(self, *words: str, exit_code: int = 0, stdin_text: str = "", **environment: str) -> Any:
        """The result of a command that ends without input."""
        done = self._shell.run(*words, "--json", stdin_text=stdin_text, **environment)
        assert (done.exit_code, bool(done.stdout)) == (exit_code, True), (words, done)
        self.commands.add(command_in(words))
        return json.loads(done.stdout)

    def consent(self, *words: str) -> Any:
        """The result of a command that waits for one consent, given by the simulated user."""
        running = self._shell.start(*words, "--json")
        url = running.wait_for_stderr(CONSENT_URL)
        running.send_line(self._shell.simulator.controls.authorize(url, ANNA))
        done = running.finish()
        assert done.exit_code == 0, (words, done)
        self.commands.add(command_in(words))
        return json.loads(done.stdout)

    def serve(self, *words: str, **environment: str) -> None:
        """Run a command until it is ready, and stop it."""
        serving = self._shell.start(*words, "--json", **environment)
        started = validate(json.loads(serving.read_stdout_line()), words[0])
        assert started["event"] == "serving"
        assert json.loads(serving.finish(signal.SIGTERM).stdout)["event"] == "stopping"
        self.commands.add(words[0])

    def open(self, name: str) -> None:
        """Open the page of a connection, which is served until the command is stopped."""
        opening = self._shell.start("open", name, "--json")
        opened = validate(json.loads(opening.read_stdout_line()), "open")
        assert opened["url"].endswith(f"/connections/{name}")
        assert opening.finish(signal.SIGTERM).exit_code == 0
        self.commands.add("open")


@pytest.mark.slow
def test_every_command_prints_what_its_schema_describes(shell: Shell, tmp_path: Path) -> None:
    controls, recorder = shell.simulator.controls, Recorder(shell)
    run = recorder.run
    uri = f"http://localhost:{shell.port}/callback"
    made = controls.register_client(ANNA, [uri], name="OAuth wizard")
    client_id, (secret,) = made["client_id"], made["secrets"].values()

    for_comparison = controls.register_client(ANNA, [uri])
    lines = for_comparison["client_id"], *for_comparison["secrets"].values(), "error", ""
    run("compare", "--data-center", "eu", "--yes", stdin_text="\n".join(lines))

    nothing: dict[str, object] = {
        "connections": [],
        "last_checked_at": None,
        "destination_problems": [],
        "outdated_machines": [],
    }
    assert run("list") == nothing
    run("client", "add", stdin_text=f"{client_id}\n{secret}\n")
    assert recorder.consent("connect", "crm", "--preset", "crm-read-leads", "--no-browser")
    run("token", "crm")
    run("list")
    run("list", "--by", "account")
    run("show", "crm")
    run("check")
    run("check", "crm", "--full")
    run("monitor", "--once")
    run("monitor", "--print", "cron")
    run("monitor", "--test-notify", "--notify", "true")
    run("password-change")
    run("password-change", "--check")
    run("client", "list")
    run("client", "show", client_id)
    run("client", "check")
    client_file, passphrase = str(tmp_path / "wizard.zoho-client"), "four words make one\n"
    run("client", "export", client_id, client_file, stdin_text=passphrase)
    run("client", "import", client_file, stdin_text=passphrase)
    run("client", "set-secret", client_id, stdin_text=controls.rotate_secret(client_id))
    run("status", "--unattended")
    run("diagnose", "crm")
    run("diagnose", "hello world", exit_code=1)
    run("diagnose", "invalid_code")
    run("diagnose", "--code", "all")
    run("diagnose", "--code", "password-changed")
    run("completion", "bash")
    run("schema")
    run("schema", "error")
    recorder.serve("serve")
    recorder.serve("simulator", "--port", "0")
    demo_home = str(tmp_path / "demo")
    recorder.serve("demo", "--port", str(free_port()), ZOHO_WIZARD_HOME=demo_home)
    recorder.open("crm")

    run("access", "add", "crm", "--user", "4711")
    run("access", "list")
    run("access", "remove", "crm", "--user", "4711")
    run("access", "ssh", "SHA256:x", exit_code=1)
    target = ("--profile", "dotenv", "--to", str(tmp_path / ".env"))
    run("destination", "add", "crm", *target, "--dry-run")
    run("destination", "add", "crm", *target, "--yes")
    run("destination", "list")
    run("destination", "status")
    run("deliver", "--all")
    run("destination", "undo", "crm")
    run("destination", "remove", "crm")
    run("sample", "python", "crm")
    run("service", "install", "--user", "--dry-run")
    run("service", "status", "--user")
    run("service", "remove", "--user", "--dry-run")
    run("uninstall", "--dry-run")
    run("rename", "crm", "sales")
    run("rename", "sales", "crm")
    written = run("edit", "crm", "--owner", "Anna", "--tag", "prod", "--note", "one\ntwo")

    exported = tmp_path / "connections.toml"
    exported.write_text(run("export-config")["text"], "utf-8")
    assert run("plan", str(exported), "--exit-code")["has_changes"] is False
    exported.write_text(exported.read_text("utf-8").replace("prod", "test"), "utf-8")
    assert run("plan", str(exported), "--exit-code", exit_code=10)["has_changes"] is True
    run("apply", str(exported), "--yes")
    written |= {"tags": ["test"]}

    file = str(tmp_path / "wizard.backup")
    run("backup", file, stdin_text=passphrase)
    elsewhere = str(tmp_path / "another machine")
    run("restore", file, stdin_text=passphrase, ZOHO_WIZARD_HOME=elsewhere)
    run("restore", "--source-gone", ZOHO_WIZARD_HOME=elsewhere)
    restored = run("show", "crm", ZOHO_WIZARD_HOME=elsewhere)
    assert {each: restored[each] for each in written} == written

    controls.change_password(ANNA)
    controls.advance(3600)
    assert run("check", exit_code=3)["incidents"][0]["connections"] == ["crm"]
    run("diagnose", "crm")
    run("show", "crm")
    run("reauthorize", "crm", "--request")
    assert recorder.consent("reauthorize", "crm", "--no-browser")
    run("database", "rotate-encryption-key", "--yes")
    run("database", "migrate", "local")
    assert shell.run("audit", "--limit", "2", "--json").stdout.count("\n") == 2
    recorder.commands.add("audit")

    credentials = run("show", "crm", "--reveal", "--yes")
    run("remove", "crm", "--no-revoke")
    found = {
        "ZOHO_CLIENT_ID": credentials["client_id"],
        "ZOHO_CLIENT_SECRET": credentials["client_secret"],
        "ZOHO_REFRESH_TOKEN": credentials["refresh_token"],
    }
    run("import", "--name", "crm", stdin_text=json.dumps(found))
    run("revoke", "crm", "--yes")
    run("remove", "crm", "--no-revoke")
    run("client", "remove", client_id, "--yes")

    run("database", "machines")
    with_a_server = {
        "database use",
        "database export-key",
        "database grant",
        "database machines remove",
    }
    """`tests/cli/test_database.py` and `tests/cli/test_audit.py` run them, with PostgreSQL."""
    assert recorder.commands == RESULTS.keys() - with_a_server - {"error"}


def test_without_a_command_the_link_to_the_app_is_printed_as_json(shell: Shell) -> None:
    serving = shell.start("serve", "--json")
    serving.read_stdout_line()

    opened = shell.run("--json")

    event = validate(json.loads(opened.stdout), "serve")
    assert event["browser_link"].startswith(f"http://localhost:{shell.port}/browser-link/")
    serving.finish(signal.SIGTERM)


@pytest.fixture
def crm(shell_harness: Harness) -> Grant:
    """A verified grant of connection crm."""
    return shell_harness.add_verified_connection("crm")


@over_rows(
    ("words", "option"),
    [
        (("client", "add"), "standard input"),
        (("import",), "standard input"),
        (("diagnose",), "standard input"),
        (("backup", "wizard.backup"), "standard input"),
        (("reauthorize", "--response"), "standard input"),
        (("revoke", "crm"), "--yes"),
        (("apply", "FILE"), "--yes"),
        (("remove", "crm"), "--no-revoke or --revoke"),
        (("client", "remove", "CLIENT"), "--yes"),
        (("show", "crm", "--reveal"), "--yes"),
        (("backup", "wizard.backup", "--move"), "--yes"),
    ],
)
def test_with_no_input_a_terminal_is_not_prompted_but_shown_the_option(
    shell: Shell, crm: Grant, words: tuple[str, ...], option: str
) -> None:
    file = shell.directory / "connections.toml"
    text = shell.run("export-config").stdout
    file.write_text(text.replace("[connections.crm]", '[connections.crm]\nowner = "Anna"'), "utf-8")
    values = {"CLIENT": crm.client_id, "FILE": str(file)}
    named = [values.get(each, each) for each in words]
    asked = shell.run_in_terminal(*named, "--no-input")
    assert asked.exit_code == 2
    assert option in " ".join(asked.stdout.split())
    assert "input-needed" in asked.stdout or "reveal-needs-yes" in asked.stdout
