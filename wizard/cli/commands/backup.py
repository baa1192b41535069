"""``backup`` and ``restore``: everything in one encrypted file, and back."""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from wizard.backup import (
    Backup,
    RecoveryResult,
    RestoreResult,
    open_backup,
    recover_secrets,
    set_database_aside,
)
from wizard.cli.flows.verification import (
    VerificationOutcome,
    most_severe,
    outcome_result,
    print_outcome,
    verify,
)
from wizard.cli.renderer import print_incidents
from wizard.cli.results.connections import caution_of
from wizard.cli.results.installation import (
    BackupFile,
    RecoveredSecret,
    RestoreReport,
    SharedGrantsForgotten,
    SkippedDestination,
)
from wizard.cli.terminal import Exit, Terminal, pass_terminal
from wizard.delivery.profiles import profile
from wizard.errors import WizardError, explain, fail, message
from wizard.model import FailureKind, GrantState
from wizard.serialization import error_report
from wizard.services import Services, zoho_of
from wizard.store import CONFIGURED_FIELDS, Destination, StoreContents, export_without_secrets
from wizard.transport import sanitize_line


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--move", is_flag=True, help="Deactivate this installation. It sends Zoho no more requests."
)
@click.option(
    "--yes", is_flag=True, help="With --move, don’t ask for confirmation. A script needs it."
)
@pass_terminal
def backup(terminal: Terminal, file: Path, move: bool, yes: bool) -> None:
    """Write everything into one encrypted file.

    FILE gets the clients, connections, authorizations and destinations. A passphrase encrypts
    it, independently of this machine’s key. A script writes the passphrase to standard input.
    To move to another machine, pass --move: two installations must never use one refresh token.

    \b
    Examples:
      zoho-wizard backup ~/zoho.backup
      zoho-wizard backup ~/zoho.backup < passphrase.txt
      zoho-wizard backup ~/zoho.backup --move
    """
    services = terminal.services
    if move and not yes:
        terminal.renderer.print_note(message("notes", "programs-stop"))
        terminal.confirm(message("prompts", "move"), option="--yes")
    created = services.backups.write(file, _passphrase(terminal, new=True), deactivate=move)
    written = BackupFile(
        file=str(file.absolute()),
        created_at=created.created_at,
        is_deactivated=move,
        connections=tuple(each.name for each in created.contents.connections),
        clients=tuple(each.client_id for each in created.contents.clients),
    )
    terminal.emit(written, lambda: _print_backup(terminal, file, written))


def _print_backup(terminal: Terminal, file: Path, written: BackupFile) -> None:
    renderer = terminal.renderer
    counts = {"count": str(len(written.connections)), "clients": str(len(written.clients))}
    renderer.print_success(message("notes", "backup-written", path=str(file), **counts))
    if not written.is_deactivated:
        renderer.print_note(message("notes", "backup-kept-here"))
        return
    renderer.print_note(
        message("notes", "backup-restore-there"), command=f"zoho-wizard restore {file.name}"
    )
    renderer.print_note(
        message("notes", "backup-deactivated", path=terminal.services.paths.data_dir)
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Restore only this connection. Repeat it for several.",
)
@click.option(
    "--from-destinations",
    is_flag=True,
    help="If the key is lost, read the secrets back from the destinations.",
)
@click.option(
    "--without-secrets",
    is_flag=True,
    help="If the key is lost, keep everything else and authorize again.",
)
@click.option(
    "--set-aside",
    "is_confirmed",
    is_flag=True,
    help="If the key is lost, set the database aside and start with FILE.",
)
@click.option(
    "--source-gone",
    is_flag=True,
    help="Confirm that the installation that wrote FILE is gone. It also works later, without "
    "FILE, and for a copied data directory.",
)
@click.option(
    "--deliver",
    is_flag=True,
    help="Use the destinations in FILE without asking. A script needs it.",
)
@pass_terminal
def restore(
    terminal: Terminal,
    file: Path | None,
    only: tuple[str, ...],
    from_destinations: bool,
    without_secrets: bool,
    is_confirmed: bool,
    source_gone: bool,
    deliver: bool,
) -> None:
    """Restore a backup and verify its connections.

    Each connection is restored as it was and verified within Zoho’s rate limits. A database
    whose key is lost is set aside first, never deleted. If the installation that wrote FILE
    wasn’t deactivated, `status` warns until you pass --source-gone.

    \b
    Examples:
      zoho-wizard restore ~/zoho.backup
      zoho-wizard restore ~/zoho.backup --only crm --deliver
      zoho-wizard restore --from-destinations
    """
    if source_gone and not (file or from_destinations or without_secrets):
        _forget_shared_grants(terminal)
        return
    if (file is not None) + from_destinations + without_secrets != 1:
        raise click.UsageError(message("usage-errors", "restore-source"))
    if file is not None:
        zoho_instance = zoho_of(terminal.settings).instance
        recovery_results: tuple[RecoveryResult, ...] = ()
        backup = open_backup(file, _passphrase(terminal, new=False), zoho_instance)
        services, remaining = _open_services(terminal, is_confirmed=is_confirmed)
        backup, skipped = confirm_destinations(
            terminal, backup, remaining, only, is_confirmed=deliver
        )
    else:
        backup, recovery_results = _recovered_backup(terminal, from_destinations)
        services, remaining, skipped = (
            _open_services(terminal, is_confirmed=True)[0],
            StoreContents(),
            (),
        )
    result = services.backups.restore(backup, only, is_original_inactive=source_gone)
    _keep_newer_connections(services, backup, remaining)
    outcomes, waiting = _verify_restored(terminal, services, result)
    _print_result(terminal, backup, result, recovery_results, outcomes, waiting, skipped)
    raise Exit(most_severe([outcome.exit_code for outcome in outcomes]))


