"""A re-authorization in the terminal: one consent after the other, and a table of results."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial

from wizard.cli.flows.authorization import WINDOW_CLOSED, Authorizer
from wizard.cli.flows.serving import stop_signals, wait_until
from wizard.cli.flows.verification import VerificationOutcome, print_outcome, verify
from wizard.cli.results.checks import DeliveredDestination, ReauthorizedConnection
from wizard.cli.terminal import Terminal
from wizard.connection_details import describe_access, headline
from wizard.errors import WizardError, describe_state, message
from wizard.model import AttemptMode, AttemptState, Failure, Grant, GrantState
from wizard.model.states import ItemState
from wizard.reauthorization.plan import RETRYING_STATES, Action, ReauthorizationItem
from wizard.store import Destination
from wizard.timefmt import format_duration, format_time

RETRY, ACCEPT, SKIP = "retry", "accept", "skip"
INPUT_ENDED = "input-needed"
"""The code of a failure after which no URL can be pasted: every other consent would fail, too."""


def reauthorize_in_terminal(
    terminal: Terminal, authorizer: Authorizer, names: Collection[str] = ()
) -> None:
    """Work through the current re-authorization, or the part of `names`, until nothing is left for
    the user to do.

    After a failure it asks on a terminal, skips the connection in a script, and leaves the decision
    to the page if a page started this process. Raises ``window-closed``, ``input-needed``, and
    `KeyboardInterrupt` if a signal ends a wait.
    """
    background = _BackgroundVerifications(terminal)
    try:
        _work_through(terminal, authorizer, names, background)
    except WizardError:  # what was authorized is verified nevertheless
        with stop_signals() as stop_event:
            wait_until(stop_event, is_done=background.is_finished)
        background.print_finished()
        raise


def _work_through(
    terminal: Terminal,
    authorizer: Authorizer,
    names: Collection[str],
    background: "_BackgroundVerifications",
) -> None:
    service, previous_email = terminal.services.reauthorization, ""
    verifies_meanwhile = authorizer.is_account_certain
    while True:
        background.print_finished()
        next_action = service.next_action(names, verifies_meanwhile=verifies_meanwhile)
        item = next_action.item if next_action else None
        if next_action is None or item is None:
            _poll_until(authorizer, background.is_finished)
            background.print_finished()
            current = service.current()
            if current is not None and current.is_done:
                service.end()
            return
        terminal.connection_name = item.connection
        if background.contains(item):
            _poll_until(authorizer, partial(background.is_finished, item.connection))
        elif next_action.action is Action.DECIDE:
            _prompt_decision(terminal, authorizer, item)
        elif next_action.action is Action.WAIT and next_action.until is not None:
            _wait_until(terminal, authorizer, item, next_action.until)
        elif next_action.action is Action.CONSENT:
            if item.email != previous_email:
                authorizer.announce(next_action)
            generation = _authorize(terminal, authorizer, item)
            if generation and authorizer.is_account_certain:
                background.submit(item.connection, generation)
            elif generation:
                _verify_and_deliver(terminal, item, generation)
            previous_email = item.email
        else:
            _verify_and_deliver(terminal, item, item.generation)


class _BackgroundVerifications:
    """Grants that are verified and delivered while the next consents are given."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._submitted: dict[str, int] = {}
        """The generation by connection, until it is printed."""

    def submit(self, name: str, generation: int) -> None:
        """Verify grant `generation` of connection `name`."""
        self._submitted[name] = generation
        self._terminal.services.verification_worker.submit(name, generation)

    def contains(self, item: ReauthorizationItem) -> bool:
        """Whether the grant of `item` was submitted and not printed yet."""
        return self._submitted.get(item.connection) == item.generation

    def is_finished(self, name: str = "") -> bool:
        """Whether the grant of connection `name` is verified and delivered, or all are."""
        if not self._submitted:
            return True
        pending = {each for each, _generation in self._pending()}
        return pending.isdisjoint({name} if name else self._submitted)

    def print_finished(self) -> None:
        """Print which of the grants are verified now. Failures come up as next actions."""
        pending = self._pending() if self._submitted else frozenset()
        for name, generation in [*self._submitted.items()]:
            if (name, generation) not in pending:
                del self._submitted[name]
                grant = self._terminal.services.store.grants.get(name, generation)
                is_verified = grant is not None and grant.state is GrantState.VERIFIED
                if is_verified and not self._terminal.is_json:
                    print_outcome(self._terminal, VerificationOutcome(name, grant))

    def _pending(self) -> frozenset[tuple[str, int]]:
        return self._terminal.services.verification_worker.pending()


