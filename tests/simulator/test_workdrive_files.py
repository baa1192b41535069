"""WorkDrive's files, with the calls that rclone makes."""

import json
from typing import Any

import pytest
import requests
from support.zoho_driver import ANNA, CARLA, ZohoDriver

SCOPE = "WorkDrive.team.READ,WorkDrive.workspace.READ,WorkDrive.files.ALL,ZohoFiles.files.ALL"
API = "/api/v1"


class Drive:
    """A user's WorkDrive on its own host."""

    def __init__(self, zoho: ZohoDriver, email: str = ANNA) -> None:
        self.zoho = zoho
        self.token = zoho.issue_tokens(email, scope=SCOPE)["access_token"]

    def call(self, method: str, path: str, host: str = "workdrive", **sent: Any) -> Any:
        headers = {"Authorization": f"Zoho-oauthtoken {self.token}", **sent.pop("headers", {})}
        url = self.zoho.url_for(path, host=host)
        return requests.request(method, url, headers=headers, timeout=10, **sent)

    def root(self) -> str:
        zuid = self.zoho.world.users.get(ANNA).zuid
        spaces = self.call("GET", f"{API}/users/{zuid}/privatespace").json()["data"]
        root: str = spaces[0]["id"]
        return root

    def names(self, folder: str) -> list[str]:
        listed = self.call("GET", f"{API}/files/{folder}/files").json()["data"]
        return [each["attributes"]["name"] for each in listed]

    def upload(self, folder: str, name: str, content: bytes) -> str:
        answer = self.call(
            "POST",
            f"{API}/upload",
            params={"filename": name, "parent_id": folder, "override-name-exist": "true"},
            files={"content": (name, content)},
        )
        attributes = answer.json()["data"][0]["attributes"]
        assert json.loads(attributes["File INFO"])["size"] == len(content)
        item: str = attributes["resource_id"]
        return item


@pytest.fixture
def drive(zoho: ZohoDriver) -> Drive:
    return Drive(zoho)


def body(**attributes: str) -> dict[str, Any]:
    return {"data": {"type": "files", "attributes": attributes}}


@pytest.mark.rule("workdrive-spaces")
def test_a_program_finds_the_folder_it_starts_in(drive: Drive) -> None:
    zuid = drive.call("GET", f"{API}/users/me").json()["data"]["id"]
    team = drive.call("GET", f"{API}/users/{zuid}/teams").json()["data"][0]["id"]
    member = drive.call("GET", f"{API}/teams/{team}/currentuser").json()["data"]["id"]
    spaces = [f"{API}/users/{member}/privatespace", f"{API}/teams/{team}/workspaces"]
    roots = [drive.call("GET", each).json()["data"][0]["id"] for each in spaces]
    assert [drive.names(each) for each in roots] == [["Drawings", "notes.txt"], []]
    foreign = drive.call("GET", f"{API}/users/1/teams")
    assert (foreign.status_code, foreign.json()["errors"][0]["id"]) == (401, "R008")


@pytest.mark.rule("workdrive-files", "workdrive-missing-item")
def test_what_is_uploaded_is_listed_downloaded_copied_moved_and_deleted(drive: Drive) -> None:
    root = drive.root()
    created = drive.call("POST", f"{API}/files", json=body(name="Plans", parent_id=root))
    assert created.status_code == 201
    folder = created.json()["data"]["id"]
    item = drive.upload(folder, "plan%20é.txt", b"one")
    assert drive.upload(folder, "plan%20é.txt", b"two") == item
    assert drive.names(folder) == ["plan é.txt"]
    assert drive.call("GET", f"/v1/workdrive/download/{item}", "download").content == b"two"
    rows = {"data": [{"type": "files", "attributes": {"resource_id": item}}]}
    drive.call("POST", f"{API}/files/{root}/copy", json=rows)
    assert "plan é.txt" in drive.names(root)
    assert drive.call("PATCH", f"{API}/files/{item}", json=body(name="z.txt")).ok
    move = {"data": [{"id": item, "type": "files", "attributes": {"parent_id": root}}]}
    assert drive.call("PATCH", f"{API}/files", json=move).json()["data"][0]["id"] == item
    assert (drive.names(folder), drive.names(root)[-1]) == ([], "plan é.txt")
    inner = drive.upload(folder, "inner.txt", b"")
    trash = {"data": [{"id": folder, "type": "files", "attributes": {"status": "51"}}]}
    assert drive.call("PATCH", f"{API}/files", json=trash).ok
    for gone in (folder, inner):
        missing = drive.call("GET", f"{API}/files/{gone}")
        assert (missing.status_code, missing.json()["errors"][0]["id"]) == (401, "R008")


@pytest.mark.rule("workdrive-files")
def test_a_large_file_is_streamed_to_the_upload_host(drive: Drive) -> None:
    headers = {"x-filename": "big.bin", "X-Parent_id": drive.root(), "x-streammode": "1"}
    path = "/workdrive-api/v1/stream/upload"
    answer = drive.call("POST", path, "upload", headers=headers, data=b"x" * 70_000)
    attributes = answer.json()["data"][0]["attributes"]
    item = drive.call("GET", f"{API}/files/{attributes['resource_id']}").json()["data"]
    assert item["attributes"]["name"] == "big.bin"
    assert item["attributes"]["storage_info"]["size_in_bytes"] == 70_000


@pytest.mark.rule("workdrive-files")
def test_a_folder_is_listed_by_page(drive: Drive) -> None:
    root = drive.root()
    path = f"{API}/files/{root}/files"
    first = drive.call("GET", path, params={"page[limit]": "1", "page[next]": "0"}).json()
    assert first["links"]["cursor"]["has_next"] is True
    rest = requests.get(
        first["links"]["cursor"]["next"],
        headers={"Authorization": f"Bearer {drive.token}"},
        timeout=10,
    ).json()
    names = [each["attributes"]["name"] for each in (*first["data"], *rest["data"])]
    assert names == drive.names(root) == ["Drawings", "notes.txt"]
    assert rest["links"]["cursor"]["has_next"] is False


@pytest.mark.rule("workdrive-listing-limit")
def test_the_twentieth_listing_of_a_folder_in_a_minute_is_refused(drive: Drive) -> None:
    path = f"{API}/files/{drive.root()}/files"
    statuses = [drive.call("GET", path).status_code for _ in range(20)]
    assert statuses == [200] * 19 + [429]
    refused = drive.call("GET", path)
    assert refused.json()["errors"][0]["id"] == "F7008"
    drive.zoho.controls.advance(int(refused.headers["Retry-After"]))
    assert drive.call("GET", path).status_code == 200


def test_a_user_does_not_see_the_files_of_another(drive: Drive) -> None:
    root = drive.root()
    other = Drive(drive.zoho, CARLA)
    assert other.call("GET", f"{API}/files/{root}/files").status_code == 401