def _forget_shared_grants(terminal: Terminal) -> None:
    """Note that no other installation uses the refresh tokens of this one."""
    count = len(terminal.services.store.shared_grants.all())
    terminal.services.store.shared_grants.forget()
    terminal.services.store.installation.record_place()
    text = message("notes", "grants-used-only-here", count=str(count or ""))
    terminal.emit(SharedGrantsForgotten(count), lambda: terminal.renderer.print_success(text))


def _passphrase(terminal: Terminal, *, new: bool) -> str:
    """Typed hidden, twice for a new file; in a script the first line of stdin."""
    return terminal.read_secret(message("prompts", "backup-passphrase"), whole=False, twice=new)


def _open_services(terminal: Terminal, *, is_confirmed: bool) -> tuple[Services, StoreContents]:
    """The services; if the key is lost, those of a new database, and what the old one contained.

    Asks first unless `is_confirmed`.
    """
    try:
        return terminal.services, StoreContents()
    except WizardError as error:
        # Where a store is shared, other machines may have its key.
        if error.failure.kind is not FailureKind.KEY or terminal.settings.paths.uses_shared_store:
            raise
        if not is_confirmed:
            terminal.renderer.print_explanation(terminal.explain(error.failure))
            question = message("prompts", "set-database-aside")
            terminal.confirm(question, option="--set-aside")
    paths = terminal.settings.paths
    remaining = export_without_secrets(paths)
    directory = set_database_aside(paths, terminal.clock())
    terminal.renderer.print_note(message("notes", "database-set-aside", directory=str(directory)))
    return terminal.services, remaining


def _recovered_backup(
    terminal: Terminal, read_destinations: bool
) -> tuple[Backup, tuple[RecoveryResult, ...]]:
    """What can be read without the key; with `read_destinations`, also what the destinations have.

    Raises ``key-in-order`` if nothing is lost.
    """
    try:
        terminal.services.store.connections.all()
    except WizardError as error:
        # Where a store is shared, other machines may have its key.
        if error.failure.kind is not FailureKind.KEY or terminal.settings.paths.uses_shared_store:
            raise
    else:
        raise fail("key-in-order", key_storage=terminal.services.vault.key_storage.detail)
    remaining, now = export_without_secrets(terminal.settings.paths), terminal.clock()
    table = zoho_of(terminal.settings)
    if read_destinations:
        contents, results = recover_secrets(remaining, table, now)
        return Backup(
            now,
            message("backup-sources", "destinations"),
            table.instance,
            contents,
            is_deactivated=True,
        ), results
    return Backup(
        now,
        message("backup-sources", "without-key"),
        table.instance,
        remaining,
        is_deactivated=True,
    ), ()


