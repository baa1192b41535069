"""A further task for a connection that is there: the same one, wider scopes, one consent."""

from dataclasses import dataclass

from flask import Blueprint, request
from werkzeug.wrappers import Response

from wizard.model import Client, GrantState
from wizard.web import consent
from wizard.web.rooms import house
from wizard.zoho import covers, parse_scope

pages = Blueprint("widening", __name__)


@dataclass(frozen=True)
class Offer:
    """A connection that the task could be added to."""

    name: str
    email: str
    used: int
    """Refresh tokens of that person and the client that live, as far as is known here."""


@pages.post("/widen")
def widen() -> Response:
    """Ask for more with the next consent. What is stored stays as it is until that is proved."""
    scope = parse_scope(request.form.get("scope", ""))
    return consent.begin(request.form.get("name", ""), scope=scope)


def offers(client: Client | None, scope: tuple[str, ...], location: str | None) -> list[Offer]:
    """The proved connections of `client` that may not do all of `scope` yet; in the data centre
    `location`, where one is wished for."""
    if client is None:
        return []
    store, broker = house().store, house().broker
    found = []
    for connection in store.connections():
        grant = store.grant(connection.name)
        mine = connection.client_id == client.client_id and covers(connection.scope, scope)
        proved = grant and grant.state is GrantState.PROVED and location in (None, grant.location)
        if mine and proved and grant and grant.account:
            used = broker.ledger(connection.name).refresh_tokens
            found.append(Offer(connection.name, grant.account.email, used))
    return found
