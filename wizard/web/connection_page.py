"""What the page of one connection shows, gathered from the rooms."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from wizard.diagnosis import Step, StepCode
from wizard.errors import happened, outcome
from wizard.model import Attempt, Connection, Finding, Grant, GrantState
from wizard.resource import call_to_copy
from wizard.validation import PROVABLE
from wizard.web import destinations, presenter
from wizard.web.presenter import NOT_CONNECTED, PROVING, WAITING, ReceiptView, Scope, Status
from wizard.web.rooms import house
from wizard.zoho import products_of

RAIL = {
    StepCode.AUTHORIZE: 2,
    StepCode.WAITING: 2,
    StepCode.EXCHANGING: 2,
    StepCode.REFUSED: 2,
    StepCode.OUTCOME_UNKNOWN: 2,
    StepCode.PROVING: 3,
    StepCode.UNPROVED: 3,
}
"""How far a connection is that was never proved; afterwards the rail has done its work."""

CONNECT_LABELS = {
    StepCode.DEAD: "Authorize again",
    StepCode.REVOKED: "Authorize again",
    StepCode.REFUSED: "Try again at Zoho",
    StepCode.OUTCOME_UNKNOWN: "Begin a new consent",
    StepCode.PROVED: "Authorize again",
    StepCode.UNPROVED: "Authorize again",
}
CAN_PROVE = frozenset({StepCode.PROVED, StepCode.UNPROVED, StepCode.OUTCOME_UNKNOWN})
"""Steps whose grant lives, so that the live calls can be repeated."""

NAMED_WAITS = frozenset({"throttled", "zoho-resting"})
"""Findings whose wait is Zoho's own and not one of our budgets."""

CALM = frozenset({StepCode.PROVED, StepCode.REVOKED})
"""Steps at which a finding is no alarm: it works all the same, or the person wanted it so."""


@dataclass(frozen=True)
class View:
    """The head of the page: what the connection is and which step it is at."""

    name: str
    step: str
    status: Status
    rail: int | None
    where: str
    scopes: list[Scope]
    facts: Mapping[str, str]
    client_id: str
    client_name: str
    has_grant: bool
    attempt: Attempt | None
    finding: Finding | None
    calm: bool
    can_prove: bool
    """The finding is about the live calls, which may go better another time."""
    can_ignore_wait: bool
    """Zoho wants to be left alone, and may be asked once in spite of it."""
    connect_label: str

    @property
    def path(self) -> str:
        return f"/connections/{self.name}"


@dataclass(frozen=True)
class Use:
    """How programs use a proved connection; commands and addresses, never a token."""

    token: str
    reveal: str
    call: str
    sign_out: str


def context(name: str, told: tuple[str, ...] = ()) -> dict[str, Any]:
    """Everything that the page of connection `name` paints, after what a person has `told` in
    answer to its question. Raises ``unknown-connection``."""
    rooms = house()
    connection = rooms.store.connection(name)
    step = rooms.diagnosis.step_of(name, told)
    receipt = proof(name, told)
    if receipt and step.finding:
        receipt = receipt.without(step.finding.code)
    view = _view(connection, step, receipt)
    current = rooms.store.grant(name)
    usable = current is not None and current.state is GrantState.PROVED
    return {
        "view": view,
        "told": told,
        "receipt": receipt,
        "use": _use(current) if current and usable else None,
        "mismatch": compared(step.grant, current) if step.code is StepCode.MISMATCH else None,
        "at_zoho": rooms.diagnosis.zoho_pages(name) if step.code is StepCode.WAITING else (),
        "destinations": destinations.views(name),
        "destination_kinds": destinations.kinds(),
        "cautions": rooms.cautions.of(name),
        "ledger": _ledger(name),
        "history": [{"at": each.at, "words": happened(each)} for each in rooms.store.history(name)],
    }


def living(name: str) -> Grant | None:
    """The newest grant of connection `name` that can be proved."""
    grant = house().store.candidate(name) or house().store.grant(name)
    return grant if grant is not None and grant.state in PROVABLE else None


def proof(name: str, told: tuple[str, ...] = ()) -> ReceiptView | None:
    """The receipt of connection `name`: of its newest grant while it is being decided about, else
    of the current one; its findings after what a person has `told`. None where there is nothing to
    show."""
    rooms = house()
    rooms.store.connection(name)
    grant = rooms.store.candidate(name) or rooms.store.grant(name)
    if grant is None or grant.state is GrantState.REVOKED:
        return None
    # Asked first: a climb that ends between the two questions has its receipt read, not missed.
    climbing = rooms.climber.is_climbing(name, grant.generation)
    receipt = rooms.store.receipt(name, grant.generation)
    explain = partial(rooms.diagnosis.finding, name, told=told)
    return presenter.receipt_view(grant, receipt, climbing, explain)


