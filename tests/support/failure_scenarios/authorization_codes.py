"""Consents and codes that failed."""

from collections.abc import Callable
from urllib.parse import quote

from support.diagnosis import add_verified_connection, client_of, exchange_by_other_program
from support.failure_scenarios.clients import attempt_failure, authorization_page
from support.failure_scenarios.scenario import FailureScenario, after_user_action, assert_works
from support.harness import ANNA, Harness
from support.third_party_program import (
    LoggedExchange,
    ThirdPartyProgram,
    code_from,
    without_parameters,
)
from wizard.authorization import StartedAttempt
from wizard.model import Explanation, Failure

EMIL = "emil@zylker.example"


def _changed_callback(change: str) -> Callable[[Harness], Failure | None]:
    def produce(harness: Harness) -> Failure | None:
        harness.add_connection("crm")
        begun = harness.services.authorization.begin("crm")
        callback = harness.give_consent(begun)
        if change == "used":
            exchange_by_other_program(harness, "crm", callback, begun.attempt.code_verifier)
        harness.advance(minutes=3)
        harness.complete_authorization(begun, callback)
        return attempt_failure(harness)

    return produce


# --- another program exchanges a code -------------------------------------------------------------


def _consent(harness: Harness) -> tuple[ThirdPartyProgram, StartedAttempt, str]:
    """A user accepts the consent of a program; nobody has exchanged the code yet."""
    harness.add_connection("crm")
    begun = harness.services.authorization.begin("crm")
    return ThirdPartyProgram(harness), begun, harness.give_consent(begun)


def join_log(*parts: str | LoggedExchange) -> str:
    """Join the logs of consecutive exchanges."""
    return "\n\n".join(each if isinstance(each, str) else each.as_log for each in parts)


def _with_query(harness: Harness) -> str:
    program, begun, callback = _consent(harness)
    pasted = callback.partition("code=")[2]
    return program.exchange(pasted, begun).as_curl


def _in_another_data_center(harness: Harness) -> str:
    program, begun, callback = _consent(harness)
    harness.controls.enable_data_center(
        client_of(harness, "crm").client_id, "us", same_credentials=True
    )
    exchange = program.exchange(code_from(callback), begun, "us")
    return join_log(f"GET {callback}", exchange)


def _with_another_client(harness: Harness) -> str:
    program, begun, callback = _consent(harness)
    other = harness.register_client("Another")
    values = {"client_id": other.client_id, "client_secret": other.secrets[0].value}
    return join_log(f"opened {begun.url}", program.exchange(code_from(callback), begun, **values))


def _without_verifier(harness: Harness) -> str:
    program, begun, callback = _consent(harness)
    return join_log(
        f"opened {begun.url}", program.exchange(code_from(callback), begun, code_verifier="")
    )


def _with_wrong_verifier(harness: Harness) -> str:
    program, begun, callback = _consent(harness)
    exchange = program.exchange(code_from(callback), begun, code_verifier="w" * 64)
    return join_log(f"opened {begun.url}", exchange)


def _late_without_pkce(harness: Harness) -> str:
    """Most programs use no verifier; a missing one says nothing."""
    harness.add_connection("crm")
    begun = harness.services.authorization.begin("crm")
    address = without_parameters(begun.url, "code_challenge", "code_challenge_method")
    code = code_from(str(harness.controls.authorize(address, ANNA)))
    harness.advance(minutes=3)
    return ThirdPartyProgram(harness).exchange(code, begun, code_verifier="").as_log


def _used_twice(harness: Harness) -> str:
    program, begun, callback = _consent(harness)
    code = code_from(callback)
    first = program.exchange(code, begun)
    return join_log(first, program.exchange(code, begun))


def _used_before(harness: Harness) -> str:
    """As above, but no log has the first exchange."""
    program, begun, callback = _consent(harness)
    program.exchange(code_from(callback), begun)
    return program.exchange(code_from(callback), begun).as_log


def _exchange_correctly(harness: Harness, _explanation: Explanation) -> None:
    """Repeat the consent, and exchange its code once, at once, with the right parameters."""
    begun = harness.services.authorization.begin("crm")
    exchange = ThirdPartyProgram(harness).exchange(code_from(harness.give_consent(begun)), begun)
    assert "refresh_token" in exchange.response.json()


