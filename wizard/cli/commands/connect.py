"""``connect``: one authorization, on the pages, in the terminal or in the assisted browser."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Self
from urllib.parse import urlencode

import click

from wizard.assisted_browser import ClientForm, ConsoleAssistant
from wizard.cli.commands.client import (
    CLIENT_ID,
    PRESET,
    print_registered,
    register_client,
    resolve_location,
    store_client_file,
    with_new_secret,
)
from wizard.cli.commands.reauthorize import print_approval_link, print_requests
from wizard.cli.flows.authorization import (
    WINDOW_CLOSED,
    AssistedAuthorizer,
    assisted_authorizer,
    authorize_in_terminal,
    no_browser_option,
)
from wizard.cli.flows.reauthorization import complete_response, print_open_requests
from wizard.cli.flows.serving import (
    available_server,
    open_page,
    print_browser_link,
    print_waiting,
    require_page_visitor,
    stop_signals,
    wait_until,
)
from wizard.cli.flows.verification import (
    VerificationOutcome,
    outcome_result,
    print_outcome,
    print_usage,
    verify,
)
from wizard.cli.results.checks import ConsentRequest
from wizard.cli.terminal import NEW_CONNECTION_NAME, TAG, Exit, Terminal, pass_terminal, printable
from wizard.clients import ConnectionRequest, parse_credentials
from wizard.errors import WizardError, fail, message
from wizard.model import Attempt, Client
from wizard.model.states import OPEN_ATTEMPT_STATES
from wizard.zoho import DataCenter, parse_scope, preset, presets, suggest_scope, unusual_scopes

PAGE_LOAD_SECONDS = 2
"""How long a browser takes at most to follow a redirect on this computer."""


@dataclass(frozen=True)
class ConnectOptions:
    """The options of ``connect``, as given."""

    preset_ids: tuple[str, ...] = ()
    scope: str = ""
    data_center: str = ""
    client_id: str = ""
    is_self_client: bool = False
    owner: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    expected_email: str = ""

    @classmethod
    def from_page(cls, entered: Mapping[str, Any]) -> Self:
        """What was entered on the page: the fields of a `ConnectionRequest`."""
        return cls(
            tuple(entered["preset_ids"]),
            ",".join(entered["scope"]),
            entered["location"] or "",
            owner=entered["owner"],
            tags=tuple(entered["tags"]),
            note=entered["note"],
            expected_email=entered["expected_email"],
        )

    @property
    def has_request(self) -> bool:
        """Whether a preset, a scope, a data center or a client was given."""
        return bool(self.preset_ids or self.scope or self.data_center or self.client_id)

    @property
    def is_annotated(self) -> bool:
        """Whether an owner, a tag or a note was given."""
        return bool(self.owner or self.tags or self.note)

    @property
    def is_empty(self) -> bool:
        """Nothing was given except the name."""
        return not (self.has_request or self.is_annotated)

    def request(self, terminal: Terminal) -> ConnectionRequest:
        """The request; raises what `ConnectionRequest.of` raises, and ``unknown-data-center``."""
        return ConnectionRequest.of(
            self.preset_ids,
            self.scope,
            self.location(terminal),
            owner=self.owner,
            tags=self.tags,
            note=self.note,
            expected_email=self.expected_email,
        )

    def location(self, terminal: Terminal) -> str | None:
        """The data center; None if none was named. Raises ``unknown-data-center``."""
        return resolve_location(terminal, self.data_center)

    def stored_client(self, terminal: Terminal) -> Client | None:
        """The client named, or the only suitable one; None if there is none.

        Raises ``unknown-client``, or ``client-choice-needed`` if several are suitable.
        """
        store = terminal.services.store
        if self.client_id:
            return store.clients.get(self.client_id)
        matching = [
            each
            for each in store.clients.all()
            if self.is_self_client is not bool(each.redirect_uri)
        ]
        if len(matching) > 1:
            names = ", ".join(f"{each.client_id} ({each.name})" for each in matching)
            raise fail("client-choice-needed", clients=names)
        return matching[0] if matching else None


@dataclass(frozen=True)
class ConnectMode:
    """How the consent is given: by default on the pages."""

    add: bool
    in_place: bool
    no_browser: bool
    assist: bool
    self_client: bool
    request: bool
    response: bool
    link: bool
    yes: bool

    @property
    def is_forwarded(self) -> bool:
        """The account owner gives it."""
        return self.request or self.response

    @property
    def is_in_terminal(self) -> bool:
        return self.no_browser or self.self_client

    @property
    def is_pasted(self) -> bool:
        """A URL or a code is pasted into the terminal."""
        return self.no_browser or (self.self_client and not self.add)

    def contradiction(self) -> str:
        """Which flags contradict each other, as a key of the usage errors; empty: none do."""
        checks = {
            "link-without-request": self.link and not self.request,
            "assist-combined": self.assist
            and (self.add or self.is_in_terminal or self.is_forwarded),
            "request-combined": self.is_forwarded and self.is_in_terminal,
            "in-place-combined": self.in_place
            and (not self.add or self.is_in_terminal or self.is_forwarded),
            "yes-without-assist": self.yes and not self.assist,
        }
        return next((code for code, is_wrong in checks.items() if is_wrong), "")


def _presets_help() -> str:
    """The presets for the end of the help; ``\\b`` keeps one per line."""
    width = max(len(each.id) for each in presets())
    return "\b\nPresets:\n" + "\n".join(f"  {each.id:{width}}  {each.title}" for each in presets())


@click.command(epilog=_presets_help())
@click.argument("names", type=NEW_CONNECTION_NAME, nargs=-1, metavar="[NAME]...")
@click.option(
    "--preset",
    "preset_ids",
    type=PRESET,
    multiple=True,
    help="Request the scopes of this preset. Repeat it for several. The presets are listed below.",
)
@click.option(
    "--scope",
    default="",
    help="Request these scopes, separated by commas, in addition to those of the presets.",
)
@click.option(
    "--data-center",
    default="",
    help="Use this data center: a code such as eu, or any Zoho URL of yours. Default: that of "
    "the client.",
)
@click.option(
    "--client",
    "client_id",
    type=CLIENT_ID,
    default="",
    help="Use this client, by its ID or name. Default: the only one.",
)
@click.option(
    "--client-file",
    type=click.Path(path_type=Path),
    help="Use the client in this file, which a colleague exported with `client export`. Default "
    "presets: those that the file suggests.",
)
@click.option(
    "--owner",
    default="",
    help="Note who is responsible for the connection: a person, a team or an email address.",
)
@click.option(
    "--tag",
    "tags",
    type=TAG,
    multiple=True,
    help="Give the connection this tag. Repeat it for several tags.",
)
@click.option(
    "--note",
    default="",
    help="Keep a note for people. It isn’t encrypted, so it can’t contain a secret.",
)
@click.option("--add", is_flag=True, help="Add scopes to an existing connection, with one consent.")
@click.option(
    "--in-place",
    is_flag=True,
    help="With --add, keep the refresh token: Zoho adds the scopes to it. It needs the page, "
    "because Zoho’s answer has no code to paste. Not tried with the real Zoho yet.",
)
@no_browser_option
@click.option(
    "--assist",
    is_flag=True,
    help="Use a browser window that fills in the console’s form and accepts for you. This is "
    "experimental.",
)
@click.option(
    "--self-client", is_flag=True, help="Use a code that you generate in the console’s Self Client."
)
@click.option(
    "--request",
    is_flag=True,
    help="Print a message for the owner of the Zoho account, who can answer it within a day.",
)
@click.option(
    "--account",
    default="",
    metavar="EMAIL",
    help="Expect this account to approve. If a different one does, nothing is used until you "
    "decide. Default: any account.",
)
@click.option(
    "--yes",
    is_flag=True,
    help="With --assist, read the new client’s ID and secret from the console without asking.",
)
@click.option(
    "--link",
    is_flag=True,
    help="With --request, print a one-time link instead, for an account owner who can open the "
    "wizard’s pages: at this computer, or over an SSH tunnel.",
)
@click.option("--response", is_flag=True, help="Read the URL that came back for --request.")
@click.option(
    "--from-page",
    is_flag=True,
    hidden=True,
    help="Read the name and the request from standard input, as the page writes them.",
)
@pass_terminal
def connect(
    terminal: Terminal,
    names: tuple[str, ...],
    preset_ids: tuple[str, ...],
    scope: str,
    data_center: str,
    client_id: str,
    client_file: Path | None,
    owner: str,
    tags: tuple[str, ...],
    note: str,
    add: bool,
    in_place: bool,
    no_browser: bool,
    assist: bool,
    self_client: bool,
    request: bool,
    account: str,
    yes: bool,
    link: bool,
    response: bool,
    from_page: bool,
) -> None:
    """Create, authorize and verify a connection.

    The wizard opens a page that asks for what you didn’t pass as an option, and waits until the
    connection is verified. With --assist, a browser window fills in Zoho’s forms for you. A
    script passes --no-browser and writes the callback URL to standard input. With --no-input,
    the command never waits for a page.

    \b
    Examples:
      zoho-wizard connect crm --preset crm-read-leads --assist
      zoho-wizard connect crm --add --preset books-read-invoices
      zoho-wizard connect leads --preset crm-read-leads --request
      zoho-wizard connect --response
    """
    mode = ConnectMode(add, in_place, no_browser, assist, self_client, request, response, link, yes)
    options = ConnectOptions(
        preset_ids,
        scope,
        data_center,
        client_id,
        self_client,
        printable(owner),
        tags,
        printable(note),
        printable(account),
    )
    name = names[0] if names else ""
    if from_page:
        # Other users may read argv, and these are personal data.
        entered = json.load(sys.stdin)
        name, options = entered["name"], ConnectOptions.from_page(entered["request"])
    terminal.connection_name = name
    checks = {
        "names-without-request": len(names) > 1 and not request,
        "add-annotated": add and options.is_annotated,
        "client-file-combined": client_file and (add or response or client_id or self_client),
    }
    combined = next((code for code, is_wrong in checks.items() if is_wrong), "")
    if code := mode.contradiction() or combined:
        raise click.UsageError(message("usage-errors", code))
    for each in preset_ids:
        preset(each)  # an unknown one is the first thing to correct
    _warn_about_scopes(terminal, scope)
    if response:
        _complete_request(terminal)
    if assist and terminal.no_input:
        raise fail("input-needed", options="--no-browser, or --request")
    if client_file is not None:
        name, options = _with_client_file(terminal, name, options, client_file)
    if request and (len(names) > 1 or link):
        _request_consents(terminal, names or (name,), options, add=add, is_link=link)
    elif request:
        _request_consent(terminal, name, options, add=add)
    else:
        _connect(terminal, name, options, mode)


def _connect(terminal: Terminal, name: str, options: ConnectOptions, mode: ConnectMode) -> None:
    """Get the consent from the person at this machine, and verify the connection."""
    if mode.is_pasted and not mode.add:
        _require_paste(terminal, name)
    elif not (mode.is_pasted or mode.assist):
        require_page_visitor(terminal, message("input-options", "paste-mode"))
    _expect_account(terminal, name, options.expected_email)
    if mode.assist:
        _connect_in_assisted_browser(terminal, name, options, yes=mode.yes)
    elif mode.in_place:
        _add_scope_in_place(terminal, name, options)
    elif mode.add:
        _extend_scope(terminal, name, options, no_browser=mode.no_browser)
    elif mode.is_pasted:
        _ensure_stored(terminal, name, options)
        _connect_in_terminal(terminal, name, self_client=mode.self_client)
    else:
        _connect_in_browser(terminal, name, _start_page(terminal, name, options))


def _with_client_file(
    terminal: Terminal, name: str, options: ConnectOptions, client_file: Path
) -> tuple[str, ConnectOptions]:
    """The name and the options with the client of a file, which is stored now. Without presets and
    scopes, those that the file suggests; without a name, one derived from these.

    Raises ``connection-exists``, and what `store_client_file` raises.
    """
    names = _generations(terminal)
    if name in names:
        raise fail("connection-exists", name=name)
    client, suggested = store_client_file(terminal, client_file)
    preset_ids = options.preset_ids or (() if options.scope else suggested)
    completed = replace(options, client_id=client.client_id, preset_ids=preset_ids)
    if not name and (preset_ids or options.scope):
        name = completed.request(terminal).suggested_name(names)
        terminal.connection_name = name
    return name, completed


def _expect_account(terminal: Terminal, name: str, email: str) -> None:
    """Expect account `email` to give the first consent for connection `name`, if that is stored.
    Raises ``bad-email``."""
    connections = terminal.services.store.connections
    if email and name in _generations(terminal) and not connections.get(name).generation:
        connections.set_expected_email(name, email)


def _warn_about_scopes(terminal: Terminal, scope: str) -> None:
    """Name the scopes that may be misspelled. Raises ``malformed-scope``."""
    scopes = parse_scope(scope) if scope.strip() else ()
    unusual = unusual_scopes(scopes)
    for each in scopes:
        nearest = suggest_scope(each)
        if nearest or each in unusual:
            terminal.renderer.print_note(
                message("scope-notes", "unusual", scope=each, nearest=nearest)
            )


def _require_paste(terminal: Terminal, name: str) -> None:
    """Raise ``name-needed``, or ``input-needed`` if nobody can paste the callback URL."""
    if not name:
        raise fail("name-needed")
    terminal.require_line(message("prompts", "callback-piped"))


# on the pages


def _start_page(terminal: Terminal, name: str, options: ConnectOptions) -> str:
    """The page to start on: the connection's page if everything is known, else the form."""
    names = {connection.name for connection in terminal.services.store.connections.all()}
    if name in names:
        if not options.is_empty:
            raise fail("connection-exists", name=name)
        return f"/connections/{name}"
    query = [("name", name), ("owner", options.owner), ("note", options.note)]
    query += [("expected_email", options.expected_email)]
    query += [("tag", tag) for tag in options.tags]
    if not options.has_request:
        given = [pair for pair in query if pair[1]]
        return "/connections/new" + (f"?{urlencode(given)}" if given else "")
    request = options.request(terminal)
    client = options.stored_client(terminal)
    if name and client:
        create_connection(terminal, name, options, client)
        return f"/connections/{name}"
    query += [("location", request.location or ""), ("scope", ",".join(request.scope))]
    query += [("preset", preset_id) for preset_id in request.preset_ids]
    return "/connections/new?" + urlencode([pair for pair in query if pair[1]])


