"""A simulated user in a real browser, who finds things by role and label and counts actions.

It types passwords of the simulated Zoho, and only on this machine.
"""

from wizard.simulator.simulated_user.actions import ActionCounter, NotLoopbackError, SimulatedUser
from wizard.simulator.simulated_user.browser import (
    BrowserNotFoundError,
    find_browser,
    launch,
    open_browser,
)
from wizard.simulator.simulated_user.zoho_pages import (
    AnnouncementPage,
    ConnectedAppsPage,
    ConsentPage,
    ConsolePage,
    RecoveryPages,
    SecurityPage,
    SignInPage,
)

__all__ = [
    "ActionCounter",
    "AnnouncementPage",
    "BrowserNotFoundError",
    "ConnectedAppsPage",
    "ConsentPage",
    "ConsolePage",
    "NotLoopbackError",
    "RecoveryPages",
    "SecurityPage",
    "SignInPage",
    "SimulatedUser",
    "find_browser",
    "launch",
    "open_browser",
]
