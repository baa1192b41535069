"""WorkDrive's folders and files: those of a user, with the content of small files in memory."""

import base64
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from wizard.simulator.api_calls import ApiCall, to_json
from wizard.simulator.products import ApiResponse, Collection
from wizard.simulator.records import Record

JSON_API = "application/vnd.api+json;charset=UTF-8"
FILES = "files"
TRASHED, DELETED = "51", "61"
"""The status of an item that a change moves to the trash, or deletes."""

DEFAULT_PER_PAGE, MAX_PER_PAGE = 50, 1000
LISTING_PERIOD_SECONDS = 60


def _json_api(data: Any, http_status: int = 200, **others: Any) -> ApiResponse:
    return ApiResponse(http_status, to_json({"data": data, **others}), JSON_API)


def _collection(call: ApiCall) -> Collection:
    return call.product.collections[FILES]


def _find(call: ApiCall, item_id: str) -> Record | None:
    return call.stored.all(FILES).get(item_id)


def _children(call: ApiCall, parent_id: str) -> Iterator[Record]:
    return (each for each in call.stored.all(FILES).values() if each["parent_id"] == parent_id)


def _milliseconds(call: ApiCall) -> int:
    return int(call.world.clock().timestamp() * 1000)


def _content(item: Record) -> bytes:
    return base64.b64decode(item["content"])


def _item(call: ApiCall, item: Record) -> dict[str, Any]:
    children = list(_children(call, item["id"]))
    folders = sum(each["is_folder"] for each in children)
    size = sum(len(_content(each)) for each in (item, *children))
    extension = "" if item["is_folder"] else item["name"].rpartition(".")[2]
    modified = datetime.fromtimestamp(item["modified"] / 1000).astimezone()
    return {
        "id": item["id"],
        "type": "files",
        "attributes": {
            "name": item["name"],
            "display_attr_name": item["name"],
            "type": "folder" if item["is_folder"] else extension or "file",
            "extn": extension,
            "is_folder": item["is_folder"],
            "parent_id": item["parent_id"],
            "status": "1",
            "permalink": call.world.url(call.request.location, "workdrive", f"/file/{item['id']}"),
            "created_time": f"{modified:%b %d, %Y}",
            "modified_time": f"{modified:%b %d, %Y}",
            "created_time_in_millisecond": item["created"],
            "modified_time_in_millisecond": item["modified"],
            "uploaded_time_in_millisecond": item["created"],
            "storage_info": {
                "size": f"{size} bytes",
                "size_in_bytes": size,
                "storage_used_in_bytes": size,
                "files_count": len(children) - folders,
                "folders_count": folders,
            },
        },
    }


# Teams and their folders


def list_teams(call: ApiCall) -> ApiResponse:
    """Return the user's only team."""
    if call.route.values["user"] != str(call.user.zuid):
        return call.error("missing")
    name = f"Team of {call.user.display_name}"
    attributes = {"name": name, "is_partof": True, "created_time_in_millisecond": 1767603600000}
    return _json_api([{"id": f"team{call.user.zuid}", "type": "teams", "attributes": attributes}])


def get_team_user(call: ApiCall) -> ApiResponse:
    """Return the user as a member of the team."""
    if call.route.values["team"] != f"team{call.user.zuid}":
        return call.error("missing")
    attributes = {"email_id": call.user.email, "display_name": call.user.display_name}
    return _json_api({"id": str(call.user.zuid), "type": "users", "attributes": attributes})


def list_private_spaces(call: ApiCall) -> ApiResponse:
    """Return the user's own top folder."""
    if call.route.values["user"] != str(call.user.zuid):
        return call.error("missing")
    return _spaces(call, "privatespace")


def list_workspaces(call: ApiCall) -> ApiResponse:
    """Return the team's top folders."""
    if call.route.values["team"] != f"team{call.user.zuid}":
        return call.error("missing")
    return _spaces(call, "workspace")


def _spaces(call: ApiCall, space: str) -> ApiResponse:
    found = [each for each in _children(call, "") if each["space"] == space]
    return _json_api([{**_item(call, each), "type": f"{space}s"} for each in found])


