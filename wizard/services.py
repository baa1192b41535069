"""All services, for pages, commands and tests.

Only `Services` calls their constructors. It imports and builds a service on first use, so a command
that only reads the store loads no HTTP library.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from wizard import zoho
from wizard.errors import WizardError
from wizard.fastpath import served_tokens
from wizard.fastpath.served_tokens import ServedToken
from wizard.model import AttemptState, Clock, Event
from wizard.paths import user_name
from wizard.settings import Settings
from wizard.store import Store
from wizard.store.history import key_details
from wizard.vault import Vault

if TYPE_CHECKING:
    from wizard.authorization import AuthorizationService
    from wizard.authorization.in_place import ScopeAddition
    from wizard.backup import BackupService
    from wizard.client_files import ClientFiles
    from wizard.clients import ClientService
    from wizard.connections_file.service import ConnectionsFileService
    from wizard.delivery.service import DeliveryService
    from wizard.diagnosis.cautions import Cautions
    from wizard.diagnosis.incidents import Incidents
    from wizard.diagnosis.pasted_text import PasteReader
    from wizard.diagnosis.service import DiagnosisService
    from wizard.importing import Importer
    from wizard.monitoring.checks import BackgroundChecks, ConnectionChecker, Progress
    from wizard.monitoring.observations import Observer
    from wizard.monitoring.service import MonitoringService
    from wizard.oauth import OAuth
    from wizard.product_api import ProductApi
    from wizard.reauthorization.service import ReauthorizationService
    from wizard.takeover import Takeover
    from wizard.tokens.cached_tokens import ConnectionLocks, TokenCache
    from wizard.tokens.request_log import ClientRequests, RequestLog
    from wizard.tokens.service import TokenService
    from wizard.transport import Transport
    from wizard.verification.service import VerificationService, VerificationWorker

Service = TypeVar("Service")

_SHARED_SERVICES = frozenset(
    {"transport", "oauth", "product_api", "background_checks", "verification_worker"}
)
"""Services that a snapshot shares with the services it was taken from."""


@dataclass(frozen=True)
class RunningWork:
    """What the threads of this process are doing."""

    verifications: frozenset[tuple[str, int]]
    """Queued and running ones, by connection and generation."""
    checks: "Progress | None"
    """None if no check is running."""

    @property
    def checked_names(self) -> frozenset[str]:
        """The connections that are being checked."""
        return self.checks.remaining if self.checks else frozenset()


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def zoho_of(settings: Settings) -> zoho.Zoho:
    """The table of data centers that `settings` select."""
    has_real_host_names = settings.simulator_proxy is not None
    return zoho.load(settings.simulator_url, has_real_host_names=has_real_host_names)


def transport_of(settings: Settings, table: zoho.Zoho, clock: Clock) -> "Transport":
    """The transport to the hosts of `table`, which belongs to `settings`."""
    from wizard.transport import Transport

    return Transport(table, clock, simulator_proxy=settings.simulator_proxy)


class _service(Generic[Service]):
    """A service that is built on first use, and only once even if threads share it.

    Not `cached_property`: it has one lock for all instances in Python 3.11, none in 3.12.
    """

    def __init__(self, build: "Callable[[Services], Service]") -> None:
        self._build = build
        self._name = build.__name__

    def __get__(self, services: "Services", owner: type["Services"]) -> Service:
        with services.building:
            built: dict[str, Service] = services.__dict__
            if self._name not in built:
                built[self._name] = self._build(services)
            return built[self._name]


class Services:
    """Every service. Use it as a context manager, or call `close`."""

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
        self.clock = store.database.synchronized(clock)
        self._local_clock = clock
        self.vault = vault
        self.store = store
        self.zoho = zoho_of(settings)
        self._sleep = sleep
        self._work_at_snapshot: RunningWork | None = None
        self.building = threading.RLock()
        with store.snapshot() as view:
            states = {each.state for each in view.attempts.open()}
        if states - {AttemptState.REDIRECTED}:
            self.authorization.close_interrupted()
        if os.path.lexists(self.paths.delivery_marker):
            self.delivery.remove_unfinished()
        self.record_served_tokens()

    @_service
    def transport(self) -> "Transport":
        return transport_of(self.settings, self.zoho, self.clock)

    @_service
    def oauth(self) -> "OAuth":
        from wizard.oauth import OAuth

        return OAuth(self.transport, self.zoho, self.clock)

    @_service
    def product_api(self) -> "ProductApi":
        from wizard.product_api import ProductApi

        return ProductApi(self.transport, self.zoho)

    @_service
    def token_cache(self) -> "TokenCache":
        from wizard.tokens.cached_tokens import SharedTokenCache, TokenCache

        if self.store.database.is_shared:
            return SharedTokenCache(self.paths, self.vault, self.store, self._local_clock)
        return TokenCache(self.paths, self.vault)

    @_service
    def locks(self) -> "ConnectionLocks":
        from wizard.tokens.cached_tokens import ConnectionLocks

        return ConnectionLocks(self.paths, self.store.database)

    @_service
    def request_log(self) -> "RequestLog":
        from wizard.tokens.request_log import RequestLog

        return RequestLog(self.store, self.clock)

    @_service
    def client_requests(self) -> "ClientRequests":
        from wizard.tokens.request_log import ClientRequests

        return ClientRequests(self.store, self.request_log, self.oauth, self.zoho)

    @_service
    def tokens(self) -> "TokenService":
        from wizard.tokens.service import TokenService

        return TokenService(
            self.store,
            self.token_cache,
            self.request_log,
            self.client_requests,
            self.oauth,
            self.zoho,
            self.locks,
            self.clock,
            self._sleep,
        )

    @_service
    def clients(self) -> "ClientService":
        from wizard.clients import ClientService

        return ClientService(self.store, self.client_requests, self.zoho, self.clock)

    @_service
    def verification(self) -> "VerificationService":
        from wizard.verification.service import VerificationService

        return VerificationService(
            self.store,
            self.tokens,
            self.client_requests,
            self.product_api,
            self.locks,
            self.clock,
        )

    @_service
    def delivery(self) -> "DeliveryService":
        from wizard.delivery.service import DeliveryService

        return DeliveryService(
            self.store,
            self.client_requests,
            self.zoho,
            self.paths,
            self.clock,
            self.settings.child_environment,
        )

    @_service
    def authorization(self) -> "AuthorizationService":
        from wizard.authorization import AuthorizationService

        return AuthorizationService(
            self.store,
            self.tokens,
            self.client_requests,
            self.request_log,
            self.oauth,
            self.zoho,
            self.locks,
            self.clock,
            self._sleep,
        )

    @_service
    def scope_addition(self) -> "ScopeAddition":
        from wizard.authorization.in_place import ScopeAddition

        return ScopeAddition(
            self.store,
            self.tokens,
            self.client_requests,
            self.request_log,
            self.product_api,
            self.zoho,
            self.locks,
            self.clock,
        )

    @_service
    def diagnosis(self) -> "DiagnosisService":
        from wizard.diagnosis.service import DiagnosisService

        return DiagnosisService(
            self.store,
            self.tokens,
            self.client_requests,
            self.product_api,
            self.zoho,
            self.clock,
        )

    @_service
    def cautions(self) -> "Cautions":
        from wizard.diagnosis.cautions import Cautions

        return Cautions(self.store, self.request_log)

    @_service
    def incidents(self) -> "Incidents":
        from wizard.diagnosis.incidents import Incidents

        return Incidents(self.store, self.diagnosis, self.zoho, self.clock)

    @_service
    def reader(self) -> "PasteReader":
        from wizard.diagnosis.pasted_text import PasteReader

        return PasteReader(self.store, self.token_cache, self.diagnosis, self.zoho, self.clock)

    @_service
    def client_files(self) -> "ClientFiles":
        from wizard.client_files import ClientFiles

        return ClientFiles(self.store, self.clients, self.zoho, self.clock)

    @_service
    def importer(self) -> "Importer":
        from wizard.importing import Importer

        return Importer(self.store, self.client_requests, self.zoho, self.clock)

    @_service
    def takeover(self) -> "Takeover":
        from wizard.takeover import Takeover

        return Takeover(
            self.store, self.importer, self.product_api, self.zoho, self.settings.redirect_uri
        )

    @_service
    def backups(self) -> "BackupService":
        from wizard.backup import BackupService

        return BackupService(
            self.store, self.token_cache, self.zoho, self.paths, self.locks, self.clock
        )

    @_service
    def reauthorization(self) -> "ReauthorizationService":
        from wizard.reauthorization.service import ReauthorizationService

        return ReauthorizationService(
            self.store,
            self.tokens,
            self.request_log,
            self.authorization,
            self.delivery,
            self.locks,
            self.clock,
        )

    @_service
    def connections_file(self) -> "ConnectionsFileService":
        from wizard.connections_file.service import ConnectionsFileService

        return ConnectionsFileService(
            self.store,
            self.clients,
            self.tokens,
            self.request_log,
            self.delivery,
            self.reauthorization,
            self.settings,
            self.clock,
        )

    @_service
    def checks(self) -> "ConnectionChecker":
        from wizard.monitoring.checks import ConnectionChecker

        return ConnectionChecker(
            self.store, self.tokens, self.verification, self.diagnosis, self.clock
        )

    @_service
    def monitoring(self) -> "MonitoringService":
        from wizard.monitoring.service import MonitoringService

        return MonitoringService(
            self.store,
            self.checks,
            self.incidents,
            self.delivery,
            self.locks,
            self.clock,
            self.settings.child_environment,
        )

    @_service
    def observer(self) -> "Observer":
        from wizard.monitoring.observations import Observer

        return Observer(self.store, self.delivery, self.vault.key_storage, self.clock)

    @_service
    def background_checks(self) -> "BackgroundChecks":
        from wizard.monitoring.checks import BackgroundChecks

        return BackgroundChecks(self.checks, self.clock)

    @_service
    def verification_worker(self) -> "VerificationWorker":
        from wizard.verification.service import VerificationWorker

        return VerificationWorker(
            self.verification, self.reauthorization.continue_after_verification
        )

    @classmethod
    def open(
        cls,
        settings: Settings,
        clock: Clock = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> "Services":
        """Open the data directory that `settings` names, or create it.

        `sleep` waits for a number of seconds before a request to Zoho is repeated.
        Raises `WizardError` if the directory, the key or the database can't be used.
        """
        settings.paths.prepare()
        vault = Vault.open(settings.paths)
        store = Store.open(settings.paths, vault, zoho_of(settings).instance)
        return cls(settings, clock, vault, store, sleep)

    def record_served_tokens(self) -> None:
        """Add the tokens that commands served since the last time to the history."""
        log = self.paths.served_log
        with suppress(OSError, WizardError):  # they stay in the log
            if os.path.exists(log) and os.path.getsize(log):
                served_tokens.take(log, self._record_served_tokens)

    def _record_served_tokens(self, served: Sequence[ServedToken]) -> None:
        self.store.events.record_token_serving(
            *(
                Event(
                    datetime.fromtimestamp(each.at, UTC),
                    each.name,
                    "token-served",
                    {
                        **(
                            key_details(each.fingerprint, each.comment)
                            if each.fingerprint
                            else {"uid": str(each.user_id)}
                        ),
                        "generation": str(each.generation),
                    },
                    user_name(each.user_id),
                    each.process_id,
                )
                for each in served
            )
        )

    @contextmanager
    def snapshot(self) -> Iterator["Services"]:
        """The services with one snapshot of the store, for a page that only reads."""
        # Read before the store: a page may show finished work as running, and then updates itself,
        # but never an unfinished result as final.
        running_work = self.running_work
        self.record_served_tokens()
        with self.store.snapshot() as store:
            for name in _SHARED_SERVICES:
                getattr(self, name)
            services = copy(self)
            services.__dict__ = {
                name: each
                for name, each in {**self.__dict__, "store": store}.items()
                if name in _SHARED_SERVICES or not isinstance(vars(Services).get(name), _service)
            }
            services._work_at_snapshot = running_work
            yield services

    @property
    def running_work(self) -> RunningWork:
        """What the threads of this process do; of a snapshot, what they did when it began."""
        if self._work_at_snapshot is not None:
            return self._work_at_snapshot
        return RunningWork(self.verification_worker.pending(), self.background_checks.progress())

    def close(self) -> None:
        """Wait for running verifications and checks, and close the database."""
        if "verification_worker" in self.__dict__:
            self.verification_worker.stop()
        if "background_checks" in self.__dict__:
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
