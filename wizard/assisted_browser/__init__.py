"""The assisted browser: a visible window of its own, and a driver that is given a page.

The person signs in, and answers whatever asks for a person. The driver presses Accept on a consent
that is surely the one the house asks for, and does nothing that it is not sure of. The co-pilot
fills in the form of a new client in Zoho's console, and leaves CREATE to the person. Neither types
or reads a password, keeps a trace, a video or stored state, or listens on a port: Playwright speaks
to its browser through a pipe.
"""

from wizard.assisted_browser.browsers import remove_leftovers
from wizard.assisted_browser.consent_checks import ExpectedConsent
from wizard.assisted_browser.consent_driver import ConsentDriver, ConsentResult, UserPrompt
from wizard.assisted_browser.console_assistant import ClientForm, ConsoleAssistant
from wizard.assisted_browser.windows import Windows, check_display

__all__ = [
    "ClientForm",
    "ConsentDriver",
    "ConsentResult",
    "ConsoleAssistant",
    "ExpectedConsent",
    "UserPrompt",
    "Windows",
    "check_display",
    "remove_leftovers",
]
