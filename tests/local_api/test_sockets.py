"""What the sockets return, and to whom."""

import http.client
import json
import os
import pwd
import socket
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from subprocess import PIPE

import pytest
from support.claims import over_rows
from support.harness import ANNA, Harness
from support.local_api import (
    ME,
    SocketClient,
    allow,
    error_code,
    event_details,
    local_api,
    own,
    shared,
    socket_directory,
)
from support.tokens import wait_for

from wizard.errors import WizardError
from wizard.local_api import SOCKET_NAME, LocalApi, request_browser_link, request_shared_socket
from wizard.local_api.hand_outs import HandOuts
from wizard.local_api.request_handler import (
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_USER,
    MAX_CONNECTIONS_WITHOUT_ACCESS,
    MAX_HEADER_BYTES,
    rejection_reason,
)
from wizard.local_api.sockets import LOCK_NAME, socket_address
from wizard.paths import host_name, user_name
from wizard.serialization import to_json_value
from wizard.services import Services
from wizard.store.history import DELETE_OLD_SERVING_EVENTS
from wizard.store.sqlite import SqliteDatabase
from wizard.tokens.cached_tokens import token_document

__all__ = ["local_api", "own", "shared", "socket_directory"]

FOREIGN_USERS = (65534,) if ME == 0 else ()
"""Only root can become another user; everyone can use the shared socket as themselves."""

HOLD = """
import contextlib, os, select, socket, sys
os.setuid(int(sys.argv[3]))
held = []
for _ in range(int(sys.argv[2])):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(sys.argv[1])
    with contextlib.suppress(BrokenPipeError):
        held[-1].send(b"GET /token/crm HTTP/1.1\\r\\n")
closed = 0
while closed < int(sys.argv[2]) - int(sys.argv[4]):
    for each in select.select(held, [], [])[0]:
        held.remove(each)
        closed += 1
print(closed, "were closed", flush=True)
sys.stdin.readline()
"""


def test_the_owner_gets_the_token_its_expiry_and_where_it_may_be_used(
    own: SocketClient, harness: Harness
) -> None:
    status, answer = own.request("/token/crm")

    token = harness.services.tokens.access_token("crm")
    assert status == 200
    assert datetime.fromisoformat(answer["expires_at"]) == token.expires_at
    assert answer["access_token"] == token.value
    access = harness.services.tokens.api_access("crm")
    document = to_json_value(token_document(token, access, harness.now()))
    assert answer.keys() == document.keys()
    assert (answer["api_bases"], answer["account"]) == (document["api_bases"], document["account"])


def test_the_shared_socket_does_not_name_the_account(
    own: SocketClient, shared: SocketClient, harness: Harness
) -> None:
    allow(harness, os.geteuid())
    _, for_owner = own.request("/token/crm")
    _, for_others = shared.request("/token/crm")
    assert for_owner["account"]["email"] == ANNA
    assert for_others["account"] is None
    assert for_others["version"] == 1
    for each in (for_owner, for_others):
        del each["account"], each["expires_in"]
    assert for_owner == for_others


def test_however_often_other_users_ask_the_metrics_are_read_every_five_seconds(
    own: SocketClient, shared: SocketClient, harness: Harness
) -> None:
    allow(harness, os.geteuid())
    first = shared.request_text("/metrics")
    harness.services.tokens.revoke(harness.services.store.grants.revocable("crm")[0])
    assert [shared.request_text("/metrics") for _ in range(20)] == [first] * 20
    assert own.request_text("/metrics")[1] != first[1]
    harness.advance(seconds=5)
    newer = shared.request_text("/metrics")
    assert (first[0], newer[0]) == (200, 200)
    assert 'verified{connection="crm"} 1' in first[1]
    assert 'verified{connection="crm"} 0' in newer[1]


def test_every_served_token_is_in_the_history_with_the_user(
    own: SocketClient, harness: Harness
) -> None:
    own.request("/token/crm")
    own.request("/token/crm")

    found = harness.services.store.events.of_connection("crm")
    handed = [each for each in found if each.kind == "token-served"]
    assert len(handed) == 2
    assert (handed[0].details["uid"], handed[0].process_id) == (str(ME), os.getpid())
    assert (handed[0].user, handed[0].machine) == (user_name(ME), host_name())