def _connect_in_browser(terminal: Terminal, name: str, page: str) -> None:
    """Show `page`, and wait until connection `name` (or any) has a newly verified grant."""
    before = _generations(terminal)

    def verified_names() -> list[str]:
        now = _generations(terminal)
        return [
            each
            for each, generation in now.items()
            if generation > before.get(each, 0) and name in ("", each)
        ]

    with stop_signals() as stop_event, available_server(terminal.services) as create_browser_link:
        open_page(page, create_browser_link, terminal.settings, terminal.renderer)
        print_waiting(terminal, "verification")
        new_link = partial(print_browser_link, terminal, create_browser_link, page)
        if not wait_until(stop_event, new_link, lambda: bool(verified_names())):
            terminal.renderer.print_note(
                message("notes", "not-verified-yet"), command=_resume_command(name)
            )
            raise Exit(1)
        name = verified_names()[0]
    outcome = VerificationOutcome(name, terminal.services.store.grants.get(name))
    _print_outcome(terminal, outcome)


def _add_scope_in_place(terminal: Terminal, name: str, options: ConnectOptions) -> None:
    """Show the form that adds scopes to the refresh token of connection `name`, and wait until Zoho
    has answered. Raises ``unknown-connection``, ``no-preset``, ``in-place-unavailable``, and why
    the scopes weren't added."""
    services, attempts = terminal.services, terminal.services.store.attempts
    services.store.connections.get(name)
    scope = ",".join(options.request(terminal).scope)
    if not services.scope_addition.can_begin(name):
        raise fail("in-place-unavailable", name=name, scope=scope)
    before = attempts.newest(name)

    def settled_attempt() -> Attempt | None:
        newest = attempts.newest(name)
        is_new = newest is not None and (before is None or newest.id != before.id)
        return newest if newest and is_new and newest.state not in OPEN_ATTEMPT_STATES else None

    page = f"/connections/{name}?" + urlencode({"add": scope, "in_place": "yes"})
    with stop_signals() as stop_event, available_server(services) as create_browser_link:
        open_page(page, create_browser_link, terminal.settings, terminal.renderer)
        print_waiting(terminal, "consent")
        new_link = partial(print_browser_link, terminal, create_browser_link, page)
        if not wait_until(stop_event, new_link, lambda: settled_attempt() is not None):
            raise Exit(1)
        # The browser still loads the connection's page, to which the callback redirects.
        stop_event.wait(PAGE_LOAD_SECONDS)
    attempt = settled_attempt()
    if attempt is not None and attempt.failure is not None:
        raise WizardError(attempt.failure)
    _print_outcome(terminal, VerificationOutcome(name, services.store.grants.get(name)))