# Reading


def get_item(call: ApiCall) -> ApiResponse:
    """Return a folder or file."""
    item = _find(call, call.route.values["id"])
    return _json_api(_item(call, item)) if item else call.error("missing")


def list_folder(call: ApiCall) -> ApiResponse:
    """Return a page of a folder's items, as often as Zoho allows."""
    folder = _find(call, call.route.values["id"])
    if folder is None or not folder["is_folder"]:
        return call.error("missing")
    limit = call.world.settings.workdrive_listings_of_a_folder
    key = ("workdrive listing", str(call.user.zuid), folder["id"])
    take = call.world.rate_limits.take
    if not take(key, limit, LISTING_PERIOD_SECONDS, call.world.clock()):
        refused = call.error("rate_limit")
        headers = {"Retry-After": str(LISTING_PERIOD_SECONDS)}
        return ApiResponse(refused.status, refused.body, refused.content_type, headers=headers)
    query = call.request.query
    per_page = min(_number(query, "page[limit]", DEFAULT_PER_PAGE) or 1, MAX_PER_PAGE)
    start = _number(query, "page[next]", 0) or _number(query, "page[offset]", 0)
    items = list(_children(call, folder["id"]))
    shown = [_item(call, each) for each in items[start : start + per_page]]
    more = len(items) > start + per_page
    base = call.world.url(call.request.location, call.request.address)
    after = f"{base}?page%5Bnext%5D={start + per_page}&page%5Blimit%5D={per_page}" if more else ""
    return _json_api(shown, links={"cursor": {"has_next": more, "next": after}}, meta={})


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isdecimal() else default


def download(call: ApiCall) -> ApiResponse:
    """Return the content of a file."""
    item = _find(call, call.route.values["id"])
    if item is None or item["is_folder"]:
        return call.error("missing")
    return ApiResponse(200, "", "application/octet-stream", _content(item))


# Changing


def create_folder(call: ApiCall) -> ApiResponse:
    """Add a folder."""
    rows = _rows(call)
    attributes = rows[0].get("attributes", {}) if rows else {}
    parent = _find(call, str(attributes.get("parent_id")))
    if parent is None or not parent["is_folder"]:
        return call.error("missing")
    if not attributes.get("name"):
        return call.error("invalid")
    item = _add(call, str(attributes["name"]), parent["id"], is_folder=True)
    return _json_api(_item(call, item), 201)


def change_items(call: ApiCall) -> ApiResponse:
    """Rename, move, trash or delete items: the one of the path, or those of the JSON."""
    rows, in_path = _rows(call), call.route.values.get("id")
    if not rows:
        return call.error("invalid")
    changed = []
    for row in rows:
        item = _find(call, in_path or str(row.get("id")))
        attributes = row.get("attributes", {})
        parent_id = attributes.get("parent_id")
        if item is None or (parent_id and _find(call, parent_id) is None):
            return call.error("missing")
        changes = {name: attributes[name] for name in ("name", "parent_id") if name in attributes}
        item |= {**changes, "modified": _milliseconds(call)}
        changed.append(_item(call, item))
        if str(attributes.get("status")) in (TRASHED, DELETED):
            _delete(call, item)
    return _json_api(changed[0] if in_path else changed)


def copy_items(call: ApiCall) -> ApiResponse:
    """Copy items into a folder."""
    folder = _find(call, call.route.values["id"])
    sources = [
        _find(call, str(each.get("attributes", {}).get("resource_id"))) for each in _rows(call)
    ]
    if folder is None or not sources or None in sources:
        return call.error("missing")
    copies = [_copy(call, each, folder["id"]) for each in sources if each]
    return _json_api([_item(call, each) for each in copies], 201)


