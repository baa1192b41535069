"""What every command receives: the renderer, the clock, the settings, the services and the prompts.

A command builds one result (a dataclass of `wizard.cli.results`) and emits it: the renderer prints
it for people or, with ``--json``, as one JSON document on stdout. All prompts are here, too; with
``--no-input``, or without a terminal, they fail with ``input-needed``.
"""

import io
import json
import logging
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import click
from click.shell_completion import CompletionItem

from wizard.cli.renderer import Renderer
from wizard.errors import WizardError, fail, message
from wizard.model import Clock, Explanation, Failure
from wizard.model.failure import codes_with
from wizard.serialization import ErrorReport, error_report
from wizard.services import Services, utc_now
from wizard.settings import Settings, from_environment
from wizard.store import Store
from wizard.store.connections import unknown_connection, unknown_tag
from wizard.timefmt import format_iso, format_time
from wizard.transport import sanitize_line


class Exit(Exception):
    """Ends a command with an exit code; everything has been printed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Terminal:
    """One run of the command line. The services are opened when a command first needs them."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self.clock = clock
        self.renderer = Renderer()
        self.debug = False
        self.no_input = False
        """``--no-input``: nothing is asked, even on a terminal."""
        self.connection_name = ""
        """The connection that the command is about, for explanations."""
        self.needs_connection = False
        """Whether that connection has to exist."""
        self._exit_stack = ExitStack()
        logging.getLogger().addHandler(logging.NullHandler())

    @cached_property
    def settings(self) -> Settings:
        """The settings of this run; raises `WizardError` if one is invalid."""
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

    @cached_property
    def service_socket(self) -> Path | None:
        """The socket of the running service, for a command that can't read the encryption key; None
        if this process has the key. Raises what opening the services raises if no service runs."""
        try:
            _ = self.services
        except WizardError as error:
            if error.failure.code not in codes_with("key_elsewhere"):
                raise
            from wizard.local_api import find_service  # slow to load, and rarely needed

            socket = Path(self.settings.paths.socket)
            if find_service(socket):
                return socket
            details = {**error.failure.details, "service": message("notes", "no-service-has-key")}
            raise WizardError(replace(error.failure, details=details)) from None
        return None

    def open_services(self, settings: Settings, clock: Clock) -> Services:
        """Services for `settings`, closed at the end of the run."""
        return self._exit_stack.enter_context(Services.open(settings, clock))

    def defer(self, callback: Callable[[], None]) -> None:
        """Call `callback` after the output is complete and before the services are closed."""
        self._exit_stack.callback(callback)

    def close(self) -> None:
        """Run what was deferred, and close what was opened."""
        self._exit_stack.close()

    # results

    @property
    def is_json(self) -> bool:
        """Whether ``--json`` was given."""
        return self.renderer.as_json

    def emit(self, result: object, render: Callable[[], object]) -> None:
        """Print the result of the command: one JSON document, or `render` prints it for people."""
        if self.is_json:
            self.renderer.print_json(result)
        else:
            render()

    def emit_event(self, event: object, render: Callable[[], object]) -> None:
        """Print one event of a command that keeps running: one line of JSON, or `render`."""
        if self.is_json:
            self.renderer.print_json_line(event)
        else:
            render()

    def format_time(self, at: datetime | None, *, seconds: bool = False) -> str:
        """`at` for people, in the time zone of this machine; ``never`` for None."""
        return "never" if at is None else format_time(at, self.clock(), seconds=seconds)

    def explain(self, failure: Failure, name: str | None = None) -> Explanation:
        """The explanation of `failure`, with what is known about connection `name`; default: the
        command's."""
        name = self.connection_name if name is None else name
        if name and "services" in self.__dict__:
            with suppress(WizardError):
                return self.services.diagnosis.explain(name, failure)
        from wizard.diagnosis.rendering import (
            explain_failure,  # slow to load, and most runs need none
        )

        return explain_failure(failure, self.clock(), **({"name": name} if name else {}))

    def error_report(self, failure: Failure | None, name: str) -> ErrorReport | None:
        """`failure` of connection `name` as a part of a result; None if there is none."""
        return error_report(self.explain(failure, name)) if failure else None

    # prompts

    @property
    def is_interactive(self) -> bool:
        """Whether a person can be asked: stdin and stderr are a terminal, and may be used."""
        return not self.no_input and sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(
        self,
        question: str,
        *,
        option: str,
        declined: str = "",
        is_default: bool = False,
    ) -> None:
        """Ask a yes-or-no question; `option` is the one that answers it in a script. Enter means
        yes if `is_default`.

        Raises ``input-needed`` if nobody can be asked, and `Exit` if the answer is no.
        """
        if not self.ask_yes_no(question, option=option, is_default=is_default):
            self.renderer.print_note(declined or message("notes", "nothing-changed"))
            raise Exit(1)

    def ask_yes_no(self, question: str, *, option: str, is_default: bool = False) -> bool:
        """Ask a yes-or-no question; Enter means yes if `is_default`. Raises ``input-needed`` if
        nobody can be asked."""
        self._require_input(option)
        with interruptible():
            return click.confirm(question, default=is_default, err=True)

    def choose(self, question: str, choices: Sequence[str], *, default: str, option: str) -> str:
        """Ask for one of `choices`. Raises ``input-needed`` if nobody can be asked."""
        self._require_input(option)
        with interruptible():
            answer = click.prompt(question, type=click.Choice(choices), default=default, err=True)
        return str(answer)

    def ask(self, prompt: str, *, option: str, is_hidden: bool = False, twice: bool = False) -> str:
        """Ask for a line of text. Raises ``input-needed`` if nobody can be asked."""
        self._require_input(option)
        with interruptible():
            answer = click.prompt(prompt, hide_input=is_hidden, confirmation_prompt=twice, err=True)
        return str(answer)

    def read_secret(self, prompt: str, *, whole: bool = True, twice: bool = False) -> str:
        """Text that must not be in argv: typed hidden at a prompt, or piped to stdin by a script.

        `whole` reads all of stdin, else its next line. Raises ``input-needed`` if stdin is a
        terminal on which nobody can be asked, or has no next line.
        """
        if self.is_interactive:
            return self.ask(prompt, option="", is_hidden=True, twice=twice)
        self.require_piped_input(prompt)
        if whole:
            return sys.stdin.read()
        with interruptible():
            line = sys.stdin.readline()
        if not line:
            raise _piped_input_needed(prompt)
        return line.rstrip("\r\n")

    def require_piped_input(self, what: str) -> None:
        """Raise ``input-needed`` if reading stdin would wait for a person that can't be asked."""
        if not self.is_interactive and sys.stdin.isatty():
            raise _piped_input_needed(what)

    def require_line(self, what: str) -> None:
        """Raise ``input-needed`` if nobody can be asked for a line, and a script can't pipe it.

        Call it before anything is read from stdin, and before anything is stored.
        """
        self.require_piped_input(what)
        if not self.is_interactive and _is_stdin_empty():
            raise _piped_input_needed(what)

    def _require_input(self, option: str) -> None:
        if not self.is_interactive:
            raise fail("input-needed", options=option)


