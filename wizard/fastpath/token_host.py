"""Access tokens from another machine, the token host, which is asked with the system's ``ssh``.

A token is copied to a private file and served from there for a minute. One process asks the host,
and the others wait for its copy. The copy is bound to the host and the connection. Its expiry is
counted from the moment of the request, by this machine's clock.

An answer is a dict, and a failure of SSH has the form of the host's own refusals:
``{"error": {"code", "details", "temporary", "retry_at"}}``.
"""

import os
import time

from wizard import files, locks, paths
from wizard.fastpath import token_file
from wizard.fastpath.ssh_requests import PROTOCOL, SshRequest
from wizard.fastpath.token_file import CachedToken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, Any

COPY_SECONDS = 60
"""How long a copied token is served: within this time, a rejection reaches all machines."""
ANSWER_TIMEOUT_SECONDS = 150.0
"""Enough for a refresh with all its retries, or a check of some connections."""
CONNECT_TIMEOUT_SECONDS = 10
WAIT_SECONDS = 65.0
"""How long to wait for another process that asks the host."""
POLL_INTERVAL_SECONDS = 0.05
MAX_TOKEN_CHARACTERS = 2048
END_TIMEOUT_SECONDS = 10.0
"""How long ``ssh`` may take to end after its answer."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""No more is read from a host: thousands of connections need less."""
MAX_ERRORS_BYTES = 65536
"""The same for what it or ``ssh`` writes to stderr."""
MAX_EXPIRES_IN_SECONDS = 24 * 60 * 60
"""Zoho's access tokens are valid for an hour."""
MAX_DOCUMENT_CHARACTERS = 16384
"""Of the document and the variables of a token: their copy must fit into its file."""
MAX_BRACKETS = 100
"""In the document, so that each program can read it."""
MAX_DETAIL_CHARACTERS = 500
"""Of each text in a message that the host chose."""
_CHUNK_BYTES = 65536
_MAX_DIRECTORY_BYTES = 49
"""A socket's path has at most 107 bytes, of which ssh needs 58: a slash, 40 for the name, and 17
for a temporary one."""
_MAX_REASON_CHARACTERS = 200

_OPTIONS = (
    "BatchMode=yes",
    f"ConnectTimeout={CONNECT_TIMEOUT_SECONDS}",
    "ServerAliveInterval=15",
    "LogLevel=ERROR",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
)
_SSH_FAILED = 255
"""The exit code of ``ssh`` for its own failures."""
_REASONS = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "host-key-changed"),
    ("Host key verification failed", "host-key-unknown"),
    ("Permission denied (", "ssh-key-refused"),
    ("Too many authentication failures", "ssh-key-refused"),
    ("Could not resolve hostname", "token-host-unreachable"),
    ("connect to host", "token-host-unreachable"),
    ("Connection closed by", "token-host-unreachable"),
    ("Connection reset by", "token-host-unreachable"),
    ("Connection timed out", "token-host-unreachable"),
    ("timed out during banner exchange", "token-host-unreachable"),
    ("kex_exchange_identification", "token-host-unreachable"),
    ("Timeout, server", "token-host-unreachable"),
)
"""What OpenSSH writes in the C locale, and the code of the failure; the first that occurs."""


