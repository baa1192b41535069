"""The grammar of Zoho's scopes: `Service.scopename.OPERATION`."""

import re

from wizard.simulator.product_catalog import services

SCOPE_OPERATIONS = ("ALL", "CREATE", "READ", "UPDATE", "DELETE", "WRITE", "CREATE-UPDATE")
OPENID_SCOPES = ("openid", "email", "profile", "phone")
"""The scopes of OpenID Connect have no dots."""

_SEPARATORS = re.compile(r"[,\s]+")
_PARTS = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+")


def split(scope: str) -> list[str]:
    """Return the single scopes of a parameter, separated by commas or blanks, each once."""
    return list(dict.fromkeys(each for each in _SEPARATORS.split(scope) if each))


def is_known(scope: str) -> bool:
    """Whether Zoho knows the scope: a service it has, a name, an operation, in any case."""
    if scope.casefold() in OPENID_SCOPES:
        return True
    service, _, rest = scope.partition(".")
    name, _, operation = rest.rpartition(".")
    fits = bool(name) and bool(_PARTS.fullmatch(f"{service}.{name}"))
    return fits and operation.upper() in SCOPE_OPERATIONS and service.casefold() in services()


def covers(granted: list[str], wanted: str) -> bool:
    """Whether granted scopes include `wanted`, case aside.

    `X.ALL` covers the operations of X, and X's parts: `ZohoCRM.modules.ALL` is every module.
    """
    goal = wanted.casefold()
    return any(_covers_one(each.casefold(), goal) for each in granted)


def _covers_one(granted: str, wanted: str) -> bool:
    if granted == wanted:
        return True
    name, _, operation = granted.rpartition(".")
    goal_name, _, goal_operation = wanted.rpartition(".")
    within = goal_name == name or goal_name.startswith(f"{name}.")
    whole_service = name.endswith(".fullaccess") and wanted.startswith(name.split(".")[0] + ".")
    return (operation in ("all", goal_operation) and within) or (
        operation == "all" and whole_service
    )
