"""A self client's "Generate Code": a code for one's own data, made in the console."""

from wizard.simulator.grants import AuthorizationCode, Permission
from wizard.simulator.world import World


def generate_code(
    world: World, permission: Permission, lifetime_seconds: int | None = None
) -> AuthorizationCode | None:
    """Return a code that lives `life` seconds (default: the setting's three minutes) and always
    brings a refresh token; None where the client has had its codes for this window."""
    settings = world.settings
    limit, period = settings.code_limit, settings.code_period_seconds
    if not world.rate_limits.take(("code", permission.client_id), limit, period, world.clock()):
        return None
    return world.grants.issue_code(
        permission,
        redirect_uri=None,
        issues_refresh_token=True,
        lifetime_seconds=settings.self_client_code_lifetime_seconds
        if lifetime_seconds is None
        else lifetime_seconds,
    )
