"""A search for secrets in everything that the command line leaves behind at debug level."""

import base64
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support.canaries import encodings_of, find_secrets
from support.harness import ANNA, Harness
from support.records import attempts_of
from support.shell import Shell

PASSPHRASE = "canary-passphrase-0f9d8c7b6a"
CONSENT_URL = r"http://127\.0\.0\.1:\d+/\w+/accounts/oauth/v2/auth\S+"

WITNESS = f"""#!{sys.executable}
import os, pathlib, secrets, sys
from contextlib import suppress
if "--fail" in sys.argv:
    sys.exit(sys.stdin.read())
os.environ.pop("ZOHO_ACCESS_TOKEN", None)  # meant for the command of `run`
seen, process = [repr(sorted(os.environ.items())).encode()], os.getpid()
while process > 1:
    place = pathlib.Path("/proc", str(process))
    seen.append((place / "cmdline").read_bytes())
    if process != os.getpid():
        with suppress(OSError):
            seen.append((place / "environ").read_bytes())
    process = int((place / "stat").read_text().rpartition(")")[2].split()[1])
pathlib.Path(__file__).with_name("witness-" + secrets.token_hex(4)).write_bytes(b"\\n".join(seen))
"""
"""A child process: writes down the command lines and environments of itself and its ancestors.
With `--fail`, it repeats what it was given, and exits with an error."""


@pytest.fixture
def witness(shell: Shell) -> str:
    file = shell.directory / "programs" / "witness"
    file.parent.mkdir()
    file.write_text(WITNESS)
    file.chmod(0o700)
    return str(file)


def attempt_secrets(harness: Harness) -> Iterator[tuple[str, str]]:
    for number, attempt in enumerate(attempts_of(harness.services.store, "crm")):
        yield f"state {number}", attempt.oauth_state
        yield f"verifier {number}", attempt.code_verifier


@pytest.mark.slow
def test_nothing_that_the_command_line_leaves_behind_has_a_secret(
    shell: Shell, shell_harness: Harness, witness: str
) -> None:
    if not Path("/proc/self/environ").exists():
        pytest.skip("the system doesn’t show the command lines of processes")
    uri = f"http://localhost:{shell.port}/callback"
    controls, world = shell.simulator.controls, shell.simulator.world
    client = controls.register_client(ANNA, [uri], name="OAuth wizard")
    client_id, (secret,) = client["client_id"], client["secrets"].values()
    wrong = secret[::-1]
    said: dict[str, str] = {}

    def run(*words: str, stdin_text: str = "", is_shown: bool = False) -> int:
        """Run a command. Its stdout isn't searched if it's meant to show a secret."""
        done = shell.run("--debug", *words, stdin_text=stdin_text)
        said[f"{len(said)} {' '.join(words)[:60]}"] = done.stderr + done.stdout * (not is_shown)
        return done.exit_code

    # Connect, re-authorize, and use it
    assert run("client", "add", stdin_text=f"{client_id}\n{wrong}\n") != 0
    assert run("client", "add", stdin_text=f"{client_id}\n{secret}\n") == 0
    started = shell.start("--debug", "connect", "crm", "--preset", "crm-read-leads", "--no-browser")
    url = started.wait_for_stderr(CONSENT_URL)
    started.send_line(controls.authorize(url, ANNA))
    done = started.finish()
    assert done.exit_code == 0, done.stderr
    said["connect"] = done.stdout + done.stderr.replace(url, "")
    assert run("token", "crm", "--force-refresh", is_shown=True) == 0
    assert run("run", "crm", "--", witness) == 0
    for command in (
        "list",
        "show crm",
        "check crm --full",
        "status",
        "diagnose crm",
        "client list",
    ):
        assert run(*command.split()) == 0, said
        assert run(*command.split(), "--json") == 0, said
    used = next(iter(world.grants.access_tokens))
    code, refresh_token = (
        next(iter(each)) for each in (world.grants.codes, world.grants.refresh_tokens)
    )
    pasted = (
        f"curl https://accounts.zoho.eu/oauth/v2/token -d client_secret={secret} -d code={code}"
        f" -d refresh_token={refresh_token}\n{{'error': 'invalid_code'}}"
    )
    assert run("diagnose", "-", stdin_text=pasted) == 0
    assert run("token", "crm", "--rejected", "-", stdin_text=f"{used}\n", is_shown=True) == 0
    serving = shell.start("--debug", "serve")
    serving.wait_for_stderr("/browser-link/")
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(f"{shell.environment['ZOHO_WIZARD_HOME']}/data/simulator/socket")
        wire.sendall(b"GET /token/crm HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"1000." in wire.makefile("rb").read()
    said["serve"] = serving.finish(signal.SIGTERM).stderr

    # Commands of the user, which work or repeat what they got
    for to, exit_code in ((witness, 0), (f"{witness} --fail", 1)):
        delivered = ("destination", "add", "crm", "--profile", "command", "--to", to, "--yes")
        assert run(*delivered) == exit_code
    assert run("monitor", "--test-notify", "--notify", witness) == 0

    # Faults, and responses that repeat what they got
    for kind in ("server-error", "truncated-json", "html-page", "connection-closed", "redirect"):
        controls.inject_fault(kind, endpoint="oauth/v2/token", processed=True)
        run("token", "crm", "--force-refresh", is_shown=True)
        controls.clear_faults()
        controls.advance(660)
    assert run("client", "set-secret", client_id, stdin_text=f"{wrong}\n") != 0

    # A backup, and its restore with a wrong and the right passphrase
    file = str(shell.directory / "wizard.backup")
    assert run("backup", file, stdin_text=f"{PASSPHRASE}\n") == 0
    assert run("restore", file, stdin_text=f"{PASSPHRASE}x\n") != 0
    assert run("restore", file, stdin_text=f"{PASSPHRASE}\n") == 0

    # The end
    canaries = {"client secret": secret, "wrong secret": wrong, "passphrase": PASSPHRASE}
    canaries |= dict(attempt_secrets(shell_harness))
    for name in ("codes", "refresh_tokens", "access_tokens"):
        issued = getattr(world.grants, name)
        canaries |= {f"{name} {number}": value for number, value in enumerate(issued)}
    assert run("revoke", "crm", "--yes") == 0
    run("remove", "crm", "--no-revoke")
    assert len(canaries) >= 10
    for name, text in said.items():
        assert find_secrets(text.encode(), canaries) == [], name
    files = [each for each in shell.directory.rglob("*") if each.is_file()]
    assert len([each for each in files if each.name.startswith("witness-")]) >= 3
    assert {"wizard.db", "wizard.backup"} <= {each.name for each in files}
    for path in files:
        assert find_secrets(path.read_bytes(), canaries) == [], path


def test_the_search_finds_a_secret_in_every_encoding() -> None:
    secret = "1000.0123abc/+~.89"
    more = (
        quote(secret, safe="").encode(),
        b"\n".join(secret[at : at + 4].encode() for at in range(0, len(secret), 4)),
        secret.encode("utf-16"),
        base64.urlsafe_b64encode(b"xx" + secret.encode()),
    )
    for each in (*encodings_of(secret), *more):
        assert find_secrets(b"before" + each + b"after", {"it": secret}) == ["it"], each
    assert find_secrets(b"something else", {"it": secret}) == []
