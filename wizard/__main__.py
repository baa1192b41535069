"""``zoho-wizard``: `token` and `run` may take the fast path, everything else goes to `wizard.cli`.

From here on, even during imports, Ctrl-C prints one line and exits with 130.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import NoReturn


def stop() -> "NoReturn":
    """End the process as a shell reports a command that Ctrl-C ended."""
    try:
        os.write(2, b"Stopped. Your data is kept.\n")
    finally:
        os._exit(130)


def handle_uncaught(
    kind: type[BaseException], error: BaseException, trace: "TracebackType | None"
) -> None:
    """Replace the traceback of a Ctrl-C."""
    if issubclass(kind, KeyboardInterrupt):
        stop()
    sys.__excepthook__(kind, error, trace)


def handle_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Also stop after Ctrl-C in a finalizer or an import callback, where Python would continue."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        stop()
    sys.__unraisablehook__(unraisable)


sys.excepthook = handle_uncaught
sys.unraisablehook = handle_unraisable


def main() -> int:
    """Run the command line; return the exit code."""
    from wizard.fastpath import process

    process.ignore_interrupts_at_exit()
    code = None
    if sys.argv[1:2] in (["token"], ["run"]):
        from wizard.fastpath import commands

        code = commands.execute(sys.argv[1:], os.environ)
    if code is None:
        from wizard import cli

        code = cli.main()
    return code


if __name__ == "__main__":
    sys.exit(main())
