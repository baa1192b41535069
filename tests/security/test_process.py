"""The process: what the system would show to others or write to disk in a crash."""

import subprocess
import sys
from pathlib import Path

from wizard.settings import from_environment

AFTER_A_COMMAND = """
import ctypes, resource
from wizard import cli
PR_GET_DUMPABLE = 3
code = cli.main(["list"])
print(code, resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(PR_GET_DUMPABLE))
"""


def test_a_command_leaves_no_core_dump_and_no_other_process_reads_its_memory(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AFTER_A_COMMAND],
        env={
            "HOME": str(tmp_path),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "0 (0, 0) 0\n"


def test_started_commands_inherit_neither_the_key_path_nor_a_secret() -> None:
    secret = {"ZOHO_WIZARD_KEY_FILE": "/run/key", "ZOHO_CLIENT_SECRET": "canary"}
    settings = from_environment({"HOME": "/h", "PATH": "/bin", **secret})
    assert settings.child_environment == {"HOME": "/h", "PATH": "/bin"}
    assert "canary" not in repr(settings)
