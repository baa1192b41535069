"""``access``: users and SSH keys that may request a connection's access tokens."""

import os
from collections.abc import Mapping
from pathlib import Path

import click

from wizard.cli.renderer import Renderer
from wizard.cli.results.destinations import (
    AccessEntry,
    AccessList,
    AddedAccess,
    AddedKeyAccess,
    KeyAccessEntry,
    RemovedAccess,
    RemovedKeyAccess,
)
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, pass_terminal, printable
from wizard.errors import fail, message
from wizard.local_api import (
    default_shared_directory,
    first_inaccessible_directory,
    request_shared_socket,
)
from wizard.local_api.ssh_keys import authorized_keys_line, fingerprint_of, read_public_key
from wizard.model import Event
from wizard.paths import current_user as current_user
from wizard.paths import resolve_user
from wizard.store import AccessPermission, KeyPermission
from wizard.store.history import key_details

PUBLIC_SHARED_DIRECTORY = "/var/lib/zoho-wizard-shared"
"""A directory for the shared socket that survives a restart; an administrator creates it."""


user_option = click.option("--user", help="Name the user of this machine, or pass the user ID.")


@click.group()
def access() -> None:
    """Manage which users and SSH keys can request access tokens.

    Programs of other users request tokens from a running wizard over a Unix socket, where the
    kernel says which user asks. Other machines request them over SSH, with a key that can do
    nothing else. Both get access tokens of the connections that you allow, and never a refresh
    token.

    \b
    Examples:
      zoho-wizard access add crm --user www-data
      zoho-wizard access add crm --ssh-key web1.pub
      zoho-wizard access list
    """


@access.command("add")
@click.argument("name", type=CONNECTION_NAME)
@user_option
@click.option(
    "--ssh-key",
    metavar="FILE",
    help="Read the public key of another machine’s user from this file.",
)
@pass_terminal
def add_access(terminal: Terminal, name: str, user: str | None, ssh_key: str | None) -> None:
    """Let a user or an SSH key request access tokens.

    Pass --user for a user of this machine. A container can do the same if the socket’s
    directory is mounted. One that runs as you gets only what you allowed, too.

    Pass --ssh-key for another machine. It prints the line for the file authorized_keys of the
    user that runs this wizard. With it, the key can request access tokens of the connections
    that you add, and do nothing else.

    \b
    Examples:
      zoho-wizard access add crm --user www-data
      zoho-wizard access add crm --ssh-key web1.pub
    """
    store = terminal.services.store
    store.connections.get(name)
    _require_one(user, ssh_key)
    if ssh_key is not None:
        _add_key(terminal, name, ssh_key)
        return
    uid, user_name = resolve_user(user or "")
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
    """List the users and SSH keys that can request access tokens.

    Without NAME, it lists them for all connections. It also lists users of other machines that
    share the database. SSH keys are the same on all machines.

    \b
    Examples:
      zoho-wizard access list
      zoho-wizard access list crm --json
    """
    if name is not None:
        terminal.services.store.connections.get(name)
    store = terminal.services.store
    users, keys = store.access_permissions.everywhere(name), store.key_permissions.all(name)
    machines = store.machines.others()

    def user_on(each: AccessPermission) -> str:
        machine = machines.get(each.machine, "")
        return message("notes", "user-on-machine", user=each.user, machine=machine)

    def render() -> None:
        if not (users or keys):
            terminal.renderer.print_note(message("notes", "no-access"))
            return
        rows = [(e.connection, user_on(e), str(e.uid), e.created_at) for e in users]
        rows += [(e.connection, e.comment, e.fingerprint, e.created_at) for e in keys]
        terminal.renderer.print_table(
            ("Connection", "User or key", "User ID or fingerprint", "Since"),
            [(*row, terminal.format_time(since)) for *row, since in sorted(rows)],
        )

    listed = AccessList(
        tuple(
            AccessEntry(e.connection, e.user, e.uid, e.created_at, machines.get(e.machine))
            for e in users
        ),
        tuple(KeyAccessEntry(**vars(each)) for each in keys),
    )
    terminal.emit(listed, render)


