"""What the pages are given: the house, and what this server knows."""

from typing import cast

from flask import current_app

from wizard.services import Services
from wizard.web.sessions import LinkTokens
from wizard.web.socket_owner import Peers


def get_services() -> Services:
    """The house that this application shows."""
    return cast(Services, current_app.extensions["services"])


def get_link_tokens() -> LinkTokens:
    """The one-time links of this server."""
    return cast(LinkTokens, current_app.extensions["link_tokens"])


def peers() -> Peers:
    """What this server knows of its clients."""
    return cast(Peers, current_app.extensions["peers"])
