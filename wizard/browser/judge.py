"""What to do on the page that is seen: a small state machine over what is visible, and pure.

The order is that of Zoho's way to a code: error page → organization step → consent → trust page →
one-time code → captcha or push → password → login id → announcement. Whatever is not surely one of
these is the person's.
"""

from collections.abc import Callable
from dataclasses import dataclass

from wizard.browser.consent import (
    Doubt,
    Wanted,
    doubt_of_account,
    doubt_of_address,
    doubt_of_client,
    doubt_of_scope,
    host_of,
)
from wizard.browser.sight import Choice, Field, Sight
from wizard.model import Organization
from wizard.zoho import product

ACCEPT, REJECT, DENY, SUBMIT, BACK = "Accept", "Reject", "Deny", "Submit", "Back to app"
NOT_NOW, TRUST = "Not now", "Trust this browser?"
SKIPS = ("Skip for now", "Remind me later")
"""How a page of announcements is put off."""


@dataclass(frozen=True)
class Wait:
    """The page is busy, or not there yet."""


@dataclass(frozen=True)
class Press:
    """Press the button, or follow the link, of exactly this name."""

    name: str


@dataclass(frozen=True)
class Choose:
    """Choose these, then press Submit."""

    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Reopen:
    """Open the wanted address again."""


@dataclass(frozen=True)
class HandOver:
    """The person's turn. `why` is a key of the words' table of hand-overs."""

    why: str
    now: str = ""
    """Who or what came in the place of the expected."""
    surely: bool = True
    """False: the page may only be on its way to another; look again before the person is told."""


@dataclass(frozen=True)
class Refused:
    """A page of Zoho's own from which nobody comes back, and what it says."""

    said: str


Move = Wait | Press | Choose | Reopen | HandOver | Refused
Rule = Callable[[Sight, Wanted], Move | None]


def judge(sight: Sight, wanted: Wanted) -> Move:
    """What to do on a page so that the wanted consent is given, and no other."""
    moves = (rule(sight, wanted) for rule in _RULES)
    return next((move for move in moves if move is not None), HandOver("unknown", surely=False))


def _nothing_yet(sight: Sight, wanted: Wanted) -> Move | None:
    return Wait() if sight.blank and not sight.url.startswith("chrome-error:") else None


def _elsewhere(sight: Sight, wanted: Wanted) -> Move | None:
    if sight.url.startswith("chrome-error:"):
        return HandOver("unreachable", surely=False)
    servers = [f"{each.accounts_server}/" for each in wanted.zoho.data_centres]
    at_zoho = sight.url.startswith(tuple(servers))
    return None if at_zoho else HandOver("elsewhere", host_of(sight.url), surely=False)


def _error_page(sight: Sight, wanted: Wanted) -> Move | None:
    if doubt_of_address(sight, wanted) or sight.buttons or sight.fields:
        return None
    return Refused(sight.text.strip())


def _organization(sight: Sight, wanted: Wanted) -> Move | None:
    if not (sight.choices and sight.shows(SUBMIT)):
        return None
    doubt = doubt_of_address(sight, wanted) or doubt_of_account(sight, wanted)
    if doubt is not None:
        return _handed(doubt)
    chosen = tuple(_remembered(group, sight, wanted) for group in _groups(sight))
    found = tuple(each for each in chosen if each is not None)
    if len(found) < len(chosen):
        return HandOver("organization", ", ".join(each.name for each in wanted.organizations))
    return Choose(found) if sight.offers(SUBMIT) else Wait()


def _consent(sight: Sight, wanted: Wanted) -> Move | None:
    if not (sight.shows(ACCEPT) and (sight.shows(REJECT) or sight.shows(DENY))):
        return None
    doubt = (
        doubt_of_address(sight, wanted)
        or doubt_of_account(sight, wanted)
        or doubt_of_client(sight, wanted)
        or doubt_of_scope(sight, wanted)
    )
    if doubt is not None:
        return _handed(doubt)
    return Press(ACCEPT) if sight.offers(ACCEPT) else Wait()


def _no_account(sight: Sight, wanted: Wanted) -> Move | None:
    if not sight.shows(BACK):
        return None
    doubt = doubt_of_address(sight, wanted) or doubt_of_account(sight, wanted)
    if doubt is not None:
        return _handed(doubt)
    return Press(BACK) if sight.offers(BACK) else Wait()


def _trust(sight: Sight, wanted: Wanted) -> Move | None:
    """A profile that is thrown away has no use for trust, and the account none for a trusted
    browser that is gone; one that is kept is the person's to trust."""
    if TRUST not in sight.headings or not sight.shows(NOT_NOW):
        return None
    return HandOver("trust") if wanted.trusts else Press(NOT_NOW)


def _one_time_code(sight: Sight, wanted: Wanted) -> Move | None:
    asked = _asks(sight, "one-time", "otp", "digit", "verification code", "passcode")
    return HandOver("one-time-code") if asked else None


def _captcha(sight: Sight, wanted: Wanted) -> Move | None:
    framed = any("captcha" in frame.casefold() for frame in sight.frames)
    return HandOver("captcha") if framed or _asks(sight, "captcha") else None


def _sign_in(sight: Sight, wanted: Wanted) -> Move | None:
    secret = any(field.kind == "password" for field in sight.fields)
    known = secret or _asks(sight, "login_id", "email address")
    return HandOver("sign-in" if wanted.email else "sign-in-new") if known else None


def _push(sight: Sight, wanted: Wanted) -> Move | None:
    """Where signing in asks for nothing that can be typed, it waits for another device."""
    signs_in = sight.url.partition("?")[0] in {
        f"{each.accounts_server}/signin" for each in wanted.zoho.data_centres
    }
    return HandOver("push", surely=False) if signs_in and not sight.fields else None


def _announcement(sight: Sight, wanted: Wanted) -> Move | None:
    """Pages that are only passed by: the account's own home leads nowhere either."""
    path = sight.url.partition("?")[0]
    if path in {f"{each.accounts_server}/home" for each in wanted.zoho.data_centres}:
        return Reopen()
    if "/announcement/" not in path and "/preannouncement/" not in path:
        return None
    skip = next((each for each in SKIPS if sight.offers(each) or each in sight.links), None)
    return Press(skip) if skip else Reopen()


_RULES: tuple[Rule, ...] = (
    _nothing_yet,
    _elsewhere,
    _error_page,
    _organization,
    _consent,
    _no_account,
    _trust,
    _one_time_code,
    _captcha,
    _push,
    _sign_in,
    _announcement,
)


def _handed(doubt: Doubt) -> HandOver:
    return HandOver(doubt.code, doubt.now)


def _asks(sight: Sight, *words: str) -> bool:
    """Whether a field is called, or labelled, by one of these words."""
    return any(word in _called(field) for field in sight.fields for word in words)


def _called(field: Field) -> str:
    return f"{field.names} {field.label}".casefold()


def _groups(sight: Sight) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.group for each in sight.choices))


def _remembered(group: str, sight: Sight, wanted: Wanted) -> Choice | None:
    """The one choice of a group that the grant before reached; None where that is not sure."""
    names = {_label(each) for each in wanted.organizations if _belongs(each, group)}
    found = [each for each in sight.choices if each.group == group and each.name in names]
    return found[0] if len(found) == 1 else None


def _belongs(organization: Organization, group: str) -> bool:
    """Whether the heading of a group of choices names the organization's product."""
    title = product(organization.product).title.removeprefix("Zoho").strip()
    return title.casefold() in group.casefold()


def _label(organization: Organization) -> str:
    return f"{organization.name} {organization.environment}".strip()
