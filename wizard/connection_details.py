"""What pages and messages say about a connection, its client, its grant and a verification. Pure.

The values of placeholders, and words for what a grant reaches and what a verification observed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from wizard.errors import message
from wizard.model import Client, Connection, Grant, StepEvidence, StepState, VerificationStep
from wizard.timefmt import format_duration
from wizard.zoho import Zoho, product, products_of


def connection_details(
    connection: Connection,
    grant: Grant | None,
    client: Client,
    zoho: Zoho,
    location: str | None = None,
) -> dict[str, str]:
    """Details of a connection, in a data center or in that of its grant."""
    location = location or (grant.location if grant else connection.location)
    return {
        "name": connection.name,
        "scope": ", ".join(connection.scope),
        **({"email": grant.account.email} if grant and grant.account else {}),
        **client_details(client, zoho, location),
    }


def client_details(client: Client, zoho: Zoho, location: str | None = None) -> dict[str, str]:
    """Details of a client, in a data center or in the one where it is registered."""
    data_center = zoho.data_center(location or client.location)
    home = zoho.data_center(client.location)
    return {
        "client": client.name,
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "location": data_center.location,
        "data_center": data_center.name,
        "api_domain": data_center.api_domain,
        "home": home.name,
        "console": home.console_client_url(client.client_id),
        "sign_out": data_center.sign_out_url,
        "connected_apps": data_center.connected_apps_url,
    }


def is_access_token_rejected(steps: Iterable[VerificationStep]) -> bool:
    """Whether Zoho rejected the access token in the last check, so that earlier steps may not apply
    anymore."""
    failures = (each.failure for each in steps if each.state is StepState.FAILED)
    return any(each is not None and each.rejects_access_token for each in failures)


def headline(grant: Grant, steps: Iterable[VerificationStep] = ()) -> str:
    """The headline of a verification report with `steps`: what `grant` reaches, or what it reached
    if it was revoked, needs re-authorization, or its access token was rejected."""
    if grant.account is None:
        return message("report-headlines", "unnamed", location=grant.location.upper())
    code = "reached" if grant.state.is_ended else "reaches"
    if code == "reaches" and is_access_token_rejected(steps):
        code = "rejected"
    return message("report-headlines", code, access=describe_access(grant))


def access_places(grant: Grant) -> tuple[str, ...]:
    """The organizations, the environments and the data center of `grant`, as far as known."""
    names = dict.fromkeys(organization.name for organization in grant.organizations)
    environments = dict.fromkeys(
        organization.environment for organization in grant.organizations if organization.environment
    )
    parts = [", ".join(names), ", ".join(environments), grant.location.upper()]
    return tuple(part for part in parts if part)


def expected_organizations(
    connection: Connection, grant: Grant | None
) -> tuple[tuple[str, str], ...]:
    """What the next consent must choose if Zoho asks: pairs of a product and an organization with
    its environment. Those of the current `grant`, else those that the connection expects."""
    if grant is not None and grant.organizations:
        return tuple(
            (each.product, _join(each.name, each.environment)) for each in grant.organizations
        )
    expected = _join(connection.expected_organization, connection.expected_environment)
    products = products_of(connection.scope) if expected else ()
    return tuple((each.id, expected) for each in products)


def describe_organizations(organizations: Iterable[tuple[str, str]]) -> str:
    """The organizations of pairs as `expected_organizations` returns, each once."""
    return "; ".join(dict.fromkeys(name for _product, name in organizations))


def _join(*texts: str) -> str:
    return ", ".join(each for each in texts if each)


def describe_access(grant: Grant) -> str:
    """The organizations, environments, data center and account of `grant`, as a phrase."""
    where = ", ".join(access_places(grant))
    if grant.account is None:
        return where
    # A product may have no organizations.
    code = "as-account" if grant.organizations else "account"
    return message("access-phrases", code, place=where, email=grant.account.email)


def step_title(name: str) -> str:
    """The title of a verification step."""
    kind, _, of = name.partition(":")
    return message("verification-steps", kind, product=product(of).title if of else "")


@dataclass(frozen=True)
class EvidenceText:
    """One observation of a verification step, in words."""

    label: str
    text: str


def describe_evidence(evidence: StepEvidence) -> EvidenceText:
    """An observation in words, for pages, terminal and JSON."""
    values = dict(evidence.values)
    if "location" in values:
        values["location"] = values["location"].upper()
    if "product" in values:
        of = product(values["product"])
        nouns = {each.path: each.noun for each in of.probes}
        path = values.get("path", "")
        values |= {"product": of.title, "noun": nouns.get(path, path)}
    if seconds := values.get("expires_in") or values.get("seconds"):
        values["duration"] = format_duration(timedelta(seconds=int(seconds)))
    label, text = (
        message(table, evidence.code, **values) for table in ("evidence-labels", "evidence-texts")
    )
    return EvidenceText(label, text)
