"""The users of the simulated Zoho: their accounts, second factors and sign-in sessions."""

import base64
import hashlib
import hmac
import struct
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any

from wizard.simulator.catalog import Location
from wizard.simulator.errors import InvalidValueError, NotFoundError
from wizard.simulator.schemas import shown
from wizard.simulator.settings import RandomValues

ONE_TIME_CODE_STEP_SECONDS = 30
"""RFC 6238's default. The codes of the previous and the next step are accepted, too."""


ANNOUNCEMENT_KINDS = ("announcement", "preannouncement")
"""The pages that can follow a sign-in, by their part of the path."""


@dataclass
class Organization:
    """An organization (a portal, a team) in one product, such as `crm`.

    `environment` is Production, Sandbox or Developer; only CRM and its relatives have several.
    """

    product: str
    organization_id: str
    name: str
    environment: str = "Production"


@dataclass
class User:
    """A user with a Zoho account.

    `location` is the data center of the account, which is unknown everywhere else.
    `one_time_code_secret` is base32, or None without a second factor. `approves_by_push`: the
    second factor is a device on which the user approves a number. `products_without_api_access` are
    those whose API the user's role denies. `recovery_code` is the last code that was mailed after
    "Forgot Password". `announcements` are shown after the next sign-in. `must_change_password`: an
    administrator set the current password, for one sign-in.
    """

    zuid: int
    email: str
    first_name: str
    last_name: str
    location: str
    password: str = field(repr=False)
    one_time_code_secret: str | None = field(default=None, repr=False)
    organizations: list[Organization] = field(default_factory=list)
    trusted_browsers: list[str] = field(default_factory=list, repr=False)
    products_without_api_access: list[str] = field(default_factory=list)
    deactivated: bool = False
    approves_by_push: bool = False
    recovery_code: str = field(default="", repr=False)
    announcements: list[str] = field(default_factory=list)
    must_change_password: bool = False
    wrong_passwords: int = 0

    @property
    def display_name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"

    @property
    def reference(self) -> dict[str, str]:
        """The user as CRM refers to one in a record."""
        return {"name": self.display_name, "id": str(self.zuid), "email": self.email}

    @property
    def template_values(self) -> dict[str, str]:
        """What fills in a user in the body of a response, by `$name`."""
        return {
            "zuid": str(self.zuid),
            "email": self.email,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "display_name": self.display_name,
        }

    def organizations_in(self, product: str) -> list[Organization]:
        """Return the organizations in a product; none means no account there."""
        return [each for each in self.organizations if each.product == product]

    def check_password(self, password: str) -> bool:
        """Whether `password` is correct."""
        return hmac.compare_digest(self.password.encode(), password.encode())

    def one_time_code(self, now: datetime) -> str:
        """Return the six digits that an authenticator app shows at `now` (RFC 6238)."""
        return self._code_of_step(int(now.timestamp()) // ONE_TIME_CODE_STEP_SECONDS)

    def check_one_time_code(self, code: str, now: datetime) -> bool:
        """Whether `code` is the one-time code of this step or an adjacent one."""
        step = int(now.timestamp()) // ONE_TIME_CODE_STEP_SECONDS
        return code in {self._code_of_step(step + drift) for drift in (-1, 0, 1)}

    def _code_of_step(self, step: int) -> str:
        key = base64.b32decode(self.one_time_code_secret or "")
        digest = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
        start = digest[-1] & 0xF
        number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
        return f"{number % 1_000_000:06d}"


class Users:
    """All users, by ZUID or by email address."""

    def __init__(self, random_values: RandomValues) -> None:
        self._random_values = random_values
        self.by_zuid: dict[int, User] = {}

    def __iter__(self) -> Iterator[User]:
        return iter(self.by_zuid.values())

    def add(
        self,
        email: str,
        *,
        location: Location,
        password: str = "",
        first_name: str = "",
        last_name: str = "",
        one_time_code_secret: str | None = None,
        approves_by_push: bool = False,
        organizations: list[Organization] | None = None,
    ) -> User:
        """Add a user and return it; a password and a name are made up if they're missing.

        InvalidValueError if the email address is taken.
        """
        if self.find(email):
            raise InvalidValueError(f"{email} already has an account.")
        own_name, _, host = email.partition("@")
        if not (own_name and host):
            raise InvalidValueError(f"“email” must be an email address, not {shown(email)}.")
        if one_time_code_secret is not None and not _is_base32(one_time_code_secret):
            raise InvalidValueError("“one_time_code_secret” must be in base32: A–Z and 2–7.")
        user = User(
            zuid=self._random_values.number(9),
            email=email,
            first_name=first_name or own_name.capitalize(),
            last_name=last_name or "Example",
            location=location,
            password=password or f"{own_name}-made-up-password",
            one_time_code_secret=one_time_code_secret,
            approves_by_push=approves_by_push,
            organizations=organizations or [],
        )
        self.by_zuid[user.zuid] = user
        return user

    def add_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add users from rows such as those of `users.toml`."""
        for row in rows:
            organizations = [Organization(**each) for each in row.get("organizations", ())]
            self.add(**{**row, "organizations": organizations})

    def find(self, login_id: str) -> User | None:
        """Return the user with this email address (any case), in any data center."""
        email = login_id.strip().casefold()
        return next((each for each in self if each.email.casefold() == email), None)

    def get(self, login_id: str) -> User:
        """Return the user with this email address; NotFoundError if there is none."""
        user = self.find(login_id)
        if user is None:
            raise NotFoundError(f"There is no user “{login_id}”.")
        return user


def _is_base32(text: str) -> bool:
    try:
        return bool(base64.b32decode(text))
    except ValueError:
        return False


def sample_users() -> list[dict[str, Any]]:
    """Return the rows of `users.toml`."""
    text = files("wizard.simulator").joinpath("users.toml").read_text("utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["users"]
    return rows


SESSION_COOKIE = "zoho_simulator_session"
"""The ID of the session. Path `/<location>/`, HttpOnly, SameSite=Lax."""

BROWSER_COOKIE = "zoho_simulator_browser"
"""The ID of a trusted browser, which needs no one-time code."""


@dataclass
class Session:
    """A browser's session at one data center.

    `csrf` is sent with the pages' requests. `zuid` is set once the user is signed in; until then,
    `pending_zuid` has entered the right password and a second step is missing. `push_number` waits
    for approval on another device and is empty once `is_push_confirmed`. `captcha_letters` are
    those of the last picture. `recovering_zuid` forgot the password; `is_recovery_verified` after
    the mailed code.
    """

    session_id: str = field(repr=False)
    location: str
    csrf: str = field(repr=False)
    zuid: int | None = None
    pending_zuid: int | None = None
    push_number: str = ""
    is_push_confirmed: bool = False
    captcha_letters: str = field(default="", repr=False)
    is_captcha_solved: bool = False
    recovering_zuid: int | None = None
    is_recovery_verified: bool = False


class Sessions:
    """All sessions of all browsers. A browser keeps only the ID, in a cookie."""

    def __init__(self, random_values: RandomValues) -> None:
        self._random_values = random_values
        self.by_id: dict[str, Session] = {}

    def begin(self, location: str) -> Session:
        """Begin a session without a user."""
        session = Session(
            self._random_values.hexadecimal(32), location, self._random_values.hexadecimal(32)
        )
        self.by_id[session.session_id] = session
        return session

    def find(self, session_id: str | None, location: str) -> Session | None:
        """Return the session with this ID, if it belongs to this data center."""
        session = self.by_id.get(session_id or "")
        return session if session and session.location == location else None

    def find_waiting_for_push(self, zuid: int) -> Session | None:
        """Return the newest sign-in of a user that waits for approval on another device."""
        waiting = (each for each in reversed(self.by_id.values()) if each.push_number)
        return next((each for each in waiting if each.pending_zuid == zuid), None)

    def end(self, session_id: str) -> None:
        """Sign out."""
        self.by_id.pop(session_id, None)

    def end_all(self, zuid: int, keep: str | None = None) -> None:
        """End every session of a user except `keep`."""
        self.by_id = {
            name: each
            for name, each in self.by_id.items()
            if name == keep or zuid not in (each.zuid, each.pending_zuid)
        }
