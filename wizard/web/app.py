"""The application: guard, sessions, pages and the painters of what goes wrong."""

import logging
import secrets
import time
from pathlib import Path

import flask_wtf.csrf
from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from wizard.errors import WizardError, fail
from wizard.house import House
from wizard.model import Failure
from wizard.web import (
    callback,
    clients,
    connections,
    destinations,
    diagnose,
    door,
    guard,
    onboarding,
    password_change,
    peer,
    presenter,
    repair,
    status,
    widening,
)
from wizard.web.assistance import Assistance, Start
from wizard.web.findings import paint
from wizard.web.sessions import Elapsed, LaunchTokens, Sessions, browser

log = logging.getLogger(__name__)

OPEN_TO_ALL = frozenset({"door.launch", "callback.complete", "static"})
"""What answers without a session; none of it shows anything that is stored."""
ROOMS = (
    door,
    connections,
    destinations,
    onboarding,
    widening,
    callback,
    repair,
    password_change,
    clients,
    diagnose,
    status,
)
"""Whatever has pages."""
CODE_OF_STATUS = {404: "page-not-found", 405: "page-wrong-method", 413: "page-too-large"}


def create_app(
    house: House,
    *,
    launch: LaunchTokens,
    elapsed: Elapsed = time.monotonic,
    assist: Start | None = None,
    peers: peer.Peers = peer.UNTOLD,
) -> Flask:
    """The pages of `house`. `launch` holds the one-time links that sign a browser in; `assist`
    starts the assisted browser where there can be one; `peers` is what the server knows of its
    clients."""
    app = Flask(
        "wizard", template_folder=_directory("templates"), static_folder=_directory("static")
    )
    # Sessions are kept in memory, so what is signed with this key need not outlive the process.
    app.secret_key = secrets.token_bytes(32)
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    app.session_interface = Sessions(f"zw_session_{house.settings.port}", elapsed)
    app.extensions.update(house=house, launch=launch, assistance=Assistance(assist), peers=peers)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.finalize = presenter.visible
    app.jinja_env.filters.update(
        capped=presenter.capped,
        moment=presenter.moment,
        shortened=presenter.shortened,
        ago=lambda at: presenter.ago(at, house.clock()),
    )
    app.jinja_env.globals["sandbox_url"] = house.settings.sandbox_url
    accounts_servers = (each.accounts_server for each in house.zoho.data_centres)
    guard.install(app, house.settings.port, accounts_servers)
    app.before_request(_demand_session)
    flask_wtf.csrf.CSRFProtect(app)
    for room in ROOMS:
        app.register_blueprint(room.pages)
    app.register_error_handler(WizardError, _explained)
    app.register_error_handler(flask_wtf.csrf.CSRFError, _form_expired)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unforeseen)
    return app


def _directory(name: str) -> str:
    """Inside the installed package, or one level above it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / name
    return str(inside if inside.is_dir() else package.parent / name)


def _demand_session() -> AnyResponse | None:
    if request.endpoint in OPEN_TO_ALL or browser().signed_in:
        return None
    return paint(Failure("page-no-session"))


def _explained(error: WizardError) -> Response:
    return paint(error.failure)


def _form_expired(error: flask_wtf.csrf.CSRFError) -> Response:
    return paint(Failure("page-form-expired"))


def _http_error(error: HTTPException) -> AnyResponse:
    status = error.code or 500
    if status < 400:
        return error.get_response()
    code = CODE_OF_STATUS.get(status, "page-bad-request")
    return paint(fail(code).failure, status)


def _unforeseen(error: Exception) -> Response:
    number = secrets.token_hex(4)
    current_app.logger.error("unforeseen error %s", number, exc_info=error)
    return paint(fail("page-unforeseen", number=number).failure)
