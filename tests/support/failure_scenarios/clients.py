"""Clients that Zoho doesn't know, or not with this secret, and invalid requests."""

from collections.abc import Callable

from support.diagnosis import add_verified_connection, client_of
from support.failure_scenarios.scenario import (
    FailureScenario,
    assert_works,
    follow_next_step,
    secret_in_console,
    with_corrected_request,
)
from support.harness import ANNA, BOB, SCOPE, Harness
from support.third_party_program import ThirdPartyProgram, send_request
from wizard.model import AttemptState, Client, Connection, Explanation, Failure


def _deleted(harness: Harness) -> Failure | None:
    add_verified_connection(harness, "crm")
    harness.controls.delete_client(client_of(harness, "crm").client_id)
    return _verification_failure(harness)


def _connect_again(harness: Harness, _explanation: Explanation) -> None:
    """Register a client, remove the connection here, connect it again."""
    harness.services.tokens.remove_connection("crm")
    client = harness.register_client("Successor")
    harness.services.store.connections.add(
        Connection("crm", client.client_id, SCOPE, "eu", created_at=harness.now())
    )
    done = harness.authorize("crm")
    assert done.generation is not None
    harness.verify("crm", done.generation)
    assert_works(harness)


def _verification_failure(harness: Harness) -> Failure | None:
    harness.verify("crm", 1)
    report = harness.services.store.verification_reports.get("crm")
    return next((step.failure for step in report.steps if step.failure), None) if report else None


def _disable_data_center(harness: Harness) -> Failure | None:
    client = harness.register_client()
    harness.add_connection("crm", client)
    harness.services.store.clients.set_secret(
        client.client_id, "eu", client.secret_for("eu") or "", has_common_secret=True
    )
    harness.controls.enable_data_center(client.client_id, "in", same_credentials=True)
    begun = harness.services.authorization.begin("crm")
    callback = harness.give_consent(begun, BOB)
    harness.controls.disable_data_center(client.client_id, "in")
    harness.complete_authorization(begun, callback)
    return attempt_failure(harness)


def _data_center_enabled(harness: Harness, _explanation: Explanation) -> None:
    harness.controls.enable_data_center(
        client_of(harness, "crm").client_id, "in", same_credentials=True
    )
    done = harness.authorize("crm", BOB)
    assert done.generation is not None, done.failure
    harness.verify("crm", done.generation)
    assert_works(harness)


def attempt_failure(harness: Harness) -> Failure | None:
    """Why the last authorization failed."""
    attempt = harness.services.store.attempts.newest("crm")
    assert attempt is not None
    assert attempt.state is AttemptState.FAILED
    return attempt.failure


