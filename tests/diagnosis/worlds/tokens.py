"""Access tokens that a product refused, while the connection behind them is sound."""

from core import ANNA, Core
from program import Program, Told, ask
from scenes import proved, refresh_outside

from wizard.model import Failure
from worlds.deaths import REFUSED
from worlds.world import World, corrected, followed


def _pushed_out_by_others(core: Core) -> Failure:
    grant = proved(core, "crm")
    for _ in range(10):
        core.advance(minutes=2)
        refresh_outside(core, grant)
    return REFUSED


def _pushed_out_by_ourselves(core: Core) -> Failure:
    proved(core, "crm")
    for _ in range(11):
        core.advance(minutes=4)
        core.house.broker.access_token("crm", fresh=True)
    return REFUSED


def _clock_behind(core: Core) -> Failure:
    proved(core, "crm")
    core.admin.fault("skew", endpoint="oauth/user/info", seconds=3000)
    return REFUSED


def _used_wrongly(core: Core) -> Failure:
    proved(core, "crm")
    assert Program(core).read(location="us").answer.status_code == 401
    return REFUSED


def _expired(core: Core) -> str:
    proved(core, "crm")
    program = Program(core)
    token = program.access_token
    core.advance(minutes=61)
    return refused(program.read(token)).text


def _elsewhere(core: Core) -> str:
    proved(core, "crm")
    return refused(Program(core).read(location="us")).as_curl


def _refresh_token_sent(core: Core) -> str:
    program = Program(core)
    return refused(program.read(proved(core, "crm").refresh_token)).text


def _cut_off(core: Core) -> str:
    proved(core, "crm")
    program = Program(core)
    return refused(program.read(program.access_token[:40])).text


def _quoted(core: Core) -> str:
    proved(core, "crm")
    return refused(Program(core).read(scheme='"{}"')).text


def _id_sent(core: Core) -> str:
    proved(core, "crm")
    program = Program(core)
    return refused(program.read(program.credentials["client_id"])).as_curl


def refused(told: Told) -> Told:
    """What was told, which is no success."""
    assert not told.answer.ok, told.answer.text
    return told


SCOPE = "ZohoCliq.Webhooks.CREATE"


def _posted(core: Core, token: str) -> Told:
    base = core.house.zoho.data_centre("eu").host("cliq")
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}
    address = f"{base}/api/v2/channelsbyname/general/message"
    return ask("POST", address, json={"text": "Hello"}, headers=headers)


def _without_a_person(core: Core) -> str:
    """A Self Client's token, made from id and secret alone, writes into a channel."""
    proved(core, "crm")
    made = core.admin.register_client(ANNA, [], name="Script", kind="self-client")
    values = {
        "grant_type": "client_credentials",
        "client_id": made["client_id"],
        "client_secret": made["secrets"]["eu"],
        "scope": SCOPE,
    }
    given = ask("POST", Program(core).endpoint(), data=values)
    answer = refused(_posted(core, given.answer.json()["access_token"]))
    return given.text + "\n\n" + answer.text


def _with_a_person(core: Core, _finding: object) -> None:
    core.house.store.set_scope("crm", (*core.house.store.connection("crm").scope, SCOPE))
    done = core.authorize("crm")
    assert done.generation is not None
    core.climb("crm", done.generation)
    assert _posted(core, Program(core).access_token).answer.ok


_CLASS = "access-token-refused"
_again = corrected(lambda program: program.read())

WORLDS = (
    World(
        "token pushed out by others", _pushed_out_by_others, _CLASS, "access-token-evicted", True
    ),
    World(
        "token pushed out by ourselves",
        _pushed_out_by_ourselves,
        _CLASS,
        "access-token-evicted",
        True,
    ),
    World("clock behind", _clock_behind, _CLASS, "clock-skew"),
    World(
        "token used in another data centre, told",
        _used_wrongly,
        _CLASS,
        "access-token-of-other-data-centre",
        mended=followed,
    ),
    World("token expired, pasted", _expired, _CLASS, "access-token-expired", True),
    World(
        "token used in another data centre, pasted",
        _elsewhere,
        _CLASS,
        "access-token-of-other-data-centre",
        True,
        _again,
    ),
    World(
        "refresh token in its place, pasted",
        _refresh_token_sent,
        _CLASS,
        "refresh-token-in-its-place",
        True,
        _again,
    ),
    World("token cut off, pasted", _cut_off, _CLASS, "token-truncated", True, _again),
    World("token quoted, pasted", _quoted, _CLASS, "token-quoted", True, _again),
    World("client id in its place, pasted", _id_sent, _CLASS, "id-in-its-place", True, _again),
    World(
        "token without a person, pasted",
        _without_a_person,
        "scope-refused",
        "client-credentials-token",
        True,
        _with_a_person,
    ),
)