def _view(connection: Connection, step: Step, receipt: ReceiptView | None) -> View:
    rooms = house()
    client = rooms.store.client(connection.client_id)
    grant = step.grant
    location = grant.location if grant else connection.location
    place = rooms.zoho.data_centre(location).name if location else "data centre not known yet"
    finding = None if receipt and receipt.running else step.finding
    temporary = _temporary(finding)
    can_prove = bool(finding) and step.attempt is None and step.code in CAN_PROVE
    return View(
        name=connection.name,
        step=step.code.value,
        status=_status(step, receipt),
        rail=RAIL.get(step.code) if connection.generation == 0 else None,
        where=f"{place} · client {client.name}",
        scopes=presenter.explained(connection.scope),
        facts=_facts(connection, grant),
        client_id=client.client_id,
        client_name=client.name,
        has_grant=grant is not None,
        attempt=step.attempt,
        finding=finding,
        calm=temporary or step.code in CALM,
        can_prove=can_prove,
        can_ignore_wait=can_prove and finding is not None and finding.code in NAMED_WAITS,
        # A disturbance at Zoho asks for patience, not for another refresh token.
        connect_label="" if can_prove and temporary else CONNECT_LABELS.get(step.code, ""),
    )


def _temporary(finding: Finding | None) -> bool:
    return bool(finding and finding.failure and finding.failure.temporary)


def _status(step: Step, receipt: ReceiptView | None) -> Status:
    if step.code in (StepCode.WAITING, StepCode.EXCHANGING):
        return WAITING
    if receipt is not None and receipt.running:
        return PROVING
    if step.code is StepCode.REFUSED:
        return Status("Not authorized", "bad")
    if step.code is StepCode.OUTCOME_UNKNOWN:
        return Status("Outcome unknown", "wait")
    if step.grant is None:
        return NOT_CONNECTED
    return presenter.grant_status(step.grant, step.receipt)


def _facts(connection: Connection, grant: Grant | None) -> dict[str, str]:
    facts = {"Data centre chosen": connection.location or "none; Zoho tells"}
    if grant is not None:
        place = house().zoho.data_centre(grant.location)
        facts = {
            "Grant": f"number {grant.generation}, given {presenter.moment(grant.granted_at)}; "
            "a grant is what one consent gives: a refresh token",
            "Issued by": place.accounts_server,
            "API domain": f"{place.api_domain}, where your program’s calls go",
        }
        if grant.account is not None:
            facts["Account"] = f"{grant.account.email} (Zoho’s user id, ZUID: {grant.account.zuid})"
        for each in grant.organizations:
            facts[presenter.organization(each).partition(":")[0]] = f"{each.name} ({each.id})"
    return facts


def _use(grant: Grant) -> Use:
    name = grant.connection
    place = house().zoho.data_centre(grant.location)
    ask = f"$(zoho-wizard token {name})"
    call = _call(grant)
    header = f"printf 'Authorization: Zoho-oauthtoken %s' \"{ask}\""
    return Use(
        token=f"zoho-wizard token {name}",
        reveal=f"zoho-wizard show {name} --reveal",
        call=f"{header} | curl -H @- '{call}'" if call else "",
        sign_out=place.sign_out_url,
    )


def _call(grant: Grant) -> str:
    """The first of the reads that proved `grant`, as an address; else who one is."""
    place = house().zoho.data_centre(grant.location)
    for product in products_of(grant.scope):
        own = [each for each in grant.organizations if each.product == product.id]
        if url := call_to_copy(product, place, own[0] if own else None, grant.scope):
            return url
    return place.user_info_endpoint


def compared(new: Grant | None, before: Grant | None) -> dict[str, Any]:
    """The grant that waits for a decision beside the one before, as painted."""
    in_use = before is not None and before.state is GrantState.PROVED
    sides = [("The one before, still in use" if in_use else "The one before", before)]
    sides.append(("The new one", new))
    return {
        "generation": new.generation if new else 0,
        "sign_out": house().zoho.data_centre(new.location).sign_out_url if new else "",
        "sides": [_side(title, grant) for title, grant in sides if grant is not None],
    }


def _side(title: str, grant: Grant) -> dict[str, Any]:
    return {
        "title": title,
        "account": grant.account.email if grant.account else "unknown",
        "organizations": [presenter.organization(each) for each in grant.organizations],
        "where": house().zoho.data_centre(grant.location).name,
    }


def _ledger(name: str) -> dict[str, Any]:
    view = house().broker.ledger(name)
    fewer = view.spare_left < view.token_requests_left
    spare = (
        f" ({view.spare_left} for a diagnosis, which leaves room for the client)" if fewer else ""
    )
    sentence = (
        f"In these ten minutes {view.token_requests_left} token requests and {view.codes_left} "
        f"consents are left before the wizard stops itself, below Zoho’s own limits{spare}. "
        f"Refresh tokens of this person and client stored here: {view.refresh_tokens}."
    )
    if view.counted_by_client:
        sentence += (
            " Zoho throttled a grant within its own budget: for a day the client’s requests are "
            f"counted together ({view.client_requests_left} left) and its renewals are spread."
        )
    asks = [{"at": a.at, "kind": a.kind, "outcome": outcome(a.outcome)} for a in view.asks]
    return {"sentence": sentence, "asks": asks}
