"""An HTTP proxy that answers for Zoho's real host names, and for no others.

It accepts CONNECT (RFC 9110, section 9.3.6), as most clients use it, and requests with the whole
`https://` URL in their first line, as some do. Either way, it sends the request to the simulator's
own server for real host names. Nothing ever leaves this computer.
"""

import re
import selectors
import socket
import ssl
import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

BUFFER_BYTES = 65536
MAX_HEAD_BYTES = 65536
STALLED_SECONDS = 60
"""After this, a client that is in the middle of something is given up."""
HOP_BY_HOP = ("connection", "proxy-connection", "proxy-authorization", "keep-alive", "host")
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True)
class RequestHead:
    """The first line and the headers of a request to a proxy."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]

    @property
    def host(self) -> str:
        """The host that the client wants to reach; "" if it isn't one at https://, port 443."""
        url = f"https://{self.target}" if self.method == "CONNECT" else self.target
        try:
            parts = urlsplit(url)
            is_https = parts.scheme == "https" and parts.port in (None, 443)
        except ValueError:
            return ""
        return (parts.hostname or "").rstrip(".") if is_https else ""

    @property
    def refused_place(self) -> str:
        """What the client wants to reach, without the parts of a URL that may be secret."""
        found = re.match(r"(\w+://)?(?:[^/?#]*@)?([^/?#]*)", self.target)
        return ("".join(filter(None, found.groups())) if found else "")[:200] or "/"

    def to_server(self) -> bytes:
        """Return the same request as the server itself gets it, for one request only."""
        parts = urlsplit(self.target)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        kept = [each for each in self.headers if each[0].casefold() not in HOP_BY_HOP]
        headers = [("Host", self.host), ("Connection", "close"), *kept]
        lines = [f"{self.method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def parse_head(text: bytes) -> RequestHead | None:
    """Parse a request's first line and headers; None if they aren't HTTP/1."""
    first, *lines = text.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    pairs = (line.partition(":") for line in lines if line)
    headers = tuple((name, value.strip()) for name, _, value in pairs)
    return RequestHead(words[0].upper(), words[1], words[2], headers)


class Proxy:
    """Serves a listening socket, a thread for each connection, with `tls` toward the client.

    `server` is the address of the simulator's server for real host names, and `names` are those
    names. `refused_hosts` are those that were asked for and aren't among them.
    """

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext,
        server: tuple[str, int],
        names: Collection[str],
    ) -> None:
        self.refused_hosts: set[str] = set()
        self._listening, self._tls, self._server = listening, tls, server
        self._names = names
        self._wake, self._woken = socket.socketpair()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_stopped = False
        self._threads: set[threading.Thread] = set()
        self._accepting = threading.Thread(target=self._accept, name="simulator proxy", daemon=True)

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        """End all connections, and close every socket."""
        with self._lock:
            self._is_stopped = True
            for each in self._connections:
                with suppress(OSError):
                    # The method of TLS sockets also ends TLS, which another thread uses.
                    socket.socket.shutdown(each, socket.SHUT_RDWR)
        self._wake.close()
        if self._accepting.is_alive():
            self._accepting.join()
        for thread in list(self._threads):
            thread.join()
        self._listening.close()
        self._woken.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._is_stopped:
                if self._woken in [key.fileobj for key, _ in selector.select()]:
                    return
                with suppress(OSError):
                    client, _ = self._listening.accept()
                    self._start_thread(client)

    def _start_thread(self, client: socket.socket) -> None:
        thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
        self._threads.add(thread)
        thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, suppress(OSError, ValueError):  # a client may go away at any moment
                client.settimeout(STALLED_SECONDS)
                self._keep(client)
                self._answer(client)
        finally:
            with self._lock:
                self._connections = {each for each in self._connections if each.fileno() >= 0}
                self._threads.discard(threading.current_thread())

    def _keep(self, connection: socket.socket) -> None:
        """Have `stop` end this connection."""
        with self._lock:
            self._connections.add(connection)
            if self._is_stopped:
                raise ConnectionAbortedError

    def _answer(self, client: socket.socket) -> None:
        text, rest = _read_head(client)
        head = parse_head(text)
        if head is None:
            client.sendall(_response("400 Bad Request", "This is an HTTP proxy."))
        elif head.host not in self._names:
            host = head.host or head.refused_place
            self.refused_hosts.add(host)
            reason = f"The simulated Zoho doesn't answer for {host}. Nothing was sent there."
            client.sendall(_response("403 Forbidden", reason))
        elif head.method == "CONNECT":
            client.sendall(ESTABLISHED)
            with self._tls.wrap_socket(
                client, server_side=True, do_handshake_on_connect=False
            ) as tls:
                self._keep(tls)  # `client` has lost its descriptor
                tls.do_handshake()
                self._relay(tls, b"")
                tls.settimeout(0)
                tls.unwrap()  # says that this is the end, without waiting for the client's answer
        else:
            self._relay(client, head.to_server() + rest)

    def _relay(self, client: socket.socket, to_server: bytes) -> None:
        """Copy in both directions until either side closes the connection."""
        with (
            socket.create_connection(self._server, STALLED_SECONDS) as server,
            selectors.DefaultSelector() as selector,
        ):
            self._keep(server)
            server.sendall(to_server)
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                has_rest = isinstance(client, ssl.SSLSocket) and client.pending()
                ready = [(client, server)] if has_rest else _ready(selector)
                for source, target in ready:
                    data = source.recv(BUFFER_BYTES)
                    if not data:
                        return
                    target.sendall(data)


def _ready(selector: selectors.BaseSelector) -> list[tuple[socket.socket, socket.socket]]:
    return [(key.fileobj, key.data) for key, _ in selector.select()]  # type: ignore[misc]


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """Read a request up to the end of its headers; return it, and what came after it."""
    read = b""
    while b"\r\n\r\n" not in read:
        data = client.recv(BUFFER_BYTES)
        if not data or len(read) > MAX_HEAD_BYTES:
            raise ConnectionAbortedError
        read += data
    head, _, rest = read.partition(b"\r\n\r\n")
    return head, rest


def _response(status: str, reason: str) -> bytes:
    body = f"zoho-wizard simulator: {reason}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
