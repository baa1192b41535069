"""The command line: every page has a command, and every failure an exit code.

0 success, 1 failed (also: stdout is closed, full, or not read anymore), 2 usage, 3 needs
re-authorization, 4 temporary, 5 our own store, 6 a notification or the heartbeat couldn't be
sent, 10 `plan` found differences, 130 Ctrl-C; with ``--json``, too.

stdout has the result and nothing else; what a person should know goes to stderr. With ``--json``
the result is one JSON document (one per line from commands that keep running), as
``zoho-wizard schema COMMAND`` describes it. A command that fails before it has a result leaves
stdout empty, and the last line on stderr is ``{"error": …}`` (``zoho-wizard schema error``).
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from wizard.fastpath import process

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from wizard.cli.terminal import Terminal
    from wizard.model import Clock, Failure

USAGE = 2
INTERRUPTED = 130
"""The exit code that shells report after Ctrl-C."""
NOT_DUMPABLE = 4
"""Linux's PR_SET_DUMPABLE; set to 0, no other process of the user may read our memory."""


ENVIRONMENT_VARIABLES: Mapping[str, str] = {
    "ZOHO_WIZARD_HOME": "Keep data, configuration and cache below this directory. Default: the "
    "directories of the system, which `zoho-wizard status` shows.",
    "ZOHO_WIZARD_KEY_FILE": "Read the encryption key from this file, and don’t use the keyring. "
    "Default: the keyring, or `key` in the configuration directory.",
    "ZOHO_WIZARD_DATABASE_URL": "Use the shared PostgreSQL database at this URL, which must not "
    "contain a password. Default: what `database use` wrote to the configuration, else a local "
    "file.",
    "ZOHO_WIZARD_PORT": "Serve the web app on this port, which is part of the redirect URI. "
    "Default: 8723, or 8733 with a simulator.",
    "ZOHO_WIZARD_BROWSER": "Open pages, and the assisted window, in this Chrome, Edge or Chromium. "
    "Default: the first one found.",
    "ZOHO_WIZARD_REMOTE": "Get access tokens from the wizard on another machine, such as "
    "`ssh://tokens@host`. Default: the address in the file `remote` of the configuration "
    "directory, if there is one.",
    "ZOHO_WIZARD_SIMULATOR_URL": "Use the simulated Zoho at this loopback address, such as "
    "`http://127.0.0.1:8730`, instead of Zoho. Default: Zoho.",
}
"""The wizard's own environment variables, and what each does."""
OTHER_VARIABLES = (
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "PYTHON_KEYRING_BACKEND",
    "NO_COLOR",
)
"""Variables of the system and of libraries that the wizard also uses."""

_NO_BREAK_SPACE, _NO_BREAK_HYPHEN = "\u00a0", "\u2011"


IS_HELP = "wizard.cli.is_help"
"""In the context: the arguments only ask for help."""
REMOTE_COMMANDS = ("token", "run", "list", "show", "check")
"""Commands that can ask a token host."""
COMMANDS_WITHOUT_CONNECTIONS = (*REMOTE_COMMANDS, "schema", "completion", "simulator", "uninstall")
"""Commands that work on a machine whose connections are on a token host."""


class HelpFormatter(click.HelpFormatter):
    """Breaks no line inside an option, an address, or what is in backticks."""

    def write_text(self, text: str) -> None:
        """Write a paragraph."""
        super().write_text(_unbroken(text))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write terms and their definitions."""
        unbroken = [(term, _unbroken(text)) for term, text in rows]
        super().write_dl(unbroken, col_max, col_spacing)

    def getvalue(self) -> str:
        """The text, with the usual spaces and hyphens."""
        text = super().getvalue()
        return text.replace(_NO_BREAK_SPACE, " ").replace(_NO_BREAK_HYPHEN, "-")


def _unbroken(text: str) -> str:
    kept = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", _NO_BREAK_SPACE), text)
    return kept.replace("-", _NO_BREAK_HYPHEN)


class Context(click.Context):
    """The context of every command."""

    formatter_class = HelpFormatter


@dataclass(frozen=True)
class LazyCommand:
    """Where a command is defined, and its line in the group's help."""

    module: str
    """Relative to the package `wizard.cli`."""
    function: str
    help: str
    """The first sentence of the command's own help; a test compares the two."""


