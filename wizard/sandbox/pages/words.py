"""Words: scopes in words, from their grammar `Service.scopename.OPERATION`; the console's."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from wizard.sandbox.catalogue import product_of_scope

_DOINGS = {
    "ALL": "View, create, change and delete",
    "READ": "View",
    "CREATE": "Create",
    "UPDATE": "Change",
    "DELETE": "Delete",
    "WRITE": "Create and change",
    "CREATE-UPDATE": "Create and change",
}


@dataclass(frozen=True)
class Block:
    """What is asked for in one product, a sentence for each scope."""

    product: str
    permissions: list[str]


def blocks(scopes: list[str]) -> list[Block]:
    """Return the scopes in words, a block for each product in the order asked."""
    found: dict[str, list[str]] = {}
    for scope in scopes:
        found.setdefault(product_title(scope), []).append(permission(scope))
    return [Block(product, permissions) for product, permissions in found.items()]


def product_title(scope: str) -> str:
    """Return the product a scope speaks of: `ZohoCRM.org.READ` → CRM."""
    service = scope.partition(".")[0]
    known = product_of_scope(scope)
    if known:
        return known.title
    if "." not in scope or service == "AaaServer":
        return "Your Zoho account"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"^zoho", "", service, flags=re.I))


def permission(scope: str) -> str:
    """Return what a scope allows: `ZohoCRM.modules.leads.READ` → View leads (modules)."""
    _, *names, operation = scope.split(".") if "." in scope else ("", scope, "READ")
    *around, thing = (_spoken(name) for name in names)
    doing = _DOINGS.get(operation.upper(), operation)
    return f"{doing} {thing}" + (f" ({', '.join(around)})" if around else "")


def _spoken(name: str) -> str:
    if name.casefold() == "fullaccess":
        return "everything"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


def console_word(known: str, changed: str) -> str:
    """Return a label of the API console: the known one, or another where it stands in the part
    of the console that `changed` names (a choice of the setting `console_words`)."""
    for part, others in _other_console_words().items():
        if changed in (part, "all") and known in others:
            return others[known]
    return known


@cache
def _other_console_words() -> dict[str, dict[str, str]]:
    text = files("wizard.sandbox.pages").joinpath("console_words.toml").read_text("utf-8")
    return tomllib.loads(text)
