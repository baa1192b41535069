"""The web server for a world: its routes, and what happens to every request before and after its
route: checks, faults, headers, journal.
"""

import re
import secrets
import socket
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from flask import Blueprint, Flask, Request, Response, g, request
from flask.json.provider import DefaultJSONProvider
from flask.typing import ResponseReturnValue
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BaseConverter, MapAdapter

from wizard.simulator import (
    account_pages,
    admin_api,
    admin_pages,
    authorization_endpoint,
    console_pages,
    incremental_authorization,
    product_apis,
    request_context,
    token_endpoint,
)
from wizard.simulator.api_calls import read_json
from wizard.simulator.catalog import data_centers, product_at, use_catalog
from wizard.simulator.configuration import Configuration
from wizard.simulator.controls import Controls
from wizard.simulator.host_names import (
    CONTROLS,
    asked_by_real_name,
    domains,
    host_names,
    is_asked_by_real_name,
    route_of,
    url_of,
)
from wizard.simulator.proxy import Proxy
from wizard.simulator.request_context import (
    JSON,
    bind_world,
    current_stop_event,
    current_world,
    html_page,
    json_error,
    json_line,
)
from wizard.simulator.settings import Clock
from wizard.simulator.traffic import (
    Fault,
    JournalEntry,
    redact_authorization,
    redact_parameters,
    redact_text,
)
from wizard.simulator.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


LOOPBACK = ("127.0.0.1", "localhost", "::1")
STATIC_FILES = f"{CONTROLS}static"
AUTHORITY_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
"""Where OpenSSL, Go and httpx, requests, curl, and Node read the authorities that they trust."""
REMOVED_VARIABLES = ("ALL_PROXY", "all_proxy")
"""Some programs would prefer this proxy to the simulator's."""
LOGGED_HEADERS = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Content-Type")
OVERSIZE_BYTES = 1 << 20
PRODUCT_ERRORS = {
    "api-rate-limit": "rate_limit",
    "api-day-limit": "day_limit",
    "edition-without-api": "edition",
}
"""Fault → error of the product."""


def check_host_and_origin() -> Response | None:
    """Refuse an unknown Host (DNS rebinding) and cross-origin calls of the controls."""
    if is_asked_by_real_name():
        if route_of(request.url) is None:
            return json_error("unknown-host", "No data center has this host.", 421)
        if request.path.startswith(CONTROLS) and not request.path.startswith(STATIC_FILES):
            return json_error(
                "unknown-host", "The controls are only at the simulator’s own URL.", 403
            )
        return None
    if not _is_own_host(urlsplit(f"//{request.host}").hostname or ""):
        return json_error(
            "unknown-host",
            f"The simulator doesn’t answer for the host “{request.host}”. Use {HOST}, or start it "
            "with this host in “public_url”.",
            403,
        )
    origin = request.headers.get("Origin")
    if request.path.startswith("/_simulator") and origin not in (
        None,
        request.host_url.rstrip("/"),
    ):
        return json_error("other-origin", "Requests from another origin are refused.", 403)
    return None


def _is_own_host(name: str) -> bool:
    """Whether a Host header names this server: loopback, or where it may listen beyond that, an IP
    address or its public URL. A name that an attacker's DNS resolves to this server is neither.
    """
    if name in LOOPBACK:
        return True
    world = current_world()
    return world.configuration.allow_remote and (
        _is_ip_address(name) or name == urlsplit(world.origin).hostname
    )


def _is_ip_address(name: str) -> bool:
    try:
        return bool(ip_address(name))
    except ValueError:
        return False


def before_request() -> Response | None:
    """Answer with a stubbed response, or apply a pending fault, if one matches this request."""
    target = _target()
    if target is None:
        return None
    location, host, path = target
    g.add_to_journal = current_world().journal.begin()
    with current_world().lock:
        stub = current_world().stubbed_responses.take(request.method, location, host, path)
        fault = None if stub else current_world().faults.take(location, f"{host}{path}")
    if stub:
        return Response(stub.body, stub.status, {"Content-Type": JSON, **stub.headers})
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
    if fault.kind in PRODUCT_ERRORS:
        return _product_error(PRODUCT_ERRORS[fault.kind])
    if fault.kind == "redirect":
        return Response(status=302, headers={"Location": f"{request.host_url}elsewhere"})
    return Response(json_line({"error": "general_error"}), 500, content_type=JSON)


