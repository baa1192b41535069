"""Who is signed in with which browser. Pages keep only the ids, in cookies.

A browser is signed in at one accounts server only: the cookie's path is the data centre.
"""

from dataclasses import dataclass, field
from typing import Any

from wizard.simulator import codec
from wizard.simulator.random_values import RandomValues

SESSION_COOKIE = "zoho_simulator_session"
"""Names the signed-in session. Path `/<location>/`, HttpOnly, SameSite=Lax."""

BROWSER_COOKIE = "zoho_simulator_browser"
"""Names a browser the person chose to trust, so that no one-time code is asked there."""


def cookie_path(location: str) -> str:
    """Return the path of a data centre's cookies: its accounts server and its console share it."""
    return f"/{location}/"


@dataclass
class Session:
    """One sign-in. `csrf` goes into the pages' script requests, which must send it back.

    `zuid` is set when the person is fully signed in; until then `pending` is who gave the right
    password and still owes a second step. `push_number` waits to be confirmed on another device,
    and is gone once `push_confirmed`. `captcha` is what the latest picture shows. `forgetful` is
    who forgot the password, `verified` once they typed the mailed code.
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
    """All sessions of all browsers."""

    def __init__(self, random_values: RandomValues) -> None:
        self._random_values = random_values
        self.by_id: dict[str, Session] = {}

    def begin(self, location: str) -> Session:
        """Begin a session in which nobody is signed in yet."""
        session = Session(
            self._random_values.hexadecimal(32), location, self._random_values.hexadecimal(32)
        )
        self.by_id[session.session_id] = session
        return session

    def find(self, session_id: str | None, location: str) -> Session | None:
        """Return the session a cookie names, if it belongs to this data centre."""
        session = self.by_id.get(session_id or "")
        return session if session and session.location == location else None

    def find_waiting_for_push(self, zuid: int) -> Session | None:
        """Return the newest sign-in of a person that waits to be confirmed on another device."""
        waiting = (each for each in reversed(self.by_id.values()) if each.push_number)
        return next((each for each in waiting if each.pending_zuid == zuid), None)

    def end(self, session_id: str) -> None:
        """Sign out."""
        self.by_id.pop(session_id, None)

    def end_all(self, zuid: int, keep: str | None = None) -> None:
        """End every session of a person except the one named `keep`."""
        self.by_id = {
            name: each
            for name, each in self.by_id.items()
            if name == keep or zuid not in (each.zuid, each.pending_zuid)
        }

    def restore(self, saved: list[dict[str, Any]]) -> None:
        """Take back the sessions of a saved world."""
        self.by_id = {each.session_id: each for each in codec.decode_list(Session, saved)}
