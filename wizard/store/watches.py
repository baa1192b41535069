"""What a home remembers of its watch: when it last looked, whom it tells, and what it has told."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select, update

from wizard.store import schema
from wizard.store.shelf import Shelf

_HOUSE = schema.house


class Watches(Shelf):
    """The memory of ``watch``: whoever restarts it is not told everything again."""

    def watched_at(self) -> datetime | None:
        """When all connections were last looked at; None: never."""
        with self.database.read() as c:
            return c.scalar(select(_HOUSE.c.watched_at))

    def told(self) -> frozenset[str]:
        """The marks of the causes that somebody was told of and that go on."""
        with self.database.read() as c:
            return frozenset(c.scalar(select(_HOUSE.c.told)) or ())

    def note_watch(self, at: datetime, told: Collection[str]) -> None:
        """Write down a look at all connections, and which causes are known since."""
        with self.database.write() as c:
            c.execute(update(_HOUSE).values(watched_at=at, told=_known(told)))

    def note_told(self, told: Collection[str]) -> None:
        """Write down that somebody was told of these, too."""
        with self.database.write() as c:
            before = c.scalar(select(_HOUSE.c.told)) or ()
            c.execute(update(_HOUSE).values(told=_known({*before, *told})))

    def notify_command(self) -> str:
        """The command line that somebody is told by; empty where there is none. It is sealed, so
        that whoever can only write the file has nothing run."""
        with self.database.read() as c:
            sealed = c.scalar(select(_HOUSE.c.notify))
        return self._vault.unseal(sealed, "house", "1", "notify") if sealed else ""

    def set_notify_command(self, line: str) -> None:
        """Remember another command line, or none."""
        sealed = self._vault.seal(line, "house", "1", "notify") if line else None
        with self.database.write() as c:
            c.execute(update(_HOUSE).values(notify=sealed))


def _known(told: Collection[str]) -> dict[str, str]:
    return dict.fromkeys(sorted(told), "told")
