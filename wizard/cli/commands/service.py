"""``service``: the wizard as systemd services, of this user or of the system."""

import errno
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click

from wizard import files
from wizard.cli.commands.monitor import MIN_INTERVAL
from wizard.cli.commands.status import run_unattended
from wizard.cli.commands.token import DurationType
from wizard.cli.flows.service_manager import user_unit_options
from wizard.cli.flows.units import (
    MONITOR,
    SERVICE,
    SOCKET,
    STARTED_UNITS,
    SYSTEM_HOME,
    SYSTEM_VARIABLES,
    TIMER,
    Scope,
    UnitFile,
    UnitOptions,
    monitor_units,
    serve_units,
    sysusers_file,
)
from wizard.cli.results.installation import (
    ServiceFile,
    ServiceInstallation,
    ServiceRemoval,
    ServiceStatus,
    ServiceUnitStatus,
)
from wizard.cli.terminal import Exit, Terminal, pass_terminal, printable
from wizard.errors import WizardError, fail, message
from wizard.fastpath import cipher, process
from wizard.fastpath.process import WIZARD_COMMAND
from wizard.model import Failure
from wizard.paths import KEY_CREDENTIAL, is_root
from wizard.timefmt import format_duration_option
from wizard.vault import NEW_KEY_FILE_SUFFIX

SYSTEM_UNIT_DIR = Path("/etc/systemd/system")
SYSUSERS_FILE = Path("/etc/sysusers.d/zoho-wizard.conf")
SHARED_DIRECTORY = Path("/run/zoho-wizard")
CREDENTIAL_FILE = Path("/etc/credstore.encrypted") / KEY_CREDENTIAL
DEFAULT_USER = "zoho-wizard"
USER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,30}\$?")
KEY_FILE_NAME = "key"
MAX_KEY_FILE_BYTES = 1024

PARTS = ("serve", "monitor")
UNITS_OF = {"serve": (SERVICE, SOCKET), "monitor": (MONITOR, TIMER)}
HIDDEN_DIRECTORIES = ("/home", "/root", "/run/user")
"""Directories that ``ProtectHome=yes`` hides from a system unit."""

SERVICE_PROPERTIES = (
    "User=", "Environment=", "LoadCredentialEncrypted=", "StateDirectory=", "StateDirectoryMode=",
    "UMask=",
)  # fmt: skip
"""The lines of the unit that a command needs to find the same data and key."""

