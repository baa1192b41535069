"""What the sockets answer, and whom."""

import http.client
import json
import os
import pwd
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from core import ANNA, Core

from wizard.endpoint import Endpoint, ring, share
from wizard.endpoint.answer import MOST_AT_A_TIME, MOST_OF_ONE_USER, refusal
from wizard.errors import WizardError
from wizard.store import Allowance

ME = os.getuid()
FOREIGN_USERS = (65534,) if ME == 0 else ()
"""Only root can become somebody else; everybody can ask the shared socket as themselves."""

ASK = """
import http.client, os, socket, sys
os.setuid(int(sys.argv[3]))
connection = http.client.HTTPConnection("zoho-wizard")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1])
connection.request("GET", sys.argv[2])
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


HOLD = """
import os, select, socket, sys
os.setuid(int(sys.argv[3]))
held = []
for _ in range(int(sys.argv[2])):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(sys.argv[1])
    held[-1].send(b"GET /token/crm HTTP/1.1\\r\\n")
closed = 0
while closed < int(sys.argv[2]) - int(sys.argv[4]):
    for each in select.select(held, [], [])[0]:
        held.remove(each)
        closed += 1
print(closed, "were closed", flush=True)
sys.stdin.readline()
"""


@dataclass
class Asker:
    """A program that asks on one socket."""

    path: Path
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, target: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """The status and the document of the answer."""
        connection = http.client.HTTPConnection("zoho-wizard", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.path))
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, body, {"Accept": "application/json", **named})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, json.loads(body)

    def ask_as(self, uid: int, target: str) -> tuple[int, str]:
        """Ask in a process that has become another user."""
        done = subprocess.run(
            [sys.executable, "-c", ASK, str(self.path), target, str(uid)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        status, _, body = done.stdout.partition(" ")
        return int(status), body


@pytest.fixture
def meeting_place() -> Iterator[Path]:
    """A directory with a short path that other users can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory) / "shared"


@pytest.fixture
def endpoint(core: Core, meeting_place: Path) -> Iterator[Endpoint]:
    core.proved("crm")

    def launch_link(page: str, printed: bool) -> str:
        return f"link to {page}, {'printed' if printed else 'opened'}"

    with Endpoint(core.house, launch_link, meeting_place) as endpoint:
        yield endpoint