def _keep_newer_connections(services: Services, backup: Backup, remaining: StoreContents) -> None:
    """Keep connections that are newer than the backup, without their secrets."""
    known = {each.name.lower() for each in backup.contents.connections}
    rest = tuple(each for each in remaining.connections if each.name.lower() not in known)
    names = {each.name for each in rest}
    destinations = tuple(each for each in remaining.destinations if each.connection in names)
    if rest:
        services.store.transfers.import_contents(
            replace(remaining, connections=rest, destinations=destinations)
        )


def _verify_restored(
    terminal: Terminal, services: Services, result: RestoreResult
) -> tuple[list[VerificationOutcome], tuple[str, ...]]:
    """Verify what was restored, one by one, until a rate limit; also the names of the others."""
    outcomes: list[VerificationOutcome] = []
    names = [name for name in result.connections if _needs_verification(services, name)]
    for index, name in enumerate(names):
        if not terminal.renderer.as_json:
            terminal.renderer.print_note(f"{name}:")
        grant = services.store.grants.get(name)
        outcome = verify(terminal, name, grant.generation if grant else 0)
        outcomes.append(outcome)
        if outcome.explanation is None and not terminal.renderer.as_json:
            print_outcome(terminal, outcome)
        failure = outcome.explanation.failure if outcome.explanation else None
        if failure is not None and failure.temporary:
            return outcomes, tuple(names[index + 1 :])
    return outcomes, ()


def _print_incidents(
    terminal: Terminal, services: Services, outcomes: list[VerificationOutcome]
) -> None:
    """Print what failed, each cause once."""
    explained = {each.name: each.explanation for each in outcomes if each.explanation}
    failures = {name: found.failure for name, found in explained.items() if found.failure}
    working = [each.name for each in outcomes if each.explanation is None]
    print_incidents(
        terminal.renderer,
        services.incidents.from_failures(failures, working),
        terminal.clock(),
    )


def _needs_verification(services: Services, name: str) -> bool:
    grant = services.store.grants.get(name)
    return grant is not None and grant.state is GrantState.NOT_VERIFIED


def _print_result(
    terminal: Terminal,
    backup: Backup,
    result: RestoreResult,
    recovery_results: tuple[RecoveryResult, ...],
    outcomes: list[VerificationOutcome],
    waiting: tuple[str, ...],
    skipped: Sequence[Destination],
) -> None:
    services, renderer = terminal.services, terminal.renderer
    unauthorized = [name for name in result.connections if services.store.grants.get(name) is None]
    report = RestoreReport(
        created_at=backup.created_at,
        host=backup.host,
        restored=tuple(result.connections),
        already_present=tuple(result.already_present),
        recovered=tuple(_recovered_secret(each) for each in recovery_results),
        verifications=tuple(outcome_result(terminal, each) for each in outcomes),
        not_verified=waiting,
        to_authorize=tuple(unauthorized),
        skipped_destinations=tuple(
            SkippedDestination(**configured_fields(each)) for each in skipped
        ),
        cautions=tuple(caution_of(each) for each in services.cautions.of_installation()),
    )

    def render() -> None:
        _print_incidents(terminal, services, outcomes)
        renderer.print_blank()
        _print_restored(terminal, report, recovery_results, skipped)
        for caution in services.cautions.of_installation():
            renderer.print_blank()
            renderer.print_caution(caution)

    terminal.emit(report, render)


def _print_restored(
    terminal: Terminal,
    report: RestoreReport,
    recovery_results: Sequence[RecoveryResult],
    skipped: Sequence[Destination],
) -> None:
    renderer = terminal.renderer
    for each in recovery_results:
        if each.failure is not None:
            renderer.print_note(f"{each.connection}: {explain(each.failure).title} ({each.target})")
    created = terminal.format_time(report.created_at)
    counts = {"count": str(len(report.restored)), "present": str(len(report.already_present) or "")}
    renderer.print_success(
        message("notes", "restored", host=report.host, created=created, **counts)
    )
    if report.not_verified:
        renderer.print_note(
            message("notes", "restored-not-verified", count=str(len(report.not_verified))),
            command=f"zoho-wizard check {' '.join(report.not_verified)}",
        )
    for name in report.to_authorize:
        renderer.print_note(
            message("notes", "not-authorized-yet", name=name), command=f"zoho-wizard connect {name}"
        )
    print_skipped_destinations(terminal, skipped)


