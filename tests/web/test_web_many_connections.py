"""A list longer than a page: connections that need attention first, then by name."""

from dataclasses import replace

import pytest
from support.web_visitor import Visitor

from wizard.credential_formats import Identifier
from wizard.diagnosis.incidents import CauseLevel, Incident
from wizard.model import (
    Account,
    Client,
    Connection,
    Explanation,
    Grant,
    GrantState,
)
from wizard.model.states import ConnectionState
from wizard.services import Services
from wizard.store import StoreContents
from wizard.web.connections import MAX_ROWS, Health, health
from wizard.web.view_models import ConnectionRow


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
    assert f"All {many} connections are verified." in page
    assert f"{many - MAX_ROWS} more aren’t shown" in page


def test_connections_that_need_attention_come_first(
    visitor: Visitor, services: Services, many: int
) -> None:
    services.store.grants.set_state("job-077", 1, GrantState.NEEDS_REAUTHORIZATION)
    services.store.grants.set_state("job-003", 1, GrantState.NEEDS_REAUTHORIZATION)
    first = shown_names(visitor)
    assert first[:4] == ["003", "077", "000", "001"]
    assert len(first) == MAX_ROWS
    assert f"2 of {many} connections need attention." in visitor.get("/").text


def test_the_search_finds_connections_that_are_not_shown(
    visitor: Visitor, services: Services, many: int
) -> None:
    services.store.grants.set_state("job-003", 1, GrantState.NEEDS_REAUTHORIZATION)
    assert shown_names(visitor, "/?q=JOB-07") == [f"07{number}" for number in range(10)]
    assert shown_names(visitor, "/?q=3")[0] == "003"
    assert "aren’t shown" not in visitor.get("/?q=3").text
    assert shown_names(visitor, "/?q=%25") == []


def test_the_filters_select_by_state_tag_and_account_among_all_connections(
    visitor: Visitor, services: Services, many: int
) -> None:
    store = services.store
    for number in (60, 61, 62):
        store.connections.edit(f"job-{number:03}", owner="Finance", tags=["prod"])
    store.grants.set_state("job-061", 1, GrantState.NEEDS_REAUTHORIZATION)
    store.grants.set_account("job-062", 1, Account(Identifier("7"), "carla@zylker.example"), ())
    page = visitor.get("/").text
    assert "<option>prod</option>" in page
    assert "<option>carla@zylker.example</option>" in page
    assert shown_names(visitor, "/?tag=prod") == ["061", "060", "062"]
    assert shown_names(visitor, "/?tag=prod&state=verified") == ["060", "062"]
    assert shown_names(visitor, "/?state=needs_attention") == ["061"]
    assert shown_names(visitor, "/?account=carla@zylker.example&q=finance") == ["062"]
    assert f"1 of {many} connections needs attention." in visitor.get("/?tag=none").text
    assert "Finance" in visitor.get("/?tag=prod").text


def test_few_connections_are_not_filtered(connected: Visitor) -> None:
    assert 'role="search"' not in connected.get("/").text


# --- The summary and the cards --------------------------------------------------------------------


def row(name: str, state: ConnectionState) -> ConnectionRow:
    return ConnectionRow(name, state, (), "")


def incident(code: str, *names: str, suspected: tuple[str, ...] = ()) -> Incident:
    explanation = Explanation(code, "", "", "")
    level = CauseLevel.CONNECTION
    return Incident(level, names, explanation, "", frozenset(), suspected_names=suspected)


def test_the_summary_counts_each_connection_once_by_states_and_incidents() -> None:
    rows = [
        row("rejected", ConnectionState.NEEDS_REAUTHORIZATION),
        row("other", ConnectionState.DIFFERENT_ACCOUNT),
        row("fresh", ConnectionState.NOT_AUTHORIZED),
        row("gone", ConnectionState.REVOKED),
        row("limited", ConnectionState.VERIFIED),
    ]
    incidents = [
        incident("refresh-token-rejected", "rejected", suspected=("suspected",)),
        incident("throttled", "limited", "rejected"),
        incident("network-timeout", "unreached"),
        incident("client-deleted", "lost"),
    ]
    counted = health(10, rows, incidents)
    assert counted == Health(total=10, failing=4, unchecked=2, unauthorized=1, revoked=1)
    assert counted.verified == 2