@pytest.fixture
def own(core: Core, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Asker:
    """The socket of the home's owner, from within its directory: a test's paths are long."""
    monkeypatch.chdir(core.house.home.data_dir)
    return Asker(Path("socket"))


@pytest.fixture
def shared(endpoint: Endpoint) -> Asker:
    return Asker(endpoint.share())


def allow(core: Core, uid: int, name: str = "crm") -> None:
    core.house.store.allow(Allowance(name, uid, "somebody", core.now()))


def code(document: Any) -> str:
    return str(document["error"]["code"])


def lines(core: Core, kind: str) -> list[dict[str, str]]:
    history = core.house.store.history("crm")
    return [dict(event.details) for event in history if event.kind == kind]


def test_the_owner_is_handed_the_token_its_end_and_where_it_may_go(own: Asker, core: Core) -> None:
    status, answer = own.ask("/token/crm")

    token = core.house.broker.access_token("crm")
    assert status == 200
    assert answer == {
        "access_token": token.value,
        "token_type": "Zoho-oauthtoken",
        "expires_at": token.expires_at.isoformat(),
        "api_domain": token.api_domain,
        "location": "eu",
        "stale": False,
    }


def test_every_hand_out_is_in_the_history_with_who_asked(own: Asker, core: Core) -> None:
    own.ask("/token/crm")
    own.ask("/token/crm")

    handed = lines(core, "token-handed-out")
    assert len(handed) == 2
    assert (handed[0]["uid"], handed[0]["pid"]) == (str(ME), str(os.getpid()))


def test_hand_outs_do_not_crowd_out_the_rest_of_the_history(own: Asker, core: Core) -> None:
    for _ in range(15):
        own.ask("/token/crm")

    kinds = [event.kind for event in core.house.store.history("crm")]
    assert kinds.count("token-handed-out") == 10
    assert "grant-proved" in kinds


def test_the_own_socket_is_its_owners_and_the_shared_one_is_everybodys(
    own: Asker, shared: Asker
) -> None:
    modes = [stat.S_IMODE(each.path.stat().st_mode) for each in (own, shared)]
    assert modes == [0o600, 0o666]
    assert stat.S_IMODE(shared.path.parent.stat().st_mode) == 0o711


def test_nobody_is_answered_on_the_shared_socket_unless_allowed(shared: Asker, core: Core) -> None:
    status, answer = shared.ask("/token/crm")

    assert (status, code(answer)) == (403, "not-allowed-to-owner")
    assert "access_token" not in answer
    (refused,) = lines(core, "token-refused")
    assert (refused["uid"], refused["code"]) == (str(ME), "not-allowed-to-owner")


def test_whoever_is_refused_again_and_again_writes_one_line_a_minute(
    shared: Asker, core: Core
) -> None:
    for _ in range(5):
        shared.ask("/token/crm")
    assert len(lines(core, "token-refused")) == 1
    core.advance(minutes=2)
    shared.ask("/token/crm")
    assert len(lines(core, "token-refused")) == 2


def test_connections_beyond_the_places_there_are_find_the_door_closed(own: Asker) -> None:
    held = [socket.socket(socket.AF_UNIX) for _ in range(MOST_AT_A_TIME)]
    for each in held:
        each.connect(str(own.path))
    with pytest.raises((http.client.HTTPException, OSError)):
        own.ask("/token/crm")
    for each in held:
        each.close()


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_a_user_who_holds_all_places_of_theirs_shuts_nobody_else_out(
    shared: Asker, core: Core, uid: int
) -> None:
    allow(core, ME)
    most = MOST_OF_ONE_USER
    arguments = [str(shared.path), *map(str, (most + 4, uid, most))]
    holding = [sys.executable, "-c", HOLD, *arguments]
    with subprocess.Popen(holding, stdin=PIPE, stdout=PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "4 were closed\n"
        assert shared.ask("/token/crm")[0] == 200
        holder.communicate("go\n")


def test_an_allowed_user_is_answered_for_that_connection_only(shared: Asker, core: Core) -> None:
    core.proved("books")
    allow(core, ME, "crm")

    assert shared.ask("/token/crm")[0] == 200
    assert shared.ask("/token/books")[0] == 403


def test_a_container_that_runs_as_the_owner_gets_no_more_than_it_was_allowed(
    shared: Asker, core: Core
) -> None:
    core.proved("books")
    allow(core, ME, "crm")
    me = pwd.getpwuid(ME).pw_name

    status, answer = shared.ask("/token/books")

    assert status == 403
    assert answer["error"]["commands"] == [
        f"zoho-wizard allow books --user {me}",
        f"curl --unix-socket {core.house.home.socket} http://zoho-wizard/token/books",
    ]


def test_an_allowance_that_ended_is_not_answered(shared: Asker, core: Core) -> None:
    allow(core, ME)
    core.house.store.disallow("crm", ME)

    assert shared.ask("/token/crm")[0] == 403


def test_an_unknown_name_is_refused_like_a_known_one(shared: Asker) -> None:
    known, unknown = (shared.ask(f"/token/{name}") for name in ("crm", "none-such"))

    assert known[0] == unknown[0] == 403
    assert json.dumps(known[1]) == json.dumps(unknown[1]).replace("none-such", "crm")


@pytest.mark.parametrize("name", ["crm%0a", "crm%00", "crm%20", "CRM", "%2e%2e/crm", "*", ""])
def test_a_name_that_is_not_exactly_allowed_matches_nothing(
    shared: Asker, core: Core, name: str
) -> None:
    allow(core, ME)
    assert shared.ask(f"/token/{name}")[0] == 403


@pytest.mark.parametrize("target", ["/link?page=/", "/share"])
def test_others_cannot_ask_for_anything_but_tokens(shared: Asker, core: Core, target: str) -> None:
    allow(core, ME)
    status, answer = shared.ask(target, "POST")
    assert (status, code(answer)) == (403, "request-refused")


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://localhost:8723"},
        {"Referer": "http://localhost/"},
        {"Sec_Fetch_Site": "same-origin"},
        {"sec_ch_ua": "x"},
        {"Cookie": "a=b"},
        {"Host": "localhost:9000"},
        {"Host": "evil.example"},
        {"Content_Length": "4"},
    ],
)
def test_what_a_browser_would_send_is_refused(own: Asker, header: dict[str, str]) -> None:
    status, answer = own.ask("/token/crm", **header)
    assert (status, code(answer)) == (403, "request-refused")
    assert "access_token" not in answer


@pytest.mark.parametrize(
    "lines",
    [
        "Host: evil.example\r\nHost: zoho-wizard",
        "Host: zoho-wizard\r\nHost: evil.example",
        "Host: zoho-wizard\r\nOrigin : http://evil.example",
        "Host: zoho-wizard\r\n\0Origin: http://evil.example",
    ],
)
def test_an_envelope_that_can_be_read_two_ways_is_refused(own: Asker, lines: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(own.path))
        connection.sendall(f"GET /token/crm HTTP/1.1\r\n{lines}\r\n\r\n".encode())
        answer = connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 403")
    assert "1000." not in answer


def test_a_request_without_a_host_is_refused() -> None:
    assert refusal("GET", {}) == "It was meant for another host"
    assert refusal("GET", {"host": "zoho-wizard"}) == ""


