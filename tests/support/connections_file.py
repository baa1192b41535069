"""Connections files for tests."""

from collections.abc import Mapping
from typing import Any

from support.harness import ANNA, Harness
from wizard.connections_file.document import ConnectionsFile, parse
from wizard.connections_file.export import export
from wizard.connections_file.plan import FilePlan

CLIENT_ID = "1000.RQX2DB4P1AQZI86BAT7NHPBHPRIIHQ"


def client_table(name: str, client_id: str = CLIENT_ID, *locations: str) -> str:
    """A client that is registered in the first of `locations`, by default in Europe."""
    quoted = ", ".join(f'"{each}"' for each in locations or ("eu",))
    return f'[clients.{name}]\nid = "{client_id}"\ndata_centers = [{quoted}]\n'


def connection_table(name: str, client: str, **values: Any) -> str:
    """A connection that reads leads of anna's unless `values` say otherwise."""
    fields = {"presets": ["crm-read-leads"], "account": ANNA, **values}
    lines = [f"{key} = {_toml(value)}" for key, value in fields.items() if value]
    return "\n".join([f"[connections.{name}]", f'client = "{client}"', *lines]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return f'"{value}"'


def register_clients(harness: Harness, *names: str, owner: str = ANNA) -> Mapping[str, Any]:
    """Clients that are registered at Zoho and not stored here, by name."""
    uri = harness.services.settings.redirect_uri
    return {name: harness.controls.register_client(owner, [uri], name=name) for name in names}


def plan_of(harness: Harness, text: str, *, is_pruning: bool = False) -> FilePlan:
    """The plan for the file `text`."""
    document = parse(text, harness.services.zoho)
    return harness.services.connections_file.plan(document, is_pruning=is_pruning)


def apply_without_consents(
    harness: Harness, text: str, clients: Mapping[str, Any]
) -> ConnectionsFile:
    """Apply the file `text` with the secrets of `clients`, and begin the consents."""
    document = parse(text, harness.services.zoho)
    service = harness.services.connections_file
    plan = service.plan(document)
    for change, location in plan.missing_secrets:
        secret = clients[change.name]["secrets"][location]
        service.store_secret(document, change.client_id, location, secret)
    service.store_connections(document, plan)
    service.begin_consents(plan)
    return document


def exported(harness: Harness) -> str:
    """The file for what is stored."""
    return export(harness.services.connections_file.installation())
