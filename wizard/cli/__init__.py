"""The command line: every page has a command, and every failure an exit code.

0 good, 1 failed, 2 usage, 3 needs re-authorization, 4 temporary, 5 our own store, 6 a notification
could not be sent; with ``--json`` too. stdout carries the answer and nothing else; what a person
should know goes to stderr.
"""

import ctypes
import logging
import secrets
import sys
import traceback
from collections.abc import Sequence

import click

from wizard.cli import (
    allow,
    checking,
    clients,
    connect,
    connections,
    deliver,
    diagnose,
    importing,
    logs,
    moving,
    password_change,
    reauthorize,
    run,
    serving,
    simulation,
    status,
    tokens,
    tour,
    watch,
)
from wizard.cli.terminal import Exit, Terminal, pass_terminal
from wizard.errors import WizardError
from wizard.house import utc_now
from wizard.model import Clock

USAGE = 2
INTERRUPTED = 1
NOT_DUMPABLE = 4
"""Linux's PR_SET_DUMPABLE; set to 0, no other process of the user may read our memory."""


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="zoho-wizard", message="%(version)s")
@click.option("--debug", is_flag=True, help="Log to stderr, and show tracebacks (without values).")
@pass_terminal
@click.pass_context
def zoho_wizard(context: click.Context, terminal: Terminal, debug: bool) -> None:
    """Get, prove and keep Zoho OAuth refresh tokens.

    Alone, it opens the web app. `zoho-wizard demo` tries everything against a made-up Zoho.
    """
    terminal.debug = debug
    if debug:
        logs.to_stderr()
    if context.invoked_subcommand is None:
        serving.open_app(terminal)


for command in (
    connect.connect,
    connections.list_connections,
    connections.show,
    tokens.token,
    run.run,
    allow.allow,
    checking.check,
    watch.watch,
    password_change.password_change,
    diagnose.diagnose,
    reauthorize.reauthorize,
    deliver.deliver,
    importing.import_credentials,
    moving.backup,
    moving.restore,
    clients.client,
    connections.revoke,
    connections.remove,
    serving.serve,
    status.status,
    simulation.sandbox,
    simulation.demo,
    tour.tour,
    status.completion,
):
    zoho_wizard.add_command(command)


def main(arguments: Sequence[str] | None = None, clock: Clock = utc_now) -> int:
    """Run one command (default: that of ``sys.argv``); return its exit code."""
    _harden()
    logging.getLogger().addHandler(logging.NullHandler())
    terminal = Terminal(clock)
    try:
        zoho_wizard.main(
            None if arguments is None else list(arguments),
            prog_name="zoho-wizard",
            obj=terminal,
            standalone_mode=False,
        )
        return 0
    except Exit as end:
        return end.code
    except WizardError as error:
        finding = terminal.explain(error.failure)
        terminal.painter.finding(finding)
        return finding.exit_code
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        terminal.painter.note("Stopped. What was stored stays stored.")
        return INTERRUPTED
    except Exception as error:
        _unforeseen(terminal, error)
        return 1
    finally:
        terminal.close()


def _unforeseen(terminal: Terminal, error: Exception) -> None:
    """One line for a bug; the trace, which shows code and never values, on request."""
    number = secrets.token_hex(4)
    if terminal.debug:
        traceback.print_tb(error.__traceback__)
    terminal.painter.note(
        f"A fault in the wizard itself ({type(error).__name__}, {number}). Nothing is said of your "
        "tokens. Run it again with --debug before the command and send what it prints."
    )


def _harden() -> None:
    """No core dump with keys in it, and no other process that reads our memory."""
    try:
        import resource
    except ImportError:  # Windows has neither
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(NOT_DUMPABLE, 0, 0, 0, 0)
