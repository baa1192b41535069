"""What pages and messages say about a connection, its client, and what its grant reaches. Pure."""

from wizard.model import Client, Connection, Grant
from wizard.zoho import Zoho


def connection_details(
    connection: Connection,
    grant: Grant | None,
    client: Client,
    zoho: Zoho,
    location: str | None = None,
) -> dict[str, str]:
    """Details of a connection, in a data center or in that of its grant."""
    location = location or (grant.location if grant else connection.location)
    return {
        "name": connection.name,
        "scope": ", ".join(connection.scope),
        **({"email": grant.account.email} if grant and grant.account else {}),
        **client_details(client, zoho, location),
    }


def client_details(client: Client, zoho: Zoho, location: str | None = None) -> dict[str, str]:
    """Details of a client, in a data center or in the one where it is registered."""
    data_center = zoho.data_center(location or client.location)
    home = zoho.data_center(client.location)
    return {
        "client": client.name,
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "location": data_center.location,
        "data_center": data_center.name,
        "api_domain": data_center.api_domain,
        "home": home.name,
        "console": home.console_client_url(client.client_id),
        "sign_out": data_center.sign_out_url,
        "connected_apps": data_center.connected_apps_url,
    }


def headline(grant: Grant) -> str:
    """The headline of a verification report: what `grant` reaches or, if it was revoked or needs
    re-authorization, what it reached."""
    if grant.account is None:
        return f"This reaches an account in {grant.location.upper()} that has not been named yet"
    if grant.state.is_ended:
        return f"This reached {describe_access(grant)}. It no longer does."
    return f"This reaches {describe_access(grant)}"


def describe_access(grant: Grant) -> str:
    """The organizations, environments, data center and account of `grant`, as a phrase."""
    names = dict.fromkeys(organization.name for organization in grant.organizations)
    environments = dict.fromkeys(
        organization.environment for organization in grant.organizations if organization.environment
    )
    parts = [", ".join(names), ", ".join(environments), grant.location.upper()]
    where = ", ".join(part for part in parts if part)
    if grant.account is None:
        return where
    if not names:  # a product without organizations
        return f"the account of {grant.account.email}, {where}"
    return f"{where}, as {grant.account.email}"