def _slow_body(body: bytes, seconds: float, stop_event: threading.Event) -> Iterator[bytes]:
    for number in body:
        yield bytes([number])
        if stop_event.wait(seconds):
            return


def _product_error(case: str) -> Response:
    """Return an error of the called product; 429 without a body if it has none of this kind."""
    _, host, path = _target() or ("", "", "")
    product = product_at(f"{host}{path}")
    error = product.errors.get(case) if product else None
    if error is None:
        return Response("{}", 429, content_type=JSON)
    return Response(error.body, error.status, content_type=error.content_type)


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
    _, _, host, *rest = route_path(request).split("/", 3)
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
        path=redact_text(path),
        parameters=parameters,
        client_id=client_id if client_id.startswith("1000.") else None,
        status=response.status_code,
        outcome=redact_text(_outcome(response)),
        authorization=redact_authorization(request.headers.get("Authorization", "")),
        user_agent=redact_text(request.headers.get("User-Agent", "")) or None,
        headers={
            name: redact_text(request.headers[name])
            for name in LOGGED_HEADERS
            if name in request.headers
        },
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
    has_json = "json" in (response.content_type or "") and not response.is_streamed
    if not has_json or not response.get_data():
        return fallback
    try:
        body = read_json(response.get_data())
    except ValueError:
        return "broken JSON"
    if not isinstance(body, dict):
        return fallback
    # CRM has one result for each record, WorkDrive one error for each cause.
    rows = next((each for name in ("data", "errors") if (each := body.get(name))), None)
    first = rows[0] if isinstance(rows, list) and isinstance(rows[0], dict) else {}
    names = ("error", "cause", "errorCode", "summary", "code")
    found = [*map(body.get, names), first.get("code"), first.get("id")]
    code = next((each for each in found if isinstance(each, str | int)), None)
    if response.status_code < 400 and "error" not in body:
        return "ok"
    return str(code) if code is not None else fallback


_PACKAGE = Path(__file__).parents[1]

HOST = "127.0.0.1"
"""Not `localhost`, where the wizard is: for browsers, the two are different sites."""

WORKER_THREADS = 16
"""Enough for many processes that refresh at once, and some slow responses."""

CONNECTION_LIMIT = 4000
"""More than the idle connections that the programs of a load test keep."""


class RequestParser(HTTPRequestParser):  # type: ignore[misc]
    """Accepts WorkDrive's header `x-parent_id`: waitress drops headers with an underscore."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(re.sub(rb"(?i)\nx-parent_id:", b"\nx-parent-id:", header_plus))


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection whose requests are read by `RequestParser`."""

    parser_class = RequestParser


class LocationConverter(BaseConverter):
    """The location of a data center in a URL."""

    regex = "|".join(data_centers())


def route_path(http_request: Request) -> str:
    """Return the path that a request is routed by, which begins with location and host."""
    location, host = "", ""
    if is_asked_by_real_name() and not http_request.path.startswith(CONTROLS):
        location, host = host_names().get(http_request.host.lower(), ("", ""))
    return f"/{location}/{host}{http_request.path}" if location else http_request.path


class JsonProvider(DefaultJSONProvider):
    """Reads JSON as the products' APIs do, and writes it for people, too."""

    sort_keys = False
    ensure_ascii = False

    def loads(self, s: str | bytes, **_options: Any) -> Any:
        return read_json(s)


class SimulatorApp(Flask):
    """A Flask application that holds the world's lock while a view runs, and that is routed alike
    with and without real host names.

    It doesn't hold the lock while a slow response is sent. Flask's way to wrap every view is to
    override `dispatch_request`.
    """

    json_provider_class = JsonProvider

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        adapter = super().create_url_adapter(request)
        if adapter is not None and request is not None and is_asked_by_real_name():
            adapter.path_info = route_path(request)
        return adapter

    def url_for(self, endpoint: str, **values: Any) -> str:
        return url_of(super().url_for(endpoint, **values), request.host)

    def dispatch_request(self) -> ResponseReturnValue:
        with current_world().lock:
            return super().dispatch_request()


@cache
def flask_app() -> Flask:
    """Return the application for all worlds of this process.

    Each request finds its world in the WSGI environment. A new world for each test is cheap,
    because routes and templates are compiled once.
    """
    app = SimulatorApp(__name__, static_folder=None, template_folder=None)
    app.url_map.converters["location"] = LocationConverter
    app.register_blueprint(admin_api.controls_api)
    app.register_blueprint(token_endpoint.routes)
    app.register_blueprint(incremental_authorization.routes)
    app.register_blueprint(page_blueprint())
    app.register_blueprint(product_apis.routes)
    app.before_request(check_host_and_origin)
    app.before_request(before_request)
    app.after_request(after_request)
    for status in (400, 404, 405):
        app.register_error_handler(status, partial(_error_page, status))
    return app


