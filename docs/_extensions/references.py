"""The references that are generated from the code, as Markdown; `directives.py` inserts them.

Everything comes from the tables and types that the program itself uses, so that no reference is out
of date.
"""

import inspect
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from json import loads
from typing import Any

import click

from wizard import cli, paths, zoho
from wizard.cli.results.commands import RESULTS
from wizard.comparison.probes import probe_table
from wizard.delivery.profiles import Profile, profiles
from wizard.errors import explain, message
from wizard.model import Failure, FailureKind
from wizard.model.failure import codes_of, exit_code_of, http_status_of
from wizard.simulator.admin_api import controls, openapi_document
from wizard.simulator.configuration import configuration_schema
from wizard.simulator.server import flask_app
from wizard.simulator.settings import setting_definitions
from wizard.simulator.traffic import FAULT_KINDS

STANDARD = {id(each) for each in cli.STANDARD_OPTIONS}
"""The options that every command has; they are described once."""


def literal(text: object) -> str:
    """Text as inline code."""
    return f"`{text}`" if text not in ("", None) else ""


def plain(text: str) -> str:
    """Text without Markdown of its own; options become inline code, as what is in backticks is."""
    text = re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)(?![^`]*`[^`]*$)", r"`\1`", " ".join(text.split()))
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        part if index % 2 else re.sub(r"([\\*_<>\[\]|~])", r"\\\1", part)
        for index, part in enumerate(parts)
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table; its cells are Markdown."""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        cells = (re.sub(r"(?<!\\)\|", r"\\|", each) for each in row)
        yield f"| {' | '.join(cells)} |"
    yield ""


def terms(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A list of terms, each with its definition."""
    for term, definition in pairs:
        yield from (term, f": {definition or '–'}", "")


def read_toml(package: str, file: str) -> dict[str, Any]:
    """A table of the program."""
    return tomllib.loads(resources.files(package).joinpath(file).read_text("utf-8"))


# Commands


def help_blocks(text: str) -> Iterator[str]:
    """The text of a command's help: paragraphs, and examples as code."""
    for block in inspect.cleandoc(text).split("\n\n"):
        lines = block.split("\n")
        if lines[0].strip() == "\b":
            lines = lines[1:]
            while lines and not lines[0].startswith(" "):
                yield plain(lines.pop(0))
                yield ""
            yield from ("```text", *(line.removeprefix("  ") for line in lines), "```", "")
        else:
            yield from (plain(block), "")


def options_of(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """The options of a command, with what they do."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and id(parameter) not in STANDARD:
            record = parameter.get_help_record(context)
            if record is not None:
                yield literal(record[0]), plain(record[1])


def command_reference(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    """One command, and those of its group."""
    context = click.Context(command, info_name=name, parent=parent)
    path = context.command_path.removeprefix("zoho-wizard ")
    anchor = path.replace(" ", "-")
    yield from (f"(command-{anchor})=", f"### zoho-wizard {path}", "")
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    yield from ("```text", usage, "```", "")
    yield from help_blocks(command.help or "")
    yield from terms(options_of(command, context))
    yield from help_blocks(command.epilog or "")
    if path in RESULTS:
        yield from (f"With `--json`: [the schema](#schema-{anchor}).", "")
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            subcommand = command.get_command(context, each)
            assert subcommand is not None  # noqa: S101 - it was listed
            yield from command_reference(each, subcommand, context)


def commands() -> Iterator[str]:
    """Every command by section, in the order of ``zoho-wizard --help``."""
    group = cli.zoho_wizard
    top = click.Context(group, info_name="zoho-wizard")
    yield from ("## Options of every command", "")
    yield from terms(
        (literal(record[0]), plain(record[1]))
        for each in cli.STANDARD_OPTIONS
        if (record := each.get_help_record(top))
    )
    for title, section in group.sections.items():
        yield from (f"## {title}", "")
        for name in section:
            command = group.get_command(top, name)
            assert command is not None  # noqa: S101 - it is in the table
            yield from command_reference(name, command, top)


# Configuration


def environment_variables() -> Iterator[str]:
    """The wizard's own environment variables."""
    described = cli.ENVIRONMENT_VARIABLES.items()
    yield from terms((literal(name), plain(text)) for name, text in described)


def directories() -> Iterator[str]:
    """Where everything is stored on each system, and with each variable."""
    cases = (
        ("Linux", "linux", {"HOME": "~"}),
        ("macOS", "darwin", {"HOME": "~"}),
        ("Windows", "win32", {"LOCALAPPDATA": "%LOCALAPPDATA%"}),
        ("any, with `ZOHO_WIZARD_HOME=/srv/zoho`", "linux", {"ZOHO_WIZARD_HOME": "/srv/zoho"}),
    )
    yield from table(
        ("System", "Data", "Configuration", "Cache"),
        (
            (title, *(literal(each) for each in _places(platform, environ)))
            for title, platform, environ in cases
        ),
    )


def _places(platform: str, environ: Mapping[str, str]) -> Iterator[str]:
    found = paths.locate(environ, platform)
    for each in (found.data_dir, found.config_dir, found.cache_dir):
        yield each.replace("/", "\\") if platform == "win32" else each


# JSON


def json_schemas() -> Iterator[str]:
    """The schema of each command's result, and the types that they share."""
    shared: dict[str, Any] = {}
    for name in RESULTS:
        file = f"{name.replace(' ', '-')}.json"
        schema = loads(resources.files("wizard").joinpath("schemas", file).read_text("utf-8"))
        shared |= schema.get("$defs", {})
        title = "A failure" if name == "error" else f"zoho-wizard {name} --json"
        yield from (f"(schema-{name.replace(' ', '-')})=", f"### {title}", "")
        yield from schema_text(schema)
        yield from (f"Complete schema: {{download}}`{file} <../../wizard/schemas/{file}>`", "")
    yield from ("## Types", "", "These types are used in the results above.", "")
    for name, schema in sorted(shared.items()):
        yield from (f"(type-{name.lower()})=", f"### {name}", "")
        yield from schema_text(schema)


def schema_text(schema: Mapping[str, Any]) -> Iterator[str]:
    """What a schema describes: an object's keys, the words of an enumeration, or alternatives."""
    if "description" in schema:
        yield from (plain(schema["description"].replace("``", "`")), "")
    if "enum" in schema:
        yield from ("One of " + ", ".join(literal(each) for each in schema["enum"]) + ".", "")
    elif "properties" in schema:
        rows = (
            (literal(key), json_type(each), plain(each.get("description", "").replace("``", "`")))
            for key, each in schema["properties"].items()
        )
        yield from table(("Key", "Type", "Meaning"), rows)
    elif "properties" not in schema:
        yield from (f"Type: {json_type(schema)}", "")


def json_type(schema: Mapping[str, Any]) -> str:
    """The type of a value in words, with links to the types that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#type-{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(json_type(each) for each in schema["anyOf"])
    if "const" in schema:
        return literal(schema["const"])
    if "enum" in schema:
        return " or ".join(literal(each) for each in schema["enum"])
    kind = str(schema.get("type", "any value"))
    if kind == "array":
        return f"list of {json_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {json_type(schema['additionalProperties'])}"
    return "time (ISO 8601)" if schema.get("format") == "date-time" else kind


# Errors


def error_codes() -> Iterator[str]:
    """Every failure code by kind: exit code, HTTP status and words."""
    kinds = read_toml("wizard.model", "failure_codes.toml")["kinds"]
    for kind in FailureKind:
        title = kind.replace("_", " ").replace("api ", "API ")
        yield from (f"## {title[0].upper()}{title[1:]}", "")
        order = kinds[kind]["codes"]
        yield from terms(
            (error_term(code), error_definition(code))
            for code in sorted(codes_of(kind), key=order.index)
        )


def error_term(code: str) -> str:
    """The code, which is the anchor, too, with the numbers that go with it."""
    numbers = f"exit code {exit_code_of(code)}, HTTP {http_status_of(code)}"
    return f"[`{code}`]{{#{code}}} – {numbers}"


def error_definition(code: str) -> str:
    """The words of a failure about which nothing else is known."""
    words = explain(Failure(code))
    return " ".join(plain(each) for each in (f"{words.title}.", words.cause, words.fix) if each)


# Delivery


def delivery_profiles() -> Iterator[str]:
    """How each program gets its credentials."""
    for profile in profiles().values():
        yield from (
            f"## {profile.id}",
            "",
            f"{plain(profile.title[0].upper() + profile.title[1:])}.",
            "",
        )
        yield from terms(profile_facts(profile))


def profile_facts(profile: Profile) -> Iterator[tuple[str, str]]:
    """The facts of one profile, as terms."""
    kind = (
        f"a command that gets {profile.payload_format}"
        if profile.is_command
        else profile.file_format
    )
    yield "Format", plain(kind)
    if profile.entry_path:
        yield "Entry", literal(" → ".join(profile.entry_path))
    groups = (
        ("Always written", profile.fields),
        ("Written if missing", profile.defaults),
        ("Written with a new refresh token", profile.reset_fields),
    )
    for title, fields in groups:
        if fields:
            written = (
                f"{literal(name)}: {literal(value) or 'empty'}" for name, value in fields.items()
            )
            yield title, ", ".join(written)
    if profile.data_center_names:
        names = (
            f"{location} as {literal(name)}" for location, name in profile.data_center_names.items()
        )
        yield "Data centers", ", ".join(names)
    if profile.default_location:
        yield (
            "Data centers",
            f"only {literal(profile.default_location)}, unless --set names another",
        )
    if profile.hint:
        yield "Also", plain(profile.hint)


# The simulator


CONFIDENCES = {
    "sure": "Zoho’s own page or a published response",
    "likely": "one good source",
    "guess": "neither of these",
}
"""What each confidence is based on."""
NO_SOURCE = "no source found"


def simulator_rules() -> Iterator[str]:
    """What the simulated Zoho does, and how certain it is that Zoho does the same."""
    rules = read_toml("wizard.simulator", "rules.toml")
    yield from table(
        (
            "Rule",
            "What the simulator does",
            "Confidence",
            "Source",
            "Setting",
            "Can be compared",
            "Tried live",
        ),
        (
            (
                literal(name),
                plain(rule["description"]),
                rule["confidence"],
                plain(rule.get("source", NO_SOURCE).replace(NO_SOURCE, "–")),
                literal(rule.get("setting", "")),
                "yes" if name in probe_table().compared_rules else "no",
                "no",
            )
            for name, rule in rules.items()
        ),
    )


def simulator_fidelity() -> Iterator[str]:
    """How many rules and settings have which confidence."""
    tables = (read_toml("wizard.simulator", "rules.toml"), setting_definitions())
    counts = [Counter(row["confidence"] for row in rows.values()) for rows in tables]
    yield from table(
        ("Confidence", "Based on", "Rules", "Settings", "Tried live"),
        (
            *(
                (confidence, basis, *(str(each[confidence]) for each in counts), "0")
                for confidence, basis in CONFIDENCES.items()
            ),
            ("all", "", *(str(each.total()) for each in counts), "0"),
        ),
    )


def simulator_fidelity_summary() -> Iterator[str]:
    """The same in one sentence."""
    rules = read_toml("wizard.simulator", "rules.toml").values()
    counts = Counter(rule["confidence"] for rule in rules)
    numbers = ", ".join(f"{counts[each]} are *{each}*" for each in CONFIDENCES)
    yield f"Of its {len(rules)} rules, {numbers}. None has been tried against live Zoho."


def compared_rules() -> Iterator[str]:
    """How many rules a comparison with Zoho can compare, and why it doesn't compare the others."""
    probes = probe_table()
    compared, others = len(probes.compared_rules), probes.not_compared
    yield from (
        f"It compares {compared} of {compared + len(others)} rules. It doesn’t compare these:",
        "",
    )
    for reason in dict.fromkeys(others.values()):
        words = message("comparison-reasons", reason).removesuffix(":")
        rules = ", ".join(literal(rule) for rule, each in others.items() if each == reason)
        yield from (f"- {plain(words)}: {rules}", "")


def simulator_settings() -> Iterator[str]:
    """The limits and disputed behaviors that a test can change."""
    yield from table(
        ("Setting", "Default", "Documented", "Choices", "Meaning", "Confidence"),
        (
            (
                literal(name),
                " ".join((literal(row["default"]), row.get("unit", ""))),
                literal(row.get("documented")),
                ", ".join(literal(each) for each in row.get("choices", ())),
                plain(row["description"]),
                row["confidence"],
            )
            for name, row in setting_definitions().items()
        ),
    )


def simulator_controls() -> Iterator[str]:
    """What a test can do to the simulated Zoho."""
    yield from terms(
        (literal(f"{each.name}({argument_names(each.arguments)})"), plain(each.summary))
        for each in controls().values()
    )


def argument_names(schema: Mapping[str, Any]) -> str:
    """The arguments of a control, with their defaults; settings as `SETTING=VALUE`."""
    if schema["properties"].keys() == setting_definitions().keys():
        return "SETTING=VALUE, …"
    return ", ".join(
        name if name in schema["required"] else f"{name}={each.get('default')!r}"
        for name, each in schema["properties"].items()
    )


def simulator_routes() -> Iterator[str]:
    """The routes of the simulator and of the simulated Zoho, without the controls."""
    document = openapi_document(flask_app(), "")
    for tag, title in (("simulator", "The simulator"), ("zoho", "The simulated Zoho")):
        yield from (f"### {title}", "")
        found = (
            (", ".join(operations).upper(), literal(path), plain(operation["summary"]))
            for path, operations in document["paths"].items()
            for operation in [next(iter(operations.values()))]
            if operation["tags"] == [tag]
        )
        yield from table(("Methods", "Route", "What it does"), found)


def simulator_configuration() -> Iterator[str]:
    """The keys of a configuration file, which are the parameters of the fixture, too."""
    yield from table(
        ("Key", "Default", "Meaning"),
        (
            (literal(name), literal(each.get("default")), plain(each["description"]))
            for name, each in configuration_schema()["properties"].items()
        ),
    )


def simulator_faults() -> Iterator[str]:
    """The kinds of faults."""
    yield from terms((literal(kind), plain(text)) for kind, text in FAULT_KINDS.items())


# Zoho


def data_centers() -> Iterator[str]:
    """Zoho's data centers, with their addresses."""
    yield from table(
        ("Code", "Data center", "Accounts server", "API domain", "API Console"),
        (
            (
                literal(each.location),
                each.name,
                literal(each.accounts_server),
                literal(each.api_domain),
                literal(each.console_url),
            )
            for each in zoho.load().data_centers
        ),
    )


def products() -> Iterator[str]:
    """The products that the wizard can verify."""
    europe = zoho.load().data_center("eu")
    yield from table(
        ("Product", "Scopes begin with", "Base URL (Europe)", "Names its organizations"),
        (
            (
                each.title,
                literal(each.service),
                literal(europe.base_url_of(each.host) + each.api_path),
                f"with {literal(each.organizations.scope)}" if each.organizations else "no",
            )
            for each in zoho.products()
        ),
    )


def presets() -> Iterator[str]:
    """The scope presets."""
    yield from terms((literal(each.id), preset_text(each)) for each in zoho.presets())


def preset_text(preset: zoho.Preset) -> str:
    """What a preset is for, and its scopes."""
    scope = ", ".join(literal(each) for each in preset.scope)
    return f"{plain(preset.title)}: {scope}. {plain(preset.explanation)}"


def limits() -> Iterator[str]:
    """Zoho's limits, and the wizard's lower ones."""
    row = zoho.limits()
    minutes = row.window_seconds // 60
    requests, reserved = row.token_requests_budget, row.token_requests_reserved
    warning, stop = row.refresh_tokens_warning_threshold, row.refresh_tokens_hard_stop
    rows = (
        ("An access token is valid", f"{row.access_token_lifetime_seconds // 60} minutes", ""),
        ("A code is valid", f"{row.code_lifetime_seconds // 60} minutes, once", ""),
        (
            "Token requests for one refresh token",
            f"{row.token_requests} in {minutes} minutes",
            f"{requests}, and {reserved} to replace a rejected access token",
        ),
        (
            "Codes for one client",
            f"{row.codes_per_client} in {minutes} minutes",
            f"{row.codes_budget}",
        ),
        (
            "Access tokens of one refresh token",
            f"the newest {row.access_tokens_per_refresh_token}",
            "",
        ),
        (
            "Refresh tokens of one user and client",
            f"the newest {row.refresh_tokens_per_user_and_client}",
            f"warns at {warning}, stops at {stop}",
        ),
    )
    yield from table(("What", "Zoho’s limit", "The wizard’s own"), rows)


REFERENCES: Mapping[str, Callable[[], Iterator[str]]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        commands,
        environment_variables,
        directories,
        json_schemas,
        error_codes,
        delivery_profiles,
        simulator_rules,
        simulator_fidelity,
        simulator_fidelity_summary,
        compared_rules,
        simulator_settings,
        simulator_controls,
        simulator_routes,
        simulator_configuration,
        simulator_faults,
        data_centers,
        products,
        presets,
        limits,
    )
}
