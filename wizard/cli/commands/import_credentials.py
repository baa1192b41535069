"""``import``: credentials that another program uses, verified and stored here."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal, NoReturn

import click

from wizard.cli.commands.client import resolve_location, with_new_secret
from wizard.cli.commands.token import DurationType
from wizard.cli.flows.serving import stop_signals, wait_until
from wizard.cli.flows.verification import (
    VerificationOutcome,
    most_severe,
    outcome_result,
    print_outcome,
    print_usage,
    verify,
)
from wizard.cli.results.connections import (
    ConnectionVerification,
    FoundConnection,
    FoundFile,
    ImportedConnection,
    ImportReport,
    SkippedFile,
)
from wizard.cli.terminal import Exit, Terminal, pass_terminal, require_value
from wizard.clients import Credentials
from wizard.credential_formats import short_client_id
from wizard.delivery import destination_files
from wizard.delivery.destination_files import FormatError
from wizard.errors import WizardError, fail, message
from wizard.importing import (
    REQUIRED_VALUES,
    FoundCredentials,
    VerifiedCredentials,
    find_credentials,
)
from wizard.model import Explanation, FailureKind, Grant
from wizard.serialization import error_report
from wizard.takeover import Candidate, SkippedPath, discover, is_pattern, stops_import

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
@click.argument("paths", metavar="[FILE|DIRECTORY|PATTERN]...", nargs=-1)
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
@click.option("--dry-run", is_flag=True, help="Test what is found, and store nothing.")
@click.option(
    "--wait",
    type=DurationType(),
    default="0",
    metavar="DURATION",
    help="For several files: wait up to this long, such as 30m, for rate limits. Default: 0.",
)
@click.option(
    "--yes", is_flag=True, help="For several files: store without asking. A script needs it."
)
@pass_terminal
def import_credentials(
    terminal: Terminal,
    paths: tuple[str, ...],
    name: str | None,
    profile: str,
    entry: str,
    data_center: str,
    scope: str,
    dry_run: bool,
    wait: timedelta,
    yes: bool,
) -> None:
    """Import refresh tokens that other programs use.

    It reads a file in any format of `destination add` (.env, JSON, rclone’s configuration, …),
    standard input, or what you type. The token is verified before it is stored, and the file
    isn’t changed. For a directory, a pattern or several files, it lists every token with its
    client and account. It asks once before it stores them.

    \b
    Examples:
      zoho-wizard import ~/old-app/.env --name crm
      zoho-wizard import ~/.config/rclone/rclone.conf --entry workdrive
      zoho-wizard import ~/apps --dry-run
      zoho-wizard import '~/apps/*/.env' --wait 30m
    """
    if len(paths) > 1 or any(map(is_pattern, paths)) or (dry_run and paths not in ((), ("-",))):
        if name or profile or entry:
            raise click.UsageError(message("usage-errors", "import-several"))
        location = resolve_location(terminal, data_center)
        _import_several(
            terminal, paths, location, scope, is_dry_run=dry_run, wait=wait, is_confirmed=yes
        )
    if dry_run or wait or yes:
        raise click.UsageError(message("usage-errors", "import-one"))
    _import_one(
        terminal,
        _find_credentials(terminal, paths[0] if paths else None, profile, entry),
        name or "",
        resolve_location(terminal, data_center),
        scope,
    )


def _import_one(
    terminal: Terminal,
    credentials: FoundCredentials,
    name: str,
    location: str | None,
    scope: str,
) -> NoReturn:
    """Test `credentials`, store them as connection `name` (default: a free name), and verify it."""
    importer = terminal.services.importer
    if name:
        importer.check_name(name)
    verified = importer.verify(credentials, location, scope)
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
    outcome = verify(terminal, grant.connection, grant.generation, known_token=verified.token)

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


# several files

MIN_TOKEN_LIFE = timedelta(minutes=5)
"""How long an access token from a test must still be valid to be used for the verification."""

COLUMNS = ("Name", "Result", "Account", "Client", "Data center", "Found in")


def _import_several(
    terminal: Terminal,
    paths: Sequence[str],
    location: str | None,
    scope: str,
    *,
    is_dry_run: bool,
    wait: timedelta,
    is_confirmed: bool,
) -> NoReturn:
    """Find and test refresh tokens; store those that Zoho accepts if the user agrees, and verify
    them."""
    takeover = terminal.services.takeover
    discovery = discover(paths)
    candidates = list(takeover.candidates(discovery))
    if not candidates and not discovery.skipped:
        raise fail("import-nothing", path=", ".join(paths))
    if not (is_dry_run or is_confirmed or terminal.is_interactive):
        raise fail("input-needed", options="--yes, or --dry-run")
    _test_candidates(terminal, candidates, location, scope, terminal.clock() + wait)
    to_store = [each for each in candidates if each.is_accepted and each.grant is None]
    if to_store and not is_dry_run:
        if not is_confirmed:
            if not terminal.is_json:
                _print_candidates(terminal, candidates)
            question = message("prompts", "import-several", count=str(len(to_store)))
            terminal.confirm(question, option="--yes", is_default=True)
        for index, each in enumerate(candidates):
            if each in to_store:
                candidates[index] = takeover.store(each)
    outcomes = _verify_imported(terminal, candidates)
    is_listed = bool(to_store) and not (is_dry_run or is_confirmed)
    _emit_report(
        terminal,
        candidates,
        outcomes,
        discovery.skipped,
        is_dry_run=is_dry_run,
        columns=COLUMNS[:2] if is_listed else COLUMNS,
    )
    codes = [
        explanation.exit_code
        for each in candidates
        if (explanation := _explanation(terminal, each, outcomes)) is not None
    ]
    raise Exit(most_severe(codes))


def _test_candidates(
    terminal: Terminal,
    candidates: list[Candidate],
    location: str | None,
    scope: str,
    deadline: datetime,
) -> None:
    """Test each candidate in place, and again when a rate limit is over, until `deadline`."""
    takeover = terminal.services.takeover
    with terminal.renderer.progress() as show_progress, stop_signals() as stop_event:
        while True:
            for index, each in enumerate(candidates):
                if not each.is_open or each.verified is not None or stop_event.is_set():
                    continue
                counts = {"completed": str(index), "count": str(len(candidates))}
                show_progress(message("notes", "tested", **counts))
                candidates[index] = tested = takeover.test(each, location, scope)
                if tested.failure is not None and stops_import(tested.failure):
                    _leave_untested(candidates, tested)
                    return
            until = min(
                (
                    each.failure.retry_at
                    for each in candidates
                    if each.is_open and each.failure is not None and each.failure.retry_at
                ),
                default=None,
            )
            if until is None or until > deadline:
                return
            note = message("notes", "waiting-for-limit", until=terminal.format_time(until))
            show_progress(note)
            if not wait_until(stop_event, is_done=partial(_is_over, terminal, until)):
                return


def _is_over(terminal: Terminal, until: datetime) -> bool:
    return terminal.clock() >= until


def _leave_untested(candidates: list[Candidate], failed: Candidate) -> None:
    """Give those that weren't tested the failure of the one after which Zoho couldn't be
    reached."""
    for index, each in enumerate(candidates):
        if each.is_open and each.verified is None:
            candidates[index] = replace(each, failure=failed.failure)


def _verify_imported(
    terminal: Terminal, candidates: Sequence[Candidate]
) -> dict[str, VerificationOutcome]:
    """Verify what is stored now, with the access tokens of the tests; by name."""
    outcomes = {}
    for each in candidates:
        if each.grant is not None:
            token = each.verified.token if each.verified else None
            is_usable = token and token.expires_at > terminal.clock() + MIN_TOKEN_LIFE
            outcomes[each.name] = verify(
                terminal,
                each.name,
                each.grant.generation,
                known_token=token if is_usable else None,
                shows_steps=False,
            )
    return outcomes


def _explanation(
    terminal: Terminal, candidate: Candidate, outcomes: dict[str, VerificationOutcome]
) -> Explanation | None:
    """Why a candidate isn't imported, or isn't verified; None: it is, or it was stored before."""
    if candidate.name in outcomes:
        return outcomes[candidate.name].explanation
    return terminal.explain(candidate.failure, candidate.name) if candidate.failure else None


def _state(
    candidate: Candidate,
) -> Literal["found", "imported", "already_stored", "waiting", "failed"]:
    if candidate.is_stored:
        return "already_stored"
    if candidate.grant is not None:
        return "imported"
    if candidate.failure is None:
        return "found" if candidate.verified is not None else "waiting"
    is_waiting = candidate.failure.kind is FailureKind.LIMIT and candidate.failure.temporary
    return "waiting" if is_waiting else "failed"


def _emit_report(
    terminal: Terminal,
    candidates: Sequence[Candidate],
    outcomes: dict[str, VerificationOutcome],
    skipped: Sequence[SkippedPath],
    *,
    is_dry_run: bool,
    columns: Sequence[str],
) -> None:
    clients = {each.client_id: each.name for each in terminal.services.store.clients.all()}
    rows = []
    for each in candidates:
        explanation = _explanation(terminal, each, outcomes)
        outcome = outcomes.get(each.name) if each.grant else None
        email, location = _account_and_location(terminal, each)
        rows.append(
            FoundConnection(
                name=each.name,
                state=_state(each),
                client_id=each.client_id,
                client_name=clients.get(each.client_id, ""),
                email=email,
                location=location,
                scope=each.verified.scope if each.verified else (),
                files=tuple(FoundFile(**vars(source)) for source in each.sources),
                retry_at=each.failure.retry_at if each.failure else None,
                verification=outcome_result(terminal, outcome) if outcome else None,
                error=error_report(explanation) if explanation else None,
            )
        )
    report = ImportReport(
        is_dry_run, tuple(rows), tuple(SkippedFile(**vars(each)) for each in skipped)
    )

    def render() -> None:
        _print_candidates(terminal, candidates, columns)
        terminal.renderer.print_blank()
        for each in candidates:
            explanation = _explanation(terminal, each, outcomes)
            if explanation is not None and _state(each) != "waiting":
                terminal.renderer.print_note(f"{each.name or each.sources[0].path}:")
                terminal.renderer.print_explanation(explanation)
        for place in skipped:
            reason = message("skipped-paths", place.reason, detail=place.detail)
            terminal.renderer.print_note(
                message("notes", "import-skipped", path=place.path, reason=reason)
            )
        waiting = [row.retry_at for row in rows if row.state == "waiting" and row.retry_at]
        if waiting:
            counts = {"count": str(len(waiting)), "until": terminal.format_time(min(waiting))}
            note = "import-untested" if is_dry_run else "import-waiting"
            terminal.renderer.print_note(message("notes", note, **counts))
        if any(each.verified and each.verified.rotated for each in candidates):
            terminal.renderer.print_note(message("notes", "import-rotated"))
        if any(row.state == "imported" for row in rows):
            terminal.renderer.print_note(message("notes", "import-files-unchanged"))

    terminal.emit(report, render)


def _account_and_location(terminal: Terminal, candidate: Candidate) -> tuple[str, str]:
    """The account's email address and the data center; empty if they aren't known."""
    grants = terminal.services.store.grants
    grant = grants.get(candidate.name) or grants.candidate(candidate.name)
    if grant is not None and (candidate.is_stored or candidate.grant is not None):
        return grant.email, grant.location
    location = candidate.verified.data_center.location if candidate.verified else ""
    return candidate.account.email if candidate.account else "", location


def _print_candidates(
    terminal: Terminal, candidates: Sequence[Candidate], columns: Sequence[str] = COLUMNS
) -> None:
    """A table; the first two columns are enough after one that had all."""
    clients = {each.client_id: each.name for each in terminal.services.store.clients.all()}
    rows = []
    for each in candidates:
        email, location = _account_and_location(terminal, each)
        client = clients.get(each.client_id) or short_client_id(each.client_id)
        places = (f"{one.path} ({one.entry})" if one.entry else one.path for one in each.sources)
        name = each.name or each.sources[0].path
        state = message("import-states", _state(each))
        rows.append((name, state, email, client, location.upper(), ", ".join(places)))
    if rows:
        terminal.renderer.print_table(columns, [row[: len(columns)] for row in rows])
