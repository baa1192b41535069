"""``access``: other users who may request a connection's access tokens."""

import os
from pathlib import Path

import click

from wizard.cli.renderer import Renderer
from wizard.cli.results.destinations import AccessEntry, AccessList, AddedAccess, RemovedAccess
from wizard.cli.terminal import CONNECTION_NAME, Terminal, pass_terminal
from wizard.errors import fail, message
from wizard.local_api import (
    default_shared_directory,
    first_inaccessible_directory,
    request_shared_socket,
)
from wizard.model import Event
from wizard.paths import current_user as current_user
from wizard.paths import resolve_user
from wizard.store import AccessPermission

PUBLIC_SHARED_DIRECTORY = "/var/lib/zoho-wizard-shared"
"""A directory for the shared socket that survives a restart; an administrator creates it."""


user_option = click.option(
    "--user", required=True, help="Name the user of this machine, or pass the user ID."
)


@click.group()
def access() -> None:
    """Manage which users can request access tokens.

    Their programs request tokens from a running wizard over a Unix socket, where the kernel
    says which user asks. They get access tokens of the connections that you allow, and never a
    refresh token.

    \b
    Examples:
      zoho-wizard access add crm --user www-data
      zoho-wizard access list
    """


@access.command("add")
@click.argument("name", type=CONNECTION_NAME)
@user_option
@pass_terminal
def add_access(terminal: Terminal, name: str, user: str) -> None:
    """Let a user request a connection’s access tokens.

    A container can do the same if the socket’s directory is mounted. One that runs as you gets
    only what you allowed, too.

    \b
    Examples:
      zoho-wizard access add crm --user www-data
      zoho-wizard serve --share /run/zoho-wizard
    """
    store = terminal.services.store
    store.connections.get(name)
    uid, user_name = resolve_user(user)
    store.access_permissions.add(AccessPermission(name, uid, user_name, terminal.clock()))
    store.events.record(Event(terminal.clock(), name, "access-added", {"user": user_name}))
    paths = terminal.services.paths
    active_socket = request_shared_socket(Path(paths.socket))
    path = active_socket or str(default_shared_directory(paths) / "socket")
    result = AddedAccess(name, user_name, uid, path, is_served=active_socket is not None)
    terminal.emit(result, lambda: _print_usage(terminal, result))


@access.command("list")
@click.argument("name", required=False, type=CONNECTION_NAME)
@pass_terminal
def list_access(terminal: Terminal, name: str | None) -> None:
    """List the users who can request access tokens.

    Without NAME, it lists them for all connections.

    \b
    Examples:
      zoho-wizard access list
      zoho-wizard access list crm --json
    """
    if name is not None:
        terminal.services.store.connections.get(name)
    rows = terminal.services.store.access_permissions.all(name)

    def render() -> None:
        if not rows:
            terminal.renderer.print_note(message("notes", "no-access"))
            return
        terminal.renderer.print_table(
            ("Connection", "User", "Number", "Since"),
            [
                (each.connection, each.user, str(each.uid), terminal.format_time(each.created_at))
                for each in rows
            ],
        )

    entries = (AccessEntry(e.connection, e.user, e.uid, e.created_at) for e in rows)
    terminal.emit(AccessList(tuple(entries)), render)


@access.command("remove")
@click.argument("name", type=CONNECTION_NAME)
@user_option
@pass_terminal
def remove_access(terminal: Terminal, name: str, user: str) -> None:
    """Stop a user from requesting a connection’s tokens.

    The access tokens that their programs already have work until they expire.

    \b
    Examples:
      zoho-wizard access remove crm --user www-data
      zoho-wizard access list crm
    """
    store = terminal.services.store
    store.connections.get(name)
    uid, user_name = resolve_user(user)
    if not store.access_permissions.remove(name, uid):
        raise fail("unknown-access", name=name, user=user)
    store.events.record(Event(terminal.clock(), name, "access-removed", {"user": user_name}))
    terminal.emit(
        RemovedAccess(name, user_name, uid),
        lambda: terminal.renderer.print_success(
            message("notes", "access-removed", user=user_name, name=name)
        ),
    )


def _print_usage(terminal: Terminal, added: AddedAccess) -> None:
    renderer = terminal.renderer
    renderer.print_success(
        message("notes", "access-added", user=added.user, connection=added.connection)
    )
    if not added.is_served:
        renderer.print_note(message("notes", "start-wizard"), command="zoho-wizard serve")
    request = f"curl --unix-socket {added.socket} http://zoho-wizard/token/{added.connection}"
    renderer.print_note(message("notes", "programs-run"), command=request)
    renderer.print_note(
        message("notes", "container-mounts"),
        command=f"--volume {os.path.dirname(added.socket)}:/run/zoho-wizard",
    )
    inaccessible = first_inaccessible_directory(Path(added.socket).parent)
    if inaccessible and added.uid not in (0, os.geteuid()):
        _print_shared_directory_setup(renderer, user_name=current_user(), inaccessible=inaccessible)


def _print_shared_directory_setup(renderer: Renderer, user_name: str, inaccessible: Path) -> None:
    """Only root can make a directory that every user can enter and only its owner can change."""
    command = f"sudo install --directory --mode 711 --owner {user_name} {PUBLIC_SHARED_DIRECTORY}"
    renderer.print_note(message("notes", "shared-directory-needed", inaccessible=str(inaccessible)))
    renderer.print_command(command)
    renderer.print_note(
        message("notes", "serve-there"),
        command=f"zoho-wizard serve --share {PUBLIC_SHARED_DIRECTORY}",
    )