class TokenHost:
    """The address of a token host."""

    __slots__ = ("host", "port", "user")

    def __init__(self, user: str, host: str, port: str) -> None:
        self.user = user
        self.host = host
        """A name, an IP address, or an alias in the configuration of ``ssh``."""
        self.port = port
        """Empty: as ``ssh`` is configured."""

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port else "")

    @property
    def destination(self) -> str:
        """The host as an argument of ``ssh``."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def details(self) -> dict[str, str]:
        """The values of messages about the host."""
        return {
            "address": str(self),
            "known_host": f"[{self.host}]:{self.port}" if self.port else self.host,
        }


def parse_address(text: str) -> TokenHost | None:
    """The host of ``ssh://[USER@]HOST[:PORT][/]``; None for anything else. Neither name can begin
    with a dash, as an option of ``ssh`` does."""
    scheme, separator, rest = text.partition("://")
    if scheme != "ssh" or not separator or not rest.isascii():
        return None
    user, at, host_and_port = rest.removesuffix("/").rpartition("@")
    if host_and_port.startswith("["):
        host, bracket, after = host_and_port[1:].partition("]")
        before, colon, port = after.partition(":")
        is_address = all(each in "0123456789abcdefABCDEF:." for each in host)
        is_host = bool(host and bracket and is_address and not before)
    else:
        host, colon, port = host_and_port.partition(":")
        is_host = _is_plain(host)
    is_port = port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536 if colon else not port
    is_user = _is_plain(user) if at else not user
    return TokenHost(user, host, port) if is_host and is_port and is_user else None


def get_token(
    host: TokenHost,
    request: SshRequest,
    environ: "Mapping[str, str]",
    rejected: str = "",
) -> "CachedToken | dict[str, Any]":
    """The copied access token, or the one that the host gives now; else the ``error`` of its
    answer. ``rejected`` is an access token that Zoho rejected; the host is told of it."""
    here = paths.locate(environ)
    name, min_ttl = "".join(request.names), request.min_ttl_seconds
    copy, lock = here.copied_token(name), f"{here.copied_token(name)}.lock"
    if not rejected and (token := _copied(copy, host, name, min_ttl)):
        return token
    is_locked = False
    try:
        files.make_directory(here.token_host_dir)
        if not os.path.exists(lock):
            os.close(files.open_to_append(lock))
        begun = time.monotonic()
        while not (is_locked := locks.try_acquire(lock)):
            if time.monotonic() >= begun + WAIT_SECONDS:
                break
            locks.pause(begun)
    except OSError:
        pass  # where nothing can be written, each process asks
    try:
        if not rejected and (token := _copied(copy, host, name, min_ttl)):
            return token
        asked_at = time.time()
        answer = ask(host, request, environ, rejected)
        if "error" in answer:
            if answer["error"]["code"] != "token-host-unreachable":
                _remove(copy)
            return dict(answer["error"])
        token = _token_of(answer.get("token"), asked_at)
        if token is None:
            _remove(copy)
            return failure(host, "token-host-without-wizard")
        try:  # noqa: SIM105 - contextlib is expensive to import
            files.replace(copy, _pack(token, host, name, asked_at), is_durable=False)
        except OSError:  # it is asked for again
            pass
        return token
    finally:
        if is_locked:
            locks.release(lock)


def ask(
    host: TokenHost, request: SshRequest, environ: "Mapping[str, str]", rejected: str = ""
) -> "dict[str, Any]":
    """The host's answer to a request, or ``error``."""
    import json

    here = paths.locate(environ)
    outcome = _run_ssh(host, str(request), here.token_host_dir, environ, f"{rejected}\n".encode())
    if isinstance(outcome, str):
        return {"error": failure(host, outcome)}
    code, output, errors = outcome
    if code == _SSH_FAILED:
        return {"error": failure(host, *_explain(errors))}
    try:
        answer = json.loads(output)
        protocol, zoho, error = answer["protocol"], answer["zoho"], answer["error"]
        theirs = {"protocol": _text(protocol), "zoho": _text(zoho)}
        if error is not None:
            error = {
                "code": str(error["code"]),
                "details": {
                    **{str(key): _text(value) for key, value in error["details"].items()},
                    **host.details,
                    "name": "".join(request.names[:1]),
                },
                "temporary": bool(error["temporary"]),
                "retry_at": error["retry_at"],
            }
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return {"error": failure(host, "token-host-without-wizard", _last_line(errors))}
    if protocol != PROTOCOL:
        versions = {"ours": str(PROTOCOL), "theirs": theirs["protocol"]}
        return {"error": failure(host, "token-host-version", **versions)}
    ours = here.simulator_url.rstrip("/") or "live"
    if zoho != ours:
        return {"error": failure(host, "token-host-foreign-zoho", ours=ours, theirs=theirs["zoho"])}
    if error is None:
        return {"token": answer.get("token"), "report": answer.get("report")}
    return {"error": error}


def failure(host: TokenHost, code: str, reason: str = "", **details: str) -> "dict[str, Any]":
    """A failure that isn't the host's own."""
    return {
        "code": code,
        "details": {**host.details, "reason": reason, **details},
        "temporary": code == "token-host-unreachable",
        "retry_at": None,
    }


