"""A repair in the terminal: consent after consent, pasted back or given in the assisted browser."""

from collections.abc import Callable
from datetime import datetime, timedelta

import click

from wizard.cli.consenting import Consents
from wizard.cli.painter import moment
from wizard.cli.proving import conclude, prove
from wizard.cli.serving import breaking, stopping, wait
from wizard.cli.terminal import Exit, Terminal
from wizard.errors import WizardError
from wizard.model import Failure
from wizard.reauthorization import Line, LineState, Step

AGAIN, ACCEPT, LEAVE = "again", "accept", "leave"
OVER = "window-closed"
"""The code of a failure after which nobody consents any more."""


def repair_here(terminal: Terminal, consents: Consents) -> None:
    """Go through the repair under way until nothing asks for the person any more.

    At a terminal the person is asked about what fails; in a script it is left as it was; where a
    page started us, it is left to that page. Raises ``window-closed``.
    """
    before = ""
    while (coming := terminal.house.repairs.next_step()) is not None:
        line = coming.line
        if line is None:
            if coming.step is Step.DONE:
                terminal.house.repairs.end()
            return
        terminal.name = line.connection
        if coming.step is Step.DECIDE:
            _decide(terminal, consents, line)
        elif coming.step is Step.WAIT and coming.until is not None:
            _wait(terminal, consents, line, coming.until)
        elif coming.step is Step.CONSENT:
            if line.email != before:
                consents.introduce(coming)
            _consent(terminal, consents, line)
            before = line.email
        else:
            _finish(terminal, line, line.generation)


def _consent(terminal: Terminal, consents: Consents, line: Line) -> None:
    failed = line.state in (LineState.REFUSED, LineState.UNPROVED)
    if failed and not _again(terminal, consents, line, line.failure):
        return
    terminal.painter.note(f"{line.connection}:")
    try:
        generation = consents.give(line)
    except WizardError as error:
        if error.failure.code == OVER:
            raise
        if _state(terminal, line) is not LineState.REFUSED:  # that one comes again by itself
            _again(terminal, consents, line, error.failure)
        return
    _finish(terminal, line, generation)


def _again(terminal: Terminal, consents: Consents, line: Line, failure: Failure | None) -> bool:
    """Show what failed; whether to try again. If not, the connection is left out."""
    if consents.by_page and failure is not None:
        raise WizardError(failure)
    if failure is not None:
        terminal.painter.finding(terminal.explain(failure))
    question = f"Try {line.connection} again? (No: it is left as it was.)"
    with breaking():
        if terminal.interactive and click.confirm(question, err=True):
            return True
    terminal.house.repairs.skip(line.connection)
    return False


def _finish(terminal: Terminal, line: Line, generation: int) -> None:
    """Prove, and hand on; a grant that fails is dealt with when its turn comes."""
    if line.state is not LineState.DELIVERING:
        outcome = prove(terminal, line.connection, generation)
        if outcome.finding is None and not terminal.painter.as_json:
            conclude(terminal, outcome)
        elif outcome.finding and outcome.finding.code == "climb-under-way":
            _wait_for_prover(terminal, line)
    terminal.house.repairs.settle(line.connection)


def _wait_for_prover(terminal: Terminal, line: Line) -> None:
    """The wizard that serves is at it already."""
    with stopping() as stopped:
        if not wait(stopped, done=lambda: _state(terminal, line) is not LineState.PROVING):
            raise Exit(1)


def _state(terminal: Terminal, line: Line) -> LineState:
    (now,) = terminal.house.repairs.report([line.connection])
    return now.state


def _decide(terminal: Terminal, consents: Consents, line: Line) -> None:
    """Somebody else consented, or to less: nothing was overwritten, and the person says what now.
    In a script nobody can: the stray grant is given back."""
    repairs, painter = terminal.house.repairs, terminal.painter
    if consents.by_page:
        consents.tell(f"{line.connection} waits for your decision on the page “Repair”.")
        _until(consents, lambda: _state(terminal, line) is not LineState.HELD)
        return
    if line.failure is not None:
        painter.finding(terminal.explain(line.failure))
    place = terminal.house.zoho.data_centre(line.location)
    painter.note("To sign out there:", command=place.sign_out_url)
    choice = LEAVE
    if terminal.interactive:
        with breaking():
            choice = click.prompt(
                f"{AGAIN}: give it back to Zoho and consent anew; {ACCEPT}: it is meant; {LEAVE}: "
                "give it back and leave the connection as it was",
                type=click.Choice([AGAIN, ACCEPT, LEAVE]),
                default=AGAIN,
                err=True,
            )
    if choice == ACCEPT:
        repairs.accept(line.connection)
    elif choice == AGAIN:
        repairs.discard(line.connection)
    else:
        repairs.skip(line.connection)


def _wait(terminal: Terminal, consents: Consents, line: Line, until: datetime) -> None:
    """Wait until Zoho may be asked again, saying once a minute how long that is."""
    if line.state is LineState.WAITING:
        if line.failure is not None:
            terminal.painter.finding(terminal.explain(line.failure))
        consents.tell(f"{line.connection} is proved again at {moment(until)}, without a consent.")
    else:
        consents.tell(
            f"Zoho lets the client {line.client} ask only so often: the next consent with it may "
            f"begin at {moment(until)}."
        )
    terminal.painter.note("Ctrl-C: stop here, and go on at any time.")
    said: set[int] = set()

    def over() -> bool:
        left = until - terminal.clock()
        minutes = -(-left // timedelta(minutes=1))
        if minutes > 0 and minutes not in said:
            said.add(minutes)
            terminal.painter.note(f"{minutes} minutes left" if minutes > 1 else "1 minute left")
        return left <= timedelta(0)

    _until(consents, over)


def _until(consents: Consents, over: Callable[[], bool]) -> None:
    """Wait for something that nobody here can hasten."""

    def ended() -> bool:
        consents.attend()
        return over()

    with stopping() as stopped:
        if not wait(stopped, done=ended):
            raise Exit(1)
