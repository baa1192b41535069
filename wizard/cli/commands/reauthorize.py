"""``reauthorize``: new authorizations for one connection or many, with one sign-in per account."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import NoReturn

import click

from wizard.authorization import StartedAttempt
from wizard.cli.commands.token import DurationType
from wizard.cli.flows.authorization import (
    RESUME_COMMAND,
    Authorizer,
    PasteAuthorizer,
    assist_option,
    assisted_authorizer,
    keep_profile_option,
    no_browser_option,
)
from wizard.cli.flows.reauthorization import (
    complete_responses,
    exit_code,
    item_result,
    print_open_requests,
    print_results,
    reauthorize_in_terminal,
)
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
    most_severe,
    outcome_result,
    print_outcome,
)
from wizard.cli.results.checks import ConsentRequest, ConsentRequestList, ReauthorizationReport
from wizard.cli.terminal import (
    CONNECTION_NAME,
    TAG,
    Exit,
    Terminal,
    pass_terminal,
    tagged_connections,
)
from wizard.errors import WizardError, fail, message
from wizard.model import AttemptMode, Explanation, Failure
from wizard.model.states import ItemState
from wizard.reauthorization.plan import (
    RETRYING_STATES,
    SETTLED_STATES,
    Reauthorization,
    ReauthorizationItem,
    ReauthorizationPlan,
)
from wizard.reauthorization.service import unknown_account
from wizard.timefmt import format_duration
from wizard.web.sessions import APPROVALS_LINK
from wizard.zoho import parse_scope, preset, presets


@dataclass(frozen=True)
class Selection:
    """The options that select connections, as given."""

    names: tuple[str, ...]
    all_rejected: bool
    account: str
    tags: tuple[str, ...]
    new_account_email: str

    def plan(
        self, terminal: Terminal, current: Reauthorization | None
    ) -> ReauthorizationPlan | None:
        """A plan for the selected connections; None: continue `current`.

        Raises ``nothing-to-reauthorize``, ``no-account``, ``unknown-tag``.
        """
        selected = self._connections(terminal)
        if not selected and current is not None and not current.is_done:
            return None
        return terminal.services.reauthorization.plan(selected, self.new_account_email)

    def _connections(self, terminal: Terminal) -> tuple[str, ...]:
        """The connections that are selected; none without names and options."""
        service = terminal.services.reauthorization
        selected = self.names
        tagged = tagged_connections(terminal, self.tags) if self.tags else ()
        if self.account:
            candidates = service.connections_of_account(self.account)
            if not candidates:
                raise unknown_account(self.account, service.account_emails())
        else:
            candidates = tagged
        if self.account or self.tags:
            rejected = set(service.rejected_connections())
            selected = tuple(
                name
                for name in candidates
                if (not self.tags or name in tagged)
                and (self.new_account_email or name in rejected or name in self.names)
            )
        elif self.all_rejected:
            selected = service.rejected_connections()
        if (self.account or self.tags or self.all_rejected) and not selected:
            raise fail("nothing-to-reauthorize")
        return selected


@click.command()
@click.argument("names", type=CONNECTION_NAME, nargs=-1, metavar="[NAME]...")
@click.option(
    "--all", "all_rejected", is_flag=True, help="Select all connections that need re-authorization."
)
@click.option(
    "--account", default="", metavar="EMAIL", help="Select only those that this account authorized."
)
@click.option(
    "--tag",
    "tags",
    type=TAG,
    multiple=True,
    help="Select only those with this tag. Repeat it for those that have several tags.",
)
@click.option(
    "--as",
    "new_account_email",
    default="",
    metavar="EMAIL",
    help="Let this account take over the selected connections.",
)
@click.option(
    "--add",
    "additions",
    multiple=True,
    metavar="PRESET|SCOPE",
    help="Add these scopes, or those of a preset. Repeat it for several.",
)
@click.option(
    "--revoke-after",
    type=DurationType(),
    default="24h",
    help="Revoke a replaced refresh token after this time, if no reload shows earlier that "
    "it’s unused. Default: 24h.",
)
@no_browser_option
@assist_option
@keep_profile_option
@click.option(
    "--request",
    is_flag=True,
    help="Print a message for the owner of each account, who can answer it within a day.",
)
@click.option(
    "--response", is_flag=True, help="Read the URLs that came back for --request, one per line."
)
@click.option("--yes", is_flag=True, help="Don’t ask before several consents. A script needs it.")
@pass_terminal
def reauthorize(
    terminal: Terminal,
    names: tuple[str, ...],
    all_rejected: bool,
    account: str,
    tags: tuple[str, ...],
    new_account_email: str,
    additions: tuple[str, ...],
    revoke_after: timedelta,
    no_browser: bool,
    assist: bool,
    keep_profile: bool,
    request: bool,
    response: bool,
    yes: bool,
) -> None:
    """Re-authorize connections with the same scopes.

    Name connections, or select those that need it. Without either, an unfinished
    re-authorization continues. The current authorization is used until the new one is verified.
    Nothing is replaced if the new one is for a different account or organization. A script passes
    --no-browser and writes each callback URL to standard input. With --no-input, the command
    never waits for a page.

    \b
    Examples:
      zoho-wizard reauthorize crm
      zoho-wizard reauthorize --all --assist
      zoho-wizard reauthorize --account anna@zylker.example --request
      zoho-wizard reauthorize --response
    """
    if names and all_rejected:
        raise click.UsageError(message("usage-errors", "names-or-all"))
    check_options(
        assist=assist, has_other_mode=no_browser or request or response, keep_profiles=keep_profile
    )
    if assist and terminal.no_input:
        raise fail("input-needed", options="--no-browser, or --request")
    service = terminal.services.reauthorization
    service.revoke_replaced_tokens()
    if response:
        _print_responses(terminal, complete_responses(terminal))
    additional_scope = _additional_scope(additions)
    current = service.current()
    selection = Selection(names, all_rejected, account, tags, new_account_email)
    try:
        plan = selection.plan(terminal, current)
    except WizardError as error:
        if error.failure.code != "nothing-to-reauthorize":
            raise
        _print_nothing_to_do(terminal, error.failure, request=request)
        return
    with open_authorizer(
        terminal, assist=assist, keep_profiles=keep_profile, no_browser=no_browser
    ) as authorizer:
        if plan is not None and len(plan.names) > 1:
            _confirm_plan(terminal, plan, yes=yes)
        if authorizer is None and not request and _are_self_clients(terminal, current, plan):
            authorizer = PasteAuthorizer(terminal)
        if not (assist or request):
            _require_person(terminal, current, plan, is_pasted=authorizer is not None)
        if plan is not None:
            service.begin(plan.names, additional_scope, new_account_email, revoke_after)
        service.resume()
        if request:
            print_requests(terminal)
        reauthorization = service.current()
        item_names = [item.connection for item in reauthorization.items] if reauthorization else []
        is_single = len(item_names) == 1 and not (additional_scope or new_account_email)
        give_consents(
            terminal,
            authorizer,
            f"/connections/{item_names[0]}" if is_single else "/reauthorize",
            lambda: _show_items(terminal, item_names),
        )
    _print_result(terminal, item_names)


def check_options(*, assist: bool, has_other_mode: bool, keep_profiles: bool) -> None:
    """Reject options that contradict each other, before anything is started."""
    if assist and has_other_mode:
        raise click.UsageError(message("usage-errors", "assist-combined-reauthorize"))
    if keep_profiles and not assist:
        raise click.UsageError(message("usage-errors", "keep-profile"))


@contextmanager
def open_authorizer(
    terminal: Terminal,
    *,
    assist: bool,
    keep_profiles: bool,
    no_browser: bool,
    resume_command: str = RESUME_COMMAND,
) -> Iterator[Authorizer | None]:
    """How consents are given; None: on the pages. Raises what `assisted_authorizer` raises, before
    anything is started. `resume_command` continues after the window was closed."""
    if assist:
        with assisted_authorizer(
            terminal, keep_profiles=keep_profiles, resume_command=resume_command
        ) as authorizer:
            yield authorizer
    else:
        yield PasteAuthorizer(terminal) if no_browser else None


def _additional_scope(additions: Sequence[str]) -> tuple[str, ...]:
    """The scopes of the presets and those named. Raises ``malformed-scope``."""
    preset_ids = {each.id for each in presets()}
    scopes = [
        scope
        for addition in additions
        for scope in (preset(addition).scope if addition in preset_ids else parse_scope(addition))
    ]
    return tuple(dict.fromkeys(scopes))


def _print_nothing_to_do(terminal: Terminal, failure: Failure, *, request: bool) -> None:
    """Print an empty result, and why it's empty."""
    result = ConsentRequestList(()) if request else ReauthorizationReport(())
    terminal.emit(result, lambda: terminal.renderer.print_explanation(terminal.explain(failure)))


