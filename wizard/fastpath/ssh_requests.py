"""What a machine asks its token host over SSH: one line, whose words need no quoting.

``zoho-wizard/1 token name=crm min-ttl=900``: the version of this protocol, what is asked, and its
options. With ``rejected``, the rejected access token follows on stdin. The answer is one JSON
object on stdout, the `KeyAnswer` of `wizard.cli.results.token_host`.
"""

from wizard.fastpath.token_file import MAX_TTL_SECONDS

PROTOCOL = 1
_PREFIX = "zoho-wizard/"
_OPTIONS = {
    "token": ("name", "min-ttl", "rejected"),
    "list": (),
    "show": ("name",),
    "check": ("name",),
}
"""What can be asked, and the options of each."""
_MAX_NAME_CHARACTERS = 63
_MAX_NAMES = 100
_MAX_DIGITS = 5


class SshRequest:
    """One request. A plain class, because dataclasses are expensive to import."""

    __slots__ = ("action", "is_rejected", "min_ttl_seconds", "names")

    def __init__(
        self,
        action: str,
        names: tuple[str, ...] = (),
        min_ttl_seconds: int | None = None,
        is_rejected: bool = False,
    ) -> None:
        self.action = action
        self.names = names
        """Of connections. `token`: empty for the only one; `check`: empty for all."""
        self.min_ttl_seconds = min_ttl_seconds
        """None: until the token is due for a refresh."""
        self.is_rejected = is_rejected

    def __str__(self) -> str:
        """The line that `parse` reads."""
        words = [f"{_PREFIX}{PROTOCOL}", self.action, *(f"name={each}" for each in self.names)]
        if self.min_ttl_seconds is not None:
            words.append(f"min-ttl={self.min_ttl_seconds}")
        if self.is_rejected:
            words.append("rejected")
        return " ".join(words)


def parse(line: str) -> SshRequest | None:
    """The request of a line; None if it is anything else, in any other protocol."""
    first, *words = line.split(" ")
    action = words[0] if words else ""
    if first != f"{_PREFIX}{PROTOCOL}" or action not in _OPTIONS:
        return None
    names: list[str] = []
    min_ttl_seconds, is_rejected = None, False
    for word in words[1:]:
        option, _, value = word.partition("=")
        if option not in _OPTIONS[action]:
            return None
        if option == "name" and is_name(value):
            names.append(value)
        elif option == "min-ttl" and min_ttl_seconds is None and _is_number(value):
            min_ttl_seconds = min(int(value), MAX_TTL_SECONDS)
        elif word == "rejected" and not is_rejected:
            is_rejected = True
        else:
            return None
    allowed = {"token": (0, 1), "show": (1, 1)}.get(action, (0, _MAX_NAMES))
    if not allowed[0] <= len(names) <= allowed[1]:
        return None
    return SshRequest(action, tuple(names), min_ttl_seconds, is_rejected)


def protocol_of(line: str) -> int | None:
    """The version of the protocol that a line uses; None if it isn't a request of the wizard."""
    first = line.partition(" ")[0]
    version = first.removeprefix(_PREFIX)
    return int(version) if first != version and _is_number(version) else None


def is_name(text: str) -> bool:
    """Whether a connection may have this name. It means nothing to a shell."""
    return (
        text.isascii()
        and text[:1].isalnum()
        and len(text) <= _MAX_NAME_CHARACTERS
        and all(each.isalnum() or each in "._-" for each in text)
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
