"""A minimal HTTP server on a Unix socket: `python bare_server.py SOCKET`."""

import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread for each connection, as in the wizard's own server."""

    daemon_threads = True
    request_queue_size = 128


class Request(BaseHTTPRequestHandler):
    """Return the same response to every request."""

    def do_GET(self) -> None:
        body = b"1000.%064x\n" % 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    with Server(sys.argv[1], Request) as server:
        sys.stderr.write("serves\n")
        sys.stderr.flush()
        server.serve_forever()
