"""The paste box for a client's id and secret, and what is kept of a paste when its form fails.

A secret never goes back into a page. What was pasted stays in the memory of the browser's session
until the form succeeds, so that a taken name or a rate limit costs nobody a second paste.
"""

from dataclasses import dataclass, field
from secrets import token_urlsafe

from flask import request

from wizard.clients import Credentials, parse_credentials, parse_secret
from wizard.errors import WizardError
from wizard.model import Failure, FailureKind
from wizard.web.sessions import current_session

KEPT = "pasted"
"""In the session: form → what was pasted into it last, while it has not succeeded."""

MAX_KEPT = 4
"""Forms of a session for which a paste is kept, the newest ones."""

DIFFERS = "secret-differs"


@dataclass(frozen=True)
class Box:
    """What a page shows of the paste box after a failure; never a secret."""

    client_id: str = ""
    """The id that need not be pasted again; empty where none was understood."""
    has_secret: bool = False
    """The secret that was pasted with it is kept, too."""
    understood: tuple[str, ...] = ()
    offers: bool = False
    """Zoho accepts the kept secret, which differs from the stored one: it can be used instead."""
    form_id: str = field(default_factory=lambda: token_urlsafe(8))
    """Names the form, so that two tabs keep apart what was pasted into each."""


@dataclass(frozen=True)
class Kept:
    """What was pasted into one form."""

    credentials: Credentials
    offers: bool
    """See `Box`."""


def filled() -> bool:
    """Whether something was pasted into the box of the form that was sent."""
    return bool(_text())


def pasted() -> Credentials:
    """What stands in the box of the form, completed by what was kept for it.

    Raises as `parse_credentials` does.
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
    """Whether the person accepted the offer to use the kept secret as the client's new one. What
    stands in the box is another paste, which nobody has seen an offer for."""
    return "replace" in request.form and not filled()


def keep(failure: Failure) -> Box:
    """Keep what was pasted as far as `failure` allows; what the page may show of it. A paste that
    is refused or not understood leaves what was kept for its form before."""
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
    """Keep nothing for this form: its client is settled."""
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
    """What was read from a paste; never a secret."""
    length = len(credentials.client_secret)
    read = (f"the client ID {credentials.client_id}", f"a secret of {length} characters")
    return (*read, *credentials.notes)


def _text() -> str:
    return request.form.get("credentials", "").strip()