def test_served_tokens_do_not_crowd_out_the_rest_of_the_history(
    own: SocketClient, harness: Harness
) -> None:
    for _ in range(15):
        own.request("/token/crm")

    kinds = [event.kind for event in harness.services.store.events.of_connection("crm")]
    assert kinds.count("token-served") == 10
    assert "grant-verified" in kinds


def test_the_private_socket_is_for_its_owner_and_the_shared_one_for_everyone(
    own: SocketClient, shared: SocketClient
) -> None:
    modes = [stat.S_IMODE(each.path.stat().st_mode) for each in (own, shared)]
    assert modes == [0o600, 0o666]
    assert stat.S_IMODE(shared.path.parent.stat().st_mode) == 0o711


def test_users_without_access_get_no_answer_on_the_shared_socket(
    shared: SocketClient, harness: Harness
) -> None:
    status, answer = shared.request("/token/crm")

    assert (status, error_code(answer)) == (403, "not-allowed-to-owner")
    assert "access_token" not in answer
    assert "details" not in answer["error"], "they name clients and files"
    (refused,) = event_details(harness, "token-refused")
    assert (refused["uid"], refused["code"]) == (str(ME), "not-allowed-to-owner")


def test_after_as_many_connections_as_there_are_places_the_socket_still_answers(
    own: SocketClient,
) -> None:
    for _ in range(MAX_CONNECTIONS):
        with socket.socket(socket.AF_UNIX) as each:
            each.connect(str(own.path))

    def is_answered() -> bool:
        try:
            return own.request("/token/crm")[0] == 200
        except (http.client.HTTPException, OSError):  # a place isn't free yet
            return False

    wait_for(is_answered, 10)


def test_repeated_refusals_write_one_line_a_minute(shared: SocketClient, harness: Harness) -> None:
    for _ in range(5):
        shared.request("/token/crm")
    assert len(event_details(harness, "token-refused")) == 1
    harness.advance(minutes=2)
    shared.request("/token/crm")
    assert len(event_details(harness, "token-refused")) == 2


def test_connections_beyond_the_limit_are_closed(own: SocketClient) -> None:
    open_sockets = [socket.socket(socket.AF_UNIX) for _ in range(MAX_CONNECTIONS)]
    for each in open_sockets:
        each.connect(str(own.path))
    with pytest.raises((http.client.HTTPException, OSError)):
        own.request("/token/crm")
    for each in open_sockets:
        each.close()


