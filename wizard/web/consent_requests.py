"""Requests to the owners of other accounts: messages with links to forward, and what comes back."""

import secrets
from collections.abc import Mapping, Sequence
from itertools import groupby

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.authorization import StartedAttempt
from wizard.diagnosis.rendering import explain_failure
from wizard.errors import WizardError, fail
from wizard.model import AttemptMode, Explanation
from wizard.web.authorization import return_url
from wizard.web.context import get_services
from wizard.web.sessions import current_session

pages = Blueprint("consent_requests", __name__)

REQUESTS_PATH = "/consent-requests"
CREATED_MESSAGES = "created_messages"
"""Session key: the messages by the key in the URL of their page, which a reload shows again."""


@pages.get(REQUESTS_PATH)
def show() -> str:
    """The messages that were created, and the form for what the account owner sends back."""
    messages, explanation = (
        current_session().get(CREATED_MESSAGES, {}).get(request.args.get("created"), ([], None))
    )
    return _page(messages, explanation)


@pages.post(REQUESTS_PATH)
def request_consents() -> Response:
    """Create what to forward for the connections in `names`."""
    return create(request.form.get("names", "").split())


def create(names: Sequence[str]) -> Response:
    """Begin the authorizations of connections, and redirect to what to forward: one message for
    each account. As many as the rate limit allows now; the page says what failed."""
    if not names:
        raise fail("page-bad-request")
    started: list[tuple[str, StartedAttempt]] = []
    explanation = None
    for name in names:
        try:
            started.append((_email_of(name), _begin(name)))
        except WizardError as error:
            explanation = get_services().diagnosis.explain(name, error.failure)
            break
    messages: list[Mapping[str, str | int]] = []
    started.sort(key=lambda each: (each[0], each[1].attempt.location, each[1].attempt.client_id))
    for email, group in groupby(started, key=lambda each: each[0]):
        attempts = [attempt for _, attempt in group]
        text = get_services().authorization.request_message(attempts, email)
        messages.append({"email": email, "text": text.strip(), "count": len(attempts)})
    key = secrets.token_hex(4)
    current_session().setdefault(CREATED_MESSAGES, {})[key] = (messages, explanation)
    return redirect(f"{REQUESTS_PATH}?created={key}", 303)


@pages.post(f"{REQUESTS_PATH}/response")
def complete() -> Response:
    """Complete the authorization with the URL that came back, and show its connection."""
    try:
        completed = get_services().authorization.complete_forwarded(request.form.get("url", ""))
    except WizardError as error:
        explanation = explain_failure(error.failure, get_services().clock())
        return make_response(_page(explanation=explanation), 422)
    if completed.generation is not None:
        get_services().verification_worker.submit(completed.connection, completed.generation)
    return redirect(return_url(completed.connection, is_success=completed.failure is None), 303)


def _begin(name: str) -> StartedAttempt:
    """Begin a forwarded authorization, with the scopes that a re-authorization adds."""
    current = get_services().reauthorization.current()
    scopes = {each.connection: each.additional_scope for each in current.items} if current else {}
    return get_services().authorization.begin(
        name, AttemptMode.FORWARDED, additional_scope=scopes.get(name, ())
    )


def _email_of(name: str) -> str:
    """The account that must sign in: of the re-authorization, else of the connection."""
    current = get_services().reauthorization.current()
    emails = {each.connection: each.email for each in current.items} if current else {}
    return emails.get(name) or get_services().authorization.expected_email(name)


def _page(
    messages: Sequence[Mapping[str, str | int]] = (), explanation: Explanation | None = None
) -> str:
    return render_template("consent_requests.html", messages=messages, explanation=explanation)
