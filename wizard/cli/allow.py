"""``allow``: which other user's programs may ask for a connection's access token."""

import os
from pathlib import Path

import click

from wizard.cli.painter import Painter, moment
from wizard.cli.terminal import NAME, Terminal, json_option, pass_terminal
from wizard.endpoint import KERNEL_TELLS, closed_to_others, share, shared_directory
from wizard.errors import fail
from wizard.home import user as current_user
from wizard.model import Event
from wizard.store import Allowance

HIGHEST_UID = 2**32 - 2
"""The highest number means "no user" to the kernel."""

FOR_ALL = "/var/lib/zoho-wizard"
"""A directory that an administrator can make for the shared socket, and that lasts."""


@click.command()
@click.argument("name", type=NAME)
@click.option("--user", default="", help="A user of this machine, by name or number.")
@click.option("--remove", is_flag=True, help="End what that user was allowed.")
@json_option
@pass_terminal
def allow(terminal: Terminal, name: str, user: str, remove: bool) -> None:
    """Let another user ask for access tokens of NAME.

    For this one connection, and never for its refresh token. They ask a wizard that serves, over
    a socket on which the kernel says who asks; with its directory mounted it serves containers,
    and one that runs as yourself gets no more than yourself was allowed. Without --user: list who
    may.
    """
    store = terminal.house.store
    store.connection(name)
    if not user:
        _list(terminal, name)
        return
    uid, known_as = user_of(user)
    if remove:
        store.disallow(name, uid)
        store.note(Event(terminal.clock(), name, "disallowed", {"user": known_as}))
        terminal.painter.good(f"{known_as} may no longer ask for {name}.")
        return
    store.allow(Allowance(name, uid, known_as, terminal.clock()))
    store.note(Event(terminal.clock(), name, "allowed", {"user": known_as}))
    terminal.painter.good(f"{known_as} may ask for an access token of {name}, and nothing else.")
    _say_how(terminal, name, uid)


def user_of(text: str) -> tuple[int, str]:
    """The number and the name of the user that `text` means: a name or a number.

    A number needs no user of this machine: containers have their own. Raises ``unknown-user``
    or ``users-unknown-here``.
    """
    if not KERNEL_TELLS:
        raise fail("users-unknown-here")
    import pwd  # where the kernel tells who asks, there is this

    number = int(text) if text.isascii() and text.isdigit() else None
    try:
        found = pwd.getpwnam(text) if number is None else pwd.getpwuid(number)
    except (KeyError, OverflowError):
        if number is None or number > HIGHEST_UID:
            raise fail("unknown-user", user=text[:80]) from None
        return number, text
    return found.pw_uid, found.pw_name


def _list(terminal: Terminal, name: str) -> None:
    rows = terminal.house.store.allowances(name)
    if terminal.painter.as_json:
        terminal.painter.document(rows)
        return
    columns = ("User", "Number", "Since")
    terminal.painter.table(
        columns, [(row.user, str(row.uid), moment(row.allowed_at)) for row in rows]
    )
    if not rows:
        terminal.painter.note(f"Nobody but you may ask for {name}.")


def _say_how(terminal: Terminal, name: str, uid: int) -> None:
    home, painter = terminal.house.home, terminal.painter
    answering = share(Path(home.socket))
    path = answering or str(shared_directory(home) / "socket")
    if answering is None:
        painter.note("Once the wizard serves, it answers them:", command="zoho-wizard serve")
    painter.note("They ask:", command=f"curl --unix-socket {path} http://zoho-wizard/token/{name}")
    painter.note(
        "A container asks the same way when the directory is mounted:",
        command=f"--volume {os.path.dirname(path)}:/run/zoho-wizard",
    )
    closed = closed_to_others(Path(path).parent)
    if closed and uid not in (0, os.geteuid()):
        _say_where(painter, known_as=current_user(), closed=closed)


def _say_where(painter: Painter, known_as: str, closed: Path) -> None:
    """Only root can make a place that every user reaches and none but its owner can take."""
    made = f"sudo install --directory --mode 711 --owner {known_as} {FOR_ALL}"
    painter.note(f"Other users of this machine cannot enter {closed}. For them, once:")
    painter.command(made)
    painter.note("and serve there:", command=f"zoho-wizard serve --share {FOR_ALL}")