def _are_self_clients(
    terminal: Terminal, current: Reauthorization | None, plan: ReauthorizationPlan | None
) -> bool:
    """Whether all connections use Self Clients, whose codes can only be pasted."""
    store = terminal.services.store
    names = {*(plan.names if plan else ())}
    if current is not None and not current.is_done:
        names.update(item.connection for item in current.items)
    clients = [store.clients.get(store.connections.get(name).client_id) for name in names]
    return not any(client.redirect_uri for client in clients)


def _require_person(
    terminal: Terminal,
    current: Reauthorization | None,
    plan: ReauthorizationPlan | None,
    *,
    is_pasted: bool,
) -> None:
    """Raise ``input-needed`` if a consent is needed and nobody can give or paste it."""
    is_automatic = (*SETTLED_STATES, *RETRYING_STATES, ItemState.VERIFYING, ItemState.DELIVERING)
    items = current.items if current else ()
    if plan is None and all(item.state in is_automatic for item in items):
        return
    if is_pasted:
        terminal.require_line(message("prompts", "callback-piped"))
    else:
        require_page_visitor(terminal, message("input-options", "paste-or-request"))


def _confirm_plan(terminal: Terminal, plan: ReauthorizationPlan, *, yes: bool) -> None:
    """Show what will happen, and ask once."""
    renderer = terminal.renderer
    for group in plan.groups:
        details = {
            "email": group.email,
            "location": group.location.upper(),
            "client": group.client_name,
            "names": ", ".join(group.names),
            "duration": format_duration(group.wait) if group.wait else "",
        }
        renderer.print_note(message("notes", "planned-group", **details))
    count = str(len(plan.names))
    totals = {"count": count, "sign_ins": str(plan.sign_in_count)}
    renderer.print_note(message("notes", "planned-total", **totals))
    if not yes:
        emails = {group.email for group in plan.groups}
        owner = {"email": emails.pop()} if len(emails) == 1 else {}
        question = message("prompts", "reauthorize", count=count, **owner)
        terminal.confirm(question, option="--yes", is_default=True)


