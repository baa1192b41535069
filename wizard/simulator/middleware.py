"""What happens to every request before and after its route: checks, faults, headers, journal."""

import json
import secrets
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from flask import Flask, Response, g, jsonify, request

from wizard.simulator import token_endpoint
from wizard.simulator.catalog import product_at
from wizard.simulator.traffic import Fault, JournalEntry, redact_parameters, redact_path
from wizard.simulator.world import World

JSON = "application/json;charset=UTF-8"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LOGGED_HEADERS = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Content-Type")
OVERSIZE_BYTES = 1 << 20
_WORLD_KEY, _STOP_EVENT_KEY = "zoho_simulator.world", "zoho_simulator.stop_event"


def attach(app: Flask) -> None:
    """Run the functions of this module before and after every request of `app`."""
    app.before_request(check_host_and_origin)
    app.before_request(before_request)
    app.after_request(after_request)


def bind_world(environ: dict[str, Any], world: World, stop_event: threading.Event) -> None:
    """Assign a WSGI request to `world`. Setting `stop_event` ends delayed responses."""
    environ.update({_WORLD_KEY: world, _STOP_EVENT_KEY: stop_event})


def current_world() -> World:
    """Return the world of the current request."""
    return cast(World, request.environ[_WORLD_KEY])


def current_stop_event() -> threading.Event:
    """Return the event that is set when the server of the current request stops."""
    return cast(threading.Event, request.environ[_STOP_EVENT_KEY])


def check_host_and_origin() -> Response | None:
    """Refuse a Host that isn't loopback (DNS rebinding) and cross-origin calls of the controls."""
    if urlsplit(f"//{request.host}").hostname not in LOOPBACK:
        return json_error("Host", "the simulator answers only on loopback", 403)
    origin = request.headers.get("Origin")
    if request.path.startswith("/_simulator") and origin not in (
        None,
        request.host_url.rstrip("/"),
    ):
        return json_error("Origin", "requests from another origin are refused", 403)
    return None


def before_request() -> Response | None:
    """Apply the pending fault that matches this request, if there is one."""
    target = _target()
    if target is None:
        return None
    location, host, path = target
    g.add_to_journal = current_world().journal.begin()
    with current_world().lock:
        fault = current_world().faults.take(location, f"{host}{path}")
    if fault is None:
        return None
    if fault.kind == "slow" and not current_stop_event().is_set():
        current_world().faults.delay(fault.seconds)
        return None
    if fault.kind == "clock-skew":
        g.clock_skew_seconds = fault.seconds
        return None
    g.fault = fault
    return None if fault.processed else _apply_fault(fault, Response("{}", content_type=JSON))


def after_request(response: Response) -> Response:
    """Damage the response if a fault says so, set its headers, and write the journal."""
    fault: Fault | None = g.get("fault")
    if fault and fault.processed:
        response = _apply_fault(fault, response)
    now = current_world().clock() + timedelta(seconds=g.get("clock_skew_seconds", 0))
    response.headers["Date"] = format_datetime(now, usegmt=True)
    target = _target()
    if target:
        _set_zoho_cookies(response, target[1])
        # A request that was refused before `before_request` has no entry yet.
        add_to_journal = g.get("add_to_journal") or current_world().journal.begin()
        add_to_journal(_entry(target, response, current_world().clock()))
    return response


def _apply_fault(fault: Fault, response: Response) -> Response:
    damaged = _faulty_response(fault, response)
    if fault.retry_after:
        damaged.headers["Retry-After"] = fault.retry_after
    return damaged


