"""The controls over HTTP: `/_simulator/controls/<verb>`, for this machine alone."""

from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, request

from wizard.simulator import controls
from wizard.simulator.operations import READ_ONLY_OPERATIONS
from wizard.simulator.request_context import current_world

LOOPBACK = ("127.0.0.1", "localhost", "::1")


routes = Blueprint("control_routes", __name__, url_prefix="/_simulator")
"""`GET`: verbs that change nothing; `POST`: all, wishes as JSON."""


@routes.before_app_request
def refuse_foreign_requests() -> Response | None:
    """Stand before every request of the simulator."""
    return _refusal()


@routes.get("/controls/<operation>")
def read(operation: str) -> Response:
    """Say how things are."""
    if operation not in READ_ONLY_OPERATIONS:
        return _error_response(
            "LookupError", f"there is nothing to look at called {operation!r}", 404
        )
    return jsonify(controls.perform(current_world(), operation, {}))


@routes.post("/controls/<operation>")
def perform(operation: str) -> Response:
    """Do what is wished for."""
    arguments = request.get_json(silent=True)
    if not isinstance(arguments, dict):
        return _error_response("ValueError", "the wish is not a JSON object", 400)
    try:
        return jsonify(controls.perform(current_world(), operation, arguments))
    except LookupError as unknown:
        return _error_response("LookupError", str(unknown), 404)
    except (ValueError, TypeError) as impossible:
        return _error_response("ValueError", str(impossible), 400)


def _refusal() -> Response | None:
    """Refuse any request under another name than loopback's (DNS rebinding), and a control that
    a page of another origin sends."""
    if urlsplit(f"//{request.host}").hostname not in LOOPBACK:
        return _error_response("Host", "the simulator answers only on loopback", 403)
    origin = request.headers.get("Origin")
    if request.path.startswith("/_simulator") and origin not in (
        None,
        request.host_url.rstrip("/"),
    ):
        return _error_response("Origin", "another origin has no say here", 403)
    return None


def _error_response(kind: str, message: str, status: int) -> Response:
    answer = jsonify({"error": kind, "message": message})
    answer.status_code = status
    return answer
