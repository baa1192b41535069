"""A shared database without SQLAlchemy: its address, and one access token from it.

This imports psycopg, which costs more than everything else in this package together.
"""

import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from wizard import files
from wizard.fastpath import token_file
from wizard.paths import Paths

try:
    import psycopg
    from psycopg import pq
    from psycopg.conninfo import conninfo_to_dict
except ImportError as error:
    from wizard.errors import fail

    raise fail("postgresql-missing") from error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wizard.errors import WizardError

CONNECT_TIMEOUT_SECONDS = 5
MAX_CLOCK_DIFFERENCE_SECONDS = 10 * 365 * 24 * 60 * 60
CLOCK_PRECISION_SECONDS = 1.0
"""A smaller difference between the clocks of a machine and of the server is ignored."""

UNVERIFIED_TLS = ("tls", "unverified")
"""The part of a URL that accepts a server whose certificate isn't verified."""

_LOOPBACK_HOST = re.compile(r"localhost|127(\.\d+){3}|::1|[/@].*", re.DOTALL)
_QUERY = """
    SELECT sealed, extract(epoch FROM clock_timestamp())
    FROM access_tokens, installation, zoho_wizard_store
    WHERE name = %s AND zoho_wizard_store.id = %s AND move IS NULL
"""


@dataclass(frozen=True)
class Address:
    """A database, from its URL."""

    shown: str
    """Without the user and the options, for messages."""
    parameters: dict[str, Any]
    """Of the connection, as libpq names them."""

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises ``database-url-malformed``, ``database-password-in-url``,
        ``database-tls-unverified``."""
        base, _, query = url.partition("?")
        options = parse_qsl(query, keep_blank_values=True)
        accepts_unverified = UNVERIFIED_TLS in options
        kept = urlencode([each for each in options if each != UNVERIFIED_TLS])
        try:
            given = conninfo_to_dict(f"{base}?{kept}" if kept else base)
        except psycopg.ProgrammingError:
            raise _failure("database-url-malformed") from None  # its message repeats the URL
        # Before a slash, the start of a password with a slash is read as a port.
        is_port = re.fullmatch(r"[0-9,]*", str(given.get("port", "")))
        is_password = "@" in str(given.get("dbname", ""))
        if not base.startswith(("postgresql://", "postgres://")) or not is_port or is_password:
            raise _failure("database-url-malformed")
        if given.keys() & {"password", "sslpassword"}:
            raise _failure("database-password-in-url")
        if not _is_local(given):
            mode = given.setdefault("sslmode", "require" if accepts_unverified else "verify-full")
            if mode != "verify-full" and not accepts_unverified:
                raise _failure(
                    "database-tls-unverified", mode=str(mode), host=str(given.get("host"))
                )
        where = f"{given.get('host', '')}:{given.get('port', '')}".rstrip(":")
        name = given.get("dbname") or given.get("service") or ""
        given |= {"application_name": "zoho-wizard", "connect_timeout": CONNECT_TIMEOUT_SECONDS}
        # A replica may be late, and its locks aren't those of the primary server.
        given["target_session_attrs"] = "primary"
        return cls(f"postgresql://{where}/{name}", given)


def _is_local(given: dict[str, Any]) -> bool:
    """Whether the server is on this machine. A service may be anywhere."""
    defaults = {each.keyword.decode(): each.val for each in pq.Conninfo.get_defaults()}
    known = {key: value.decode() for key, value in defaults.items() if value} | given
    hosts = str(known.get("hostaddr") or known.get("host") or "/").split(",")
    return "service" not in known and all(map(_LOOPBACK_HOST.fullmatch, hosts))


def _failure(code: str, **details: str) -> "WizardError":
    from wizard.errors import fail  # as expensive as psycopg

    return fail(code, **details)


def clock_difference(asked_at: float, answered_at: float, server_time: float) -> float | None:
    """How many seconds the server's clock is ahead of this machine's, from its answer; None if that
    was slow, or if this machine's clock was set meanwhile. All in seconds since 1970. Raises
    ValueError if it is so large that times could have no year."""
    is_exact = 0 <= answered_at - asked_at <= CLOCK_PRECISION_SECONDS
    ahead = server_time - (asked_at + answered_at) / 2
    if not abs(ahead) <= MAX_CLOCK_DIFFERENCE_SECONDS:
        raise ValueError("the server's clock is wrong by years")
    return ahead if is_exact else None


def confirm_copy(here: Paths, name: str, key: bytes) -> None:
    """Copy the access token of connection ``name`` from the store to its file, with one query.

    The caller holds the connection's lock on this machine, so that no process of it removes the
    token meanwhile: the others have a minute for that. Changes nothing if there is no token, the
    server's clock can't be compared, or the store isn't the one in use. Raises OSError, ValueError,
    psycopg.Error, and what `Address.parse` raises.
    """
    parameters = Address.parse(here.database_url).parameters
    with psycopg.connect(**parameters, autocommit=True) as connection:
        asked_at = time.time()
        row = connection.execute(_QUERY, (name, here.shared_store_id)).fetchone()
        answered_at = time.time()
    ahead = clock_difference(asked_at, answered_at, float(row[1])) if row else None
    if row is None or ahead is None:
        return
    owner = here.token_owner(name)
    cached = token_file.unpack(key, owner, row[0]).shifted(-int(ahead))
    content = token_file.pack(key, owner, cached, int(asked_at))
    files.replace(here.token_file(name), content, is_durable=False)
