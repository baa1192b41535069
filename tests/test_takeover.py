"""Taking over the credentials of many programs: what is found, tested, stored, and left alone."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from support.claims import over_rows
from support.harness import ANNA, BOB, CARLA, SCOPE, Harness
from support.shell import Shell

from wizard import takeover
from wizard.importing import find_credentials
from wizard.takeover import Candidate, Discovery, discover

ID = "1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ1234"
SECRET = "0123456789abcdef0123456789abcdef01234567"


def token(number: int) -> str:
    """A refresh token in Zoho's format."""
    return f"1000.{number:032x}.{number:032x}"


def env_text(number: int, client_id: str = ID, secret: str = SECRET, value: str = "") -> str:
    return (
        f"ZOHO_CLIENT_ID={client_id}\nZOHO_CLIENT_SECRET={secret}\n"
        f"ZOHO_REFRESH_TOKEN={value or token(number)}\n"
    )


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names_in(discovery: Discovery, directory: Path) -> list[str]:
    return [os.path.relpath(source.path, directory) for source, _ in discovery.found]


def reasons_in(discovery: Discovery, directory: Path) -> dict[str, str]:
    return {os.path.relpath(each.path, directory): each.reason for each in discovery.skipped}


# --- the search


def test_a_search_finds_every_format_and_only_files_with_tokens(tmp_path: Path) -> None:
    write(tmp_path / "billing/.env", env_text(1))
    write(tmp_path / "crm/.env.production", env_text(2))
    section = f"[work]\ntype = zoho\nclient_id = {ID}\nclient_secret = {SECRET}\nregion = eu\n"
    nested = json.dumps({"refresh_token": token(3)})
    write(tmp_path / "rclone.conf", f"{section}token = {nested}\n")
    server = {"env": {"ZOHO_CLIENT_ID": ID, "ZOHO_CLIENT_SECRET": SECRET}}
    server["env"]["ZOHO_REFRESH_TOKEN"] = token(4)
    write(tmp_path / "mcp.json", json.dumps({"mcpServers": {"zoho": server}}))
    row = f"7,,{ID},{SECRET},{token(5)},,,,,https://www.zohoapis.eu"
    heading = "id,user_name,client_id,client_secret,refresh_token,access_token,grant_token"
    write(
        tmp_path / "sdk_tokens.txt", f"{heading},expiry_time,redirect_uri,api_domain\r\n{row}\r\n"
    )
    write(tmp_path / "dump.sql", dump(f"('1','','{ID}','{SECRET}','{token(6)}',NULL,'','','','')"))
    write(tmp_path / "notes.txt", "no token here")
    write(tmp_path / "program.py", f'TOKEN = call("{token(7)}")\n')

    found = discover([str(tmp_path)])

    assert names_in(found, tmp_path) == [
        *("billing/.env", "crm/.env.production", "dump.sql", "mcp.json", "rclone.conf"),
        "sdk_tokens.txt",
    ]
    assert [each.values["refresh_token"] for _, each in found.found] == [
        token(number) for number in (1, 2, 6, 4, 3, 5)
    ]
    assert reasons_in(found, tmp_path) == {"program.py": "unknown-format"}


def dump(*rows: str, columns: str = "") -> str:
    return (
        "CREATE TABLE `oauthtoken` (`id` varchar(10) NOT NULL);\n"
        f"INSERT INTO `oauthtoken` {columns}VALUES {','.join(rows)};\n"
    )


BATCH = (
    "id\tclient_id\tclient_secret\trefresh_token\tapi_domain\n"
    f"1\t{ID}\t{SECRET}\t{token(1)}\tNULL\n"
)


@over_rows(
    "text",
    [
        dump(f"('1','it\\'s (a,b)','{ID}','{SECRET}','{token(1)}',NULL,'','1','','')"),
        dump(
            f"('{token(1)}','{ID}','{SECRET}')",
            columns="(`refresh_token`, client_id, client_secret) ",
        ),
        BATCH,
    ],
)
def test_the_token_table_of_an_sdk_is_read(text: str) -> None:
    (found,) = find_credentials(text)
    expected = {"client_id": ID, "client_secret": SECRET, "refresh_token": token(1)}
    assert dict(found.values) == expected


