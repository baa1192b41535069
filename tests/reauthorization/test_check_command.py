"""`check` shows one cause once, after the connections."""

from support.harness import ANNA, Harness
from support.shell import Shell


def test_ten_rejections_with_one_cause_are_explained_once(
    shell: Shell, shell_harness: Harness
) -> None:
    names = ("books", "crm", "leads")
    for name in names:
        shell_harness.add_verified_connection(name)
    shell_harness.controls.change_password(ANNA)
    checked = shell.run("check", "--all")
    assert checked.exit_code == 3
    assert checked.stderr.count("Possible causes") == 1
    assert f"3 connections of {ANNA} need re-authorization" in checked.stderr
    assert "zoho-wizard reauthorize books crm leads" in checked.stderr
    assert checked.stdout.count("✗ Needs re-authorization") == len(names)