# --- the redirect URI -----------------------------------------------------------------------------

DIFFERENCES = {
    "slash": ("/callback", "/callback/"),
    "path": ("/callback", "/oauth/callback"),
    "port": ("localhost:", "localhost:1"),
    "scheme": ("http://", "https://"),
    "loopback name": ("localhost", "127.0.0.1"),
    "host": ("localhost", "example.com"),
}


def _redirect_uri(
    right: str, wrong: str, *, on_zoho_page: bool = False
) -> Callable[[Harness], str]:
    def produce(harness: Harness) -> str:
        program, begun, callback = _consent(harness)
        sent = begun.attempt.redirect_uri.replace(right, wrong)
        if on_zoho_page:
            address = begun.url.replace(quote(begun.attempt.redirect_uri, ""), quote(sent, ""))
            assert address != begun.url
            return authorization_page(harness, address)
        return program.exchange(code_from(callback), begun, redirect_uri=sent).as_log

    return produce


def _never_registered(harness: Harness) -> str:
    """The client was registered with another redirect URI, but stored."""
    made = harness.controls.register_client(ANNA, ["http://localhost:1/"], name="Zylker")
    text = f"{made['client_id']}\n{made['secrets']['eu']}"
    uri = harness.services.settings.redirect_uri
    harness.add_connection(
        "crm", harness.services.clients.register(text, name="Zylker", redirect_uri=uri)
    )
    return authorization_page(harness, harness.services.authorization.begin("crm").url)


def _added_in_the_console(harness: Harness) -> None:
    client = harness.simulator.world.clients.get(client_of(harness, "crm").client_id)
    client.redirect_uris.append(harness.services.settings.redirect_uri)


def _ten_minutes(harness: Harness) -> None:
    harness.advance(minutes=11)


def _repeat(harness: Harness, _explanation: Explanation) -> None:
    """Repeat the consent once the redirect URI is right."""
    done = harness.authorize("crm")
    assert done.generation is not None, done.failure
    harness.verify("crm", done.generation)
    assert_works(harness)


# --- the callback ---------------------------------------------------------------------------------


def _error_callback(error: str) -> Callable[[Harness], Failure | None]:
    """The browser comes back with an error, as Zoho's pages send it."""

    def produce(harness: Harness) -> Failure | None:
        harness.add_connection("crm")
        _come_back(harness, error)
        return attempt_failure(harness)

    return produce


def _come_back(harness: Harness, error: str) -> None:
    begun = harness.services.authorization.begin("crm")
    answer = [("error", error), ("state", begun.attempt.oauth_state)]
    harness.services.authorization.complete(answer, {begun.cookie_name: begun.cookie_value})


def _code_limit_reached_by_others(harness: Harness) -> Failure | None:
    """Another program has used up the codes that Zoho issues for the client."""
    harness.add_connection("crm")
    begun = harness.services.authorization.begin("crm")
    for _ in range(10):
        harness.controls.authorize(begun.url, ANNA)
    harness.complete_authorization(begun, harness.give_consent(begun))
    return attempt_failure(harness)


def _code_limit_page(harness: Harness) -> str:
    harness.controls.change_settings(code_limit_response="page")
    harness.add_connection("crm")
    begun = harness.services.authorization.begin("crm")
    for _ in range(10):
        harness.controls.authorize(begun.url, ANNA)
    return authorization_page(harness, without_parameters(begun.url, "prompt"))


def _without_organization(harness: Harness) -> Failure | None:
    harness.add_connection("crm")
    return _accepted_by_emil(harness)


def _different_user(harness: Harness) -> Failure | None:
    """The browser is signed in as a user without an account in the product."""
    add_verified_connection(harness, "crm")
    return _accepted_by_emil(harness)


def _accepted_by_emil(harness: Harness) -> Failure | None:
    """He has an account at Zoho, but none in CRM."""
    name = {"first_name": "Emil", "last_name": "Ek"}
    harness.controls.add_user(EMIL, location="eu", password="made up", **name)
    begun = harness.services.authorization.begin("crm")
    harness.complete_authorization(begun, harness.give_consent(begun, EMIL))
    return attempt_failure(harness)


