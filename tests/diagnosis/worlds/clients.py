"""Clients that Zoho does not know, or not with this secret, and requests that are none."""

from core import ANNA, BOB, SCOPE, Core
from program import Program, ask
from scenes import client_of, proved

from wizard.model import AttemptState, Client, Connection, Failure, Finding
from worlds.world import World, corrected, followed, secret_shown, works


def _deleted(core: Core) -> Failure | None:
    proved(core, "crm")
    core.admin.delete_client(client_of(core, "crm").client_id)
    return _met_by_climbing(core)


def _connected_anew(core: Core, _finding: Finding) -> None:
    """Register a client, remove the connection here, connect it anew."""
    core.house.broker.forget("crm")
    client = core.client("Successor")
    core.house.store.add_connection(
        Connection("crm", client.client_id, SCOPE, "eu", created_at=core.now())
    )
    done = core.authorize("crm")
    assert done.generation is not None
    core.climb("crm", done.generation)
    works(core)


def _met_by_climbing(core: Core) -> Failure | None:
    core.climb("crm", 1)
    receipt = core.house.store.receipt("crm")
    return next((rung.failure for rung in receipt.rungs if rung.failure), None) if receipt else None


def _switch_off(core: Core) -> Failure | None:
    client = core.client()
    core.connection("crm", client)
    core.house.store.set_secret(client.client_id, "eu", client.secret_for("eu") or "", common=True)
    core.admin.enable(client.client_id, "in", same_credentials=True)
    begun = core.house.authorization.begin("crm")
    callback = core.consent(begun, BOB)
    core.admin.disable(client.client_id, "in")
    core.finish(begun, callback)
    return of_the_attempt(core)


def _switched_on(core: Core, _finding: Finding) -> None:
    core.admin.enable(client_of(core, "crm").client_id, "in", same_credentials=True)
    done = core.authorize("crm", BOB)
    assert done.generation is not None, done.failure
    core.climb("crm", done.generation)
    works(core)


def of_the_attempt(core: Core) -> Failure | None:
    """Why the last authorization failed."""
    attempt = core.house.store.attempts("crm")[0]
    assert attempt.state is AttemptState.REFUSED
    return attempt.failure


def _not_switched_on(core: Core) -> str:
    proved(core, "crm")
    told = Program(core).refresh("us")
    assert told.answer.json() == {"error": "invalid_client"}
    return told.text


def _switch_on_us(core: Core, _finding: Finding) -> None:
    core.admin.enable(client_of(core, "crm").client_id, "us", same_credentials=True)
    assert Program(core).refresh("us").answer.json()["error"] != "invalid_client"


def _sent(**changes: str) -> object:
    """A program refreshes with credentials that were changed so; {} stands for the right value."""

    def happens(core: Core) -> str:
        proved(core, "crm")
        program = Program(core)
        right = {**program.credentials, "grant_type": "refresh_token"}
        wrong = {name: change.format(right[name]) for name, change in changes.items()}
        told = program.refresh(**wrong)
        assert told.answer.json()["error"].startswith("invalid_client")
        return told.text

    return happens


def _mistyped(core: Core) -> str:
    proved(core, "crm")
    program = Program(core)
    given = program.credentials["client_id"]
    slip = given[:-1] + ("A" if given[-1] != "A" else "B")
    return program.refresh(client_id=slip).as_curl


def _of_nobody(core: Core) -> str:
    """A client that the wizard has never seen, registered in another data centre."""
    made = core.admin.register_client(ANNA, ["http://localhost:9/"], location="us")
    values = {"client_id": made["client_id"], "client_secret": made["secrets"]["us"]}
    values |= {"grant_type": "refresh_token", "refresh_token": "1000." + "0" * 32 + "." + "0" * 32}
    return ask("POST", Program(core).endpoint(), data=values).text


def _asked_at_home(core: Core, _finding: Finding) -> None:
    client = core.sandbox.world.clients
    made = next(each for each in client if each.location == "us")
    values = {"client_id": made.client_id, "client_secret": made.secrets["us"]}
    values |= {"grant_type": "refresh_token", "refresh_token": "1000.x"}
    told = ask("POST", Program(core).endpoint("us"), data=values)
    assert told.answer.json() == {"error": "invalid_code"}


# --- the pages ------------------------------------------------------------------------------------


def page(core: Core, address: str) -> str:
    """What the browser of anna, who is signed in, shows at an authorization address."""
    world = core.sandbox.world
    session = world.sessions.begin("eu")
    session.zuid = world.people.named(ANNA).zuid
    told = ask("GET", address, cookies={"zoho_sandbox_session": session.session_id})
    return f"{address}\n\n{told.answer.text}"


def _page_of_a_deleted_client(core: Core) -> str:
    core.connection("crm")
    begun = core.house.authorization.begin("crm")
    core.admin.delete_client(client_of(core, "crm").client_id)
    return page(core, begun.url)


def _self_client_as_server_based(core: Core) -> str:
    """The console's Self Client, stored as if it had a page of consent."""
    made = core.admin.register_client(ANNA, [], name="Script", kind="self-client")
    uri = core.house.settings.redirect_uri
    text = f"{made['client_id']}\n{made['secrets']['eu']}"
    core.connection("crm", core.house.clients.register(text, name="Script", redirect_uri=uri))
    return page(core, core.house.authorization.begin("crm").url)


def _code_from_the_console(core: Core, _finding: Finding) -> None:
    """What the remedy says: a code made in the console, brought to the terminal."""
    client = client_of(core, "crm")
    code = core.admin.generate_code(client.client_id, ",".join(SCOPE))
    values = {"client_id": client.client_id, "client_secret": client.secrets[0].value}
    values |= {"grant_type": "authorization_code", "code": code}
    told = ask("POST", Program(core).endpoint(), data=values)
    assert "refresh_token" in told.answer.json()


