"""``sample``: a program that uses a connection, to be copied."""

import click

from wizard.cli.results.connections import Sample
from wizard.cli.terminal import CONNECTION_NAME, Terminal, pass_terminal
from wizard.code_samples import code_samples, languages, python_module
from wizard.errors import WizardError, fail

PYTHON = "python"


@click.command()
@click.argument("language", type=click.Choice(languages()))
@click.argument("name", type=CONNECTION_NAME, required=False, default="")
@pass_terminal
def sample(terminal: Terminal, language: str, name: str) -> None:
    """Print a program that uses a connection.

    It gets an access token from the wizard and reads something from Zoho. Without NAME, python
    prints a module for your project: it needs only the standard library, and has classes for
    requests, httpx and Zoho’s SDK.

    \b
    Examples:
      zoho-wizard sample python > zoho_tokens.py
      zoho-wizard sample node crm > read.js
      zoho-wizard sample go crm > main.go
    """
    code = _sample_of(terminal, language, name) if name or language != PYTHON else python_module()
    terminal.emit(Sample(language, code), lambda: terminal.renderer.print_raw(code.rstrip("\n")))


def _sample_of(terminal: Terminal, language: str, name: str) -> str:
    """The sample for connection `name`; raises ``name-needed``, ``no-grant``, and why its grant
    can’t be used."""
    if not name:
        raise fail("name-needed")
    services = terminal.services
    services.store.connections.get(name)
    grant = services.store.grants.get(name)
    if grant is None:
        raise fail("no-grant", name=name)
    if ended := grant.end_failure:
        raise WizardError(ended)
    samples = code_samples(grant, services.zoho.data_center(grant.location))
    return next(each.code for each in samples if each.id == language)
