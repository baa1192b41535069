"""What the pages are given: the house, and what this server knows."""

from typing import cast

from flask import current_app

from wizard.house import House
from wizard.web.peer import Peers
from wizard.web.sessions import LaunchTokens


def house() -> House:
    """The house that this application shows."""
    return cast(House, current_app.extensions["house"])


def launch() -> LaunchTokens:
    """The one-time links of this server."""
    return cast(LaunchTokens, current_app.extensions["launch"])


def peers() -> Peers:
    """What this server knows of its clients."""
    return cast(Peers, current_app.extensions["peers"])
