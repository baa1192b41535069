"""``connect NAME --add``: a connection that is there, widened from the terminal."""

from core import Core
from shell import Shell


def test_a_task_is_added_with_one_consent(shell: Shell, stored: Core) -> None:
    stored.proved()
    arguments = ("connect", "crm", "--add", "--scope", "ZohoBooks.settings.READ", "--no-browser")
    running = shell.start(*arguments)
    url = running.see(r"http://127\S+/oauth/v2/auth\S+")
    running.type(stored.admin.authorize(url, "anna@zylker.example", ""))
    done = running.end()
    assert done.code == 0, done.err
    assert "ZohoBooks.settings.READ" in stored.house.store.connection("crm").scope
    (only,) = stored.house.store.connections()
    assert only.generation == 2


def test_what_is_to_be_added_must_be_said(shell: Shell, stored: Core) -> None:
    stored.proved()
    said = shell.run("connect", "crm", "--add", "--no-browser")
    assert "no-task" in said.err
