"""The rooms wired together: what the pages, the commands and the tests are given.

`House.open` builds every room once, from the settings and a clock; nothing below it knows the
others' constructors, and nothing above it needs to.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from wizard import zoho
from wizard.adoption import Adoption
from wizard.authorization import Authorization
from wizard.backup import Backups
from wizard.broker import Broker, Need
from wizard.cache import Cache
from wizard.delivery import Delivery
from wizard.diagnosis import Diagnosis
from wizard.diagnosis.cautions import Cautions
from wizard.diagnosis.reading import Reader
from wizard.diagnosis.troubles import Troubles
from wizard.errors import WizardError
from wizard.model import Clock
from wizard.oauth import OAuth
from wizard.reauthorization import Repairs
from wizard.resource import Resource
from wizard.settings import Settings
from wizard.store import Store
from wizard.transport import Transport
from wizard.validation import Clients, Validation
from wizard.vault import Vault
from wizard.watch import Alarm, Looks, Rounds

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class Climber:
    """Climbs the ladder of grants in a thread of its own, one after the other, and then does what
    follows where a connection is being repaired.

    The pages only queue a grant and watch its receipt grow in the store. A climb that dies with
    its process leaves a receipt without an end, which the pages show as unfinished.
    """

    def __init__(self, validation: Validation, repairs: Repairs) -> None:
        self._validation = validation
        self._repairs = repairs
        self._waiting: queue.SimpleQueue[tuple[str, int, Need] | None] = queue.SimpleQueue()
        self._taken: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, name: str, generation: int, need: Need = Need.TOKEN) -> None:
        """Have grant `generation` of connection `name` proved soon; asking twice climbs once."""
        with self._lock:
            if (name, generation) in self._taken:
                return
            self._taken.add((name, generation))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="climber", daemon=True)
                self._thread.start()
        self._waiting.put((name, generation, need))

    def is_climbing(self, name: str, generation: int) -> bool:
        """Whether that grant is queued or being proved by this process now."""
        with self._lock:
            return (name, generation) in self._taken

    def stop(self, timeout: float = 30.0) -> None:
        """Finish what is queued, within `timeout` seconds, and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join(timeout)

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            try:
                for _rung in self._validation.climb(*task):
                    pass
                self._repairs.settle(task[0])
            except WizardError as error:
                log.warning("the climb of %s %d ended: %s", *task[:2], error.failure.code)
            except Exception:
                log.exception("the climb of %s %d broke off", *task[:2])
            finally:
                with self._lock:
                    self._taken.discard(task[:2])


class House:
    """Every room, wired. Use it as a context manager, or call `close`."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        vault: Vault,
        store: Store,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.home = settings.home
        self.clock = clock
        self.vault = vault
        self.store = store
        self.zoho = zoho.load(settings.sandbox_url)
        self.cache = Cache(self.home, vault)
        self.transport = Transport(self.zoho, clock)
        self.oauth = OAuth(self.transport, self.zoho, clock)
        self.resource = Resource(self.transport, self.zoho)
        self.broker = Broker(store, self.cache, self.oauth, self.zoho, self.home, clock, pause)
        self.validation = Validation(store, self.broker, self.resource, self.zoho, clock)
        self.clients = Clients(store, self.broker, self.zoho, clock)
        self.delivery = Delivery(
            store, self.broker, self.zoho, self.home, clock, settings.child_environment
        )
        self.authorization = Authorization(store, self.broker, self.oauth, self.zoho, clock)
        self.diagnosis = Diagnosis(store, self.broker, self.resource, self.zoho, clock)
        self.cautions = Cautions(store, self.broker)
        self.troubles = Troubles(store, self.diagnosis, self.zoho, clock)
        self.reader = Reader(store, self.cache, self.diagnosis, self.zoho, clock)
        self.adoption = Adoption(store, self.broker, self.zoho, clock)
        self.backups = Backups(store, self.cache, self.zoho, self.home, clock)
        self.repairs = Repairs(
            store, self.broker, self.authorization, self.delivery, self.home, clock
        )
        self.looks = Looks(store, self.broker, self.validation, self.diagnosis, clock)
        self.alarm = Alarm(
            store, self.looks, self.troubles, self.home, clock, settings.child_environment
        )
        self.rounds = Rounds(self.looks, clock)
        self.climber = Climber(self.validation, self.repairs)
        self.authorization.close_interrupted()

    @classmethod
    def open(
        cls,
        settings: Settings,
        clock: Clock = utc_now,
        pause: Callable[[float], None] = time.sleep,
    ) -> "House":
        """Build the rooms around the home that `settings` names, making it at first start.

        `pause` waits for a number of seconds, before something is asked of Zoho again.
        Raises `WizardError` when the home, the key or the database cannot be used.
        """
        settings.home.prepare()
        vault = Vault.open(settings.home)
        store = Store.open(settings.home, vault, zoho.load(settings.sandbox_url).mark)
        return cls(settings, clock, vault, store, pause)

    def close(self) -> None:
        """Let the climber and the rounds finish, and close the database."""
        self.climber.stop()
        self.rounds.stop()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
