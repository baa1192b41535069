"""Where the key is kept: the operating system's keyring, or a file for its owner's eyes.

A keyring may be absent, locked, hang on a prompt nobody sees, or be plain text in disguise. It is
asked in a thread of its own and given three seconds; only a real one is trusted with the key.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from wizard import files
from wizard.fastpath import cipher
from wizard.paths import Paths

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

KEYRING_TIMEOUT_SECONDS = (
    3.0  # a keyring in order answers in milliseconds; people notice three seconds
)
KEYRING_SERVICE = "zoho-wizard"
MIN_BACKEND_PRIORITY = 1  # keyring's own bar for "recommended"; null, fail and plain text lie below


@dataclass(frozen=True)
class KeyStorage:
    """Where the key is, and how well it is kept there."""

    kind: str
    """``keyring`` or ``key-file``."""
    strength: str
    """``strong``: opens only to the user's session; ``weak``: to whoever reads their files."""
    detail: str
    """The keyring's name, or the path of the file."""
    stronger_options: tuple[str, ...] = ()
    """Codes of the stronger choices there would be."""


class KeyringUnavailable(Exception):
    """No real keyring answered in time; the text says why, in one word."""


class Keyring:
    """This home's entry in the operating system's keyring."""

    def __init__(self, paths: Paths) -> None:
        # Live and simulator, and two homes of one user, must never share a key.
        self._entry = f"{'simulator' if paths.simulator_url else 'live'} {paths.data_dir}"

    def read(self) -> tuple[str | None, str]:
        """The entry (None: there is none) and the keyring's name.

        Raises `KeyringUnavailable`.
        """

        def read_entry() -> tuple[str | None, str]:
            backend = _backend()
            return backend.get_password(KEYRING_SERVICE, self._entry), str(backend.name)

        return _with_timeout(read_entry)

    def write(self, text: str) -> str:
        """Keep ``text``, read it back, and return the keyring's name.

        Raises `KeyringUnavailable`.
        """

        def write_entry() -> str:
            backend = _backend()
            backend.set_password(KEYRING_SERVICE, self._entry, text)
            if backend.get_password(KEYRING_SERVICE, self._entry) != text:
                raise KeyringUnavailable("forgetful")
            return str(backend.name)

        return _with_timeout(write_entry)


def write_key_file(path: str, key: bytes) -> None:
    """Write a key file that is never seen half written and never replaces another.

    Raises FileExistsError where there is one already, OSError where it can't be written.
    """
    files.create_whole(path, f"{cipher.key_to_text(key)}\n".encode("ascii"))


def _backend() -> "KeyringBackend":
    """The best real keyring. Imports keyring on use: it takes a fifth of a second."""
    import keyring

    chosen = keyring.get_keyring()
    # The chainer would write to the first of its backends that takes the key, whichever it is.
    for backend in getattr(chosen, "backends", [chosen]):
        plain = type(backend).__module__.startswith("keyrings.alt")
        if not plain and backend.priority >= MIN_BACKEND_PRIORITY:
            return cast("KeyringBackend", backend)
    raise KeyringUnavailable("absent")


def _with_timeout(operation: Callable[[], T]) -> T:
    """What ``ask`` returns, or `KeyringUnavailable` when it fails or takes too long."""
    answers: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(operation())
        except BaseException as error:  # a backend may raise whatever its system throws
            failures.append(error)

    thread = threading.Thread(target=work, name="keyring", daemon=True)
    thread.start()
    thread.join(KEYRING_TIMEOUT_SECONDS)
    if answers:
        return answers[0]
    if not failures:
        raise KeyringUnavailable("silent")
    if isinstance(failures[0], KeyringUnavailable):
        raise failures[0]
    locked = type(failures[0]).__name__ == "KeyringLocked"
    raise KeyringUnavailable("locked" if locked else "failed") from failures[0]
