"""The simulated person: hands that count, eyes that go by role and label.

It alone types passwords, made-up ones, and only on this machine.
"""

from wizard.sandbox.person.browser import NoBrowser, find_browser, launch, open_browser
from wizard.sandbox.person.hands import Counter, NotLoopback, Person
from wizard.sandbox.person.zoho_pages import (
    Announcement,
    ConnectedApps,
    Consent,
    Console,
    Recovery,
    Security,
    SignIn,
)

__all__ = [
    "Announcement",
    "ConnectedApps",
    "Consent",
    "Console",
    "Counter",
    "NoBrowser",
    "NotLoopback",
    "Person",
    "Recovery",
    "Security",
    "SignIn",
    "find_browser",
    "launch",
    "open_browser",
]
