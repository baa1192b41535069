"""``status``, ``completion`` and ``schema``: this installation, and what scripts need to know."""

import json
import os
import subprocess
import sys
from datetime import datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from wizard import zoho
from wizard.cli.commands.connections import destination_problems, print_no_connections
from wizard.cli.results.connections import caution_of
from wizard.cli.results.installation import CompletionScript, KeyStatus, SchemaList, Status
from wizard.cli.terminal import Terminal, pass_terminal
from wizard.errors import explain, fail, message
from wizard.local_api import find_service, shared_socket_path
from wizard.model import Failure
from wizard.model.states import ConnectionState
from wizard.monitoring.notifications import target_name
from wizard.paths import current_user
from wizard.serialization import error_report
from wizard.services import Services
from wizard.timefmt import format_age, format_time

UNATTENDED_TIMEOUT_SECONDS = 30
"""For the run without a session: a keyring that asks for a password never answers."""


@click.command()
@click.option(
    "--unattended", is_flag=True, help="Also run it with an empty environment, as a timer does."
)
@pass_terminal
def status(terminal: Terminal, unattended: bool) -> None:
    """Show storage paths, the encryption key and the version.

    It says where the data is, how it’s encrypted, when it was last backed up, and whether a
    monitor runs. With --unattended, it tests that a timer would find the same data and key.

    \b
    Examples:
      zoho-wizard status
      zoho-wizard status --unattended
    """
    found = _collect_status(terminal, unattended)
    terminal.emit(found, lambda: _print_status(terminal, found))


def _print_status(terminal: Terminal, found: Status) -> None:
    renderer = terminal.renderer
    renderer.print_facts(_status_facts(found, terminal.clock()))
    if found.key is None:
        print_no_connections(terminal)
        return
    for code in found.key.stronger_options:
        option = explain(Failure(code))
        details = {"title": option.title, "fix": option.fix}
        renderer.print_note(message("notes", "stronger-key-storage", **details))
    for caution in terminal.services.cautions.of_installation():
        renderer.print_caution(caution)
    if found.unattended is not None:
        renderer.print_success(message("notes", "works-unattended"))
        for name, value in found.unattended.items():
            renderer.print_command(f"{name}={value}")


def _collect_status(terminal: Terminal, unattended: bool) -> Status:
    from wizard.web import socket_owner  # slow to load, and most commands need no pages

    settings, paths = terminal.settings, terminal.settings.paths
    stored = {} if paths.is_empty else _stored_status(terminal)
    stored.setdefault("shared_socket", None)
    service = find_service(Path(paths.socket))
    return Status(
        version=version("zoho-wizard"),
        user=current_user(),
        zoho_instance=settings.simulator_url or zoho.LIVE,
        data_dir=paths.data_dir,
        config_dir=paths.config_dir,
        database=paths.database,
        cache_dir=paths.cache_dir,
        socket=paths.socket if os.path.exists(paths.socket) else None,
        browser_profiles=paths.browser_dir if os.path.isdir(paths.browser_dir) else None,
        base_url=settings.base_url,
        redirect_uri=settings.redirect_uri,
        access_check=socket_owner.learn().access_check,
        is_serving=service is not None,
        has_pages=service is not None and service.has_pages,
        unattended=run_unattended(terminal) if unattended else None,
        **stored,
    )


def _stored_status(terminal: Terminal) -> dict[str, Any]:
    """The fields of `Status` from the key and the database."""
    with terminal.services.snapshot() as services:
        return _status_in(services)


def _status_in(services: Services) -> dict[str, Any]:
    key_storage, store = services.vault.key_storage, services.store
    failed = store.monitoring.notify_failure()
    destinations = store.destinations.all()
    return {
        "key": KeyStatus(
            key_storage.kind,
            key_storage.strength,
            key_storage.detail,
            tuple(key_storage.stronger_options),
        ),
        "last_backup_at": store.installation.backed_up_at(),
        "last_checked_at": store.monitoring.last_checked_at(),
        "notify_program": target_name(store.monitoring.notify_command()) or None,
        "notify_failed_at": failed.at if failed else None,
        "notify_failure": error_report(explain(failed.failure)) if failed else None,
        "deactivated_at": store.installation.deactivated_at(),
        "connections": len(store.connections.all()),
        "outcome_unknown": tuple(
            row.connection.name
            for row in store.overviews.unsettled()
            if row.status(services.clock()).state is ConnectionState.OUTCOME_UNKNOWN
        ),
        "clients": len(store.clients.all()),
        "shared_socket": shared_socket_path(services.paths)
        if store.access_permissions.all()
        else None,
        "destinations": len(destinations),
        "destination_problems": destination_problems(
            services.delivery.problems() if destinations else ()
        ),
        "cautions": tuple(caution_of(each) for each in services.cautions.of_installation()),
    }


