"""Connections files for tests."""

from collections.abc import Mapping
from typing import Any

from support.harness import ANNA, BOB, ERIC, Harness, add_eric
from wizard.connections_file.document import ConnectionsFile, parse
from wizard.connections_file.export import export
from wizard.connections_file.plan import FilePlan
from wizard.model import GrantState

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


def file_of_three_accounts(harness: Harness, count: int) -> tuple[str, Mapping[str, Any]]:
    """A file for `count` connections, each with a program, and its clients, which are registered at
    Zoho.

    The connections are divided evenly between four clients. Anna and Eric use three in Europe, and
    Bob uses one in India.
    """
    add_eric(harness)
    clients = register_clients(harness, "Europe 1", "Europe 2", "Europe 3")
    clients = {**clients, **register_clients(harness, "India", owner=BOB)}
    tables = [
        client_table(f'"{name}"', made["client_id"], *made["secrets"])
        for name, made in clients.items()
    ]
    for number in range(count):
        client = [*clients][number % len(clients)]
        europeans = (ANNA, ERIC)
        account = BOB if client == "India" else europeans[(number + number // len(clients)) % 2]
        target = str(harness.directory / f"crm-{number:02}.env")
        destination = {"profile": "dotenv", "to": target}
        tables.append(
            connection_table(
                f"crm-{number:02}", client, account=account, destinations=[destination]
            )
        )
    return "".join(tables), clients


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


def check_delivered(harness: Harness, text: str, count: int) -> None:
    """Check that the `count` connections of the file `text` are verified with their first grant,
    that their programs have it, and that nothing differs from the file."""
    assert not plan_of(harness, text).has_changes
    overviews = harness.services.store.overviews.all()
    assert len(overviews) == count
    for each in overviews:
        assert each.grant is not None
        assert (each.grant.generation, each.grant.state) == (1, GrantState.VERIFIED)
        delivered = (harness.directory / f"{each.connection.name}.env").read_text("utf-8")
        assert each.grant.refresh_token in delivered
