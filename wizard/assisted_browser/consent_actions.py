"""What to do on the page that is seen: a small state machine over what is visible, and pure.

The order is that of Zoho's way to a code: error page → organization step → consent → trust page →
one-time code → captcha or push → password → login id → announcement. Whatever is not surely one of
these is the person's.
"""

from collections.abc import Callable
from dataclasses import dataclass

from wizard.assisted_browser.consent_checks import (
    ConsentMismatch,
    ExpectedConsent,
    displayed_host,
    find_account_mismatch,
    find_client_mismatch,
    find_scope_mismatch,
    find_url_mismatch,
)
from wizard.assisted_browser.page_snapshot import Choice, Field, PageSnapshot
from wizard.model import Organization
from wizard.zoho import product

ACCEPT, REJECT, DENY, SUBMIT, BACK_TO_APP = "Accept", "Reject", "Deny", "Submit", "Back to app"
NOT_NOW, TRUST_HEADING = "Not now", "Trust this browser?"
SKIP_LABELS = ("Skip for now", "Remind me later")
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
class PromptUser:
    """The person's turn. `why` is a key of the words' table of hand-overs."""

    reason: str
    actual: str = ""
    """Who or what came in the place of the expected."""
    is_certain: bool = True
    """False: the page may only be on its way to another; look again before the person is told."""


@dataclass(frozen=True)
class ErrorPage:
    """A page of Zoho's own from which nobody comes back, and what it says."""

    text: str


ConsentAction = Wait | Press | Choose | Reopen | PromptUser | ErrorPage
Rule = Callable[[PageSnapshot, ExpectedConsent], ConsentAction | None]


def next_consent_action(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction:
    """What to do on a page so that the wanted consent is given, and no other."""
    actions = (rule(snapshot, expected) for rule in _RULES)
    return next(
        (move for move in actions if move is not None), PromptUser("unknown", is_certain=False)
    )


def _blank_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    return Wait() if snapshot.is_blank and not snapshot.url.startswith("chrome-error:") else None


def _other_site(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    if snapshot.url.startswith("chrome-error:"):
        return PromptUser("unreachable", is_certain=False)
    servers = [f"{each.accounts_server}/" for each in expected.zoho.data_centers]
    is_accounts_server = snapshot.url.startswith(tuple(servers))
    return (
        None
        if is_accounts_server
        else PromptUser("elsewhere", displayed_host(snapshot.url), is_certain=False)
    )


def _error_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    if find_url_mismatch(snapshot, expected) or snapshot.buttons or snapshot.fields:
        return None
    return ErrorPage(snapshot.text.strip())


def _organization_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    if not (snapshot.choices and snapshot.has_button(SUBMIT)):
        return None
    mismatch = find_url_mismatch(snapshot, expected) or find_account_mismatch(snapshot, expected)
    if mismatch is not None:
        return _prompt_for(mismatch)
    candidates = tuple(
        _previous_choice(group, snapshot, expected) for group in _choice_groups(snapshot)
    )
    choices = tuple(each for each in candidates if each is not None)
    if len(choices) < len(candidates):
        return PromptUser("organization", ", ".join(each.name for each in expected.organizations))
    return Choose(choices) if snapshot.has_enabled_button(SUBMIT) else Wait()


def _consent_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    if not (
        snapshot.has_button(ACCEPT) and (snapshot.has_button(REJECT) or snapshot.has_button(DENY))
    ):
        return None
    mismatch = (
        find_url_mismatch(snapshot, expected)
        or find_account_mismatch(snapshot, expected)
        or find_client_mismatch(snapshot, expected)
        or find_scope_mismatch(snapshot, expected)
    )
    if mismatch is not None:
        return _prompt_for(mismatch)
    return Press(ACCEPT) if snapshot.has_enabled_button(ACCEPT) else Wait()


def _no_account_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    if not snapshot.has_button(BACK_TO_APP):
        return None
    mismatch = find_url_mismatch(snapshot, expected) or find_account_mismatch(snapshot, expected)
    if mismatch is not None:
        return _prompt_for(mismatch)
    return Press(BACK_TO_APP) if snapshot.has_enabled_button(BACK_TO_APP) else Wait()


def _trust_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    """A profile that is thrown away has no use for trust, and the account none for a trusted
    browser that is gone; one that is kept is the person's to trust."""
    if TRUST_HEADING not in snapshot.headings or not snapshot.has_button(NOT_NOW):
        return None
    return PromptUser("trust") if expected.can_trust_browser else Press(NOT_NOW)


def _one_time_code_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    is_requested = _has_field(snapshot, "one-time", "otp", "digit", "verification code", "passcode")
    return PromptUser("one-time-code") if is_requested else None


def _captcha_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    is_framed = any("captcha" in frame.casefold() for frame in snapshot.frames)
    return PromptUser("captcha") if is_framed or _has_field(snapshot, "captcha") else None


def _sign_in_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    has_password_field = any(field.kind == "password" for field in snapshot.fields)
    is_sign_in = has_password_field or _has_field(snapshot, "login_id", "email address")
    return PromptUser("sign-in" if expected.email else "sign-in-new") if is_sign_in else None


def _push_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    """Where signing in asks for nothing that can be typed, it waits for another device."""
    is_sign_in = snapshot.url.partition("?")[0] in {
        f"{each.accounts_server}/signin" for each in expected.zoho.data_centers
    }
    return PromptUser("push", is_certain=False) if is_sign_in and not snapshot.fields else None


def _announcement_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    """Pages that are only passed by: the account's own home leads nowhere either."""
    path = snapshot.url.partition("?")[0]
    if path in {f"{each.accounts_server}/home" for each in expected.zoho.data_centers}:
        return Reopen()
    if "/announcement/" not in path and "/preannouncement/" not in path:
        return None
    skip = next(
        (
            each
            for each in SKIP_LABELS
            if snapshot.has_enabled_button(each) or each in snapshot.links
        ),
        None,
    )
    return Press(skip) if skip else Reopen()


_RULES: tuple[Rule, ...] = (
    _blank_page,
    _other_site,
    _error_page,
    _organization_page,
    _consent_page,
    _no_account_page,
    _trust_page,
    _one_time_code_page,
    _captcha_page,
    _push_page,
    _sign_in_page,
    _announcement_page,
)


def _prompt_for(mismatch: ConsentMismatch) -> PromptUser:
    return PromptUser(mismatch.code, mismatch.actual)


def _has_field(snapshot: PageSnapshot, *words: str) -> bool:
    """Whether a field is called, or labelled, by one of these words."""
    return any(word in _field_text(field) for field in snapshot.fields for word in words)


def _field_text(field: Field) -> str:
    return f"{field.identifiers} {field.label}".casefold()


def _choice_groups(snapshot: PageSnapshot) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.group for each in snapshot.choices))


def _previous_choice(
    group: str, snapshot: PageSnapshot, expected: ExpectedConsent
) -> Choice | None:
    """The one choice of a group that the grant before reached; None where that is not sure."""
    names = {
        _organization_label(each) for each in expected.organizations if _is_in_group(each, group)
    }
    matching = [each for each in snapshot.choices if each.group == group and each.name in names]
    return matching[0] if len(matching) == 1 else None


def _is_in_group(organization: Organization, group: str) -> bool:
    """Whether the heading of a group of choices names the organization's product."""
    title = product(organization.product).title.removeprefix("Zoho").strip()
    return title.casefold() in group.casefold()


def _organization_label(organization: Organization) -> str:
    return f"{organization.name} {organization.environment}".strip()
