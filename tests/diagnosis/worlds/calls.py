"""Calls that fail for a scope, a right, an organization, a limit, an address or the way."""

from collections.abc import Callable

import pytest
from core import ANNA, CARLA, PRODUCTION, SCOPE, Core
from program import Program, Told, ask
from scenes import client_of, proved, refresh_outside

from wizard.errors import WizardError
from wizard.model import Failure, Finding
from worlds.clients import of_the_attempt
from worlds.tokens import refused
from worlds.world import World, corrected, followed, works

DESK = (*SCOPE, "Desk.basic.READ", "Desk.tickets.READ")
BOOKS = (*SCOPE, "ZohoBooks.settings.READ", "ZohoBooks.contacts.READ")


# --- scope, right, organization -------------------------------------------------------------------


def _scope_missing(core: Core) -> str:
    proved(core, "crm")
    return refused(Program(core).read(path="Contacts")).as_curl


def _read_contacts(core: Core, finding: Finding) -> None:
    followed(core, finding)
    assert Program(core).read(path="Contacts").answer.ok


def _barred(core: Core) -> None:
    proved(core, "crm")
    core.admin.bar(ANNA, "crm")


def _allowed_again(core: Core, finding: Finding) -> None:
    core.sandbox.world.people.named(ANNA).barred_from.clear()
    followed(core, finding)


def _barred_in_books(core: Core) -> None:
    core.connection("crm", core.client("crm"), BOOKS[:1] + BOOKS[3:])
    done = core.authorize("crm")
    assert done.generation is not None
    core.admin.bar(ANNA, "books")
    core.climb("crm", 1)


def _connected(core: Core, scope: tuple[str, ...], email: str = ANNA) -> Program:
    core.connection("crm", core.client("crm"), scope)
    done = core.authorize("crm", email, PRODUCTION if email == CARLA else "")
    assert done.generation is not None, done.failure
    core.climb("crm", done.generation)
    return Program(core)


def _call(program: Program, host: str, path: str, **options: dict[str, str]) -> Told:
    base = program.core.house.zoho.data_centre("eu").host(host)
    headers = {"Authorization": f"Zoho-oauthtoken {program.access_token}"}
    return ask("GET", f"{base}{path}", headers=headers | options.get("headers", {}))


def _wrong_organization(core: Core) -> str:
    """A program calls Desk with the id of another organization than the consent is for."""
    program = _connected(core, DESK)
    return refused(_tickets(program, "20099999999")).as_curl


def _no_organization_in_desk(core: Core) -> str:
    return refused(_call(_connected(core, DESK), "desk", "/api/v1/tickets")).text


def _no_organization_in_books(core: Core) -> str:
    return refused(_call(_connected(core, BOOKS), "www", "/books/v3/contacts")).text


def _tickets(program: Program, organization: str = "") -> Told:
    """Read tickets, by default of the organization that the receipt names."""
    reached = next(each for each in program.grant.organizations if each.product == "desk")
    headers = {"orgId": organization or reached.id}
    return _call(program, "desk", "/api/v1/tickets", headers=headers)


def _contacts(program: Program) -> Told:
    reached = next(each for each in program.grant.organizations if each.product == "books")
    return _call(program, "www", f"/books/v3/contacts?organization_id={reached.id}")


# --- limits ---------------------------------------------------------------------------------------


def _throttled_by_others(core: Core) -> Failure:
    grant = proved(core, "crm")
    core.advance(minutes=58)
    for _ in range(10):
        refresh_outside(core, grant)
    return _refused_a_token(core)


def _refused_a_token(core: Core) -> Failure:
    return _throttled_in(lambda: core.house.broker.access_token("crm", fresh=True))


def _throttled_in(act: Callable[[], object]) -> Failure:
    with pytest.raises(WizardError, match="throttled") as met:
        act()
    return met.value.failure


def _throttled_by_ourselves(core: Core) -> Failure:
    """Zoho counts by client, and two connections of one client have used up its ten."""
    core.admin.change_settings(throttle_key="client")
    proved(core, "crm")
    proved(core, "leads", client_of(core, "crm"))
    core.advance(minutes=11)
    for _ in range(5):
        for name in ("crm", "leads"):
            grant = core.house.store.grant(name)
            assert grant is not None
            core.house.broker.refresh_grant(grant)
    grant = core.house.store.grant("crm")
    assert grant is not None
    return _throttled_in(lambda: core.house.broker.refresh_grant(grant))


