"""Somebody is told of each connection that fails once, and once more when all is well again."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wizard.broker.lock import held
from wizard.diagnosis.troubles import Trouble, Troubles
from wizard.document import plain
from wizard.errors import WizardError, fail
from wizard.home import Home
from wizard.model import Clock, Failure, Grant, GrantState
from wizard.store import Overview, Store
from wizard.watch.looks import Looks, Wait
from wizard.watch.news import REMIND, Message, again, all_well, news, test_message, trouble_json
from wizard.watch.notifier import Notifier
from wizard.watch.verdict import Verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """One look at many connections, and the causes of what it found."""

    at: datetime
    verdicts: tuple[Verdict, ...]
    troubles: tuple[Trouble, ...]

    @property
    def well(self) -> bool:
        """Every connection was asked, and works."""
        return not self.troubles

    def to_json(self) -> dict[str, Any]:
        """The look as scripts read it."""
        causes = [trouble_json(each) for each in self.troubles]
        return {"at": plain(self.at), "checked": len(self.verdicts), "causes": causes}


class Alarm:
    """Tells by the command, or at the address, that this home remembers."""

    def __init__(
        self,
        store: Store,
        looks: Looks,
        troubles: Troubles,
        home: Home,
        clock: Clock,
        environment: Mapping[str, str],
    ) -> None:
        self._store = store
        self._looks = looks
        self._troubles = troubles
        self._home = home
        self._clock = clock
        self._notifier = Notifier(store, clock, environment)
        self._raised_at: dict[str, datetime] = {}

    def watched(self) -> list[str]:
        """The connections that were ever authorized and not given up, by name."""
        return [row.connection.name for row in self._store.overview() if _is_watched(row)]

    def look(
        self,
        names: Sequence[str] | None = None,
        wait: Wait | None = None,
        told: Callable[[Verdict], None] = lambda _verdict: None,
        before_wait: Callable[[Look], None] = lambda _look: None,
    ) -> Look:
        """Look at connections `names`, by default at all that were ever authorized. `before_wait`
        is given what was found so far, each time before Zoho's limits are waited for."""
        names = self.watched() if names is None else names

        def so_far(verdicts: Sequence[Verdict]) -> None:
            before_wait(self.judged(verdicts))

        return self.judged(self._looks.at(names, wait=wait, told=told, so_far=so_far))

    def judged(self, verdicts: Sequence[Verdict]) -> Look:
        """The look that came to these verdicts."""
        failures = {each.name: each.failure for each in verdicts if each.failure is not None}
        well = [each.name for each in verdicts if each.works]
        troubles = self._troubles.of(failures, well)
        return Look(self._clock(), tuple(verdicts), troubles)

    def tell(self, look: Look, remind: timedelta = REMIND) -> tuple[Failure, ...]:
        """Tell of what `look` at all connections found and nobody was told of yet, again of what
        goes on since `remind` (0: never), and once of all being well again. What could not be told
        is, after the next look.

        Returns what failed of it.
        """
        with self._telling(_PATIENCE):
            known = self._store.told()
            dead = {mark for mark in known if self._is_dead(mark)}
            well = look.well and not dead
            messages = news(look.troubles, known, look.at, remind)
            if well and known:
                messages = [all_well(look.at)]
            if not messages and self._store.notify_failure():
                messages = again(look.troubles, known, look.at, well=well)
            failures = self._send(messages)
            self._store.note_watch(look.at, dead | _going_on(look, known))
            return failures

    def tell_certain(self, look: Look) -> tuple[Failure, ...]:
        """Tell of what is certain in a look that goes on, and nobody was told of yet.

        Returns what failed of it.
        """
        with self._telling(_PATIENCE):
            return self._send(news(look.troubles, self._store.told(), look.at))

    def test(self) -> Failure | None:
        """Send a test notification; returns why it did not arrive. Raises ``notify-not-set``."""
        if not self._notifier.ready:
            raise fail("notify-not-set")
        with self._telling(_PATIENCE):
            return self._notifier.send(test_message(self._clock()).said)

    def raise_dead(self, name: str) -> tuple[Failure, ...]:
        """Tell at once that the grant of connection `name` was found dead, if this home knows how
        and nobody was told yet. The other connections of its account are looked at before, so
        that one message says how far it reaches.

        Returns what failed of it; where somebody else is telling, or it was tried a moment ago,
        nothing is done.
        """
        grant = self._store.grant(name)
        if not self._notifier.ready or grant is None or grant.state is not GrantState.DEAD:
            return ()
        with suppress(WizardError), self._telling(0, name):
            known = self._store.told()
            if _mark(grant) in known or self._was_just_raised(grant):
                return ()
            look = self.look([name, *self._kin(grant)])
            cause = [each for each in look.troubles if _mark(grant) in each.marks]
            return self._send(news(cause, known, look.at))
        return ()

    def raise_soon(self, name: str) -> None:
        """As `raise_dead`, in a thread of its own: whoever asked for a token is answered now."""
        threading.Thread(target=self._raise, args=(name,), name="alarm", daemon=True).start()

    def _raise(self, name: str) -> None:
        try:
            failures = self.raise_dead(name)
        except Exception:
            log.exception("the alarm for %s broke off", name)
        else:
            for failure in failures:
                log.warning("the alarm for %s was not taken: %s", name, failure.code)

    def _was_just_raised(self, grant: Grant) -> bool:
        mark, now = _mark(grant), self._clock()
        last = self._raised_at.get(mark)
        if last is not None and now - last < _REST:
            return True
        self._raised_at[mark] = now
        return False

    def _telling(self, patience: float, name: str = "") -> AbstractContextManager[None]:
        """The turn to tell; raises ``telling-under-way`` after `patience` seconds."""
        return held(self._home.lock_file(":alarm"), patience, "telling-under-way", name)

    def _is_dead(self, mark: str) -> bool:
        """Whether what `mark` says of a grant is still so, whatever a look has found before."""
        grant = self._store.grant(mark.split()[1])
        return grant is not None and grant.state is GrantState.DEAD and _mark(grant) == mark

    def _kin(self, grant: Grant) -> list[str]:
        """The other connections that work with the grant's account."""
        if grant.account is None:
            return []
        lives = self._store.lives(grant.client_id, grant.account.zuid)
        alike = [each for each in lives if each.current and each.state is GrantState.PROVED]
        return [
            each.connection
            for each in alike
            if each.account is not None
            and (each.account.zuid, each.location) == (grant.account.zuid, grant.location)
        ]

    def _send(self, messages: Iterable[Message]) -> tuple[Failure, ...]:
        """Send each message, and write down at once what is known since it arrived; returns what
        failed. Where nobody can be told, nothing counts as told."""
        failures: list[Failure] = []
        for message in messages if self._notifier.ready else ():
            if failure := self._notifier.send(message.said):
                failures.append(failure)
            else:
                self._store.note_told(message.marks, self._clock())
        return tuple(failures)


_PATIENCE = 120.0
"""Seconds for somebody else's telling: a command has a time, and there may be two of them."""


_REST = timedelta(minutes=10)
"""Between two tries to tell of one dead grant: programs ask again and again, and each try looks at
all connections of its account, and runs a command that has failed."""


def _going_on(look: Look, known: Iterable[str]) -> set[str]:
    """The marks of what goes on: what `look` found, and what is known of connections that could
    not be asked."""
    found = {mark for each in look.troubles if not each.open for mark in each.marks}
    unknown = {name for each in look.troubles if each.open for name in each.names}
    return found | {mark for mark in known if mark.split()[1] in unknown}


def _mark(grant: Grant) -> str:
    """As `Trouble.marks` has it."""
    return f"grant-dead {grant.connection} {grant.generation}"


def _is_watched(row: Overview) -> bool:
    grant = row.candidate or row.grant
    return grant is not None and grant.state is not GrantState.REVOKED
