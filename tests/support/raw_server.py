"""A server on a real socket that sends exactly the bytes a test chooses."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

SocketHandler = Callable[[socket.socket], object]


def http_response(status: int = 200, body: bytes | str = b"{}", **headers: str) -> bytes:
    """The bytes of a whole HTTP response, JSON unless a header says otherwise."""
    raw = body.encode() if isinstance(body, str) else body
    lines = {"Content-Type": "application/json;charset=UTF-8", "Content-Length": str(len(raw))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Word\r\n{head}\r\n".encode() + raw


class RawServer:
    """Listens on 127.0.0.1; `answer` is sent to every request, or called with its socket."""

    def __init__(self, response: bytes | SocketHandler, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.request_done = threading.Event()
        """Set when a response was sent or the client disconnected."""
        self._response = response
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                stack.enter_context(connection)
                connection.settimeout(10)
                if self._tls is not None:
                    connection = stack.enter_context(
                        self._tls.wrap_socket(connection, server_side=True)
                    )
                self.requests.append(_read_request(connection))
                if isinstance(self._response, bytes):
                    connection.sendall(self._response)
                else:
                    self._response(connection)
            self.request_done.set()


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536) or _raise_disconnected()
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536) or _raise_disconnected()
    return head + b"\r\n\r\n" + body


def _raise_disconnected() -> bytes:
    raise ConnectionResetError
