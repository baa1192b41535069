"""``run``: replace this process by a command with an access token in its environment."""

from datetime import timedelta

import click

from wizard.cli import masking
from wizard.cli.commands.token import get_token, min_ttl_option, wait_option
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, pass_terminal
from wizard.errors import fail
from wizard.fastpath import process
from wizard.tokens.api_access import access_variables


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
        **process.token_variables(
            name, token.value, access_variables(terminal.services.tokens.api_access(name))
        ),
    }
    try:
        if mask_output:
            raise Exit(masking.run_masked(command, environment, token.value))
        terminal.close()
        process.replace_process(list(command), environment)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise fail("no-such-command", command=command[0], reason=reason) from None