# --- the secret -----------------------------------------------------------------------------------


def _renewed(core: Core) -> Failure | None:
    proved(core, "crm")
    core.admin.rotate_secret(client_of(core, "crm").client_id)
    return _met_by_climbing(core)


def _renewed_pasted(core: Core) -> str:
    proved(core, "crm")
    core.admin.rotate_secret(client_of(core, "crm").client_id)
    return Program(core).refresh().text


def _common_but_not(core: Core) -> Failure | None:
    uri = core.house.settings.redirect_uri
    made = core.admin.register_client(ANNA, [uri], name="Zylker")
    text = f"{made['client_id']}\n{made['secrets']['eu']}"
    client = core.house.clients.register(text, name="Zylker", redirect_uri=uri, same_for_all=True)
    core.admin.enable(client.client_id, "in")
    core.connection("crm", client)
    core.authorize("crm", BOB)
    return of_the_attempt(core)


def _secret_of_india_stored(core: Core, finding: Finding) -> None:
    client = client_of(core, "crm")
    assert finding.steps[0].command.endswith(f"{client.client_id} --data-centre in")
    core.house.clients.change_secret(
        client.client_id, secret_shown(core, client.client_id, "in"), "in"
    )
    done = core.authorize("crm", BOB)
    assert done.generation is not None, done.failure
    core.climb("crm", done.generation)
    works(core)


def _two_secrets(core: Core) -> Client:
    proved(core, "crm")
    client = client_of(core, "crm")
    core.house.store.set_secret(client.client_id, "us", core.admin.enable(client.client_id, "us"))
    return core.house.store.client(client.client_id)


def _secret_of_another_data_centre(core: Core) -> str:
    client = _two_secrets(core)
    told = Program(core).refresh(client_secret=client.secret_for("us") or "")
    assert told.answer.json() == {"error": "invalid_client_secret"}
    return told.text


def _stored_one_is_right(core: Core, finding: Finding) -> None:
    """`client check` says that the stored one is right; the program is given it."""
    followed(core, finding)
    assert "access_token" in Program(core).refresh().answer.json()


# --- the request ----------------------------------------------------------------------------------


def _by_get(core: Core) -> str:
    proved(core, "crm")
    program = Program(core)
    values = {**program.credentials, "grant_type": "refresh_token"}
    told = ask("GET", program.endpoint(), params=values)
    assert told.answer.status_code == 400
    return f"{told.request.url}\n\n{told.answer.text}"


def _as_json(core: Core) -> str:
    proved(core, "crm")
    program = Program(core)
    values = {**program.credentials, "grant_type": "refresh_token"}
    return ask("POST", program.endpoint(), json=values).as_curl


def _incomplete(core: Core) -> str:
    proved(core, "crm")
    told = Program(core).refresh(grant_type="")
    assert told.answer.status_code == 400
    return told.text


_UNKNOWN, _SECRET, _REQUEST = "client-unknown", "secret-refused", "not-a-token-request"
_again = corrected(lambda program: program.refresh())

WORLDS = (
    World("client deleted", _deleted, _UNKNOWN, "client-deleted", True, _connected_anew),
    World("multi-DC off", _switch_off, _UNKNOWN, "multi-dc-off", True, _switched_on),
    World("multi-DC off, pasted", _not_switched_on, _UNKNOWN, "multi-dc-off", True, _switch_on_us),
    World(
        "client id with a line end, pasted",
        _sent(client_id="{}\n"),
        _UNKNOWN,
        "client-id-with-blank",
        True,
        _again,
    ),
    World("client id mistyped, pasted", _mistyped, _UNKNOWN, "client-id-wrong", True, _again),
    World(
        "grant_type wrong, pasted",
        _sent(grant_type="refresh"),
        _UNKNOWN,
        "grant-type-wrong",
        True,
        _again,
    ),
    World(
        "client of nobody, at home elsewhere, pasted",
        _of_nobody,
        _UNKNOWN,
        "client-of-other-data-centre",
        mended=_asked_at_home,
    ),
    World(
        "page of a deleted client, pasted",
        _page_of_a_deleted_client,
        _UNKNOWN,
        "client-deleted",
        mended=_connected_anew,
    ),
    World(
        "Self Client stored as server-based, page pasted",
        _self_client_as_server_based,
        _UNKNOWN,
        "self-client-in-browser",
        mended=_code_from_the_console,
    ),
    World("secret renewed", _renewed, _SECRET, "secret-renewed", True),
    World("secret renewed, pasted", _renewed_pasted, _SECRET, "secret-renewed", True),
    World(
        "common secret that is not common",
        _common_but_not,
        _SECRET,
        "secret-of-other-data-centre",
        True,
        _secret_of_india_stored,
    ),
    World(
        "secret of another data centre, pasted",
        _secret_of_another_data_centre,
        _SECRET,
        "secret-of-other-data-centre",
        True,
        _again,
    ),
    World(
        "secret with a line end, pasted",
        _sent(client_secret="{}\n"),
        _SECRET,
        "secret-with-blank",
        True,
        _again,
    ),
    World(
        "wrong secret, pasted",
        _sent(client_secret="ab" * 21),
        _SECRET,
        "secret-not-the-stored-one",
        True,
        _stored_one_is_right,
    ),
    World("token address opened, pasted", _by_get, _REQUEST, "token-request-by-get", True, _again),
    World("parameters as JSON, pasted", _as_json, _REQUEST, "token-request-as-json", True, _again),
    World(
        "grant_type missing, pasted",
        _incomplete,
        _REQUEST,
        "token-request-incomplete",
        True,
        _again,
    ),
)
