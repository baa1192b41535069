"""Replace this process by a command with an access token in its environment."""

import atexit
import os
import sys

try:
    import _signal as signal  # type: ignore[import-not-found] # `signal` itself is expensive
except ImportError:
    import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

WIZARD_COMMAND = (sys.executable, "-P", "-m", "wizard")
"""How to run the wizard from another process, whatever its PATH; -P: no `wizard` from its working
directory."""
_PLAIN_CHARACTERS = "@%+=:,./-_"


def token_variables(name: str, access_token: str, variables: "Mapping[str, str]") -> dict[str, str]:
    """The environment variables for a command, with ``variables`` from `access_variables`. Only the
    access token is secret."""
    return {
        "ZOHO_ACCESS_TOKEN": access_token,
        **variables,
        "ZOHO_TOKEN_COMMAND": " ".join(map(_quote, (*WIZARD_COMMAND, "token", name))),
    }


def replace_process(command: "list[str]", environment: "Mapping[str, str]") -> "NoReturn":
    """Replace this process by ``command``. Raises OSError if it can't be started."""
    # Python ignores these two signals, and exec keeps that: a command in a pipe would not end when
    # its reader does.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    numbers = [getattr(signal, each) for each in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, each)]
    previous = [signal.signal(each, signal.SIG_DFL) for each in numbers]
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 without a shell is what is meant
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


def ignore_interrupts_at_exit() -> None:
    """Ignore Ctrl-C while Python exits: the command has ended."""
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def forbid_core_dumps() -> None:
    """Forbid core dumps of this process and of the command that replaces it."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _quote(word: str) -> str:
    """``word`` for a shell; `shlex` is expensive to import."""
    if word and word.isascii() and all(c.isalnum() or c in _PLAIN_CHARACTERS for c in word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"
