"""Units of systemd, read as systemd does."""

import codecs
import re

from support.claims import over_rows

from wizard.cli.flows.units import systemd_service

ODD = ["a b", "C:\\data", 'say "hi"', "50%", "$HOME", "it's", "two\nlines", "plain"]


def unquoted(text: str) -> str:
    """One word of a unit file, after its quotes, escapes and specifiers were read."""
    inner = text[1:-1] if text.startswith('"') else text
    return codecs.decode(inner, "unicode_escape").replace("%%", "%")


@over_rows("value", ODD)
def test_a_service_has_its_environment_and_its_options_unchanged(value: str) -> None:
    unit = systemd_service({"NAME": value}, ["--share", value])
    environment, command = (
        next(line for line in unit.splitlines() if line.startswith(start)).partition("=")[2]
        for start in ("Environment=", "ExecStart=")
    )
    assert unquoted(environment) == f"NAME={value}"
    word = re.findall(r'"(?:[^"\\]|\\.)*"|\S+', command)[-1]
    assert unquoted(word).replace("$$", "$") == value
