"""Redirects to Zoho's consent page, for the scopes of a connection or for more."""

from dataclasses import dataclass

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from wizard.authorization import ATTEMPT_LIFETIME
from wizard.model import Client, GrantState
from wizard.web.context import get_services
from wizard.web.guard import CALLBACK_PATH
from wizard.zoho import missing_scopes, parse_scope


def begin_authorization(
    name: str, *, ignore_budget: bool = False, additional_scope: tuple[str, ...] = ()
) -> Response:
    """Begin an authorization of connection `name` and redirect this browser to Zoho.

    `additional_scope` is requested in addition to the connection's scopes. The cookie holds only a
    random value, which binds the attempt to this browser. Raises what `AuthorizationService.begin`
    raises.
    """
    attempt = get_services().authorization.begin(
        name, force=ignore_budget, additional_scope=additional_scope
    )
    response = redirect(attempt.url, 303)
    response.set_cookie(
        attempt.cookie_name,
        attempt.cookie_value,
        max_age=ATTEMPT_LIFETIME,
        path=CALLBACK_PATH,
        httponly=True,
        # A Strict cookie isn't sent with the redirect from Zoho.
        samesite="Lax",
    )
    return response


pages = Blueprint("consent", __name__)


@dataclass(frozen=True)
class ExtendableConnection:
    """A connection that scopes can be added to."""

    name: str
    email: str
    refresh_token_count: int
    """Known working refresh tokens of this user and client."""


@pages.post("/extend-scope")
def extend_scope() -> Response:
    """Request more scopes. The current grant is kept until the new one is verified."""
    scope = parse_scope(request.form.get("scope", ""))
    return begin_authorization(request.form.get("name", ""), additional_scope=scope)


def extendable_connections(
    client: Client | None, scope: tuple[str, ...], location: str | None
) -> list[ExtendableConnection]:
    """The verified connections of `client` that lack part of `scope`; only those in data center
    `location` if it is given."""
    if client is None:
        return []
    store, request_log = get_services().store, get_services().request_log
    extendable = []
    for connection in store.connections.all():
        grant = store.grants.get(connection.name)
        lacks_scope = connection.client_id == client.client_id and missing_scopes(
            connection.scope, scope
        )
        is_verified = (
            grant and grant.state is GrantState.VERIFIED and location in (None, grant.location)
        )
        if lacks_scope and is_verified and grant and grant.account:
            refresh_token_count = request_log.view(connection.name).refresh_token_count
            extendable.append(
                ExtendableConnection(connection.name, grant.account.email, refresh_token_count)
            )
    return extendable
