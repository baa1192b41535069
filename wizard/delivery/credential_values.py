"""What programs can be told about a grant: the values that profiles fill their fields with."""

from wizard.errors import fail
from wizard.model import Client, Grant, GrantState
from wizard.zoho import DataCenter

SECRET_NAMES = ("client_secret", "refresh_token")
"""The facts that are never shown, and masked in what commands say."""


def credential_values(
    grant: Grant,
    client: Client,
    secret: str,
    data_center: DataCenter,
    *,
    entry: str = "",
    data_center_name: str = "",
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
        "data_center": data_center_name or data_center.domain_suffix,
        "accounts_server": data_center.accounts_server,
        "authorization_endpoint": data_center.authorization_endpoint,
        "token_endpoint": data_center.token_endpoint,
        "api_domain": data_center.api_domain,
        "organization_id": organization.id if organization else "",
        "environment": (organization.environment if organization else "") or "Production",
        "entry": entry,
    }


def usable(grant: Grant) -> Grant:
    """`grant` where it can be delivered; raises ``grant-dead`` or ``grant-revoked``."""
    if grant.state in (GrantState.NEEDS_REAUTHORIZATION, GrantState.REVOKED):
        code = "grant-dead" if grant.state is GrantState.NEEDS_REAUTHORIZATION else "grant-revoked"
        raise fail(code, name=grant.connection)
    return grant
