"""The strings from which the simulated Zoho hangs, the same in process and over HTTP.

Every control is one of `verbs.VERBS`, which take and return JSON values. `Controls` gives each a
method; where the asking goes is its `ask`.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import cast

from wizard.simulator.operations import OPERATIONS, Json
from wizard.simulator.world import World

TIMEOUT_SECONDS = 10
"""Of a request to a simulator in another process, which answers at once or not at all."""


class Controls:
    """What a test or a demo can do to the simulated Zoho.

    A control that is asked for something impossible raises ValueError, or LookupError for a
    person or client that does not exist, with a sentence that says so.
    """

    def __init__(self, perform: Callable[[str, dict[str, Json]], Json]) -> None:
        self._perform = perform

    # time and state

    def now(self) -> datetime:
        """Return the simulated Zoho's time."""
        return datetime.fromisoformat(self._perform("now", {}))

    def advance(self, seconds: float) -> datetime:
        """Move the clock forward; return the new time."""
        return datetime.fromisoformat(self._perform("advance", {"seconds": seconds}))

    def reset(self, random_seed: int = 1) -> None:
        """Begin anew with the made-up people alone; the same seed makes the same ids."""
        self._perform("reset", {"random_seed": random_seed})

    def state(self) -> dict[str, Json]:
        """Return people, clients and counts of living tokens, without a secret."""
        return cast(dict[str, Json], self._perform("state", {}))

    def settings(self) -> dict[str, Json]:
        """Return the settings in force."""
        return cast(dict[str, Json], self._perform("settings", {}))

    def change_settings(self, **changes: Json) -> dict[str, Json]:
        """Change settings by name; return all of them."""
        return cast(dict[str, Json], self._perform("change_settings", changes))

    # people and clients

    def people(self) -> list[dict[str, Json]]:
        """Return the made-up people with their made-up passwords and present one-time codes."""
        return cast(list[dict[str, Json]], self._perform("people", {}))

    def add_person(self, email: str, **fields: Json) -> dict[str, Json]:
        """Add a person: `location`, `password`, `first_name`, `last_name`, and as you like
        `one_time_code_secret`, `approves_by_push` and `organizations` (list of product,
        organization_id, name, environment)."""
        return cast(dict[str, Json], self._perform("add_person", {"email": email, **fields}))

    def register_client(
        self, owner: str, redirect_uris: list[str], *, name: str = "A client", **fields: Json
    ) -> dict[str, Json]:
        """Register a client as `owner` (an e-mail address); return it with its `secrets` by
        location. `location` (default: the owner's), `kind` and `homepage` may be given."""
        event_arguments = {"owner": owner, "redirect_uris": redirect_uris, "name": name, **fields}
        return cast(dict[str, Json], self._perform("register_client", event_arguments))

    def enable_data_center(
        self, client_id: str, location: str, *, same_credentials: bool = False
    ) -> str:
        """Switch a data centre on for a client; return the secret that is right there."""
        event_arguments = {
            "client_id": client_id,
            "location": location,
            "same_credentials": same_credentials,
        }
        return cast(str, self._perform("enable_data_center", event_arguments))

    def disable_data_center(self, client_id: str, location: str) -> None:
        """Switch a data centre off for a client, which is unknown there from now on."""
        self._perform("disable_data_center", {"client_id": client_id, "location": location})

    def authorize(self, url: str, email: str, organization_id: str = "") -> str:
        """Do what a person does who opens an authorization URL, signs in and accepts; return the
        address the browser ends on. ValueError names Zoho's error page if one is in the way."""
        event_arguments = {"url": url, "email": email, "organization_id": organization_id}
        return cast(str, self._perform("authorize", event_arguments))

    def generate_code(self, client_id: str, scope: str, **fields: Json) -> str:
        """Do what a self client's owner does under "Generate Code"; return the code.

        `lifetime_seconds`
        (seconds) and `organization_id` may be given."""
        return cast(
            str, self._perform("generate_code", {"client_id": client_id, "scope": scope, **fields})
        )

    # events

    def change_password(
        self, email: str, new_password: str = "", *, remove_tokens: bool = True
    ) -> None:
        """Change a password, by default with the box ticked that kills all tokens."""
        event_arguments = {
            "email": email,
            "new_password": new_password,
            "remove_tokens": remove_tokens,
        }
        self._perform("change_password", event_arguments)

    def forgot_password(
        self, email: str, new_password: str = "", *, remove_tokens: bool = False
    ) -> None:
        """Let a person who forgot the password choose a new one; all boxes as they stand."""
        event_arguments = {
            "email": email,
            "new_password": new_password,
            "remove_tokens": remove_tokens,
        }
        self._perform("forgot_password", event_arguments)

    def reset_password(
        self, email: str, temporary_password: str = "", *, remove_tokens: bool = False
    ) -> None:
        """Let an administrator reset a password: the new one is good for one sign-in, at which
        another must be chosen. `remove_tokens` ticks "Clear mobile sessions and API tokens"."""
        event_arguments = {"email": email, "temporary_password": temporary_password}
        self._perform("reset_password", {**event_arguments, "remove_tokens": remove_tokens})

    def move_account(self, email: str, location: str) -> None:
        """Move an account to another data centre; its tokens stay behind, dead."""
        self._perform("move_account", {"email": email, "location": location})

    def announce(self, email: str, kind: str = "announcement") -> None:
        """Let an announcement (or a `preannouncement`) stand after the person's next sign-in."""
        self._perform("announce", {"email": email, "kind": kind})

    def require_captcha(self, email: str) -> None:
        """Ask for a captcha at the person's next sign-in, as after too many wrong passwords."""
        self._perform("require_captcha", {"email": email})

    def confirm_push(self, email: str) -> None:
        """Confirm a waiting sign-in on the person's other device; LookupError if none waits."""
        self._perform("confirm_push", {"email": email})

    def revoke_app(self, email: str, client_id: str) -> None:
        """Remove a connected app."""
        self._perform("revoke_app", {"email": email, "client_id": client_id})

    def evict_refresh_token(self, email: str, client_id: str) -> None:
        """Let the oldest refresh token of a person with a client die as by a 21st."""
        self._perform("evict_refresh_token", {"email": email, "client_id": client_id})

    def rotate_secret(self, client_id: str, location: str = "") -> str:
        """Make a new client secret and end the old; return the new one."""
        return cast(
            str, self._perform("rotate_secret", {"client_id": client_id, "location": location})
        )

    def delete_client(self, client_id: str) -> None:
        """Delete a client."""
        self._perform("delete_client", {"client_id": client_id})

    def deactivate_user(self, email: str, *, deactivated: bool = True) -> None:
        """Deactivate a person's account, or reactivate it."""
        self._perform("deactivate_user", {"email": email, "deactivated": deactivated})

    def remove_api_access(self, email: str, product: str) -> None:
        """Forbid a person the API of a product (`crm`), as a role without API access does."""
        self._perform("remove_api_access", {"email": email, "product": product})

    # faults and journal

    def inject_fault(self, kind: str, **fields: Json) -> None:
        """Lay out a fault for the next fitting request, see `faults.Fault`."""
        self._perform("inject_fault", {"kind": kind, **fields})

    def clear_faults(self) -> None:
        """Take all faults back."""
        self._perform("clear_faults", {})

    def journal(self) -> list[dict[str, Json]]:
        """Return the redacted requests, oldest first."""
        return cast(list[dict[str, Json]], self._perform("journal", {}))

    def clear_journal(self) -> None:
        """Forget the requests so far."""
        self._perform("clear_journal", {})


def perform(world: World, operation: str, arguments: dict[str, Json]) -> Json:
    """Carry out one verb under the world's lock; LookupError for a verb there is not."""
    if operation not in OPERATIONS:
        raise LookupError(f"there is no control {operation!r}")
    with world.lock:
        return OPERATIONS[operation](world, **arguments)


def in_process(world: World) -> Controls:
    """Return controls that act on a world of this process."""
    return Controls(lambda verb, event_arguments: perform(world, verb, event_arguments))


def over_http(url: str) -> Controls:
    """Return controls that act on the simulator at `url` (`http://127.0.0.1:8730`)."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def post(operation: str, arguments: dict[str, Json]) -> Json:
        request = urllib.request.Request(  # noqa: S310 - the caller's own loopback URL
            f"{url.rstrip('/')}/_simulator/controls/{operation}",
            data=json.dumps(arguments).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                problem = json.load(refused)
            kind = LookupError if problem["error"] == "LookupError" else ValueError
            raise kind(problem["message"]) from None

    return Controls(post)
