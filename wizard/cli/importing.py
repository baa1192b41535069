"""``import``: credentials that another program has, proved and tended here from now on."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from wizard.adoption import NEEDED, Found, Proved, read
from wizard.cli.proving import conclude, prove, say_how_to_use
from wizard.cli.terminal import Exit, Terminal, json_option, pass_terminal
from wizard.cli.wish import location_of, with_new_secret
from wizard.delivery import Broken, file
from wizard.errors import fail
from wizard.model import Grant
from wizard.validation import Credentials

LONGEST = 1024 * 1024
"""Characters of a paste; credentials stand in small files."""

TITLES = {
    "client_id": "Client ID",
    "client_secret": "Client Secret",
    "refresh_token": "Refresh token",
    "accounts_server": "Accounts server",
    "api_domain": "API domain",
    "data_centre": "Data centre",
    "redirect_uri": "Redirect URI",
    "scope": "Scopes",
}


@click.command("import")
@click.argument("path", metavar="[FILE]", required=False)
@click.option("--name", default="", help="The name of the connection.")
@click.option("--profile", default="", help="How to read it, as in deliver; else found out.")
@click.option("--entry", default="", help="The section, row or server to take, of several.")
@click.option("--data-centre", default="", help="eu, us, in …; else Zoho is asked.")
@click.option("--scope", default="", help="Its scopes, where neither Zoho nor the file tells them.")
@json_option
@pass_terminal
def import_credentials(
    terminal: Terminal,
    path: str | None,
    name: str,
    profile: str,
    entry: str,
    data_centre: str,
    scope: str,
) -> None:
    """Take over a refresh token that another program has.

    From a FILE in any of the shapes that deliver writes (.env, JSON, the SDKs' CSV, rclone's
    configuration, an MCP server's), from stdin, or by hand at prompts. It is proved before it is
    stored, and the FILE stays as it is.
    """
    by_hand = path is None and terminal.interactive
    found = Found() if by_hand else _chosen(_read(path or "-", profile), entry)
    _say_found(terminal, found)
    found = _completed(terminal, found)
    adoption = terminal.house.adoption
    if name:
        adoption.check_name(name)
    proved = adoption.prove(found, location_of(terminal, data_centre), scope)
    # After a rotation the new refresh token exists nowhere else: store it before anything can fail.
    if not proved.rotated:
        _settle_secret(terminal, proved)
    grant = adoption.adopt(
        proved,
        name or adoption.free_name(found, proved.scope),
        redirect_uri=found.facts.get("redirect_uri") or terminal.settings.redirect_uri,
    )
    _say_proved(terminal, found, proved)
    if proved.rotated:
        _settle_secret(terminal, proved)
    outcome = prove(terminal, grant.connection, grant.generation)
    if terminal.painter.as_json:
        terminal.painter.document(_document(found, grant, outcome.to_json()))
    else:
        conclude(terminal, outcome)
        if outcome.finding is None:
            say_how_to_use(terminal, grant.connection)
            _say_redirect_uri(terminal, found)
    raise Exit(outcome.exit_code)


def _read(place: str, profile: str) -> tuple[Found, ...]:
    """What is in the file, or on stdin; raises ``import-missing``, ``import-nothing`` and what
    `file.look` raises. Links are followed: nothing is written here."""
    text = sys.stdin.read(LONGEST) if place == "-" else _text_of(Path(place).expanduser())
    try:
        found = read(text, profile)
    except Broken as broken:
        raise file.complaint(place, broken) from None
    if not found:
        raise fail("import-nothing", path=place)
    return found


def _text_of(path: Path) -> str:
    end = os.path.realpath(path)
    in_a_circle = os.path.islink(end)
    text = None if in_a_circle else file.look(end).text
    if text is None:
        raise fail("import-missing", path=str(path))
    return text


def _chosen(found: tuple[Found, ...], entry: str) -> Found:
    fitting = [each for each in found if entry in ("", each.entry)]
    if len(fitting) != 1:
        known = ", ".join(each.entry or "(without a name)" for each in found)
        raise fail("import-which", known=known)
    return fitting[0]


def _completed(terminal: Terminal, found: Found) -> Found:
    """Ask a person for what is missing; a script hears ``import-incomplete`` later."""
    if not terminal.interactive:
        return found
    facts = dict(found.facts)
    for each in found.missing:
        hidden = each != "client_id"
        facts[each] = click.prompt(TITLES[each], err=True, hide_input=hidden).strip()
    return replace(found, facts=facts)


def _say_found(terminal: Terminal, found: Found) -> None:
    """What the file told, without a secret."""
    if not found.facts:
        return
    painter = terminal.painter
    where = f"As {found.profile}" if found.profile else "By the meaning of its names"
    painter.note(f"{where}{f', entry {found.entry}' if found.entry else ''}:")
    for each, title in TITLES.items():
        if value := found.facts.get(each):
            secret = each in NEEDED[1:]
            painter.note(f"  {title}: {f'{len(value)} characters' if secret else value[:120]}")
    if found.missing:
        painter.note("  Missing: " + ", ".join(TITLES[each] for each in found.missing))


def _say_proved(terminal: Terminal, found: Found, proved: Proved) -> None:
    home = proved.data_centre
    hinted = terminal.house.adoption.hinted(found)
    if hinted is not None and hinted != home:
        terminal.painter.note(f"It speaks of {hinted.name}; Zoho knows the client in {home.name}.")
    terminal.painter.good(f"Zoho ({home.name}) takes it, for {', '.join(proved.scope)}.")
    if proved.rotated:
        terminal.painter.note(
            "The server replaced the refresh token. The one you imported no longer works: "
            "deliver the new one to the program that used it."
        )


def _settle_secret(terminal: Terminal, proved: Proved) -> None:
    """See that the secret that Zoho accepted is the stored one, if its client is stored already.

    Raises as `with_new_secret` does.
    """
    clients = {each.client_id: each for each in terminal.house.store.clients()}
    known, location = clients.get(proved.client_id), proved.data_centre.location
    if known is None or known.secret_for(location) == proved.client_secret:
        return
    with_new_secret(
        terminal,
        lambda replace: terminal.house.clients.admit(
            Credentials(proved.client_id, proved.client_secret),
            redirect_uri=known.redirect_uri,
            location=location,
            replace=replace,
        ),
    )


def _say_redirect_uri(terminal: Terminal, found: Found) -> None:
    own = terminal.settings.redirect_uri
    if found.facts.get("redirect_uri") != own:
        terminal.painter.note(
            "Before you authorize it again, add this redirect URI to the client in Zoho's console:",
            command=own,
        )


def _document(found: Found, grant: Grant, outcome: dict[str, Any]) -> dict[str, Any]:
    """What was found and what it came to; no secret in it."""
    open_facts = {name: value for name, value in found.facts.items() if name not in NEEDED[1:]}
    return {
        "profile": found.profile,
        "entry": found.entry,
        "found": open_facts,
        "location": grant.location,
        "scope": grant.scope,
        **outcome,
    }
