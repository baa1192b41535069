"""`simulator` and `demo`: the simulated Zoho, by itself or with a wizard that uses it."""

import errno
import json
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from wizard import files, settings
from wizard.cli.commands.token import forwarded_signals
from wizard.cli.commands.uninstall import remove_known, require_used
from wizard.cli.flows.serving import (
    BrowserLinkFactory,
    alone,
    print_browser_link,
    running_server,
    stop_signals,
    wait_until,
)
from wizard.cli.results.installation import SimulatedUser, SimulatorEvent
from wizard.cli.terminal import Exit, StopEvent, Terminal, pass_terminal
from wizard.errors import fail, message
from wizard.local_api import request_browser_link

if TYPE_CHECKING:
    from wizard.simulator.configuration import Configuration
    from wizard.simulator.server import Simulator

SIMULATED_ZOHO_PORT = 8730

EventKind = Literal["serving", "link", "stopping"]
Listen = Callable[[int], socket.socket]
CommandStarter = Callable[[Sequence[str], Mapping[str, str]], "subprocess.Popen[bytes]"]


@click.group(invoke_without_command=True)
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the configuration from this TOML file. Options take precedence.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve it on this port. 0 picks a free one. Default: 8730.",
)
@click.option(
    "--real-hostnames",
    is_flag=True,
    help="Also answer for Zoho’s own host names, such as accounts.zoho.eu, through a proxy.",
)
@click.option("--seed", type=int, help="Generate IDs and tokens from this number. Default: 1.")
@click.option(
    "--clock",
    metavar="TIME",
    help="Run ahead of real time (+10m, +2d), or stop at a time (2026-12-01T09:00:00Z).",
)
@click.option(
    "--user",
    "users",
    multiple=True,
    metavar="EMAIL:LOCATION",
    help="Add a user such as kim@example.com:us, and omit the sample users. Repeat it for more.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="SETTING=VALUE",
    help="Change a limit or another setting: token_request_limit=3. Repeat it for more.",
)
@click.option(
    "--behavior",
    metavar="current|documented",
    help="Where Zoho differs from its documentation, act as Zoho does now or as documented. "
    "Default: current.",
)
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, writable=True),
    help="Append each request to this file, as JSON Lines without secrets.",
)
@click.option(
    "--with",
    "products",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Add products, endpoints, records and errors from a TOML file. Repeat it for more.",
)
@click.option("--listen", metavar="ADDRESS", help="Listen on this address. Default: 127.0.0.1.")
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Allow an address that other machines can reach. They can control the simulator.",
)
@click.option(
    "--public-url",
    metavar="URL",
    help="The URL that programs use, if it differs from the address and port, as with a container.",
)
@click.pass_context
def simulator(context: click.Context, /, **options: Any) -> None:
    """Serve a simulated Zoho until stopped.

    By default, it listens only on 127.0.0.1. It stores nothing. Use it to test any program whose
    Zoho URLs you can set. With --real-hostnames, it also works for programs with hard-coded Zoho
    URLs. `zoho-wizard simulator run` runs one command that way. With --json, each event is one
    line.

    \b
    Examples:
      zoho-wizard simulator --real-hostnames
      zoho-wizard simulator --user kim@example.com:us --set token_request_limit=3
      zoho-wizard simulator --config simulator.toml --journal requests.jsonl
      zoho-wizard simulator --with my-products.toml
    """
    if context.invoked_subcommand is None:
        _serve_simulator(context.ensure_object(Terminal), _configuration(options))


def _serve_simulator(terminal: Terminal, configuration: "Configuration") -> None:
    """Serve it until stopped."""

    def print_start() -> None:
        terminal.renderer.print_note(
            message("notes", "simulator-running"),
            command=_admin_url(simulated.url),
        )
        _print_users(terminal, simulated)
        terminal.renderer.print_note(message("notes", "simulator-environment"))
        _print_environment(terminal, simulated.environment)
        if simulated.removed_variables:
            terminal.renderer.print_command(f"unset {' '.join(simulated.removed_variables)}")
        if configuration.allow_remote:
            terminal.renderer.print_note(message("notes", "simulator-reachable"))
        terminal.renderer.print_note(message("notes", "press-ctrl-c"))

    with stop_signals() as stopped, running_simulator(configuration) as simulated:
        terminal.emit_event(_event("serving", simulated), print_start)
        wait_until(stopped)
        terminal.emit_event(_event("stopping", simulated), lambda: None)


