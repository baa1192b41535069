"""Register OAuth clients, check their secrets, and parse what users paste from Zoho's console."""

from wizard.clients.connection_request import ConnectionRequest
from wizard.clients.credentials import Credentials, parse_credentials, parse_secret
from wizard.clients.registration import ClientCheck, ClientService

__all__ = [
    "ClientCheck",
    "ClientService",
    "ConnectionRequest",
    "Credentials",
    "parse_credentials",
    "parse_secret",
]
