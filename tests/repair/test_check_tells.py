"""`check` tells one cause once, after the connections."""

from core import ANNA, Core
from shell import Shell


def test_ten_that_died_of_one_cause_are_explained_once(shell: Shell, stored: Core) -> None:
    names = ("books", "crm", "leads")
    for name in names:
        stored.proved(name)
    stored.admin.change_password(ANNA)
    checked = shell.run("check", "--all")
    assert checked.code == 3
    assert checked.err.count("What may be behind it") == 1
    assert f"3 connections of {ANNA} lost their refresh tokens" in checked.err
    assert "zoho-wizard reauthorize books crm leads" in checked.err
    assert checked.out.count("✗ dead") == len(names)
