"""The adapter that carries a session's requests, each within one deadline, and what each network
error means.

The only code that opens connections to Zoho.
"""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import requests
import truststore
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from wizard.errors import WizardError
from wizard.model import Failure, HttpExchange, SimulatorProxy
from wizard.transport import HttpResponse, Transport, is_loopback, parse_json
from wizard.transport.redaction import mask_parameters, mask_response, mask_text, secrets_of


class Deadline:
    """Closes every connection that its thread has opened, when its time is over.

    A timeout for each read is not enough: a server that sends one byte a second never exceeds it.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self.connected = False
        """A connection, TLS included, was ready in time: something may have been sent."""
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._context_token = _current_deadline.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _current_deadline.reset(self._context_token)
        with self._lock:
            for each in self._sockets:
                each.close()
            self._sockets.clear()

    def guard(self, sock: socket.socket) -> None:
        """Close this connection at the deadline as well, or now if it has passed."""
        with self._lock:
            # A duplicate, because TLS takes over the descriptor of this object.
            self._sockets.append(sock.dup())
            if self.expired:
                self._shut_down_sockets()

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            self._shut_down_sockets()

    def _shut_down_sockets(self) -> None:
        for each in self._sockets:
            with suppress(OSError):  # the other side has closed it
                each.shutdown(socket.SHUT_RDWR)


_current_deadline: ContextVar[Deadline] = ContextVar("current_deadline")


class _DeadlineConnection(urllib3.connection.HTTPConnection):
    """A connection that the current deadline closes."""

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        _current_deadline.get().guard(connection)
        return connection

    def connect(self) -> None:
        super().connect()
        deadline = _current_deadline.get()
        deadline.connected = not deadline.expired


class _DeadlineTLSConnection(_DeadlineConnection, urllib3.connection.HTTPSConnection):
    """The same with TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _PoolTLS(urllib3.HTTPSConnectionPool):
    ConnectionCls = _DeadlineTLSConnection