def _recovered_secret(result: RecoveryResult) -> RecoveredSecret:
    error = error_report(explain(result.failure)) if result.failure else None
    return RecoveredSecret(result.connection, result.target, error)


def confirm_destinations(
    terminal: Terminal,
    backup: Backup,
    remaining: StoreContents,
    only: Collection[str],
    *,
    is_confirmed: bool,
) -> tuple[Backup, Sequence[Destination]]:
    """The backup with the destinations that the user confirms, and those that are left out.

    Destinations that this installation had itself (`remaining`), and those of connections that
    exist here, aren't asked about. With `is_confirmed`, none is.
    """
    contents, known = backup.contents, [configured_fields(each) for each in remaining.destinations]
    here = {each.name for each in terminal.services.store.connections.all()}
    unconfirmed = [
        each
        for each in contents.destinations
        if (not only or each.connection in only)
        and each.connection not in here
        and configured_fields(each) not in known
    ]
    if not unconfirmed or is_confirmed or _confirm(terminal, unconfirmed):
        return backup, ()
    confirmed = tuple(each for each in contents.destinations if each not in unconfirmed)
    return replace(backup, contents=replace(contents, destinations=confirmed)), unconfirmed


def _confirm(terminal: Terminal, destinations: Sequence[Destination]) -> bool:
    renderer = terminal.renderer
    if not terminal.is_interactive or renderer.as_json:
        return False
    renderer.print_note(message("notes", "backup-destinations"))
    for each in destinations:
        _print_destination(terminal, each)
    return terminal.ask_yes_no(message("prompts", "deliver-from-here"), option="--deliver")


def _print_destination(terminal: Terminal, destination: Destination) -> None:
    """Print everything that a destination does, since somebody else may have made the backup."""
    details = {
        "name": destination.connection,
        "target": destination.target,
        "profile": destination.profile,
        "entry": destination.entry,
        "mode": destination.file_mode,
        "group": destination.file_group,
        "command": destination.reload_command,
    }
    try:
        is_command = profile(destination.profile).is_command
        code = "backup-command" if is_command else "backup-file"
    except WizardError:  # The user's file, which may be readable when something is delivered.
        code = "backup-profile-unreadable"
    lines = [f"  {_one_line(code, **details)}"]
    for field, chosen in destination.field_names.items():
        lines.append(f"    {_one_line('backup-field', field=field, chosen=chosen)}")
    for field, value in destination.field_values.items():
        lines.append(f"    {sanitize_line(field)} = {sanitize_line(value)}")
    for line in lines:
        terminal.renderer.print_note(line)


def _one_line(code: str, **details: str) -> str:
    """A message whose details can't begin a line that looks like a different destination."""
    return message("notes", code, **{key: sanitize_line(text) for key, text in details.items()})


def print_skipped_destinations(terminal: Terminal, destinations: Sequence[Destination]) -> None:
    """Print the destinations that were left out, and the command that adds each."""
    if not destinations:
        return
    terminal.renderer.print_blank()
    terminal.renderer.print_note(message("notes", "destinations-left-out"))
    for each in destinations:
        options = ["--profile", each.profile, "--to", each.target]
        options += ["--as", each.entry] if each.entry else []
        for name, chosen in each.field_names.items():
            options += ["--name", f"{name}={chosen}"]
        for name, value in each.field_values.items():
            options += ["--set", f"{name}={value}"]
        options += ["--then", each.reload_command] if each.reload_command else []
        options += ["--mode", each.file_mode] if each.file_mode else []
        options += ["--group", each.file_group] if each.file_group else []
        terminal.renderer.print_command(
            shlex.join(["zoho-wizard", "destination", "add", each.connection, *options])
        )


def configured_fields(destination: Destination) -> dict[str, Any]:
    """The configuration of a destination, without the state of its delivery."""
    return {name: getattr(destination, name) for name in CONFIGURED_FIELDS}
