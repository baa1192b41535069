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

from wizard.cli.painter import moment
from wizard.cli.terminal import Terminal, json_option, pass_terminal
from wizard.document import as_data
from wizard.endpoint import ring
from wizard.errors import explain, fail, phrase
from wizard.home import user
from wizard.house import House
from wizard.model import Failure
from wizard.watch import shown

PATIENCE = 30
"""Seconds for the run without a session: a keyring that asks for a password never answers."""


@click.command()
@click.option(
    "--unattended", is_flag=True, help="Try it with an empty environment, as a timer would."
)
@json_option
@pass_terminal
def status(terminal: Terminal, unattended: bool) -> None:
    """Show which key is used and where all is."""
    found = _status(terminal)
    if unattended:
        found["unattended"] = try_unattended(terminal)
    if terminal.painter.as_json:
        terminal.painter.document(found)
        return
    terminal.painter.facts(_lines(found, terminal.clock()))
    for code in found["key"]["better"]:
        better = explain(Failure(code))
        terminal.painter.note(f"Stronger: {better.title}. {better.remedy}")
    for caution in terminal.house.cautions.of_home():
        terminal.painter.caution(caution)
    if unattended:
        terminal.painter.good("It works without your session, given:")
        for name, value in found["unattended"].items():
            terminal.painter.command(f"{name}={value}")


def _status(terminal: Terminal) -> dict[str, Any]:
    from wizard.web import peer  # the pages take long to load, and most commands show none

    house = terminal.house
    where, home = house.vault.where, house.home
    return {
        "version": version("zoho-wizard"),
        "user": user(),
        "zoho": house.zoho.mark,
        "key": {
            "kind": where.kind,
            "strength": where.strength,
            "detail": where.detail,
            "better": list(where.better),
        },
        "data_dir": home.data_dir,
        "config_dir": home.config_dir,
        "database": home.database,
        "browser_profiles": home.browser_dir if os.path.isdir(home.browser_dir) else None,
        "base_url": house.settings.base_url,
        "redirect_uri": house.settings.redirect_uri,
        "access_check": peer.learn().access_check,
        "serving": ring(Path(home.socket), "/", printed=False) is not None,
        "last_backup": house.store.backed_up_at(),
        "last_watch": house.store.watched_at(),
        **_notifying(house),
        "retired_at": house.store.retired_at(),
        "connections": len(house.store.connections()),
        "clients": len(house.store.clients()),
        "cautions": [as_data(each) for each in house.cautions.of_home()],
    }


def _lines(found: dict[str, Any], now: datetime) -> list[tuple[str, str]]:
    key = found["key"]
    return [
        ("Version", found["version"]),
        ("User", found["user"]),
        ("Zoho", "the real one" if found["zoho"] == "live" else f"a sandbox, {found['zoho']}"),
        ("Key", f"{key['kind']}, {key['strength']}: {key['detail']}"),
        ("Data", found["data_dir"]),
        ("Configuration", found["config_dir"]),
        ("Database", found["database"]),
        ("Browser profiles", _signed_in(found["browser_profiles"])),
        ("Pages", found["base_url"] + (", being served" if found["serving"] else ", not served")),
        ("Access", phrase("access-check", found["access_check"])),
        ("Redirect URI", found["redirect_uri"]),
        ("Last backup", _backup_age(found["last_backup"], now)),
        ("Last watch", _watch_age(found["last_watch"])),
        ("Alarm", found["tells_by"] or "none: zoho-wizard watch --notify COMMAND|URL"),
        ("Moved away", moment(found["retired_at"]) if found["retired_at"] else ""),
        ("Connections", str(found["connections"])),
        ("Clients", str(found["clients"])),
    ]


def _notifying(house: House) -> dict[str, Any]:
    """The program or the host that tells, and why the last notification did not arrive."""
    failed = house.store.notify_failure()
    return {
        "tells_by": shown(house.store.notify_command()) or None,
        "notify_failed_at": failed.at if failed else None,
        "notify_failure": as_data(explain(failed.failure)) if failed else None,
    }


def _signed_in(profiles: str | None) -> str:
    return f"{profiles}, where people are signed in at Zoho" if profiles else ""


def _watch_age(at: datetime | None) -> str:
    return "never: zoho-wizard watch" if at is None else moment(at)


def _backup_age(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "never: zoho-wizard backup FILE"
    days = (now - at).days
    ago = "today" if days < 1 else f"{days} day{'s' if days > 1 else ''} ago"
    return f"{ago}, {moment(at)}"


def try_unattended(terminal: Terminal) -> dict[str, str]:
    """Run ``status`` without this session's environment; return the variables it needed.

    Raises ``unattended-fails`` with what it said, where it does not work.
    """
    given = dict(terminal.settings.chosen)
    # -P: not the directory that happens to be the current one, where another `wizard` may lie.
    command = [sys.executable, "-P", "-m", "wizard", "status", "--json"]
    try:
        tried = subprocess.run(  # noqa: S603 - ourselves
            command,
            env={"PATH": os.defpath, **given},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise fail("unattended-fails", reason=f"no answer in {PATIENCE} seconds") from None
    if tried.returncode != 0:
        raise fail("unattended-fails", reason=_reason(tried.stderr))
    return given


def _reason(said: str) -> str:
    try:
        return str(json.loads(said)["error"]["title"])
    except (ValueError, KeyError, TypeError):
        return (said.strip().splitlines() or ["it said nothing"])[-1]


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
