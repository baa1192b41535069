"""The help of every command: what it says, and that it isn't cut or broken at 80 columns."""

import re
from collections.abc import Iterator

import click
from support.claims import over_rows
from support.command_lines import commands_in, parse

from wizard import cli, settings
from wizard.paths import KNOWN_VARIABLES

MAX_FIRST_LINE_CHARACTERS = 60
COLUMNS = 80


def commands(
    group: click.Group = cli.zoho_wizard, parent: click.Context | None = None
) -> Iterator[tuple[str, click.Context]]:
    """Every command by its words, with a context that is 80 columns wide."""
    here = cli.Context(group, info_name="zoho-wizard", terminal_width=COLUMNS)
    context = parent or here
    for name in sorted(group.list_commands(context)):
        command = group.get_command(context, name)
        assert command is not None
        child = cli.Context(command, context, info_name=name, terminal_width=COLUMNS)
        yield child.command_path.removeprefix("zoho-wizard "), child
        if isinstance(command, click.Group):
            yield from commands(command, child)


def options(command: click.Command) -> list[click.Option]:
    return [each for each in command.params if isinstance(each, click.Option)]


def examples(help_text: str) -> str:
    """The examples in a help text, which are its last block."""
    return help_text.partition("Examples:\n")[2].partition("\n\n")[0]


@over_rows(("words", "context"), commands())
def test_the_first_line_of_a_help_fits_into_the_list_of_commands(
    words: str, context: click.Context
) -> None:
    first = (context.command.help or "").partition("\n")[0]
    assert 0 < len(first) <= MAX_FIRST_LINE_CHARACTERS
    assert first.endswith(".")
    assert context.parent is not None
    name = words.split()[-1]
    listed = " ".join(context.parent.command.get_help(context.parent).split())
    assert f"{name} {first}" in listed, "it is cut"


@over_rows(("words", "context"), commands())
def test_every_help_has_examples_that_can_be_parsed(words: str, context: click.Context) -> None:
    found = list(commands_in(examples(context.command.get_help(context))))
    assert 2 <= len(found) <= 4
    assert any(arguments[: len(words.split())] == words.split() for arguments in found)
    for arguments in found:
        parse(arguments)


@over_rows(("words", "context"), commands())
def test_every_option_is_explained_in_a_sentence_with_its_default(
    words: str, context: click.Context
) -> None:
    for option in options(context.command):
        assert option.help, option.opts
        assert re.fullmatch(r"[A-Z].*\.", option.help), option.opts
        if isinstance(option.default, str | int) and option.default and not option.is_flag:
            assert f"Default: {option.default}." in option.help, option.opts


@over_rows(("words", "context"), commands())
def test_at_80_columns_nothing_to_copy_is_broken(words: str, context: click.Context) -> None:
    text = context.command.help or ""
    explained = [text, *(each.help or "" for each in options(context.command))]
    shown = context.command.get_help(context)
    assert max(map(len, shown.splitlines())) <= COLUMNS
    for whole in re.findall(r"`[^`]+`|--[a-z-]+[a-z]|https?://\S+", "\n".join(explained)):
        assert whole in shown


def test_the_list_of_commands_repeats_the_first_sentence_of_each_command() -> None:
    context = click.Context(cli.zoho_wizard)
    for section in cli.Commands.sections.values():
        for name, entry in section.items():
            command = cli.zoho_wizard.get_command(context, name)
            assert command is not None
            assert entry.help == command.get_short_help_str(limit=200), name


def test_the_help_explains_every_environment_variable() -> None:
    assert set(cli.ENVIRONMENT_VARIABLES) == set(KNOWN_VARIABLES)
    default = f"Default: {settings.LIVE_PORT}, or {settings.SIMULATOR_PORT} with a simulator."
    assert cli.ENVIRONMENT_VARIABLES["ZOHO_WIZARD_PORT"].endswith(default)
    shown = cli.zoho_wizard.get_help(cli.Context(cli.zoho_wizard))
    assert all(each in shown for each in (*cli.ENVIRONMENT_VARIABLES, *cli.OTHER_VARIABLES))