@access.command("remove")
@click.argument("name", type=CONNECTION_NAME)
@user_option
@click.option(
    "--ssh-key",
    metavar="FILE",
    help="Read the public key from this file, or pass its fingerprint from `access list`.",
)
@pass_terminal
def remove_access(terminal: Terminal, name: str, user: str | None, ssh_key: str | None) -> None:
    """Stop a user or an SSH key from requesting tokens.

    It takes effect at once. The access tokens that programs already have work until they
    expire.

    \b
    Examples:
      zoho-wizard access remove crm --user www-data
      zoho-wizard access remove crm --ssh-key web1.pub
    """
    store = terminal.services.store
    store.connections.get(name)
    _require_one(user, ssh_key)
    if ssh_key is not None:
        _remove_key(terminal, name, ssh_key)
        return
    uid, user_name = resolve_user(user or "")
    if not store.access_permissions.remove(name, uid):
        raise fail("unknown-access", name=name, user=user or "")
    store.events.record(Event(terminal.clock(), name, "access-removed", {"user": user_name}))
    terminal.emit(
        RemovedAccess(name, user_name, uid),
        lambda: terminal.renderer.print_success(
            message("notes", "access-removed", user=user_name, name=name)
        ),
    )


@access.command("ssh")
@click.argument("fingerprint")
@pass_terminal
def answer_over_ssh(terminal: Terminal, fingerprint: str) -> None:
    """Answer one request of another machine.

    The SSH server runs this, because the line that `zoho-wizard access add NAME --ssh-key FILE`
    prints says so. The request of the other machine is in SSH_ORIGINAL_COMMAND. Without it, a
    person has connected, and gets a sentence instead of JSON.

    \b
    Examples:
      SSH_ORIGINAL_COMMAND='zoho-wizard/1 list' zoho-wizard access ssh SHA256:…
    """
    from wizard.cli.flows.ssh_answers import answer_request  # loads the checks

    if not (terminal.settings.ssh_request or terminal.is_json):
        raise fail("ssh-request-refused")
    answer = answer_request(terminal, printable(fingerprint))
    terminal.renderer.print_json_line(answer)
    if answer.error is not None:
        raise Exit(1)


def _require_one(user: str | None, ssh_key: str | None) -> None:
    if (user is None) == (ssh_key is None):
        raise click.UsageError(message("usage-errors", "user-or-key"))


def _add_key(terminal: Terminal, name: str, file: str) -> None:
    store, now, key = terminal.services.store, terminal.clock(), read_public_key(file)
    line = authorized_keys_line(key, terminal.settings.service_environment)
    store.key_permissions.add(KeyPermission(name, key.fingerprint, key.comment, now))
    details = key_details(key.fingerprint, key.comment)
    store.events.record(Event(now, name, "access-added", details))

    def render() -> None:
        renderer = terminal.renderer
        text = message("notes", "access-added", user=_shown(details), connection=name)
        renderer.print_success(text)
        renderer.print_note(message("notes", "authorized-keys", user=current_user()))
        renderer.print_raw(f"{line}\n")

    terminal.emit(AddedKeyAccess(name, key.comment, key.fingerprint, line), render)


def _remove_key(terminal: Terminal, name: str, key: str) -> None:
    store, fingerprint = terminal.services.store, fingerprint_of(key)
    found = [e for e in store.key_permissions.of_key(fingerprint) if e.connection == name]
    if not store.key_permissions.remove(name, fingerprint):
        raise fail("unknown-access", name=name, user=fingerprint)
    details = key_details(fingerprint, found[0].comment if found else "")
    store.events.record(Event(terminal.clock(), name, "access-removed", details))

    def render() -> None:
        text = message("notes", "access-removed", user=_shown(details), name=name)
        terminal.renderer.print_success(text)
        if not store.key_permissions.of_key(fingerprint):
            terminal.renderer.print_note(message("notes", "key-without-access"))

    terminal.emit(RemovedKeyAccess(name, fingerprint), render)


def _shown(key: Mapping[str, str]) -> str:
    """A key in a sentence: its comment, else its fingerprint."""
    return key["key"] or key["fingerprint"]


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