def upload(call: ApiCall) -> ApiResponse:
    """Store the file of a form. A file of this name is replaced if the caller says so."""
    request = call.request
    sent = {**request.query, **request.form}
    content = request.files.get("content")
    if content is None:
        return call.error("invalid")
    name, is_replaced = sent.get("filename", ""), sent.get("override-name-exist") == "true"
    item = _store(call, name, sent.get("parent_id", ""), content, is_replaced=is_replaced)
    if item is None:
        return call.error("missing")
    attributes = {
        "Permalink": _item(call, item)["attributes"]["permalink"],
        "File INFO": _file_info(item),
        "parent_id": item["parent_id"],
        "FileName": item["name"],
        "resource_id": item["id"],
    }
    return _json_api([{"attributes": attributes, "type": "files"}])


def upload_stream(call: ApiCall) -> ApiResponse:
    """Store the body as a file, whose name and folder are in headers."""
    headers = call.request.headers
    is_replaced = headers.get("x-override-name-exist") == "true"
    name, parent_id = headers.get("x-filename", ""), headers.get("x-parent-id", "")
    item = _store(call, name, parent_id, call.request.body, is_replaced=is_replaced)
    if item is None:
        return call.error("missing")
    attributes = {
        "parent_id": item["parent_id"],
        "file_name": item["name"],
        "resource_id": item["id"],
        "file_info": _file_info(item),
    }
    return _json_api([{"attributes": attributes, "type": "files"}], status="SUCCESS")


def _store(
    call: ApiCall, encoded_name: str, parent_id: str, content: bytes, *, is_replaced: bool
) -> Record | None:
    parent = _find(call, parent_id)
    name = unquote_plus(encoded_name)
    if parent is None or not parent["is_folder"] or not name:
        return None
    known = next((each for each in _children(call, parent_id) if each["name"] == name), None)
    if known is None or not is_replaced:
        return _add(call, name, parent_id, content=content)
    known |= {"content": base64.b64encode(content).decode(), "modified": _milliseconds(call)}
    return known


def _file_info(item: Record) -> str:
    resource = {
        "name": item["name"],
        "extension": item["name"].rpartition(".")[2],
        "created_time": item["created"],
        "statusChangeTime": item["modified"],
    }
    return to_json(
        {
            "RESOURCE_ID": item["id"],
            "PARENT_ID": item["parent_id"],
            "OPERATION": "upload",
            "size": len(_content(item)),
            "AUDIT_INFO": {"resource": resource},
        }
    )


def _rows(call: ApiCall) -> list[dict[str, Any]]:
    sent = call.request.json
    data = sent.get("data") if isinstance(sent, dict) else None
    rows = data if isinstance(data, list) else [data]
    return [each for each in rows if isinstance(each, dict)]


def _add(
    call: ApiCall, name: str, parent_id: str, *, is_folder: bool = False, content: bytes = b""
) -> Record:
    now = _milliseconds(call)
    values = {
        "name": name,
        "parent_id": parent_id,
        "is_folder": is_folder,
        "content": base64.b64encode(content).decode(),
        "created": now,
        "modified": now,
    }
    return call.stored.add(_collection(call), values, call.user, call.now)


def _copy(call: ApiCall, source: Record, parent_id: str) -> Record:
    copied = _add(
        call,
        source["name"],
        parent_id,
        is_folder=source["is_folder"],
        content=_content(source),
    )
    for child in list(_children(call, source["id"])):
        _copy(call, child, copied["id"])
    return copied


def _delete(call: ApiCall, item: Record) -> None:
    for child in list(_children(call, item["id"])):
        _delete(call, child)
    call.stored.delete(FILES, item["id"])


ACTIONS: dict[str, Callable[[ApiCall], ApiResponse]] = {
    "workdrive-teams": list_teams,
    "workdrive-team-user": get_team_user,
    "workdrive-private-spaces": list_private_spaces,
    "workdrive-workspaces": list_workspaces,
    "workdrive-item": get_item,
    "workdrive-folder": list_folder,
    "workdrive-download": download,
    "workdrive-create-folder": create_folder,
    "workdrive-change": change_items,
    "workdrive-copy": copy_items,
    "workdrive-upload": upload,
    "workdrive-upload-stream": upload_stream,
}
"""The actions by the name that an endpoint gives as its `action`."""
