"""The assisted browser: a visible window of its own, and a driver that is given a page.

The person signs in, and answers whatever asks for a person. The driver presses Accept on a consent
that is surely the one the house asks for, and does nothing that it is not sure of. The co-pilot
fills in the form of a new client in Zoho's console, and leaves CREATE to the person. Neither types
or reads a password, keeps a trace, a video or stored state, or listens on a port: Playwright speaks
to its browser through a pipe.
"""

from wizard.browser.consent import Wanted
from wizard.browser.console import Console, Form
from wizard.browser.driver import Driver, Ended, Handed
from wizard.browser.profiles import remove_left
from wizard.browser.window import Windows, check_display

__all__ = [
    "Console",
    "Driver",
    "Ended",
    "Form",
    "Handed",
    "Wanted",
    "Windows",
    "check_display",
    "remove_left",
]
