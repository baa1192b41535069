"""``connect NAME --add`` extends an existing connection from the terminal."""

from support.harness import Harness
from support.shell import Shell


def test_a_preset_is_added_with_one_consent(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection()
    arguments = ("connect", "crm", "--add", "--scope", "ZohoBooks.settings.READ", "--no-browser")
    running = shell.start(*arguments)
    url = running.wait_for_stderr(r"http://127\S+/oauth/v2/auth\S+")
    running.send_line(shell_harness.controls.authorize(url, "anna@zylker.example", ""))
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert "ZohoBooks.settings.READ" in shell_harness.services.store.connections.get("crm").scope
    (only,) = shell_harness.services.store.connections.all()
    assert only.generation == 2


def test_the_scopes_to_add_are_required(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection()
    said = shell.run("connect", "crm", "--add", "--no-browser")
    assert "no-preset" in said.stderr