def _data_center_disabled(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    exchange = ThirdPartyProgram(harness).refresh("us")
    assert exchange.response.json() == {"error": "invalid_client"}
    return exchange.as_log


def _enable_us(harness: Harness, _explanation: Explanation) -> None:
    harness.controls.enable_data_center(
        client_of(harness, "crm").client_id, "us", same_credentials=True
    )
    assert ThirdPartyProgram(harness).refresh("us").response.json()["error"] != "invalid_client"


def _changed_refresh(**changes: str) -> Callable[[Harness], str]:
    """A program refreshes with credentials changed like this; {} stands for the right value."""

    def produce(harness: Harness) -> str:
        add_verified_connection(harness, "crm")
        program = ThirdPartyProgram(harness)
        right = {**program.credentials, "grant_type": "refresh_token"}
        wrong = {name: change.format(right[name]) for name, change in changes.items()}
        exchange = program.refresh(**wrong)
        assert exchange.response.json()["error"].startswith("invalid_client")
        return exchange.as_log

    return produce


def _mistyped(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    program = ThirdPartyProgram(harness)
    given = program.credentials["client_id"]
    slip = given[:-1] + ("A" if given[-1] != "A" else "B")
    return program.refresh(client_id=slip).as_curl


def _unknown_client(harness: Harness) -> str:
    """A client that the wizard doesn't know, registered in another data center."""
    made = harness.controls.register_client(ANNA, ["http://localhost:9/"], location="us")
    values = {"client_id": made["client_id"], "client_secret": made["secrets"]["us"]}
    values |= {"grant_type": "refresh_token", "refresh_token": "1000." + "0" * 32 + "." + "0" * 32}
    return send_request("POST", ThirdPartyProgram(harness).token_endpoint(), data=values).as_log


def _request_in_own_data_center(harness: Harness, _explanation: Explanation) -> None:
    client = harness.simulator.world.clients
    made = next(each for each in client if each.location == "us")
    values = {"client_id": made.client_id, "client_secret": made.secrets["us"]}
    values |= {"grant_type": "refresh_token", "refresh_token": "1000.x"}
    exchange = send_request("POST", ThirdPartyProgram(harness).token_endpoint("us"), data=values)
    assert exchange.response.json() == {"error": "invalid_code"}


# --- the pages ------------------------------------------------------------------------------------


def authorization_page(harness: Harness, url: str) -> str:
    """The page at an authorization URL in anna's signed-in browser."""
    world = harness.simulator.world
    session = world.sessions.begin("eu")
    session.zuid = world.users.get(ANNA).zuid
    exchange = send_request("GET", url, cookies={"zoho_simulator_session": session.session_id})
    return f"{url}\n\n{exchange.response.text}"


def _page_of_a_deleted_client(harness: Harness) -> str:
    harness.add_connection("crm")
    begun = harness.services.authorization.begin("crm")
    harness.controls.delete_client(client_of(harness, "crm").client_id)
    return authorization_page(harness, begun.url)


def _self_client_as_server_based(harness: Harness) -> str:
    """The console's self client, stored as if it had a consent page."""
    made = harness.controls.register_client(ANNA, [], name="Script", kind="self-client")
    uri = harness.services.settings.redirect_uri
    text = f"{made['client_id']}\n{made['secrets']['eu']}"
    harness.add_connection(
        "crm", harness.services.clients.register(text, name="Script", redirect_uri=uri)
    )
    return authorization_page(harness, harness.services.authorization.begin("crm").url)


def _code_from_the_console(harness: Harness, _explanation: Explanation) -> None:
    """Follow the fix: generate a code in the console and paste it in the terminal."""
    client = client_of(harness, "crm")
    code = harness.controls.generate_code(client.client_id, ",".join(SCOPE))
    values = {"client_id": client.client_id, "client_secret": client.secrets[0].value}
    values |= {"grant_type": "authorization_code", "code": code}
    exchange = send_request("POST", ThirdPartyProgram(harness).token_endpoint(), data=values)
    assert "refresh_token" in exchange.response.json()


# --- the secret -----------------------------------------------------------------------------------


def _secret_regenerated(harness: Harness) -> Failure | None:
    add_verified_connection(harness, "crm")
    harness.controls.rotate_secret(client_of(harness, "crm").client_id)
    return _verification_failure(harness)


def _secret_regenerated_pasted(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    harness.controls.rotate_secret(client_of(harness, "crm").client_id)
    return ThirdPartyProgram(harness).refresh().as_log


def _secret_wrongly_common(harness: Harness) -> Failure | None:
    uri = harness.services.settings.redirect_uri
    made = harness.controls.register_client(ANNA, [uri], name="Zylker")
    text = f"{made['client_id']}\n{made['secrets']['eu']}"
    client = harness.services.clients.register(
        text, name="Zylker", redirect_uri=uri, has_common_secret=True
    )
    harness.controls.enable_data_center(client.client_id, "in")
    harness.add_connection("crm", client)
    harness.authorize("crm", BOB)
    return attempt_failure(harness)


def _store_secret_of_india(harness: Harness, explanation: Explanation) -> None:
    client = client_of(harness, "crm")
    assert explanation.next_steps[0].command.endswith(f"{client.client_id} --data-center in")
    harness.services.clients.set_secret(
        client.client_id, secret_in_console(harness, client.client_id, "in"), "in"
    )
    done = harness.authorize("crm", BOB)
    assert done.generation is not None, done.failure
    harness.verify("crm", done.generation)
    assert_works(harness)


def _two_secrets(harness: Harness) -> Client:
    add_verified_connection(harness, "crm")
    client = client_of(harness, "crm")
    harness.services.store.clients.set_secret(
        client.client_id, "us", harness.controls.enable_data_center(client.client_id, "us")
    )
    return harness.services.store.clients.get(client.client_id)


def _secret_of_another_data_center(harness: Harness) -> str:
    client = _two_secrets(harness)
    exchange = ThirdPartyProgram(harness).refresh(client_secret=client.secret_for("us") or "")
    assert exchange.response.json() == {"error": "invalid_client_secret"}
    return exchange.as_log


def _stored_secret_is_right(harness: Harness, explanation: Explanation) -> None:
    """`client check` says that the stored secret is right; the program gets it."""
    follow_next_step(harness, explanation)
    assert "access_token" in ThirdPartyProgram(harness).refresh().response.json()


# --- the request ----------------------------------------------------------------------------------


def _by_get(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    program = ThirdPartyProgram(harness)
    values = {**program.credentials, "grant_type": "refresh_token"}
    exchange = send_request("GET", program.token_endpoint(), params=values)
    assert exchange.response.status_code == 400
    return f"{exchange.request.url}\n\n{exchange.response.text}"


def _as_json(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    program = ThirdPartyProgram(harness)
    values = {**program.credentials, "grant_type": "refresh_token"}
    return send_request("POST", program.token_endpoint(), json=values).as_curl


def _incomplete(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    exchange = ThirdPartyProgram(harness).refresh(grant_type="")
    assert exchange.response.status_code == 400
    return exchange.as_log


_UNKNOWN, _SECRET, _REQUEST = "client-unknown", "secret-refused", "not-a-token-request"
_send_again = with_corrected_request(lambda program: program.refresh())

SCENARIOS = (
    FailureScenario("client deleted", _deleted, _UNKNOWN, "client-deleted", True, _connect_again),
    FailureScenario(
        "multi-DC off", _disable_data_center, _UNKNOWN, "multi-dc-off", True, _data_center_enabled
    ),
    FailureScenario(
        "multi-DC off, pasted", _data_center_disabled, _UNKNOWN, "multi-dc-off", True, _enable_us
    ),
    FailureScenario(
        "client id with a line end, pasted",
        _changed_refresh(client_id="{}\n"),
        _UNKNOWN,
        "client-id-with-blank",
        True,
        _send_again,
    ),
    FailureScenario(
        "client id mistyped, pasted", _mistyped, _UNKNOWN, "client-id-wrong", True, _send_again
    ),
    FailureScenario(
        "grant_type wrong, pasted",
        _changed_refresh(grant_type="refresh"),
        _UNKNOWN,
        "grant-type-wrong",
        True,
        _send_again,
    ),
    FailureScenario(
        "unknown client of another data center, pasted",
        _unknown_client,
        _UNKNOWN,
        "client-of-other-data-center",
        apply_fix=_request_in_own_data_center,
    ),
    FailureScenario(
        "page of a deleted client, pasted",
        _page_of_a_deleted_client,
        _UNKNOWN,
        "client-deleted",
        apply_fix=_connect_again,
    ),
    FailureScenario(
        "Self Client stored as server-based, page pasted",
        _self_client_as_server_based,
        _UNKNOWN,
        "self-client-in-browser",
        apply_fix=_code_from_the_console,
    ),
    FailureScenario("secret regenerated", _secret_regenerated, _SECRET, "secret-renewed", True),
    FailureScenario(
        "secret regenerated, pasted", _secret_regenerated_pasted, _SECRET, "secret-renewed", True
    ),
    FailureScenario(
        "common secret that is not common",
        _secret_wrongly_common,
        _SECRET,
        "secret-of-other-data-center",
        True,
        _store_secret_of_india,
    ),
    FailureScenario(
        "secret of another data center, pasted",
        _secret_of_another_data_center,
        _SECRET,
        "secret-of-other-data-center",
        True,
        _send_again,
    ),
    FailureScenario(
        "secret with a line end, pasted",
        _changed_refresh(client_secret="{}\n"),
        _SECRET,
        "secret-with-blank",
        True,
        _send_again,
    ),
    FailureScenario(
        "wrong secret, pasted",
        _changed_refresh(client_secret="ab" * 21),
        _SECRET,
        "secret-not-the-stored-one",
        True,
        _stored_secret_is_right,
    ),
    FailureScenario(
        "token address opened, pasted", _by_get, _REQUEST, "token-request-by-get", True, _send_again
    ),
    FailureScenario(
        "parameters as JSON, pasted", _as_json, _REQUEST, "token-request-as-json", True, _send_again
    ),
    FailureScenario(
        "grant_type missing, pasted",
        _incomplete,
        _REQUEST,
        "token-request-incomplete",
        True,
        _send_again,
    ),
)
