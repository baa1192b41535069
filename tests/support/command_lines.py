"""Command lines of the wizard in texts: found, and parsed without running them."""

import re
import shlex
from collections.abc import Iterator

import click

from wizard import cli

COMMAND = re.compile(r"zoho-wizard((?:[ \t]+(?:'[^']*'|\"[^\"]*\"|[^\s|;&()<>'\"`#]+))*)")


def commands_in(text: str) -> Iterator[list[str]]:
    """The arguments of each command of ours in a text, up to a redirection or the like."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for found in COMMAND.finditer(joined):
        yield shlex.split(found[1])


def parse(arguments: list[str]) -> None:
    """Parse arguments as click does; a required one may be missing. Raises `UsageError`."""
    command: click.Command = cli.zoho_wizard
    context = click.Context(command, info_name="zoho-wizard")
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"there is no command {name}")
        command, context = found, click.Context(found, info_name=name, parent=context)
    command.make_parser(context).parse_args(arguments)
