"""A list longer than a page: connections that need attention first, then by name."""

from dataclasses import replace

import pytest
from support.web_visitor import Visitor

from wizard.model import Client, Connection, Grant, GrantState
from wizard.services import Services
from wizard.store import StoreContents
from wizard.web.connections import MAX_ROWS


@pytest.fixture
def many(services: Services) -> int:
    """Verified connections of one client, twice as many as a page shows."""
    client = Client("1000.X", "Zylker", "eu", services.settings.redirect_uri, ())
    names = [f"job-{number:03}" for number in range(2 * MAX_ROWS)]
    scope = ("ZohoCRM.org.READ",)
    connections = tuple(Connection(name, "1000.X", scope, "eu", 1) for name in names)
    grant = Grant(
        connection="",
        generation=1,
        client_id="1000.X",
        refresh_token="1000.refresh",
        scope=scope,
        location="eu",
        state=GrantState.VERIFIED,
        granted_at=services.clock(),
    )
    grants = tuple(replace(grant, connection=name) for name in names)
    services.store.transfers.import_contents(StoreContents((client,), connections, grants))
    return len(names)


def shown_names(visitor: Visitor, path: str = "/") -> list[str]:
    """The names on the page, in order."""
    _, _, rows = visitor.get(path).text.partition('aria-label="All connections"')
    return [part.split('"')[0] for part in rows.split('href="/connections/job-')[1:]]


def test_a_page_shows_the_first_and_says_how_many_more_there_are(
    visitor: Visitor, many: int
) -> None:
    assert shown_names(visitor) == [f"{number:03}" for number in range(MAX_ROWS)]
    page = visitor.get("/").text
    assert f"All {many} were proved when last looked at." in page
    assert f"{many - MAX_ROWS} more are not shown" in page


def test_connections_that_need_attention_come_first(
    visitor: Visitor, services: Services, many: int
) -> None:
    services.store.grants.set_state("job-077", 1, GrantState.NEEDS_REAUTHORIZATION)
    services.store.grants.set_state("job-003", 1, GrantState.NEEDS_REAUTHORIZATION)
    first = shown_names(visitor)
    assert first[:4] == ["003", "077", "000", "001"]
    assert len(first) == MAX_ROWS
    summary = f"2 of {many} connections need attention."
    assert f"{summary} The others were verified when last checked." in visitor.get("/").text
    other = services.store.connections.get("job-001")
    services.store.connections.add(replace(other, name="fresh", generation=0))
    assert "The others" not in visitor.get("/").text


def test_the_search_finds_connections_that_are_not_shown(
    visitor: Visitor, services: Services, many: int
) -> None:
    services.store.grants.set_state("job-003", 1, GrantState.NEEDS_REAUTHORIZATION)
    assert shown_names(visitor, "/?q=JOB-07") == [f"07{number}" for number in range(10)]
    assert shown_names(visitor, "/?q=3")[0] == "003"
    assert "not shown" not in visitor.get("/?q=3").text
    assert shown_names(visitor, "/?q=%25") == []
