"""Refresh tokens that died, or never could live."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from core import ANNA, SCOPE, Core
from program import Program
from scenes import client_of, diagnosed, notice, proved, revoke_outside

from wizard.model import Client, Connection, Failure, Finding
from wizard.store import Belongings
from worlds.world import World, after, consented, corrected, followed, works

REFUSED = Failure("token-invalid", "INVALID_TOKEN", details={"product": "crm"})
"""What a person tells who met the word in a program of their own."""


def change_password(core: Core) -> None:
    core.admin.change_password(ANNA)


def forget_password(core: Core) -> None:
    core.admin.forgot_password(ANNA, remove_tokens=True)


def reset_by_administrator(core: Core) -> None:
    core.admin.admin_reset(ANNA, remove_tokens=True)


def deactivate(core: Core) -> None:
    core.admin.deactivate_user(ANNA)


def reactivate(core: Core) -> None:
    core.admin.deactivate_user(ANNA, deactivated=False)


def remove_app(core: Core) -> None:
    core.admin.revoke_app(ANNA, client_of(core, "crm").client_id)


def remove_both_apps(core: Core) -> None:
    """Somebody tidies up, and removes two apps one after the other."""
    for name in ("crm", "books"):
        core.admin.revoke_app(ANNA, client_of(core, name).client_id)


def evict(core: Core) -> None:
    core.admin.evict(ANNA, client_of(core, "crm").client_id)


def revoke(core: Core, *names: str) -> None:
    for name in names or ("crm",):
        grant = core.house.store.grant(name)
        assert grant is not None
        revoke_outside(core, grant)


def revoke_both(core: Core) -> None:
    """A script disconnects both connections of one client."""
    revoke(core, "crm", "leads")


DEATHS = (change_password, deactivate, remove_app, evict, revoke)

CAUSES = {
    change_password: "password-changed",
    deactivate: "user-deactivated",
    remove_app: "app-removed",
    evict: "refresh-token-evicted",
    revoke: "token-revoked-elsewhere",
}


def died(
    death: Callable[[Core], None],
    beside: Sequence[str] = (),
    *,
    same_client: Sequence[str] = (),
    noticed: Sequence[str] = ("crm",),
) -> Callable[[Core], None]:
    """``crm`` dies beside connections of other clients, and younger ones of its own client."""

    def happens(core: Core) -> None:
        for name in beside:
            proved(core, name)
        proved(core, "crm")
        for name in same_client:
            proved(core, name, client_of(core, "crm"))
        death(core)
        notice(core, *noticed)

    return happens


def _died_youngest(core: Core) -> None:
    older = proved(core, "leads")
    proved(core, "crm", client_of(core, older.connection))
    revoke(core)
    notice(core, "crm")


def _behind_a_product(death: Callable[[Core], None]) -> Callable[[Core], Failure]:
    """Nobody has noticed the death: a program was refused its access token."""

    def happens(core: Core) -> Failure:
        proved(core, "books")
        proved(core, "crm")
        death(core)
        return REFUSED

    return happens


# --- tokens in the wrong place --------------------------------------------------------------------


def taken_in(
    core: Core, name: str, client: Client, refresh_token: str, location: str = "eu"
) -> None:
    """A connection whose refresh token came from elsewhere, as by a restored backup; its first
    refresh has been refused."""
    wish = Connection(name, client.client_id, SCOPE, location, generation=1)
    grant = core.house.store.grant("first")
    assert grant is not None
    wrong = replace(
        grant,
        connection=name,
        client_id=client.client_id,
        refresh_token=refresh_token,
        location=location,
    )
    core.house.store.take_in(Belongings((client,), (wish,), (wrong,)))
    core.advance(minutes=1)
    notice(core, name)


def _access_token_taken_in(core: Core) -> None:
    proved(core, "first")
    token = core.house.broker.access_token("first").value
    taken_in(core, "crm", client_of(core, "first"), token)


def _of_another_client(core: Core) -> None:
    grant = proved(core, "first")
    taken_in(core, "crm", core.client("Another"), grant.refresh_token)


def _of_another_data_centre(core: Core) -> None:
    grant = proved(core, "first")
    client = client_of(core, "first")
    secret = core.admin.enable(client.client_id, "us")
    core.house.store.set_secret(client.client_id, "us", secret)
    client = core.house.store.client(client.client_id)
    taken_in(core, "crm", client, grant.refresh_token, "us")


def _access_token_refreshed(core: Core) -> str:
    proved(core, "crm")
    program = Program(core)
    return program.refresh(refresh_token=program.access_token).text


def _refreshed_with_another_client(core: Core) -> str:
    proved(core, "crm")
    other = core.client("Another")
    values = {"client_id": other.client_id, "client_secret": other.secrets[0].value}
    return Program(core).refresh(**values).as_curl


def _refreshed_in_another_data_centre(core: Core) -> str:
    proved(core, "crm")
    core.admin.enable(client_of(core, "crm").client_id, "us", same_credentials=True)
    return Program(core).refresh("us").text


def _refreshed_after_a_change_of_password(core: Core) -> str:
    proved(core, "crm")
    change_password(core)
    return Program(core).refresh().text


# --- the table ------------------------------------------------------------------------------------

_CLASS = "refresh-token-refused"
_again = corrected(lambda program: program.refresh())


def _kept_where_it_lives(core: Core, _finding: Finding) -> None:
    """The new consent answers from another data centre than was stored, which is asked about."""
    core.advance(minutes=11)
    consented(core, "crm")
    held = diagnosed(core)
    assert held.code == "account-moved"
    core.house.authorization.adopt("crm", 2)
    works(core)


def _mended(death: Callable[[Core], None]) -> Callable[..., None]:
    return after(reactivate) if death is deactivate else followed


WORLDS = (
    *(
        World(f"{CAUSES[death]}, alone", died(death), _CLASS, CAUSES[death], mended=_mended(death))
        for death in DEATHS
    ),
    *(
        World(
            f"{CAUSES[death]}, beside another client",
            died(death, ["books"]),
            _CLASS,
            CAUSES[death],
            mended=_mended(death),
        )
        for death in DEATHS
    ),
    *(
        World(
            f"{CAUSES[death]}, met in a product",
            _behind_a_product(death),
            _CLASS,
            CAUSES[death],
            mended=_mended(death),
        )
        for death in DEATHS
    ),
    *(
        World(
            f"{CAUSES[death]}, three clients at once",
            died(death, ["books", "desk"], noticed=["crm", "books", "desk"]),
            _CLASS,
            CAUSES[death],
            mended=_mended(death),
        )
        for death in (change_password, deactivate)
    ),
    World(
        "two apps removed one by one",
        died(remove_both_apps, ["books"], noticed=["crm", "books"]),
        _CLASS,
        "app-removed",
    ),
    World(
        "app removed, its two dead, another client lives",
        died(remove_app, ["books"], same_client=["leads"], noticed=["crm", "leads"]),
        _CLASS,
        "app-removed",
    ),
    World(
        "two of a client revoked one by one, another client lives",
        died(revoke_both, ["books"], same_client=["leads"], noticed=["crm", "leads"]),
        _CLASS,
        "token-revoked-elsewhere",
    ),
    World(
        "app removed, its three dead, another client lives",
        died(
            remove_app, ["books"], same_client=["leads", "sync"], noticed=["crm", "leads", "sync"]
        ),
        _CLASS,
        "app-removed",
        decided=True,
    ),
    World("revoked, an older one lives", _died_youngest, _CLASS, "token-revoked-elsewhere", True),
    World(
        "evicted, younger ones live",
        died(evict, same_client=["leads"]),
        _CLASS,
        "refresh-token-evicted",
    ),
    World(
        "access token in its place",
        _access_token_taken_in,
        _CLASS,
        "access-token-in-its-place",
        True,
    ),
    World("token of another client", _of_another_client, _CLASS, "token-of-other-client"),
    World(
        "token of another data centre",
        _of_another_data_centre,
        _CLASS,
        "token-of-other-data-centre",
        mended=_kept_where_it_lives,
    ),
    World(
        "access token in its place, pasted",
        _access_token_refreshed,
        _CLASS,
        "access-token-in-its-place",
        True,
        _again,
    ),
    World(
        "token of another client, pasted",
        _refreshed_with_another_client,
        _CLASS,
        "token-of-other-client",
        True,
        _again,
    ),
    World(
        "token of another data centre, pasted",
        _refreshed_in_another_data_centre,
        _CLASS,
        "token-of-other-data-centre",
        True,
        _again,
    ),
    World(
        "password-changed, pasted",
        _refreshed_after_a_change_of_password,
        _CLASS,
        "password-changed",
    ),
)
