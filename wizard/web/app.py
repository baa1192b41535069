"""The Flask application: checks on every request, sessions, pages and error handlers.

Any web page open in the user's browser can send requests to a local server. So the Host header must
match exactly, which stops DNS rebinding, and a POST must come from one of our own pages.
"""

import logging
import secrets
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import flask_wtf.csrf
from flask import Flask, Response, g, redirect, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from wizard.credential_formats import short_client_id
from wizard.errors import WizardError, fail
from wizard.model import Failure
from wizard.services import Services
from wizard.timefmt import format_age, format_duration, format_time
from wizard.web import (
    approvals,
    authorization,
    clients,
    connection_page,
    connections,
    connections_file,
    consent_requests,
    diagnosis,
    help_pages,
    onboarding,
    reauthorization,
    sessions,
    socket_owner,
    status,
    view_models,
)
from wizard.web.authorization import CALLBACK_PATH
from wizard.web.connections_file import FILE_PATH
from wizard.web.context import render_error
from wizard.web.diagnosis import DIAGNOSE_PATH
from wizard.web.reauthorization import Assistance, AssistedRunFactory
from wizard.web.sessions import ElapsedSeconds, LinkTokens, SessionStore, current_session

log = logging.getLogger(__name__)
access_log = logging.getLogger("wizard.web.access")

PUBLIC_ENDPOINTS = frozenset({"sessions.open_link", "authorization.complete", "static"})
"""Answered without a session; none of them shows stored data."""
PAGE_MODULES = (
    sessions,
    connections,
    connection_page,
    onboarding,
    authorization,
    approvals,
    consent_requests,
    connections_file,
    reauthorization,
    diagnosis,
    clients,
    help_pages,
    status,
)
"""Modules with pages."""
FAILURE_CODE_OF_STATUS = {404: "page-not-found", 405: "page-wrong-method", 413: "page-too-large"}
MAX_BODY_BYTES = 64 * 1024
"""The largest form is a pasted page of the API console, a few kilobytes."""
MAX_PASTE_BYTES = 4 * 1024 * 1024
"""A paste of a million characters, form-encoded."""


