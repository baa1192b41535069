"""Somebody is told of each cause once, whoever found it, and once more when all is well again."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wizard.broker.lock import held
from wizard.delivery import command
from wizard.diagnosis.troubles import Trouble, Troubles
from wizard.document import finding_json, plain, to_json
from wizard.errors import WizardError
from wizard.home import Home
from wizard.model import Clock, Failure, Grant, GrantState
from wizard.store import Overview, Store
from wizard.watch.looks import Looks, Wait
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
    """Tells by the command that this home remembers."""

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
        self._environment = environment
        self._raised_at: dict[str, datetime] = {}

    def watched(self) -> list[str]:
        """The connections that were ever authorized and not given up, by name."""
        return [row.connection.name for row in self._store.overview() if _is_watched(row)]

    def look(
        self,
        names: Sequence[str] | None = None,
        wait: Wait | None = None,
        told: Callable[[Verdict], None] = lambda _verdict: None,
    ) -> Look:
        """Look at connections `names`, by default at all that were ever authorized."""
        names = self.watched() if names is None else names
        return self.judged(self._looks.at(names, wait=wait, told=told))

    def judged(self, verdicts: Sequence[Verdict]) -> Look:
        """The look that came to these verdicts."""
        failures = {each.name: each.failure for each in verdicts if each.failure is not None}
        well = [each.name for each in verdicts if each.works]
        troubles = self._troubles.of(failures, well)
        return Look(self._clock(), tuple(verdicts), troubles)

    def tell(self, look: Look) -> tuple[Failure, ...]:
        """Tell of what `look` at all connections found and nobody was told of yet, and once of
        all being well again; what could not be told is, after the next look.

        Returns what failed of it.
        """
        with held(self._lock, _PATIENCE, "telling-under-way", ""):
            known = self._store.told()
            told, failures = self._news(look.at, look.troubles, known)
            unknown = {name for each in look.troubles if each.open for name in each.names}
            told |= {mark for mark in known if mark.split()[1] in unknown}
            if known and look.well:
                failures += self._run(look.at, None)
                told = set(known) if failures else told
            self._store.note_watch(look.at, told)
            return failures

    def raise_dead(self, name: str) -> tuple[Failure, ...]:
        """Tell at once that the grant of connection `name` was found dead, if this home knows how
        and nobody was told yet. The other connections of its account are looked at before, so
        that one message says how far it reaches.

        Returns what failed of it; where somebody else is telling, or it was tried a moment ago,
        nothing is done.
        """
        grant = self._store.grant(name)
        if not self._store.notify_command() or grant is None or grant.state is not GrantState.DEAD:
            return ()
        with suppress(WizardError), held(self._lock, 0, "telling-under-way", name):
            known = self._store.told()
            if _mark(grant) in known or self._was_just_raised(grant):
                return ()
            look = self.look([name, *self._kin(grant)])
            cause = [each for each in look.troubles if _mark(grant) in each.marks]
            told, failures = self._news(look.at, cause, known)
            self._store.note_told(told)
            return failures
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

    @property
    def _lock(self) -> str:
        return self._home.lock_file(":alarm")

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

    def _news(
        self, at: datetime, troubles: Iterable[Trouble], known: frozenset[str]
    ) -> tuple[set[str], tuple[Failure, ...]]:
        """Tell of those causes of which nobody knows; the marks of all that are known then, and
        what failed."""
        told: set[str] = set()
        failures: tuple[Failure, ...] = ()
        for trouble in (each for each in troubles if not each.open):
            failed = () if trouble.marks & known else self._run(at, trouble)
            told |= set() if failed else trouble.marks
            failures += failed
        return told, failures

    def _run(self, at: datetime, trouble: Trouble | None) -> tuple[Failure, ...]:
        """Run the command with a cause, or (None) the all-clear, on its stdin."""
        line = self._store.notify_command()
        if not line:
            return ()
        found = trouble_json(trouble) if trouble else {"code": "all-well", "title": _ALL_WELL}
        said = {"event": "trouble" if trouble else "all-well", "at": plain(at), **found}
        try:
            command.run(line, self._environment, given=to_json(said) + "\n")
        except WizardError as error:
            return (error.failure,)
        return ()


_ALL_WELL = "All is well again"

_PATIENCE = 120.0
"""Seconds for somebody else's telling: a command has a time, and there may be two of them."""


_REST = timedelta(minutes=10)
"""Between two tries to tell of one dead grant: programs ask again and again, and each try looks at
all connections of its account, and runs a command that has failed."""


def trouble_json(trouble: Trouble) -> dict[str, Any]:
    """One cause as scripts read it; no secret in it."""
    return {
        "key": trouble.key,
        "reach": trouble.reach.value,
        "connections": list(trouble.names),
        "suspects": list(trouble.suspects),
        "sign_in_as": trouble.email or None,
        "programs": list(trouble.programs),
        "tokens_until": plain(trouble.tokens_until),
        **finding_json(trouble.finding),
    }


def _mark(grant: Grant) -> str:
    """As `Trouble.marks` has it."""
    return f"grant-dead {grant.connection} {grant.generation}"


def _is_watched(row: Overview) -> bool:
    grant = row.candidate or row.grant
    return grant is not None and grant.state is not GrantState.REVOKED
