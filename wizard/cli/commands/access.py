"""``allow``: which other user's programs may ask for a connection's access token."""

import os
from pathlib import Path

import click

from wizard.cli.renderer import Renderer
from wizard.cli.terminal import CONNECTION_NAME, Terminal, pass_terminal
from wizard.errors import fail
from wizard.local_api import (
    HAS_PEER_CREDENTIALS,
    default_shared_directory,
    first_inaccessible_directory,
    request_shared_socket,
)
from wizard.model import Event
from wizard.paths import current_user as current_user
from wizard.store import AccessPermission

MAX_UID = 2**32 - 2
"""The highest number means "no user" to the kernel."""

PUBLIC_SHARED_DIRECTORY = "/var/lib/zoho-wizard"
"""A directory that an administrator can make for the shared socket, and that lasts."""


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option("--user", default="", help="A user of this machine, by name or number.")
@click.option("--remove", is_flag=True, help="End what that user was allowed.")
@pass_terminal
def access(terminal: Terminal, name: str, user: str, remove: bool) -> None:
    """Let another user ask for access tokens of NAME.

    For this one connection, and never for its refresh token. They ask a wizard that serves, over
    a socket on which the kernel says who asks; with its directory mounted it serves containers,
    and one that runs as yourself gets no more than yourself was allowed. Without --user: list who
    may.
    """
    store = terminal.services.store
    store.connections.get(name)
    if not user:
        _list_permissions(terminal, name)
        return
    uid, user_name = resolve_user(user)
    if remove:
        store.access_permissions.remove(name, uid)
        store.events.record(Event(terminal.clock(), name, "access-removed", {"user": user_name}))
        terminal.renderer.print_success(f"{user_name} may no longer ask for {name}.")
        return
    store.access_permissions.add(AccessPermission(name, uid, user_name, terminal.clock()))
    store.events.record(Event(terminal.clock(), name, "access-added", {"user": user_name}))
    terminal.renderer.print_success(
        f"{user_name} may ask for an access token of {name}, and nothing else."
    )
    _print_usage(terminal, name, uid)


def resolve_user(text: str) -> tuple[int, str]:
    """The number and the name of the user that `text` means: a name or a number.

    A number needs no user of this machine: containers have their own. Raises ``unknown-user``
    or ``users-unknown-here``.
    """
    if not HAS_PEER_CREDENTIALS:
        raise fail("users-unknown-here")
    import pwd  # where the kernel tells who asks, there is this

    number = int(text) if text.isascii() and text.isdigit() else None
    try:
        found = pwd.getpwnam(text) if number is None else pwd.getpwuid(number)
    except (KeyError, OverflowError):
        if number is None or number > MAX_UID:
            raise fail("unknown-user", user=text[:80]) from None
        return number, text
    return found.pw_uid, found.pw_name


def _list_permissions(terminal: Terminal, name: str) -> None:
    rows = terminal.services.store.access_permissions.all(name)
    if terminal.renderer.as_json:
        terminal.renderer.print_json(rows)
        return
    columns = ("User", "Number", "Since")
    terminal.renderer.print_table(
        columns, [(row.user, str(row.uid), terminal.format_time(row.created_at)) for row in rows]
    )
    if not rows:
        terminal.renderer.print_note(f"Nobody but you may ask for {name}.")


def _print_usage(terminal: Terminal, name: str, uid: int) -> None:
    paths, renderer = terminal.services.paths, terminal.renderer
    active_socket = request_shared_socket(Path(paths.socket))
    path = active_socket or str(default_shared_directory(paths) / "socket")
    if active_socket is None:
        renderer.print_note("Once the wizard serves, it answers them:", command="zoho-wizard serve")
    renderer.print_note(
        "They ask:", command=f"curl --unix-socket {path} http://zoho-wizard/token/{name}"
    )
    renderer.print_note(
        "A container asks the same way when the directory is mounted:",
        command=f"--volume {os.path.dirname(path)}:/run/zoho-wizard",
    )
    inaccessible = first_inaccessible_directory(Path(path).parent)
    if inaccessible and uid not in (0, os.geteuid()):
        _print_shared_directory_setup(renderer, user_name=current_user(), inaccessible=inaccessible)


def _print_shared_directory_setup(renderer: Renderer, user_name: str, inaccessible: Path) -> None:
    """Only root can make a place that every user reaches and none but its owner can take."""
    command = f"sudo install --directory --mode 711 --owner {user_name} {PUBLIC_SHARED_DIRECTORY}"
    renderer.print_note(f"Other users of this machine cannot enter {inaccessible}. For them, once:")
    renderer.print_command(command)
    renderer.print_note(
        "and serve there:", command=f"zoho-wizard serve --share {PUBLIC_SHARED_DIRECTORY}"
    )
