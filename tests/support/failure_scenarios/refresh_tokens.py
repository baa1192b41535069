"""Refresh tokens that were revoked, or never worked."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from support.diagnosis import (
    add_verified_connection,
    client_of,
    detect_rejection,
    diagnose,
    revoke_by_other_program,
)
from support.failure_scenarios.scenario import (
    FailureScenario,
    after_user_action,
    assert_works,
    follow_next_step,
    reauthorize,
    with_corrected_request,
)
from support.harness import ANNA, SCOPE, Harness
from support.third_party_program import ThirdPartyProgram
from wizard.model import Client, Connection, Explanation, Failure
from wizard.store import StoreContents

REFUSED = Failure("token-invalid", "INVALID_TOKEN", details={"product": "crm"})
"""The answer of a user whose own program got the error code."""


def change_password(harness: Harness) -> None:
    harness.controls.change_password(ANNA)


def forget_password(harness: Harness) -> None:
    harness.controls.forgot_password(ANNA, remove_tokens=True)


def reset_by_administrator(harness: Harness) -> None:
    harness.controls.reset_password(ANNA, remove_tokens=True)


def deactivate(harness: Harness) -> None:
    harness.controls.deactivate_user(ANNA)


def reactivate(harness: Harness) -> None:
    harness.controls.deactivate_user(ANNA, deactivated=False)


def remove_app(harness: Harness) -> None:
    harness.controls.revoke_app(ANNA, client_of(harness, "crm").client_id)


def remove_both_apps(harness: Harness) -> None:
    """A user removes two apps one after the other."""
    for name in ("crm", "books"):
        harness.controls.revoke_app(ANNA, client_of(harness, name).client_id)


def evict_refresh_token(harness: Harness) -> None:
    harness.controls.evict_refresh_token(ANNA, client_of(harness, "crm").client_id)


def revoke(harness: Harness, *names: str) -> None:
    for name in names or ("crm",):
        grant = harness.services.store.grants.get(name)
        assert grant is not None
        revoke_by_other_program(harness, grant)


def revoke_both(harness: Harness) -> None:
    """A script disconnects both connections of one client."""
    revoke(harness, "crm", "leads")


INVALIDATIONS = (change_password, deactivate, remove_app, evict_refresh_token, revoke)

CAUSES = {
    change_password: "password-changed",
    deactivate: "user-deactivated",
    remove_app: "app-removed",
    evict_refresh_token: "refresh-token-evicted",
    revoke: "token-revoked-elsewhere",
}


def rejected_refresh_token(
    invalidate: Callable[[Harness], None],
    other_connections: Sequence[str] = (),
    *,
    same_client: Sequence[str] = (),
    detected: Sequence[str] = ("crm",),
) -> Callable[[Harness], None]:
    """``crm`` is rejected; there are connections of other clients, and newer ones of its own
    client."""

    def produce(harness: Harness) -> None:
        for name in other_connections:
            add_verified_connection(harness, name)
        add_verified_connection(harness, "crm")
        for name in same_client:
            add_verified_connection(harness, name, client_of(harness, "crm"))
        invalidate(harness)
        detect_rejection(harness, *detected)

    return produce


def _newest_rejected(harness: Harness) -> None:
    older = add_verified_connection(harness, "leads")
    add_verified_connection(harness, "crm", client_of(harness, older.connection))
    revoke(harness)
    detect_rejection(harness, "crm")


def _access_token_rejected(invalidate: Callable[[Harness], None]) -> Callable[[Harness], Failure]:
    """The rejection is undetected: a program's access token was rejected."""

    def produce(harness: Harness) -> Failure:
        add_verified_connection(harness, "books")
        add_verified_connection(harness, "crm")
        invalidate(harness)
        return REFUSED

    return produce


# --- tokens in the wrong place --------------------------------------------------------------------


def import_refresh_token(
    harness: Harness, name: str, client: Client, refresh_token: str, location: str = "eu"
) -> None:
    """A connection with a refresh token from elsewhere, as from a restored backup; its first
    refresh was rejected."""
    connection = Connection(name, client.client_id, SCOPE, location, generation=1)
    grant = harness.services.store.grants.get("first")
    assert grant is not None
    wrong = replace(
        grant,
        connection=name,
        client_id=client.client_id,
        refresh_token=refresh_token,
        location=location,
    )
    harness.services.store.transfers.import_contents(
        StoreContents((client,), (connection,), (wrong,))
    )
    harness.advance(minutes=1)
    detect_rejection(harness, name)


def _access_token_imported(harness: Harness) -> None:
    add_verified_connection(harness, "first")
    token = harness.services.tokens.access_token("first").value
    import_refresh_token(harness, "crm", client_of(harness, "first"), token)


def _from_another_client(harness: Harness) -> None:
    grant = add_verified_connection(harness, "first")
    import_refresh_token(harness, "crm", harness.register_client("Another"), grant.refresh_token)


def _from_another_data_center(harness: Harness) -> None:
    grant = add_verified_connection(harness, "first")
    client = client_of(harness, "first")
    secret = harness.controls.enable_data_center(client.client_id, "us")
    harness.services.store.clients.set_secret(client.client_id, "us", secret)
    client = harness.services.store.clients.get(client.client_id)
    import_refresh_token(harness, "crm", client, grant.refresh_token, "us")