def test_a_search_stays_in_the_directory_and_names_what_it_left_out(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside/.env", env_text(1))
    apps = tmp_path / "apps"
    for name in (".git", "node_modules", ".venv"):
        write(apps / name / ".env", env_text(2))
    write(apps / "shared/.env", env_text(3))
    (apps / "linked").symlink_to(outside.parent)
    (apps / "file.env").symlink_to(outside)
    (apps / "inner.env").symlink_to(apps / "shared/.env")
    os.mkfifo(apps / "pipe.env")
    write(apps / "large.env", env_text(4) + "#" * 1024 * 1024)

    found = discover([str(apps)])
    assert names_in(found, apps) == ["shared/.env"]
    assert reasons_in(found, apps) == {"linked": "link-outside", "file.env": "link-outside"}
    assert reasons_in(discover([str(apps / "large.env")]), apps) == {"large.env": "too-large"}
    by_pattern = discover([f"{apps}/*/.env", f"{apps}/*.env"])
    assert names_in(by_pattern, apps) == ["shared/.env"]
    assert set(reasons_in(by_pattern, apps).values()) == {"link-outside"}


def test_a_search_ends_at_its_limits_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a/b/c/.env", env_text(1))
    write(tmp_path / "z.env", env_text(2))
    monkeypatch.setattr(takeover, "MAX_DEPTH", 2)
    assert reasons_in(discover([str(tmp_path)]), tmp_path) == {"a/b": "too-deep"}
    monkeypatch.setattr(takeover, "MAX_ENTRIES", 3)
    found = discover([str(tmp_path)])
    assert found.found == ()
    assert "too-many" in reasons_in(found, tmp_path).values()


def test_a_pattern_follows_no_links_around_and_reads_each_file_once(tmp_path: Path) -> None:
    write(tmp_path / "a/b/.env", env_text(1))
    write(tmp_path / ".git/.env", env_text(2))
    for name in ("one", "two", "three"):  # followed, they are 3 ** 40 directories
        (tmp_path / name).symlink_to(".")
    (tmp_path / "root").symlink_to("/")
    for pattern in ("**/.env", "*/**/.env", "**", "**/*", "*/b/.e*"):
        found = discover([f"{tmp_path}/{pattern}"])
        assert names_in(found, tmp_path) == ["a/b/.env"]
        assert {each.reason for each in found.skipped} <= {"link-outside"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    write(tmp_path / "closed/.env", env_text(1)).parent.chmod(0)
    try:
        assert reasons_in(discover([str(tmp_path)]), tmp_path) == {"closed": "unreadable"}
    finally:
        (tmp_path / "closed").chmod(0o700)


# --- the command


def program_files(
    directory: Path, harness: Harness, *, clients: int, tokens: int
) -> dict[str, dict[str, Any]]:
    """A `.env` file for each refresh token: `tokens` for each of several clients and users."""
    written = {}
    for index in range(clients):
        email = (ANNA, BOB, CARLA)[index % 3]
        client_id = ""
        for number in range(tokens):
            issued = harness.controls.issue_tokens(email, ",".join(SCOPE), client_id=client_id)
            client_id, name = issued["client_id"], f"app-{index}-{number}"
            keys = (client_id, issued["client_secret"], issued["refresh_token"])
            write(directory / name / ".env", env_text(0, keys[0], keys[1], keys[2]))
            written[name] = {**issued, "email": email}
    return written


def run_import(shell: Shell, directory: Path, *options: str, exit_code: int = 0) -> dict[str, Any]:
    done = shell.run("import", str(directory), *options, "--json")
    assert done.exit_code == exit_code, done.stderr
    for file in directory.rglob(".env"):
        _client_id, *secrets = re.findall(r"(?<==)\S+", file.read_text())
        assert not any(each in done.stdout + done.stderr for each in secrets)
    return dict(json.loads(done.stdout))


def states(report: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["state"] for each in report["connections"]}


@pytest.mark.slow
def test_programs_are_taken_over_after_one_question(shell: Shell, shell_harness: Harness) -> None:
    apps = shell.directory / "apps"
    issued = program_files(apps, shell_harness, clients=2, tokens=2)
    write(apps / "copy/.env", (apps / "app-0-0/.env").read_text())
    write(apps / "wrong/.env", env_text(1, issued["app-0-0"]["client_id"]))
    write(apps / "half.env", f"ZOHO_REFRESH_TOKEN={token(9)}\n")
    write(apps / "part.env", f"ZOHO_REFRESH_TOKEN={issued['app-1-0']['refresh_token']}\n")
    before = {each: each.read_bytes() for each in apps.rglob("*.env")}

    planned = run_import(shell, apps, "--dry-run", exit_code=1)
    assert states(planned) == {**dict.fromkeys(issued, "found"), "wrong": "failed", "": "failed"}
    rows = {each["name"]: each for each in planned["connections"]}
    assert {name: rows[name]["email"] for name in issued} == {
        name: each["email"] for name, each in issued.items()
    }
    assert [Path(each["path"]).parent.name for each in rows["app-0-0"]["files"]] == [
        *("app-0-0", "copy")
    ]
    assert (rows["wrong"]["error"]["code"], rows[""]["error"]["code"]) == (
        "wrong-secret",
        "import-incomplete",
    )
    assert [Path(each["path"]).name for each in rows["app-1-0"]["files"]] == [".env", "part.env"]
    assert shell_harness.services.store.connections.all() == ()
    one = json.loads(shell.run("import", str(apps / "half.env"), "--dry-run", "--json").stdout)
    assert [each["error"]["code"] for each in one["connections"]] == ["import-incomplete"]
    asked = shell.run("import", str(apps), "--json")
    assert (asked.exit_code, "input-needed" in asked.stderr) == (2, True)

    shell_harness.advance(minutes=11)
    stored = run_import(shell, apps, "--yes", exit_code=1)
    assert {name: states(stored)[name] for name in issued} == dict.fromkeys(issued, "imported")
    overviews = shell_harness.services.store.overviews.all()
    assert {each.connection.name: each.grant.email for each in overviews if each.grant} == {
        name: each["email"] for name, each in issued.items()
    }
    rows = {each["name"]: each for each in stored["connections"]}
    assert {rows[name]["verification"]["state"] for name in issued} == {"verified"}
    shell_harness.advance(minutes=11)
    again = run_import(shell, apps, "--yes", exit_code=1)
    assert {name: states(again)[name] for name in issued} == dict.fromkeys(issued, "already_stored")
    assert {each: each.read_bytes() for each in apps.rglob("*.env")} == before


def test_after_the_question_only_the_results_are_listed(
    shell: Shell, shell_harness: Harness
) -> None:
    apps = shell.directory / "apps"
    program_files(apps, shell_harness, clients=1, tokens=1)
    write(apps / "half.env", f"ZOHO_REFRESH_TOKEN={token(9)}\n")
    done = shell.run_in_terminal("import", str(apps), replies=[("Store 1 connection", "y")])
    before, after = re.split("Store 1 connection.*", done.stdout)
    assert ("app-0-0/.env" in before, "app-0-0/.env" in after) == (True, False)
    assert "Failed" in after


def test_a_test_and_its_verification_take_one_refresh(shell: Shell, shell_harness: Harness) -> None:
    apps = shell.directory / "apps"
    program_files(apps, shell_harness, clients=1, tokens=2)
    shell_harness.controls.clear_journal()
    run_import(shell, apps, "--yes")
    assert len(shell_harness.refresh_requests()) == 2
    tests = shell_harness.logged_requests(grant_type="authorization_code")
    assert [each["location"] for each in tests] == ["us", "eu", "eu"]


@pytest.mark.slow
def test_a_directory_of_forty_files_is_taken_over_within_the_rate_limits(
    shell: Shell, shell_harness: Harness
) -> None:
    apps = shell.directory / "apps"
    issued = program_files(apps, shell_harness, clients=4, tokens=10)
    done = shell.run("import", str(apps), "--yes", "--json")
    assert done.exit_code == 4, done.stderr
    waiting = [row for row in json.loads(done.stdout)["connections"] if row["state"] == "waiting"]
    assert 0 < len(waiting) <= 4 * 4
    assert all(row["retry_at"] for row in waiting)
    assert "throttled" not in done.stdout

    shell_harness.advance(minutes=11)
    assert shell.run("import", str(apps), "--yes", "--json").exit_code == 0

    overviews = shell_harness.services.store.overviews.all()
    assert {each.connection.name: each.grant.email for each in overviews if each.grant} == {
        name: each["email"] for name, each in issued.items()
    }
    assert len(shell_harness.refresh_requests()) == 40


# --- one test at a time


def candidates(harness: Harness, directory: Path) -> tuple[Candidate, ...]:
    return harness.services.takeover.candidates(discover([str(directory)]))


def test_a_rate_limit_delays_a_test_without_a_request(harness: Harness) -> None:
    program_files(harness.directory / "apps", harness, clients=1, tokens=9)
    found = candidates(harness, harness.directory / "apps")
    tested = [harness.services.takeover.test(each) for each in found]
    assert [each.failure.code if each.failure else "" for each in tested] == [
        *[""] * 7,
        *["client-budget"] * 2,
    ]
    assert len(harness.refresh_requests()) == 7
    harness.advance(minutes=11)
    assert harness.services.takeover.test(tested[-1]).is_accepted


def test_a_refresh_token_that_the_server_replaces_is_stored_at_once(harness: Harness) -> None:
    harness.controls.change_settings(refresh_token_rotation="reuse-detection")
    program_files(harness.directory / "apps", harness, clients=1, tokens=1)
    (found,) = candidates(harness, harness.directory / "apps")
    tested = harness.services.takeover.test(found)
    (grant,) = harness.services.store.grants.of_connection("app-0-0")
    assert tested.grant is not None
    assert grant.refresh_token != found.credentials.values["refresh_token"]


def test_a_different_secret_of_a_stored_client_is_not_used(harness: Harness) -> None:
    issued = program_files(harness.directory / "apps", harness, clients=1, tokens=1)["app-0-0"]
    harness.services.clients.register(
        f"{issued['client_id']} {issued['client_secret']}", redirect_uri="http://localhost/"
    )
    new = harness.controls.rotate_secret(issued["client_id"])
    file = harness.directory / "apps/app-0-0/.env"
    file.write_text(file.read_text().replace(issued["client_secret"], new))
    tested = harness.services.takeover.test(candidates(harness, file.parent)[0])
    assert tested.failure is not None
    assert (tested.failure.code, tested.is_accepted) == ("secret-differs", False)
