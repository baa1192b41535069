"""The two documented ways to revoke a token."""

from wizard.simulator.grants import AccessToken, RefreshToken
from wizard.simulator.token_endpoint import AccountsResponse, client_secret_error
from wizard.simulator.world import World

SUCCESS = AccountsResponse({"status": "success"})
BAD_REQUEST = AccountsResponse(None, 400)


def revoke_without_client(world: World, location: str, token: str) -> AccountsResponse:
    """Carry out `POST /oauth/v2/token/revoke`, the older form: whoever has a token may end it."""
    found = _find(world, location, token)
    if found is None:
        return BAD_REQUEST
    world.grants.invalidate(found, "revoked")
    return SUCCESS


def revoke_with_client(
    world: World, location: str, token: str, token_type: str, credentials: tuple[str, str]
) -> AccountsResponse:
    """Carry out `POST /oauth/v2/revoke/token`, the newer form.

    `credentials` are client id and secret from Basic authorization. Refused are a token that is
    not alive, not of `token_type` (`refresh_token` or `access_token`), or another client's.
    """
    client = world.clients.find(credentials[0], location)
    if client is None or client_secret_error(world, client, location, credentials[1]):
        return BAD_REQUEST
    found = _find(world, location, token)
    kind = {"refresh_token": RefreshToken, "access_token": AccessToken}.get(token_type)
    if found is None or kind is None or not isinstance(found, kind):
        return BAD_REQUEST
    if found.permission.client_id != client.client_id:
        return BAD_REQUEST
    world.grants.invalidate(found, "revoked")
    return SUCCESS


def _find(world: World, location: str, value: str) -> RefreshToken | AccessToken | None:
    refresh = world.grants.refresh_tokens.get(value)
    if refresh and not refresh.invalidation_reason and refresh.permission.location == location:
        return refresh
    return world.access_token(value, location)
