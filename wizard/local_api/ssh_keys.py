"""SSH keys of other machines: public key files, fingerprints, and lines of ``authorized_keys``."""

import base64
import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wizard.errors import fail
from wizard.fastpath.process import WIZARD_COMMAND

KEY_TYPES = frozenset(
    {
        "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)  # fmt: skip
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
MAX_FILE_BYTES = 16 * 1024
"""The longest RSA key has some 3,000."""
MAX_COMMENT_CHARACTERS = 80


@dataclass(frozen=True)
class PublicKey:
    """A public key as OpenSSH writes it."""

    type: str
    encoded: str
    """The key in base64."""
    comment: str

    @property
    def fingerprint(self) -> str:
        """The fingerprint that ``ssh-keygen -l`` prints."""
        digest = hashlib.sha256(base64.b64decode(self.encoded)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def read_public_key(path: str) -> PublicKey:
    """The public key in a file. Raises ``ssh-key-unreadable``, ``ssh-key-private`` or
    ``ssh-key-malformed``."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise fail("ssh-key-unreadable", path=path, reason=error.strerror or "") from None
    if "PRIVATE KEY" in content:
        raise fail("ssh-key-private", path=path)
    lines = [line for line in content.splitlines() if line.strip() and not line.startswith("#")]
    key = _parse(lines[0]) if len(lines) == 1 else None
    if key is None:
        raise fail("ssh-key-malformed", path=path)
    return key


def fingerprint_of(text: str) -> str:
    """The fingerprint in ``text``, or of the public key in the file that it names. Raises as
    `read_public_key` does."""
    return text if FINGERPRINT.fullmatch(text) else read_public_key(text).fingerprint


def authorized_keys_line(key: PublicKey, environment: Mapping[str, str]) -> str:
    """The line that lets ``key`` request access tokens and do nothing else. ``environment`` has the
    variables that the wizard needs, which sshd doesn't pass on. Raises ``ssh-key-environment``
    for a value that can't be in such a line."""
    assignments = [f"{name}={value}" for name, value in environment.items()]
    command = shlex.join(["env", *assignments, *WIZARD_COMMAND, "access", "ssh", key.fingerprint])
    if not command.isprintable():
        raise fail("ssh-key-environment")
    quoted = command.replace('"', r"\"")  # the only character that sshd reads as an escape
    return f'restrict,command="{quoted}" {key.type} {key.encoded} {key.comment}'.rstrip()


def _parse(line: str) -> PublicKey | None:
    """A line of a public key file; None for anything else, such as options before the key."""
    kind, _, rest = line.strip().partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    length = int.from_bytes(blob[:4])
    if kind not in KEY_TYPES or blob[4 : 4 + length] != kind.encode():
        return None
    printable = "".join(each for each in comment if each.isprintable())
    return PublicKey(kind, encoded, " ".join(printable.split())[:MAX_COMMENT_CHARACTERS])