def create_app(
    services: Services,
    *,
    link_tokens: LinkTokens,
    elapsed: ElapsedSeconds = time.monotonic,
    start_assist: AssistedRunFactory | None = None,
    peers: socket_owner.Peers = socket_owner.UNTOLD,
) -> Flask:
    """Create the application over `services`. `link_tokens` are the one-time links that sign a
    browser in, `start_assist` starts the assisted browser (None: not available), and `peers` finds
    the user behind a connection."""
    app = Flask(
        "wizard",
        template_folder=_resource_directory("templates"),
        static_folder=_resource_directory("static"),
    )
    # Sessions are kept in memory, so the key doesn't have to outlive the process.
    app.secret_key = secrets.token_bytes(32)
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    app.session_interface = SessionStore(f"zw_session_{services.settings.port}", elapsed)
    app.extensions.update(
        services=services,
        link_tokens=link_tokens,
        assistance=Assistance(start_assist),
        connection_assistance=Assistance(start_assist),
        peers=peers,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.finalize = view_models.sanitize_value
    app.jinja_env.filters.update(
        capped=view_models.capped,
        prose=view_models.prose,
        datetime=lambda at, **options: format_time(at, services.clock(), **options),
        short_id=short_client_id,
        duration=format_duration,
        card_tone=view_models.card_tone,
        ago=lambda at: format_age(at, services.clock()),
    )
    app.jinja_env.globals["simulator_url"] = services.settings.simulator_url
    accounts_servers = (each.accounts_server for each in services.zoho.data_centers)
    _install_guard(app, services.settings.port, accounts_servers)
    app.before_request(_require_session)
    app.before_request(authorization.refuse_foreign_continuation)
    flask_wtf.csrf.CSRFProtect(app)
    for module in PAGE_MODULES:
        app.register_blueprint(module.pages)
    app.register_error_handler(WizardError, _handle_wizard_error)
    app.register_error_handler(flask_wtf.csrf.CSRFError, _handle_csrf_error)
    app.register_error_handler(HTTPException, _handle_http_error)
    app.register_error_handler(Exception, _handle_unexpected_error)
    return app


def _resource_directory(name: str) -> str:
    """The path inside the installed package, or one level above it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / name
    return str(inside if inside.is_dir() else package.parent / name)


def _require_session() -> AnyResponse | None:
    if request.endpoint in PUBLIC_ENDPOINTS or current_session().is_signed_in:
        return None
    if request.blueprint == approvals.pages.name and current_session().approvals:
        return None
    return render_error(Failure("page-no-session"))


def _handle_wizard_error(error: WizardError) -> Response:
    return render_error(error.failure)


def _handle_csrf_error(error: flask_wtf.csrf.CSRFError) -> Response:
    return render_error(Failure("page-form-expired"))


def _handle_http_error(error: HTTPException) -> AnyResponse:
    status = error.code or 500
    if status < 400:
        return error.get_response()
    code = FAILURE_CODE_OF_STATUS.get(status, "page-bad-request")
    return render_error(fail(code).failure, status)


def _handle_unexpected_error(error: Exception) -> Response:
    number = secrets.token_hex(4)
    failure = fail("page-unforeseen", number=number).failure
    log.error("%s: unexpected error %s", failure.code, number, exc_info=error)
    return render_error(failure)


def content_security_policy(accounts_servers: Iterable[str]) -> str:
    """The content security policy.

    `form-action` includes the accounts servers because browsers apply it to redirects after a form,
    and an authorization starts with one.
    """
    origins = {f"{url.scheme}://{url.netloc}" for url in map(urlsplit, accounts_servers)}
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'; form-action 'self' {' '.join(sorted(origins))}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


def rejection_code(
    method: str,
    host: str,
    own_host: str,
    origin: str | None,
    fetch_site: str | None,
    is_navigation: bool,
) -> str | None:
    """Judge a request by its headers: the failure code, or None if it may pass.

    `fetch_site` is `Sec-Fetch-Site`; `is_navigation` is whether `Sec-Fetch-Mode` and
    `Sec-Fetch-Dest` describe the opening of a page. Older browsers send none of these; there the
    CSRF token decides.
    """
    if host != own_host:
        return "page-wrong-host"
    if method not in ("GET", "POST"):
        return "page-wrong-method"
    if method == "POST":
        if origin is not None and origin != f"http://{own_host}":
            return "page-foreign-form"
        return None if fetch_site in (None, "same-origin") else "page-foreign-form"
    return (
        None
        if fetch_site in (None, "same-origin", "none") or is_navigation
        else "page-foreign-form"
    )


def _install_guard(app: Flask, port: int, accounts_servers: Iterable[str]) -> None:
    """Add the guard to every route of `app`, including static files and unknown paths."""
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.before_request(partial(_check_request, port))
    app.after_request(partial(_finish_response, security_headers(accounts_servers)))


def _check_request(port: int) -> AnyResponse | None:
    """Reject what isn't a request of our own pages; redirect from the other loopback name."""
    g.started_at = time.monotonic()
    if request.path in (DIAGNOSE_PATH, FILE_PATH):
        request.max_content_length = request.max_form_memory_size = MAX_PASTE_BYTES
    own_host, host = f"localhost:{port}", request.environ.get("HTTP_HOST", "")
    if not request.environ.get("REQUEST_URI", "/").startswith("/"):
        host = ""  # the host of an absolute URI overrides the header (RFC 9112, 3.2.2)
    if (host, request.path, request.method) == (f"127.0.0.1:{port}", "/", "GET"):
        return redirect(f"http://{own_host}/")
    headers = request.headers
    fetch_mode_and_destination = (headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest"))
    code = rejection_code(
        request.method,
        host,
        own_host,
        headers.get("Origin"),
        headers.get("Sec-Fetch-Site"),
        fetch_mode_and_destination == ("navigate", "document"),
    )
    if code is not None:
        raise fail(code, address=f"http://{own_host}/")
    return None


def security_headers(accounts_servers: Iterable[str]) -> dict[str, str]:
    """The headers of every response."""
    return {
        "Content-Security-Policy": content_security_policy(accounts_servers),
        "X-Content-Type-Options": "nosniff",
        # With `no-referrer`, browsers send `Origin: null` with our own forms.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _finish_response(headers: Mapping[str, str], response: Response) -> Response:
    own_policy = response.headers.get("Referrer-Policy")
    response.headers.update(headers)
    if own_policy or request.path == CALLBACK_PATH:
        response.headers["Referrer-Policy"] = own_policy or "no-referrer"
    _log_request(response)
    return response


def _log_request(response: Response) -> None:
    # The rule, not the URL, which may contain a link token or an authorization code.
    rule = request.url_rule.rule if request.url_rule else "(unknown path)"
    seconds = time.monotonic() - g.get("started_at", time.monotonic())
    status, code = response.status_code, g.get("failure_code", "")
    level = logging.ERROR if status >= 500 else logging.INFO
    text = "%s %s %d %.0f ms %s"
    access_log.log(level, text, request.method, rule, status, seconds * 1000, code)