def _asked_for_online(*omitted: str) -> Callable[[Harness], str]:
    """A program sends a request without `left_out`, and gets no refresh token."""

    def produce(harness: Harness) -> str:
        add_verified_connection(harness, "crm")
        program, begun = ThirdPartyProgram(harness), harness.services.authorization.begin("crm")
        address = without_parameters(begun.url, *omitted)
        exchange = program.exchange(
            code_from(str(harness.controls.authorize(address, ANNA))), begun
        )
        assert "refresh_token" not in exchange.response.json()
        return join_log(f"opened {address}", exchange)

    return produce


def _response_only(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    program, begun = ThirdPartyProgram(harness), harness.services.authorization.begin("crm")
    address = without_parameters(begun.url, "prompt")
    return program.exchange(
        code_from(str(harness.controls.authorize(address, ANNA))), begun
    ).response.text


_CODE, _URI, _NONE = "code-refused", "redirect-uri-refused", "no-refresh-token-given"
_TWO = "code-or-refresh-token-refused"

SCENARIOS = (
    FailureScenario("code too late", _changed_callback("late"), _CODE, "code-expired"),
    FailureScenario("code used", _changed_callback("used"), _CODE, "code-used"),
    FailureScenario(
        "code with the query", _with_query, _CODE, "code-with-query", True, _exchange_correctly
    ),
    FailureScenario(
        "code of another data center",
        _in_another_data_center,
        _CODE,
        "code-of-other-data-center",
        True,
        _exchange_correctly,
    ),
    FailureScenario(
        "code of another client",
        _with_another_client,
        _CODE,
        "code-of-other-client",
        True,
        _exchange_correctly,
    ),
    FailureScenario(
        "verifier missing", _without_verifier, _CODE, "verifier-missing", True, _exchange_correctly
    ),
    FailureScenario(
        "verifier wrong", _with_wrong_verifier, _CODE, "verifier-missing", True, _exchange_correctly
    ),
    FailureScenario(
        "code too late, without PKCE",
        _late_without_pkce,
        _CODE,
        "code-expired",
        apply_fix=_exchange_correctly,
    ),
    FailureScenario(
        "code sent twice", _used_twice, _CODE, "code-used", apply_fix=_exchange_correctly
    ),
    FailureScenario(
        "code used before", _used_before, _CODE, "code-used", apply_fix=_exchange_correctly
    ),
    *(
        FailureScenario(
            f"redirect URI differs: {part}",
            _redirect_uri(*change),
            _URI,
            "redirect-uri-differs",
            True,
            _exchange_correctly,
        )
        for part, change in DIFFERENCES.items()
    ),
    FailureScenario(
        "redirect URI differs, page pasted",
        _redirect_uri(*DIFFERENCES["slash"], on_zoho_page=True),
        _URI,
        "redirect-uri-differs",
        True,
        _repeat,
    ),
    FailureScenario(
        "redirect URI never registered, page pasted",
        _never_registered,
        _URI,
        "redirect-uri-unregistered",
        True,
        after_user_action(_added_in_the_console, _repeat),
    ),
    FailureScenario(
        "rejected", _error_callback("access_denied"), "consent-refused", "consent-rejected"
    ),
    FailureScenario(
        "codes used up by others", _code_limit_reached_by_others, "consent-refused", "codes-used-up"
    ),
    FailureScenario(
        "codes used up, page pasted",
        _code_limit_page,
        "consents-used-up",
        "codes-used-up",
        apply_fix=after_user_action(_ten_minutes, _repeat),
    ),
    FailureScenario(
        "no organization", _without_organization, "no-organization-there", "product-not-set-up"
    ),
    FailureScenario(
        "different user signed in",
        _different_user,
        "no-organization-there",
        "wrong-person-signed-in",
    ),
    FailureScenario(
        "access_type left out, pasted",
        _asked_for_online("access_type", "prompt"),
        _NONE,
        "access-type-online",
        True,
        _exchange_correctly,
    ),
    FailureScenario(
        "prompt left out, pasted",
        _asked_for_online("prompt"),
        _NONE,
        "consent-not-shown",
        True,
        _exchange_correctly,
    ),
    FailureScenario(
        "no refresh token, only the response",
        _response_only,
        _NONE,
        "consent-not-shown",
        apply_fix=_exchange_correctly,
    ),
)
