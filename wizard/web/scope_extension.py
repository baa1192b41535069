"""A further task for a connection that is there: the same one, wider scopes, one consent."""

from dataclasses import dataclass

from flask import Blueprint, request
from werkzeug.wrappers import Response

from wizard.model import Client, GrantState
from wizard.web import consent
from wizard.web.context import get_services
from wizard.zoho import missing_scopes, parse_scope

pages = Blueprint("scope_extension", __name__)


@dataclass(frozen=True)
class ExtendableConnection:
    """A connection that the task could be added to."""

    name: str
    email: str
    refresh_token_count: int
    """Refresh tokens of that person and the client that live, as far as is known here."""


@pages.post("/extend-scope")
def extend_scope() -> Response:
    """Ask for more with the next consent. What is stored stays as it is until that is proved."""
    scope = parse_scope(request.form.get("scope", ""))
    return consent.begin_authorization(request.form.get("name", ""), additional_scope=scope)


def extendable_connections(
    client: Client | None, scope: tuple[str, ...], location: str | None
) -> list[ExtendableConnection]:
    """The proved connections of `client` that may not do all of `scope` yet; in the data centre
    `location`, where one is wished for."""
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
