"""A command group that imports a command's module only when the command is run or completed."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import click


@dataclass(frozen=True)
class LazyCommand:
    """Where a command is defined, and its line in the group's help."""

    module: str
    """Of the package ``wizard.cli``."""
    function: str
    help: str
    """The first sentence of the command's own help; a test compares the two."""


class LazyGroup(click.Group):
    """Lists commands by section from a table, so that ``--help`` loads click and nothing else."""

    sections: Mapping[str, Mapping[str, LazyCommand]] = {}
    """Commands by name, by the section of the help they are listed in."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of the help."""
        return [name for section in self.sections.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command; None if there is none of this name."""
        for section in self.sections.values():
            if entry := section.get(cmd_name):
                command = getattr(import_module(f"wizard.cli.{entry.module}"), entry.function)
                assert isinstance(command, click.Command)  # noqa: S101 - the table is ours
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of commands per section."""
        widest = max(len(name) for name in self.list_commands(ctx))
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), e.help) for name, e in section.items()])
