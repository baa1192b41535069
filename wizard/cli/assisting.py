"""The consents of a repair in the assisted browser: the person signs in, the driver accepts."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from wizard.authorization import Begun
from wizard.browser import Console, Driver, Ended, Handed, Wanted, Windows
from wizard.cli.consenting import consent, counted, generation_of
from wizard.cli.repairing import OVER
from wizard.cli.serving import stopping
from wizard.cli.terminal import Exit, Terminal
from wizard.errors import WizardError, fail
from wizard.model import Mode
from wizard.reauthorization import SETTLED, Line, Next

if TYPE_CHECKING:
    from playwright.sync_api import Page

GO_ON = "zoho-wizard reauthorize --assist"


class Pages(Protocol):
    """Where the page of an account comes from."""

    def of(self, account: str, /) -> "Page":
        """The page in which `account` is, or signs in."""

    def close_but(self, accounts: Collection[str], /) -> None:
        """Close those of all others."""


class Assisted:
    """Consents in windows of our own, one for each account."""

    def __init__(
        self,
        terminal: Terminal,
        windows: Pages,
        stopped: Callable[[], bool],
        *,
        keep: bool = False,
        tell: Callable[[Handed], None] | None = None,
    ) -> None:
        """`stopped` says whether to end; `tell` is told what is the person's to do (default: it is
        said in the terminal, too)."""
        self.by_page = not terminal.interactive
        self._terminal = terminal
        self._windows = windows
        self._stopped = stopped
        self._keep = keep
        self._tell = tell or self._hand_over
        self._driver: Driver | None = None
        self._drivers: dict[str, Driver] = {}
        self._called: dict[str, frozenset[str]] = {}
        """By client: names on Zoho's page that the person has accepted."""

    def introduce(self, coming: Next) -> None:
        """Say whose window comes next, and close those in which nothing is left to do."""
        repair = self._terminal.house.repairs.current()
        lines = repair.lines if repair else ()
        self._windows.close_but({each.email for each in lines if each.state not in SETTLED})
        if coming.line is not None and coming.line.email:
            who = coming.line.email
            self._terminal.painter.blank()
            task = f"Next: {counted(coming.left)} as {who}"
            self._terminal.painter.note(f"{task}, in a window of their own.")

    def give(self, line: Line) -> int:
        """Lead the window of the line's account through the consent."""
        if not self._terminal.house.store.client(line.client_id).redirect_uri:
            return consent(self._terminal, line.connection, self_client=True)
        return self.lead(line.connection, email=line.email, scope=line.scope)

    def lead(self, name: str, *, email: str = "", scope: tuple[str, ...] = ()) -> int:
        """Lead the window of `email` (empty: nobody knows yet whose it is) through a consent for
        connection `name`; returns as `give` does."""
        house = self._terminal.house
        begun = house.authorization.begin(name, Mode.PASTE, scope=scope)
        try:
            self._driver = self._driver_of(email)
            wanted = self._wanted(begun, email)
            ended = self._driver.consent(wanted, begun.attempt.redirect_uri)
        except WizardError:
            house.authorization.abandon(begun.attempt.id)
            raise
        self._learn(begun.attempt.client_id, ended)
        if ended.said:
            raise self._refused(begun.attempt.id, ended.said)
        self._driver.say(f"{name}: Zoho has answered. The new grant is being proved.")
        return generation_of(
            house.authorization.complete_pasted(begun.attempt.id, begun.cookie_value, ended.address)
        )

    def console(self) -> Console:
        """The co-pilot for Zoho's console, in the window in which nobody is known yet."""
        return Console(self._windows.of(""), self._terminal.house.zoho, self._tell, self._stopped)

    @property
    def ended(self) -> bool:
        """Whether the end was asked for."""
        return self._stopped()

    def tell(self, words: str) -> None:
        """Say it here and in the window."""
        self._terminal.painter.note(words)
        if self._driver is not None:
            self._driver.say(words)

    def attend(self) -> None:
        """See whether the window is still there."""
        if self._driver is not None:
            self._driver.attend()

    def _driver_of(self, email: str) -> Driver:
        page = self._windows.of(email)
        driver = self._drivers.get(email)
        if driver is None or driver.page is not page:
            driver = self._drivers[email] = Driver(page, self._tell, self._stopped)
        return driver

    def _hand_over(self, handed: Handed) -> None:
        self._terminal.painter.note(f"Your turn, in the window: {handed.words}")

    def _wanted(self, begun: Begun, email: str) -> Wanted:
        house, attempt = self._terminal.house, begun.attempt
        before = house.store.grant(attempt.connection)
        client = house.store.client(attempt.client_id)
        return Wanted(
            url=begun.url,
            zoho=house.zoho,
            email=email,
            clients=self._called.get(client.client_id, frozenset()) | {client.name},
            scope=attempt.scope,
            organizations=before.organizations if before else (),
            trusts=self._keep,
        )

    def _learn(self, client_id: str, ended: Ended) -> None:
        """A client may be registered at Zoho by another name than here. Its id was right, and the
        person has accepted it once: the next time it is no surprise."""
        if ended.client:
            known = self._called.get(client_id, frozenset())
            self._called[client_id] = known | {ended.client}

    def _refused(self, attempt_id: str, said: str) -> WizardError:
        """A page of Zoho's own, read as any paste is."""
        reading = self._terminal.house.reader.read(said)
        known = reading.finding.failure if reading.explained else None
        failure = known or fail("zoho-page-unknown", said=said[:200]).failure
        self._terminal.house.authorization.abandon(attempt_id, failure)
        return WizardError(failure)


@contextmanager
def assisted(terminal: Terminal, *, keep: bool, go_on: str = GO_ON) -> Iterator[Assisted]:
    """Consents in the assisted browser while the context lasts. Raises as `Windows` does.

    `go_on` is the command that goes on later: where the window is closed before the end, or Ctrl-C
    pressed, nothing is lost.
    """
    with stopping() as stopped, Windows(terminal.settings, keep=keep) as windows:
        try:
            yield Assisted(terminal, windows, stopped.is_set, keep=keep)
        except WizardError as error:
            if error.failure.code != OVER or not stopped.is_set():
                raise
            terminal.painter.note("Go on at any time:", command=go_on)
            raise Exit(1) from None
