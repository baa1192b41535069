"""What may go wrong later is told on the pages, beside a connection that works."""

from dataclasses import replace
from pathlib import Path

import pytest
from visiting import Visitor

from wizard.backup import open_backup

PASSPHRASE = "four words make one"


@pytest.fixture
def restored(connected: Visitor, tmp_path: Path) -> Visitor:
    """The connection ``leads`` came here in a backup of a machine that was not retired."""
    file, house = tmp_path / "backup", connected.house
    house.backups.write(file, PASSPHRASE)
    house.broker.forget("leads")
    backup = open_backup(file, PASSPHRASE, house.zoho.mark)
    house.backups.take_in(replace(backup, made_on="anna on another machine"))
    return connected


@pytest.mark.parametrize("page", ["/connections/leads", "/status"])
def test_that_two_homes_may_tend_one_grant_is_said_with_what_ends_it(
    restored: Visitor, page: str
) -> None:
    text = restored.get(page).text
    assert "Two homes may tend one grant" in text
    assert "anna on another machine" in text
    assert "zoho-wizard restore --source-gone" in text
    restored.house.store.forget_twins()
    assert "Two homes" not in restored.get(page).text
