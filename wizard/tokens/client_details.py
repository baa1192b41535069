"""What the words about a client need to be precise."""

from collections.abc import Mapping

from wizard.model import Client
from wizard.zoho import Zoho


def client_details(client: Client, zoho: Zoho, location: str) -> Mapping[str, str]:
    """What the words about a client in one data centre need."""
    data_center = zoho.data_center(location)
    return {
        "client": client.name,
        "client_id": client.client_id,
        "location": location,
        "data_center": data_center.name,
        "console": data_center.console_url,
    }
