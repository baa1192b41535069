"""What happens to every request before and after its route: faults, headers, the journal."""

import json
import secrets
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

from flask import Flask, Response, g, request

from wizard.simulator import token_endpoint
from wizard.simulator.accounts import JSON, html_page, json_line
from wizard.simulator.faults import Fault
from wizard.simulator.journal import JournalEntry, redact_parameters, redact_path
from wizard.simulator.product_catalog import product_at
from wizard.simulator.request_context import current_stop_event, current_world

LOGGED_HEADERS = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Content-Type")
OVERSIZE_BYTES = 1 << 20


def attach(app: Flask) -> None:
    """Stand before and after every request of `app`."""
    app.before_request(before_request)
    app.after_request(after_request)


def before_request() -> Response | None:
    """Take the fault that waits for this request; without one, let it pass."""
    place = _target()
    if place is None:
        return None
    location, host, path = place
    g.write = current_world().journal.begin()
    with current_world().lock:
        fault = current_world().faults.take(location, f"{host}{path}")
    if fault is None:
        return None
    if fault.kind == "slow" and not current_stop_event().is_set():
        current_world().faults.hold_back(fault.seconds)
        return None
    if fault.kind == "clock-skew":
        g.clock_skew_seconds = fault.seconds
        return None
    g.fault = fault
    return None if fault.processed else _apply_fault(fault, Response("{}", content_type=JSON))


def after_request(response: Response) -> Response:
    """Damage the answer if that was laid out, date it, and write the journal."""
    fault: Fault | None = g.get("fault")
    if fault and fault.processed:
        response = _apply_fault(fault, response)
    now = current_world().clock() + timedelta(seconds=g.get("clock_skew_seconds", 0))
    response.headers["Date"] = format_datetime(now, usegmt=True)
    place = _target()
    if place:
        _set_zoho_cookies(response, place[1])
        write = (
            g.get("write") or current_world().journal.begin()
        )  # refused before it entered: none yet
        write(_entry(place, response, current_world().clock()))
    return response


def _apply_fault(fault: Fault, response: Response) -> Response:
    damaged = _faulty_response(fault, response)
    if fault.retry_after:
        damaged.headers["Retry-After"] = fault.retry_after
    return damaged


def _faulty_response(fault: Fault, response: Response) -> Response:
    whole = response.get_data() or b"{}"
    if fault.kind == "html-page":
        return Response("<html><body>It works!</body></html>", content_type="text/html")
    if fault.kind == "truncated-json":
        return Response(whole[: len(whole) // 2], response.status_code, content_type=JSON)
    if fault.kind == "unexpected-json":
        return Response(json_line({"status": "success"}), content_type=JSON)
    if fault.kind == "connection-closed":
        return Response(iter([whole[:1]]), headers={"Content-Length": str(len(whole) + 99)})
    if fault.kind == "byte-by-byte":
        return Response(_slow_body(whole, fault.seconds, current_stop_event()), content_type=JSON)
    if fault.kind == "oversize":
        return Response(json_line({"padding": "x" * OVERSIZE_BYTES}), content_type=JSON)
    if fault.kind == "rate-limit":
        said = token_endpoint.rate_limit_response(
            current_world(), request.headers.get("Accept-Language", "")
        )
        return Response(json_line(said.body or {}), said.status, content_type=JSON)
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
    """What the product that was called says when it was called too often."""
    _, host, path = _target() or ("", "", "")
    product = product_at(f"{host}{path}")
    reply = product.errors.get("rate_limit") if product else None
    return Response(reply.body if reply else "{}", 429, content_type=JSON)


def _set_zoho_cookies(response: Response, host: str) -> None:
    for name in ("iamcsr", "_zcsr_tmp") if host == "accounts" else ():
        if name not in request.cookies:
            response.set_cookie(name, secrets.token_hex(16), secure=True, samesite="None")


def _target() -> tuple[str, str, str] | None:
    """Return location, host and path of the request; None outside the simulated Zoho."""
    given = request.view_args or {}
    location = given.get("location") or g.get("location")
    if not location:
        return None
    _, _, host, *rest = request.path.split("/", 3)
    return location, host, "/" + "".join(rest)


def _entry(target: tuple[str, str, str], response: Response, now: datetime) -> JournalEntry:
    location, host, path = target
    parameters = redact_parameters(_parameters())
    basic = request.authorization
    named = basic.username if basic and basic.type == "basic" else None
    if named:
        parameters |= redact_parameters([("client_id", named)])
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
    said = [(name, str(value)) for name, value in sent.items()] if isinstance(sent, dict) else []
    return [*request.args.items(multi=True), *request.form.items(multi=True), *said]


def _outcome(response: Response) -> str:
    """Return Zoho's own word for what went wrong, else `ok` or the status."""
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
    word = next((each for each in found if isinstance(each, str | int)), None)
    if response.status_code < 400 and "error" not in body:
        return "ok"
    return str(word) if word is not None else fallback
