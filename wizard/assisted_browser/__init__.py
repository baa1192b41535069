"""The assisted browser: a visible browser window, and drivers for the pages in it.

The user signs in and answers every prompt. `ConsentDriver` presses Accept if the consent page is
certainly the expected one, and does nothing uncertain. `ConsoleAssistant` fills in the form of a
new client in Zoho's console and leaves CREATE to the user. Neither types or reads a password, keeps
a trace, a video or stored state, or listens on a port: Playwright talks to its browser through a
pipe.
"""

from wizard.assisted_browser.consent_driver import ConsentDriver, ConsentResult, UserPrompt
from wizard.assisted_browser.consent_page import ExpectedConsent
from wizard.assisted_browser.console_assistant import ClientForm, ConsoleAssistant
from wizard.assisted_browser.windows import Windows, check_display, remove_leftovers

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
