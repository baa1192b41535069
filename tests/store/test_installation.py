"""A copy of the data directory is noticed, since both would use the same refresh tokens."""

import json
import subprocess
from pathlib import Path

from support.shell import Shell

from wizard.store.installation import Place


def cautions(shell: Shell, home: Path) -> list[str]:
    found = shell.run("status", "--json", ZOHO_WIZARD_HOME=str(home))
    return [each["code"] for each in json.loads(found.stdout)["cautions"]]


def test_a_copied_data_directory_is_reported_until_it_is_the_only_copy(shell: Shell) -> None:
    home = Path(shell.environment["ZOHO_WIZARD_HOME"])
    shell.run("restore", "--source-gone")
    copy = home.with_name("copy")
    subprocess.run(["cp", "-a", home, copy], check=True)
    assert (cautions(shell, home), cautions(shell, copy)) == ([], ["installation-copied"])
    shell.run("restore", "--source-gone", ZOHO_WIZARD_HOME=str(copy))
    assert cautions(shell, copy) == []
    home = home.rename(home.with_name("renamed"))
    assert cautions(shell, home) == []


def test_a_cloned_machine_is_a_copy_and_a_container_that_was_made_again_is_not() -> None:
    recorded = Place("12-13", "machine")
    assert Place("12-13", "clone").is_copy_of(recorded)
    assert not Place("12-13").is_copy_of(recorded)
    assert not recorded.is_copy_of(Place("12-13"))
