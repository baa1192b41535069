"""The key and the cipher, on real files."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import raises_failure

from wizard import paths as wizard_paths
from wizard.fastpath import cipher
from wizard.locks import hold_lock
from wizard.paths import Paths
from wizard.vault import Vault, _create_key

KEY = cipher.new_key()


@given(st.text(), st.text(), st.text(), st.text())
def test_a_sealed_value_opens_in_its_place(text: str, table: str, row: str, column: str) -> None:
    plaintext, place = text.encode(), "\x00".join((table, row, column)).encode()
    assert cipher.decrypt(KEY, cipher.encrypt(KEY, plaintext, place), place) == plaintext


def test_a_bit_flipped_anywhere_in_a_record_is_detected() -> None:
    blob = cipher.encrypt(KEY, b"1000.refresh", b"grants")
    for at in range(len(blob) * 8):
        altered = bytearray(blob)
        altered[at // 8] ^= 1 << at % 8
        with pytest.raises(ValueError, match=r"with this key|tampered"):
            cipher.decrypt(KEY, bytes(altered), b"grants")


def test_a_record_truncated_anywhere_is_detected() -> None:
    blob = cipher.encrypt(KEY, b"1000.refresh", b"grants")
    for length in range(len(blob)):
        with pytest.raises(ValueError, match=r"with this key|tampered"):
            cipher.decrypt(KEY, blob[:length], b"grants")


@pytest.mark.parametrize(
    "place", [("clients", "1", "value"), ("grants", "2", "value"), ("grants", "1", "other")]
)
def test_a_record_moved_to_another_place_does_not_open(
    vault: Vault, place: tuple[str, str, str]
) -> None:
    blob = vault.seal("1000.refresh", "grants", "1", "value")
    assert vault.unseal(blob, "grants", "1", "value") == "1000.refresh"
    with raises_failure("sealed-record-damaged"):
        vault.unseal(blob, *place)


def test_the_same_text_never_seals_to_the_same_bytes(vault: Vault) -> None:
    assert len({vault.seal("x", "t", "r", "c") for _ in range(100)}) == 100


def test_a_fingerprint_is_stable_for_one_key_and_differs_for_another(vault: Vault) -> None:
    other = Vault(cipher.new_key(), vault.key_storage)
    assert vault.fingerprint("state") == vault.fingerprint("state")
    assert vault.fingerprint("state") != vault.fingerprint("States")
    assert vault.fingerprint("state") != other.fingerprint("state")


def test_the_direct_import_of_the_cipher_is_the_public_one() -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    assert cipher.AESGCM is AESGCM


def test_the_key_file_is_private_and_separate_from_the_data(paths: Paths, vault: Vault) -> None:
    assert stat.S_IMODE(os.stat(paths.key_file).st_mode) == 0o600
    assert not paths.key_file.startswith(paths.data_dir)
    assert vault.key_storage.strength == "weak"
    assert vault.key_storage.detail == paths.key_file
    assert vault.key_storage.stronger_options
    assert Vault.open(paths, use_keyring=False).key == vault.key


def test_a_vault_does_not_show_its_key(vault: Vault) -> None:
    assert repr(vault.key) not in repr(vault)
    assert vault.key.hex() not in repr(vault)


def test_no_key_is_created_if_there_is_a_database(paths: Paths) -> None:
    Path(paths.database).write_bytes(b"")
    with raises_failure("key-missing"):
        Vault.open(paths, use_keyring=False)
    assert not os.path.exists(paths.key_file)


@pytest.mark.parametrize("content", [b"", b"not a key\n", b"AAAA\n", b"\x00" * 300])
def test_a_damaged_key_file_is_refused_and_left_unchanged(paths: Paths, content: bytes) -> None:
    Path(paths.key_file).write_bytes(content)
    os.chmod(paths.key_file, 0o600)
    with raises_failure("key-unreadable"):
        Vault.open(paths, use_keyring=False)
    assert Path(paths.key_file).read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_accessible_to_others_is_refused(paths: Paths, vault: Vault, mode: int) -> None:
    os.chmod(paths.key_file, mode)
    with raises_failure("key-unreadable"):
        Vault.open(paths, use_keyring=False)


def test_the_key_is_created_by_one_process_at_a_time(paths: Paths) -> None:
    opening = threading.Thread(target=Vault.open, args=(paths, False))
    with hold_lock(paths.lock_file(":key"), 0, "store-locked", ""):
        opening.start()
        opening.join(0.3)
        assert not Path(paths.key_file).exists()
    opening.join()
    assert Path(paths.key_file).exists()


def test_a_key_file_that_exists_is_never_replaced(paths: Paths, vault: Vault) -> None:
    """Another process created it after this one had looked."""
    with raises_failure("key-unreadable"):
        _create_key(paths, None)
    assert Vault.open(paths, use_keyring=False).key == vault.key


def test_a_dangling_link_in_place_of_the_key_is_not_followed(paths: Paths, tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", paths.key_file)
    with raises_failure("key-unreadable"):
        Vault.open(paths, use_keyring=False)
    assert not (tmp_path / "elsewhere").exists()


def test_a_given_key_file_is_the_only_one_read(tmp_path: Path) -> None:
    chosen = str(tmp_path / "elsewhere.key")
    environ = {"ZOHO_WIZARD_HOME": str(tmp_path / "home"), "ZOHO_WIZARD_KEY_FILE": chosen}
    paths = wizard_paths.locate(environ)
    paths.prepare()
    assert Vault.open(paths).key_storage.detail == chosen
    assert os.listdir(paths.config_dir) == []


@pytest.mark.slow
def test_processes_that_start_together_agree_on_one_key_and_one_database(tmp_path: Path) -> None:
    script = (
        "import sys; from wizard import paths; from wizard.store import Store\n"
        "from wizard.vault import Vault\n"
        "here = paths.locate({'ZOHO_WIZARD_HOME': sys.argv[1]}); here.prepare()\n"
        "vault = Vault.open(here, use_keyring=False)\n"
        "Store.open(here, vault, 'live').close()\n"
        "print(vault.fingerprint('one'))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(6)]
    answers = {process.communicate(timeout=60)[0] for process in running}
    assert len(answers) == 1
    assert answers != {b""}


def test_a_credential_that_other_users_can_change_or_read_is_refused(tmp_path: Path) -> None:
    credential = tmp_path / wizard_paths.KEY_CREDENTIAL
    credential.write_text(cipher.key_to_text(KEY))
    environ = {"ZOHO_WIZARD_HOME": str(tmp_path / "home"), "CREDENTIALS_DIRECTORY": str(tmp_path)}
    paths = wizard_paths.locate(environ)
    for mode in (0o400, 0o440):
        credential.chmod(mode)
        assert Vault.open(paths, use_keyring=False).key == KEY
    for mode in (0o444, 0o460, 0o600 | 0o010):
        credential.chmod(mode)
        with raises_failure("key-unreadable"):
            Vault.open(paths, use_keyring=False)
