"""The paste box for a client's id and secret, and what is kept of a paste when its form fails.

A secret never goes back into a page. What was pasted stays in the memory of the browser's session
until the form succeeds, so that a taken name or a rate limit costs nobody a second paste.
"""

from dataclasses import dataclass

from flask import request

from wizard.clients import Credentials, parse_credentials, parse_secret
from wizard.errors import WizardError
from wizard.model import Failure
from wizard.web.sessions import current_session

KEPT = "pasted"
"""In the session: the credentials that were pasted last, while their form has not succeeded."""

REFUSED = frozenset(
    {"wrong-secret", "missing-secret", "client-unknown-everywhere", "client-deleted"}
)
"""Failures that are about the pair itself: its secret is not worth keeping."""

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


def filled() -> bool:
    """Whether something was pasted into the box of the form that was sent."""
    return bool(_text())


def pasted() -> Credentials:
    """What stands in the box of the form, completed by what was kept for it.

    Raises as `parse_credentials` does.
    """
    text, kept, client_id = _text(), current_session().get(KEPT), request.form.get("kept", "")
    if isinstance(kept, Credentials) and kept.client_id == client_id and not text:
        return kept
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
    """Keep what was pasted as far as `failure` allows; what the page may show of it."""
    try:
        credentials = pasted()
    except WizardError as error:
        told = error.failure.details.get("client_id")
        return Box(told or request.form.get("kept", ""))
    finally:
        forget()
    if failure.code in REFUSED:
        return Box(credentials.client_id, understood=understood(credentials))
    current_session()[KEPT] = credentials
    offers = failure.code == DIFFERS
    return Box(credentials.client_id, True, understood(credentials), offers)


def forget() -> None:
    """Keep nothing: the client is settled."""
    current_session().pop(KEPT, None)


def understood(credentials: Credentials) -> tuple[str, ...]:
    """What was read from a paste; never a secret."""
    length = len(credentials.client_secret)
    read = (f"the client ID {credentials.client_id}", f"a secret of {length} characters")
    return (*read, *credentials.notes)


def _text() -> str:
    return request.form.get("credentials", "").strip()
