"""``run``: another command with an access token in its environment, in our place."""

import os
import shlex
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta

import click

from wizard.broker import Reach
from wizard.cli import mask
from wizard.cli.terminal import NAME, Exit, Terminal, pass_terminal
from wizard.cli.tokens import min_ttl_option, patient_token, wait_option
from wizard.errors import fail
from wizard.model import AccessToken

OURSELVES = (sys.executable, "-P", "-m", "wizard")
"""How another process calls us, whatever its PATH; -P: not a `wizard` that lies where it stands."""


@click.command()
@min_ttl_option
@wait_option
@click.option("--mask", "masked", is_flag=True, help="Mask access tokens in its output, for logs.")
@click.argument("name", type=NAME)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@pass_terminal
def run(
    terminal: Terminal,
    min_ttl: timedelta | None,
    wait: timedelta,
    masked: bool,
    name: str,
    command: tuple[str, ...],
) -> None:
    """Run a command with an access token of connection NAME.

    It finds ZOHO_ACCESS_TOKEN, ZOHO_API_DOMAIN, ZOHO_ACCOUNTS_URL, ZOHO_DC, ZOHO_ORGANIZATION_ID
    and, for each product, ZOHO_CRM_API_BASE and so on in its environment; no other ZOHO_ variable
    is handed on. It takes this command's place: its terminal, signals and exit code are its own.
    A job longer than an hour runs $ZOHO_TOKEN_COMMAND for its next token.
    """
    token = patient_token(terminal, name, wait, min_ttl=min_ttl)
    settings = terminal.settings
    environment = {
        **settings.child_environment,
        **settings.chosen,
        **variables(token, terminal.house.broker.reach(name)),
    }
    try:
        if masked:
            raise Exit(mask.run(command, environment, token.value))
        terminal.close()
        _become(command, environment)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise fail("no-such-command", command=command[0], reason=reason) from None


def variables(token: AccessToken, reach: Reach) -> dict[str, str]:
    """What the command finds in its environment; the access token is the only secret in it."""
    found = {
        "ZOHO_ACCESS_TOKEN": token.value,
        "ZOHO_API_DOMAIN": reach.api_domain,
        "ZOHO_ACCOUNTS_URL": reach.accounts_server,
        "ZOHO_DC": reach.data_centre,
        "ZOHO_ORGANIZATION_ID": reach.organization_id,
        "ZOHO_TOKEN_COMMAND": shlex.join([*OURSELVES, "token", token.connection]),
    }
    for product in reach.products:
        prefix = f"ZOHO_{product.id.upper()}"
        found[f"{prefix}_API_BASE"] = product.api_base
        found[f"{prefix}_ORGANIZATION_ID"] = product.organization_id
    return {name: value for name, value in found.items() if value}


def _become(command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Replace this process; returns never."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Python ignores these two for itself, and what is ignored stays so through exec: a command
    # in a pipe would no longer end when its reader does.
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execvpe(command[0], command, environment)  # noqa: S606 without a shell is what is meant
