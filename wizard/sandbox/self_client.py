"""A self client's "Generate Code": a code for one's own data, made in the console."""

from wizard.sandbox.grants import Code, Permission
from wizard.sandbox.world import World


def generate_code(world: World, permission: Permission, life: int | None = None) -> Code | None:
    """Return a code that lives `life` seconds (default: the setting's three minutes) and always
    brings a refresh token; None where the client has had its codes for this window."""
    settings = world.settings
    limit, period = settings.codes_per_client, settings.codes_period
    if not world.limits.take(("code", permission.client_id), limit, period, world.clock()):
        return None
    return world.grants.issue_code(
        permission,
        redirect_uri=None,
        refresh_token=True,
        life=settings.self_client_code_life if life is None else life,
    )
