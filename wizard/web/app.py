"""The Flask application: guard, sessions, pages and error handlers."""

import logging
import secrets
import time
from pathlib import Path

import flask_wtf.csrf
from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from wizard.credential_formats import short_client_id
from wizard.errors import WizardError, fail
from wizard.model import Failure
from wizard.services import Services
from wizard.timefmt import format_age, format_duration, format_time
from wizard.web import (
    authorization,
    clients,
    connections,
    destinations,
    diagnose,
    guard,
    onboarding,
    password_change,
    reauthorization,
    sessions,
    socket_owner,
    status,
    view_models,
)
from wizard.web.assistance import Assistance, AssistedRunFactory
from wizard.web.context import render_error
from wizard.web.sessions import ElapsedSeconds, LinkTokens, SessionStore, current_session

log = logging.getLogger(__name__)

PUBLIC_ENDPOINTS = frozenset({"sessions.open_link", "authorization.complete", "static"})
"""Answered without a session; none of them shows stored data."""
PAGE_MODULES = (
    sessions,
    connections,
    destinations,
    onboarding,
    authorization,
    reauthorization,
    password_change,
    clients,
    diagnose,
    status,
)
"""Modules with pages."""
FAILURE_CODE_OF_STATUS = {404: "page-not-found", 405: "page-wrong-method", 413: "page-too-large"}


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
        services=services, link_tokens=link_tokens, assistance=Assistance(start_assist), peers=peers
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.finalize = view_models.sanitize_value
    app.jinja_env.filters.update(
        capped=view_models.capped,
        datetime=lambda at, **options: format_time(at, services.clock(), **options),
        short_id=short_client_id,
        duration=format_duration,
        ago=lambda at: format_age(at, services.clock()),
    )
    app.jinja_env.globals["simulator_url"] = services.settings.simulator_url
    accounts_servers = (each.accounts_server for each in services.zoho.data_centers)
    guard.install(app, services.settings.port, accounts_servers)
    app.before_request(_require_session)
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
    current_app.logger.error("unforeseen error %s", number, exc_info=error)
    return render_error(fail("page-unforeseen", number=number).failure)
