"""Finding out: many connections checked in little time and within the limits, and somebody told.

A look asks of each connection no more than decides, and of Zoho no more than it allows, whichever
way it counts. What a look finds is told once, in one message for each cause, wherever it was
found.
"""

from wizard.monitoring.background import BackgroundChecks, Progress
from wizard.monitoring.checks import (
    MAX_PARALLEL_CHECKS,
    CheckResult,
    ConnectionChecker,
    WaitUntil,
    check_result,
)
from wizard.monitoring.notifications import REMIND, incident_to_json, settled, shown
from wizard.monitoring.service import CheckRun, MonitoringService

__all__ = [
    "MAX_PARALLEL_CHECKS",
    "REMIND",
    "BackgroundChecks",
    "CheckResult",
    "CheckRun",
    "ConnectionChecker",
    "MonitoringService",
    "Progress",
    "WaitUntil",
    "check_result",
    "incident_to_json",
    "settled",
    "shown",
]
