"""Pages of a machine that shares its store: what other machines have, to read only."""

from pathlib import Path

import pytest
from support.delivery import deliver
from support.harness import Harness, settings_of_machine
from support.reauthorization import authorize
from support.storage import on_postgresql
from support.web_visitor import visit

from wizard.services import Services

MAX_STATEMENTS = 12


database_url = on_postgresql


@pytest.mark.slow
def test_pages_show_which_machine_lacks_the_new_authorization(
    harness: Harness, database_url: str, tmp_path: Path
) -> None:
    harness.add_verified_connection()
    settings = settings_of_machine(harness, "other", database_url)
    with Services.open(settings, harness.simulator.clock) as services:
        other = Harness(services, harness.simulator, tmp_path)
        services.store.machines.rename_this("web2")
        deliver(other, "dotenv", tmp_path / "there.env")
    deliver(harness, "dotenv", tmp_path / "here.env")
    harness.services.reauthorization.begin(("crm",))
    authorize(harness, "crm")
    for path in ("/connections/crm", "/reauthorize"):
        statements, page = visit(harness.services, path)
        assert len(statements) <= MAX_STATEMENTS, "\n\n".join(statements)
        assert "web2" in page
    _, page = visit(harness.services, "/connections/crm")
    for shown in ("here.env", "there.env", "on web2", "Out of date: has authorization 1"):
        assert shown in page
    assert "1 not up to date on another machine" in page
    assert page.count('action="/connections/crm/deliver"') == 1
    for path in ("/status", "/connections/crm/remove"):
        assert "web2" in visit(harness.services, path)[1]
    status = visit(harness.services, "/status")[1]
    database = harness.services.store.database
    assert f"<code>{database.path}</code>" in status
