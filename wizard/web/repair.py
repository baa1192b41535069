"""The page "Repair n connections": one plan, one tab, one consent after the other.

How far a repair is, is read from the store at every request: closing the browser, a crash and a
second tab change nothing. Where a consent comes home to it, the next one opens by itself, but
never before it is known who consented, nor where somebody else must sign in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.errors import WizardError, fail
from wizard.model import Finding
from wizard.reauthorization import (
    ARRIVED,
    SETTLED,
    Line,
    LineState,
    Next,
    Repair,
    Step,
    same_address,
)
from wizard.validation import headline
from wizard.web import connection_page, consent
from wizard.web.assistance import assistance
from wizard.web.findings import paint
from wizard.web.presenter import Status
from wizard.web.rooms import house, launch
from wizard.web.sessions import browser

pages = Blueprint("repair", __name__)

HOME = "/repair"
SEEN = "repair"
"""Where a session keeps the names of the connections whose repair it has shown."""

ONWARD = f"{HOME}?onward=yes"
"""Where a consent that went well comes home: the next one may open by itself."""

STATUSES = {
    LineState.PENDING: Status("To do"),
    LineState.AT_ZOHO: Status("At Zoho", "wait"),
    LineState.ASKED: Status("Somebody was asked", "wait"),
    LineState.REFUSED: Status("Not authorized", "bad"),
    LineState.PROVING: Status("Proving", "wait"),
    LineState.WAITING: Status("Waits for Zoho", "wait"),
    LineState.UNPROVED: Status("Check failed", "bad"),
    LineState.HELD: Status("Waits for you", "wait"),
    LineState.DELIVERING: Status("Delivering", "wait"),
    LineState.NOT_DELIVERED: Status("Not delivered", "bad"),
    LineState.REPAIRED: Status("Repaired", "good"),
    LineState.SKIPPED: Status("Left as it was"),
}
CONSENTED = frozenset(
    {
        LineState.PROVING,
        LineState.WAITING,
        LineState.HELD,
        LineState.DELIVERING,
        LineState.NOT_DELIVERED,
        LineState.REPAIRED,
    }
)
"""States of a connection for which somebody has signed in and accepted since the repair began."""

LIVE = frozenset({Step.PROVING, Step.DELIVERING, Step.WAIT})
"""Steps that end without the person, so that the page watches for their end."""


@dataclass(frozen=True)
class LineView:
    """One connection of the repair as painted."""

    name: str
    status: Status
    who: str
    where: str
    reaches: str
    """What the new grant was proved to reach; empty while it is not."""
    programs: tuple[str, ...]
    finding: Finding | None
    waits: str
    """What its proof waits for, in words; empty where it does not wait."""
    again_at: datetime | None
    revoke_at: datetime | None
    can_skip: bool

    @property
    def path(self) -> str:
        return f"{HOME}/{self.name}"


@pages.get(HOME)
def show() -> str:
    """The repair under way; else the plan of one, of the connections named or of all dead ones;
    else the proofs of the one that this browser saw last, which a terminal may have ended."""
    repairs = house().repairs
    standing = repairs.standing()
    if standing is not None and not request.args.get("names"):
        browser()[SEEN] = [line.connection for line in standing[0].lines]
        return _progress(*standing)
    planned = bool(request.args.get("names") or repairs.refused())
    seen = () if planned else repairs.report(browser().get(SEEN, ()))
    if not seen:
        return _plan()
    return _progress(Repair(house().clock(), paused=False, lines=seen), Next(Step.DONE))


def _plan() -> str:
    names = tuple(request.args.get("names", "").split())
    plan = house().repairs.plan(names)
    return render_template(
        "repair_plan.html",
        plan=plan,
        names=" ".join(plan.names),
        places={each.location: each.name for each in house().zoho.data_centres},
        assistance=assistance(),
    )


def _progress(repair: Repair, next_: Next) -> str:
    line = next_.line
    other = line is not None and not same_address(next_.previous or line.email, line.email)
    changes = other or _is_first(repair, line)
    fresh = line is not None and line.state is LineState.PENDING
    lines = [_view(each) for each in repair.lines]
    held = line is not None and next_.step is Step.DECIDE
    return render_template(
        "repair.html",
        repair=repair,
        next=next_,
        lines=lines,
        line=next((each for each in lines if line and each.name == line.connection), None),
        settled=sum(each.state in SETTLED for each in repair.lines),
        changes=changes,
        other=other,
        live=next_.step in LIVE,
        by_itself=fresh and not changes and _onward(next_),
        assistance=assistance(),
        mismatch=_sides(line) if line and held else None,
        under_way=house().repairs.current() is not None,
        sign_out=house().zoho.data_centre(line.location).sign_out_url if line else "",
        seconds=_seconds(next_.until),
    )


def _is_first(repair: Repair, line: Line | None) -> bool:
    """Whether nobody has consented for the line's account and data centre yet."""
    return line is not None and not any(
        (each.email, each.location) == (line.email, line.location) and each.state in CONSENTED
        for each in repair.lines
    )


