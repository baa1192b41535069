"""A list longer than a page: those in need first, the others by their names."""

from dataclasses import replace

import pytest
from visiting import Visitor

from wizard.house import House
from wizard.model import Client, Connection, Grant, GrantState
from wizard.store import Belongings
from wizard.web.connections import ROWS


@pytest.fixture
def many(house: House) -> int:
    """Proved connections of one client, twice as many as a page shows."""
    client = Client("1000.X", "Zylker", "eu", house.settings.redirect_uri, ())
    names = [f"job-{number:03}" for number in range(2 * ROWS)]
    scope = ("ZohoCRM.org.READ",)
    connections = tuple(Connection(name, "1000.X", scope, "eu", 1) for name in names)
    grant = Grant(
        connection="",
        generation=1,
        client_id="1000.X",
        refresh_token="1000.refresh",
        scope=scope,
        location="eu",
        state=GrantState.PROVED,
        granted_at=house.clock(),
    )
    grants = tuple(replace(grant, connection=name) for name in names)
    house.store.take_in(Belongings((client,), connections, grants))
    return len(names)


def shown(visitor: Visitor, path: str = "/") -> list[str]:
    """The names on the page, in order."""
    _, _, rows = visitor.get(path).text.partition('aria-label="All connections"')
    return [part.split('"')[0] for part in rows.split('href="/connections/job-')[1:]]


def test_a_page_shows_the_first_and_says_how_many_more_there_are(
    visitor: Visitor, many: int
) -> None:
    assert shown(visitor) == [f"{number:03}" for number in range(ROWS)]
    page = visitor.get("/").text
    assert f"All {many} were proved when last looked at." in page
    assert f"{many - ROWS} more are not shown" in page


def test_those_in_need_come_first_wherever_they_stand(
    visitor: Visitor, house: House, many: int
) -> None:
    house.store.mark_grant("job-077", 1, GrantState.DEAD)
    house.store.mark_grant("job-003", 1, GrantState.DEAD)
    first = shown(visitor)
    assert first[:4] == ["003", "077", "000", "001"]
    assert len(first) == ROWS
    assert f"2 of {many} need you." in visitor.get("/").text


def test_the_search_finds_what_is_not_shown(visitor: Visitor, house: House, many: int) -> None:
    house.store.mark_grant("job-003", 1, GrantState.DEAD)
    assert shown(visitor, "/?q=JOB-07") == [f"07{number}" for number in range(10)]
    assert shown(visitor, "/?q=3")[0] == "003"
    assert "not shown" not in visitor.get("/?q=3").text
    assert shown(visitor, "/?q=%25") == []