def _generations(terminal: Terminal) -> dict[str, int]:
    return {each.name: each.generation for each in terminal.services.store.connections.all()}


def _resume_command(name: str) -> str:
    return f"zoho-wizard connect {name}".rstrip()


# by the account owner


def _request_consent(terminal: Terminal, name: str, options: ConnectOptions, *, add: bool) -> None:
    """Store connection `name` if it isn't stored, and print the message for the account owner. With
    `add`, the scopes are requested in addition to the connection's."""
    additional_scope: tuple[str, ...] = ()
    if add:
        terminal.services.store.connections.get(name)
        additional_scope = options.request(terminal).scope
    else:
        _ensure_stored(terminal, name, options)
        _expect_account(terminal, name, options.expected_email)
    consent = terminal.services.authorization.request_consent(
        name, options.expected_email, additional_scope
    )

    def render() -> None:
        terminal.renderer.print_letter(consent.message)
        terminal.renderer.print_blank()
        terminal.renderer.print_note(
            message("notes", "when-url-returns"), command=f"zoho-wizard connect {name} --response"
        )

    terminal.emit(ConsentRequest(consent.email, (name,), consent.message), render)


def _request_consents(
    terminal: Terminal, names: Sequence[str], options: ConnectOptions, *, add: bool, is_link: bool
) -> NoReturn:
    """As `_request_consent` for several connections, with one message for each account owner, or
    with a link to a page for the owner. They become a re-authorization."""
    additional_scope: tuple[str, ...] = ()
    if add:
        additional_scope = options.request(terminal).scope
    else:
        for name in names:
            _ensure_stored(terminal, name, options)
            _expect_account(terminal, name, options.expected_email)
    terminal.services.reauthorization.begin(names, additional_scope)
    if is_link:
        require_page_visitor(terminal, message("input-options", "request"))
        print_approval_link(terminal, names)
    print_requests(terminal, names, "connect")


