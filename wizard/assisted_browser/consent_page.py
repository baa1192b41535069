"""A page of Zoho's sign-in and consent: what is visible, whether it is expected, the next action.
Pure, except for taking the snapshot.

The URL decides what is granted, so it must be the wizard's, at a known accounts server. The text is
checked, too: it must not name a different account or client, or more than was requested.

The rules follow Zoho's order: error page → organization step → consent → trust page → one-time code
→ captcha or push → password → login ID → announcement. Any other page is left to the user.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from wizard.assisted_browser.windows import package_text
from wizard.model import Organization
from wizard.tables import read_table
from wizard.zoho import Zoho, product, products

if TYPE_CHECKING:
    from playwright.sync_api import Page


MAX_TEXT_CHARACTERS = 20_000
"""Characters; a consent page has a few hundred."""


@dataclass(frozen=True)
class Button:
    """A visible button."""

    name: str
    is_enabled: bool


@dataclass(frozen=True)
class Field:
    """An input field, without its value."""

    kind: str
    """Its HTML type."""
    identifiers: str
    """Its ID, name and autocomplete attribute."""
    label: str


@dataclass(frozen=True)
class Choice:
    """One of several options."""

    group: str
    name: str


@dataclass(frozen=True)
class ListItem:
    """One item of a list, and its heading."""

    heading: str
    text: str


@dataclass(frozen=True)
class PageSnapshot:
    """A page at one moment. If it has fields, or is part of signing in, it has neither list items
    nor text."""

    url: str = "about:blank"
    headings: tuple[str, ...] = ()
    buttons: tuple[Button, ...] = ()
    links: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    choices: tuple[Choice, ...] = ()
    frames: tuple[str, ...] = ()
    list_items: tuple[ListItem, ...] = ()
    text: str = ""

    def has_button(self, name: str) -> bool:
        """Whether there is exactly one button of exactly that name, enabled or not."""
        return len([each for each in self.buttons if each.name == name]) == 1

    def has_enabled_button(self, name: str) -> bool:
        """Whether that button is enabled."""
        return self.has_button(name) and Button(name, True) in self.buttons

    @property
    def is_blank(self) -> bool:
        """Whether nothing is visible yet."""
        return not (self.headings or self.buttons or self.fields or self.text.strip())


def take_snapshot(page: "Page") -> PageSnapshot:
    """Take a snapshot of `page`; empty if the script reports another URL. Raises Playwright's
    ``Error`` while the page navigates, or if it is gone."""
    data = page.evaluate(package_text("page_snapshot.js"))
    return _to_snapshot(data) if is_page_url(page, data["url"]) else PageSnapshot()


def is_page_url(page: "Page", url: str) -> bool:
    """Whether the browser confirms that the page is at `url`: the snapshot script runs among the
    page's scripts, which could fake its result."""
    return page.url.partition("#")[0] == url.partition("#")[0]


def _to_snapshot(data: Mapping[str, Any]) -> PageSnapshot:
    return PageSnapshot(
        url=data["url"],
        headings=tuple(data["headings"]),
        buttons=tuple(Button(*each) for each in data["buttons"]),
        links=tuple(data["links"]),
        fields=tuple(Field(*each) for each in data["fields"]),
        choices=tuple(Choice(*each) for each in data["choices"]),
        frames=tuple(data["frames"]),
        list_items=tuple(ListItem(*each) for each in data["list_items"]),
        text=data["text"][:MAX_TEXT_CHARACTERS],
    )


_EMAIL_ADDRESS = re.compile(r"(?<![^\s()<>\[\],;:])[^\s()<>\[\],;:@]{1,64}@[\w-]+(?:\.[\w-]+)+")
"""Anchored at its start, so that the end of ``x'anna@…`` isn't read as an address. RFC 5321 allows
64 characters before the @."""
_REQUEST_PHRASES = ("would like", "wants", "is requesting", "requests", "is asking", "asks")
"""Phrases that follow a client's name in a sentence."""


@dataclass(frozen=True)
class ExpectedConsent:
    """The consent that the wizard requested."""

    url: str
    """The authorization URL."""
    zoho: Zoho
    email: str
    """Who gave the previous consent; empty if not known."""
    client_names: frozenset[str]
    """The client's known names."""
    scope: tuple[str, ...]
    organizations: tuple[Organization, ...] = ()
    """What the previous grant reached, by product."""
    can_trust_browser: bool = False
    """The browser profile is kept, so Zoho may trust it."""


