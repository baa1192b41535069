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
from wizard.authorization import AuthorizationService
from wizard.backup import BackupService
from wizard.clients import ClientService
from wizard.delivery import DeliveryService
from wizard.diagnosis import DiagnosisService
from wizard.diagnosis.cautions import Cautions
from wizard.diagnosis.incidents import Incidents
from wizard.diagnosis.pasted_text import PasteReader
from wizard.errors import WizardError
from wizard.fastpath import TokenCache
from wizard.importing import Importer
from wizard.model import Clock
from wizard.monitoring import BackgroundChecks, ConnectionChecker, MonitoringService
from wizard.oauth import OAuth
from wizard.product_api import ProductApi
from wizard.reauthorization import ReauthorizationService
from wizard.settings import Settings
from wizard.store import Store
from wizard.tokens import RefreshPurpose, TokenService
from wizard.transport import Transport
from wizard.vault import Vault
from wizard.verification import VerificationService

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class VerificationWorker:
    """Climbs the ladder of grants in a thread of its own, one after the other, and then does what
    follows where a connection is being repaired.

    The pages only queue a grant and watch its receipt grow in the store. A climb that dies with
    its process leaves a receipt without an end, which the pages show as unfinished.
    """

    def __init__(
        self, verification: VerificationService, reauthorization: ReauthorizationService
    ) -> None:
        self._verification = verification
        self._reauthorization = reauthorization
        self._queue: queue.SimpleQueue[tuple[str, int, RefreshPurpose] | None] = queue.SimpleQueue()
        self._pending: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(
        self, name: str, generation: int, need: RefreshPurpose = RefreshPurpose.REQUIRED
    ) -> None:
        """Have grant `generation` of connection `name` proved soon; asking twice climbs once."""
        with self._lock:
            if (name, generation) in self._pending:
                return
            self._pending.add((name, generation))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="verification-worker", daemon=True
                )
                self._thread.start()
        self._queue.put((name, generation, need))

    def is_verifying(self, name: str, generation: int) -> bool:
        """Whether that grant is queued or being proved by this process now."""
        with self._lock:
            return (name, generation) in self._pending

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Finish what is queued, within `timeout` seconds, and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout_seconds)

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            try:
                for _step in self._verification.verify(*task):
                    pass
                self._reauthorization.continue_after_verification(task[0])
            except WizardError as error:
                log.warning("the climb of %s %d ended: %s", *task[:2], error.failure.code)
            except Exception:
                log.exception("the climb of %s %d broke off", *task[:2])
            finally:
                with self._lock:
                    self._pending.discard(task[:2])


class Services:
    """Every room, wired. Use it as a context manager, or call `close`."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        vault: Vault,
        store: Store,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.paths = settings.paths
        self.clock = clock
        self.vault = vault
        self.store = store
        self.zoho = zoho.load(settings.simulator_url)
        self.token_cache = TokenCache(self.paths, vault)
        self.transport = Transport(self.zoho, clock)
        self.oauth = OAuth(self.transport, self.zoho, clock)
        self.product_api = ProductApi(self.transport, self.zoho)
        self.tokens = TokenService(
            store, self.token_cache, self.oauth, self.zoho, self.paths, clock, sleep
        )
        self.verification = VerificationService(
            store, self.tokens, self.product_api, self.zoho, clock
        )
        self.clients = ClientService(store, self.tokens, self.zoho, clock)
        self.delivery = DeliveryService(
            store, self.tokens, self.zoho, self.paths, clock, settings.child_environment
        )
        self.authorization = AuthorizationService(store, self.tokens, self.oauth, self.zoho, clock)
        self.diagnosis = DiagnosisService(store, self.tokens, self.product_api, self.zoho, clock)
        self.cautions = Cautions(store, self.tokens)
        self.incidents = Incidents(store, self.diagnosis, self.zoho, clock)
        self.reader = PasteReader(store, self.token_cache, self.diagnosis, self.zoho, clock)
        self.importer = Importer(store, self.tokens, self.zoho, clock)
        self.backups = BackupService(store, self.token_cache, self.zoho, self.paths, clock)
        self.reauthorization = ReauthorizationService(
            store, self.tokens, self.authorization, self.delivery, self.paths, clock
        )
        self.checks = ConnectionChecker(
            store, self.tokens, self.verification, self.diagnosis, clock
        )
        self.monitoring = MonitoringService(
            store, self.checks, self.incidents, self.paths, clock, settings.child_environment
        )
        self.background_checks = BackgroundChecks(self.checks, clock)
        self.verification_worker = VerificationWorker(self.verification, self.reauthorization)
        self.authorization.close_interrupted()

    @classmethod
    def open(
        cls,
        settings: Settings,
        clock: Clock = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "Services":
        """Build the rooms around the home that `settings` names, making it at first start.

        `pause` waits for a number of seconds, before something is asked of Zoho again.
        Raises `WizardError` when the home, the key or the database cannot be used.
        """
        settings.paths.prepare()
        vault = Vault.open(settings.paths)
        store = Store.open(settings.paths, vault, zoho.load(settings.simulator_url).instance)
        return cls(settings, clock, vault, store, sleep)

    def close(self) -> None:
        """Let the climber and the rounds finish, and close the database."""
        self.verification_worker.stop()
        self.background_checks.stop()
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
