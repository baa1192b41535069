"""One authorization, from the button to the stored grant.

Each step is a durable commit before the next one: begun, the ``state`` redeemed, the intent to
exchange, the one POST, the grant. If it is unclear what became of the POST, it stays unclear: the
code is never posted again, the attempt is *outcome unknown*, and a new consent helps.

A callback is checked in this order: no repeated parameters; ``state`` finds the attempt; the cookie
binds it to the browser that began it; the state is redeemed, once; ``error``; ``location`` and
``accounts-server`` against our own table; ``code``.
"""

from wizard.authorization.attempts import MAX_WAITING_ATTEMPTS
from wizard.authorization.service import AuthorizationService, CompletedAttempt, StartedAttempt
from wizard.model import ATTEMPT_LIFETIME

__all__ = [
    "ATTEMPT_LIFETIME",
    "MAX_WAITING_ATTEMPTS",
    "AuthorizationService",
    "CompletedAttempt",
    "StartedAttempt",
]
