"""Which command has which result. The JSON Schemas are generated from this table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wizard.cli.results.checks import (
    CheckReport,
    CodeExplanation,
    CodeList,
    ConsentRequest,
    ConsentRequestList,
    DiagnosisReport,
    MonitorCheck,
    NotificationTest,
    PasswordChangeReport,
    ReauthorizationReport,
    Timer,
)
from wizard.cli.results.connections import (
    AccountList,
    ClientCheckList,
    ClientDetails,
    ClientList,
    ConnectionDetails,
    ConnectionList,
    ConnectionVerification,
    EditedConnection,
    ExportedClient,
    ImportedClient,
    ImportedConnection,
    ImportReport,
    OpenedPage,
    RemovedClient,
    RemovedConnection,
    RenamedConnection,
    RevealedCredentials,
    RevokedConnection,
    Sample,
)
from wizard.cli.results.connections_file import (
    ApplyReport,
    ExportedConfiguration,
    FilePlanReport,
)
from wizard.cli.results.destinations import (
    AccessList,
    AddedAccess,
    AddedKeyAccess,
    DeliveryPreviewReport,
    DeliveryReport,
    DestinationDetails,
    DestinationList,
    DestinationStatusList,
    RemovedAccess,
    RemovedDestination,
    RemovedKeyAccess,
)
from wizard.cli.results.installation import (
    BackupFile,
    CompletionScript,
    DatabaseInUse,
    DatabaseMove,
    ExportedKey,
    GrantedRole,
    MachineList,
    Metrics,
    RemovedMachine,
    RestoreReport,
    RotatedKey,
    SchemaList,
    ServeEvent,
    ServiceInstallation,
    ServiceRemoval,
    ServiceStatus,
    ServiceUnit,
    SharedGrantsForgotten,
    SimulatorEvent,
    Status,
    Uninstallation,
)
from wizard.cli.results.token_host import KeyAnswer
from wizard.comparison.judgment import ComparisonReport
from wizard.connections_file.document import ConnectionsFile
from wizard.model import Event
from wizard.serialization import ErrorReport
from wizard.tokens.cached_tokens import TokenDocument


@dataclass(frozen=True)
class ErrorDocument:
    """The last line on stderr of a command that failed before it had a result."""

    error: ErrorReport


INPUTS: Mapping[str, Any] = {"connections.toml": ConnectionsFile}
"""The files that people write for a command, which have a schema for editors."""

RESULTS: Mapping[str, tuple[Any, ...]] = {
    "token": (TokenDocument,),
    "error": (ErrorDocument,),
    "connect": (
        ConnectionVerification,
        ConsentRequest,
        ConsentRequestList,
        ReauthorizationReport,
    ),
    "list": (ConnectionList, AccountList),
    "show": (ConnectionDetails, RevealedCredentials),
    "import": (ImportedConnection, ImportReport),
    "plan": (FilePlanReport,),
    "apply": (ApplyReport, ConsentRequestList),
    "export-config": (ExportedConfiguration,),
    "edit": (EditedConnection,),
    "rename": (RenamedConnection,),
    "open": (OpenedPage,),
    "revoke": (RevokedConnection,),
    "remove": (RemovedConnection,),
    "client list": (ClientList,),
    "client show": (ClientDetails,),
    "client add": (ClientDetails,),
    "client export": (ExportedClient,),
    "client import": (ImportedClient,),
    "client check": (ClientCheckList,),
    "client set-secret": (ClientDetails,),
    "client remove": (RemovedClient,),
    "destination add": (DestinationDetails, DeliveryPreviewReport),
    "destination list": (DestinationList,),
    "destination status": (DestinationStatusList,),
    "destination undo": (DestinationDetails,),
    "destination remove": (RemovedDestination,),
    "deliver": (DeliveryReport,),
    "sample": (Sample,),
    "access add": (AddedAccess, AddedKeyAccess),
    "access list": (AccessList,),
    "access remove": (RemovedAccess, RemovedKeyAccess),
    "access ssh": (KeyAnswer,),
    "check": (CheckReport,),
    "monitor": (MonitorCheck, NotificationTest, Timer),
    "diagnose": (DiagnosisReport, CodeExplanation, CodeList),
    "reauthorize": (ReauthorizationReport, ConsentRequestList),
    "password-change": (PasswordChangeReport, CheckReport),
    "serve": (ServeEvent, ServiceUnit),
    "service install": (ServiceInstallation,),
    "service status": (ServiceStatus,),
    "service remove": (ServiceRemoval,),
    "uninstall": (Uninstallation,),
    "simulator": (SimulatorEvent,),
    "demo": (SimulatorEvent,),
    "compare": (ComparisonReport,),
    "status": (Status, Metrics),
    "audit": (Event,),
    "database use": (DatabaseInUse,),
    "database grant": (GrantedRole,),
    "database migrate": (DatabaseMove,),
    "database machines": (MachineList,),
    "database machines remove": (RemovedMachine,),
    "database export-key": (ExportedKey,),
    "database rotate-encryption-key": (RotatedKey,),
    "backup": (BackupFile,),
    "restore": (RestoreReport, SharedGrantsForgotten),
    "completion": (CompletionScript,),
    "schema": (SchemaList, dict[str, Any]),
}
"""The results of each command; ``error`` is that of every command that fails without one.

``run``, ``service run`` and ``simulator run`` have none: their output is that of the command that
they run.
"""