def give_consents(
    terminal: Terminal,
    authorizer: Authorizer | None,
    page: str,
    show_progress: Callable[[], object],
    resume_command: str = "zoho-wizard reauthorize",
    names: Collection[str] = (),
) -> None:
    """Get one consent after the other of the current re-authorization, or of the part of `names`,
    until nothing is left for the user to do: with `authorizer` or, without one, on `page`.

    If the user stops in the terminal, `show_progress` prints how far each connection is.
    `resume_command` continues later.
    """
    if authorizer is None:
        _give_consents_on_page(terminal, page, resume_command, names)
        return
    try:
        reauthorize_in_terminal(terminal, authorizer, names)
    except (click.Abort, KeyboardInterrupt):
        show_progress()
        raise


def print_approval_link(terminal: Terminal, names: Sequence[str]) -> NoReturn:
    """Print a one-time link to a page on which an account owner gives the consents of `names`, one
    after the other, and wait for them."""
    page = APPROVALS_LINK + ",".join(names)
    with stop_signals() as stop_event, available_server(terminal.services) as create_browser_link:

        def print_link() -> None:
            terminal.renderer.print_note(message("notes", "approval-link"))
            terminal.renderer.print_command(create_browser_link(page, True))

        print_link()
        print_waiting(terminal, "verifications")
        wait_until(stop_event, print_link, partial(_is_finished, terminal, names))
    _print_result(terminal, names)


def _give_consents_on_page(
    terminal: Terminal, page: str, resume_command: str, names: Collection[str]
) -> None:
    with stop_signals() as stop_event, available_server(terminal.services) as create_browser_link:
        open_page(page, create_browser_link, terminal.settings, terminal.renderer)
        print_waiting(terminal, "verifications")
        new_link = partial(print_browser_link, terminal, create_browser_link, page)
        if not wait_until(stop_event, new_link, partial(_is_finished, terminal, names)):
            terminal.renderer.print_note(message("notes", "to-continue"), command=resume_command)
            raise Exit(1)