def apply_deadline_to_pools(manager: urllib3.PoolManager) -> None:
    """Have the current deadline close every connection of ``manager``."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}


SIMULATOR_AUTHORITY = b"zoho-wizard simulator"
"""In each certificate of a simulated Zoho at Zoho's real host names: the authority's name."""


class _LiveContext(truststore.SSLContext):
    """Verifies with the operating system's certificates, so that a company's own certificate
    authority is trusted as in the browser. The authority of a simulated Zoho isn't.
    """

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """Raises ``simulated-zoho``."""
        wrapped = super().wrap_socket(*arguments, **options)
        if SIMULATOR_AUTHORITY in (wrapped.getpeercert(binary_form=True) or b""):
            wrapped.close()
            details = {"host": wrapped.server_hostname or ""}
            raise WizardError(Failure("simulated-zoho", sent=False, details=details))
        return wrapped


def tls_context(simulator_proxy: SimulatorProxy | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later. It trusts the operating system's authorities, or only a simulator's."""
    if simulator_proxy is None:
        context: ssl.SSLContext = _LiveContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with suppress(OSError):  # the simulator has stopped, and its proxy with it
            context.load_verify_locations(simulator_proxy.authority_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


NO_RESPONSE_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""What the libraries raise if no response arrives, or only part of one."""


def failure_code_of(error: BaseException, *, is_expired: bool, is_connected: bool) -> str:
    """The failure code of an error, after the deadline has passed or a connection was ready."""
    causes = tuple(_causes(error))

    def any_of(*kinds: type[BaseException]) -> bool:
        return any(isinstance(each, kinds) for each in causes)

    # urllib3's own timeouts don't count: it raises them for every failure to connect.
    if is_expired or any_of(TimeoutError):
        return "network-timeout"
    if any_of(requests.exceptions.ProxyError, urllib3.exceptions.ProxyError):
        return "network-proxy"
    if any_of(ssl.SSLError):
        return "network-tls"
    if any_of(socket.gaierror):
        return "network-dns"
    if any_of(ConnectionRefusedError):
        return "network-refused"
    return "network-reset" if is_connected else "network-unreachable"


def tls_failure_reason(error: BaseException) -> str:
    """Why the certificate was rejected; empty if the error has another cause."""
    for each in _causes(error):
        if isinstance(each, ssl.SSLError):
            return str(getattr(each, "verify_message", "") or each.reason or "")
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all errors behind it, wherever requests and urllib3 keep them."""
    waiting: list[object] = [error]
    seen: list[object] = []
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and each not in seen:
            seen.append(each)
            yield each
            waiting += [*each.args, getattr(each, "reason", None)]
            waiting += [each.__cause__, each.__context__]


MAX_BODY_BYTES = 256 * 1024
"""Zoho's responses to the wizard's requests have about a hundredth of this."""


class TransportAdapter(HTTPAdapter):
    """Carries the requests of one session under the transport's rules."""

    def __init__(self, transport: Transport, known_secrets: tuple[str, ...] = ()) -> None:
        self._transport = transport
        self._known_secrets = known_secrets
        self._last_response: HttpResponse | None = None
        super().__init__(max_retries=0)

    @property
    def last_response(self) -> HttpResponse:
        """The response to the last request."""
        if self._last_response is None:
            raise LookupError("no response yet")
        return self._last_response

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls_context(), **kwargs)
        apply_deadline_to_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._tls_context(), **kwargs)
        apply_deadline_to_pools(manager)
        return manager

    def _tls_context(self) -> ssl.SSLContext:
        return tls_context(self._transport.simulator_proxy)

    def cert_verify(self, conn: Any, *_: Any) -> None:
        """Have the TLS context verify the certificate: requests would add its own bundle."""
        conn.cert_reqs = "CERT_REQUIRED"

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send, and read the whole response. The caller's timeouts and proxies are ignored."""
        url = request.url or ""
        if not self._transport.url_allowlist.is_allowed_url(url):
            details = {"host": _host(url)}
            raise WizardError(Failure("host-not-in-table", sent=False, details=details))
        at = self._transport.clock()
        response, body = self._send_with_deadline(request, url, at)
        exchange = self._http_exchange(request, at, response.status_code, body)
        secrets = self._secrets_of_request(request)
        self._last_response = _checked_response(response, body, exchange, secrets)
        return response

    def _send_with_deadline(
        self, request: requests.PreparedRequest, url: str, at: datetime
    ) -> tuple[requests.Response, bytes]:
        seconds = (self._transport.connect_timeout_seconds, self._transport.total_timeout_seconds)
        with Deadline(self._transport.total_timeout_seconds) as deadline:
            try:
                proxies = _proxies(url, self._transport.simulator_proxy)
                response = super().send(request, True, seconds, True, None, proxies)
                with response:
                    body = response.raw.read(MAX_BODY_BYTES + 1, decode_content=True)
                if deadline.expired:
                    raise TimeoutError  # a closed connection looks like the end of the response
            except NO_RESPONSE_ERRORS as error:
                failure = Failure(
                    code=failure_code_of(
                        error, is_expired=deadline.expired, is_connected=deadline.connected
                    ),
                    temporary=True,
                    sent=deadline.connected,
                    details={"host": _host(url), "reason": tls_failure_reason(error)},
                    exchange=self._http_exchange(request, at, None, b""),
                )
                raise WizardError(failure) from None
            finally:
                self.close()
        response._content = body
        return response, body

    def _secrets_of_request(self, request: requests.PreparedRequest) -> tuple[str, ...]:
        return (*_sent_parameters(request)[1], *self._known_secrets)

    def _http_exchange(
        self, request: requests.PreparedRequest, at: datetime, status: int | None, body: bytes
    ) -> HttpExchange:
        parameters, _ = _sent_parameters(request)
        answer = mask_response(body, parse_json(body), self._secrets_of_request(request))
        url = (request.url or "").partition("?")[0]
        return HttpExchange(request.method or "", url, parameters, status, answer, at)


def _checked_response(
    response: requests.Response, body: bytes, exchange: HttpExchange, secrets: tuple[str, ...]
) -> HttpResponse:
    """The response; raises a failure for a redirect or for too large a body."""
    status, headers = response.status_code, response.headers
    to = mask_text(_host(headers.get("Location", "")), secrets)
    details = {"host": _host(exchange.url), "to": to}
    if 300 <= status < 400:
        raise WizardError(Failure("unexpected-redirect", details=details, exchange=exchange))
    if len(body) > MAX_BODY_BYTES:
        code = "answer-too-large"
        raise WizardError(Failure(code, temporary=True, details=details, exchange=exchange))
    return HttpResponse(status, {k.lower(): v for k, v in headers.items()}, body, exchange, secrets)


def _sent_parameters(request: requests.PreparedRequest) -> tuple[dict[str, str], tuple[str, ...]]:
    """The parameters of a request, masked, and all secrets in it."""
    query = (request.url or "").partition("?")[2]
    form = request.body if isinstance(request.body, str) else ""
    sent = parse_qsl(query, keep_blank_values=True) + parse_qsl(form, keep_blank_values=True)
    parameters, secrets = mask_parameters(dict(sent))
    return parameters, secrets + secrets_of(str(request.headers.get("Authorization", "")))


def _proxies(url: str, simulator_proxy: SimulatorProxy | None) -> dict[str, str]:
    """The proxies for ``url``: the simulator's, or those of the environment; none for this
    computer, because a proxy would carry its tokens away.
    """
    if simulator_proxy is not None:
        return {"https": simulator_proxy.url}
    return {} if is_loopback(_host(url)) else dict(get_environ_proxies(url))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
