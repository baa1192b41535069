"""Re-authorization: many connections repaired together, after a change of password or of people.

A repair is a list of connections in the store and nothing more: how far each of them is, is read
from its attempts, grants and destinations, so that a crash at any moment costs nothing. Each goes
the same way: one consent → proved → held where somebody else answered → delivered to every
destination → the superseded refresh token revoked when nothing uses it any more.
"""

from wizard.reauthorization.items import (
    ARRIVED,
    RETRYING_STATES,
    SETTLED_STATES,
    ReauthorizationItem,
    is_same_email,
)
from wizard.reauthorization.plan import (
    Action,
    ConsentGroup,
    NextAction,
    Reauthorization,
    ReauthorizationPlan,
)
from wizard.reauthorization.service import DEFAULT_GRACE_PERIOD, ReauthorizationService

__all__ = [
    "ARRIVED",
    "DEFAULT_GRACE_PERIOD",
    "RETRYING_STATES",
    "SETTLED_STATES",
    "Action",
    "ConsentGroup",
    "NextAction",
    "Reauthorization",
    "ReauthorizationItem",
    "ReauthorizationPlan",
    "ReauthorizationService",
    "is_same_email",
]