def _throttled_in_chinese(core: Core) -> str:
    core.admin.change_settings(localised_throttle=True)
    proved(core, "crm")
    told = Program(core).refresh()
    while told.answer.ok:
        told = Program(core).refresh()
    assert "Access Denied" not in told.text
    return told.text


def _throttled_while_a_token_lives(core: Core) -> None:
    grant = proved(core, "crm")
    for _ in range(9):
        refresh_outside(core, grant)
    _refused_a_token(core)


def _product_limit(core: Core) -> str:
    proved(core, "crm")
    core.admin.fault("product-limit", endpoint="crm/v8")
    told = Program(core).read()
    assert told.answer.status_code == 429
    return told.text


def _product_limit_in_books(core: Core) -> str:
    program = _connected(core, BOOKS)
    core.admin.fault("product-limit", endpoint="books/v3")
    return refused(_call(program, "www", "/books/v3/organizations")).answer.text


def _too_many_refresh_tokens(core: Core) -> Failure | None:
    """Another program has made refresh tokens with this client, as many as Zoho allows."""
    core.admin.change_settings(refresh_tokens_created=1)
    proved(core, "first")
    core.connection("crm", client_of(core, "first"))
    core.authorize("crm")
    return of_the_attempt(core)


# --- addresses and ways ---------------------------------------------------------------------------


def _no_such_call(core: Core) -> str:
    proved(core, "crm")
    return refused(Program(core).read(path="no/such/call")).text


def _wrong_host(core: Core) -> str:
    program = _connected(core, DESK)
    return refused(_call(program, "www", "/desk/api/v1/organizations")).as_curl


def _in_the_way(core: Core) -> None:
    proved(core, "crm")
    core.admin.fault("garbage", endpoint="oauth/", times=9)


def _out_of_the_way(core: Core, finding: Finding) -> None:
    assert finding.exit_code == 4
    core.admin.clear_faults()
    works(core)


def _waited(core: Core, finding: Finding) -> None:
    """It works again by itself."""
    assert finding.exit_code == 4
    core.advance(minutes=11)
    assert "access_token" in Program(core).refresh().answer.json()


WORLDS = (
    World(
        "scope missing, pasted",
        _scope_missing,
        "scope-refused",
        "scope-not-granted",
        True,
        _read_contacts,
    ),
    World("barred", _barred, "permission-refused", "role-without-right", mended=_allowed_again),
    World(
        "barred in Books",
        _barred_in_books,
        "refused-without-a-reason",
        "role-without-right",
        mended=_allowed_again,
    ),
    World(
        "wrong organization, pasted",
        _wrong_organization,
        "organization-refused",
        "organization-not-reached",
        mended=corrected(_tickets),
    ),
    World(
        "organization id missing in Desk, pasted",
        _no_organization_in_desk,
        "organization-refused",
        "organization-not-reached",
        mended=corrected(_tickets),
    ),
    World(
        "organization id missing in Books, pasted",
        _no_organization_in_books,
        "organization-refused",
        "organization-not-reached",
        mended=corrected(_contacts),
    ),
    World(
        "limit of a product, pasted",
        _product_limit,
        "",
        "product-throttled",
        True,
        corrected(lambda program: program.read()),
    ),
    World(
        "limit of Books, answer alone",
        _product_limit_in_books,
        "",
        "product-throttled",
        True,
        corrected(lambda program: _call(program, "www", "/books/v3/organizations")),
    ),
    World(
        "throttled by others",
        _throttled_by_others,
        "too-many-requests",
        "throttled-by-others",
        True,
    ),
    World(
        "throttled by ourselves",
        _throttled_by_ourselves,
        "too-many-requests",
        "throttled-by-ourselves",
        True,
    ),
    World(
        "throttled in another language, pasted",
        _throttled_in_chinese,
        "too-many-requests",
        "throttled-by-others",
        True,
        _waited,
    ),
    World(
        "throttled while a token lives",
        _throttled_while_a_token_lives,
        "too-many-requests",
        "throttled-by-others",
        True,
    ),
    World(
        "too many refresh tokens",
        _too_many_refresh_tokens,
        "too-many-requests",
        "too-many-refresh-tokens",
    ),
    World(
        "no such call, pasted",
        _no_such_call,
        "wrong-address",
        "wrong-version",
        mended=corrected(lambda program: program.read()),
    ),
    World(
        "wrong host, pasted",
        _wrong_host,
        "wrong-address",
        "wrong-host",
        mended=corrected(lambda program: _call(program, "desk", "/api/v1/organizations")),
    ),
    World(
        "a page where JSON should be",
        _in_the_way,
        "not-zohos-answer",
        "captive-portal",
        mended=_out_of_the_way,
    ),
)