@pytest.mark.parametrize("target", ["/", "/token", "/tokens/crm", "/link?page=/"])
def test_nothing_but_a_token_can_be_had_by_get(own: Asker, target: str) -> None:
    assert own.ask(target)[0] in (403, 404)


def test_a_dead_grant_is_explained_and_not_asked_for_again(own: Asker, core: Core) -> None:
    core.admin.change_password("anna@zylker.example")
    core.advance(hours=2)

    first, again = own.ask("/token/crm"), own.ask("/token/crm")

    assert (first[0], code(first[1])) == (409, "grant-dead")
    asked = len(core.refreshes())
    assert code(again[1]) == "grant-dead"
    assert own.ask("/token/crm")[0] == 409
    assert len(core.refreshes()) == asked


def test_a_refusal_is_a_finding_with_the_command_that_mends_it(own: Asker, core: Core) -> None:
    core.connection("later")
    core.house.broker.revoke(core.proved("ended"))

    errors = [own.ask(f"/token/{name}")[1]["error"] for name in ("later", "ended", "crn")]

    assert [each["code"] for each in errors] == ["no-grant", "grant-revoked", "unknown-connection"]
    assert all(each["title"] and each["cause"] and each["remedy"] for each in errors)
    assert errors[0]["commands"] == ["zoho-wizard reauthorize later"]
    assert errors[1]["commands"] == ["zoho-wizard reauthorize ended"]
    assert "crm" in errors[2]["title"] + errors[2]["cause"]


def test_a_throttle_says_when_to_ask_again(own: Asker, core: Core) -> None:
    core.house.cache.drop("crm")
    core.admin.fault("throttle", endpoint="oauth/v2/token")

    status, answer = own.ask("/token/crm")

    error = answer["error"]
    assert (status, error["code"], error["temporary"]) == (503, "throttled", True)
    assert datetime.fromisoformat(error["retry_at"]) > core.now()
    assert error["exit_code"] == 4
    assert error["commands"] == [
        "zoho-wizard token crm --wait 15m",
        "zoho-wizard check crm --ignore-wait",
    ]


def test_others_learn_nothing_of_the_account_behind_a_failure(shared: Asker, core: Core) -> None:
    allow(core, ME)
    core.admin.delete_client(core.registered["client_id"])
    core.house.cache.drop("crm")

    status, answer = shared.ask("/token/crm")

    assert (status, code(answer)) == (409, "invalid-client")
    told = json.dumps(answer)
    assert not [each for each in (core.registered["client_id"], ANNA) if each in told]


def test_a_launch_link_comes_from_the_own_socket(own: Asker) -> None:
    assert ring(own.path, "/connections/crm", printed=True) == "link to /connections/crm, printed"
    assert ring(own.path, "/", printed=False) == "link to /, opened"
    for page in ("https://evil.example", "//evil.example/", "/\\evil.example", "/a\r\nb"):
        assert ring(own.path, page, printed=True) is None


def test_a_wizard_that_serves_can_be_asked_to_answer_others(
    own: Asker, meeting_place: Path
) -> None:
    assert share(own.path) == str(meeting_place / "socket")
    assert Asker(meeting_place / "socket").ask("/token/crm")[0] == 403


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_another_user_is_answered_on_the_shared_socket_alone(
    endpoint: Endpoint, shared: Asker, core: Core, uid: int
) -> None:
    assert shared.ask_as(uid, "/token/crm")[0] == 403
    allow(core, uid)
    token = core.house.broker.access_token("crm").value

    assert shared.ask_as(uid, "/token/crm") == (200, f"{token}\n\n")
    assert lines(core, "token-handed-out")[0]["uid"] == str(uid)
    assert shared.ask("/token/crm")[0] == 403, "root is not that user"


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_another_user_with_a_way_to_the_own_socket_is_refused(
    core: Core, meeting_place: Path, uid: int
) -> None:
    meeting_place.mkdir()
    reachable = meeting_place / "own"
    core.proved("crm")
    core.house.home.data_dir, kept = str(meeting_place), core.house.home.data_dir
    try:
        with Endpoint(core.house, lambda page, printed: page):
            (meeting_place / "socket").chmod(0o666)
            (meeting_place / "socket").rename(reachable)
            meeting_place.chmod(0o711)
            status, said = Asker(reachable).ask_as(uid, "/token/crm")
    finally:
        core.house.home.data_dir = kept
    assert status == 403
    assert "another user" in said


def refused_directory(endpoint: Endpoint) -> str:
    with pytest.raises(WizardError) as caught:
        endpoint.share()
    assert caught.value.failure.code == "shared-directory-unsafe"
    return caught.value.failure.details["reason"]


