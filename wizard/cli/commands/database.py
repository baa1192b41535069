"""``database``: a PostgreSQL database that several machines share, and the encryption key."""

from pathlib import Path

import click

from wizard.cli.commands.status import print_machines
from wizard.cli.renderer import Renderer
from wizard.cli.results.destinations import machine_reports
from wizard.cli.results.installation import (
    DatabaseInUse,
    DatabaseMove,
    ExportedKey,
    GrantedRole,
    MachineList,
    RemovedMachine,
    RotatedKey,
)
from wizard.cli.terminal import Terminal, pass_terminal
from wizard.errors import message
from wizard.model import Event
from wizard.services import zoho_of
from wizard.store.key_rotation import require_rotatable, rotate_encryption_key
from wizard.store.moves import move_store, plan_move
from wizard.store.shared import grant_shared_store, use_shared_store
from wizard.vault.passphrase import KEY_FILE


@click.group()
def database() -> None:
    """Share one database between machines.

    The database is on a PostgreSQL server. The machines share connections, authorizations and
    access tokens. One process on one of them refreshes a token, and all others use it.
    `migrate` moves everything there, or back. `rotate-encryption-key` works for a local
    database, too.

    \b
    Examples:
      zoho-wizard database use postgresql://wizard@db.example.com/wizard
      zoho-wizard database export-key team.zoho-key
      zoho-wizard database migrate postgresql://wizard@db.example.com/wizard
      zoho-wizard database rotate-encryption-key
    """


@database.command("use")
@click.argument("url")
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    help="Take the encryption key from this file, which `database export-key` wrote.",
)
@click.option(
    "--machine-name",
    default="",
    metavar="NAME",
    help="Give this machine this name in the database. Default: its host name.",
)
@pass_terminal
def use_database(terminal: Terminal, url: str, key_file: Path | None, machine_name: str) -> None:
    """Use a shared PostgreSQL database.

    On the first machine, this creates the tables and a key. Every other machine needs the
    first one’s key. The configuration keeps URL, which must not contain a password.
    ZOHO_WIZARD_DATABASE_URL overrides it.

    \b
    Examples:
      zoho-wizard database use postgresql://wizard@db.example.com/wizard
      zoho-wizard database use 'postgresql:///?service=wizard' --key team.zoho-key
      zoho-wizard database use postgresql:///wizard --key team.zoho-key < pass.txt
    """
    settings = terminal.settings
    key = None
    if key_file is not None:
        encrypted = KEY_FILE.read(key_file)
        key = KEY_FILE.decrypt(encrypted, _passphrase(terminal, new=False))
    used = use_shared_store(settings.paths, url, zoho_of(settings).instance, key, machine_name)
    result = DatabaseInUse(used.shown, used.is_new, used.key_location, used.machine)

    def render() -> None:
        renderer = terminal.renderer
        code = "database-created" if used.is_new else "database-used"
        renderer.print_success(message("notes", code, path=used.shown))
        renderer.print_note(message("notes", "database-machine", name=used.machine))
        if used.is_new:
            renderer.print_note(
                message("notes", "database-other-machines", path=used.key_location),
                command="zoho-wizard database export-key FILE",
            )

    terminal.emit(result, render)


@database.command("grant")
@click.argument("role")
@pass_terminal
def grant(terminal: Terminal, role: str) -> None:
    """Let a database role use the tables.

    Use a URL with the role that owns the tables for this command, and one with ROLE on the
    machines. PostgreSQL then doesn’t let them change or delete what is in the audit log. Repeat the
    command after each update of zoho-wizard.

    \b
    Examples:
      zoho-wizard database grant wizard
      zoho-wizard database grant web1 --json
    """
    result = GrantedRole(grant_shared_store(terminal.settings.paths, role), role)
    terminal.emit(
        result,
        lambda: terminal.renderer.print_success(
            message("notes", "database-granted", path=result.database, role=role)
        ),
    )


@database.command("migrate")
@click.argument("target", metavar="URL|local")
@click.option("--dry-run", is_flag=True, help="Show what would be moved. Change nothing.")
@click.option("--yes", is_flag=True, help="Don’t ask. A script needs it.")
@pass_terminal
def migrate_database(terminal: Terminal, target: str, dry_run: bool, yes: bool) -> None:
    """Move everything to a shared database, or back.

    URL leads to an empty PostgreSQL database. With `local`, everything moves from the shared
    database to this machine, and other machines lose their connections and destinations. The key
    stays the same, and the old database is deactivated. If the command is interrupted, nothing is
    lost: run it again.

    \b
    Examples:
      zoho-wizard database migrate postgresql://wizard@db.example.com/wizard
      zoho-wizard database migrate local --dry-run
      zoho-wizard database migrate local --yes
    """
    services, renderer = terminal.services, terminal.renderer
    paths, store = services.paths, services.store
    move = plan_move(paths, store, target)
    is_there = move.target == move.source
    if not (dry_run or is_there):
        if not yes:
            question = "migrate-shared-database" if store.database.is_shared else "migrate-database"
            text = message("prompts", question, source=move.source, target=move.target)
            terminal.confirm(text, option="--yes")
        move = move_store(paths, store, services.vault, target, services.clock)
    result = DatabaseMove(
        dry_run,
        move.source,
        move.target,
        connections=move.rows["connections"],
        clients=move.rows["clients"],
        authorizations=move.rows["grants"],
        destinations=move.rows["destinations"],
        history_entries=move.rows["events"],
    )
    terminal.emit(result, lambda: _print_move(renderer, result))


