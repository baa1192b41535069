"""Words: scopes in words, from their grammar `Service.scopename.OPERATION`; the console's."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from wizard.simulator.product_catalog import product_of_scope

_OPERATION_TEXTS = {
    "ALL": "View, create, change and delete",
    "READ": "View",
    "CREATE": "Create",
    "UPDATE": "Change",
    "DELETE": "Delete",
    "WRITE": "Create and change",
    "CREATE-UPDATE": "Create and change",
}


@dataclass(frozen=True)
class ScopeGroup:
    """What is asked for in one product, a sentence for each scope."""

    product: str
    descriptions: list[str]


def describe_scopes(scopes: list[str]) -> list[ScopeGroup]:
    """Return the scopes in words, a block for each product in the order asked."""
    found: dict[str, list[str]] = {}
    for scope in scopes:
        found.setdefault(product_title(scope), []).append(describe_scope(scope))
    return [ScopeGroup(product, permissions) for product, permissions in found.items()]


def product_title(scope: str) -> str:
    """Return the product a scope speaks of: `ZohoCRM.org.READ` → CRM."""
    service = scope.partition(".")[0]
    known = product_of_scope(scope)
    if known:
        return known.title
    if "." not in scope or service == "AaaServer":
        return "Your Zoho account"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"^zoho", "", service, flags=re.I))


def describe_scope(scope: str) -> str:
    """Return what a scope allows: `ZohoCRM.modules.leads.READ` → View leads (modules)."""
    _, *names, operation = scope.split(".") if "." in scope else ("", scope, "READ")
    *around, thing = (_spell_out(name) for name in names)
    doing = _OPERATION_TEXTS.get(operation.upper(), operation)
    return f"{doing} {thing}" + (f" ({', '.join(around)})" if around else "")


def _spell_out(name: str) -> str:
    if name.casefold() == "fullaccess":
        return "everything"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


def console_label(label: str, changed_part: str) -> str:
    """Return a label of the API console: the known one, or another where it stands in the part
    of the console that `changed` names (a choice of the setting `console_labels`)."""
    for part, others in _changed_console_labels().items():
        if changed_part in (part, "all") and label in others:
            return others[label]
    return label


@cache
def _changed_console_labels() -> dict[str, dict[str, str]]:
    text = files("wizard.simulator.pages").joinpath("console_labels.toml").read_text("utf-8")
    return tomllib.loads(text)
