"""Which command has which result. The JSON Schemas are generated from this table."""

from collections.abc import Mapping
from typing import Any

from wizard.cli.results.checks import CheckReport, MonitorCheck, NotificationTest, Timer
from wizard.cli.results.clients import ClientCheckList, ClientDetails, ClientList, RemovedClient
from wizard.cli.results.common import ErrorDocument
from wizard.cli.results.connections import (
    AccountList,
    ConnectionDetails,
    ConnectionList,
    ConnectionVerification,
    ImportedConnection,
    OpenedPage,
    RemovedConnection,
    RenamedConnection,
    RevealedCredentials,
    RevokedConnection,
)
from wizard.cli.results.destinations import (
    AccessList,
    AddedAccess,
    DeliveryPreviewReport,
    DeliveryReport,
    DestinationDetails,
    DestinationList,
    DestinationStatusList,
    RemovedAccess,
    RemovedDestination,
)
from wizard.cli.results.diagnosis import CodeExplanation, CodeList, DiagnosisReport
from wizard.cli.results.installation import (
    BackupFile,
    CompletionScript,
    RestoreReport,
    SchemaList,
    ServeEvent,
    SharedGrantsForgotten,
    SimulatorEvent,
    Status,
)
from wizard.cli.results.reauthorization import (
    ConsentRequestList,
    PasswordChangeReport,
    ReauthorizationReport,
)
from wizard.tokens.api_access import TokenDocument

RESULTS: Mapping[str, tuple[Any, ...]] = {
    "token": (TokenDocument,),
    "error": (ErrorDocument,),
    "connect": (ConnectionVerification,),
    "list": (ConnectionList, AccountList),
    "show": (ConnectionDetails, RevealedCredentials),
    "import": (ImportedConnection,),
    "rename": (RenamedConnection,),
    "open": (OpenedPage,),
    "revoke": (RevokedConnection,),
    "remove": (RemovedConnection,),
    "client list": (ClientList,),
    "client show": (ClientDetails,),
    "client add": (ClientDetails,),
    "client check": (ClientCheckList,),
    "client set-secret": (ClientDetails,),
    "client remove": (RemovedClient,),
    "destination add": (DestinationDetails, DeliveryPreviewReport),
    "destination list": (DestinationList,),
    "destination status": (DestinationStatusList,),
    "destination undo": (DestinationDetails,),
    "destination remove": (RemovedDestination,),
    "deliver": (DeliveryReport,),
    "access add": (AddedAccess,),
    "access list": (AccessList,),
    "access remove": (RemovedAccess,),
    "check": (CheckReport,),
    "monitor": (MonitorCheck, NotificationTest, Timer),
    "diagnose": (DiagnosisReport, CodeExplanation, CodeList),
    "reauthorize": (ReauthorizationReport, ConsentRequestList),
    "password-change": (PasswordChangeReport, CheckReport),
    "serve": (ServeEvent,),
    "simulator": (SimulatorEvent,),
    "demo": (SimulatorEvent,),
    "status": (Status,),
    "backup": (BackupFile,),
    "restore": (RestoreReport, SharedGrantsForgotten),
    "completion": (CompletionScript,),
    "schema": (SchemaList, dict[str, Any]),
}
"""The results of each command; ``error`` is that of every command that fails without one.

``run`` has none: it becomes the command that it runs.
"""
