"""``status``, ``completion`` and ``schema``: this installation, and what scripts need to know."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from wizard import files, zoho
from wizard.cli.commands.connections import destination_problems, print_no_connections
from wizard.cli.results.connections import caution_of
from wizard.cli.results.destinations import MachineReport, machine_reports
from wizard.cli.results.installation import (
    CompletionScript,
    KeyStatus,
    Metrics,
    SchemaList,
    Status,
    TokenRequests,
)
from wizard.cli.terminal import Terminal, pass_terminal
from wizard.errors import explain, fail, message
from wizard.local_api import find_service, request_metrics, shared_socket_path
from wizard.model import Explanation, Failure
from wizard.model.states import ConnectionState
from wizard.monitoring.metrics import render_metrics
from wizard.monitoring.notifications import target_name
from wizard.paths import current_user
from wizard.serialization import error_report
from wizard.services import Services
from wizard.timefmt import format_age, format_time
from wizard.tokens.budgets import LIMITS

UNATTENDED_TIMEOUT_SECONDS = 30
"""For the run without a session: a keyring that asks for a password never answers."""

METRICS_MODE = 0o644
"""So that a collector that runs as a different user can read them. They contain no secret."""


@click.command()
@click.option(
    "--unattended", is_flag=True, help="Also run it with an empty environment, as a timer does."
)
@click.option(
    "--metrics", is_flag=True, help="Print metrics in the text format of Prometheus instead."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write the metrics into this file, which any user may read, and replace it atomically.",
)
@pass_terminal
def status(terminal: Terminal, unattended: bool, metrics: bool, output: Path | None) -> None:
    """Show storage paths, the encryption key and the version.

    It says where the data is, how it’s encrypted, when it was last backed up, and whether a
    monitor runs. With --unattended, it tests that a timer would find the same data and key.
    It also warns you before something fails: of an old backup, for example.

    \b
    Examples:
      zoho-wizard status
      zoho-wizard status --unattended
      zoho-wizard status --metrics --output /srv/metrics/zoho.prom
    """
    if metrics or output:
        result = _collect_metrics(terminal, output)

        def render() -> None:
            if not output:
                terminal.renderer.print_raw(result.text)

        terminal.emit(result, render)
        return
    found = _collect_status(terminal, unattended)
    terminal.emit(found, lambda: _print_status(terminal, found))


def _collect_metrics(terminal: Terminal, output: Path | None) -> Metrics:
    """The metrics, written to `output` if there is one. Without the key, the service has them."""
    if socket := terminal.service_socket:
        text = request_metrics(socket)
        if text is None:
            raise fail("service-stopped")
    else:
        with terminal.services.snapshot() as services:
            text = render_metrics(services.observer.observe(), version("zoho-wizard"))
    if output:
        try:
            files.replace(str(output), text.encode(), is_durable=False, mode=METRICS_MODE)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise fail("metrics-unwritable", path=str(output), reason=reason) from error
    return Metrics(str(output) if output else None, text)


def _print_status(terminal: Terminal, found: Status) -> None:
    renderer = terminal.renderer
    renderer.print_facts(_status_facts(found, terminal.clock()))
    if len(found.machines) > 1:
        renderer.print_heading("Machines")
        print_machines(terminal, found.machines)
        renderer.print_blank()
    if found.key is None:
        print_no_connections(terminal)
        return
    for code in found.key.stronger_options:
        option = explain(Failure(code))
        details = {"title": option.title, "fix": option.fix}
        renderer.print_note(message("notes", "stronger-key-storage", **details))
    for caution in terminal.services.cautions.of_installation():
        renderer.print_caution(caution)
    for warning in found.warnings:
        if warning.code != "key-weak":  # the notes above say more
            renderer.print_caution(
                Explanation(warning.code, warning.title, warning.cause, warning.fix)
            )
    if found.unattended is not None:
        renderer.print_success(message("notes", "works-unattended"))
        for name, value in found.unattended.items():
            renderer.print_command(f"{name}={value}")


def print_machines(terminal: Terminal, machines: Iterable[MachineReport]) -> None:
    """Print a table of machines."""
    now = terminal.services.clock()
    rows = []
    for each in machines:
        seen = "this machine" if each.is_this_one else format_age(each.last_seen_at, now)
        rows.append((each.name, seen, str(each.destinations), str(each.outdated_destinations)))
    columns = ("Machine", "Last seen", "Destinations", "Out of date")
    terminal.renderer.print_table(columns, rows)


def _collect_status(terminal: Terminal, unattended: bool) -> Status:
    from wizard.web import socket_owner  # slow to load, and most commands need no pages

    settings, paths = terminal.settings, terminal.settings.paths
    stored = {} if paths.is_empty else _stored_status(terminal)
    stored.setdefault("shared_socket", None)
    stored.setdefault("database", paths.database)
    service = find_service(Path(paths.socket))
    return Status(
        version=version("zoho-wizard"),
        user=current_user(),
        zoho_instance=settings.simulator_url or zoho.LIVE,
        data_dir=paths.data_dir,
        config_dir=paths.config_dir,
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
    observed = services.observer.observe()
    age = observed.last_backup_at and observed.at - observed.last_backup_at
    machines = store.machines.all()
    names = {each.id: each.name for each in machines}
    return {
        "database": store.database.path,
        "key": KeyStatus(
            key_storage.kind,
            key_storage.strength,
            key_storage.detail,
            tuple(key_storage.stronger_options),
        ),
        "last_backup_at": observed.last_backup_at,
        "last_backup_on": names.get(store.installation.backed_up_on() or ""),
        "backup_age_seconds": int(age.total_seconds()) if age else None,
        "last_checked_at": observed.last_checked_at,
        "last_checked_on": names.get(store.monitoring.last_check()[1] or ""),
        "machines": machine_reports(machines),
        "notify_program": target_name(store.monitoring.notify_command()) or None,
        "notify_failed_at": failed.at if failed else None,
        "notify_failure": error_report(explain(failed.failure)) if failed else None,
        "deactivated_at": store.installation.deactivated_at(),
        "connections": len(observed.connections),
        "states": {state.value: count for state, count in observed.states.items()},
        "oldest_success_at": observed.oldest_success_at,
        "token_requests": tuple(
            TokenRequests(
                each.name,
                each.token_requests,
                max(0, LIMITS.token_requests_budget - each.token_requests),
            )
            for each in observed.connections
            if each.token_requests
        ),
        "outcome_unknown": tuple(
            each.name
            for each in observed.connections
            if each.state is ConnectionState.OUTCOME_UNKNOWN
        ),
        "clients": len(store.clients.all()),
        "shared_socket": shared_socket_path(services.paths)
        if store.access_permissions.all()
        else None,
        "destinations": observed.destinations,
        "destination_problems": destination_problems(observed.destination_problems),
        "cautions": tuple(caution_of(each) for each in services.cautions.of_installation()),
        "warnings": tuple(caution_of(explain(each)) for each in observed.warnings),
    }


def _status_facts(found: Status, now: datetime) -> list[tuple[str, str]]:
    key = found.key
    is_live = found.zoho_instance == "live"
    is_alone = len(found.machines) < 2
    backup_on = "" if is_alone else found.last_backup_on or ""
    checked_on = "" if is_alone else found.last_checked_on or ""
    return [
        ("Version", found.version),
        ("User", found.user),
        ("Zoho", _status_text("live" if is_live else "simulated", address=found.zoho_instance)),
        ("Encryption key", _key_text(key) if key else ""),
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
        ("Last backup", _last_backup_text(found.last_backup_at, now, backup_on)),
        ("Last monitor check", _last_check_text(found.last_checked_at, now, checked_on)),
        ("Notifications", found.notify_program or _status_text("no-notifications")),
        ("Moved away", _time_text(found.deactivated_at, now)),
        ("Connections", str(found.connections)),
        ("Outcome unknown", ", ".join(found.outcome_unknown)),
        ("Clients", str(found.clients)),
        ("Destinations", _destinations_text(found.destinations, len(found.destination_problems))),
    ]


def _key_text(key: KeyStatus) -> str:
    place = message("key-places", key.kind)
    return f"{place} ({key.strength}): {key.detail}"


def _destinations_text(count: int, problems: int) -> str:
    details = {"count": str(count), "problems": str(problems or "")}
    return _status_text("destinations", **details) if count else ""


def _status_text(code: str, **details: str) -> str:
    return message("status-texts", code, **details)


def _profiles_text(profiles: str | None) -> str:
    return _status_text("profiles", path=profiles) if profiles else ""


def _time_text(at: datetime | None, now: datetime) -> str:
    return "" if at is None else format_time(at, now)


def _last_check_text(at: datetime | None, now: datetime, machine: str) -> str:
    if at is None:
        return _status_text("never-checked")
    return _status_text("on-machine", text=format_age(at, now), machine=machine)


def _last_backup_text(at: datetime | None, now: datetime, machine: str) -> str:
    if at is None:
        return _status_text("never-backed-up")
    text = f"{format_age(at, now)}, {format_time(at, now)}"
    return _status_text("on-machine", text=text, machine=machine)


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