def _complete_request(terminal: Terminal) -> NoReturn:
    """Take the URL that came back. Its ``state`` says which connection it is for."""
    url = terminal.read_secret(message("prompts", "returned-url"), whole=False)
    _print_outcome(terminal, complete_response(terminal, url), print_open_requests)


# in the assisted browser


def _connect_in_assisted_browser(
    terminal: Terminal, name: str, options: ConnectOptions, *, yes: bool
) -> None:
    """Lead through the console and the consent in the assisted browser. If the console isn't as
    expected, show the page with its copy buttons, and leave the window open; with `yes`, which the
    page passes, end with the error."""
    if not _is_stored(terminal, name, options):
        options.request(terminal)
        options = with_data_center(terminal, options)
    with assisted_authorizer(
        terminal, keep_profiles=False, resume_command=_resume_command(f"{name} --assist")
    ) as authorizer:
        try:
            generation = authorize_in_assisted_browser(
                terminal,
                name,
                options,
                authorizer,
                (lambda _question: True) if yes else partial(terminal.ask_yes_no, option=""),
            )
        except ManualRegistrationError as error:
            if yes:
                raise WizardError(error.failure) from None
            terminal.renderer.print_explanation(terminal.explain(error.failure))
            _connect_in_browser(terminal, name, _start_page(terminal, name, options))
        outcome = verify(terminal, name, generation)
    _print_outcome(terminal, outcome)