def _piped_input_needed(what: str) -> WizardError:
    return fail("input-needed", options=message("input-options", "piped", value=what))


def _is_stdin_empty() -> bool:
    """Whether stdin is known to be at its end, as ``/dev/null`` is; doesn't wait for a pipe."""
    buffer = sys.stdin.buffer
    if sys.platform == "win32" or not isinstance(buffer, io.BufferedReader):
        return False
    return bool(select.select([buffer], [], [], 0)[0]) and not buffer.peek(1)


REPEAT_INTERVAL_SECONDS = 0.05


class StopEvent:
    """An event that a signal handler sets while the same thread waits for it.

    With `threading.Event`, the handler would wait for a lock that its own thread holds. And Python
    calls a handler only before or after a wait, so the system's handler writes to `wakeup_fd`.
    """

    def __init__(self) -> None:
        self._is_set = False
        # Windows can select on sockets only.
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)

    @property
    def wakeup_fd(self) -> int:
        """For `signal.set_wakeup_fd`."""
        return self._sender.fileno()

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._is_set

    def set(self) -> None:
        """Set it."""
        self._is_set = True

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, at most for `seconds`; returns whether it is."""
        end = time.monotonic() + seconds
        while not self._is_set:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._receiver], [], [], left)[0]:
                break
            self._receiver.recv(4096)
        return self._is_set

    def close(self) -> None:
        """Nobody waits for it anymore."""
        self._receiver.close()
        self._sender.close()


class StopHandler:
    """A signal handler that sets an event instead of interrupting the current operation."""

    def __init__(self) -> None:
        self.event = StopEvent()

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        self.event.set()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals interrupt a prompt, even where a `StopHandler` only sets an event.

    One that came just before the prompt interrupts it, too: nobody may ever answer.
    """
    handled = [each for each in stop_signal_numbers() if callable(signal.getsignal(each))]
    interruption = _Interruption()
    previous = {each: signal.signal(each, interruption) for each in handled}
    try:
        if any(isinstance(each, StopHandler) and each.event.is_set() for each in previous.values()):
            raise KeyboardInterrupt
        with interruption.repeated():
            yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Interruption:
    """A signal handler that raises KeyboardInterrupt once."""

    def __init__(self) -> None:
        self._is_raised = False

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._is_raised:
            self._is_raised = True
            raise KeyboardInterrupt

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Repeat each signal to this thread until the handler was called: Python calls it only
        between two steps, so one that comes just before a read begins wouldn't end the read."""
        if sys.platform == "win32":
            yield
            return
        thread_id, ended = threading.get_ident(), threading.Event()
        receiver, sender = socket.socketpair()
        sender.setblocking(False)

        def repeat() -> None:
            for number in receiver.recv(1):
                while not (ended.wait(REPEAT_INTERVAL_SECONDS) or self._is_raised):
                    signal.pthread_kill(thread_id, number)

        repeating = threading.Thread(target=repeat, daemon=True)
        woken = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        repeating.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            ended.set()
            sender.close()
            repeating.join()
            receiver.close()