def test_a_directory_that_others_may_write_is_refused(
    endpoint: Endpoint, meeting_place: Path
) -> None:
    meeting_place.mkdir()
    meeting_place.chmod(0o777)
    assert "others may write" in refused_directory(endpoint)


def test_a_link_in_place_of_the_directory_is_refused(
    endpoint: Endpoint, meeting_place: Path
) -> None:
    meeting_place.symlink_to("/tmp")
    assert "no directory" in refused_directory(endpoint)


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_a_directory_that_another_user_made_first_is_refused(
    endpoint: Endpoint, meeting_place: Path, uid: int
) -> None:
    meeting_place.mkdir(0o711)
    os.chown(meeting_place, uid, uid)
    assert "another user's" in refused_directory(endpoint)
    assert list(meeting_place.iterdir()) == []


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_a_directory_that_one_other_user_could_replace_is_refused(
    core: Core, meeting_place: Path, uid: int
) -> None:
    """In a directory of theirs; by a link that is theirs; in one that their group may write."""
    theirs, shared, ours = (meeting_place.with_name(name) for name in ("their", "group", "ours"))
    for directory in (theirs, shared, ours):
        directory.mkdir(0o711)
    (theirs / "link").symlink_to(ours)
    os.chown(theirs, uid, uid)
    os.chown(shared, ME, uid)
    shared.chmod(0o771)

    def reason(directory: Path) -> str:
        return refused_directory(Endpoint(core.house, lambda page, printed: page, directory))

    assert "another user owns" in reason(theirs / "shared")
    assert "another user owns" in reason(theirs / "link" / "shared")
    assert "a group may write in" in reason(shared / "shared")


def test_a_directory_that_everybody_could_replace_is_refused(
    endpoint: Endpoint, meeting_place: Path
) -> None:
    meeting_place.parent.chmod(0o777)
    assert "everybody may write" in refused_directory(endpoint)
    meeting_place.parent.chmod(0o1777)
    assert endpoint.share()


def test_by_default_the_directory_stands_where_nobody_else_can_make_it() -> None:
    script = """if True:
        import os, sys
        from wizard.endpoint import shared_directory
        from wizard.home import Home
        os.seteuid(int(sys.argv[1]))
        print(shared_directory(Home("/home/anna/data", "/home/anna/config", "")))
    """

    def default(uid: int) -> str:
        command = [sys.executable, "-c", script, str(uid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.strip()

    assert default(ME).startswith("/run/zoho-wizard-" if ME == 0 else "/home/anna/data/shared")
    assert {default(uid) for uid in FOREIGN_USERS} <= {"/home/anna/data/shared"}


def test_a_directory_that_cannot_be_made_is_refused(core: Core, meeting_place: Path) -> None:
    nowhere = meeting_place / "not" / "there"
    endpoint = Endpoint(core.house, lambda page, printed: page, nowhere)
    assert refused_directory(endpoint)


def test_a_wizard_that_was_stopped_leaves_no_socket(core: Core, meeting_place: Path) -> None:
    with Endpoint(core.house, lambda page, printed: page, meeting_place) as endpoint:
        path = endpoint.share()
    assert not path.exists()
    assert not Path(core.house.home.socket).exists()
    assert ring(Path(core.house.home.socket), "/", printed=True) is None


def test_a_wizard_that_stops_leaves_the_sockets_of_another(core: Core, meeting_place: Path) -> None:
    own = Path(core.house.home.socket)
    with Endpoint(core.house, lambda page, printed: page, meeting_place) as endpoint:
        both = own, endpoint.share()
        for path in both:
            path.unlink()
            path.touch()
    assert [path.exists() for path in both] == [True, True]


def test_a_shared_directory_belongs_to_one_wizard_at_a_time(
    core: Core, endpoint: Endpoint, meeting_place: Path
) -> None:
    before = endpoint.share().stat().st_ino
    other = Endpoint(core.house, lambda page, printed: page, meeting_place)

    with pytest.raises(WizardError) as caught:
        other.share()

    assert caught.value.failure.code == "shared-directory-in-use"
    assert (meeting_place / "socket").stat().st_ino == before
    endpoint.__exit__()
    with Endpoint(core.house, lambda page, printed: page, meeting_place) as next_one:
        assert next_one.share().exists()


def test_a_stale_socket_is_replaced(core: Core, meeting_place: Path) -> None:
    Path(core.house.home.socket).touch()
    with Endpoint(core.house, lambda page, printed: page, meeting_place):
        assert ring(Path(core.house.home.socket), "/", printed=True) == "/"


def test_whoever_was_allowed_before_is_answered_from_the_start(
    core: Core, meeting_place: Path
) -> None:
    core.proved("crm")
    allow(core, ME)
    with Endpoint(core.house, lambda page, printed: page, meeting_place):
        assert Asker(meeting_place / "socket").ask("/token/crm")[0] == 200