# in the terminal


def _extend_scope(
    terminal: Terminal, name: str, options: ConnectOptions, *, no_browser: bool
) -> None:
    """Add scopes to connection `name`; raises ``unknown-connection``, ``no-preset``."""
    connection = terminal.services.store.connections.get(name)
    scope = options.request(terminal).scope
    if no_browser:
        _require_paste(terminal, name)
        _connect_in_terminal(terminal, name, self_client=False, additional_scope=scope)
        return
    query = [("scope", ",".join(scope)), ("client", connection.client_id)]
    _connect_in_browser(terminal, name, "/connections/new?" + urlencode(query))


def _ensure_stored(terminal: Terminal, name: str, options: ConnectOptions) -> None:
    """Store connection `name` and its client if they aren't, asking for what is missing.

    Raises ``input-needed`` if a client must be registered and nobody can be asked.
    """
    if _is_stored(terminal, name, options):
        return
    options.request(terminal)
    client: Client | None = options.stored_client(terminal)
    if client is None:
        if not terminal.is_interactive:  # stdin has the callback URL
            raise fail("input-needed", options=message("input-options", "client"))
        location = options.location(terminal)
        client = register_client(terminal, location=location, is_self_client=options.is_self_client)
        print_registered(terminal, client)
    create_connection(terminal, name, options, client)