def _is_finished(terminal: Terminal, names: Collection[str] = ()) -> bool:
    """Whether the re-authorization, or the part of `names`, is done; delivers what was accepted on
    a page."""
    service = terminal.services.reauthorization
    reauthorization = service.current()
    items = reauthorization.items if reauthorization else ()
    remaining = [
        each
        for each in items
        if each.state not in SETTLED_STATES and (not names or each.connection in names)
    ]
    for item in remaining:
        if item.state is ItemState.DELIVERING:
            service.continue_after_verification(item.connection)
    return not remaining


def _print_responses(terminal: Terminal, outcomes: Sequence[VerificationOutcome]) -> NoReturn:
    """Print the connections whose consents came back; those that aren't being re-authorized as
    `connect --response` prints them."""
    current = terminal.services.reauthorization.current()
    names = {item.connection for item in current.items} if current else set()
    others = [each for each in outcomes if each.name not in names]
    items = _show_items(terminal, [each.name for each in outcomes if each not in others], others)
    codes = [exit_code(terminal, item) for item in items]
    raise Exit(most_severe([*codes, *(each.exit_code for each in others)]))


def _print_result(terminal: Terminal, names: Sequence[str]) -> NoReturn:
    items = _show_items(terminal, names)
    raise Exit(most_severe([exit_code(terminal, item) for item in items]))


def _show_items(
    terminal: Terminal, names: Sequence[str], others: Sequence[VerificationOutcome] = ()
) -> Sequence[ReauthorizationItem]:
    """Print how far each connection is; `others` aren't being re-authorized."""
    items = terminal.services.reauthorization.latest_items(names)
    report = ReauthorizationReport(
        tuple(item_result(terminal, each) for each in items),
        tuple(outcome_result(terminal, each) for each in others),
    )

    def render() -> None:
        if items or not others:
            print_results(terminal, items)
        for each in others:
            print_outcome(terminal, each)
        print_open_requests(terminal)

    terminal.emit(report, render)
    return items


def print_requests(
    terminal: Terminal, names: Collection[str] = (), command: str = "reauthorize"
) -> NoReturn:
    """Print the message to forward to each account owner of the current re-authorization, or only
    of connections `names`. `command` takes the responses.

    Without `names`, links that wait for an answer aren't replaced, unless all do. If a link can't
    be created, the others are printed, and it ends with the exit code of the failure.
    """
    reauthorization = terminal.services.reauthorization.current()
    waiting = (
        [
            item
            for item in reauthorization.items
            if item.state not in SETTLED_STATES and (not names or item.connection in names)
        ]
        if reauthorization
        else []
    )
    if not names:
        waiting = [each for each in waiting if each.state is not ItemState.REQUEST_SENT] or waiting
    requests: list[ConsentRequest] = []
    failures: list[Explanation] = []
    for email, group in groupby(waiting, key=lambda item: item.email):
        authorizations = _begin_authorizations(terminal, list(group), failures)
        if authorizations:
            text = terminal.services.authorization.request_message(authorizations, email)
            requested = tuple(each.attempt.connection for each in authorizations)
            requests.append(ConsentRequest(email, requested, text))

    def render() -> None:
        terminal.renderer.print_letter("\n\n".join(each.message for each in requests))
        terminal.renderer.print_note(
            message("notes", "when-a-url-returns"), command=f"zoho-wizard {command} --response"
        )

    if requests or not failures:
        terminal.emit(ConsentRequestList(tuple(requests)), render)
    for failure in failures:
        terminal.renderer.print_explanation(failure)
    raise Exit(most_severe([failure.exit_code for failure in failures]))


def _begin_authorizations(
    terminal: Terminal, items: Sequence[ReauthorizationItem], failures: list[Explanation]
) -> list[StartedAttempt]:
    """Start an authorization for each item; add what failed to `failures`."""
    authorizations = []
    for item in items:
        try:
            attempt = terminal.services.authorization.begin(
                item.connection, AttemptMode.FORWARDED, additional_scope=item.additional_scope
            )
        except WizardError as error:
            failures.append(terminal.explain(error.failure, item.connection))
        else:
            authorizations.append(attempt)
    return authorizations
