"""Storage of the encryption key: the operating system's keyring, or a private file.

A keyring may be missing, locked, waiting at an invisible prompt, or only a plain text file. So it
is called in a thread with a timeout, and only a real one gets the key.
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

KEYRING_TIMEOUT_SECONDS = 3.0
"""A working keyring answers in milliseconds."""
KEYRING_SERVICE = "zoho-wizard"
MIN_BACKEND_PRIORITY = 1  # keyring's own recommendation; null, fail and plain text are below


@dataclass(frozen=True)
class KeyStorage:
    """Where the key is, and how well it is protected."""

    kind: str
    """``keyring`` or ``key-file``."""
    strength: str
    """``strong``: only the user's session can read it; ``weak``: anyone who can read their
    files."""
    detail: str
    """The keyring's name, or the path of the file."""
    stronger_options: tuple[str, ...] = ()
    """Failure codes that describe stronger storage."""


class KeyringUnavailable(Exception):
    """No real keyring responded in time; the text is a key of the message table
    ``keyring-states``."""


class Keyring:
    """This data directory's entry in the operating system's keyring."""

    def __init__(self, paths: Paths) -> None:
        # Live and simulator, and two data directories of one user, must never share a key.
        self._entry = f"{'simulator' if paths.simulator_url else 'live'} {paths.data_dir}"

    def read(self) -> tuple[str | None, str]:
        """Return the entry, None if there is none, and the keyring's name.

        Raises `KeyringUnavailable`.
        """

        def read_entry() -> tuple[str | None, str]:
            backend = _backend()
            return backend.get_password(KEYRING_SERVICE, self._entry), str(backend.name)

        return _with_timeout(read_entry)

    def write(self, text: str) -> str:
        """Store ``text``, read it back, and return the keyring's name.

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
    """Write a complete key file; never replace one.

    Raises FileExistsError if there is one already, OSError if it can't be written.
    """
    files.create_whole(path, f"{cipher.key_to_text(key)}\n".encode("ascii"))


def _backend() -> "KeyringBackend":
    """The best real keyring. keyring is imported on use, because that takes 0.2 s."""
    import keyring

    chosen = keyring.get_keyring()
    # The chainer writes to the first of its backends that accepts the key.
    for backend in getattr(chosen, "backends", [chosen]):
        plain = type(backend).__module__.startswith("keyrings.alt")
        if not plain and backend.priority >= MIN_BACKEND_PRIORITY:
            return cast("KeyringBackend", backend)
    raise KeyringUnavailable("absent")


def _with_timeout(operation: Callable[[], T]) -> T:
    """Return what ``operation`` returns; raises `KeyringUnavailable` if it fails or takes too
    long."""
    answers: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(operation())
        except BaseException as error:  # a backend may raise anything
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