def _is_stored(terminal: Terminal, name: str, options: ConnectOptions) -> bool:
    """Whether the connection exists; raises ``name-needed``, or ``connection-exists`` if it does
    and more than its name was given."""
    if not name:
        raise fail("name-needed")
    stored = name in _generations(terminal)
    if stored and not options.is_empty:
        raise fail("connection-exists", name=name)
    return stored


def _connect_in_terminal(
    terminal: Terminal, name: str, *, self_client: bool, additional_scope: tuple[str, ...] = ()
) -> None:
    """One consent whose callback URL is pasted here, then the verification, step by step."""
    generation = authorize_in_terminal(
        terminal, name, is_self_client=self_client, additional_scope=additional_scope
    )
    _print_outcome(terminal, verify(terminal, name, generation))


def _print_outcome(
    terminal: Terminal,
    outcome: VerificationOutcome,
    print_rest: Callable[[Terminal], None] = lambda _: None,
) -> NoReturn:
    def render() -> None:
        print_outcome(terminal, outcome)
        if outcome.explanation is None:
            print_usage(terminal, outcome.name)
        print_rest(terminal)

    terminal.emit(outcome_result(terminal, outcome), render)
    raise Exit(outcome.exit_code)


class ManualRegistrationError(Exception):
    """The assisted browser can't register the client; `failure` says why. Nothing is lost."""

    def __init__(self, error: WizardError) -> None:
        super().__init__(error.failure.code)
        self.failure = error.failure


