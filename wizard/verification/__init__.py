"""Proving what a grant reaches, and the clients it is asked with."""

from wizard.verification.identity import describe_access, find_mismatch, headline
from wizard.verification.service import VERIFIABLE_STATES, VerificationService
from wizard.verification.steps import SUSPECTED_REJECTION
from wizard.verification.worker import VerificationWorker

__all__ = [
    "SUSPECTED_REJECTION",
    "VERIFIABLE_STATES",
    "VerificationService",
    "VerificationWorker",
    "describe_access",
    "find_mismatch",
    "headline",
]
