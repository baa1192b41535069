"""One visit to a page: which data centre, who is signed in, and whether it may act."""

import hmac
import tomllib
from collections.abc import Callable
from functools import cache, wraps
from importlib.resources import files
from typing import Any, cast
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Response,
    abort,
    g,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from wizard.simulator.catalog import DataCenter, data_centers
from wizard.simulator.middleware import current_world as current_world
from wizard.simulator.users import SESSION_COOKIE, Session, User, cookie_path

CSRF_HEADER = "X-ZCSRF-TOKEN"  # Zoho's own name for it; the value is the session's
UNPROTECTED_ENDPOINTS = {"pages.sign_in.page", "pages.consent.authorize"}
"""Posts that change nothing: a login id that comes along from another data centre, and an
authorization request by the wrong method."""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def current_location() -> str:
    """Return the data centre of the page's path."""
    return cast(str, g.location)


def current_data_center() -> DataCenter:
    return data_centers()[current_location()]


def current_session() -> Session | None:
    """Return the session of this browser in this data centre, signed in or not."""
    if not g.get("location"):
        return None
    return current_world().sessions.find(request.cookies.get(SESSION_COOKIE), current_location())


def signed_in_user() -> User | None:
    """Return who is signed in here."""
    found = current_session()
    person = current_world().users.by_zuid.get(found.zuid) if found and found.zuid else None
    return None if person is None or person.deactivated else person


def require_user() -> User:
    """Return who is signed in; 403 when nobody is."""
    return signed_in_user() or abort(403, "You are signed out. Sign in and try again.")


def set_session_cookie(response: AnyResponse, session: Session) -> None:
    """Name the session in a cookie of this data centre's own."""
    response.set_cookie(
        SESSION_COOKIE,
        session.session_id,
        path=cookie_path(session.location),
        httponly=True,
        samesite="Lax",
    )


def sign_in_required(view: Callable[..., Any]) -> Callable[..., Any]:
    """Send whoever is signed out to the sign-in page and bring them back afterwards."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if signed_in_user() is None and request.method == "GET":
            return redirect(sign_in_page())
        require_user()
        return view(*args, **kwargs)

    return guarded


def sign_in_page() -> str:
    """Return the sign-in page that leads back to the page asked for."""
    return url_for("pages.sign_in.page", servicename="AaaServer", serviceurl=request.url)


def safe_target(serviceurl: str) -> str:
    """Return where to go after signing in: an address of this data centre, or its home page."""
    parts = urlsplit(serviceurl)
    own = request.host_url.rstrip("/")
    absolute = bool(parts.scheme or parts.netloc)
    foreign = absolute and f"{parts.scheme}://{parts.netloc}" != own
    if foreign or not parts.path.startswith(f"/{current_location()}/") or "\\" in serviceurl:
        return url_for("pages.account.home")
    return parts.path + (f"?{parts.query}" if parts.query else "")


def location_blueprint(name: str, host: str) -> Blueprint:
    """Return a blueprint for pages at `/<data centre>/<host>`."""
    pages = Blueprint(name, name, url_prefix=f"/<location:dc>/{host}")
    pages.url_value_preprocessor(_pop_location)
    pages.url_defaults(_default_location)
    return pages


def _pop_location(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    g.location = (values or {}).pop("dc")


def _default_location(_endpoint: str, values: dict[str, Any]) -> None:
    if "location" in g:
        values.setdefault("dc", g.location)


def handle_forbidden(error: HTTPException) -> tuple[Response | str, int]:
    """Say why an act was refused: to a script as JSON, to a person as a page."""
    if request.is_json:
        return jsonify(error=error.description), 403
    page = render_template(
        "simulator/error.html", title="This could not be done", description=error.description
    )
    return page, 403


def check_post_origin() -> None:
    """Let only our own pages act: same origin, and the session's token sent back."""
    if request.method != "POST" or request.endpoint in UNPROTECTED_ENDPOINTS:
        return
    origin = request.headers.get("Origin")
    fetched_from = request.headers.get("Sec-Fetch-Site", "same-origin")
    if fetched_from != "same-origin" or origin not in (None, request.host_url.rstrip("/")):
        abort(403, "This request came from another site.")
    if not g.get("location"):
        return
    sent = request.headers.get(CSRF_HEADER) or request.form.get("csrf_token", "")
    held = current_session()
    if held is None or not hmac.compare_digest(held.csrf.encode(), sent.encode()):
        abort(403, "This page has grown old. Load it again.")


def add_security_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype in ("text/html", "application/json"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def template_context() -> dict[str, Any]:
    held = current_session()
    return {
        "asset": lambda name: url_for("pages.static", filename=name),
        "csrf_token": held.csrf if held else "",
        "dc": g.get("location"),
        "console_label": lambda known: console_label(
            known, current_world().settings.console_labels
        ),
        "user": signed_in_user(),
    }


def console_label(label: str, changed_part: str) -> str:
    """Return a label of the API console: the known one, or another where it stands in the part
    of the console that `changed` names (a choice of the setting `console_labels`)."""
    for part, others in _changed_console_labels().items():
        if changed_part in (part, "all") and label in others:
            return others[label]
    return label


@cache
def _changed_console_labels() -> dict[str, dict[str, str]]:
    text = files("wizard.simulator.pages").joinpath("console_labels.toml").read_text("utf-8")
    return tomllib.loads(text)
