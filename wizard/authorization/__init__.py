"""One authorization, from its beginning to the stored grant.

Each step is committed before the next: the attempt, the redeemed ``state``, the intent to exchange,
the one POST, the grant. If the result of the POST is unknown, the code is never posted again: the
attempt ends as *outcome unknown*, and a new consent is needed.

The order of checks on a callback: no repeated parameters; ``state`` finds the attempt; the cookie
matches the browser that began it; the state is redeemed once; ``error``; ``location`` and
``accounts-server`` against our own table; ``code``.
"""

from wizard.authorization.service import (
    MAX_WAITING_ATTEMPTS,
    AuthorizationService,
    CompletedAttempt,
    ConsentRequest,
    StartedAttempt,
)
from wizard.model import ATTEMPT_LIFETIME

__all__ = [
    "ATTEMPT_LIFETIME",
    "MAX_WAITING_ATTEMPTS",
    "AuthorizationService",
    "CompletedAttempt",
    "ConsentRequest",
    "StartedAttempt",
]