def with_data_center(terminal: Terminal, options: ConnectOptions) -> ConnectOptions:
    """The request with a data center, which decides which console opens; asked for if missing.

    Raises ``input-needed`` if nobody can be asked, ``unknown-data-center``.
    """
    if options.data_center or options.stored_client(terminal) is not None:
        return options
    prompt = message("prompts", "data-center")
    data_center = terminal.ask(prompt, option=message("input-options", "data-center"))
    completed = replace(options, data_center=data_center)
    completed.location(terminal)
    return completed


def authorize_in_assisted_browser(
    terminal: Terminal,
    name: str,
    options: ConnectOptions,
    authorizer: AssistedAuthorizer,
    confirm: Callable[[str], bool],
) -> int:
    """Store connection `name` and its client if they aren't, and lead to the consent; return the
    generation of the grant. `confirm` asks a yes-or-no question.

    Raises `ManualRegistrationError` if the client must be registered by hand, and what
    `AssistedAuthorizer.authorize` raises.
    """
    store = terminal.services.store
    if name not in {each.name for each in store.connections.all()}:
        client = options.stored_client(terminal) or _register_client(
            terminal, options, authorizer, confirm
        )
        create_connection(terminal, name, options, client)
    email = terminal.services.authorization.expected_email(name)
    return authorizer.authorize(name, email=email)


def _register_client(
    terminal: Terminal,
    options: ConnectOptions,
    authorizer: AssistedAuthorizer,
    confirm: Callable[[str], bool],
) -> Client:
    data_center = terminal.services.zoho.data_center(options.location(terminal) or "")
    assistant = authorizer.console_assistant()
    try:
        client = _register_in_console(terminal, data_center, assistant, confirm)
    except WizardError as error:
        if error.failure.code == WINDOW_CLOSED and authorizer.is_stopped:
            raise
        assistant.show_notice(message("user-prompts", "console-by-hand"))
        raise ManualRegistrationError(
            _console_error("closed") if error.failure.code == WINDOW_CLOSED else error
        ) from None
    print_registered(terminal, client)
    return client


def _register_in_console(
    terminal: Terminal,
    data_center: DataCenter,
    assistant: ConsoleAssistant,
    confirm: Callable[[str], bool],
) -> Client:
    """Register a client in `data_center` and store it; raises ``console-surprise``,
    ``window-closed``, and what `ClientService.admit` raises."""
    services, settings = terminal.services, terminal.settings
    terminal.renderer.print_note(message("notes", "console-opens", data_center=data_center.name))
    terminal.renderer.print_note(message("notes", "assist-experimental"))
    name = services.clients.free_name()
    assistant.register_client(
        data_center, ClientForm(name, settings.base_url, settings.redirect_uri)
    )
    assistant.show_notice(message("user-prompts", "console-created"))
    terminal.renderer.print_note(message("notes", "assist-credentials"))
    if not confirm(message("prompts", "read-credentials")):
        raise _console_error("kept")
    assistant.show_notice(None)
    text = assistant.read_credentials(data_center)
    try:
        credentials = parse_credentials(text)
    except WizardError:
        raise _console_error("unread") from None
    return with_new_secret(
        terminal,
        lambda replace: services.clients.admit(
            credentials,
            redirect_uri=settings.redirect_uri,
            location=data_center.location,
            replace=replace,
        ),
        confirm,
    )


def _console_error(code: str) -> WizardError:
    return fail("console-surprise", description=message("unexpected-pages", code))


def create_connection(
    terminal: Terminal, name: str, options: ConnectOptions, client: Client
) -> None:
    """Store a new connection, by default in its client's data center.

    Raises ``connection-exists``, ``bad-name``, and what `ConnectOptions.request` raises.
    """
    request = options.request(terminal)
    request = replace(request, location=request.location or client.location)
    terminal.services.store.connections.add(request.connection(name, client, terminal.clock()))