def _status_facts(found: Status, now: datetime) -> list[tuple[str, str]]:
    key = found.key
    is_live = found.zoho_instance == "live"
    return [
        ("Version", found.version),
        ("User", found.user),
        ("Zoho", _status_text("live" if is_live else "simulated", address=found.zoho_instance)),
        ("Key", f"{key.kind}, {key.strength}: {key.detail}" if key else ""),
        ("Data", found.data_dir),
        ("Configuration", found.config_dir),
        ("Database", found.database),
        ("Cache", found.cache_dir),
        ("Socket", found.socket or ""),
        ("Socket for other users", found.shared_socket or ""),
        ("Browser profiles", _profiles_text(found.browser_profiles)),
        (
            "Pages",
            _status_text("served" if found.has_pages else "not-served", address=found.base_url),
        ),
        ("Access", message("access-check", found.access_check)),
        ("Redirect URI", found.redirect_uri),
        ("Last backup", _last_backup_text(found.last_backup_at, now)),
        ("Last monitor check", _last_check_text(found.last_checked_at, now)),
        ("Notifications", found.notify_program or _status_text("no-notifications")),
        ("Moved away", _time_text(found.deactivated_at, now)),
        ("Connections", str(found.connections)),
        ("Outcome unknown", ", ".join(found.outcome_unknown)),
        ("Clients", str(found.clients)),
        ("Destinations", _destinations_text(found.destinations, len(found.destination_problems))),
    ]


def _destinations_text(count: int, problems: int) -> str:
    details = {"count": str(count), "problems": str(problems or "")}
    return _status_text("destinations", **details) if count else ""


def _status_text(code: str, **details: str) -> str:
    return message("status-texts", code, **details)


def _profiles_text(profiles: str | None) -> str:
    return _status_text("profiles", path=profiles) if profiles else ""


def _time_text(at: datetime | None, now: datetime) -> str:
    return "" if at is None else format_time(at, now)


def _last_check_text(at: datetime | None, now: datetime) -> str:
    return _status_text("never-checked") if at is None else format_age(at, now)


def _last_backup_text(at: datetime | None, now: datetime) -> str:
    if at is None:
        return _status_text("never-backed-up")
    return f"{format_age(at, now)}, {format_time(at, now)}"


def run_unattended(terminal: Terminal) -> dict[str, str]:
    """Run ``status`` without this session's environment; return the variables it needed.

    Raises ``unattended-fails`` with what it printed if it fails.
    """
    variables = dict(terminal.settings.service_environment)
    # -P: the current directory may contain another `wizard`.
    command = [sys.executable, "-P", "-m", "wizard", "status", "--json"]
    try:
        result = subprocess.run(  # noqa: S603 - ourselves
            command,
            env={"PATH": os.defpath, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=UNATTENDED_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise fail(
            "unattended-fails",
            reason=message("process-outputs", "no-answer", seconds=str(UNATTENDED_TIMEOUT_SECONDS)),
        ) from None
    if result.returncode != 0:
        raise fail("unattended-fails", reason=_reason(result.stderr))
    return variables


def _reason(stderr: str) -> str:
    try:
        return str(json.loads(stderr)["error"]["title"])
    except (ValueError, KeyError, TypeError):
        return (stderr.strip().splitlines() or [message("process-outputs", "no-output")])[-1]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_terminal
@click.pass_context
def completion(context: click.Context, terminal: Terminal, shell: str) -> None:
    """Print a shell’s completion script.

    It completes commands, options, and the names of connections, clients and tags.

    \b
    Examples:
      zoho-wizard completion fish > ~/.config/fish/completions/zoho-wizard.fish
      zoho-wizard completion bash | sudo tee /etc/bash_completion.d/zoho-wizard
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise fail("unknown", name=shell)
    root = context.find_root()
    script = kind(root.command, {}, "zoho-wizard", "_ZOHO_WIZARD_COMPLETE").source()
    terminal.emit(CompletionScript(shell, script), lambda: terminal.renderer.print_raw(script))


@click.command()
@click.argument("command", nargs=-1, metavar="[COMMAND]")
@pass_terminal
def schema(terminal: Terminal, command: tuple[str, ...]) -> None:
    """Print the JSON Schema of a command’s result.

    Without COMMAND, it lists the commands that have one. The schema `error` describes what any
    command prints on standard error if it fails before it has a result. The schema
    `connections.toml` is for your editor.

    \b
    Examples:
      zoho-wizard schema
      zoho-wizard schema client list
      zoho-wizard schema error
    """
    from wizard.cli.results.commands import INPUTS, RESULTS  # loads every result

    name = " ".join(command)
    if not name:
        names = SchemaList((*RESULTS, *INPUTS))
        terminal.emit(names, lambda: terminal.renderer.print_raw("\n".join(names.schemas)))
    elif name in RESULTS or name in INPUTS:
        terminal.renderer.print_json(load_schema(name))
    else:
        raise fail("unknown-schema", value=name[:60])


def load_schema(command: str) -> object:
    """The schema of what `command` prints, or of a file; a key of `RESULTS` or `INPUTS`."""
    file = resources.files("wizard") / "schemas" / f"{command.replace(' ', '-')}.json"
    return json.loads(file.read_text("utf-8"))