def _faulty_response(fault: Fault, response: Response) -> Response:
    body = response.get_data() or b"{}"
    if fault.kind == "html-page":
        return Response("<html><body>It works!</body></html>", content_type="text/html")
    if fault.kind == "truncated-json":
        return Response(body[: len(body) // 2], response.status_code, content_type=JSON)
    if fault.kind == "unexpected-json":
        return Response(json_line({"status": "success"}), content_type=JSON)
    if fault.kind == "connection-closed":
        return Response(iter([body[:1]]), headers={"Content-Length": str(len(body) + 99)})
    if fault.kind == "byte-by-byte":
        return Response(_slow_body(body, fault.seconds, current_stop_event()), content_type=JSON)
    if fault.kind == "oversize":
        return Response(json_line({"padding": "x" * OVERSIZE_BYTES}), content_type=JSON)
    if fault.kind == "rate-limit":
        limited = token_endpoint.rate_limit_response(
            current_world(), request.headers.get("Accept-Language", "")
        )
        return Response(json_line(limited.body or {}), limited.status, content_type=JSON)
    if fault.kind == "data-center-down":
        return html_page(503)
    if fault.kind == "api-rate-limit":
        return _product_rate_limit_response()
    if fault.kind == "redirect":
        return Response(status=302, headers={"Location": f"{current_world().origin}/elsewhere"})
    return Response(json_line({"error": "general_error"}), 500, content_type=JSON)


def _slow_body(body: bytes, seconds: float, stop_event: threading.Event) -> Iterator[bytes]:
    for number in body:
        yield bytes([number])
        if stop_event.wait(seconds):
            return


def _product_rate_limit_response() -> Response:
    """Return the called product's response to too many calls."""
    _, host, path = _target() or ("", "", "")
    product = product_at(f"{host}{path}")
    error = product.errors.get("rate_limit") if product else None
    return Response(error.body if error else "{}", 429, content_type=JSON)


def _set_zoho_cookies(response: Response, host: str) -> None:
    for name in ("iamcsr", "_zcsr_tmp") if host == "accounts" else ():
        if name not in request.cookies:
            response.set_cookie(name, secrets.token_hex(16), secure=True, samesite="None")


def _target() -> tuple[str, str, str] | None:
    """Return location, host and path of the request; None outside the simulated Zoho."""
    view_args = request.view_args or {}
    location = view_args.get("location") or g.get("location")
    if not location:
        return None
    _, _, host, *rest = request.path.split("/", 3)
    return location, host, "/" + "".join(rest)


def _entry(target: tuple[str, str, str], response: Response, now: datetime) -> JournalEntry:
    location, host, path = target
    parameters = redact_parameters(_parameters())
    basic = request.authorization
    basic_id = basic.username if basic and basic.type == "basic" else None
    if basic_id:
        parameters |= redact_parameters([("client_id", basic_id)])
    client_id = parameters.get("client_id", [""])[0]
    return JournalEntry(
        at=now,
        method=request.method,
        location=location,
        host=host,
        path=redact_path(path),
        parameters=parameters,
        client_id=client_id if client_id.startswith("1000.") else None,
        status=response.status_code,
        outcome=_outcome(response),
        authorization=request.headers.get("Authorization", "").partition(" ")[0] or None,
        user_agent=request.headers.get("User-Agent"),
        headers={name: request.headers[name] for name in LOGGED_HEADERS if name in request.headers},
    )


def _parameters() -> list[tuple[str, str]]:
    sent = request.get_json(silent=True) if request.is_json else None
    fields = [(name, str(value)) for name, value in sent.items()] if isinstance(sent, dict) else []
    return [*request.args.items(multi=True), *request.form.items(multi=True), *fields]


def _outcome(response: Response) -> str:
    """Return Zoho's error code; without one, `ok` or the status."""
    fallback = "ok" if response.status_code < 400 else f"HTTP {response.status_code}"
    if "Location" in response.headers:
        return parse_qs(urlsplit(response.headers["Location"]).query).get("error", ["ok"])[0]
    if response.is_streamed or "json" not in (response.content_type or ""):
        return fallback
    try:
        body = json.loads(response.get_data())
    except ValueError:
        return "broken JSON"
    found = [body.get(name) for name in ("error", "cause", "errorCode", "summary", "code")]
    code = next((each for each in found if isinstance(each, str | int)), None)
    if response.status_code < 400 and "error" not in body:
        return "ok"
    return str(code) if code is not None else fallback


def json_line(body: dict[str, Any]) -> str:
    """Return JSON in one line without a line end: one of the official SDKs reads the last line."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def json_error(kind: str, message: str, status: int) -> Response:
    """Return an error of the simulator itself."""
    answer = jsonify({"error": kind, "message": message})
    answer.status_code = status
    return answer


def html_page(status: int) -> Response:
    """Return the HTML page that a servlet container shows for a status."""
    reasons = {
        400: "Bad Request",
        404: "Not Found",
        405: "Method Not Allowed",
        500: "Internal Server Error",
    }
    title = f"HTTP Status {status} – {reasons.get(status, 'Error')}"
    page = f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1>"
    return Response(f"{page}</body></html>", status, content_type="text/html;charset=UTF-8")
