"""What the words about a client need to be precise."""

from collections.abc import Mapping

from wizard.model import Client
from wizard.zoho import Zoho


def client_details(client: Client, zoho: Zoho, location: str) -> Mapping[str, str]:
    """What the words about a client in one data centre need."""
    data_centre = zoho.data_centre(location)
    return {
        "client": client.name,
        "client_id": client.client_id,
        "location": location,
        "data_centre": data_centre.name,
        "console": data_centre.console,
    }
