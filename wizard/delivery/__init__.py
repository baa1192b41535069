"""Delivery: a connection's credentials, brought to the programs that renew tokens themselves.

A destination is a subscription: described once, previewed before the first write, then given
whichever grant is current and looked at for drift. *Delivered* (written and read back) and *in
use* (the reload command succeeded) are two states. The version before is kept, sealed in the
store, for a roll-back.

Files are of four shapes, each with ``read`` and ``write``; a fifth is a command that takes the
credentials on stdin. Everything else about a program is a profile, a row of data.
"""

from wizard.delivery.formats import FormatError
from wizard.delivery.profiles import FoundEntry, Profile, profile, profiles
from wizard.delivery.service import DeliveryService
from wizard.delivery.status import DeliveryPreview, DestinationStatus, FieldChange

__all__ = [
    "DeliveryPreview",
    "DeliveryService",
    "DestinationStatus",
    "FieldChange",
    "FormatError",
    "FoundEntry",
    "Profile",
    "profile",
    "profiles",
]
