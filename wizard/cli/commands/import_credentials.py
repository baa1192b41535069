"""``import``: credentials that another program uses, verified and stored here."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from wizard.cli.commands.client import resolve_location, with_new_secret
from wizard.cli.flows.verification import outcome_result, print_outcome, print_usage, verify
from wizard.cli.results.connections import ConnectionVerification, ImportedConnection
from wizard.cli.terminal import Exit, Terminal, pass_terminal, require_value
from wizard.clients import Credentials
from wizard.delivery import destination_files
from wizard.delivery.destination_files import FormatError
from wizard.errors import WizardError, fail, message
from wizard.importing import (
    REQUIRED_VALUES,
    FoundCredentials,
    VerifiedCredentials,
    find_credentials,
)
from wizard.model import Grant

MAX_PASTE_CHARACTERS = 1024 * 1024
"""Of a paste; credentials are short."""

VALUE_TITLES = {
    "client_id": "Client ID",
    "client_secret": "Client Secret",
    "refresh_token": "Refresh token",
    "accounts_server": "Accounts server",
    "api_domain": "API domain",
    "data_center": "Data center",
    "redirect_uri": "Redirect URI",
    "scope": "Scopes",
}


@click.command("import")
@click.argument("path", metavar="[FILE]", required=False)
@click.option(
    "--name", callback=require_value, help="Name the connection. Default: the wizard asks."
)
@click.option(
    "--profile",
    default="",
    help="Read the file in this format of `destination add`. Default: the format is detected.",
)
@click.option(
    "--entry", default="", help="Import this section, row or server. Default: the only one."
)
@click.option(
    "--data-center",
    default="",
    help="Use this data center, such as eu. Default: the wizard asks Zoho.",
)
@click.option(
    "--scope", default="", help="Name its scopes. Default: those that Zoho or the file names."
)
@pass_terminal
def import_credentials(
    terminal: Terminal,
    path: str | None,
    name: str | None,
    profile: str,
    entry: str,
    data_center: str,
    scope: str,
) -> None:
    """Import a refresh token that another program uses.

    It reads FILE in any format of `destination add` (.env, JSON, an SDK’s token store, rclone’s
    configuration, an MCP server’s), standard input, or what you type. The token is verified
    before it is stored, and FILE isn’t changed.

    \b
    Examples:
      zoho-wizard import ~/old-app/.env --name crm
      zoho-wizard import ~/.config/rclone/rclone.conf --entry workdrive
      zoho-wizard import --name crm < credentials.json
    """
    credentials = _find_credentials(terminal, path, profile, entry)
    importer = terminal.services.importer
    if name:
        importer.check_name(name)
    verified = importer.verify(credentials, resolve_location(terminal, data_center), scope)
    # After a rotation the new refresh token exists nowhere else: store it before anything can fail.
    if not verified.rotated:
        _settle_secret(terminal, verified)
    grant = importer.import_connection(
        verified,
        name or importer.free_name(credentials, verified.scope),
        redirect_uri=credentials.values.get("redirect_uri") or terminal.settings.redirect_uri,
    )
    _print_verified(terminal, credentials, verified)
    if verified.rotated:
        _settle_secret(terminal, verified)
    outcome = verify(terminal, grant.connection, grant.generation)

    def render() -> None:
        print_outcome(terminal, outcome)
        if outcome.explanation is None:
            print_usage(terminal, grant.connection)
            _print_redirect_uri_hint(terminal, credentials)

    terminal.emit(
        _imported_connection(credentials, grant, outcome_result(terminal, outcome)), render
    )
    raise Exit(outcome.exit_code)


def _find_credentials(
    terminal: Terminal, path: str | None, profile: str, entry: str
) -> FoundCredentials:
    """The credentials in the file, on stdin, or typed. Prints what was found, and asks for what is
    missing."""
    if path is None:
        terminal.require_piped_input(message("prompts", "credentials-to-import"))
    is_typed = path is None and terminal.is_interactive
    credentials = (
        FoundCredentials()
        if is_typed
        else _select_entry(_read_credentials(path or "-", profile), entry)
    )
    _print_found(terminal, credentials)
    return _prompt_missing(terminal, credentials)


def _read_credentials(path: str, profile: str) -> tuple[FoundCredentials, ...]:
    """What the file or stdin contains. Raises ``import-missing``, ``import-unreadable`` and
    ``import-nothing``."""
    source = "stdin" if path == "-" else path
    try:
        text = (
            sys.stdin.read(MAX_PASTE_CHARACTERS)
            if path == "-"
            else _read_text(Path(path).expanduser())
        )
        candidates = find_credentials(text, profile)
    except FormatError as broken:
        raise _unreadable(source, destination_files.format_failure(path, broken)) from None
    if not candidates:
        raise fail("import-nothing", path=source)
    return candidates


def _read_text(path: Path) -> str:
    """The text of a file. Links are followed: nothing is written here."""
    end = os.path.realpath(path)
    is_circular_link = os.path.islink(end)
    try:
        text = None if is_circular_link else destination_files.read_file(end).text
    except WizardError as error:
        if error.failure.code != "destination-no-directory":
            raise _unreadable(str(path), error) from error
        text = None
    if text is None:
        raise fail("import-missing", path=str(path))
    return text


def _unreadable(source: str, error: WizardError) -> WizardError:
    """What reading the destination raised, in the words of an import."""
    reason = message("import-reasons", error.failure.code, **error.failure.details)
    return fail("import-unreadable", path=source, reason=reason)


def _select_entry(candidates: tuple[FoundCredentials, ...], entry: str) -> FoundCredentials:
    matching = [each for each in candidates if entry in ("", each.entry)]
    if len(matching) != 1:
        unnamed = message("notes", "unnamed-entry")
        known = ", ".join(each.entry or unnamed for each in candidates)
        raise fail("import-which", known=known)
    return matching[0]


def _prompt_missing(terminal: Terminal, credentials: FoundCredentials) -> FoundCredentials:
    """Ask for what is missing; without a terminal, ``import-incomplete`` is raised later."""
    if not terminal.is_interactive:
        return credentials
    values = dict(credentials.values)
    for each in credentials.missing:
        hidden = each != "client_id"
        values[each] = terminal.ask(VALUE_TITLES[each], option="", is_hidden=hidden).strip()
    return replace(credentials, values=values)


def _print_found(terminal: Terminal, credentials: FoundCredentials) -> None:
    """Print what was found, without secrets."""
    if not credentials.values:
        return
    renderer = terminal.renderer
    details = {"profile": credentials.profile, "entry": credentials.entry}
    renderer.print_note(message("notes", "import-found", **details))
    for each, title in VALUE_TITLES.items():
        if value := credentials.values.get(each):
            is_secret = each in REQUIRED_VALUES[1:]
            length = message("notes", "value-length", count=str(len(value)))
            renderer.print_note(f"  {title}: {length if is_secret else value[:120]}")
    if credentials.missing:
        missing = ", ".join(VALUE_TITLES[each] for each in credentials.missing)
        renderer.print_note(f"  {message('notes', 'import-missing-values', missing=missing)}")


def _print_verified(
    terminal: Terminal, credentials: FoundCredentials, verified: VerifiedCredentials
) -> None:
    data_center = verified.data_center
    hinted_data_center = terminal.services.importer.hinted_data_center(credentials)
    if hinted_data_center is not None and hinted_data_center != data_center:
        terminal.renderer.print_note(
            message(
                "notes",
                "import-data-center",
                found=hinted_data_center.name,
                data_center=data_center.name,
            )
        )
    terminal.renderer.print_success(
        message(
            "notes",
            "import-accepted",
            data_center=data_center.name,
            scope=", ".join(verified.scope),
        )
    )
    if verified.rotated:
        terminal.renderer.print_note(message("notes", "import-rotated"))


def _settle_secret(terminal: Terminal, accepted: VerifiedCredentials) -> None:
    """Store the secret that Zoho accepted if the client is stored with another one.

    Raises as `with_new_secret` does.
    """
    clients = {each.client_id: each for each in terminal.services.store.clients.all()}
    known, location = clients.get(accepted.client_id), accepted.data_center.location
    if known is None or known.secret_for(location) == accepted.client_secret:
        return
    with_new_secret(
        terminal,
        lambda replace: terminal.services.clients.admit(
            Credentials(accepted.client_id, accepted.client_secret),
            redirect_uri=known.redirect_uri,
            location=location,
            replace=replace,
        ),
    )


def _print_redirect_uri_hint(terminal: Terminal, credentials: FoundCredentials) -> None:
    own = terminal.settings.redirect_uri
    if credentials.values.get("redirect_uri") != own:
        terminal.renderer.print_note(
            message("notes", "import-redirect-uri"),
            command=own,
        )


def _imported_connection(
    credentials: FoundCredentials, grant: Grant, verification: ConnectionVerification
) -> ImportedConnection:
    """What was found and whether it works; no secret in it."""
    public_values = {
        name: value for name, value in credentials.values.items() if name not in REQUIRED_VALUES[1:]
    }
    return ImportedConnection(
        name=grant.connection,
        profile=credentials.profile,
        entry=credentials.entry,
        found=public_values,
        location=grant.location,
        scope=grant.scope,
        verification=verification,
    )
