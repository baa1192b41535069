"""Files encrypted with a passphrase, and the error for each that doesn't open."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.claims import over_rows
from support.records import raises_failure

from wizard.vault import passphrase

PASSPHRASE = "correct horse battery staple"
CONTENT = b'{"refresh_token": "1000.secret"}'


@pytest.fixture(scope="module")
def locked() -> bytes:
    return passphrase.BACKUP.encrypt(CONTENT, PASSPHRASE)


def test_the_same_passphrase_opens_the_backup(locked: bytes) -> None:
    assert passphrase.BACKUP.decrypt(locked, PASSPHRASE) == CONTENT


def test_every_file_is_different_and_none_shows_its_content(locked: bytes) -> None:
    again = passphrase.BACKUP.encrypt(CONTENT, PASSPHRASE)
    assert locked[40:] != again[40:]
    assert b"1000.secret" not in locked
    assert PASSPHRASE.encode() not in locked


@pytest.mark.parametrize("other", ["", "Correct horse battery staple", PASSPHRASE + " "])
def test_a_wrong_passphrase_is_named(locked: bytes, other: str) -> None:
    with raises_failure("wrong-passphrase"):
        passphrase.BACKUP.decrypt(locked, other)


@given(st.data())
@settings(max_examples=60)
def test_a_truncated_file_is_named(locked: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, len(locked) - 1))
    with raises_failure("backup-cut-short"):
        passphrase.BACKUP.decrypt(locked[:length], PASSPHRASE)


@given(st.data())
@settings(max_examples=60)
def test_an_altered_byte_is_detected_before_the_passphrase_is_tried(
    locked: bytes, data: st.DataObject
) -> None:
    start = (
        len(passphrase.BACKUP.magic) + 3 + 16 + 8
    )  # after the length; changing that looks like truncation
    place = data.draw(st.integers(start, len(locked) - 1))
    altered = bytearray(locked)
    altered[place] ^= data.draw(st.integers(1, 255))
    with raises_failure("backup-damaged"):
        passphrase.BACKUP.decrypt(bytes(altered), PASSPHRASE)


@over_rows(
    "costs", [(19, 8, 1), (63, 8, 1), (17, 8, 2), (17, 9, 1), (20, 60, 1), (0, 8, 1), (17, 0, 0)]
)
def test_key_derivation_costs_that_exceed_memory_are_refused_before_deriving(
    locked: bytes, costs: tuple[int, int, int]
) -> None:
    start = len(passphrase.BACKUP.magic)
    body = locked[:start] + bytes(costs) + locked[start + 3 : -32]
    with raises_failure("backup-damaged"):
        passphrase.BACKUP.decrypt(body + hashlib.sha256(body).digest(), PASSPHRASE)


@over_rows("content", [b"ZOHO_CLIENT_ID=1000.X", b"{}", b"PK\x03\x04", b"zz"])
def test_any_other_file_is_not_a_backup(content: bytes) -> None:
    with raises_failure("backup-not-one"):
        passphrase.BACKUP.decrypt(content, PASSPHRASE)


def test_a_file_of_one_kind_never_opens_as_the_other(locked: bytes) -> None:
    with raises_failure("client-file-not-one"):
        passphrase.CLIENT_FILE.decrypt(locked, PASSPHRASE)
    body = passphrase.CLIENT_FILE.magic + locked[len(passphrase.BACKUP.magic) : -32]
    with raises_failure("client-file-damaged"):
        passphrase.CLIENT_FILE.decrypt(body + hashlib.sha256(body).digest(), PASSPHRASE)


def test_trailing_bytes_are_detected(locked: bytes) -> None:
    with raises_failure("backup-damaged"):
        passphrase.BACKUP.decrypt(locked + b"more", PASSPHRASE)