def _print_move(renderer: Renderer, move: DatabaseMove) -> None:
    if move.target == move.source:
        renderer.print_success(message("notes", "database-moved-before", path=move.source))
        return
    if move.is_dry_run:
        renderer.print_note(message("notes", "database-would-move", path=move.target))
    else:
        renderer.print_success(message("notes", "database-moved", path=move.target))
    contents = message(
        "notes",
        "database-contents",
        connections=str(move.connections),
        clients=str(move.clients),
        authorizations=str(move.authorizations),
        destinations=str(move.destinations),
        entries=str(move.history_entries),
    )
    renderer.print_note(contents)
    if not move.is_dry_run:
        renderer.print_note(message("notes", "database-left-behind", path=move.source))
        renderer.print_note(message("notes", "database-moved-restart"))


@database.group("machines", invoke_without_command=True)
@pass_terminal
@click.pass_context
def machines(context: click.Context, terminal: Terminal) -> None:
    """List the machines that share the database.

    Each has its own destinations, and its own users with access to tokens. A replaced refresh
    token is revoked only when no destination on any machine has it. So remove a machine that
    no longer exists.

    \b
    Examples:
      zoho-wizard database machines
      zoho-wizard database machines remove web2
    """
    if context.invoked_subcommand is not None:
        return
    found = machine_reports(terminal.services.store.machines.all())

    def render() -> None:
        if found:
            print_machines(terminal, found)
        if len(found) < 2:
            terminal.renderer.print_note(message("notes", "database-only-machine"))

    terminal.emit(MachineList(found), render)


@machines.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Don’t ask. A script needs it.")
@pass_terminal
def remove_machine(terminal: Terminal, name: str, yes: bool) -> None:
    """Remove a machine that no longer uses the database.

    Its destinations and its users’ access are removed. To keep it from reading the database,
    replace the encryption key, and change the password of the database role.

    \b
    Examples:
      zoho-wizard database machines remove web2
      zoho-wizard database machines remove web2 --yes --json
    """
    machines = terminal.services.store.machines
    found = machines.removable(name)
    if not yes:
        details = {"name": name, "destinations": str(found.destinations or "")}
        terminal.confirm(message("prompts", "remove-machine", **details), option="--yes")
    machines.remove(name, terminal.clock())
    terminal.emit(
        RemovedMachine(name),
        lambda: terminal.renderer.print_success(message("notes", "machine-removed", name=name)),
    )


@database.command("export-key")
@click.argument("file", type=click.Path(path_type=Path))
@pass_terminal
def export_key(terminal: Terminal, file: Path) -> None:
    """Write the encryption key into an encrypted file.

    Another machine needs it for `database use --key`. A passphrase encrypts it. A script writes
    the passphrase to standard input. Delete FILE when every machine has the key.

    \b
    Examples:
      zoho-wizard database export-key team.zoho-key
      zoho-wizard database export-key team.zoho-key < passphrase.txt
    """
    vault = terminal.services.vault
    KEY_FILE.write(file, vault.key, _passphrase(terminal, new=True))
    event = Event(terminal.clock(), "", "key-exported", {"target": str(file)})
    terminal.services.store.events.record(event)
    result = ExportedKey(file=str(file.absolute()))
    terminal.emit(
        result,
        lambda: terminal.renderer.print_success(message("notes", "key-exported", path=str(file))),
    )


@database.command("rotate-encryption-key")
@click.option("--yes", is_flag=True, help="Don’t ask. A script needs it.")
@pass_terminal
def rotate_key(terminal: Terminal, yes: bool) -> None:
    """Replace the key and encrypt everything again.

    Other commands wait a moment, and programs keep their access tokens. If the command is
    interrupted, everything can still be read: run it again to complete it. It needs the key in a
    keyring or in the wizard’s own key file. Machines that share the database need the new key
    afterward.

    \b
    Examples:
      zoho-wizard database rotate-encryption-key
      zoho-wizard database rotate-encryption-key --yes --json
    """
    require_rotatable(terminal.settings.paths)
    services = terminal.services
    renderer, is_shared = terminal.renderer, services.store.database.is_shared
    if not yes:
        question = "rotate-shared-key" if is_shared else "rotate-encryption-key"
        terminal.confirm(message("prompts", question), option="--yes")
    paths, store, vault = services.paths, services.store, services.vault
    rotated = rotate_encryption_key(paths, store, vault, services.clock)
    where = vault.key_storage.detail
    result = RotatedKey(where, rotated.sealed_values, rotated.completes_earlier)

    def render() -> None:
        code = "key-rotation-completed" if rotated.completes_earlier else "key-rotated"
        count = str(rotated.sealed_values)
        renderer.print_success(message("notes", code, path=where, count=count))
        renderer.print_note(message("notes", "key-rotation-copies"))
        if is_shared:
            renderer.print_note(
                message("notes", "key-rotation-other-machines"),
                command="zoho-wizard database export-key FILE",
            )

    terminal.emit(result, render)


def _passphrase(terminal: Terminal, *, new: bool) -> str:
    """Typed hidden, twice for a new file; in a script the first line of stdin."""
    return terminal.read_secret(message("prompts", "key-file-passphrase"), whole=False, twice=new)