class LazyGroup(click.Group):
    """Lists commands by section from a table, so that ``--help`` loads click and nothing else.

    Every command gets the standard options, ``--json`` and ``--no-input``, when it is imported.
    """

    sections: Mapping[str, Mapping[str, LazyCommand]] = {}
    """Commands by name, by the section of the help they are listed in."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of the help."""
        return [name for section in self.sections.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command; None if there is none of this name."""
        for section in self.sections.values():
            if entry := section.get(cmd_name):
                command = getattr(import_module(f"wizard.cli.{entry.module}"), entry.function)
                assert isinstance(command, click.Command)  # noqa: S101 - the table is ours
                add_standard_options(command)
                return command
        return None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """Complete the name of a command, without importing any."""
        from click.shell_completion import CompletionItem

        entries = (each for section in self.sections.values() for each in section.items())
        names = [CompletionItem(n, help=e.help) for n, e in entries if n.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of commands per section."""
        widest = max(len(name) for name in self.list_commands(ctx))
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), e.help) for name, e in section.items()])


class Run:
    """One run of the command line; its terminal is created on first use, because it loads a lot."""

    def __init__(self, clock: "Clock | None") -> None:
        self._clock = clock
        self._terminal: Terminal | None = None

    @property
    def terminal(self) -> "Terminal":
        """The terminal, created on first use."""
        if self._terminal is None:
            from wizard.cli.terminal import Terminal

            self._terminal = Terminal() if self._clock is None else Terminal(self._clock)
        return self._terminal

    def close(self) -> None:
        """Close what the command opened."""
        if self._terminal is not None:
            self._terminal.close()


def add_standard_options(command: click.Command) -> None:
    """Give a command, or all commands of a group, ``--json`` and ``--no-input``."""
    command.context_class = Context
    if isinstance(command, click.Group):
        for each in command.commands.values():
            add_standard_options(each)
    if isinstance(command, click.Group) and not command.invoke_without_command:
        return
    if not any(each in command.params for each in STANDARD_OPTIONS):
        command.params.extend(STANDARD_OPTIONS)


def _set_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        _terminal_of(context).renderer.as_json = True