COMMAND_TIMEOUT_SECONDS = 120
SHOWN_PROPERTIES = ("Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "StatusText")
UNIT_FILE_MODE = 0o644


@dataclass(frozen=True)
class Manager:
    """The systemd that runs the units: the system's, or the user's own."""

    scope: Scope
    directory: Path

    def command(self, *words: str) -> tuple[str, ...]:
        """A command line of ``systemctl`` for this manager."""
        return ("systemctl", *(("--user",) if self.scope == "user" else ()), *words)

    @property
    def credential_file(self) -> Path:
        """Where systemd looks for the encrypted key of the units."""
        if self.scope == "system":
            return CREDENTIAL_FILE
        return self.directory.parents[1] / CREDENTIAL_FILE.parent.name / KEY_CREDENTIAL

    def unit_path(self, name: str) -> Path:
        """Where a unit is."""
        return self.directory / name

    def installed(self, parts: Sequence[str] = PARTS) -> tuple[str, ...]:
        """The names of the units that are installed."""
        names = (name for part in parts for name in UNITS_OF[part])
        return tuple(each for each in names if self.unit_path(each).exists())


scope_option = click.option(
    "--system/--user",
    "is_system",
    default=None,
    help="Use system units or user units. Default: system units for root.",
)
parts_argument = click.argument(
    "parts", nargs=-1, type=click.Choice(PARTS), metavar="[serve|monitor]..."
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show what would be written and run. Change nothing."
)


@click.group()
def service() -> None:
    """Run the wizard as a systemd service.

    System units run as their own user, which keeps its data in /var/lib/zoho-wizard. User units
    run with your data.

    \b
    Examples:
      sudo zoho-wizard service install --dry-run
      zoho-wizard service install --user
      zoho-wizard service status
    """


def _require_user_name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A name that is one word of a unit file, and nothing else there."""
    if not USER_NAME.fullmatch(value):
        reason = message("usage-errors", "bad-user-name", value=printable(value))
        raise click.BadParameter(reason)
    return value


@service.command()
@parts_argument
@scope_option
@click.option(
    "--pages/--socket-only",
    "has_pages",
    default=None,
    help="Serve the web app, or only the sockets. Default: the web app for user units.",
)
@click.option(
    "--run-as",
    "user",
    default=DEFAULT_USER,
    callback=_require_user_name,
    metavar="USER",
    help="Run system units as this user, and create it if needed. Default: zoho-wizard.",
)
@click.option(
    "--writable",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Let system units write destinations in this directory. Repeat it for several.",
)
@click.option(
    "--encrypt-key",
    is_flag=True,
    help="Encrypt the system service’s key as a systemd credential, and remove its file.",
)
@click.option(
    "--every",
    type=DurationType(),
    default="1h",
    metavar="DURATION",
    help="Check this often, such as 30m or 6h. Default: 1h.",
)
@click.option(
    "--metrics",
    "metrics_file",
    type=click.Path(path_type=Path),
    help="After each check, write metrics for Prometheus into this file. Default: none.",
)
@dry_run_option
@pass_terminal
def install(
    terminal: Terminal,
    parts: tuple[str, ...],
    is_system: bool | None,
    has_pages: bool | None,
    user: str,
    writable: tuple[Path, ...],
    encrypt_key: bool,
    every: timedelta,
    metrics_file: Path | None,
    dry_run: bool,
) -> None:
    """Install the units and start them.

    Without an argument, it installs both: `serve`, and a timer for `monitor`. Run it again after
    an upgrade: it replaces the units that changed. Make changes of your own with
    `systemctl edit zoho-wizard`.

    \b
    Examples:
      sudo zoho-wizard service install --encrypt-key
      sudo zoho-wizard service install serve --writable /srv/reports
      zoho-wizard service install --user --dry-run
    """
    if every < MIN_INTERVAL:
        raise fail("monitor-interval-too-short", minimum=format_duration_option(MIN_INTERVAL))
    manager = _manager(terminal, is_system)
    problem = _problem_with(manager, metrics_file)
    if problem and not dry_run:
        raise WizardError(problem)
    if encrypt_key and manager.scope == "user":
        raise fail("service-key-of-user")
    reached = [*writable, *([metrics_file.absolute().parent] if metrics_file else [])]
    options = _unit_options(terminal, manager, user, reached)
    shown = manager.scope == "user" if has_pages is None else has_pages
    metrics = str(metrics_file.absolute()) if metrics_file else ""
    units = _units(options, parts or PARTS, shown, every, metrics)
    files = [(manager.unit_path(each.name), each.text) for each in units]
    first: list[tuple[str, ...]] = []
    if manager.scope == "system" and not _user_exists(user):
        files.insert(0, (SYSUSERS_FILE, sysusers_file(user)))
        first = [("systemd-sysusers", str(SYSUSERS_FILE))]
    found = [_planned(path, text) for path, text in files]
    names = [each for each in STARTED_UNITS if each in {unit.name for unit in units}]
    needs_credential = encrypt_key and not CREDENTIAL_FILE.exists()
    changes = {Path(each.path).name: each.change for each in found}
    # A new key, and a new unit, reach a service that runs only when it restarts.
    restarted = [
        each
        for each in names
        if changes[each] == "replaced"
        or (each == SERVICE and needs_credential and changes[each] == "unchanged")
    ]
    commands = [
        *first,
        manager.command("daemon-reload"),
        manager.command("enable", "--now", *names),
        *([manager.command("try-restart", *restarted)] if restarted else []),
    ]
    if needs_credential:
        commands.insert(len(first), _encrypt_command())
    result = ServiceInstallation(
        manager.scope,
        dry_run,
        terminal.error_report(problem, ""),
        tuple(found),
        tuple(map(shlex.join, commands)),
    )
    if not dry_run:
        for path, text in files:
            _write(path, text)
        for words in commands:
            if words == _encrypt_command():
                _encrypt_key()
            else:
                run_systemd(words)
    terminal.emit(result, lambda: _print_installation(terminal, result, problem))
    if result.problem:
        raise Exit(result.problem.exit_code)


@service.command()
@scope_option
@pass_terminal
def status(terminal: Terminal, is_system: bool | None) -> None:
    """Show which units are installed and their status.

    \b
    Examples:
      zoho-wizard service status
      zoho-wizard service status --system --json
    """
    manager = _manager(terminal, is_system)
    names = manager.installed()
    states = _unit_states(manager, names) if names else {}
    units = tuple(
        ServiceUnitStatus(
            name=name,
            path=str(manager.unit_path(name)),
            active_state=states.get(name, {}).get("ActiveState") or None,
            sub_state=states.get(name, {}).get("SubState") or None,
            enabled_state=states.get(name, {}).get("UnitFileState") or None,
            text=states.get(name, {}).get("StatusText") or None,
        )
        for name in names
    )
    result = ServiceStatus(manager.scope, units)
    terminal.emit(result, lambda: _print_status(terminal, result))


@service.command()
@parts_argument
@scope_option
@dry_run_option
@pass_terminal
def remove(
    terminal: Terminal, parts: tuple[str, ...], is_system: bool | None, dry_run: bool
) -> None:
    """Stop the services and remove their units.

    The data and its user stay: `zoho-wizard uninstall` removes them.

    \b
    Examples:
      sudo zoho-wizard service remove
      zoho-wizard service remove monitor --user
    """
    manager = _manager(terminal, is_system)
    _require_root(manager, dry_run)
    result = remove_units(manager, parts or PARTS, is_dry_run=dry_run)
    terminal.emit(result, lambda: _print_removal(terminal, result))


@service.command("run")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@pass_terminal
def run_as_service(terminal: Terminal, words: tuple[str, ...]) -> None:
    """Run a wizard command as the system service does.

    The command gets the environment and the encryption key of the installed unit. It needs root.

    \b
    Examples:
      sudo zoho-wizard service run -- list
      sudo zoho-wizard service run -- connect crm --no-browser
    """
    unit = SYSTEM_UNIT_DIR / SERVICE
    if not unit.exists():
        raise fail("service-not-installed", path=str(unit))
    _require_root(_manager(terminal, True), False)
    command = service_command(words, is_terminal=sys.stdin.isatty())
    terminal.close()
    try:
        process.replace_process([*command], dict(terminal.settings.child_environment))
    except OSError as error:
        raise fail("systemd-missing", reason=error.strerror or "") from None


def service_command(words: Sequence[str], *, is_terminal: bool) -> tuple[str, ...]:
    """The command line that runs the wizard as the installed system unit does."""
    # A unit file doubles percent signs, which start its specifiers.
    kept = (f"--property={line.replace('%%', '%')}" for line in _unit_lines(*SERVICE_PROPERTIES))
    stdin = "--pty" if is_terminal else "--pipe"
    command = ("systemd-run", "--quiet", "--wait", "--collect", stdin, *kept, "--")
    return (*command, *WIZARD_COMMAND, *words)


def created_user() -> str:
    """The user that was created for the system service; empty if there is none."""
    with suppress(OSError):
        return SYSUSERS_FILE.read_text("utf-8").split()[1]
    return ""


def _unit_lines(*starts: str) -> list[str]:
    lines = (SYSTEM_UNIT_DIR / SERVICE).read_text("utf-8").splitlines()
    return [line for line in lines if line.startswith(starts)]


def find_manager(terminal: Terminal, scope: Scope) -> Manager:
    """The manager of `scope`, whether or not this machine runs one."""
    directory = SYSTEM_UNIT_DIR if scope == "system" else Path(terminal.settings.user_unit_dir)
    return Manager(scope, directory)


def remove_units(
    manager: Manager, parts: Sequence[str] = PARTS, *, is_dry_run: bool
) -> ServiceRemoval:
    """Stop the installed units of `parts`, and remove their files. Raises ``service-command``."""
    names = manager.installed(parts)
    started = [each for each in reversed(STARTED_UNITS) if each in names]
    commands = [manager.command("disable", "--now", *started)] if started else []
    after = [manager.command("daemon-reload")] if names else []
    files = [manager.unit_path(each) for each in names]
    if not is_dry_run:
        for words in commands:
            run_systemd(words)
        for file in files:
            file.unlink(missing_ok=True)
        for words in after:
            run_systemd(words)
    return ServiceRemoval(
        manager.scope,
        is_dry_run,
        tuple(map(str, files)),
        tuple(map(shlex.join, [*commands, *after])),
    )


def _manager(terminal: Terminal, is_system: bool | None) -> Manager:
    if is_system is None:
        is_system = is_root()
    return find_manager(terminal, "system" if is_system else "user")


def _require_root(manager: Manager, is_dry_run: bool) -> None:
    if not is_dry_run and manager.scope == "system" and not is_root():
        raise fail("service-needs-root")


def _problem_with(manager: Manager, metrics_file: Path | None) -> Failure | None:
    """What prevents an installation. systemd starts no unit that may write a missing directory."""
    if metrics_file and not os.path.isdir(metrics_file.absolute().parent):
        details = {"path": str(metrics_file), "reason": os.strerror(errno.ENOENT)}
        return Failure("metrics-unwritable", details=details)
    if manager.scope == "user":
        return None
    if hidden := _hidden_part(Path(sys.executable)):
        details = {"path": sys.executable, "directory": str(hidden)}
        return Failure("service-program-hidden", details=details)
    return None if is_root() else Failure("service-needs-root")


def _unit_options(
    terminal: Terminal, manager: Manager, user: str, writable: Sequence[Path]
) -> UnitOptions:
    settings = terminal.settings
    if manager.scope == "user":
        return user_unit_options(run_unattended(terminal))
    kept = {n: v for n, v in settings.service_environment.items() if n in SYSTEM_VARIABLES}
    return UnitOptions(
        "system",
        {"ZOHO_WIZARD_HOME": SYSTEM_HOME, **kept},
        user=user,
        writable=[str(each.absolute()) for each in writable],
    )


def _hidden_part(program: Path) -> Path | None:
    """The first directory of `program`, or of what it links to, that a different user in a system
    unit can't enter; None if there is none."""
    for path in (program, program.resolve()):
        for each in reversed(path.parents):
            is_closed = not each.stat().st_mode & stat.S_IXOTH
            if is_closed or str(each) in HIDDEN_DIRECTORIES:
                return each
    return None


def _units(
    options: UnitOptions,
    parts: Sequence[str],
    has_pages: bool,
    every: timedelta,
    metrics_file: str,
) -> tuple[UnitFile, ...]:
    serving = serve_units(options, [] if has_pages else ["--socket-only"])
    monitoring = monitor_units(options, every, [], metrics_file)
    return (*(serving if "serve" in parts else ()), *(monitoring if "monitor" in parts else ()))


def _user_exists(user: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _planned(path: Path, text: str) -> ServiceFile:
    try:
        before = path.read_text("utf-8")
    except FileNotFoundError:
        return ServiceFile(str(path), text, "created")
    except OSError:  # it isn't readable for the user of a dry run
        return ServiceFile(str(path), text, "replaced")
    return ServiceFile(str(path), text, "unchanged" if before == text else "replaced")


def _write(path: Path, text: str) -> None:
    """Write a unit atomically. Everyone may read it: it has no secret."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(str(path), text.encode(), mode=UNIT_FILE_MODE)
    except OSError as error:
        raise fail("service-unwritable", path=str(path), reason=error.strerror or "") from error


def run_systemd(words: Sequence[str], stdin: bytes = b"") -> bytes:
    """Run a systemd command; return its output. Raises ``systemd-missing`` or
    ``service-command``."""
    program = shutil.which(words[0])
    if program is None:
        raise fail("systemd-missing", reason=words[0])
    try:
        done = subprocess.run(  # noqa: S603 - a systemd program
            [program, *words[1:]],
            input=stdin,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _command_failed(words, type(error).__name__) from error
    if done.returncode != 0:
        raise _command_failed(words, done.stderr.decode("utf-8", "replace").strip())
    return done.stdout


def _command_failed(words: Sequence[str], reason: str) -> WizardError:
    return fail("service-command", command=shlex.join(words), reason=reason[:500])


def _encrypt_command() -> tuple[str, ...]:
    return ("systemd-creds", "encrypt", f"--name={KEY_CREDENTIAL}", "-", str(CREDENTIAL_FILE))


def _encrypt_key() -> None:
    """Encrypt the key of the service, or a new one if it has none. Its file is removed after the
    credential was decrypted once, to verify it."""
    with _key_directory() as directory:
        if directory is not None and f"{KEY_FILE_NAME}{NEW_KEY_FILE_SUFFIX}" in os.listdir(
            directory
        ):
            raise fail("key-rotation-under-way")  # the database may need the new key
        key = cipher.key_to_text(_service_key(directory) or cipher.new_key()).encode()
        files.make_directory(str(CREDENTIAL_FILE.parent))
        run_systemd(_encrypt_command(), key)
        name = f"--name={KEY_CREDENTIAL}"
        decrypt = ("systemd-creds", "decrypt", name, str(CREDENTIAL_FILE), "-")
        if run_systemd(decrypt) != key:
            CREDENTIAL_FILE.unlink()
            raise _command_failed(decrypt, "it returned a different key")
        if directory is not None:
            files.remove(KEY_FILE_NAME, directory)


@contextmanager
def _key_directory() -> Iterator[int | None]:
    """A descriptor of the directory with the service's key file; None if there is none.

    It belongs to the service's user, who could replace it, and the file, by links to what only root
    can read. None is followed. Raises ``key-unreadable``.
    """
    try:
        descriptor = os.open(Path(SYSTEM_HOME) / "config", os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise _key_unreadable(error.strerror or "") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _service_key(directory: int | None) -> bytes | None:
    """The key in the service's key file; None if there is none. Its user gets back what is
    encrypted, so a file that isn't a key is refused. Raises ``key-unreadable``."""
    if directory is None:
        return None
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe doesn't block
        with open(os.open(KEY_FILE_NAME, flags, dir_fd=directory), "rb") as file:
            return cipher.key_from_text(file.read(MAX_KEY_FILE_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _key_unreadable(error.strerror or "") from None
    except ValueError:
        raise _key_unreadable("not a key") from None


def _key_unreadable(reason: str) -> WizardError:
    where = str(Path(SYSTEM_HOME) / "config" / KEY_FILE_NAME)
    return fail("key-unreadable", where=where, reason=reason)


def _unit_states(manager: Manager, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The properties of each unit; empty if systemd doesn't answer."""
    try:
        shown = run_systemd(
            manager.command("show", f"--property={','.join(SHOWN_PROPERTIES)}", *names)
        )
    except WizardError:
        return {}
    blocks = shown.decode("utf-8", "replace").strip().split("\n\n")
    rows = [dict(line.partition("=")[::2] for line in each.splitlines()) for each in blocks]
    return {row["Id"]: row for row in rows if "Id" in row}


def _print_installation(
    terminal: Terminal, result: ServiceInstallation, problem: Failure | None
) -> None:
    renderer = terminal.renderer
    if result.is_dry_run:
        for file in result.files:
            renderer.print_raw(f"# {file.path} ({file.change})\n{file.text}")
        for command in result.commands:
            renderer.print_raw(f"# {command}")
        if problem:
            renderer.print_explanation(terminal.explain(problem))
        return
    rows = [(file.change, file.path) for file in result.files]
    renderer.print_table(("Change", "File"), rows)
    renderer.print_success(message("notes", "service-installed"))
    renderer.print_note(message("notes", "service-show"), command="zoho-wizard service status")
    if result.scope == "system":
        command = "zoho-wizard service run -- status"
        renderer.print_note(message("notes", "service-run"), command=command)
    else:
        renderer.print_note(message("notes", "service-linger"), command="loginctl enable-linger")


def _print_status(terminal: Terminal, result: ServiceStatus) -> None:
    if not result.units:
        note = message("notes", f"no-service-{result.scope}")
        terminal.renderer.print_note(note, command="zoho-wizard service install")
        return
    rows = [
        (e.name, e.active_state or "", e.sub_state or "", e.enabled_state or "", e.text or "")
        for e in result.units
    ]
    terminal.renderer.print_table(("Unit", "Active", "State", "Enabled", "Status"), rows)


def _print_removal(terminal: Terminal, result: ServiceRemoval) -> None:
    if result.is_dry_run:
        for command in result.commands:
            terminal.renderer.print_raw(f"# {command}")
    for file in result.files:
        terminal.renderer.print_output(file)
    if not result.is_dry_run:
        done = "service-removed" if result.files else f"no-service-{result.scope}"
        terminal.renderer.print_note(message("notes", done))
