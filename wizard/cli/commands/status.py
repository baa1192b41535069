"""``status`` and ``completion``: how this wizard is set up, and the shell that knows its words."""

import json
import os
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from wizard.cli.terminal import Terminal, json_option, pass_terminal
from wizard.errors import explain, fail, message
from wizard.local_api import request_browser_link
from wizard.model import Failure
from wizard.monitoring import shown
from wizard.paths import current_user
from wizard.serialization import explanation_summary
from wizard.services import Services
from wizard.timefmt import format_age, format_time
from wizard.tokens import outcome_unknown_since

UNATTENDED_TIMEOUT_SECONDS = 30
"""Seconds for the run without a session: a keyring that asks for a password never answers."""


@click.command()
@click.option(
    "--unattended", is_flag=True, help="Try it with an empty environment, as a timer would."
)
@json_option
@pass_terminal
def status(terminal: Terminal, unattended: bool) -> None:
    """Show which key is used and where all is."""
    values = _collect_status(terminal)
    if unattended:
        values["unattended"] = run_unattended(terminal)
    if terminal.renderer.as_json:
        terminal.renderer.print_json(values)
        return
    terminal.renderer.print_facts(_status_facts(values, terminal.clock()))
    for code in values["key"]["stronger_options"]:
        option = explain(Failure(code))
        terminal.renderer.print_note(f"Stronger: {option.title}. {option.fix}")
    for caution in terminal.services.cautions.of_installation():
        terminal.renderer.print_caution(caution)
    if unattended:
        terminal.renderer.print_success("It works without your session, given:")
        for name, value in values["unattended"].items():
            terminal.renderer.print_command(f"{name}={value}")


def _collect_status(terminal: Terminal) -> dict[str, Any]:
    from wizard.web import socket_owner  # the pages take long to load, and most commands show none

    services = terminal.services
    key_storage, paths = services.vault.key_storage, services.paths
    return {
        "version": version("zoho-wizard"),
        "user": current_user(),
        "zoho_instance": services.zoho.instance,
        "key": {
            "kind": key_storage.kind,
            "strength": key_storage.strength,
            "detail": key_storage.detail,
            "stronger_options": list(key_storage.stronger_options),
        },
        "data_dir": paths.data_dir,
        "config_dir": paths.config_dir,
        "database": paths.database,
        "browser_profiles": paths.browser_dir if os.path.isdir(paths.browser_dir) else None,
        "base_url": services.settings.base_url,
        "redirect_uri": services.settings.redirect_uri,
        "access_check": socket_owner.learn().access_check,
        "is_serving": request_browser_link(Path(paths.socket), "/", is_printed=False) is not None,
        "last_backup_at": services.store.installation.backed_up_at(),
        "last_checked_at": services.store.monitoring.last_checked_at(),
        **_notifying(services),
        "deactivated_at": services.store.installation.deactivated_at(),
        "connections": len(services.store.connections.all()),
        "outcome_unknown": [
            row.connection.name
            for row in services.store.overviews.unsettled()
            if outcome_unknown_since(row.grant, row.unanswered_refresh, services.clock())
        ],
        "clients": len(services.store.clients.all()),
        "cautions": [explanation_summary(each) for each in services.cautions.of_installation()],
    }


def _status_facts(values: dict[str, Any], now: datetime) -> list[tuple[str, str]]:
    key = values["key"]
    return [
        ("Version", values["version"]),
        ("User", values["user"]),
        (
            "Zoho",
            "the real one"
            if values["zoho_instance"] == "live"
            else f"simulated, {values['zoho_instance']}",
        ),
        ("Key", f"{key['kind']}, {key['strength']}: {key['detail']}"),
        ("Data", values["data_dir"]),
        ("Configuration", values["config_dir"]),
        ("Database", values["database"]),
        ("Browser profiles", _profiles_text(values["browser_profiles"])),
        (
            "Pages",
            values["base_url"] + (", being served" if values["is_serving"] else ", not served"),
        ),
        ("Access", message("access-check", values["access_check"])),
        ("Redirect URI", values["redirect_uri"]),
        ("Last backup", _last_backup_text(values["last_backup_at"], now)),
        ("Last watch", _last_check_text(values["last_checked_at"], now)),
        ("Alarm", values["notify_program"] or "none: zoho-wizard monitor --notify COMMAND|URL"),
        (
            "Moved away",
            format_time(values["deactivated_at"], now) if values["deactivated_at"] else "",
        ),
        ("Connections", str(values["connections"])),
        ("Outcome unknown", ", ".join(values["outcome_unknown"])),
        ("Clients", str(values["clients"])),
    ]


def _notifying(wizard_services: Services) -> dict[str, Any]:
    """The program or the host that tells, and why the last notification did not arrive."""
    failed = wizard_services.store.monitoring.notify_failure()
    return {
        "notify_program": shown(wizard_services.store.monitoring.notify_command()) or None,
        "notify_failed_at": failed.at if failed else None,
        "notify_failure": explanation_summary(explain(failed.failure)) if failed else None,
    }


def _profiles_text(profiles: str | None) -> str:
    return f"{profiles}, where people are signed in at Zoho" if profiles else ""


def _last_check_text(at: datetime | None, now: datetime) -> str:
    return "never: zoho-wizard monitor" if at is None else format_age(at, now)


def _last_backup_text(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "never: zoho-wizard backup FILE"
    return f"{format_age(at, now)}, {format_time(at, now)}"


def run_unattended(terminal: Terminal) -> dict[str, str]:
    """Run ``status`` without this session's environment; return the variables it needed.

    Raises ``unattended-fails`` with what it said, where it does not work.
    """
    variables = dict(terminal.settings.service_environment)
    # -P: not the directory that happens to be the current one, where another `wizard` may lie.
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
            "unattended-fails", reason=f"no answer in {UNATTENDED_TIMEOUT_SECONDS} seconds"
        ) from None
    if result.returncode != 0:
        raise fail("unattended-fails", reason=_reason(result.stderr))
    return variables


def _reason(stderr: str) -> str:
    try:
        return str(json.loads(stderr)["error"]["title"])
    except (ValueError, KeyError, TypeError):
        return (stderr.strip().splitlines() or ["it said nothing"])[-1]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    Names of connections are completed too. For bash, write it to
    ~/.local/share/bash-completion/completions/zoho-wizard
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise fail("unknown", name=shell)
    root = context.find_root()
    click.echo(kind(root.command, {}, "zoho-wizard", "_ZOHO_WIZARD_COMPLETE").source())