def page_blueprint() -> Blueprint:
    """Return all pages, to be registered with a Flask application."""
    pages = Blueprint(
        "pages",
        __name__,
        template_folder=str(folder("templates")),
        static_folder=str(folder("static") / "simulator"),
        static_url_path=STATIC_FILES,
    )
    pages.before_request(request_context.check_post_origin)
    pages.after_request(request_context.add_security_headers)
    pages.context_processor(request_context.template_context)
    pages.register_error_handler(403, request_context.handle_forbidden)
    for module in (account_pages, authorization_endpoint, console_pages, admin_pages):
        pages.register_blueprint(module.pages)
    pages.register_blueprint(incremental_authorization.pages)
    return pages


def folder(name: str) -> Path:
    """Return `templates` or `static`: in the package if installed from a wheel, else next to it."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def create_app(
    world: World, stop_event: threading.Event, *, has_real_host_names: bool = False
) -> "WSGIApplication":
    """Return the WSGI application of a world. Setting `stop_event` ends delayed responses.

    With `has_real_host_names`, the Host of a request is one of Zoho's, and its path is Zoho's.
    """

    def wsgi_app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        bind_world(environ, world, stop_event)
        with asked_by_real_name(has_real_host_names), use_catalog(world.catalog):
            return flask_app()(environ, start_response)

    return wsgi_app


def _error_page(status: int, error: HTTPException) -> Response:
    if request.path.startswith(admin_api.PREFIX):
        expected = f"{current_world().origin}{admin_api.PREFIX}/openapi.json"
        return json_error(
            {400: "bad-request", 404: "not-found"}.get(status, "wrong-method"),
            f"There is no {request.method} {request.path}. {expected} lists all routes.",
            status,
            _allowed_methods(error),
        )
    page = html_page(status)
    page.allow.update(_allowed_methods(error))
    return page


def _allowed_methods(error: HTTPException) -> Iterable[str]:
    return (isinstance(error, MethodNotAllowed) and error.valid_methods) or ()


def listen_at(address: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. OSError if the port is in use."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family)


def _server_of(
    app: "WSGIApplication", listening: socket.socket, socket_map: dict[int, Any], url_scheme: str
) -> Any:
    server = create_server(
        app,
        sockets=[listening],
        threads=WORKER_THREADS,
        connection_limit=CONNECTION_LIMIT,
        ident="ZGS",
        map=socket_map,
        url_scheme=url_scheme,
    )
    server.channel_class = Channel
    return server


class RealHostNames:
    """What a program needs to reach one simulator at Zoho's own host names: a proxy, and the
    authority that its certificate is of.

    `server` answers what the proxy passes on, and `names` are the host names.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        socket_map: dict[int, Any],
        listen: Callable[[int], socket.socket],
    ) -> None:
        listening = listen(0)
        inner = listen_at(HOST, 0)
        from wizard.simulator.authority import Authority  # slow to load, and rarely needed

        self.authority = Authority(tuple(host_names()), domains())
        self.server = _server_of(app, inner, socket_map, "https")
        self.names: Collection[str] = host_names().keys()
        self.proxy = Proxy(
            listening, self.authority.server_context, inner.getsockname(), self.names
        )
        self.proxy_url = f"http://{HOST}:{listening.getsockname()[1]}"
        self._directory = tempfile.TemporaryDirectory(
            prefix="zoho-simulator-",
            ignore_cleanup_errors=True,  # a browser may still use its profile
        )
        self.browser_profile = Path(self._directory.name) / "browser"
        self.authority_file = self.authority.write(Path(self._directory.name))

    @property
    def browser_arguments(self) -> tuple[str, ...]:
        """The options with which Chromium uses the proxy, and trusts its certificate only, in a
        profile of its own such as `browser_profile`.
        """
        key_hash = self.authority.server_key_hash
        return (
            f"--proxy-server={self.proxy_url}",
            f"--ignore-certificate-errors-spki-list={key_hash}",
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which most programs find a proxy, and the authorities to trust."""
        proxy_variables = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        return {
            **dict.fromkeys(proxy_variables, self.proxy_url),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(LOOPBACK)),
            **dict.fromkeys(AUTHORITY_VARIABLES, str(self.authority_file)),
            "NODE_USE_ENV_PROXY": "1",
        }

    def close(self) -> None:
        """Remove the authority's file."""
        self._directory.cleanup()


class Simulator:
    """A simulated Zoho, in a thread of this process.

    It listens on a free port of 127.0.0.1, or as `configuration` says. It serves `world`, or a new
    one. `url` is its address, `port` where it listens. With real host names, it also answers for
    Zoho's own, through a proxy: `environment` has what a program needs for it. `listen` makes the
    sockets that programs connect to, from a port, instead of the configured address. It's a context
    manager: leaving it stops the server and closes its sockets and its journal's file. OSError if
    the port is in use or the file can't be written.
    """

    def __init__(
        self,
        configuration: Configuration | None = None,
        *,
        world: World | None = None,
        clock: Clock | None = None,
        listen: Callable[[int], socket.socket] | None = None,
    ) -> None:
        configured = configuration or Configuration(port=0)
        world = world or World(configured, clock=clock)
        # The proxy stays on this computer, wherever the simulator itself listens.
        listen_for_proxy = listen or partial(listen_at, HOST)
        listen = listen or partial(listen_at, configured.listen)
        with ExitStack() as opened:
            listening = opened.enter_context(listen(configured.port))
            self._journal_file = (
                opened.enter_context(open(configured.journal, "a", encoding="utf-8", buffering=1))
                if configured.journal
                else None
            )
            opened.pop_all()  # `stop` closes them
        world.journal.on_entry = self._write_journal if self._journal_file else None
        self.world = world
        self.controls = Controls(world)
        self._stop_event = threading.Event()
        app = create_app(world, self._stop_event)
        self._socket_map: dict[int, Any] = {}
        self._server = _server_of(app, listening, self._socket_map, "http")
        self.real_host_names = None
        if configured.real_hostnames:
            app = create_app(world, self._stop_event, has_real_host_names=True)
            with use_catalog(world.catalog):
                self.real_host_names = RealHostNames(app, self._socket_map, listen_for_proxy)
        self.port: int = listening.getsockname()[1]
        own_url = f"http://{configured.own_host}:{self.port}"
        self.url = world.origin = configured.public_url.rstrip("/") or own_url
        self._loop_ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="simulator", daemon=True)

    @property
    def clock(self) -> Clock:
        """The clock of the world, which the program under test can share."""
        return self.world.clock

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a program needs."""
        names = self.real_host_names
        variables = names.environment if names else {}
        return {"ZOHO_WIZARD_SIMULATOR_URL": self.url, **variables}

    @property
    def removed_variables(self) -> tuple[str, ...]:
        """The variables that a program must not have."""
        return REMOVED_VARIABLES if self.real_host_names else ()

    @property
    def refused_hosts(self) -> set[str]:
        """The hosts that programs asked the proxy for, and that aren't Zoho's."""
        return self.real_host_names.proxy.refused_hosts if self.real_host_names else set()

    def start(self) -> "Simulator":
        """Start to serve; return itself."""
        self._thread.start()
        if self.real_host_names:
            self.real_host_names.proxy.start()
        return self

    def stop(self) -> None:
        """Stop and close every socket. Delayed responses are sent at once."""
        self._stop_event.set()
        self.world.faults.clear()
        names = self.real_host_names
        if names:
            names.proxy.stop()
            names.server.task_dispatcher.shutdown(timeout=5)
        self._server.task_dispatcher.shutdown(timeout=5)
        if self._thread.is_alive():
            # Close the trigger only after the loop has ended: otherwise, the byte that wakes the
            # loop could go to a descriptor that is closed or reused.
            self._loop_ended.set()
            self._server.pull_trigger()
            self._thread.join(timeout=5)
        self._server.close()
        if names:
            names.server.close()
            names.close()
        wasyncore.close_all(self._socket_map, ignore_all=True)
        self.world.journal.on_entry = None
        if self._journal_file:
            self._journal_file.close()

    def _write_journal(self, entry: JournalEntry) -> None:
        if self._journal_file:
            self._journal_file.write(admin_api.journal_line(entry))

    def _serve(self) -> None:
        while not self._loop_ended.is_set():
            # Without poll, the loop ends at the first descriptor above 1023.
            wasyncore.loop(timeout=1, use_poll=True, map=self._socket_map, count=1)

    def __enter__(self) -> "Simulator":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