def _set_no_input(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        _terminal_of(context).no_input = True


def _terminal_of(context: click.Context) -> "Terminal":
    from wizard.cli.terminal import Terminal

    if isinstance(context.obj, Run):
        context.obj = context.obj.terminal
    return context.ensure_object(Terminal)


STANDARD_OPTIONS: tuple[click.Option, ...] = (
    click.Option(
        ["--json"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set_json,
        help="Print the result as JSON. See `zoho-wizard schema`.",
    ),
    click.Option(
        ["--no-input"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set_no_input,
        help="Never ask or wait for a person. Fail instead.",
    ),
)


class Commands(LazyGroup):
    """All commands."""

    sections = {  # noqa: RUF012 - click reads it from the class
        "Connections": {
            "connect": LazyCommand(
                "commands.connect", "connect", "Create, authorize and verify a connection."
            ),
            "list": LazyCommand(
                "commands.connections", "list_connections", "List connections and their states."
            ),
            "show": LazyCommand(
                "commands.connections", "show", "Show what a connection reaches and how to use it."
            ),
            "import": LazyCommand(
                "commands.import_credentials",
                "import_credentials",
                "Import refresh tokens that other programs use.",
            ),
            "plan": LazyCommand(
                "commands.connections_file",
                "plan",
                "Show how the stored connections differ from a file.",
            ),
            "apply": LazyCommand(
                "commands.connections_file",
                "apply",
                "Create and change connections to match a file.",
            ),
            "export-config": LazyCommand(
                "commands.connections_file",
                "export_config",
                "Write a connections file for what is stored.",
            ),
            "open": LazyCommand(
                "flows.serving",
                "open_connection",
                "Open a connection’s page in a browser.",
            ),
            "edit": LazyCommand(
                "commands.connections", "edit", "Change a connection’s owner, tags or note."
            ),
            "rename": LazyCommand("commands.connections", "rename", "Rename a connection."),
            "revoke": LazyCommand(
                "commands.connections", "revoke", "Revoke a connection at Zoho and here."
            ),
            "remove": LazyCommand(
                "commands.connections", "remove", "Remove a connection from this installation."
            ),
            "client": LazyCommand(
                "commands.client", "client", "Manage the OAuth clients that connections use."
            ),
        },
        "Access tokens": {
            "token": LazyCommand("commands.token", "token", "Print an access token."),
            "run": LazyCommand("commands.token", "run", "Run a command with an access token."),
            "sample": LazyCommand(
                "commands.sample", "sample", "Print a program that uses a connection."
            ),
            "access": LazyCommand(
                "commands.access",
                "access",
                "Manage which users and SSH keys can request access tokens.",
            ),
            "destination": LazyCommand(
                "commands.destination",
                "destination",
                "Manage programs that get a connection’s credentials.",
            ),
            "deliver": LazyCommand(
                "commands.destination",
                "deliver",
                "Deliver a connection’s credentials.",
            ),
        },
        "Checks and re-authorization": {
            "check": LazyCommand("commands.check", "check", "Check whether connections work."),
            "monitor": LazyCommand(
                "commands.monitor",
                "monitor",
                "Check all connections regularly and notify you.",
            ),
            "diagnose": LazyCommand(
                "commands.diagnose",
                "diagnose",
                "Explain a failed connection or an error that you paste.",
            ),
            "reauthorize": LazyCommand(
                "commands.reauthorize",
                "reauthorize",
                "Re-authorize connections with the same scopes.",
            ),
            "password-change": LazyCommand(
                "commands.password_change",
                "password_change",
                "Show what a password change affects.",
            ),
        },
        "This installation": {
            "serve": LazyCommand("flows.serving", "serve", "Serve the web app until stopped."),
            "service": LazyCommand(
                "commands.service", "service", "Run the wizard as a systemd service."
            ),
            "status": LazyCommand(
                "commands.status",
                "status",
                "Show storage paths, the encryption key and the version.",
            ),
            "audit": LazyCommand(
                "commands.audit", "audit", "Show who did what, and who got access tokens."
            ),
            "database": LazyCommand(
                "commands.database",
                "database",
                "Share one database between machines.",
            ),
            "backup": LazyCommand(
                "commands.backup", "backup", "Write everything into one encrypted file."
            ),
            "restore": LazyCommand(
                "commands.backup", "restore", "Restore a backup and verify its connections."
            ),
            "uninstall": LazyCommand(
                "commands.uninstall",
                "uninstall",
                "Remove all of the wizard’s data, keys and services.",
            ),
            "schema": LazyCommand(
                "commands.status",
                "schema",
                "Print the JSON Schema of a command’s result.",
            ),
            "completion": LazyCommand(
                "commands.status", "completion", "Print a shell’s completion script."
            ),
        },
        "Simulated Zoho": {
            "demo": LazyCommand(
                "commands.simulator", "demo", "Try everything against a simulated Zoho."
            ),
            "simulator": LazyCommand(
                "commands.simulator", "simulator", "Serve a simulated Zoho until stopped."
            ),
            "compare": LazyCommand(
                "commands.compare", "compare", "Compare the simulator’s rules with Zoho."
            ),
        },
    }

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the environment variables."""
        with formatter.section("Environment variables"):
            formatter.write_dl(list(ENVIRONMENT_VARIABLES.items()), col_max=0)
        others = ", ".join(OTHER_VARIABLES)
        formatter.write_paragraph()
        formatter.write_text(f"{others} are used, too.")

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Parse the arguments."""
        with _quiet_interrupt():
            return super().make_context(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        context.meta[IS_HELP] = not {"-h", "--help"}.isdisjoint(context.args)
        with _quiet_interrupt():
            return super().invoke(context)


@contextmanager
def _quiet_interrupt() -> Iterator[None]:
    """Prevent click from printing an empty line on Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.Abort from None


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="zoho-wizard", message="%(version)s")
@click.option("--debug", is_flag=True, help="Log everything to standard error, with tracebacks.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Log messages of at least this level to standard error. Default: no log.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="Log as text, or as one JSON object per line. Default: text, at level info.",
)
@click.pass_context
def zoho_wizard(
    context: click.Context, debug: bool, log_level: str | None, log_format: str | None
) -> None:
    """Get, verify and keep Zoho OAuth refresh tokens.

    Without a command, it opens the web app. Each command has a --help of its own.

    \b
    Examples:
      zoho-wizard
      zoho-wizard demo
      zoho-wizard connect crm --preset crm-read-leads
      zoho-wizard token crm
    """
    terminal = _terminal_of(context)
    terminal.debug = debug
    if debug or log_level or log_format:
        from wizard.cli.terminal import log_to_stderr

        level = log_level or ("debug" if debug else "info")
        log_to_stderr(level, as_json=log_format == "json")
    command = context.invoked_subcommand
    needs_connections = command not in COMMANDS_WITHOUT_CONNECTIONS and not context.meta[IS_HELP]
    if needs_connections and terminal.settings.remote:
        from wizard.cli.flows.token_host import require_own_connections

        require_own_connections(terminal, f"zoho-wizard {command or ''}".rstrip())
    if command is None:
        from wizard.cli.flows import serving

        serving.open_app(terminal)


zoho_wizard.context_class = Context
zoho_wizard.params.extend(STANDARD_OPTIONS)


def main(arguments: Sequence[str] | None = None, clock: "Clock | None" = None) -> int:
    """Run one command (default: that of ``sys.argv``); return its exit code."""
    _harden()
    words = list(sys.argv[1:] if arguments is None else arguments)
    run = Run(clock)
    with process.CheckedStreams() as streams:
        try:
            return streams.finish(_run(run, words, streams))
        finally:
            run.close()


def explain_refusal(error: Mapping[str, Any]) -> int:
    """Print why the token host gave no access token, as `wizard.fastpath.token_host` reports it;
    return the exit code."""
    from wizard.cli.flows.token_host import to_error

    run = Run(None)
    with process.CheckedStreams() as streams:
        run.terminal.renderer.as_json = _wants_json(sys.argv[1:])
        return streams.finish(_report_error(run.terminal, to_error(error)))


def _run(run: Run, words: list[str], streams: process.CheckedStreams) -> int:
    try:
        zoho_wizard.main(words, prog_name="zoho-wizard", obj=run, standalone_mode=False)
        return 0
    except click.ClickException as error:
        return _report_usage_error(run, error, words)
    except (click.Abort, KeyboardInterrupt):
        return _report_interrupt(run, words)
    except click.exceptions.Exit as end:
        return end.exit_code
    except SystemExit:  # so click and Rich end when a pipe is closed
        if streams.stdout.error is None:
            raise
        return process.FAILED
    except Exception as error:
        if isinstance(error, OSError) and streams.stdout.error is not None:
            return process.FAILED
        if isinstance(error.__cause__, KeyboardInterrupt):  # while Python 3.11 creates a class
            return _report_interrupt(run, words)
        if _wants_json(words):
            run.terminal.renderer.as_json = True
        return _report_error(run.terminal, error)


def _wants_json(words: Sequence[str]) -> bool:
    """Whether the arguments, which may be invalid, contain ``--json``."""
    return "--json" in words[: words.index("--") if "--" in words else None]


def _report_usage_error(run: Run, error: click.ClickException, words: Sequence[str]) -> int:
    from io import StringIO

    from wizard.model import Failure
    from wizard.transport import mask_text

    if _wants_json(words):
        details = {"reason": mask_text(error.format_message())}  # it quotes arguments
        return _report_failure(run, Failure("usage", details=details))
    text = StringIO()
    error.show(file=text)
    click.echo(mask_text(text.getvalue()), err=True, nl=False)
    return USAGE


def _report_interrupt(run: Run, words: Sequence[str]) -> int:
    if _wants_json(words):
        from wizard.model import Failure

        return _report_failure(run, Failure("interrupted"))
    from wizard.errors import message

    click.echo(message("notes", "stopped"), err=True)
    return INTERRUPTED


def _report_failure(run: Run, failure: "Failure") -> int:
    run.terminal.renderer.as_json = True
    explanation = run.terminal.explain(failure)
    run.terminal.renderer.print_explanation(explanation)
    return explanation.exit_code


def _report_error(terminal: "Terminal", error: Exception) -> int:
    """Print what failed; return the exit code. The traceback shows code and never values."""
    import secrets
    import traceback

    from wizard.cli.terminal import Exit
    from wizard.errors import WizardError
    from wizard.model import Failure

    if isinstance(error, Exit):
        return error.code
    if isinstance(error, WizardError):
        failure = error.failure
    else:
        if terminal.debug:
            traceback.print_tb(error.__traceback__)
        details = {"exception": type(error).__name__, "number": secrets.token_hex(4)}
        is_text = not _is_not_utf8(error)
        failure = Failure("internal-error", details=details) if is_text else Failure("not-utf8")
    explanation = terminal.explain(failure)
    terminal.renderer.print_explanation(explanation)
    return explanation.exit_code


def _is_not_utf8(error: Exception) -> bool:
    """Whether bytes that aren't UTF-8 were used as text. Python reads them from the command line
    and the environment as surrogates, and from stdin as them or not at all."""
    if isinstance(error, UnicodeEncodeError):
        return error.reason == "surrogates not allowed"
    return isinstance(error, UnicodeDecodeError)


def _harden() -> None:
    """Prevent core dumps, and other processes of the user from reading our memory."""
    import ctypes

    process.forbid_core_dumps()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(NOT_DUMPABLE, 0, 0, 0, 0)
