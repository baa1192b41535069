"""Access tokens that a product rejected although the connection works."""

from support.diagnosis import add_verified_connection, refresh_by_other_program
from support.failure_scenarios.refresh_tokens import REFUSED
from support.failure_scenarios.scenario import (
    FailureScenario,
    follow_next_step,
    with_corrected_request,
)
from support.harness import ANNA, Harness
from support.third_party_program import LoggedExchange, ThirdPartyProgram, send_request
from wizard.model import Failure


def _evicted_by_others(harness: Harness) -> Failure:
    grant = add_verified_connection(harness, "crm")
    for _ in range(10):
        harness.advance(minutes=2)
        refresh_by_other_program(harness, grant)
    return REFUSED


def _evicted_by_wizard(harness: Harness) -> Failure:
    add_verified_connection(harness, "crm")
    for _ in range(11):
        harness.advance(minutes=4)
        harness.services.tokens.access_token("crm", force_refresh=True)
    return REFUSED


def _clock_behind(harness: Harness) -> Failure:
    add_verified_connection(harness, "crm")
    harness.controls.inject_fault("clock-skew", endpoint="oauth/user/info", seconds=3000)
    return REFUSED


def _used_wrongly(harness: Harness) -> Failure:
    add_verified_connection(harness, "crm")
    assert ThirdPartyProgram(harness).read_crm(location="us").response.status_code == 401
    return REFUSED


def _expired(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    program = ThirdPartyProgram(harness)
    token = program.access_token
    harness.advance(minutes=61)
    return failed_exchange(program.read_crm(token)).as_log


def _elsewhere(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    return failed_exchange(ThirdPartyProgram(harness).read_crm(location="us")).as_curl


def _refresh_token_sent(harness: Harness) -> str:
    program = ThirdPartyProgram(harness)
    return failed_exchange(
        program.read_crm(add_verified_connection(harness, "crm").refresh_token)
    ).as_log


def _truncated(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    program = ThirdPartyProgram(harness)
    return failed_exchange(program.read_crm(program.access_token[:40])).as_log


def _quoted(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    return failed_exchange(ThirdPartyProgram(harness).read_crm(scheme='"{}"')).as_log


def _id_sent(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    program = ThirdPartyProgram(harness)
    return failed_exchange(program.read_crm(program.credentials["client_id"])).as_curl


def failed_exchange(exchange: LoggedExchange) -> LoggedExchange:
    """An exchange that wasn't successful."""
    assert not exchange.response.ok, exchange.response.text
    return exchange


SCOPE = "ZohoCliq.Webhooks.CREATE"


def _posted(harness: Harness, token: str) -> LoggedExchange:
    base = harness.services.zoho.data_center("eu").base_url_of("cliq")
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}
    address = f"{base}/api/v2/channelsbyname/general/message"
    return send_request("POST", address, json={"text": "Hello"}, headers=headers)


def _without_a_user(harness: Harness) -> str:
    """A self client's token, requested with only id and secret, writes to a channel."""
    add_verified_connection(harness, "crm")
    made = harness.controls.register_client(ANNA, [], name="Script", kind="self-client")
    values = {
        "grant_type": "client_credentials",
        "client_id": made["client_id"],
        "client_secret": made["secrets"]["eu"],
        "scope": SCOPE,
    }
    given = send_request("POST", ThirdPartyProgram(harness).token_endpoint(), data=values)
    answer = failed_exchange(_posted(harness, given.response.json()["access_token"]))
    return given.as_log + "\n\n" + answer.as_log


def _with_a_user(harness: Harness, _explanation: object) -> None:
    harness.services.store.connections.set_scope(
        "crm", (*harness.services.store.connections.get("crm").scope, SCOPE)
    )
    done = harness.authorize("crm")
    assert done.generation is not None
    harness.verify("crm", done.generation)
    assert _posted(harness, ThirdPartyProgram(harness).access_token).response.ok


_CLASS = "access-token-refused"
_send_again = with_corrected_request(lambda program: program.read_crm())

SCENARIOS = (
    FailureScenario(
        "token evicted by others", _evicted_by_others, _CLASS, "access-token-evicted", True
    ),
    FailureScenario(
        "token evicted by the wizard",
        _evicted_by_wizard,
        _CLASS,
        "access-token-evicted",
        True,
    ),
    FailureScenario("clock behind", _clock_behind, _CLASS, "clock-skew"),
    FailureScenario(
        "token used in another data center, answered",
        _used_wrongly,
        _CLASS,
        "access-token-of-other-data-center",
        apply_fix=follow_next_step,
    ),
    FailureScenario("token expired, pasted", _expired, _CLASS, "access-token-expired", True),
    FailureScenario(
        "token used in another data center, pasted",
        _elsewhere,
        _CLASS,
        "access-token-of-other-data-center",
        True,
        _send_again,
    ),
    FailureScenario(
        "refresh token in its place, pasted",
        _refresh_token_sent,
        _CLASS,
        "refresh-token-in-its-place",
        True,
        _send_again,
    ),
    FailureScenario(
        "token truncated, pasted", _truncated, _CLASS, "token-truncated", True, _send_again
    ),
    FailureScenario("token quoted, pasted", _quoted, _CLASS, "token-quoted", True, _send_again),
    FailureScenario(
        "client id in its place, pasted", _id_sent, _CLASS, "id-in-its-place", True, _send_again
    ),
    FailureScenario(
        "token of a self client, pasted",
        _without_a_user,
        "scope-refused",
        "client-credentials-token",
        True,
        _with_a_user,
    ),
)
