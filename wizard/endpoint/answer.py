"""One request on a socket: judged by its envelope, then answered, then written down."""

import json
import logging
import math
import os
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from wizard.broker import LONGEST, reported_token
from wizard.diagnosis import finding_of
from wizard.document import as_data
from wizard.endpoint.peer import Peer, peer_of
from wizard.endpoint.sockets import address_of
from wizard.errors import WizardError, fail
from wizard.house import House
from wizard.model import AccessToken, Event, Failure, Finding

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that a connection may rest; a program that asks once a minute keeps its own."""

HOSTS = frozenset({"zoho-wizard", "localhost"})
"""What a program calls us. A browser that reaches us by a bridge sends that bridge's name, and its
port."""

MOST_AT_A_TIME = 128
"""Connections to one socket; further ones are closed at once."""

MOST_OF_ONE_USER = 16
"""Of these, what anybody but the home's owner may hold, so that one user of a machine, allowed or
not, cannot shut the others out."""

REFUSAL_REST = timedelta(minutes=1)
"""One line of the history in this time for a user who is refused again and again: they must not
fill the disk."""

BROWSERS = ("origin", "referer", "cookie", "sec-")
"""How the names of headers begin that browsers send and programs do not."""

STATUS = {2: 400, 3: 409, 4: 503, 5: 500}
"""A finding's exit code as an HTTP status."""
STATUS_OF = {
    **dict.fromkeys(("not-allowed", "not-allowed-to-owner", "request-refused"), 403),
    "unknown-connection": 404,
}

ASKED = "/token/"
"""What stands before the name of the connection whose access token is asked for."""

LONGEST_NAME = 63
"""Characters of a connection's name; of what else is asked for no more is quoted."""


@dataclass(frozen=True)
class Answering:
    """What the answers on one socket are made from."""

    house: House
    launch_link: Callable[[str, bool], str]
    share: Callable[[], Path]
    shared: bool
    """The socket is for every user of the machine, each for what they were allowed."""


class SocketServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread for each connection to one Unix socket."""

    daemon_threads = True
    request_queue_size = MOST_AT_A_TIME

    def __init__(self, path: Path, answering: Answering, mode: int) -> None:
        self.path = path
        self.answering = answering
        self.refused_at: dict[tuple[str, int], datetime] = {}
        self._held: Counter[int] = Counter()
        self._counting = threading.Lock()
        # Under its own name it stands ready at once, in the place of one that a killed wizard left.
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        with address_of(fresh) as address:
            super().__init__(address, Request)
        fresh.chmod(mode)
        self._made = _identity(fresh)
        fresh.rename(path)

    def remove(self) -> None:
        """Close the socket and take its file away, unless another stands there by now."""
        self.server_close()
        with suppress(FileNotFoundError):
            if _identity(self.path) == self._made:
                self.path.unlink()

    def verify_request(self, request: Any, _address: object) -> bool:
        """Whether there is a place for one more connection of whoever opened it."""
        uid = _uid(request)
        most = MOST_AT_A_TIME if uid == os.geteuid() else MOST_OF_ONE_USER
        with self._counting:
            if self._held.total() >= MOST_AT_A_TIME or self._held[uid] >= most:
                return False
            self._held[uid] += 1
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, and give the place back."""
        uid = _uid(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._counting:
                self._held[uid] -= 1


def _identity(path: Path) -> tuple[int, int]:
    """Which file stands at `path`, whatever its name."""
    found = path.lstat()
    return found.st_dev, found.st_ino


def _uid(request: socket.socket) -> int:
    """Whose a connection is; where the kernel does not tell, they all count as one user's."""
    peer = peer_of(request)
    return peer.uid if peer else -1


def refusal(method: str, headers: Mapping[str, str], longest: int = 0) -> str:
    """Judge a request by its envelope, the headers' names in lower case: why it is refused, empty
    where it may pass. Its body may have as many bytes as `longest`."""
    for name in headers:
        if name.startswith(BROWSERS):
            return f"It carries {name}, which browsers send and programs do not"
    if headers.get("host") not in HOSTS:  # given twice, both stand there
        return "It was meant for another host"
    if "transfer-encoding" in headers or _length(headers) > longest:
        return "It carries a body that nothing here reads"
    return "" if method in ("GET", "POST") else "Only GET and POST are understood"


def _length(headers: Mapping[str, str]) -> float:
    """The bytes of a request's body; one whose length can be read two ways is too long."""
    told = headers.get("content-length", "0")
    plain = told.isascii() and told.isdecimal() and len(told) <= len(str(LONGEST))
    return int(told) if plain else math.inf


def leads_home(page: str) -> bool:
    """Whether a browser that is sent there stays with us: to it ``//host`` and ``/\\host`` lead
    elsewhere."""
    return page[:1] == "/" and page[1:2] not in ("/", "\\") and page.isprintable()


class Request(BaseHTTPRequestHandler):
    """A request and its answer."""

    protocol_version = "HTTP/1.1"
    server_version = "zoho-wizard"
    sys_version = ""
    timeout = PATIENCE

    def handle_one_request(self) -> None:
        """As the standard library does; whoever hangs up in the middle is no fault of ours."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        """An access token: ``/token/NAME``; text, or JSON for ``Accept: application/json``."""
        self._answer(self._token)

    def do_POST(self) -> None:
        """``/token/NAME`` with an access token that Zoho rejected: as by GET, but never that one.
        For the owner: ``/link?page=/&printed=1``, a launch link; ``/share``, answer others."""
        self._answer(self._own if self._name is None else self._token)

    def log_message(self, format: str, *args: Any) -> None:
        """To our own log; a path holds a connection's name and never a secret."""
        log.debug(format, *args)

    @property
    def _server(self) -> SocketServer:
        return cast(SocketServer, self.server)

    @property
    def _from(self) -> Answering:
        return self._server.answering

    @property
    def _name(self) -> str | None:
        """The connection whose token is asked for; None where something else is."""
        path = self.path.partition("?")[0]
        return unquote(path.removeprefix(ASKED)) if path.startswith(ASKED) else None

    def _answer(self, act: Callable[[Peer | None, str], None]) -> None:
        try:
            headers: dict[str, str] = {}
            for name, value in self.headers.items():
                headers[name.lower()] = ",".join(filter(None, (headers.get(name.lower()), value)))
            reports = self.command == "POST" and self._name is not None
            reason = refusal(self.command, headers, LONGEST if reports else 0)
            if self.headers.defects:
                reason = "Its headers are not those of HTTP"
            if reason:
                self.close_connection = True
                raise self._refused(reason)
            # All of it, whoever asks: what stays unread would be taken for the next request.
            body = self.rfile.read(int(_length(headers)))
            peer = peer_of(self.connection)
            if not self._from.shared and peer is not None and peer.uid != os.geteuid():
                raise self._refused("It comes from another user")
            act(peer, reported_token(body) if reports else "")
        except WizardError as error:
            self._explain(error.failure)
        except Exception as error:
            log.exception("an answer broke off")
            self._explain(Failure("unknown", zoho_word=type(error).__name__))

    def _token(self, peer: Peer | None, rejected: str) -> None:
        if (name := self._name) is None:
            raise self._refused("Only /token/NAME can be asked for")
        try:
            token = self._handed_out(name, peer, rejected)
        except WizardError as error:
            self._note("token-refused", name, peer, code=error.failure.code)
            if error.failure.code == "grant-dead":
                self._from.house.alarm.raise_soon(name)
            raise
        self._note("token-handed-out", name, peer, generation=str(token.generation))
        if "application/json" in self.headers.get("Accept", ""):
            self._send_json(200, _token_json(token))
        else:
            self._send(200, "text/plain", f"{token.value}\n".encode())

    def _handed_out(self, name: str, peer: Peer | None, rejected: str) -> AccessToken:
        store = self._from.house.store
        if self._from.shared and (peer is None or not store.is_allowed(name, peer.uid)):
            # The same for a name that is not known: nobody learns here what there is.
            raise self._not_allowed(name[:LONGEST_NAME], peer)
        if rejected:
            self._note("token-reported", name, peer)
        return self._from.house.broker.access_token(name, rejected=rejected)

    def _not_allowed(self, name: str, peer: Peer | None) -> WizardError:
        """Its owner, too, is handed by the shared socket only what was allowed: a container that
        runs under the owner's number is to get its own connection and no other."""
        if peer is None or peer.uid != os.geteuid():
            return fail("not-allowed", name=name, user=peer.user if peer else "…")
        socket = self._from.house.home.socket
        return fail("not-allowed-to-owner", name=name, user=peer.user, socket=socket)

    def _refused(self, reason: str) -> WizardError:
        return fail("request-refused", reason=reason, socket=str(self._server.path))

    def _own(self, _peer: Peer | None, _rejected: str) -> None:
        asked = urlsplit(self.path)
        if self._from.shared:
            raise self._refused("Others may ask for access tokens only")
        if asked.path == "/share":
            self._send_json(200, {"socket": str(self._from.share())})
            return
        query = parse_qs(asked.query)
        page = query.get("page", [""])[0]
        if asked.path != "/link" or not leads_home(page):
            raise self._refused("Only /link and /share are understood")
        printed = query.get("printed") == ["1"]
        self._send_json(200, {"link": self._from.launch_link(page, printed)})

    def _note(self, kind: str, name: str, peer: Peer | None, **details: str) -> None:
        house = self._from.house
        who = {"uid": str(peer.uid), "pid": str(peer.pid), "user": peer.user} if peer else {}
        log.info("%s: %s %s %s", kind, name, who, details)
        if kind == "token-refused" and self._was_just_refused(name, peer):
            return
        if house.store.has_connection(name):
            house.store.note_handing(Event(house.clock(), name, kind, {**who, **details}))

    def _was_just_refused(self, name: str, peer: Peer | None) -> bool:
        refused_at, now = self._server.refused_at, self._from.house.clock()
        key = name, peer.uid if peer else -1
        last = refused_at.get(key)
        if last is not None and now - last < REFUSAL_REST:
            return True
        if len(refused_at) >= MOST_AT_A_TIME:
            refused_at.clear()
        refused_at[key] = now
        return False

    def _explain(self, failure: Failure) -> None:
        found = self._found(failure)
        status = STATUS_OF.get(failure.code) or STATUS.get(found.exit_code, 409)
        # The details name clients and files: they are for the owner's own commands.
        details = {} if self._from.shared else {"details": dict(failure.details)}
        self._send_json(status, {"error": {**as_data(found), **details}})

    def _found(self, failure: Failure) -> Finding:
        """The finding: for the owner by all that is known of the connection, for others by what
        they met alone."""
        name, house = self._name, self._from.house
        with suppress(WizardError):
            if name and not self._from.shared and house.store.has_connection(name):
                return house.diagnosis.finding(name, failure)
        return finding_of(failure, house.clock(), **({"name": name} if name else {}))

    def _send_json(self, status: int, document: Mapping[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(document).encode() + b"\n")

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


def _token_json(token: AccessToken) -> dict[str, Any]:
    """What a program needs to use the token, and nothing else."""
    return {
        "access_token": token.value,
        "token_type": "Zoho-oauthtoken",
        "expires_at": token.expires_at.isoformat(),
        "api_domain": token.api_domain,
        "location": token.location,
        "stale": token.stale,
    }
