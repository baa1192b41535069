"""What programs can be told about a grant: the values that profiles fill their fields with."""

from wizard.errors import fail
from wizard.model import Client, Grant, GrantState
from wizard.zoho import DataCentre

SECRET = ("client_secret", "refresh_token")
"""The facts that are never shown, and masked in what commands say."""


def facts_of(
    grant: Grant,
    client: Client,
    secret: str,
    data_centre: DataCentre,
    *,
    entry: str = "",
    spelling: str = "",
) -> dict[str, str]:
    """Everything a profile may ask for, by name; unknown facts are empty. Holds secrets.

    `spelling` is the program's own word for the data centre; most take the end of Zoho's names
    (``com``, ``eu``, ``com.au``).
    """
    organization = next(iter(grant.organizations), None)
    return {
        "client_id": client.client_id,
        "client_secret": secret,
        "refresh_token": grant.refresh_token,
        "redirect_uri": client.redirect_uri,
        "scope": ",".join(grant.scope),
        "location": grant.location,
        "data_centre": spelling or data_centre.suffix,
        "accounts_server": data_centre.accounts_server,
        "authorization_endpoint": data_centre.authorization_endpoint,
        "token_endpoint": data_centre.token_endpoint,
        "api_domain": data_centre.api_domain,
        "organization_id": organization.id if organization else "",
        "environment": (organization.environment if organization else "") or "Production",
        "entry": entry,
    }


def usable(grant: Grant) -> Grant:
    """`grant` where it can be delivered; raises ``grant-dead`` or ``grant-revoked``."""
    if grant.state in (GrantState.DEAD, GrantState.REVOKED):
        code = "grant-dead" if grant.state is GrantState.DEAD else "grant-revoked"
        raise fail(code, name=grant.connection)
    return grant