def _run_ssh(
    host: TokenHost,
    line: str,
    directory: str,
    environ: "Mapping[str, str]",
    given: bytes,
) -> "tuple[int, bytearray, str] | str":
    """The exit code, stdout and stderr of ``ssh``; the code of a failure if it has none, or writes
    more than an answer has."""
    import subprocess
    import threading

    port = ["-p", host.port] if host.port else []
    options = [f"-o{each}" for each in (*_OPTIONS, *_sharing(directory))]
    environment = {name: e for name, e in environ.items() if not name.startswith("ZOHO_")}
    # The connection that is kept open may keep stderr open, too, so its end isn't waited for.
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    output, errors = bytearray(), bytearray()
    end = time.monotonic() + ANSWER_TIMEOUT_SECONDS
    try:
        with subprocess.Popen(  # noqa: S603 - no shell; the address and the line are checked
            ["ssh", *options, *port, "--", host.destination, line],  # noqa: S607 - the user's
            env={**environment, "LC_ALL": "C"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=writer,
        ) as ssh:
            reading = threading.Thread(target=_read, args=(ssh.stdout, output), daemon=True)
            reading.start()
            _write(ssh.stdin, given)
            while reading.is_alive() and len(errors) <= MAX_ERRORS_BYTES and time.monotonic() < end:
                reading.join(POLL_INTERVAL_SECONDS)
                errors += _read_available(reader)
            if len(output) > MAX_ANSWER_BYTES or len(errors) > MAX_ERRORS_BYTES:
                ssh.kill()
                return "token-host-without-wizard"
            try:
                ssh.wait(0 if reading.is_alive() else END_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                ssh.kill()
                return "token-host-unreachable"
        errors += _read_available(reader)
        return ssh.returncode, output, errors.decode("utf-8", "replace")
    except OSError:
        return "ssh-missing"
    finally:
        os.close(reader)
        os.close(writer)


def _read(stream: "IO[bytes] | None", output: bytearray) -> None:
    """Read to the end, or to more than an answer has."""
    try:
        while stream and len(output) <= MAX_ANSWER_BYTES:
            chunk = os.read(stream.fileno(), _CHUNK_BYTES)
            if not chunk:
                return
            output.extend(chunk)
    except (OSError, ValueError):  # the other thread has closed it
        pass


def _read_available(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except BlockingIOError:
        return b""


def _write(stream: "IO[bytes] | None", given: bytes) -> None:
    try:
        if stream:
            with stream:
                stream.write(given)
    except BrokenPipeError:  # ssh ended before; its exit code says why
        pass


def _sharing(directory: str) -> tuple[str, ...]:
    """Options to keep one connection open for further requests, if there is a private directory for
    its socket."""
    # ssh would read other characters as variables or quotation marks.
    is_plain = directory.isascii() and all(c.isalnum() or c in "/._-" for c in directory)
    is_short = len(directory) <= _MAX_DIRECTORY_BYTES
    if not (is_plain and is_short and _is_private(directory)):
        return ("ControlMaster=no", "ControlPath=none")
    return ("ControlMaster=auto", f"ControlPath={directory}/%C", "ControlPersist=60")


def _is_private(directory: str) -> bool:
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    return (
        os.name == "posix"
        and status.st_uid == os.geteuid()
        and status.st_mode & 0o170077 == 0o040000
    )


def _explain(errors: str) -> tuple[str, str]:
    """The code of a failure of ``ssh`` and its own words."""
    reason = _last_line(errors)
    return next((code for text, code in _REASONS if text in errors), "ssh-failed"), reason


def _last_line(errors: str) -> str:
    lines = ["".join(c for c in line if c.isprintable()).strip() for line in errors.split("\n")]
    return next((line for line in reversed(lines) if line), "")[:_MAX_REASON_CHARACTERS].rstrip(".")


def _text(value: "Any") -> str:
    """What the host said, for a message."""
    return str(value)[:MAX_DETAIL_CHARACTERS]


def _token_of(given: "Any", asked_at: float) -> CachedToken | None:
    """The access token in an answer; None if anything in it isn't as it has to be. What the host
    says is printed and becomes variables of a command, so neither can be anything else."""
    import json

    try:
        value, document = given["access_token"], given["document"]
        expires_at, generation = int(asked_at) + given["expires_in"], given["generation"]
        lines = [f"{name}={text}" for name, text in given["variables"].items()]
        is_valid = (
            0 < len(value) <= MAX_TOKEN_CHARACTERS
            and value.isascii()
            and all("!" <= each <= "~" for each in value)
            and 0 < given["expires_in"] <= MAX_EXPIRES_IN_SECONDS
            and len(document) + sum(map(len, lines)) <= MAX_DOCUMENT_CHARACTERS
            and sum(map(document.count, "[{")) <= MAX_BRACKETS
            and all(each.isprintable() or each == "\n" for each in document)
            and token_file.EXPIRES_IN in document
            and isinstance(json.loads(document), dict)
            and all(line.isprintable() and line.startswith("ZOHO_") for line in lines)
            and not any(line.startswith(paths.VARIABLE_PREFIX) for line in lines)
        )
        times = (int(expires_at), int(expires_at), int(asked_at))
        token = CachedToken(times, int(generation), (value, "", ""), document, "\n".join(lines))
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None
    return token if is_valid else None


def _copied(path: str, host: TokenHost, name: str, min_ttl: int | None) -> CachedToken | None:
    """The copied access token, if it can be served now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        try:
            if os.name == "posix":
                status = os.fstat(descriptor)
                if status.st_mode & 0o077 or status.st_uid != os.geteuid():
                    return None
            content = os.read(descriptor, token_file.MAX_FILE_BYTES).decode()
        finally:
            os.close(descriptor)
        times, address, owner, value, generation, document, variables = content.split("\x00")
        copied_at, expires_at = map(int, times.split(" "))
        number = int(generation)
    except (OSError, ValueError):
        return None
    now = time.time()
    serves = 0 <= now - copied_at < COPY_SECONDS
    if (address, owner) != (str(host), name) or not serves:
        return None
    if not token_file.is_usable(expires_at, copied_at, now, min_ttl or 0):
        return None
    return CachedToken(
        (expires_at, expires_at, copied_at), number, (value, "", ""), document, variables
    )


def _pack(token: CachedToken, host: TokenHost, name: str, asked_at: float) -> bytes:
    fields = (
        f"{int(asked_at)} {token.expires_at}", str(host), name, token.access_token,
        str(token.generation), token.document, token.variables,
    )  # fmt: skip
    return "\x00".join(fields).encode()


def _remove(path: str) -> None:
    try:  # noqa: SIM105
        files.remove(path)
    except OSError:
        pass


def _is_plain(text: str) -> bool:
    return bool(text) and not text.startswith("-") and all(c.isalnum() or c in "._-" for c in text)