def _onward(next_: Next) -> bool:
    """Whether the next consent may open by itself, in this window and in no other."""
    consents = next_.step is Step.CONSENT and "onward" in request.args
    return consents and not assistance().running


def _view(line: Line) -> LineView:
    rooms, name = house(), line.connection
    grant = rooms.store.grant(name)
    return LineView(
        name=name,
        status=STATUSES[line.state],
        who=line.email,
        where=f"{rooms.zoho.data_centre(line.location).name} · client {line.client}",
        reaches=headline(grant) if grant and line.state in ARRIVED else "",
        programs=tuple(each.target for each in rooms.store.destinations(name)),
        finding=rooms.diagnosis.finding(name, line.failure) if line.failure else None,
        waits="Zoho’s rate limit" if line.rate_limited else "Zoho" if line.again_at else "",
        again_at=line.again_at,
        revoke_at=line.revoke_at,
        can_skip=line.state not in SETTLED and line.state is not LineState.PROVING,
    )


def _sides(line: Line) -> dict[str, object]:
    store = house().store
    return connection_page.compared(store.candidate(line.connection), store.grant(line.connection))


def _seconds(until: datetime | None) -> int:
    """Seconds to wait, at least one where there is something to wait for."""
    return max(1, round((until - house().clock()).total_seconds())) if until else 0


# --- What can be done -----------------------------------------------------------------------------


@pages.post(HOME)
def begin() -> Response:
    """Begin the repair that the plan has shown, and go to the first consent."""
    house().repairs.begin(tuple(request.form.get("names", "").split()))
    return _to_consent()


@pages.post(f"{HOME}/next")
def go_on() -> Response:
    """Go to the next consent, which is what the page would do by itself."""
    return _to_consent()


@pages.post(f"{HOME}/assist")
def assist() -> Response:
    """Go on in the assisted browser, in a window of its own; begin what a plan has shown."""
    if names := tuple(request.form.get("names", "").split()):
        house().repairs.begin(names)
    house().repairs.resume()
    assistance().begin()
    return _back()


@pages.post(f"{HOME}/pause")
def pause() -> Response:
    """Begin no further consent for now."""
    house().repairs.pause()
    return _back()


@pages.post(f"{HOME}/resume")
def resume() -> Response:
    """Go on after a pause."""
    house().repairs.resume()
    return _back()


@pages.post(f"{HOME}/link")
def link() -> str:
    """A one-time link to this page, for a private window."""
    url = f"{house().settings.base_url}/launch/{launch().issue(HOME)}"
    return render_template("link.html", name="the repair", path=HOME, link=url)


@pages.post(f"{HOME}/end")
def end() -> Response:
    """End the repair; what it left undone stays as it is."""
    house().repairs.end()
    browser().pop(SEEN, None)
    return redirect("/", 303)


@pages.post(f"{HOME}/<name>/skip")
def skip(name: str) -> Response:
    """Leave one connection as it was."""
    return _decided(house().repairs.skip, name)


@pages.post(f"{HOME}/<name>/accept")
def accept(name: str) -> Response:
    """Use the grant that reaches somebody else, or less, from now on."""
    return _decided(house().repairs.accept, name)


@pages.post(f"{HOME}/<name>/discard")
def discard(name: str) -> Response:
    """Give the grant that reaches somebody else back to Zoho, and ask again."""
    return _decided(house().repairs.discard, name)


@pages.post(f"{HOME}/<name>/prove")
def prove(name: str) -> Response:
    """Climb the ladder of the newest grant once more."""
    grant = connection_page.living(name)
    if grant is None:
        raise fail("no-grant", name=name)
    house().climber.submit(name, grant.generation)
    return redirect(ONWARD, 303)


def home_of(name: str, *, well: bool) -> str:
    """Where a consent for connection `name` comes home, which went `well` or did not: the repair
    that it is part of, else its page."""
    repair = house().repairs.current()
    part = repair is not None and any(each.connection == name for each in repair.lines)
    if not part:
        return f"/connections/{name}"
    return ONWARD if well else HOME


def _to_consent() -> Response:
    """To Zoho, where the next step is a consent; else to the page, which says what it is."""
    next_ = house().repairs.next_step()
    if next_ is None or next_.step is not Step.CONSENT or next_.line is None:
        return _back()
    line = next_.line
    try:
        return consent.begin(line.connection, scope=line.scope)
    except WizardError as error:
        return paint(error.failure, name=line.connection)


def _decided(act: Callable[[str], None], name: str) -> Response:
    house().store.connection(name)
    act(name)
    return _back()


def _back() -> Response:
    return redirect(HOME, 303)
