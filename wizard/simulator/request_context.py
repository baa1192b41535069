"""What views share: world, data center, session and user of a request, and the checks of pages."""

import hmac
import json
import threading
import tomllib
from collections.abc import Callable, Iterable
from functools import cache, wraps
from importlib.resources import files
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

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

from wizard.simulator.catalog import data_centers
from wizard.simulator.host_names import CONTROLS, is_asked_by_real_name, route_of, url_of
from wizard.simulator.users import SESSION_COOKIE, Session, User
from wizard.simulator.world import World

JSON = "application/json;charset=UTF-8"
_WORLD_KEY, _STOP_EVENT_KEY = "zoho_simulator.world", "zoho_simulator.stop_event"
CSRF_HEADER = "X-ZCSRF-TOKEN"  # the header that Zoho uses
UNPROTECTED_ENDPOINTS = {"pages.account.sign_in", "pages.consent.authorize"}
"""Posts that change nothing: a sign-in that continues from another data center, and an
authorization request with the wrong method.
"""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def bind_world(environ: dict[str, Any], world: World, stop_event: threading.Event) -> None:
    """Assign a WSGI request to `world`. Setting `stop_event` ends delayed responses."""
    environ.update({_WORLD_KEY: world, _STOP_EVENT_KEY: stop_event})


def current_world() -> World:
    """Return the world of the current request."""
    return cast(World, request.environ[_WORLD_KEY])


def current_stop_event() -> threading.Event:
    """Return the event that is set when the server of the current request stops."""
    return cast(threading.Event, request.environ[_STOP_EVENT_KEY])


def current_location() -> str:
    """Return the data center in the page's path."""
    return cast(str, g.location)


def current_session() -> Session | None:
    """Return the session of this browser in this data center, signed in or not."""
    if not g.get("location"):
        return None
    return current_world().sessions.find(request.cookies.get(SESSION_COOKIE), current_location())


def signed_in_user() -> User | None:
    """Return the user who is signed in, if any."""
    session = current_session()
    user = current_world().users.by_zuid.get(session.zuid or 0) if session else None
    return None if user is None or user.deactivated else user


def require_user() -> User:
    """Return the user who is signed in; 403 if there is none."""
    return signed_in_user() or abort(403, "You are signed out. Sign in and try again.")


def set_session_cookie(response: AnyResponse, session: Session) -> None:
    """Set the session's cookie for its data center."""
    response.set_cookie(
        SESSION_COOKIE,
        session.session_id,
        **cookie_scope(session.location),
        httponly=True,
        samesite="Lax",
    )


def cookie_scope(location: str) -> dict[str, Any]:
    """Return where a data center's cookies are sent: to its accounts server and its console."""
    if is_asked_by_real_name():
        return {"path": "/", "domain": data_centers()[location].domain, "secure": True}
    return {"path": f"/{location}/"}


