"""From the nouns of the house to what the templates paint: words, tones and order. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from markupsafe import Markup

from wizard.errors import words
from wizard.model import (
    Failure,
    Finding,
    Grant,
    GrantState,
    Organization,
    Receipt,
    Rung,
)
from wizard.store import Overview
from wizard.transport import clean
from wizard.validation import headline
from wizard.zoho import ALWAYS, product, products_of, scope_words

FOREIGN_TEXT = 300
"""Characters of a text that is not ours which a page shows; enough to recognize it by."""


@dataclass(frozen=True)
class Status:
    """A word for a state and the tone it is said in: ``good``, ``wait``, ``bad`` or none."""

    word: str
    tone: str = ""


GRANT_STATUS = {
    GrantState.UNPROVED: Status("Not proved yet", "wait"),
    GrantState.PROVED: Status("Proved", "good"),
    GrantState.MISMATCH: Status("Another account", "wait"),
    GrantState.DEAD: Status("Dead", "bad"),
    GrantState.SUPERSEDED: Status("Replaced"),
    GrantState.REVOKED: Status("Revoked"),
}
WAITING = Status("Waiting for consent", "wait")
PROVING = Status("Proving", "wait")
NOT_CONNECTED = Status("Not connected")
CHECK_FAILED = Status("Check failed", "bad")
CHECKING = Status("Checking", "wait")


@dataclass(frozen=True)
class Row:
    """One line of the list of connections."""

    name: str
    status: Status
    detail: str
    checked_at: datetime | None = None

    @property
    def path(self) -> str:
        return f"/connections/{self.name}"


@dataclass(frozen=True)
class Scope:
    """A scope, its meaning, and why it is asked for where no task explains it."""

    scope: str
    words: str
    why: str = ""


@dataclass(frozen=True)
class RungView:
    """One rung as painted; the finding explains why it is not simply passed."""

    title: str
    state: str
    evidence: Mapping[str, str]
    at: datetime
    finding: Finding | None

    @property
    def brief(self) -> str:
        """The evidence in one line; unfolded it stands in full."""
        return " · ".join(each for each in self.evidence.values() if each)


@dataclass(frozen=True)
class ReceiptView:
    """The proof of one grant, under way or done."""

    headline: str
    generation: int
    status: Status
    rungs: tuple[RungView, ...]
    to_come: tuple[str, ...]
    at: datetime | None
    running: bool
    unfinished: bool
    path: str
    """Where the rungs alone are answered, for pages that watch them."""

    def without(self, code: str) -> "ReceiptView":
        """The same without the finding `code` at its rungs, as the page shows it already."""
        rungs = tuple(
            replace(each, finding=None) if each.finding and each.finding.code == code else each
            for each in self.rungs
        )
        return replace(self, rungs=rungs)


def explained(scope: Sequence[str]) -> list[Scope]:
    """Each scope beside its meaning."""
    whys = {ALWAYS: "always asked for: it tells whom the receipt is about"}
    return [Scope(each, scope_words(each), whys.get(each, "")) for each in scope]


def grant_status(grant: Grant | None, receipt: Receipt | None) -> Status:
    """The word for a grant and what its receipt says."""
    return _status(grant, receipt is not None and receipt.failed)


def _status(grant: Grant | None, check_failed: bool) -> Status:
    if grant is None:
        return NOT_CONNECTED
    if grant.state in (GrantState.UNPROVED, GrantState.PROVED) and check_failed:
        return CHECK_FAILED
    return GRANT_STATUS[grant.state]


def row(seen: Overview, checking: Collection[str] = ()) -> Row:
    """The line of one connection; those `checking` are being asked now."""
    grant = seen.grant or seen.candidate
    status = _status(grant, seen.check_failed)
    if seen.candidate is not None and seen.candidate.state is GrantState.MISMATCH:
        status = GRANT_STATUS[GrantState.MISMATCH]
    elif seen.open_attempt is not None and status.tone != "good":
        status = WAITING
    if seen.connection.name in checking:
        status = CHECKING
    reached = grant is not None and grant.account is not None
    detail = headline(grant) if grant and reached else scope_words(seen.connection.scope[0])
    return Row(seen.connection.name, status, detail, seen.checked_at)


def summary(total: int, unsettled: Sequence[Row]) -> str:
    """Health at a glance, in one sentence; of `total` connections all but `unsettled` are well."""
    bad = sum(each.status.tone == "bad" for each in unsettled)
    good = total - sum(each.status.tone != "good" for each in unsettled)
    if bad:
        needy = f"{bad} of {total} need{'s' if bad == 1 else ''} you."
        return f"{needy} The rest was proved when last looked at." if bad < total else needy
    if good == total:
        return f"{'It was' if good == 1 else f'All {good} were'} proved when last looked at."
    return f"{good} of {total} proved."


def rung_title(name: str) -> str:
    """The words for a rung's name."""
    table = words()["rungs"]
    if name.startswith("read:"):
        return str(table["read"]).format(product=product(name.removeprefix("read:")).title)
    return str(table[name])


