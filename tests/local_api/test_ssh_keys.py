"""Public key files, their fingerprints, and lines of ``authorized_keys``."""

import re
import shlex
from pathlib import Path

import pytest
from support.claims import over_rows

from wizard.errors import WizardError
from wizard.local_api.ssh_keys import authorized_keys_line, fingerprint_of, read_public_key

ENCODED = "AAAAC3NzaC1lZDI1NTE5AAAAIKfP9q53etW50rnomBdsN3VSO12kzPpDgg6iMkbWxEUL"
FINGERPRINT = "SHA256:3Xq+RVn29GWvIoHM2BBYTuZZ16LJv6wUn90+tbEw9/0"
"""As `ssh-keygen -l` prints it for that key."""


def test_a_public_key_has_the_fingerprint_that_openssh_prints(tmp_path: Path) -> None:
    file = tmp_path / "id.pub"
    file.write_text(f"# from web1\n\nssh-ed25519 {ENCODED}  deploy\x1b \t@web1\u202e {'x' * 99}\n")
    key = read_public_key(str(file))
    assert (
        key.fingerprint == FINGERPRINT == fingerprint_of(str(file)) == fingerprint_of(FINGERPRINT)
    )
    assert re.fullmatch("deploy @web1 x+", key.comment)
    assert len(key.comment) == 80


@over_rows(
    ("content", "code"),
    [
        ("", "ssh-key-malformed"),
        ("hello\n", "ssh-key-malformed"),
        (f"ssh-rsa {ENCODED}\n", "ssh-key-malformed"),
        (f"ssh-ed25519 {ENCODED[:-9]}*\n", "ssh-key-malformed"),
        (f"ssh-ed25519 {ENCODED}\nssh-ed25519 {ENCODED}\n", "ssh-key-malformed"),
        (f'command="sh" ssh-ed25519 {ENCODED}\n', "ssh-key-malformed"),
        (f"ssh-ed25519-cert-v01@openssh.com {ENCODED}\n", "ssh-key-malformed"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", "ssh-key-private"),
        (None, "ssh-key-unreadable"),
    ],
)
def test_anything_but_one_public_key_is_refused(
    tmp_path: Path, content: str | None, code: str
) -> None:
    file = tmp_path / ("id.pub" if content is not None else "missing.pub")
    if content is not None:
        file.write_text(content)
    with pytest.raises(WizardError) as raised:
        read_public_key(str(file))
    assert raised.value.failure.code == code


def test_a_line_of_authorized_keys_survives_any_path(tmp_path: Path) -> None:
    file = tmp_path / "id.pub"
    file.write_text(f"ssh-ed25519 {ENCODED} web1")
    home = r"""/srv/it's "a" \"b" \ $(id) %h"""
    line = authorized_keys_line(read_public_key(str(file)), {"ZOHO_WIZARD_HOME": home})

    options, _, rest = line.partition('" ssh-ed25519 ')
    assert rest == f"{ENCODED} web1"
    command = options.removeprefix('restrict,command="').replace(r"\"", '"')  # as sshd reads it
    assert options.startswith("restrict,")
    words = shlex.split(command)
    assert words[:2] == ["env", f"ZOHO_WIZARD_HOME={home}"]
    assert words[-3:] == ["access", "ssh", FINGERPRINT]

    with pytest.raises(WizardError) as raised:
        authorized_keys_line(read_public_key(str(file)), {"ZOHO_WIZARD_HOME": "/a\nssh-rsa AAAA"})
    assert raised.value.failure.code == "ssh-key-environment"