def sign_in_required(view: Callable[..., Any]) -> Callable[..., Any]:
    """Redirect to the sign-in page, and back afterward, if no user is signed in."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if signed_in_user() is None and request.method == "GET":
            return redirect(sign_in_page())
        require_user()
        return view(*args, **kwargs)

    return wrapper


def sign_in_page() -> str:
    """Return the URL of the sign-in page, which leads back to the current page."""
    return url_for("pages.account.sign_in", servicename="AaaServer", serviceurl=request.url)


def safe_target(serviceurl: str) -> str:
    """Return where to go after signing in: a URL of this data center, or its home page."""
    route = _route_of_page(serviceurl)
    if not route.startswith(f"/{current_location()}/") or "\\" in serviceurl:
        return url_for("pages.account.home")
    return url_of(route, request.host)


def same_page_at(target: str, location: str) -> str:
    """Return the URL of a page of this data center, such as `safe_target` returns, in another."""
    _, _, rest = _route_of_page(target).removeprefix("/").partition("/")
    return url_of(f"/{location}/{rest}", request.host)


def _route_of_page(url: str) -> str:
    """Return the route, with the query, of a URL that may be relative; "" if it leads elsewhere."""
    if is_asked_by_real_name():
        return route_of(urljoin(request.url, url)) or ""
    parts = urlsplit(url)
    is_absolute = bool(parts.scheme or parts.netloc)
    if is_absolute and f"{parts.scheme}://{parts.netloc}" != request.host_url.rstrip("/"):
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def location_blueprint(name: str, host: str) -> Blueprint:
    """Return a blueprint for pages at `/<location>/<host>`."""
    pages = Blueprint(name, name, url_prefix=f"/<location:location>/{host}")
    pages.url_value_preprocessor(_pop_location)
    pages.url_defaults(_default_location)
    return pages


def _pop_location(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    g.location = (values or {}).pop("location")


def _default_location(_endpoint: str, values: dict[str, Any]) -> None:
    if "location" in g:
        values.setdefault("location", g.location)


def handle_forbidden(error: HTTPException) -> tuple[Response | str, int]:
    """Return a 403 as JSON to a script, else as a page."""
    if request.is_json:
        return jsonify(error=error.description), 403
    page = render_template(
        "simulator/error.html", title="That didn’t work", description=error.description
    )
    return page, 403


def check_post_origin() -> None:
    """Accept posts only from our own pages: same origin, with the session's token."""
    if request.method != "POST" or request.endpoint in UNPROTECTED_ENDPOINTS:
        return
    origin = request.headers.get("Origin")
    fetched_from = request.headers.get("Sec-Fetch-Site", "same-origin")
    if fetched_from != "same-origin" or origin not in (None, request.host_url.rstrip("/")):
        abort(403, "This request came from another site.")
    if not g.get("location"):
        return
    sent = request.headers.get(CSRF_HEADER) or request.form.get("csrf_token", "")
    session = current_session()
    if session is None or not hmac.compare_digest(session.csrf.encode(), sent.encode()):
        abort(403, "This page has expired. Reload it.")


def add_security_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if is_asked_by_real_name():
        # A sign-in continues by a form at the accounts server of the account's data center.
        servers = " ".join(current_world().accounts_server(each) for each in data_centers())
        name = "Content-Security-Policy"
        response.headers[name] = _HEADERS[name].replace("form-action", f"form-action {servers}")
    if response.mimetype in ("text/html", "application/json"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def template_context() -> dict[str, Any]:
    session = current_session()
    return {
        "asset": lambda name: url_for("pages.static", filename=name),
        "admin_url": (current_world().origin if is_asked_by_real_name() else "") + CONTROLS,
        "csrf_token": session.csrf if session else "",
        "location": g.get("location"),
        "console_label": lambda label: console_label(
            label, current_world().settings.console_labels
        ),
        "user": signed_in_user(),
    }


def console_label(label: str, changed_part: str) -> str:
    """Return a label of the API console, or its replacement in the part `changed_part`.

    `changed_part` is a value of the setting `console_labels`.
    """
    for part, others in _changed_console_labels().items():
        if changed_part in (part, "all") and label in others:
            return others[label]
    return label


@cache
def _changed_console_labels() -> dict[str, dict[str, str]]:
    text = files("wizard.simulator").joinpath("console_labels.toml").read_text("utf-8")
    return tomllib.loads(text)


def json_line(body: dict[str, Any]) -> str:
    """Return JSON in one line without a line end: one of the official SDKs reads the last line."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def json_error(kind: str, message: str, status: int, allow: Iterable[str] = ()) -> Response:
    """Return an error of the simulator itself; for a wrong method, with the methods to `allow`."""
    answer = jsonify({"error": kind, "message": message})
    answer.status_code = status
    answer.allow.update(allow)
    return answer


def html_page(status: int, title: str = "") -> Response:
    """Return the HTML page that a servlet container shows for a status, or one with a `title`."""
    reasons = {
        400: "Bad Request",
        404: "Not Found",
        405: "Method Not Allowed",
        500: "Internal Server Error",
    }
    title = title or f"HTTP Status {status} – {reasons.get(status, 'Error')}"
    page = f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1>"
    return Response(f"{page}</body></html>", status, content_type="text/html;charset=UTF-8")
