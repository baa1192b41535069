"""A person at a terminal decides what becomes of a consent that was somebody else's."""

import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from core import ANNA, CARLA, PRODUCTION, Core
from repairing import connect, states
from shell import PATIENCE, Shell

URL = re.compile(r"http://127\.0\.0\.1:\d+/[^\s\x1b]+/oauth/v2/auth\?[^\s\x1b]+")


class Talk:
    """A command on a terminal: what it says is waited for, and answered."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.said = ""
        self._heard = 0

    def hear(self, pattern: str | re.Pattern[str]) -> str:
        """Wait for `pattern` in what was not heard before; return what it found."""
        while not (found := re.compile(pattern).search(self.said, self._heard)):
            ready, _, _ = select.select([self._master], [], [], PATIENCE)
            assert ready, f"nothing more was said after:\n{self.said}"
            self.said += os.read(self._master, 4096).decode(errors="replace")
        self._heard = found.end()
        return found.group()

    def answer(self, text: str) -> None:
        os.write(self._master, f"{text}\n".encode())

    def consent(self, shell: Shell, email: str, organization: str = "") -> None:
        """Accept what is asked for, and paste back where the browser ended."""
        url = self.hear(URL)
        self.hear("stays unseen")
        self.answer(shell.sandbox.admin.authorize(url, email, organization))


@contextmanager
def talking(shell: Shell, *arguments: str) -> Iterator[Talk]:
    """A command on a terminal, which has ended well when the block is left."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        shell.command(*arguments),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**shell.environment, "TERM": "xterm", "COLUMNS": "100"},
        start_new_session=True,
    )
    os.close(slave)
    shell.under_way.append(process)
    try:
        yield Talk(master)
        assert process.wait(PATIENCE) == 0
    finally:
        os.close(master)


def test_a_stray_grant_is_given_back_and_the_right_person_consents(
    shell: Shell, stored: Core
) -> None:
    connect(stored, "crm", stored.client())
    with talking(shell, "reauthorize", "crm", "--no-browser") as talk:
        talk.consent(shell, CARLA, PRODUCTION)
        talk.hear("Somebody else consented")
        talk.hear("To sign out there")
        talk.hear(r"\[again\]")
        talk.answer("again")
        talk.consent(shell, ANNA)
        talk.hear("✓ repaired")
    assert [grant.state.value for grant in stored.house.store.grants("crm")] == [
        "proved",
        "revoked",
        "superseded",
    ]


def test_another_person_is_kept_on_purpose(shell: Shell, stored: Core) -> None:
    connect(stored, "crm", stored.client())
    with talking(shell, "reauthorize", "crm", "--no-browser") as talk:
        talk.consent(shell, CARLA, PRODUCTION)
        talk.hear(r"\[again\]")
        talk.answer("accept")
        talk.hear("✓ repaired")
    grant = stored.house.store.grant("crm")
    assert grant is not None
    assert grant.account is not None
    assert grant.account.email == CARLA


def test_several_are_asked_about_once(shell: Shell, stored: Core) -> None:
    client = stored.client()
    for name in ("crm", "leads"):
        connect(stored, name, client)
    with talking(shell, "reauthorize", "crm", "leads", "--no-browser") as talk:
        talk.hear("2 consents in all, 1 sign-in")
        talk.hear("Begin")
        assert states(stored) == {}
        talk.answer("y")
        talk.hear(f"Next: 2 consents as {ANNA}")
        talk.consent(shell, ANNA)
        talk.consent(shell, ANNA)
        talk.hear("(?s)✓ repaired.*✓ repaired")
