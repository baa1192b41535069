"""Re-authorization: many connections repaired together, after a change of password or of people.

A repair is a list of connections in the store and nothing more: how far each of them is, is read
from its attempts, grants and destinations, so that a crash at any moment costs nothing. Each goes
the same way: one consent → proved → held where somebody else answered → delivered to every
destination → the superseded refresh token revoked when nothing uses it any more.
"""

from wizard.reauthorization.line import ARRIVED, SETTLED, Line, LineState, same_address
from wizard.reauthorization.plan import Group, Plan
from wizard.reauthorization.repairs import GRACE, Repairs
from wizard.reauthorization.steps import Next, Repair, Step

__all__ = [
    "ARRIVED",
    "GRACE",
    "SETTLED",
    "Group",
    "Line",
    "LineState",
    "Next",
    "Plan",
    "Repair",
    "Repairs",
    "Step",
    "same_address",
]
