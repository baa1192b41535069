"""One request on a socket: check its headers, answer it, record the event."""

import errno
import json
import logging
import math
import os
import secrets
import socket
import socketserver
import stat
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler
from importlib.metadata import version
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote

from wizard.diagnosis.rendering import explain_failure
from wizard.errors import WizardError, fail
from wizard.fastpath.commands import CONFIRMATION_PATH
from wizard.fastpath.process import WIZARD_COMMAND
from wizard.local_api.hand_outs import HandOuts, event_of
from wizard.local_api.sockets import Peer, get_peer, socket_address
from wizard.model import AccessToken, Explanation, Failure
from wizard.model.failure import http_status_of
from wizard.monitoring.metrics import CONTENT_TYPE, render_metrics
from wizard.monitoring.observations import Observations
from wizard.serialization import explanation_summary, to_json_value
from wizard.services import Services
from wizard.tokens.cached_tokens import access_variables, token_document
from wizard.tokens.service import MAX_TOKEN_CHARACTERS, reported_token

log = logging.getLogger(__name__)

PROTOCOL_VERSION = "1"
"""In a header of each response. It changes if a program that follows the documentation breaks."""

IDLE_TIMEOUT_SECONDS = 60.0
"""Seconds that a connection may be idle; a program that asks every minute keeps its own."""

ALLOWED_HOSTS = frozenset({"zoho-wizard", "localhost"})
"""Host headers of programs. A browser that reaches the socket through a forwarded port sends that
port."""

MAX_CONNECTIONS = 128
"""Connections to one socket; further ones are closed at once."""

MAX_CONNECTIONS_PER_USER = 16
"""Of these, the limit for any other user, so that one user can't block the others."""

MAX_CONNECTIONS_WITHOUT_ACCESS = MAX_CONNECTIONS // 2
"""The limit above which users without access are refused: one person may have thousands of user
IDs, for containers."""

MAX_HEADER_BYTES = 16 * 1024
"""The headers of one request. The standard library would keep a hundred lines of 64 KB."""

REFUSAL_LOG_INTERVAL = timedelta(minutes=1)
"""Repeated refusals of one user are recorded once in this time, so they can't fill the disk."""

BROWSER_HEADER_PREFIXES = ("origin", "referer", "cookie", "sec-")
"""Prefixes of headers that browsers send and programs don't."""

TOKEN_PATH = "/token/"  # noqa: S105 - no secret
"""The path before the name of the requested connection."""

LIST_PATH = "/list"
"""Where the owner's commands without the encryption key get the list of connections."""

METRICS_PATH = "/metrics"

SERVICE_PATH = "/service"
"""Where the owner's commands learn that a wizard serves, and what."""

LIST_TIMEOUT_SECONDS = 60
LIST_OPTIONS = ("by", "tag")
"""Options of ``list`` with a value that a request can have."""

MAX_NAME_CHARACTERS = 63
"""Characters of a connection's name."""


@dataclass(frozen=True)
class HandlerContext:
    """What the handlers of one socket use."""

    services: Services
    hand_outs: HandOuts
    observe: Callable[[], Observations]
    create_browser_link: Callable[[str, bool], str] | None
    """None without the pages."""
    open_shared_socket: Callable[[], Path]
    is_shared: bool
    """The socket serves every user of the machine, each within their access permissions."""


class SocketServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A Unix socket server with a thread per connection."""

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(
        self,
        path: Path,
        context: HandlerContext,
        mode: int,
        inherited: socket.socket | None = None,
    ) -> None:
        """Raises OSError if the socket can't be put at `path`, or something else is there."""
        self.path = path
        self.context = context
        self.last_refusals: dict[tuple[str, int], datetime] = {}
        self._open_connections: Counter[int] = Counter()
        self._count_lock = threading.Lock()
        self._made: tuple[int, int] | None = None  # the service manager keeps its own
        if inherited is not None:
            super().__init__(str(path), RequestHandler, bind_and_activate=False)
            self.socket.close()
            self.socket = inherited
            return
        # Renaming puts a ready socket in place at once, and replaces one that a killed wizard left.
        fresh = path.with_name(f"{path.name}.new")
        for each in (path, fresh):
            _require_socket(each)
        fresh.unlink(missing_ok=True)
        with socket_address(fresh) as address:
            super().__init__(address, RequestHandler)
        try:
            fresh.chmod(mode)
            self._made = _identity(fresh)
            fresh.rename(path)
        except OSError:
            self.server_close()
            fresh.unlink(missing_ok=True)
            raise

    def remove(self) -> None:
        """Close the socket and remove its file, unless the file is another server's by now."""
        self.server_close()
        with suppress(FileNotFoundError):
            if _identity(self.path) == self._made:
                self.path.unlink()

    def verify_request(self, request: Any, _address: object) -> bool:
        """Whether the limits allow one more connection of this user."""
        uid = _peer_uid(request)
        limit = MAX_CONNECTIONS if uid == os.geteuid() else MAX_CONNECTIONS_PER_USER
        with self._count_lock:
            taken = self._open_connections.total()
            if taken >= MAX_CONNECTIONS or self._open_connections[uid] >= limit:
                return False
            if taken >= MAX_CONNECTIONS_WITHOUT_ACCESS and not self._has_access(uid):
                return False
            self._open_connections[uid] += 1
        return True

    def _has_access(self, uid: int) -> bool:
        """Whether a user has access to any connection."""
        if uid == os.geteuid():
            return True
        try:
            permissions = self.context.services.store.access_permissions.all()
        except WizardError:
            return False
        return any(each.uid == uid for each in permissions)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve the connection, then uncount it."""
        uid = _peer_uid(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._count_lock:
                self._open_connections[uid] -= 1


def _require_socket(path: Path) -> None:
    """Raise OSError if anything else is at `path`: a file of the user isn't ours to remove."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "it isn’t a socket", str(path))


def _identity(path: Path) -> tuple[int, int]:
    """The device and inode of the file at `path`."""
    found = path.lstat()
    return found.st_dev, found.st_ino


def _peer_uid(request: socket.socket) -> int:
    """The user of a connection; -1 if the kernel doesn't report one, so these share a limit."""
    peer = get_peer(request)
    return peer.uid if peer else -1


def rejection_reason(method: str, headers: Mapping[str, str], longest: int = 0) -> str:
    """Judge a request by its headers (names in lower case): why it is rejected, empty if it may
    pass. Its body may have at most `longest` bytes."""
    for name in headers:
        if name.startswith(BROWSER_HEADER_PREFIXES):
            return f"It has the header {name}, which only browsers send"
    if headers.get("host") not in ALLOWED_HOSTS:  # two headers are joined, and don't match
        return "Its Host header isn’t valid"
    if "transfer-encoding" in headers or _length(headers) > longest:
        return "It has a body, which isn’t expected"
    return "" if method in ("GET", "POST") else "Only GET and POST are allowed"


def _length(headers: Mapping[str, str]) -> float:
    """The length of the body in bytes; infinite if the header is ambiguous."""
    declared = headers.get("content-length", "0")
    plain = (
        declared.isascii()
        and declared.isdecimal()
        and len(declared) <= len(str(MAX_TOKEN_CHARACTERS))
    )
    return int(declared) if plain else math.inf


def is_local_path(path: str) -> bool:
    """Whether a browser stays on this site with `path`: it reads ``//host`` and ``/\\host`` as
    other sites."""
    return path[:1] == "/" and path[1:2] not in ("/", "\\") and path.isprintable()


class _HeaderReader:
    """Reads the lines of a request's headers."""

    def __init__(self, reader: BufferedIOBase) -> None:
        self._reader = reader
        self._bytes_left = MAX_HEADER_BYTES

    def readline(self, limit: int) -> bytes:
        """The next line. Raises HTTPException, which `RequestHandler` answers, after too many."""
        line = self._reader.readline(min(limit, self._bytes_left + 1))
        self._bytes_left -= len(line)
        if self._bytes_left < 0:
            raise HTTPException("too many headers")
        return line


