"""The controls over HTTP: `/_sandbox/controls/<verb>`, for this machine alone."""

from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, request

from wizard.sandbox import controls
from wizard.sandbox.present import world
from wizard.sandbox.verbs import READS

LOOPBACK = ("127.0.0.1", "localhost", "::1")


routes = Blueprint("admin", __name__, url_prefix="/_sandbox")
"""`GET`: verbs that change nothing; `POST`: all, wishes as JSON."""


@routes.before_app_request
def guard() -> Response | None:
    """Stand before every request of the sandbox."""
    return _refusal()


@routes.get("/controls/<verb>")
def look(verb: str) -> Response:
    """Say how things are."""
    if verb not in READS:
        return _problem("LookupError", f"there is nothing to look at called {verb!r}", 404)
    return jsonify(controls.perform(world(), verb, {}))


@routes.post("/controls/<verb>")
def do(verb: str) -> Response:
    """Do what is wished for."""
    wish = request.get_json(silent=True)
    if not isinstance(wish, dict):
        return _problem("ValueError", "the wish is not a JSON object", 400)
    try:
        return jsonify(controls.perform(world(), verb, wish))
    except LookupError as unknown:
        return _problem("LookupError", str(unknown), 404)
    except (ValueError, TypeError) as impossible:
        return _problem("ValueError", str(impossible), 400)


def _refusal() -> Response | None:
    """Refuse any request under another name than loopback's (DNS rebinding), and a control that
    a page of another origin sends."""
    if urlsplit(f"//{request.host}").hostname not in LOOPBACK:
        return _problem("Host", "the sandbox answers only on loopback", 403)
    origin = request.headers.get("Origin")
    if request.path.startswith("/_sandbox") and origin not in (None, request.host_url.rstrip("/")):
        return _problem("Origin", "another origin has no say here", 403)
    return None


def _problem(kind: str, says: str, status: int) -> Response:
    answer = jsonify({"problem": kind, "says": says})
    answer.status_code = status
    return answer
