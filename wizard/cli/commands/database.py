"""``database``: a PostgreSQL database that several machines share, and its key."""

from pathlib import Path

import click

from wizard.cli.results.installation import DatabaseInUse, ExportedKey
from wizard.cli.terminal import Terminal, pass_terminal
from wizard.errors import message
from wizard.services import zoho_of
from wizard.store.shared import use_shared_store
from wizard.vault.passphrase import KEY_FILE


@click.group()
def database() -> None:
    """Share one database between machines.

    The database is on a PostgreSQL server. The machines share connections, authorizations and
    access tokens. One process on one of them refreshes a token, and all others use it.

    \b
    Examples:
      zoho-wizard database use postgresql://wizard@db.example.com/wizard
      zoho-wizard database export-key team.zoho-key
      zoho-wizard database use 'postgresql:///?service=wizard' --key team.zoho-key
    """


@database.command("use")
@click.argument("url")
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    help="Take the encryption key from this file, which `database export-key` wrote.",
)
@pass_terminal
def use_database(terminal: Terminal, url: str, key_file: Path | None) -> None:
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
    used = use_shared_store(settings.paths, url, zoho_of(settings).instance, key)
    result = DatabaseInUse(database=used.shown, is_new=used.is_new, key=used.key_location)

    def render() -> None:
        renderer = terminal.renderer
        code = "database-created" if used.is_new else "database-used"
        renderer.print_success(message("notes", code, path=used.shown))
        if used.is_new:
            renderer.print_note(
                message("notes", "database-other-machines", path=used.key_location),
                command="zoho-wizard database export-key FILE",
            )

    terminal.emit(result, render)


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
    result = ExportedKey(file=str(file.absolute()))
    terminal.emit(
        result,
        lambda: terminal.renderer.print_success(message("notes", "key-exported", path=str(file))),
    )


def _passphrase(terminal: Terminal, *, new: bool) -> str:
    """Typed hidden, twice for a new file; in a script the first line of stdin."""
    return terminal.read_secret(message("prompts", "key-file-passphrase"), whole=False, twice=new)