@contextmanager
def held_connections(shared: SocketClient, uid: int, count: int) -> Iterator[str]:
    """User `uid` opens `count` connections and keeps what isn't closed; yields how many were."""
    arguments = [str(shared.path), *map(str, (count, uid, MAX_CONNECTIONS_PER_USER))]
    command = [sys.executable, "-c", HOLD, *arguments]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as holder:
        assert holder.stdout is not None
        yield holder.stdout.readline()
        holder.communicate("go\n")


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_a_user_at_their_connection_limit_blocks_no_other_user(
    shared: SocketClient, harness: Harness, uid: int
) -> None:
    allow(harness, ME)
    with held_connections(shared, uid, MAX_CONNECTIONS_PER_USER + 4) as said:
        assert said == "4 were closed\n"
        assert shared.request("/token/crm")[0] == 200


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_users_without_access_leave_places_for_those_with_access(
    shared: SocketClient, harness: Harness, uid: int
) -> None:
    allow(harness, uid)
    most = MAX_CONNECTIONS_PER_USER
    with ExitStack() as stack:
        for number in range(MAX_CONNECTIONS_WITHOUT_ACCESS // most):
            said = stack.enter_context(held_connections(shared, 60_000 + number, most))
            assert said == "0 were closed\n"
        with pytest.raises(subprocess.CalledProcessError):
            shared.request_as(61_000, "/token/crm")
        assert shared.request_as(uid, "/token/crm")[0] == 200
        assert shared.request("/metrics")[0] == 403


def test_a_user_gets_tokens_only_for_connections_with_access(
    shared: SocketClient, harness: Harness
) -> None:
    harness.add_verified_connection("books")
    allow(harness, ME, "crm")

    assert shared.request("/token/crm")[0] == 200
    assert shared.request("/token/books")[0] == 403


def test_a_container_that_runs_as_the_owner_gets_only_what_it_has_access_to(
    shared: SocketClient, harness: Harness
) -> None:
    harness.add_verified_connection("books")
    allow(harness, ME, "crm")
    me = pwd.getpwuid(ME).pw_name

    status, answer = shared.request("/token/books")

    assert status == 403
    assert answer["error"]["commands"] == [
        f"zoho-wizard access add books --user {me}",
        f"curl --unix-socket {harness.services.paths.socket} http://zoho-wizard/token/books",
    ]


def test_removed_access_is_not_answered(shared: SocketClient, harness: Harness) -> None:
    allow(harness, ME)
    harness.services.store.access_permissions.remove("crm", ME)

    assert shared.request("/token/crm")[0] == 403


def test_of_a_name_that_is_too_long_only_the_start_is_remembered(
    shared: SocketClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    status, answer = shared.request("/token/" + "x" * 60_000)
    assert (status, error_code(answer)) == (403, "not-allowed-to-owner")
    assert len(json.dumps(answer)) < 2000
    assert [each for each in caplog.messages if len(each) > 500] == []


def test_an_unknown_name_is_refused_like_a_known_one(shared: SocketClient) -> None:
    known, unknown = (shared.request(f"/token/{name}") for name in ("crm", "none-such"))

    assert known[0] == unknown[0] == 403
    assert json.dumps(known[1]) == json.dumps(unknown[1]).replace("none-such", "crm")


@over_rows("name", ["crm%0a", "crm%00", "crm%20", "CRM", "%2e%2e/crm", "*", ""])
def test_a_name_that_is_not_an_exact_match_has_no_access(
    shared: SocketClient, harness: Harness, name: str
) -> None:
    allow(harness, ME)
    assert shared.request(f"/token/{name}")[0] == 403


@pytest.mark.parametrize(
    "target", ["/browser-link?page=/", "/shared-socket", "HTTP://[/shared-socket"]
)
def test_other_users_can_request_only_tokens(
    shared: SocketClient, harness: Harness, target: str
) -> None:
    allow(harness, ME)
    status, answer = shared.request(target, "POST")
    assert (status, error_code(answer)) == (403, "request-refused")


@over_rows(
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
def test_requests_of_browsers_are_refused(own: SocketClient, header: dict[str, str]) -> None:
    status, answer = own.request("/token/crm", **header)
    assert (status, error_code(answer)) == (403, "request-refused")
    assert "access_token" not in answer


@over_rows(
    "lines",
    [
        "Host: evil.example\r\nHost: zoho-wizard",
        "Host: zoho-wizard\r\nHost: evil.example",
        "Host: zoho-wizard\r\nOrigin : http://evil.example",
        "Host: zoho-wizard\r\n\0Origin: http://evil.example",
    ],
)
def test_an_ambiguous_request_is_refused(own: SocketClient, lines: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(own.path))
        connection.sendall(f"GET /token/crm HTTP/1.1\r\n{lines}\r\n\r\n".encode())
        answer = connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 403")
    assert "1000." not in answer


def test_headers_that_are_too_long_are_not_kept(own: SocketClient) -> None:
    padding = f"X: {'x' * 1000}\r\n" * (MAX_HEADER_BYTES // 1000 + 1)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(own.path))
        connection.sendall(f"GET /token/crm HTTP/1.1\r\nHost: localhost\r\n{padding}".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 431")


def test_a_client_that_leaves_before_the_answer_is_no_error(
    own: SocketClient, caplog: pytest.LogCaptureFixture
) -> None:
    before = threading.active_count()
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(own.path))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    own.request("/service")  # is accepted after all of them
    wait_for(lambda: threading.active_count() <= before)
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == []


def test_a_request_without_a_host_is_refused() -> None:
    assert rejection_reason("GET", {}) == "Its Host header isn’t valid"
    assert rejection_reason("GET", {"host": "zoho-wizard"}) == ""


@over_rows("target", ["/", "/token", "/tokens/crm", "/browser-link?page=/"])
def test_get_returns_only_tokens(own: SocketClient, target: str) -> None:
    assert own.request(target)[0] in (403, 404)


def test_a_rejected_grant_is_explained_and_not_requested_again(
    own: SocketClient, harness: Harness
) -> None:
    harness.controls.change_password("anna@zylker.example")
    harness.advance(hours=2)

    first, again = own.request("/token/crm"), own.request("/token/crm")

    assert (first[0], error_code(first[1])) == (409, "refresh-token-rejected")
    asked = len(harness.refresh_requests())
    assert error_code(again[1]) == "refresh-token-rejected"
    assert own.request("/token/crm")[0] == 409
    assert len(harness.refresh_requests()) == asked


def test_a_refusal_includes_the_command_that_fixes_it(own: SocketClient, harness: Harness) -> None:
    harness.add_connection("later")
    harness.services.tokens.revoke(harness.add_verified_connection("ended"))

    errors = [own.request(f"/token/{name}")[1]["error"] for name in ("later", "ended", "crn")]

    assert [each["code"] for each in errors] == ["no-grant", "grant-revoked", "unknown-connection"]
    assert all(each["title"] and each["cause"] and each["fix"] for each in errors)
    assert errors[0]["commands"] == ["zoho-wizard reauthorize later"]
    assert errors[1]["commands"] == ["zoho-wizard reauthorize ended"]
    assert "crm" in errors[2]["title"] + errors[2]["cause"]


def test_a_rate_limit_says_when_to_try_again(own: SocketClient, harness: Harness) -> None:
    harness.services.token_cache.remove("crm")
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")

    status, answer = own.request("/token/crm")

    error = answer["error"]
    assert (status, error["code"], error["temporary"]) == (503, "throttled", True)
    assert datetime.fromisoformat(error["retry_at"]) > harness.now()
    assert error["exit_code"] == 4
    assert error["commands"] == [
        "zoho-wizard token crm --wait 15m",
        "zoho-wizard check crm --ignore-wait",
    ]


def test_other_users_learn_nothing_about_the_account_behind_a_failure(
    shared: SocketClient, harness: Harness
) -> None:
    allow(harness, ME)
    harness.controls.delete_client(harness.registered_client["client_id"])
    harness.services.token_cache.remove("crm")

    status, answer = shared.request("/token/crm")

    assert (status, error_code(answer)) == (409, "invalid-client")
    text = json.dumps(answer)
    assert not [each for each in (harness.registered_client["client_id"], ANNA) if each in text]


def test_an_unexpected_error_is_reported_as_one_of_the_wizard(
    shared: SocketClient, harness: Harness
) -> None:
    with harness.services.store.database.write() as c:
        c.exec_driver_sql("ALTER TABLE access_permissions RENAME TO renamed")  # by a newer version

    status, answer = shared.request("/token/crm")

    assert (status, error_code(answer)) == (500, "internal-error")


def test_the_private_socket_returns_a_one_time_link(own: SocketClient) -> None:
    assert (
        request_browser_link(own.path, "/connections/crm", is_printed=True)
        == "link to /connections/crm, printed"
    )
    assert request_browser_link(own.path, "/", is_printed=False) == "link to /, opened"
    for page in ("https://evil.example", "//evil.example/", "/\\evil.example", "/a\r\nb"):
        assert request_browser_link(own.path, page, is_printed=True) is None


def test_a_running_wizard_can_be_asked_to_serve_other_users(
    own: SocketClient, socket_directory: Path
) -> None:
    assert request_shared_socket(own.path) == str(socket_directory / "socket")
    assert SocketClient(socket_directory / "socket").request("/token/crm")[0] == 403


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_another_user_is_answered_only_on_the_shared_socket(
    local_api: LocalApi, shared: SocketClient, harness: Harness, uid: int
) -> None:
    assert shared.request_as(uid, "/token/crm")[0] == 403
    allow(harness, uid)
    token = harness.services.tokens.access_token("crm").value

    assert shared.request_as(uid, "/token/crm") == (200, f"{token}\n\n")
    assert event_details(harness, "token-served")[0]["uid"] == str(uid)
    assert shared.request("/token/crm")[0] == 403, "root is not that user"


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_another_user_who_can_reach_the_private_socket_is_refused(
    harness: Harness, socket_directory: Path, uid: int
) -> None:
    socket_directory.mkdir()
    reachable = socket_directory / "own"
    harness.add_verified_connection("crm")
    harness.services.paths.data_dir, kept = str(socket_directory), harness.services.paths.data_dir
    try:
        with LocalApi(harness.services, lambda page, printed: page):
            (socket_directory / "socket").chmod(0o666)
            (socket_directory / "socket").rename(reachable)
            socket_directory.chmod(0o711)
            status, said = SocketClient(reachable).request_as(uid, "/token/crm")
    finally:
        harness.services.paths.data_dir = kept
    assert status == 403
    assert "different user" in said


def test_a_directory_in_place_of_a_socket_is_named_and_left_alone(
    harness: Harness, tmp_path: Path
) -> None:
    owned = Path(harness.services.paths.socket)
    chosen = tmp_path / "shared" / SOCKET_NAME
    chosen.mkdir(parents=True)
    with LocalApi(harness.services, None, chosen.parent) as serving:
        with pytest.raises(WizardError) as caught:
            serving.open_shared_socket()
        assert caught.value.failure.code == "socket-unusable"
        assert caught.value.failure.details == {"path": str(chosen), "reason": "it isn’t a socket"}
    owned.mkdir()
    with pytest.raises(WizardError) as caught, LocalApi(harness.services, None):
        pass
    assert caught.value.failure.details == {"path": str(owned), "reason": "it isn’t a socket"}
    left = {each.name for each in (*owned.parent.iterdir(), *chosen.parent.iterdir())}
    assert f"{SOCKET_NAME}.new" not in left
    owned.rmdir()
    fresh = owned.with_name(f"{SOCKET_NAME}.new")
    fresh.mkdir()
    with pytest.raises(WizardError) as caught, LocalApi(harness.services, None):
        pass
    assert caught.value.failure.details == {"path": str(fresh), "reason": "it isn’t a socket"}
    assert fresh.is_dir()


def test_a_file_in_place_of_a_socket_is_named_and_left_alone(
    harness: Harness, socket_directory: Path
) -> None:
    owned, chosen = Path(harness.services.paths.socket), socket_directory / SOCKET_NAME
    socket_directory.mkdir()
    chosen.write_text("notes")
    local_api = LocalApi(harness.services, None, socket_directory)
    with local_api, pytest.raises(WizardError) as caught:
        local_api.open_shared_socket()
    assert caught.value.failure.code == "socket-unusable"
    assert caught.value.failure.details == {"path": str(chosen), "reason": "it isn’t a socket"}
    assert chosen.read_text() == "notes"
    owned.symlink_to(chosen)
    with pytest.raises(WizardError) as caught, LocalApi(harness.services, None):
        pass
    assert caught.value.failure.details == {"path": str(owned), "reason": "it isn’t a socket"}
    assert owned.is_symlink()
    owned.unlink()
    os.mkfifo(owned)
    with pytest.raises(WizardError) as caught, LocalApi(harness.services, None):
        pass
    assert caught.value.failure.code == "socket-unusable"
    assert owned.is_fifo()


def unsafe_directory_reason(local_api: LocalApi) -> str:
    with pytest.raises(WizardError) as caught:
        local_api.open_shared_socket()
    assert caught.value.failure.code == "shared-directory-unsafe"
    return caught.value.failure.details["reason"]


def test_a_directory_writable_by_others_is_refused(
    local_api: LocalApi, socket_directory: Path
) -> None:
    socket_directory.mkdir()
    socket_directory.chmod(0o777)
    assert "other users can write" in unsafe_directory_reason(local_api)


def test_a_link_in_place_of_the_directory_is_refused(
    local_api: LocalApi, socket_directory: Path
) -> None:
    socket_directory.symlink_to("/tmp")
    assert "isn’t a directory" in unsafe_directory_reason(local_api)


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_a_directory_that_another_user_created_first_is_refused(
    local_api: LocalApi, socket_directory: Path, uid: int
) -> None:
    socket_directory.mkdir(0o711)
    os.chown(socket_directory, uid, uid)
    assert "a different user" in unsafe_directory_reason(local_api)
    assert list(socket_directory.iterdir()) == []


def test_a_link_in_place_of_the_lock_is_refused(
    local_api: LocalApi, socket_directory: Path, tmp_path: Path
) -> None:
    socket_directory.mkdir(0o711)
    (socket_directory / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    assert "isn’t a regular file" in unsafe_directory_reason(local_api)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_a_lock_that_another_user_created_first_is_refused(
    local_api: LocalApi, socket_directory: Path, uid: int
) -> None:
    socket_directory.mkdir(0o711)
    (socket_directory / LOCK_NAME).touch(0o600)
    os.chown(socket_directory / LOCK_NAME, uid, uid)
    assert "a different user" in unsafe_directory_reason(local_api)


@pytest.mark.parametrize("uid", FOREIGN_USERS)
def test_a_directory_that_another_user_could_replace_is_refused(
    harness: Harness, socket_directory: Path, uid: int
) -> None:
    """In a directory of theirs; by a link of theirs; in a directory that their group may write."""
    theirs, shared, ours = (socket_directory.with_name(name) for name in ("their", "group", "ours"))
    for directory in (theirs, shared, ours):
        directory.mkdir(0o711)
    (theirs / "link").symlink_to(ours)
    os.chown(theirs, uid, uid)
    os.chown(shared, ME, uid)
    shared.chmod(0o771)

    def reason(directory: Path) -> str:
        return unsafe_directory_reason(
            LocalApi(harness.services, lambda page, printed: page, directory)
        )

    assert reason(theirs / "shared") == "different-owner"
    assert reason(theirs / "link" / "shared") == "different-owner"
    assert reason(shared / "shared") == "writable-for-group"


def test_a_directory_that_everyone_could_replace_is_refused(
    local_api: LocalApi, socket_directory: Path
) -> None:
    socket_directory.parent.chmod(0o777)
    assert unsafe_directory_reason(local_api) == "writable-for-everyone"
    socket_directory.parent.chmod(0o1777)
    assert local_api.open_shared_socket()


def test_the_default_directory_is_where_no_other_user_can_create_it() -> None:
    script = """if True:
        import os, sys
        from wizard.local_api import default_shared_directory
        from wizard.paths import Paths
        os.seteuid(int(sys.argv[1]))
        paths = Paths(*(f"/home/anna/{each}" for each in ("data", "config", "cache")))
        print(default_shared_directory(paths))
    """

    def default(uid: int) -> str:
        command = [sys.executable, "-c", script, str(uid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.strip()

    assert default(ME).startswith("/run/zoho-wizard-" if ME == 0 else "/home/anna/data/shared")
    assert {default(uid) for uid in FOREIGN_USERS} <= {"/home/anna/data/shared"}


def test_a_directory_that_cannot_be_created_is_refused(
    harness: Harness, socket_directory: Path
) -> None:
    nowhere = socket_directory / "not" / "there"
    local_api = LocalApi(harness.services, lambda page, printed: page, nowhere)
    assert unsafe_directory_reason(local_api)


def test_a_stopped_wizard_leaves_no_socket(harness: Harness, socket_directory: Path) -> None:
    with LocalApi(harness.services, lambda page, printed: page, socket_directory) as local_api:
        path = local_api.open_shared_socket()
    assert not path.exists()
    assert not Path(harness.services.paths.socket).exists()
    assert request_browser_link(Path(harness.services.paths.socket), "/", is_printed=True) is None


def test_a_wizard_that_stops_keeps_the_sockets_of_another(
    harness: Harness, socket_directory: Path
) -> None:
    own = Path(harness.services.paths.socket)
    with LocalApi(harness.services, lambda page, printed: page, socket_directory) as local_api:
        both = own, local_api.open_shared_socket()
        for path in both:
            path.unlink()
            path.touch()
    assert [path.exists() for path in both] == [True, True]


def test_a_shared_directory_belongs_to_one_wizard_at_a_time(
    harness: Harness, local_api: LocalApi, socket_directory: Path
) -> None:
    before = local_api.open_shared_socket().stat().st_ino
    other = LocalApi(harness.services, lambda page, printed: page, socket_directory)

    with pytest.raises(WizardError) as caught:
        other.open_shared_socket()

    assert caught.value.failure.code == "shared-directory-in-use"
    assert (socket_directory / "socket").stat().st_ino == before
    local_api.__exit__()
    with LocalApi(harness.services, lambda page, printed: page, socket_directory) as next_one:
        assert next_one.open_shared_socket().exists()


def test_a_stale_socket_is_replaced(harness: Harness, socket_directory: Path) -> None:
    owned = Path(harness.services.paths.socket)
    for path in (owned, owned.with_name(f"{SOCKET_NAME}.new")):
        with socket.socket(socket.AF_UNIX) as killed, socket_address(path) as address:
            killed.bind(address)
        assert path.is_socket()
    with LocalApi(harness.services, lambda page, printed: page, socket_directory):
        assert (
            request_browser_link(Path(harness.services.paths.socket), "/", is_printed=True) == "/"
        )


def test_users_with_access_are_answered_from_the_start(
    harness: Harness, socket_directory: Path
) -> None:
    harness.add_verified_connection("crm")
    allow(harness, ME)
    with LocalApi(harness.services, lambda page, printed: page, socket_directory):
        assert SocketClient(socket_directory / "socket").request("/token/crm")[0] == 200


def test_a_shared_directory_that_nobody_chose_is_removed_at_the_end(harness: Harness) -> None:
    with LocalApi(harness.services, lambda page, printed: page) as local_api:
        directory = local_api.open_shared_socket().parent
        assert directory.is_dir()
    assert not directory.exists()


def _count_waiting_requests() -> int:
    """The threads of the server that are about to serve a token."""
    return sum(
        any(frame.f_code is HandOuts.serve.__code__ for frame, _ in traceback.walk_stack(stack))
        for stack in sys._current_frames().values()
    )


def test_tokens_that_are_requested_together_share_a_commit(
    own: SocketClient, harness: Harness
) -> None:
    own.request("/token/crm")  # opens the connection that writes
    database, statements = harness.services.store.database, list[str]()
    assert isinstance(database, SqliteDatabase)
    writer = database._own_connection
    assert writer is not None
    sqlite3_connection = writer.driver_connection
    assert sqlite3_connection is not None
    sqlite3_connection.set_trace_callback(statements.append)
    wanted = 16
    with ThreadPoolExecutor(wanted) as threads, database.write():
        answers = [threads.submit(own.request, "/token/crm") for _ in range(wanted)]
        wait_for(lambda: _count_waiting_requests() == wanted)
    assert {each.result()[0] for each in answers} == {200}
    assert len(event_details(harness, "token-served", limit=wanted + 1)) == wanted + 1
    assert 1 <= statements.count("COMMIT") <= wanted // 2


def test_what_another_process_changes_is_noticed_by_the_next_request(
    shared: SocketClient, harness: Harness
) -> None:
    allow(harness, ME)
    rejected = shared.request("/token/crm")[1]["access_token"]
    with Services.open(harness.services.settings, harness.now) as other:
        grant = other.store.grants.get("crm")
        assert grant is not None
        other.tokens.reject(grant, rejected)
        assert shared.request("/token/crm")[1]["access_token"] != rejected
        other.store.access_permissions.remove("crm", ME)
    assert error_code(shared.request("/token/crm")[1]) == "not-allowed-to-owner"


def test_an_index_finds_the_served_tokens_that_are_too_old(
    own: SocketClient, harness: Harness
) -> None:
    own.request("/token/crm")
    harness.advance(hours=24 * 31)
    own.request("/token/crm")
    assert len(event_details(harness, "token-served")) == 1
    with harness.services.store.database.read() as c:
        plan = c.exec_driver_sql(f"EXPLAIN QUERY PLAN {DELETE_OLD_SERVING_EVENTS}", ("",))
        assert "ix_events_kind_at (kind=? AND at<?)" in str(plan.fetchall())


def test_the_shared_socket_serves_nothing_that_is_for_the_owner(
    harness: Harness, own: SocketClient, shared: SocketClient
) -> None:
    allow(harness, ME)
    for path in ("/list", "/list?json=1", "/service"):
        status, answer = shared.request(path)
        assert (status, error_code(answer)) == (403, "request-refused")
    _, answer = shared.request("/token/crm?details=1")
    assert "variables" not in answer
    assert own.request("/token/crm?details=1")[1]["variables"]["ZOHO_DC"] == "eu"
    assert own.request("/service") == (200, {"pages": True})