def _authorize(terminal: Terminal, authorizer: Authorizer, item: ReauthorizationItem) -> int:
    """Get the consent for `item`; return the generation of its grant, 0 if there is none."""
    has_failed = item.state in (ItemState.AUTHORIZATION_FAILED, ItemState.NOT_VERIFIED)
    if has_failed and not _confirm_retry(terminal, authorizer, item, item.failure):
        return 0
    terminal.renderer.print_note(f"{item.connection}:")
    try:
        return authorizer.authorize_item(item)
    except WizardError as error:
        if error.failure.code in (WINDOW_CLOSED, INPUT_ENDED):
            raise
        # After a failed authorization, the next action asks.
        if _item_state(terminal, item) is not ItemState.AUTHORIZATION_FAILED:
            _confirm_retry(terminal, authorizer, item, error.failure)
        return 0


def _confirm_retry(
    terminal: Terminal, authorizer: Authorizer, item: ReauthorizationItem, failure: Failure | None
) -> bool:
    """Print what failed; whether to try again. If not, the connection is skipped."""
    if authorizer.is_page_controlled and failure is not None:
        raise WizardError(failure)
    if failure is not None:
        terminal.renderer.print_explanation(terminal.explain(failure))
    question = message("prompts", "try-again", name=item.connection)
    if terminal.is_interactive and terminal.ask_yes_no(question, option=""):
        return True
    terminal.services.reauthorization.skip(item.connection)
    return False


def _verify_and_deliver(terminal: Terminal, item: ReauthorizationItem, generation: int) -> None:
    """Verify and deliver. A grant that fails is the next action of the re-authorization."""
    if item.state is not ItemState.DELIVERING:
        current = terminal.services.reauthorization.current()
        shows_steps = current is None or len(current.items) == 1
        outcome = verify(terminal, item.connection, generation, shows_steps=shows_steps)
        if outcome.explanation is None and not terminal.renderer.as_json:
            print_outcome(terminal, outcome)
        elif outcome.explanation and outcome.explanation.code == "verification-under-way":
            _wait_for_verification(terminal, item)
    terminal.services.reauthorization.continue_after_verification(item.connection)


def _wait_for_verification(terminal: Terminal, item: ReauthorizationItem) -> None:
    """Wait for the verification by the wizard that serves the pages."""
    with stop_signals() as stop_event:
        if not wait_until(
            stop_event, is_done=lambda: _item_state(terminal, item) is not ItemState.VERIFYING
        ):
            raise KeyboardInterrupt


def _item_state(terminal: Terminal, item: ReauthorizationItem) -> ItemState:
    (latest,) = terminal.services.reauthorization.latest_items([item.connection])
    return latest.state


def _prompt_decision(terminal: Terminal, authorizer: Authorizer, item: ReauthorizationItem) -> None:
    """Ask what to do with a grant of a different account, or with fewer scopes; nothing was
    replaced. In a script, the grant is revoked."""
    service, renderer = terminal.services.reauthorization, terminal.renderer
    if authorizer.is_page_controlled:
        authorizer.notify(message("notes", "decide-on-page", name=item.connection))
        _poll_until(authorizer, lambda: _item_state(terminal, item) is not ItemState.NEEDS_DECISION)
        return
    if item.failure is not None:
        renderer.print_explanation(terminal.explain(item.failure))
    data_center = terminal.services.zoho.data_center(item.location)
    renderer.print_note(message("notes", "to-sign-out"), command=data_center.sign_out_url)
    choice = SKIP
    if terminal.is_interactive:
        choice = terminal.choose(
            message("prompts", "decision", retry=RETRY, accept=ACCEPT, skip=SKIP),
            [RETRY, ACCEPT, SKIP],
            default=RETRY,
            option="",
        )
    if choice == ACCEPT:
        service.accept(item.connection)
    elif choice == RETRY:
        service.discard(item.connection)
    else:
        service.skip(item.connection)