def stop_signal_numbers() -> tuple[int, ...]:
    """The signals that stop a command: Ctrl-C, SIGTERM, and a closed terminal unless `nohup` says
    to ignore it."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return numbers
    return (*numbers, signal.SIGHUP)


pass_terminal = click.make_pass_decorator(Terminal)


def printable(argument: Any) -> str:
    """`argument` with a question mark for each byte that isn't text; such a name finds nothing."""
    return str(argument).encode(errors="replace").decode()


def complete_stored(
    context: click.Context, incomplete: str, items_of: Callable[[Store], Iterable[CompletionItem]]
) -> list[CompletionItem]:
    """The items from the store that start with `incomplete`. None rather than an error; where
    nothing is stored, nothing is created."""
    terminal = context.ensure_object(Terminal)
    try:
        if terminal.settings.paths.is_empty:
            return []
        items = items_of(terminal.services.store)
    except WizardError:
        return []
    return [each for each in items if each.value.startswith(incomplete)]


class ConnectionNameType(click.ParamType[str]):
    """A connection's name as an argument, with shell completion from the store."""

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
        """The names that start with `incomplete`."""
        return complete_stored(
            context,
            incomplete,
            lambda store: [CompletionItem(each.name) for each in store.connections.all()],
        )


def require_value(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Reject an empty value of an option that may be left out."""
    if value is not None and not value.strip():
        raise click.BadParameter(message("usage-errors", "empty-value"))
    return value


class TagType(click.ParamType[str]):
    """A tag as an option, with shell completion from the store."""

    name = "tag"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> str:
        """The tag as text."""
        return printable(value)

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The tags that start with `incomplete`."""
        return complete_stored(
            context,
            incomplete,
            lambda store: [CompletionItem(each) for each in store.connections.tags()],
        )


TAG = TagType()


def tagged_connections(terminal: Terminal, tags: Collection[str]) -> tuple[str, ...]:
    """The names of the connections that have all `tags`; raises ``unknown-tag``."""
    if terminal.settings.paths.is_empty:
        raise unknown_tag(next(iter(tags)), ())
    return terminal.services.store.connections.tagged(tags)


CONNECTION_NAME = ConnectionNameType()
NEW_CONNECTION_NAME = ConnectionNameType(is_new=True)


class _LogFormatter(logging.Formatter):
    """Formats records so that text from outside, such as a requested path, can't forge one or
    control a terminal. Exceptions are logged without their messages, which may contain values."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return format_iso(datetime.fromtimestamp(record.created, UTC))

    def formatMessage(self, record: logging.LogRecord) -> str:
        return sanitize_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        kind, _, trace = ei
        return "".join(traceback.format_tb(trace)) + str(kind.__name__)


class _JsonLogFormatter(_LogFormatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": sanitize_line(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr(level: str, *, as_json: bool) -> None:
    """Log to stderr what has at least `level`; what libraries log, at least at level info."""
    handler = logging.StreamHandler()
    text = "%(asctime)s %(levelname)s %(name)s %(message)s"
    handler.setFormatter(_JsonLogFormatter() if as_json else _LogFormatter(text))
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(max(number, logging.INFO))
    logging.getLogger("wizard").setLevel(number)
