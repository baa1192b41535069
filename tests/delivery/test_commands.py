"""Commands as destinations: their input, what they must not see, and their failures."""

import json
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.claims import over_rows
from support.delivery import deliver, raises_failure, reauthorize
from support.harness import Harness
from support.tokens import wait_for

from wizard.credential_formats import MASK
from wizard.delivery.commands import resolve_command, run_command
from wizard.delivery.service import DeliveryService
from wizard.errors import WizardError
from wizard.locks import release, try_acquire
from wizard.model import Grant
from wizard.model.states import DestinationState
from wizard.store import Destination

ENVIRONMENT = {"PATH": os.defpath, "HOME": "/"}


@pytest.fixture
def grant(harness: Harness) -> Grant:
    return harness.add_verified_connection("crm")


def program(directory: Path, source: str, name: str = "program") -> str:
    """A program of the user's, as a command line."""
    file = directory / name
    file.write_text(f"#!{sys.executable}\n{source}")
    file.chmod(0o755)
    return str(file)


KEEP = """
import os, sys
with open(sys.argv[1], "w") as kept:
    kept.write(repr((sys.stdin.read(), sys.argv[1:], dict(os.environ))))
"""


def test_a_command_gets_json_on_stdin_and_nothing_else(
    harness: Harness, grant: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_CLIENT_SECRET", "ours")
    kept = harness.directory / "kept"
    made = deliver(harness, "command", f"{program(harness.directory, KEEP)} '{kept}'")
    given, arguments, environment = eval(kept.read_text())
    credentials = json.loads(given)
    assert credentials["refresh_token"] == grant.refresh_token
    assert credentials["client_secret"] == harness.registered_client["secrets"]["eu"]
    assert arguments == [str(kept)]
    secrets = (grant.refresh_token, credentials["client_secret"])
    assert not [each for each in environment.values() if any(s in each for s in secrets)]
    assert not [name for name in environment if name.startswith("ZOHO_")]
    assert harness.services.delivery.check(made).state is DestinationState.UNVERIFIABLE


def test_a_command_may_get_names_and_values(harness: Harness, grant: Grant) -> None:
    kept = harness.directory / "kept"
    deliver(harness, "command-env", f"{program(harness.directory, KEEP)} '{kept}'")
    given = eval(kept.read_text())[0]
    assert f"ZOHO_REFRESH_TOKEN={grant.refresh_token}\n" in given


def test_a_command_gets_the_next_grant_and_the_previous_one_again(
    harness: Harness, grant: Grant
) -> None:
    kept = harness.directory / "kept"
    made = deliver(harness, "command", f"{program(harness.directory, KEEP)} '{kept}'")
    with raises_failure("nothing-to-undo"):
        harness.services.delivery.undo(made)
    new = reauthorize(harness)
    assert harness.services.delivery.check(made).state is DestinationState.OUT_OF_DATE
    made = harness.services.delivery.deliver(made)
    assert new.refresh_token in kept.read_text()
    harness.services.delivery.undo(made)
    assert grant.refresh_token in kept.read_text()


FAIL = """
import base64, json, sys
token = json.load(sys.stdin)["refresh_token"]
print("noise " * 100_000, file=sys.stderr)
print("refused:", token, token.upper(), token.encode().hex(), file=sys.stderr)
for before in ("", "x", "xy"):
    text = f"{before}{token}&more".encode()
    print(base64.b64encode(text).decode(), base64.urlsafe_b64encode(text).decode(), file=sys.stderr)
sys.exit(7)
"""


def test_the_output_of_a_failed_command_is_quoted_truncated_and_masked(
    harness: Harness, grant: Grant
) -> None:
    with raises_failure("command-failed") as failure:
        deliver(harness, "command", program(harness.directory, FAIL))
    said = failure.details["stderr"]
    assert failure.details["status"] == "7"
    assert len(said) <= 2000
    assert f"refused: {MASK} {MASK} {MASK}\n" in said
    assert said.count(MASK) == 9
    assert grant.refresh_token not in said
    for word in said.split()[-6:]:
        shown = word.replace(MASK, "")
        assert len(shown) < 20, "a few characters of the surrounding text remain"
    assert harness.services.store.destinations.all() == ()


def test_a_command_that_fails_later_keeps_the_old_version_current(
    harness: Harness, grant: Grant
) -> None:
    kept = harness.directory / "kept"
    line = f"{program(harness.directory, KEEP)} '{kept}'"
    made = deliver(harness, "command", line)
    program(harness.directory, "import sys; sys.exit('no')")
    reauthorize(harness)
    with raises_failure("command-failed"):
        harness.services.delivery.deliver(made)
    [now] = harness.services.store.destinations.all("crm")
    assert now.generation == 1
    assert now.failure is not None
    assert "no" in now.failure.details["stderr"]
    assert harness.services.delivery.check(now).state is DestinationState.OUT_OF_DATE


HANG = """
import fcntl, subprocess, sys, time
held = open({lock!r}, "w")
fcntl.flock(held, fcntl.LOCK_EX)
child = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(child, pass_fds=[held.fileno()])
print("waiting for an answer", file=sys.stderr, flush=True)
time.sleep(600)
"""


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """Its child has a lock, which ends with it."""
    lock = str(tmp_path / "held")
    with pytest.raises(WizardError, match="command-timeout") as raised:
        run_command(program(tmp_path, HANG.format(lock=lock)), ENVIRONMENT, timeout_seconds=1.0)
    assert raised.value.failure.details["stderr"] == "waiting for an answer"
    assert Path(lock).exists()
    wait_for(lambda: try_acquire(lock), 5)
    release(lock)


def test_part_of_a_secret_at_the_truncation_point_is_not_shown(tmp_path: Path) -> None:
    secret = "1000." + "abcdefghijklmnopqrstuvwxyz" * 10
    source = f"import sys; sys.stderr.write({secret!r} * 200 + 'x' * 15); sys.exit(1)"
    with pytest.raises(WizardError) as raised:
        run_command(program(tmp_path, source), ENVIRONMENT, secrets=[secret])
    said = raised.value.failure.details["stderr"]
    assert not [part for part in (secret[-8:], secret[:8]) if part in said.replace(MASK, "")]


def test_a_command_that_leaves_a_child_running_has_ended(tmp_path: Path) -> None:
    source = "import subprocess; subprocess.Popen(['sleep', '5'])"
    run_command(program(tmp_path, source), ENVIRONMENT, timeout_seconds=30.0)


@over_rows(
    ("line", "syntax"),
    [
        ("cat >> file", ">>"),
        ("cat>file", ">"),
        ("cat 2>&1", ">"),
        ("sort < file", "<"),
        ("cat | sort", "|"),
        ("true || false", "||"),
        ("true && false", "&&"),
        ("true; false", ";"),
        ("sleep 9 &", "&"),
        ("echo `date`", "`"),
        ("echo $(date)", "$("),
        ("echo $HOME", "$H"),
        ("echo ${HOME}", "${"),
        ("ls *.env", "*"),
        ("cat ~/file", "~"),
        ("TZ=UTC date", "TZ="),
        ('echo "$(cat)"', "$("),
        ('echo "$HOME"', "$H"),
        ("echo it\\'s > file", ">"),
        ("echo 'a' > 'b'", ">"),
        ("true\nfalse", "line-break"),
        ("true \\\n --now", "line-break"),
        ("true # not now", "#"),
        ("cat ~anna/file", "~"),
        ("cat ~", "~"),
        ("echo {a,b}", "{a,b}"),
        ("echo x{1..3}", "{1..3}"),
        ("ls file?", "?"),
        ("ls [ab]*", "[ab]"),
        ("echo $?", "$?"),
        ("(true)", "("),
        ("echo a&b", "&"),
        ("curl -d @- https://hooks.example/?a=1", "?"),
    ],
)
def test_shell_syntax_is_refused_and_named(line: str, syntax: str) -> None:
    with raises_failure("command-needs-shell") as failure:
        resolve_command(line, ENVIRONMENT)
    assert failure.details == {"syntax": syntax}


@over_rows(
    "line",
    [
        "sh -c 'cat >> file'",
        'sh -c "cat >> file && echo $HOME"',
        "echo 'a|b;c > d' \"e*f & g\" h\\;",
        "curl -d @- 'https://hooks.example/?a=1&b=2'",
        "env TZ=UTC date --date=now",
        "echo a~b 100% {} {a} [ ] [] a#b $ user@host:/path,x +%H:%M ^! -",
        "echo '~' \"#\" '{a,b}' \"?\" '[ab]' 'two\nlines' \\? \\#",
        " true \n",
    ],
)
def test_quoted_or_harmless_characters_are_kept_and_can_be_entered_again(
    line: str,
) -> None:
    settled = resolve_command(line, ENVIRONMENT)
    assert shlex.split(settled) == shlex.split(line)
    assert resolve_command(settled, ENVIRONMENT) == settled


@pytest.mark.parametrize(
    ("profile", "target", "reload"),
    [("dotenv", "{}/.env", "systemctl restart app && true"), ("command", "cat > {}/secrets", "")],
)
def test_a_delivery_command_that_needs_a_shell_is_refused_before_anything_is_written(
    harness: Harness, grant: Grant, profile: str, target: str, reload: str
) -> None:
    with raises_failure("command-needs-shell"):
        deliver(harness, profile, target.format(harness.directory), reload_command=reload)
    assert harness.services.store.destinations.all() == ()


# --- delivered and in use ------------------------------------------------------------------------


def test_delivered_and_in_use_are_two_states(harness: Harness, grant: Grant) -> None:
    target, seen = harness.directory / ".env", harness.directory / "seen"
    reload = f"cp '{target}' '{seen}'"
    made = deliver(harness, "dotenv", target, reload_command=reload)
    assert seen.read_text() == target.read_text()
    assert made.reloaded_at is not None
    assert [event.kind for event in harness.services.store.events.of_connection("crm")][:2] == [
        "reloaded",
        "delivered",
    ]
    target.chmod(0o600)
    seen.unlink()
    seen.mkdir(mode=0o500)
    (seen / ".env").mkdir()
    made = harness.services.delivery.deliver(made)
    assert made.generation == 1
    assert made.reloaded_at is None
    assert made.failure is not None
    assert made.failure.code == "reload-failed"
    assert harness.services.delivery.check(made).state is DestinationState.CURRENT


def test_a_reload_that_hangs_is_ended_and_the_delivery_is_kept(
    harness: Harness, grant: Grant
) -> None:
    services = harness.services
    hasty = DeliveryService(
        services.store,
        services.client_requests,
        services.zoho,
        services.paths,
        services.clock,
        ENVIRONMENT,
        command_timeout_seconds=1.0,
    )
    described = services.delivery.describe(
        Destination("crm", "dotenv", str(harness.directory / ".env"))
    )
    hanging = HANG.format(lock=str(harness.directory / "held"))
    made = hasty.add(replace(described, reload_command=program(harness.directory, hanging)))
    assert made.failure is not None
    assert made.failure.code == "reload-failed"
    assert made.failure.details["stderr"] == "waiting for an answer"
    assert (made.generation, made.reloaded_at) == (1, None)


def test_a_program_with_a_relative_path_is_stored_with_its_absolute_path(
    harness: Harness, grant: Grant
) -> None:
    path = os.path.relpath(program(harness.directory, "pass"))
    made = deliver(harness, "dotenv", harness.directory / ".env", reload_command=f"{path} --now")
    assert made.reload_command == f"{harness.directory}/program --now"
