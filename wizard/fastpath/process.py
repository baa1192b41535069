"""Replacing this process by a command that finds an access token in its environment."""

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
"""How another process runs the wizard, whatever its PATH; -P: not a `wizard` in its directory."""
_PLAIN_CHARACTERS = "@%+=:,./-_"


def token_variables(name: str, access_token: str, variables: "Mapping[str, str]") -> dict[str, str]:
    """What a command finds in its environment; the access token is the only secret in it.

    ``variables`` say where the token of connection ``name`` may be used.
    """
    return {
        "ZOHO_ACCESS_TOKEN": access_token,
        **variables,
        "ZOHO_TOKEN_COMMAND": " ".join(map(_quote, (*WIZARD_COMMAND, "token", name))),
    }


def replace_process(command: "list[str]", environment: "Mapping[str, str]") -> "NoReturn":
    """Run ``command`` in this process's place. Raises OSError where it can't be started."""
    # Python ignores these two, and what is ignored stays so through exec: a command in a pipe
    # would no longer end when its reader does.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    numbers = [getattr(signal, each) for each in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, each)]
    before = [signal.signal(each, signal.SIG_DFL) for each in numbers]
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 without a shell is what is meant
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def ignore_interrupts_at_exit() -> None:
    """Let Ctrl-C change nothing any more once Python takes itself apart: the command has ended."""
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def forbid_core_dumps() -> None:
    """Write no memory of this process, and of what replaces it, to a file."""
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
