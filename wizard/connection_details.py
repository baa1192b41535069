"""What messages say about a connection and its client: the values of their placeholders. Pure."""

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