def rung(seen: Rung, explain: Callable[[Failure], Finding]) -> RungView:
    """A rung, painted; `explain` tells why it is not simply passed."""
    found = explain(seen.failure) if seen.failure else None
    return RungView(rung_title(seen.name), seen.state.value, seen.evidence, seen.at, found)


def ladder(scope: Sequence[str]) -> tuple[str, ...]:
    """The names of the rungs that a grant of `scope` is going to be asked to climb."""
    reads = (f"read:{each.id}" for each in products_of(scope))
    return ("refresh", "identity", "organization", *reads, "scope", "clock")


def receipt_view(
    grant: Grant,
    receipt: Receipt | None,
    climbing: bool,
    explain: Callable[[Failure], Finding],
) -> ReceiptView:
    """The receipt of `grant`; `climbing` tells that this process is proving it now, in which case
    a finished receipt is the one before and says nothing yet."""
    if climbing and receipt is not None and receipt.finished_at is not None:
        receipt = None
    climbed = receipt.rungs if receipt else ()
    ended = receipt is not None and receipt.finished_at is not None
    names = {each.name for each in climbed}
    to_come = [] if ended else [name for name in ladder(grant.scope) if name not in names]
    status = PROVING if climbing else grant_status(grant, receipt)
    return ReceiptView(
        headline=_headline(grant, climbing),
        generation=grant.generation,
        status=status,
        rungs=tuple(rung(each, explain) for each in climbed),
        to_come=tuple(rung_title(name) for name in to_come),
        at=receipt.finished_at or receipt.started_at if receipt else None,
        running=climbing,
        unfinished=not (climbing or ended) and grant.state is GrantState.UNPROVED,
        path=f"/connections/{grant.connection}/rungs",
    )


def _headline(grant: Grant, climbing: bool) -> str:
    if grant.account is None and climbing:
        return "The refresh token is stored. Proving it with live calls…"
    return headline(grant)


def organization(one: Organization) -> str:
    """An organization in a few words."""
    environment = f", {one.environment}" if one.environment else ""
    return f"{product(one.product).title}: {one.name}{environment}"


# --- Filters of the templates ----------------------------------------------------------------


def capped(text: object, most: int = FOREIGN_TEXT) -> str:
    """At most `most` characters of a text that others wrote."""
    written = str(text)
    return written if len(written) <= most else f"{written[:most]}…"


def visible(value: object) -> object:
    """A value as it is painted: text without what a copied line would carry into a terminal."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return clean(value)


def moment(at: datetime) -> str:
    """A time as people of this machine read it."""
    here = at.astimezone()
    return f"{here.day} {here:%b %Y, %H:%M:%S}"


def ago(at: datetime, now: datetime) -> str:
    """How long ago, in words."""
    minutes = max(now - at, timedelta()) // timedelta(minutes=1)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} minute{'s' if minutes > 1 else ''} ago"
    hours = minutes // 60
    return (
        f"{hours} hour{'s' if hours > 1 else ''} ago" if hours < 48 else f"{hours // 24} days ago"
    )


def shortened(client_id: str) -> str:
    """Enough of a client id to tell it from its neighbours."""
    return client_id if len(client_id) <= 14 else f"{client_id[:9]}…{client_id[-4:]}"
