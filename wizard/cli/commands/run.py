"""``run``: another command with an access token in its environment, in our place."""

import os
import shlex
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta

import click

from wizard.cli import masking
from wizard.cli.commands.token import get_token, min_ttl_option, wait_option
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, pass_terminal
from wizard.errors import fail
from wizard.model import AccessToken
from wizard.tokens import ApiAccess

WIZARD_COMMAND = (sys.executable, "-P", "-m", "wizard")
"""How another process calls us, whatever its PATH; -P: not a `wizard` that lies where it stands."""


@click.command()
@min_ttl_option
@wait_option
@click.option(
    "--mask", "mask_output", is_flag=True, help="Mask access tokens in its output, for logs."
)
@click.argument("name", type=CONNECTION_NAME)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@pass_terminal
def run(
    terminal: Terminal,
    min_ttl: timedelta | None,
    wait: timedelta,
    mask_output: bool,
    name: str,
    command: tuple[str, ...],
) -> None:
    """Run a command with an access token of connection NAME.

    It finds ZOHO_ACCESS_TOKEN, ZOHO_API_DOMAIN, ZOHO_ACCOUNTS_URL, ZOHO_DC, ZOHO_ORGANIZATION_ID
    and, for each product, ZOHO_CRM_API_BASE and so on in its environment; no other ZOHO_ variable
    is handed on. It takes this command's place: its terminal, signals and exit code are its own.
    A job longer than an hour runs $ZOHO_TOKEN_COMMAND for its next token.
    """
    token = get_token(terminal, name, wait, min_ttl=min_ttl)
    settings = terminal.settings
    environment = {
        **settings.child_environment,
        **settings.service_environment,
        **environment_variables(token, terminal.services.tokens.api_access(name)),
    }
    try:
        if mask_output:
            raise Exit(masking.run_masked(command, environment, token.value))
        terminal.close()
        _replace_process(command, environment)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise fail("no-such-command", command=command[0], reason=reason) from None


def environment_variables(token: AccessToken, api_access: ApiAccess) -> dict[str, str]:
    """What the command finds in its environment; the access token is the only secret in it."""
    environment = {
        "ZOHO_ACCESS_TOKEN": token.value,
        "ZOHO_API_DOMAIN": api_access.api_domain,
        "ZOHO_ACCOUNTS_URL": api_access.accounts_server,
        "ZOHO_DC": api_access.domain_suffix,
        "ZOHO_ORGANIZATION_ID": api_access.organization_id,
        "ZOHO_TOKEN_COMMAND": shlex.join([*WIZARD_COMMAND, "token", token.connection]),
    }
    for product in api_access.products:
        prefix = f"ZOHO_{product.id.upper()}"
        environment[f"{prefix}_API_BASE"] = product.api_base
        environment[f"{prefix}_ORGANIZATION_ID"] = product.organization_id
    return {name: value for name, value in environment.items() if value}


def _replace_process(command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Replace this process; returns never."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Python ignores these two for itself, and what is ignored stays so through exec: a command
    # in a pipe would no longer end when its reader does.
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execvpe(command[0], command, environment)  # noqa: S606 without a shell is what is meant