def _access_token_refreshed(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    program = ThirdPartyProgram(harness)
    return program.refresh(refresh_token=program.access_token).as_log


def _refreshed_with_another_client(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    other = harness.register_client("Another")
    values = {"client_id": other.client_id, "client_secret": other.secrets[0].value}
    return ThirdPartyProgram(harness).refresh(**values).as_curl


def _refreshed_in_another_data_center(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    harness.controls.enable_data_center(
        client_of(harness, "crm").client_id, "us", same_credentials=True
    )
    return ThirdPartyProgram(harness).refresh("us").as_log


def _refreshed_after_a_change_of_password(harness: Harness) -> str:
    add_verified_connection(harness, "crm")
    change_password(harness)
    return ThirdPartyProgram(harness).refresh().as_log


# --- the table ------------------------------------------------------------------------------------

_CLASS = "refresh-token-refused"
_send_again = with_corrected_request(lambda program: program.refresh())


def _keep_data_center(harness: Harness, _explanation: Explanation) -> None:
    """The new consent comes from a different data center, which needs confirmation."""
    harness.advance(minutes=11)
    reauthorize(harness, "crm")
    waiting = diagnose(harness)
    assert waiting.code == "account-moved"
    harness.services.authorization.accept("crm", 2)
    assert_works(harness)


def _fix_for(invalidate: Callable[[Harness], None]) -> Callable[..., None]:
    return after_user_action(reactivate) if invalidate is deactivate else follow_next_step


SCENARIOS = (
    *(
        FailureScenario(
            f"{CAUSES[death]}, only client",
            rejected_refresh_token(death),
            _CLASS,
            CAUSES[death],
            apply_fix=_fix_for(death),
        )
        for death in INVALIDATIONS
    ),
    *(
        FailureScenario(
            f"{CAUSES[death]}, with another client",
            rejected_refresh_token(death, ["books"]),
            _CLASS,
            CAUSES[death],
            apply_fix=_fix_for(death),
        )
        for death in INVALIDATIONS
    ),
    *(
        FailureScenario(
            f"{CAUSES[death]}, found in a product",
            _access_token_rejected(death),
            _CLASS,
            CAUSES[death],
            apply_fix=_fix_for(death),
            is_slow=True,
        )
        for death in INVALIDATIONS
    ),
    *(
        FailureScenario(
            f"{CAUSES[death]}, three clients at once",
            rejected_refresh_token(death, ["books", "desk"], detected=["crm", "books", "desk"]),
            _CLASS,
            CAUSES[death],
            apply_fix=_fix_for(death),
            is_slow=True,
        )
        for death in (change_password, deactivate)
    ),
    FailureScenario(
        "two apps removed one by one",
        rejected_refresh_token(remove_both_apps, ["books"], detected=["crm", "books"]),
        _CLASS,
        "app-removed",
    ),
    FailureScenario(
        "app removed, its two rejected, another client works",
        rejected_refresh_token(
            remove_app, ["books"], same_client=["leads"], detected=["crm", "leads"]
        ),
        _CLASS,
        "app-removed",
        is_slow=True,
    ),
    FailureScenario(
        "two of a client revoked one by one, another client works",
        rejected_refresh_token(
            revoke_both, ["books"], same_client=["leads"], detected=["crm", "leads"]
        ),
        _CLASS,
        "token-revoked-elsewhere",
        is_slow=True,
    ),
    FailureScenario(
        "app removed, its three rejected, another client works",
        rejected_refresh_token(
            remove_app, ["books"], same_client=["leads", "sync"], detected=["crm", "leads", "sync"]
        ),
        _CLASS,
        "app-removed",
        is_decided=True,
    ),
    FailureScenario(
        "revoked, an older one works", _newest_rejected, _CLASS, "token-revoked-elsewhere", True
    ),
    FailureScenario(
        "evicted, newer ones work",
        rejected_refresh_token(evict_refresh_token, same_client=["leads"]),
        _CLASS,
        "refresh-token-evicted",
    ),
    FailureScenario(
        "access token in its place",
        _access_token_imported,
        _CLASS,
        "access-token-in-its-place",
        True,
    ),
    FailureScenario(
        "token of another client", _from_another_client, _CLASS, "token-of-other-client"
    ),
    FailureScenario(
        "token of another data center",
        _from_another_data_center,
        _CLASS,
        "token-of-other-data-center",
        apply_fix=_keep_data_center,
    ),
    FailureScenario(
        "access token in its place, pasted",
        _access_token_refreshed,
        _CLASS,
        "access-token-in-its-place",
        True,
        _send_again,
    ),
    FailureScenario(
        "token of another client, pasted",
        _refreshed_with_another_client,
        _CLASS,
        "token-of-other-client",
        True,
        _send_again,
    ),
    FailureScenario(
        "token of another data center, pasted",
        _refreshed_in_another_data_center,
        _CLASS,
        "token-of-other-data-center",
        True,
        _send_again,
    ),
    FailureScenario(
        "password-changed, pasted",
        _refreshed_after_a_change_of_password,
        _CLASS,
        "password-changed",
    ),
)
