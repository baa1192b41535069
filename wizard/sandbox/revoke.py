"""The two documented ways to revoke a token."""

from wizard.sandbox.grants import AccessToken, RefreshToken
from wizard.sandbox.token import Answer, wrong_secret
from wizard.sandbox.world import World

SUCCESS = Answer({"status": "success"})
REFUSED = Answer(None, 400)


def without_client(world: World, location: str, token: str) -> Answer:
    """Carry out `POST /oauth/v2/token/revoke`, the older form: whoever has a token may end it."""
    found = _find(world, location, token)
    if found is None:
        return REFUSED
    world.grants.end(found, "revoked")
    return SUCCESS


def with_client(
    world: World, location: str, token: str, token_type: str, credentials: tuple[str, str]
) -> Answer:
    """Carry out `POST /oauth/v2/revoke/token`, the newer form.

    `credentials` are client id and secret from Basic authorization. Refused are a token that is
    not alive, not of `token_type` (`refresh_token` or `access_token`), or another client's.
    """
    client = world.clients.known(credentials[0], location)
    if client is None or wrong_secret(world, client, location, credentials[1]):
        return REFUSED
    found = _find(world, location, token)
    kind = {"refresh_token": RefreshToken, "access_token": AccessToken}.get(token_type)
    if found is None or kind is None or not isinstance(found, kind):
        return REFUSED
    if found.permission.client_id != client.client_id:
        return REFUSED
    world.grants.end(found, "revoked")
    return SUCCESS


def _find(world: World, location: str, value: str) -> RefreshToken | AccessToken | None:
    refresh = world.grants.refresh_tokens.get(value)
    if refresh and not refresh.ended and refresh.permission.location == location:
        return refresh
    return world.access_token(value, location)