@dataclass(frozen=True)
class ConsentMismatch:
    """Why a page isn't the expected consent (`code`), and the value found (`actual`)."""

    code: str
    actual: str = ""


def find_url_mismatch(snapshot: PageSnapshot, expected: ExpectedConsent) -> ConsentMismatch | None:
    """Compare the page's URL with the expected one, at any known data center."""
    base_url, _, _ = snapshot.url.partition("?")
    if base_url not in {each.authorization_endpoint for each in expected.zoho.data_centers}:
        return ConsentMismatch("elsewhere", displayed_host(snapshot.url))
    expected_query, actual_query = _query_parameters(expected.url), _query_parameters(snapshot.url)
    if any(actual_query.count(pair) != 1 for pair in expected_query):
        return ConsentMismatch("other-consent")
    repeated = [name for name, _ in actual_query if name in dict(expected_query)]
    return ConsentMismatch("other-consent") if len(repeated) > len(expected_query) else None


def find_account_mismatch(
    snapshot: PageSnapshot, expected: ExpectedConsent
) -> ConsentMismatch | None:
    """Compare the signed-in account with the expected one; a page that names none is a mismatch."""
    actual = {found.casefold() for found in _EMAIL_ADDRESS.findall(snapshot.text)}
    if not expected.email:
        return ConsentMismatch("account-new", ", ".join(sorted(actual)))
    if not actual:
        return ConsentMismatch("account-unseen")
    others = sorted(actual - {expected.email.casefold()})
    return ConsentMismatch("other-person", ", ".join(others)) if others else None


def find_client_mismatch(
    snapshot: PageSnapshot, expected: ExpectedConsent
) -> ConsentMismatch | None:
    """Check that the page names the client."""
    lines = [line.strip() for line in snapshot.text.splitlines()]
    for name in expected.client_names:
        sentences = tuple(f"{name} {verb}" for verb in _REQUEST_PHRASES)
        if any(line == name or line.startswith(sentences) for line in lines):
            return None
    return ConsentMismatch("other-client", next(iter(snapshot.headings), ""))


def find_scope_mismatch(
    snapshot: PageSnapshot, expected: ExpectedConsent
) -> ConsentMismatch | None:
    """Check that the page's text names no more than the requested scopes, as far as it is
    understood."""
    excess = [line for line in snapshot.list_items if _exceeds_scope(line, expected.scope)]
    if not excess and len(snapshot.list_items) > len(expected.scope):
        excess = list(snapshot.list_items[len(expected.scope) :])
    if not excess:
        return None
    return ConsentMismatch("wider", "; ".join(f"{each.heading}: {each.text}" for each in excess))


def displayed_host(url: str) -> str:
    """The host of a URL, as the address bar shows it."""
    return urlsplit(url).netloc or url.partition(":")[0]


def _query_parameters(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def _exceeds_scope(item: ListItem, scope: Iterable[str]) -> bool:
    """Whether a line names a product, or an operation on it, that wasn't requested."""
    services = {_short_title(each.title): each.service.casefold() for each in products()}
    service = services.get(_short_title(item.heading))
    if service is None:
        return not _operations_in_text(item.text) <= _operations_in_scope(scope)
    product_scope = [each for each in scope if each.partition(".")[0].casefold() == service]
    return not product_scope or not _operations_in_text(item.text) <= _operations_in_scope(
        product_scope
    )


def _short_title(title: str) -> str:
    return title.casefold().removeprefix("zoho").strip()


def _operations_in_text(text: str) -> set[str]:
    """The operations that a line names, other than reading."""
    folded = text.casefold()
    operations = {
        operation
        for operation, verbs in _operation_verbs().items()
        if any(re.search(rf"\b{re.escape(verb)}\b", folded) for verb in verbs)
    }
    return operations | {"create", "update", "delete"} if "all" in operations else operations


def _operations_in_scope(scope: Iterable[str]) -> set[str]:
    """The operations that scopes allow."""
    operations: set[str] = set()
    for each in scope:
        operation = each.rpartition(".")[2].casefold()
        operations |= {"create", "update", "delete", "all"} if operation == "all" else {operation}
        operations |= {"create", "update"} if operation in ("write", "create-update") else set()
    return operations


@cache
def _operation_verbs() -> Mapping[str, list[str]]:
    return read_table("assisted_browser/operation_verbs.toml")


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
