"""The paste box for a client's ID and secret, and the paste that is kept if its form fails.

A secret is never sent back in a page. It stays in the memory of the session until the form
succeeds, so that a taken name or a rate limit requires no second paste.
"""

from dataclasses import dataclass, field
from secrets import token_urlsafe

from flask import request

from wizard.clients import Credentials, parse_credentials, parse_secret
from wizard.errors import WizardError
from wizard.model import Failure, FailureKind
from wizard.web.sessions import current_session

KEPT = "pasted"
"""Session key: by form, what was last pasted into it."""

MAX_KEPT = 4
"""Forms per session for which a paste is kept, the newest ones."""

DIFFERS = "secret-differs"


@dataclass(frozen=True)
class Box:
    """What a page shows of the paste box after a failure; never a secret."""

    client_id: str = ""
    """The ID that is kept; empty if none was recognized."""
    has_secret: bool = False
    """The pasted secret is kept, too."""
    understood: tuple[str, ...] = ()
    offers: bool = False
    """Zoho accepts the kept secret, which differs from the stored one: it can replace it."""
    form_id: str = field(default_factory=lambda: token_urlsafe(8))
    """Tells apart the forms of two tabs."""


@dataclass(frozen=True)
class Kept:
    """What was pasted into one form."""

    credentials: Credentials
    offers: bool
    """See `Box`."""


def filled() -> bool:
    """Whether something was pasted into the submitted box."""
    return bool(_text())


def pasted() -> Credentials:
    """The pasted credentials, completed by what was kept for the form.

    Raises what `parse_credentials` raises.
    """
    text, kept, client_id = _text(), _kept(), request.form.get("kept", "")
    if kept and kept.credentials.client_id == client_id and not text:
        return kept.credentials
    try:
        return parse_credentials(text)
    except WizardError as error:
        if error.failure.code != "credentials-missing-id" or not client_id:
            raise
        return Credentials(client_id, parse_secret(text, client_id))


def accepts_new_secret() -> bool:
    """Whether the user agreed to store the kept secret as the client's new one. Agreement to an
    earlier offer doesn't cover another paste."""
    return "replace" in request.form and not filled()


def keep(failure: Failure) -> Box:
    """Keep the paste if `failure` allows it; return what the page may show. A paste that is refused
    or can't be parsed leaves the one kept before."""
    before, fallback = _kept(), request.form.get("kept", "")
    try:
        credentials = pasted()
    except WizardError as error:
        return (
            _box(before)
            if before
            else Box(error.failure.details.get("client_id") or fallback, form_id=_form_id())
        )
    if _is_pair_rejected(failure):
        if before and before.credentials != credentials:
            return _box(before)
        forget()
        read = understood(credentials)
        return Box(credentials.client_id, understood=read, form_id=_form_id())
    kept = Kept(credentials, failure.code == DIFFERS)
    forget()
    slots = current_session().setdefault(KEPT, {})
    slots[_form_id()] = kept
    for oldest in list(slots)[:-MAX_KEPT]:
        del slots[oldest]
    return _box(kept)


def _is_pair_rejected(failure: Failure) -> bool:
    """Whether the client or its secret is wrong, so that the secret isn't worth keeping."""
    return failure.kind is FailureKind.CLIENT and failure.code != "multi-dc-off"


def forget() -> None:
    """Drop the paste of this form."""
    current_session().get(KEPT, {}).pop(_form_id(), None)


def _kept() -> Kept | None:
    found = current_session().get(KEPT, {}).get(_form_id())
    return found if isinstance(found, Kept) else None


def _form_id() -> str:
    return request.form.get("paste_form", "")[:32]


def _box(kept: Kept) -> Box:
    read = understood(kept.credentials)
    return Box(kept.credentials.client_id, True, read, kept.offers, _form_id())


def understood(credentials: Credentials) -> tuple[str, ...]:
    """What was read from a paste, for people; never a secret."""
    length = len(credentials.client_secret)
    read = (f"the client ID {credentials.client_id}", f"a secret of {length} characters")
    return (*read, *credentials.notes)


def _text() -> str:
    return request.form.get("credentials", "").strip()
