"""Choose the next action on a page of Zoho's sign-in and consent. Pure.

The rules follow Zoho's order: error page → organization step → consent → trust page → one-time code
→ captcha or push → password → login ID → announcement. Any other page is left to the user.
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
"""The buttons that skip an announcement."""


@dataclass(frozen=True)
class Wait:
    """The page is busy, or hasn't loaded yet."""


@dataclass(frozen=True)
class Press:
    """Press the button, or follow the link, of exactly this name."""

    name: str


@dataclass(frozen=True)
class Choose:
    """Select these choices, then press Submit."""

    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Reopen:
    """Open the authorization URL again."""


@dataclass(frozen=True)
class PromptUser:
    """The user has to act. `reason` is a key of the message table `user-prompts`."""

    reason: str
    actual: str = ""
    """The value found instead of the expected one."""
    is_certain: bool = True
    """False: the page may be about to change; look again before prompting."""


@dataclass(frozen=True)
class ErrorPage:
    """An error page of Zoho without a way back, and its text."""

    text: str


ConsentAction = Wait | Press | Choose | Reopen | PromptUser | ErrorPage
Rule = Callable[[PageSnapshot, ExpectedConsent], ConsentAction | None]


def next_consent_action(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction:
    """The action that leads to the expected consent, and no other."""
    actions = (rule(snapshot, expected) for rule in _RULES)
    return next(
        (action for action in actions if action is not None),
        PromptUser("unknown", is_certain=False),
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
    """A temporary profile declines trust; for one that is kept, the user decides."""
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
    """A sign-in page without fields waits for another device."""
    is_sign_in = snapshot.url.partition("?")[0] in {
        f"{each.accounts_server}/signin" for each in expected.zoho.data_centers
    }
    return PromptUser("push", is_certain=False) if is_sign_in and not snapshot.fields else None


def _announcement_page(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentAction | None:
    """Pages to skip; the account's home page leads nowhere either."""
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
    """Whether the name or label of a field contains one of these words."""
    return any(word in _field_text(field) for field in snapshot.fields for word in words)


def _field_text(field: Field) -> str:
    return f"{field.identifiers} {field.label}".casefold()


def _choice_groups(snapshot: PageSnapshot) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.group for each in snapshot.choices))


def _previous_choice(
    group: str, snapshot: PageSnapshot, expected: ExpectedConsent
) -> Choice | None:
    """The only choice of a group that the previous grant reached; None if that isn't certain."""
    names = {
        _organization_label(each) for each in expected.organizations if _is_in_group(each, group)
    }
    matching = [each for each in snapshot.choices if each.group == group and each.name in names]
    return matching[0] if len(matching) == 1 else None


def _is_in_group(organization: Organization, group: str) -> bool:
    """Whether a group's heading names the organization's product."""
    title = product(organization.product).title.removeprefix("Zoho").strip()
    return title.casefold() in group.casefold()


def _organization_label(organization: Organization) -> str:
    return f"{organization.name} {organization.environment}".strip()
