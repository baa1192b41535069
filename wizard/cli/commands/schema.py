"""``schema``: what the commands print with ``--json``."""

import json
from importlib import resources

import click

from wizard.cli.results.commands import RESULTS
from wizard.cli.results.installation import SchemaList
from wizard.cli.terminal import Terminal, pass_terminal
from wizard.errors import fail


@click.command()
@click.argument("command", nargs=-1, metavar="[COMMAND]")
@pass_terminal
def schema(terminal: Terminal, command: tuple[str, ...]) -> None:
    """Print the JSON Schema of what COMMAND prints with --json.

    Without COMMAND, list the commands that have one. `error` is what any command prints on stderr
    if it fails before it has a result.

    \b
    Examples:
      zoho-wizard schema
      zoho-wizard schema client list
      zoho-wizard schema error
    """
    name = " ".join(command)
    if not name:
        names = SchemaList(tuple(RESULTS))
        terminal.emit(names, lambda: terminal.renderer.print_raw("\n".join(names.schemas)))
    elif name in RESULTS:
        terminal.renderer.print_json(load_schema(name))
    else:
        raise fail("unknown-schema", value=name[:60])


def load_schema(command: str) -> object:
    """The schema of what `command` prints; a key of `RESULTS`."""
    file = resources.files("wizard") / "schemas" / f"{command.replace(' ', '-')}.json"
    return json.loads(file.read_text("utf-8"))
