"""The pages that create connections from a file: upload or paste, the plan, the missing secrets.

The file is kept in the session between the pages; it has no secrets. A page applies only its
clients and connections: like every page, it can't add destinations, access or commands.
"""

import secrets
from dataclasses import replace

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.connections_file.description import describe, summary
from wizard.connections_file.document import ConnectionsFile, ConnectionsFileError, parse
from wizard.connections_file.plan import ChangeKind, FilePlan
from wizard.diagnosis.rendering import explain_failure
from wizard.errors import WizardError, fail
from wizard.model import Failure
from wizard.web.authorization import REAUTHORIZE_PATH
from wizard.web.context import get_services, reads_snapshot
from wizard.web.sessions import current_session

pages = Blueprint("connections_file", __name__)

FILE_PATH = "/from-file"
FILE_TEXT = "connections_file"
"""Session key: the last file, and the key in the URL of its plan."""
TERMINAL_SECTIONS = frozenset({"programs", "deliveries"})
"""The parts of a plan that only the terminal applies."""


@pages.get(FILE_PATH)
def choose() -> str:
    """The form for the file."""
    return _form()


@pages.post(FILE_PATH)
def upload() -> Response:
    """Keep the uploaded or pasted file, and redirect to its plan; name its problems if it has
    some."""
    uploaded = request.files.get("file")
    try:
        content = uploaded.read() if uploaded else b""
        text = content.decode("utf-8-sig") or request.form.get("text", "")
        parse(text, get_services().zoho)
    except UnicodeDecodeError:
        failure = fail("connections-file-unreadable", path="It", reason="it isn’t text in UTF-8")
        return make_response(_form(failure=failure.failure), 422)
    except WizardError as error:
        problems = error.problems if isinstance(error, ConnectionsFileError) else ()
        lines = tuple(each.text for each in problems)
        return make_response(_form(text, error.failure, lines), 422)
    key = secrets.token_hex(4)
    current_session()[FILE_TEXT] = (key, text)
    return redirect(f"{FILE_PATH}/{key}", 303)


@pages.get(f"{FILE_PATH}/<key>")
@reads_snapshot
def show(key: str) -> str:
    """The plan for a file."""
    return _plan_page(key)


@pages.post(f"{FILE_PATH}/<key>")
def apply(key: str) -> Response:
    """Store the missing secrets, the clients and the connections, and go to the consents."""
    service = get_services().connections_file
    document = _for_pages(_document(key))
    plan = service.plan(document)
    try:
        for client, location in plan.missing_secrets:
            text = request.form.get(f"secret {client.client_id} {location}", "")
            service.store_secret(document, client.client_id, location, text)
    except WizardError as error:
        return make_response(_plan_page(key, error.failure), 422)
    service.store_connections(document, plan)
    service.begin_consents(plan)
    return redirect(REAUTHORIZE_PATH if plan.consents else "/", 303)


def _document(key: str) -> ConnectionsFile:
    """The file of this session with that key; raises ``page-not-found``."""
    known_key, text = current_session().get(FILE_TEXT, ("", ""))
    if key != known_key:
        raise fail("page-not-found")
    return parse(text, get_services().zoho)


def _for_pages(document: ConnectionsFile) -> ConnectionsFile:
    """What a page may apply."""
    connections = {
        name: replace(each, destinations=(), access=())
        for name, each in document.connections.items()
    }
    return replace(document, connections=connections, monitor=None)


def _form(text: str = "", failure: Failure | None = None, problems: tuple[str, ...] = ()) -> str:
    return render_template(
        "connections_file.html",
        text=text,
        explanation=explain_failure(failure, get_services().clock()) if failure else None,
        problems=problems,
        has_more_problems=failure is not None and "limit" in failure.details,
    )


def _plan_page(key: str, failure: Failure | None = None) -> str:
    plan = get_services().connections_file.plan(_document(key))
    sections = describe(plan)
    return render_template(
        "connections_file_plan.html",
        path=f"{FILE_PATH}/{key}",
        plan=plan,
        sections=sections,
        summary=summary(plan),
        button=_button(plan),
        has_terminal_part=any(each.code in TERMINAL_SECTIONS for each in sections),
        explanation=explain_failure(failure, get_services().clock()) if failure else None,
    )


def _button(plan: FilePlan) -> str:
    """The label of the button; empty if there is nothing that a page applies."""
    count = sum(each.kind is ChangeKind.ADD for each in plan.connections)
    if count:
        return f"Create {count} connection{'' if count == 1 else 's'}"
    if plan.consents:
        return "Continue to the consents"
    return "Apply the changes" if plan.connections or plan.clients else ""
