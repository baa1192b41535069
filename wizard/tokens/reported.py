"""An access token that a program reports as rejected, as it comes from outside."""

import re

from wizard.errors import fail

LONGEST = 2048
"""Characters of a reported token; Zoho's have some 70."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
"""What an access token may consist of (RFC 6750, section 2.1)."""


def reported_token(given: bytes) -> str:
    """The access token in `given`, with blanks and newlines around it or without; raises
    ``report-malformed``, which doesn't repeat what was given."""
    text = given.decode("ascii", "replace").strip()
    if len(text) > LONGEST or not _TOKEN.fullmatch(text):
        raise fail("report-malformed", most=str(LONGEST))
    return text
