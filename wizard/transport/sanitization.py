"""Foreign text made fit to be shown: what Zoho, a program or a file says is shown as it stands, but
steers no terminal, page or log. Pure, and the only place that knows which characters steer.
"""

import re

CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, delete, C1
    "\xad\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f"  # unseen, so that two texts look alike
    "\u061c\u180e\u200e\u200f\u2028-\u202e\u2066-\u206f"  # what reorders, and begins a line
    "\ufff9-\ufffb\ud800-\udfff]"  # annotations; halves of characters, which nothing can print
)
"""Characters that nobody writes to be read. The joiners (U+200C, U+200D) are: Persian needs one."""

_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC, DCS, SOS, PM, APC: titles, clipboard, links
    r"|\x1b.?",
    re.DOTALL,
)


def sanitize(text: str) -> str:
    """`text` without escape sequences and without characters that steer; lines stay lines."""
    if text.isascii() and text.isprintable():
        return text
    return CONTROL_CHARACTERS.sub("", _ESCAPE_SEQUENCE.sub("", text))


def sanitize_line(text: str, max_length: int | None = None) -> str:
    """`text`, cleaned, that can forge no second line or column; at most `most` characters."""
    return re.sub(r"[\t\n]", " ", sanitize(text))[:max_length]
