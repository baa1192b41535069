"""``zoho-wizard``: `token`, `run` and `access ssh` may take the fast path, everything else goes to
`wizard.cli`.

Once the hooks below are set, even during imports, Ctrl-C prints one line and exits with 130: a
sentence, or with ``--json`` the error document. Before that, Python itself starts (`site`, ``.pth``
files, the search for this package). A Ctrl-C then ends in Python's own traceback.
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
        os.write(2, interrupt_line())
    finally:
        os._exit(130)


def interrupt_line() -> bytes:
    """What Ctrl-C prints. The JSON is what `wizard.cli` prints, which may not be loaded yet."""
    words = sys.argv[1 : sys.argv.index("--") if "--" in sys.argv else None]
    if "--json" not in words:
        return b"Stopped. Your data is kept.\n"
    return (
        b'{"error": {"code": "interrupted", "kind": "system", "title": "Stopped", "cause": '
        b'"The command was interrupted. Your data is kept.", "fix": "Run it again to continue.", '
        b'"details": {}, "commands": [], "exit_code": 130, "temporary": false, "retry_at": null, '
        b'"failure_class": null, "causes": [], "ruled_out": [], "question": null, '
        b'"answer_options": [], "zoho_error": "", "exchange": null}}\n'
    )


def handle_uncaught(
    kind: type[BaseException], error: BaseException, trace: "TracebackType | None"
) -> None:
    """Replace the traceback of a Ctrl-C. Python 3.11 wraps one that comes while it creates a
    class."""
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
        stop()
    sys.__excepthook__(kind, error, trace)


def handle_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Also stop after Ctrl-C in a finalizer or an import callback, where Python would continue."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        stop()
    sys.__unraisablehook__(unraisable)


sys.excepthook = handle_uncaught
sys.unraisablehook = handle_unraisable


def main() -> "NoReturn":
    """Run the command line, and end the process with its exit code."""
    from wizard.fastpath import process

    code = refusal = None
    if sys.argv[1:2] in (["token"], ["run"]):
        from wizard.fastpath import commands

        try:
            code = commands.execute(sys.argv[1:], os.environ)
        except commands.TokenRefused as refused:
            refusal = refused.error
    elif sys.argv[1:3] == ["access", "ssh"]:
        from wizard.fastpath import ssh_answers

        code = ssh_answers.execute(sys.argv[3:], os.environ)
    if code is None:
        import gc

        # What modules create stays: searching it for garbage takes a tenth of a short command.
        gc.set_threshold(50_000)
        from wizard import cli

        code = cli.main() if refusal is None else cli.explain_refusal(refusal)
    process.end(code)


if __name__ == "__main__":
    main()