@simulator.command("run")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Serve the simulated Zoho on this port. Default: a free one.",
)
@click.option(
    "--isolated",
    is_flag=True,
    help="Run the command in a network namespace with only the simulated Zoho (Linux only).",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@pass_terminal
@click.pass_context
def run_command(
    context: click.Context, terminal: Terminal, port: int, isolated: bool, command: tuple[str, ...]
) -> None:
    """Run a command that reaches only a simulated Zoho.

    For the command, Zoho’s own host names lead to a simulated Zoho, through a proxy that refuses
    all other hosts. It gets the environment variables that most programs read: HTTPS_PROXY,
    SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, NODE_EXTRA_CA_CERTS, and
    ZOHO_WIZARD_SIMULATOR_URL for the controls. A program that ignores the proxy isn’t stopped,
    unless you pass --isolated. The exit code is that of the command. Options of `simulator` go
    before `run`.

    \b
    Examples:
      zoho-wizard simulator run -- pytest
      zoho-wizard simulator run -- curl https://accounts.zoho.eu/oauth/serverinfo
      zoho-wizard simulator run --isolated -- node sync.js
      zoho-wizard simulator --config simulator.toml run -- pytest
    """
    given = context.parent.params if context.parent else {}
    configuration = _configuration({**given, "port": port, "real_hostnames": True})
    with ExitStack() as stack:
        listen, start = _isolation(stack) if isolated else (None, _start)
        simulated = stack.enter_context(running_simulator(configuration, listen))
        environment = settings.command_environment(
            simulated.environment, simulated.removed_variables
        )
        with forwarded_signals() as forward_to:
            try:
                process = start(command, environment)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise fail("no-such-command", command=command[0], reason=reason) from None
            with process:
                forward_to(process)
                code = process.wait()
        refused = ", ".join(sorted(simulated.refused_hosts))
    if refused:
        terminal.renderer.print_note(message("notes", "refused-hosts", hosts=refused))
    raise Exit(128 - code if code < 0 else code)


def _start(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start the user's command, without a shell."""
    return subprocess.Popen(command, env=environment)  # noqa: S603


def _isolation(stack: ExitStack) -> tuple[Listen, CommandStarter]:
    """Make a network namespace, closed by `stack`. Return how to listen and to start a command
    there; raises `isolation-unavailable`.
    """
    from wizard.simulator.network_namespace import IsolatedCommand

    try:
        isolated = IsolatedCommand()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise fail("isolation-unavailable", reason=reason) from None
    stack.callback(isolated.close)
    return isolated.listen, isolated.execute


def _configuration(options: Mapping[str, Any]) -> "Configuration":
    """Return the configuration of the file with the options of `simulator`; a usage error says
    what is wrong.
    """
    from wizard.simulator.configuration import Configuration, read_configuration, row_of_user
    from wizard.simulator.errors import SimulatorError

    # 0 is a value: it means a free port.
    given = {
        name: value
        for name, value in options.items()
        if value is not False and value not in (None, ())
    }
    try:
        file = given.pop("config_file", None)
        configured = read_configuration(file) if file else Configuration()
        changes = dict(_setting(each) for each in given.pop("changes", ()))
        users = [row_of_user(each) for each in given.pop("users", ())]
        tables = [*configured.products, *given.pop("products", ())]
        return configured.with_changes(
            **given,
            users=users or configured.users,
            products=tables,
            settings={**configured.settings, **changes},
        )
    except SimulatorError as error:
        raise click.UsageError(str(error)) from None


def _setting(text: str) -> tuple[str, Any]:
    """Read `NAME=VALUE`; a number, true or false is one, and everything else is text."""
    name, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(message("usage-errors", "set-malformed", value=text))
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@click.command()
@click.option(
    "--reset", is_flag=True, help="Delete the simulated Zoho and its wizard, and start again."
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=SIMULATED_ZOHO_PORT,
    metavar="PORT",
    help="Serve the simulated Zoho on this port. Default: 8730.",
)
@click.option(
    "--real-hostnames",
    is_flag=True,
    help="Use Zoho’s own host names, such as accounts.zoho.eu, through a proxy.",
)
@pass_terminal
def demo(terminal: Terminal, reset: bool, port: int, real_hostnames: bool) -> None:
    """Try everything against a simulated Zoho.

    It serves the simulated Zoho and a wizard that uses it, prints what to do, and keeps both
    between runs. Your Zoho account isn’t involved. With --json, each event is one line.

    \b
    Examples:
      zoho-wizard demo
      zoho-wizard demo --reset
      zoho-wizard demo --real-hostnames
    """
    url = f"http://127.0.0.1:{port}"
    demo_settings = settings.from_environment(changes={"ZOHO_WIZARD_SIMULATOR_URL": url})
    if link := request_browser_link(Path(demo_settings.paths.socket), "/", is_printed=True):
        terminal.emit_event(
            SimulatorEvent("link", url, _admin_url(url), {}, (), link),
            lambda: terminal.renderer.print_note(message("notes", "demo-running"), command=link),
        )
        return
    state_file = Path(demo_settings.paths.data_dir) / "simulator.json"
    configuration = _demo_configuration(port, real_hostnames)
    with stop_signals() as stopped, running_simulator(configuration) as simulated:
        demo_settings = settings.from_environment(changes=simulated.environment)
        if reset:
            _remove_data(demo_settings)
        _load_state(simulated, state_file)
        try:
            _serve_demo(terminal, demo_settings, simulated, stopped)
        finally:
            _save_state(simulated, state_file)


def _demo_configuration(port: int, real_hostnames: bool) -> "Configuration":
    from wizard.simulator.configuration import Configuration

    return Configuration(port=port, real_hostnames=real_hostnames)


def _serve_demo(
    terminal: Terminal,
    demo_settings: settings.Settings,
    simulated: "Simulator",
    stopped: StopEvent,
) -> None:
    services = terminal.open_services(demo_settings, simulated.clock)
    environment = {**demo_settings.service_environment, **simulated.environment}
    with running_server(services) as create_browser_link:

        def report(event: EventKind, render: Callable[[], object]) -> None:
            is_printed = terminal.is_json and event != "stopping"
            link = create_browser_link("/", True) if is_printed else None
            terminal.emit_event(_event(event, simulated, link), render)

        report(
            "serving", partial(_print_demo, terminal, simulated, environment, create_browser_link)
        )
        new_link = partial(print_browser_link, terminal, create_browser_link)
        wait_until(stopped, lambda: report("link", new_link))
        stopping = message("notes", "stopping")
        report("stopping", lambda: terminal.renderer.print_note(stopping))


def _print_demo(
    terminal: Terminal,
    simulated: "Simulator",
    environment: Mapping[str, str],
    create_browser_link: BrowserLinkFactory,
) -> None:
    renderer = terminal.renderer
    renderer.print_note(message("notes", "demo-mode", url=simulated.url))
    renderer.print_blank()
    link = create_browser_link("/", True)
    if names := simulated.real_host_names:
        renderer.print_note(message("notes", "demo-open-browser"))
        profile = f"--user-data-dir={names.browser_profile}"
        renderer.print_command(shlex.join(("chromium", profile, *names.browser_arguments, link)))
    else:
        renderer.print_note(message("notes", "demo-open"))
        renderer.print_command(link)
    renderer.print_note(message("notes", "demo-users"))
    _print_users(terminal, simulated)
    renderer.print_note(message("notes", "demo-use"))
    _print_environment(terminal, environment)
    renderer.print_command("zoho-wizard list")
    renderer.print_command("zoho-wizard token")
    renderer.print_note(message("notes", "demo-admin"))
    renderer.print_command(_admin_url(simulated.url))
    renderer.print_note(message("notes", "demo-back"))
    renderer.print_command(f"unset {' '.join(simulated.environment)}")
    renderer.print_note(message("notes", "demo-keys"))


def _event(event: EventKind, simulated: "Simulator", link: str | None = None) -> SimulatorEvent:
    users = tuple(
        SimulatedUser(
            user["email"], user["password"], user["location"], bool(user["one_time_code"])
        )
        for user in simulated.controls.users()
    )
    admin_url, environment = _admin_url(simulated.url), simulated.environment
    return SimulatorEvent(event, simulated.url, admin_url, environment, users, link)


def _admin_url(url: str) -> str:
    return f"{url}/_simulator/"


@contextmanager
def running_simulator(
    configuration: "Configuration", listen: Listen | None = None
) -> Iterator["Simulator"]:
    """Run a simulated Zoho; raises `simulator-port-in-use`."""
    from wizard.simulator.server import Simulator

    try:
        simulated = Simulator(configuration, listen=listen)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise click.UsageError(
                message("usage-errors", "no-such-address", address=configuration.listen)
            ) from None
        if error.errno == errno.EADDRINUSE:
            raise fail("simulator-port-in-use", port=str(configuration.port)) from error
        place = error.filename or f"{configuration.listen}:{configuration.port}"
        reason = error.strerror or type(error).__name__
        raise click.UsageError(
            message("usage-errors", "cannot-open", place=place, reason=reason)
        ) from None
    with simulated:
        yield simulated


def _print_users(terminal: Terminal, simulated: "Simulator") -> None:
    users = simulated.controls.users()
    width = max(len(user["email"]) for user in users)
    for user in users:
        start = f"     {user['email'].ljust(width)}  {user['password'].ljust(22)}  "
        text = start + _describe_user(user)
        terminal.renderer.print_note(text, hanging_columns=len(start.lstrip()))


def _describe_user(user: Mapping[str, Any]) -> str:
    """Say where the user's account is and what is special about signing in."""
    in_crm = [each for each in user["organizations"] if each["product"] == "crm"]
    code = "demo-user"
    if user["one_time_code"]:
        code = "demo-user-one-time-code"
    elif not in_crm:
        code = "demo-user-without-account"
    elif len(in_crm) > 1:
        code = "demo-user-several-organizations"
    return message("notes", code, location=user["location"].upper())


def _print_environment(terminal: Terminal, environment: Mapping[str, str]) -> None:
    """Print the lines after which another terminal finds this program and the same data."""
    here = Path(sys.argv[0]).resolve().parent
    found, own = shutil.which("zoho-wizard"), here / "zoho-wizard"
    if own.exists() and (found is None or not own.samefile(found)):
        terminal.renderer.print_command(f'export PATH={shlex.quote(str(here))}:"$PATH"')
    for name, value in environment.items():
        if name != "HOME":
            terminal.renderer.print_command(f"export {name}={shlex.quote(value)}")


def _remove_data(demo_settings: settings.Settings) -> None:
    """Remove the demo's data and configuration, none of which is real. Raises `already-served`,
    `uninstall-foreign-directory`, `uninstall-unremovable`."""
    require_used(demo_settings.paths)
    demo_settings.paths.prepare()
    with alone(demo_settings.paths):
        paths = demo_settings.paths
        for directory in (paths.data_dir, paths.config_dir, paths.cache_dir):
            remove_known(Path(directory))


def _load_state(simulated: "Simulator", state_file: Path) -> None:
    """Continue where the last demo ended; raises `demo-unreadable`."""
    try:
        text = state_file.read_text("utf-8")
    except FileNotFoundError:
        return
    try:
        simulated.world.load(json.loads(text))
    except (ValueError, LookupError, TypeError) as error:
        raise fail("demo-unreadable", path=str(state_file)) from error


def _save_state(simulated: "Simulator", state_file: Path) -> None:
    with simulated.world.lock:
        text = json.dumps(simulated.world.to_dict())
    files.replace(str(state_file), text.encode())
