"""Fresh access tokens for everyone, one refresh for all, and every ask of an accounts server.

A refresh happens under a lock of the operating system, one a connection, which falls with its
process; whoever gets the lock looks again before asking Zoho. No transaction of the store spans
a network call. A grant is declared dead only on an explicit OAuth error from the data centre that
issued it, confirmed once after the row was read again; a dead grant is not asked again.
"""

from wizard.tokens.api_access import (
    ApiAccess,
    ProductApiAccess,
    access_variables,
    token_document,
)
from wizard.tokens.budgets import ConsentSchedule, RefreshPurpose
from wizard.tokens.refresh import LOCK_TIMEOUT_SECONDS
from wizard.tokens.request_log import RequestLog, RequestLogView
from wizard.tokens.service import (
    LONGEST,
    TokenService,
    reported_token,
)
from wizard.tokens.token_cache import TokenCache

__all__ = [
    "LOCK_TIMEOUT_SECONDS",
    "LONGEST",
    "ApiAccess",
    "ConsentSchedule",
    "ProductApiAccess",
    "RefreshPurpose",
    "RequestLog",
    "RequestLogView",
    "TokenCache",
    "TokenService",
    "access_variables",
    "reported_token",
    "token_document",
]