def _wait_until(
    terminal: Terminal, authorizer: Authorizer, item: ReauthorizationItem, until: datetime
) -> None:
    """Wait for a rate limit, and say once a minute how long that takes."""
    if item.state in RETRYING_STATES:
        if item.failure is not None:
            terminal.renderer.print_explanation(terminal.explain(item.failure))
        authorizer.notify(
            message(
                "notes",
                "verified-again-at",
                name=item.connection,
                until=terminal.format_time(until),
            )
        )
    else:
        authorizer.notify(
            message(
                "notes", "consent-waits", client=item.client_name, until=terminal.format_time(until)
            )
        )
    terminal.renderer.print_note(message("notes", "can-continue-later"))
    announced: set[int] = set()

    def is_over() -> bool:
        left = until - terminal.clock()
        minutes = -(-left // timedelta(minutes=1))
        if minutes > 0 and minutes not in announced:
            announced.add(minutes)
            duration = format_duration(timedelta(minutes=minutes))
            terminal.renderer.print_note(message("notes", "time-left", duration=duration))
        return left <= timedelta(0)

    _poll_until(authorizer, is_over)


def _poll_until(authorizer: Authorizer, is_over: Callable[[], bool]) -> None:
    """Wait until `is_over`; raises `KeyboardInterrupt` if a signal ends the wait."""

    def is_done() -> bool:
        authorizer.poll()
        return is_over()

    with stop_signals() as stop_event:
        if not wait_until(stop_event, is_done=is_done):
            raise KeyboardInterrupt


def complete_responses(terminal: Terminal) -> list[VerificationOutcome]:
    """Complete authorizations with the URLs that came back, one per line, from the prompt or stdin,
    and verify the new grants."""
    text = terminal.read_secret(message("prompts", "returned-url"))
    return [complete_response(terminal, each) for each in text.splitlines() if each.strip()]


def complete_response(terminal: Terminal, url: str) -> VerificationOutcome:
    """Complete an authorization with the `url` that came back, and verify the new grant.

    Raises what `AuthorizationService.complete_forwarded` raises.
    """
    completed = terminal.services.authorization.complete_forwarded(url)
    name = completed.connection
    if completed.generation is None:
        failure = completed.failure or Failure("unknown")
        return VerificationOutcome(name, None, explanation=terminal.explain(failure, name))
    outcome = verify(terminal, name, completed.generation)
    terminal.services.reauthorization.continue_after_verification(name)
    return outcome


def print_open_requests(terminal: Terminal) -> None:
    """Print which forwarded links haven't been answered: codes expire after two minutes, so the
    answers come one by one."""
    attempts = terminal.services.store.attempts
    newest = {each.connection: attempts.newest(each.connection) for each in attempts.open()}
    names = [
        name
        for name, each in newest.items()
        if each is not None
        and (each.mode, each.state) == (AttemptMode.FORWARDED, AttemptState.REDIRECTED)
        and not each.is_expired(terminal.clock())
    ]
    if names:
        details = {"count": str(len(names)), "names": ", ".join(sorted(names))}
        terminal.renderer.print_note(
            message("notes", "requests-open", **details), command="zoho-wizard connect --response"
        )


COLUMNS = ("Connection", "State", "Reaches", "Verified", "Programs")


def print_results(terminal: Terminal, items: Sequence[ReauthorizationItem]) -> None:
    """Print the table of results, then when replaced refresh tokens are revoked, and what
    failed."""
    terminal.renderer.print_table(COLUMNS, [_row(terminal, item) for item in items])
    ends = [item.revoke_at for item in items if item.revoke_at]
    if ends:
        details = {"count": str(len(ends)), "at": terminal.format_time(min(ends))}
        terminal.renderer.print_note(message("notes", "replaced-tokens-end", **details))
    if machines := sorted({each for item in items for each in item.undelivered_machines}):
        text = message("notes", "undelivered-machines", machines=", ".join(machines))
        terminal.renderer.print_note(text)
    for item in items:
        if item.failure is not None and item.state is not ItemState.SKIPPED:
            terminal.renderer.print_explanation(terminal.explain(item.failure, item.connection))


def item_result(terminal: Terminal, item: ReauthorizationItem) -> ReauthorizedConnection:
    """One item as scripts read it; no secret in it."""
    store = terminal.services.store
    grant = store.grants.get(item.connection)
    has_verification, verified_at = _verification(terminal, item, grant)
    return ReauthorizedConnection(
        name=item.connection,
        state=item.state,
        is_verified=has_verification,
        generation=grant.generation if grant else None,
        headline=headline(grant) if grant else None,
        account=grant.account if grant else None,
        organizations=grant.organizations if grant else (),
        location=item.location,
        verified_at=verified_at,
        retry_at=item.retry_at,
        destinations=tuple(
            DeliveredDestination(
                target=each.target,
                generation=each.generation,
                delivered_at=each.delivered_at,
                reloaded_at=each.reloaded_at,
                failure=each.failure.code if each.failure else None,
            )
            for each in store.destinations.all(item.connection)
        ),
        revoke_at=item.revoke_at,
        undelivered_machines=item.undelivered_machines,
        error=terminal.error_report(item.failure, item.connection),
    )


def exit_code(terminal: Terminal, item: ReauthorizationItem) -> int:
    """0 for a re-authorized connection; 4 for one whose verification waits; 3 for one that doesn't
    work without a consent; 1 for one that was left as it was, or isn't delivered everywhere."""
    if item.state is ItemState.REAUTHORIZED:
        return 0
    if item.state in RETRYING_STATES:
        return 4
    grant = terminal.services.store.grants.get(item.connection)
    return 1 if grant and grant.state is GrantState.VERIFIED else 3


def state_of(item: ReauthorizationItem, now: datetime) -> str:
    """The state of an item, in words."""
    until = {"until": format_time(item.retry_at, now)} if item.retry_at else {}
    return describe_state(item.state, authorization=str(item.previous_generation + 1), **until)


def _row(terminal: Terminal, item: ReauthorizationItem) -> tuple[str, ...]:
    store, now = terminal.services.store, terminal.clock()
    grant = store.grants.get(item.connection)
    _, verified_at = _verification(terminal, item, grant)
    return (
        item.connection,
        state_of(item, now),
        _access(grant) if grant else "",
        format_time(verified_at, now) if verified_at else "",
        _program_counts(store.destinations.all(item.connection), grant.generation if grant else 0),
    )


def _access(grant: Grant) -> str:
    """What a grant reaches; a sentence if it no longer does, or if nothing is known about it."""
    is_reached = grant.account is not None and not grant.state.is_ended
    return describe_access(grant) if is_reached else headline(grant)


def _verification(
    terminal: Terminal, item: ReauthorizationItem, current: Grant | None
) -> tuple[bool, datetime | None]:
    """Whether the newest grant of an item is verified, and when it was. Never the time of a
    different grant's verification, nor of a failed check."""
    if current is None or current.state is not GrantState.VERIFIED:
        return False, None
    if current.generation != item.generation:  # a newer one isn't verified yet
        return False, None
    report = terminal.services.store.verification_reports.get(item.connection, current.generation)
    return True, report.finished_at if report and report.is_verified else None


def _program_counts(destinations: Sequence[Destination], generation: int) -> str:
    """How many destinations have the grant of `generation` (0: none), and how many programs were
    reloaded, if some have a reload command."""
    current = [each for each in destinations if generation and each.generation == generation]
    reloaded = [each for each in current if each.reloaded_at is not None]
    counts = {
        "total": str(len(destinations) or ""),
        "current": str(len(current)),
        "reloaded": str(len(reloaded)) if any(each.reload_command for each in destinations) else "",
    }
    return message("notes", "delivered-programs", **counts)