class RequestHandler(BaseHTTPRequestHandler):
    """Handles one request."""

    protocol_version = "HTTP/1.1"
    server_version = "zoho-wizard"
    sys_version = ""
    timeout = IDLE_TIMEOUT_SECONDS

    def parse_request(self) -> bool:
        """As the standard library does, but reads no more than `MAX_HEADER_BYTES` of headers."""
        reader, self.rfile = self.rfile, cast(BufferedIOBase, _HeaderReader(self.rfile))
        try:
            return super().parse_request()
        finally:
            self.rfile = reader

    def handle_one_request(self) -> None:
        """As the standard library does, but ignores a client that disconnects."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        """``/token/NAME``: an access token as text, or JSON for ``Accept: application/json``.
        ``/metrics``: metrics of the connections for Prometheus. For
        the owner: ``/list``, what ``list`` prints; ``/service``, what is served."""
        own = {} if self._context.is_shared else self._owner_pages
        handlers = {METRICS_PATH: self._handle_metrics, **own}
        self._handle(handlers.get(self._target, self._handle_token))

    @property
    def _owner_pages(self) -> Mapping[str, Callable[[Peer | None, str], None]]:
        return {LIST_PATH: self._handle_list, SERVICE_PATH: self._handle_service}

    def _handle_metrics(self, peer: Peer | None, _rejected: str) -> None:
        """The metrics; of the shared socket, those of the connections that the user has access
        to."""
        names = self._permitted_names(peer) if self._context.is_shared else None
        if names is not None and not names:
            raise self._access_denied("", peer)
        text = render_metrics(self._context.observe(), version("zoho-wizard"), names)
        self._send(200, CONTENT_TYPE, text.encode())

    def _permitted_names(self, peer: Peer | None) -> frozenset[str]:
        permissions = self._context.services.store.access_permissions.all()
        return frozenset(e.connection for e in permissions if peer and e.uid == peer.uid)

    def do_POST(self) -> None:
        """``/token/NAME`` with a rejected access token in the body: as GET, but never that token.
        For the owner: ``/browser-link?page=/&printed=1``, a one-time browser link;
        ``/shared-socket``, serve the shared socket; ``/copy?name=crm&store=ID``, renew the copy of
        an access token."""
        self._handle(
            self._handle_owner_request if self._requested_connection is None else self._handle_token
        )

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what the standard library can't read, in JSON and without quoting it."""
        self.close_connection = True
        failure = self._request_rejected("It isn’t valid HTTP").failure
        explanation = explain_failure(failure, self._context.services.clock())
        self._send_json(code, {"error": explanation_summary(explanation)})

    def log_message(self, format: str, *args: Any) -> None:
        """Write to the log; a path contains a connection's name, never a secret."""
        log.debug(format, *args)

    @property
    def _server(self) -> SocketServer:
        return cast(SocketServer, self.server)

    @property
    def _context(self) -> HandlerContext:
        return self._server.context

    @property
    def _target(self) -> str:
        """The requested path without its query."""
        return self.path.partition("?")[0]

    @property
    def _owner_query(self) -> dict[str, list[str]]:
        """What the owner requests beyond the path; other users can't."""
        return {} if self._context.is_shared else parse_qs(self.path.partition("?")[2])

    @property
    def _requested_connection(self) -> str | None:
        """The connection whose token is requested; None for other requests. Of a name that is too
        long, only the start, which is too long, too: names are remembered and logged."""
        path = self._target
        if not path.startswith(TOKEN_PATH):
            return None
        return unquote(path.removeprefix(TOKEN_PATH))[: MAX_NAME_CHARACTERS + 1]

    def _handle(self, handler: Callable[[Peer | None, str], None]) -> None:
        try:
            headers: dict[str, str] = {}
            for name, value in self.headers.items():
                headers[name.lower()] = ",".join(filter(None, (headers.get(name.lower()), value)))
            reports = self.command == "POST" and self._requested_connection is not None
            reason = rejection_reason(self.command, headers, MAX_TOKEN_CHARACTERS if reports else 0)
            if self.headers.defects:
                reason = "Its headers aren’t valid"
            if reason:
                self.close_connection = True
                raise self._request_rejected(reason)
            # Read it all: unread bytes would be parsed as the next request.
            body = self.rfile.read(int(_length(headers)))
            peer = get_peer(self.connection)
            if not self._context.is_shared and peer is not None and peer.uid != os.geteuid():
                raise self._request_rejected("It comes from a different user")
            handler(peer, reported_token(body) if reports else "")
        except WizardError as error:
            self._send_failure(error.failure)
        except (ConnectionError, TimeoutError):  # the client doesn't read the response
            raise
        except Exception as error:
            number = secrets.token_hex(4)
            log.exception("internal-error: report %s", number)
            details = {"exception": type(error).__name__, "number": number}
            self._send_failure(Failure("internal-error", details=details))

    def _handle_token(self, peer: Peer | None, rejected: str) -> None:
        if (name := self._requested_connection) is None:
            raise self._request_rejected("The shared socket serves only /token/NAME and /metrics")
        try:
            token = (
                None
                if rejected or "min-ttl" in self._owner_query or "force" in self._owner_query
                else self._context.hand_outs.serve(
                    name, peer, needs_permission=self._context.is_shared
                )
            )
            if token is None:
                token = self._serve_token(name, peer, rejected)
                generation = str(token.generation)
                self._record_event("token-served", name, peer, generation=generation)
        except WizardError as error:
            self._record_event("token-refused", name, peer, code=error.failure.code)
            if error.failure.code == "refresh-token-rejected":
                self._context.services.monitoring.notify_rejected_in_background(name)
            raise
        if "application/json" in self.headers.get("Accept", ""):
            self._send_json(200, self._token_document(name, token))
        else:
            self._send(200, "text/plain", f"{token.value}\n".encode())

    def _token_document(self, name: str, token: AccessToken) -> dict[str, Any]:
        """What ``token --json`` prints; other users don't get the account. With ``?details=1``,
        also the variables of ``run``."""
        services = self._context.services
        access = services.tokens.api_access(name)
        document = token_document(token, access, services.clock())
        account = None if self._context.is_shared else document.account
        variables = access_variables(access) if "details" in self._owner_query else None
        shown = to_json_value(replace(document, account=account))
        return {**shown} if variables is None else {**shown, "variables": variables}

    def _serve_token(self, name: str, peer: Peer | None, rejected: str) -> AccessToken:
        store = self._context.services.store
        if self._context.is_shared and (
            peer is None or not store.access_permissions.exists(name, peer.uid)
        ):
            # Also for unknown names, so that users can't find out which connections exist.
            raise self._access_denied(name, peer)
        if rejected:
            self._record_event("token-reported", name, peer)
        query = self._owner_query
        return self._context.services.tokens.access_token(
            name,
            min_ttl=_whole_number(query["min-ttl"][0]) if "min-ttl" in query else None,
            force_refresh="force" in query,
            rejected=rejected,
        )

    def _handle_service(self, _peer: Peer | None, _rejected: str) -> None:
        self._send_json(200, {"pages": self._context.create_browser_link is not None})

    def _handle_list(self, _peer: Peer | None, _rejected: str) -> None:
        query, settings = self._owner_query, self._context.services.settings
        options = [
            f"--{name}={value}" for name in LIST_OPTIONS for value in query.get(name, [])
        ] + ["--json"] * ("json" in query)
        done = subprocess.run(  # noqa: S603 - ourselves
            [*WIZARD_COMMAND, "list", *options],
            env={**settings.child_environment, **settings.service_environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIST_TIMEOUT_SECONDS,
            check=False,
        )
        self._send_json(
            200,
            {"exit_code": done.returncode, "stdout": done.stdout, "stderr": done.stderr},
        )

    def _access_denied(self, name: str, peer: Peer | None) -> WizardError:
        """The failure. On the shared socket the owner needs an access permission, too: a container
        that runs as the owner should get only its own connection."""
        if peer is None or peer.uid != os.geteuid():
            return fail("not-allowed", name=name, user=peer.user if peer else "")
        socket = self._context.services.paths.socket
        return fail("not-allowed-to-owner", name=name, user=peer.user, socket=socket)

    def _request_rejected(self, reason: str) -> WizardError:
        return fail("request-refused", reason=reason, socket=str(self._server.path))

    def _handle_owner_request(self, _peer: Peer | None, _rejected: str) -> None:
        if self._context.is_shared:
            raise self._request_rejected("Other users can request only access tokens")
        if self._target == "/shared-socket":
            self._send_json(200, {"socket": str(self._context.open_shared_socket())})
            return
        query = self._owner_query
        if self._target == CONFIRMATION_PATH:
            self._confirm_copy(query)
            return
        page = query.get("page", [""])[0]
        if self._target != "/browser-link" or not is_local_path(page):
            raise self._request_rejected("There is no such path")
        if self._context.create_browser_link is None:
            raise fail("pages-not-served")
        printed = query.get("printed") == ["1"]
        self._send_json(200, {"link": self._context.create_browser_link(page, printed)})

    def _confirm_copy(self, query: Mapping[str, list[str]]) -> None:
        """Replace the copy of a connection's access token, for the fast path, which serves it. A
        service may still use the store that the data directory had before."""
        services = self._context.services
        database = services.store.database
        if not database.is_shared or query.get("store") != [database.id]:
            raise self._request_rejected("The request is for a different store")
        services.store.require_active()
        services.token_cache.get(query.get("name", [""])[0])
        self._send_json(200, {})

    def _record_event(self, kind: str, name: str, peer: Peer | None, **details: str) -> None:
        services = self._context.services
        event = event_of(peer, services.clock(), name, kind, **details)
        asker = {"pid": event.process_id, "user": event.user}
        log.info("%s: %s %s", kind, name, {**asker, **event.details})
        if kind == "token-refused" and self._was_just_refused(name, peer):
            return
        if services.store.connections.exists(name):
            services.store.events.record_token_serving(event)

    def _was_just_refused(self, name: str, peer: Peer | None) -> bool:
        last_refusals, now = self._server.last_refusals, self._context.services.clock()
        key = name, peer.uid if peer else -1
        last = last_refusals.get(key)
        if last is not None and now - last < REFUSAL_LOG_INTERVAL:
            return True
        if len(last_refusals) >= MAX_CONNECTIONS:
            last_refusals.clear()
        last_refusals[key] = now
        return False

    def _send_failure(self, failure: Failure) -> None:
        explanation = self._explanation_of(failure)
        status = http_status_of(failure.code)
        # The details name clients and files, so only the owner gets them.
        details = {} if self._context.is_shared else {"details": dict(failure.details)}
        self._send_json(status, {"error": {**explanation_summary(explanation), **details}})

    def _explanation_of(self, failure: Failure) -> Explanation:
        """The explanation: for the owner with what is known about the connection, for others by the
        failure alone."""
        name, services = self._requested_connection, self._context.services
        with suppress(WizardError):
            if name and not self._context.is_shared and services.store.connections.exists(name):
                return services.diagnosis.explain(name, failure)
        return explain_failure(failure, services.clock(), **({"name": name} if name else {}))

    def _send_json(self, status: int, value: Mapping[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(value).encode() + b"\n")

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Zoho-Wizard-Protocol", PROTOCOL_VERSION)
        self.end_headers()
        self.wfile.write(body)


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise fail("usage", reason="min-ttl must be a number of seconds")
    return int(text)
