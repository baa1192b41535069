"""What binds an attempt to the browser, or to the process, that began it."""

import hashlib
import hmac
import secrets

from wizard.model import Attempt


def cookie_name(attempt_id: str) -> str:
    """The name of the cookie that binds an attempt to a browser; one cookie an attempt."""
    return f"zw_flow_{attempt_id}"


def new_binding() -> tuple[str, str]:
    """A fresh secret for the cookie, and what the store keeps of it: a hash, which for 256
    random bits needs no key to stay unguessable."""
    value = secrets.token_urlsafe(32)
    return value, _hash(value)


def is_bound(attempt: Attempt, value: str) -> bool:
    """Whether `value` is the secret given out for `attempt`; nothing is not."""
    return bool(value) and hmac.compare_digest(attempt.binding, _hash(value))


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
