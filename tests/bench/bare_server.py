"""The least that answers HTTP on a Unix socket: `python bare_server.py SOCKET`."""

import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread for each connection, as the wizard's own."""

    daemon_threads = True
    request_queue_size = 128


class Request(BaseHTTPRequestHandler):
    """Answers the same to everybody."""

    def do_GET(self) -> None:
        body = b"1000.%064x\n" % 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    with Server(sys.argv[1], Request) as server:
        sys.stderr.write("serves\n")
        sys.stderr.flush()
        server.serve_forever()
