"""What every command is given: the painter, the clock, the settings and, when asked, the house."""

import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from wizard.cli.renderer import Renderer
from wizard.diagnosis import explain_failure
from wizard.errors import WizardError, fail
from wizard.model import Clock, Explanation, Failure
from wizard.services import Services, utc_now
from wizard.settings import Settings, from_environment
from wizard.store.connections import unknown_connection
from wizard.timefmt import format_iso, format_time
from wizard.transport import sanitize_line

Command = TypeVar("Command", bound=Callable[..., Any])


class Exit(Exception):
    """Ends a command with an exit code when everything has been said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Terminal:
    """One run of the command line. Rooms are opened when a command first needs them."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self.clock = clock
        self.renderer = Renderer()
        self.debug = False
        self.connection_name = ""
        """The connection the command is about, for the words of a finding."""
        self.needs_connection = False
        """Whether that connection has to exist."""
        self._exit_stack = ExitStack()
        logging.getLogger().addHandler(logging.NullHandler())

    @cached_property
    def settings(self) -> Settings:
        """The settings of this run; raises `WizardError` when one is wrong."""
        return from_environment()

    @cached_property
    def services(self) -> Services:
        """The services, opened once and closed at the end of the run.

        A command about an existing connection creates nothing where nothing is stored: it raises
        ``unknown-connection``.
        """
        if self.needs_connection and self.settings.paths.is_empty:
            raise unknown_connection(self.connection_name, self.settings.paths.data_dir)
        return self.open_services(self.settings, self.clock)

    def open_services(self, settings: Settings, clock: Clock) -> Services:
        """The house for `chosen`, closed at the end of the run."""
        return self._exit_stack.enter_context(Services.open(settings, clock))

    def defer(self, callback: Callable[[], None]) -> None:
        """Have `act` done when everything has been said, and before the house is closed."""
        self._exit_stack.callback(callback)

    def close(self) -> None:
        """Do what was left for afterwards, and close what was opened."""
        self._exit_stack.close()

    @property
    def is_interactive(self) -> bool:
        """Whether a person can be asked: stdin and stderr are a terminal."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def format_time(self, at: datetime | None, *, seconds: bool = False) -> str:
        """`at` for people, in the time zone of this machine; ``never`` for None."""
        return "never" if at is None else format_time(at, self.clock(), seconds=seconds)

    def explain(self, failure: Failure) -> Explanation:
        """The finding for `failure`, with what is known about the connection at hand."""
        if self.connection_name and "services" in self.__dict__:
            with suppress(WizardError):
                return self.services.diagnosis.explain(self.connection_name, failure)
        return explain_failure(
            failure,
            self.clock(),
            **({"name": self.connection_name} if self.connection_name else {}),
        )

    def confirm(self, question: str, *, option: str) -> None:
        """Ask a yes-or-no question on stderr; a script without the flag `otherwise` is refused.

        Raises ``choice-needed`` when nobody can be asked and `Exit` when the answer is no.
        """
        if not self.is_interactive:
            raise fail("choice-needed", options=option)
        if not click.confirm(question, err=True):
            self.renderer.print_note("Nothing was changed.")
            raise Exit(1)

    def read_secret(self, prompt: str) -> str:
        """Text that must not be in argv: typed unseen at a prompt, or all of stdin in a script."""
        if not self.is_interactive:
            return sys.stdin.read()
        return str(click.prompt(prompt, hide_input=True, err=True))


pass_terminal = click.make_pass_decorator(Terminal)


def json_option(command: Command) -> Command:
    """Add ``--json`` to a command: one JSON document on stdout, findings as JSON on stderr."""

    def set_json_output(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        context.ensure_object(Terminal).renderer.as_json |= value

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=set_json_output, help="Answer in JSON."
    )(command)


def printable(argument: Any) -> str:
    """`argument` with a question mark for each byte that is no text: such a name finds nothing."""
    return str(argument).encode(errors="replace").decode()


class ConnectionNameType(click.ParamType[str]):
    """A connection's name as an argument, completed by the shell from the store."""

    name = "name"

    def __init__(self, is_new: bool = False) -> None:
        self.is_new = is_new

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> str:
        """Remember which connection the command is about."""
        name = printable(value)
        if context is not None:
            terminal = context.ensure_object(Terminal)
            terminal.connection_name, terminal.needs_connection = name, not self.is_new
        return name

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin with `incomplete`; none rather than an error."""
        terminal = context.ensure_object(Terminal)
        try:
            if terminal.settings.paths.is_empty:
                return []
            names = [c.name for c in terminal.services.store.connections.all()]
        except WizardError:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


CONNECTION_NAME = ConnectionNameType()
NEW_CONNECTION_NAME = ConnectionNameType(is_new=True)


class _LogFormatter(logging.Formatter):
    """Foreign text, such as a path that somebody asked for, forges no record and steers no
    terminal; an exception is named without its words, which may hold a value."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return format_iso(datetime.fromtimestamp(record.created, UTC))

    def formatMessage(self, record: logging.LogRecord) -> str:
        return sanitize_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        kind, _, trace = ei
        return "".join(traceback.format_tb(trace)) + str(kind.__name__)


def log_to_stderr() -> None:
    """Log to stderr: the wizard everything, the libraries what they hold to be worth a line."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LogFormatter("%(asctime)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("wizard").setLevel(logging.DEBUG)
