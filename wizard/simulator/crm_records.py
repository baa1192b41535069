"""How CRM's records are read: lists by page, search, COQL; and CRM's users."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from wizard.simulator.api_calls import ApiCall, fill, to_json
from wizard.simulator.catalog import scopes_cover
from wizard.simulator.crm_modules import (
    Action,
    Module,
    Refused,
    call_version,
    json_response,
    refusable,
)
from wizard.simulator.products import ApiResponse
from wizard.simulator.record_actions import MAX_PER_PAGE, page_of
from wizard.simulator.record_queries import parse_coql, parse_criteria
from wizard.simulator.records import Record

MAX_FIELDS = 50
MAX_RECORDS_WITHOUT_TOKEN = 2000
PAGE_TOKEN_LIFETIME = timedelta(days=1)
SEARCH_SCOPE = "ZohoSearch.securesearch.READ"

NO_CONTENT = ApiResponse(204, "")
NOT_MODIFIED = ApiResponse(304, "")


def list_records(call: ApiCall) -> ApiResponse:
    """Return a page of a module's records, the newest first."""
    module = Module(call, call.route.values["module"])
    fields = _fields_wanted(call)
    since = call.request.headers.get("if-modified-since")
    ids = [each for each in call.request.query.get("ids", "").split(",") if each]
    found = [each for key, each in module.records.items() if not ids or key in ids]
    if since:
        changed_after = _parse_time(call, since)
        found = [
            each for each in found if datetime.fromisoformat(each["Modified_Time"]) > changed_after
        ]
    if not found:
        return NOT_MODIFIED if since and module.records else NO_CONTENT
    return _page(call, module, _sorted(call, found), fields)


def _parse_time(call: ApiCall, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(call.error("header", name="If-Modified-Since")) from None
    return found if found.tzinfo else found.astimezone()


def _fields_wanted(call: ApiCall) -> list[str]:
    wanted = [each for each in call.request.query.get("fields", "").split(",") if each]
    if len(wanted) > MAX_FIELDS and call_version(call) >= 3:
        raise Refused(call.error("limit", limit=MAX_FIELDS, name="fields"))
    return wanted


def _sorted(call: ApiCall, records: Iterable[Record]) -> list[Record]:
    name = call.request.query.get("sort_by", "id")
    order = call.request.query.get("sort_order", "desc")
    if order not in ("asc", "desc"):
        raise Refused(call.error("parameter_value", parameter="sort_order"))
    if name not in ("id", "Created_Time", "Modified_Time"):
        raise Refused(call.error("parameter_value", parameter="sort_by"))
    return sorted(records, key=lambda each: (each[name], each["id"]), reverse=order == "desc")


def _page(call: ApiCall, module: Module, found: list[Record], fields: list[str]) -> ApiResponse:
    query = call.request.query
    page, per_page = page_of(query)
    token = query.get("page_token")
    if token and "page" in query:
        raise Refused(call.error("ambiguous"))
    if token:
        page = _read_page_token(call, token)
    elif page * per_page > MAX_RECORDS_WITHOUT_TOKEN and call_version(call) >= 3:
        raise Refused(call.error("pagination", limit=MAX_RECORDS_WITHOUT_TOKEN))
    shown = found[(page - 1) * per_page : page * per_page]
    if not shown:
        return NO_CONTENT
    more = len(found) > page * per_page
    info: dict[str, Any] = {
        "per_page": per_page,
        "count": len(shown),
        "page": page,
        "more_records": more,
    }
    if call_version(call) >= 3:
        expiry = call.world.clock().replace(microsecond=0) + PAGE_TOKEN_LIFETIME
        info |= {
            "next_page_token": _page_token(call, page + 1, expiry) if more else None,
            "previous_page_token": _page_token(call, page - 1, expiry) if page > 1 else None,
            "page_token_expiry": expiry.isoformat() if more or page > 1 else None,
            "sort_by": query.get("sort_by", "id"),
            "sort_order": query.get("sort_order", "desc"),
        }
    return json_response({"data": [_shown(each, fields) for each in shown], "info": info})


def _shown(record: Record, fields: list[str]) -> Record:
    return (
        {name: record.get(name) for name in dict.fromkeys([*fields, "id"]) if name in record}
        if fields
        else record
    )


def _page_token(call: ApiCall, page: int, expiry: datetime) -> str:
    content = [page, _bound_parameters(call), str(call.user.zuid), expiry.timestamp()]
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def _read_page_token(call: ApiCall, token: str) -> int:
    try:
        page, bound, zuid, expiry = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise Refused(call.error("page_token")) from None
    if zuid != str(call.user.zuid):
        raise Refused(call.error("page_token"))
    if bound != _bound_parameters(call):
        raise Refused(call.error("page_token_mismatch"))
    if call.world.clock().timestamp() > expiry:
        raise Refused(call.error("page_token_expired"))
    return int(page)


def _bound_parameters(call: ApiCall) -> str:
    """Return a digest of what a page token is valid for: the list and its parameters."""
    names = call.request.query.keys() - {"page", "page_token"}
    bound = [call.request.path, *(f"{each}={call.request.query[each]}" for each in sorted(names))]
    return hashlib.sha256("&".join(bound).encode()).hexdigest()[:16]


def get_record(call: ApiCall) -> ApiResponse:
    """Return one record."""
    module = Module(call, call.route.values["module"])
    record_id = call.route.values["id"]
    if not record_id.isdecimal():
        return call.error("id_in_path")
    record = module.records.get(record_id)
    return json_response({"data": [_shown(record, _fields_wanted(call))]}) if record else NO_CONTENT


def count_records(call: ApiCall) -> ApiResponse:
    """Return how many records a module has."""
    return json_response({"count": len(Module(call, call.route.values["module"]).records)})


def list_deleted(call: ApiCall) -> ApiResponse:
    """Return the deleted records of a module."""
    module = Module(call, call.route.values["module"])
    deleted = [
        {
            "id": each["id"],
            "display_name": each.get(module.collection.title),
            "type": "recycle",
            "deleted_time": each["Modified_Time"],
            "deleted_by": each["Modified_By"],
            "created_by": each["Created_By"],
        }
        for each in module.stored.deleted.get(module.collection.name, [])
    ]
    if not deleted or call.request.query.get("type") == "permanent":
        return NO_CONTENT
    return json_response({"data": deleted, "info": _only_page(len(deleted))})


def list_related(call: ApiCall) -> ApiResponse:
    """Return the records that refer to a record, such as the contacts of an account."""
    module = Module(call, call.route.values["module"])
    related = Module(call, call.route.values["related"])
    lookups = [
        each.name for each in related.fields.values() if each.lookup == module.collection.name
    ]
    if not lookups or call.route.values["id"] not in module.records:
        return call.error("relation")
    wanted = call.route.values["id"]
    found = [
        record
        for record in related.records.values()
        if any(related.value(record, name) == wanted for name in lookups)
    ]
    return _page(call, related, found, _fields_wanted(call))


def search_records(call: ApiCall) -> ApiResponse:
    """Return the records that match the criteria, the email address, the phone or a word."""
    module = Module(call, call.route.values["module"])
    query = call.request.query
    granted = call.token.permission.scopes
    if call.world.settings.search_scope_required and not scopes_cover(granted, SEARCH_SCOPE):
        return call.error("scope")
    if text := query.get("criteria"):
        condition = parse_criteria(text, module.value, module.has_field)
    elif text := query.get("email"):
        condition = _has_text(module, text, "email", is_whole=True)
    elif text := query.get("phone"):
        condition = _has_text(module, text, "phone", is_whole=True)
    elif text := query.get("word"):
        condition = _has_text(module, text, "", is_whole=False)
    else:
        return call.error("required", parameter="criteria")
    found = sorted(filter(condition, module.records.values()), key=lambda each: each["id"])
    return _page(call, module, found, _fields_wanted(call)) if found else NO_CONTENT


def _has_text(
    module: Module, text: str, data_type: str, *, is_whole: bool
) -> Callable[[Record], bool]:
    names = [each.name for each in module.fields.values() if data_type in ("", each.data_type)]
    wanted = text.casefold()

    def matches(record: Record) -> bool:
        values = [str(record[name]).casefold() for name in names if isinstance(record[name], str)]
        return wanted in values if is_whole else any(wanted in each for each in values)

    return matches


def run_query(call: ApiCall) -> ApiResponse:
    """Return the records of a COQL query."""
    sent = call.request.json
    text = sent.get("select_query") if isinstance(sent, dict) else None
    if not isinstance(text, str):
        return call.error("mandatory", api_name="select_query", json_path="$.select_query")
    found = re.search(r"\bfrom\s+(\w+)", text, re.IGNORECASE)
    if found is None:
        return call.error("query_clause", clause="from")
    module = Module(call, found[1])
    granted = call.token.permission.scopes
    if not scopes_cover(granted, f"{call.product.service}.modules.{found[1]}.READ"):
        return call.error("scope")
    query = parse_coql(text, module.value, module.has_field)
    limit = MAX_RECORDS_WITHOUT_TOKEN if call_version(call) >= 8 else MAX_PER_PAGE
    if query.limit > limit or len(query.fields) > MAX_FIELDS:
        return call.error("query_limit", limit=limit)
    records = sorted(module.records.values(), key=lambda each: str(each["id"]))
    for name, descends in reversed(query.order):
        records.sort(key=lambda each: _sort_key(module.value(each, name)), reverse=descends)
    matching = [each for each in records if query.condition(each)]
    shown = matching[query.offset : query.offset + query.limit]
    if not shown:
        return NO_CONTENT
    names = dict.fromkeys([*query.fields, "id"])
    data = [{name: _selected(module, each, name) for name in names} for each in shown]
    more = len(matching) > query.offset + len(shown)
    return json_response({"data": data, "info": {"count": len(data), "more_records": more}})


def _sort_key(value: Any) -> tuple[bool, Any]:
    shown = value.casefold() if isinstance(value, str) else value
    return (value is not None, "" if value is None else shown)


def _selected(module: Module, record: Record, name: str) -> Any:
    value = record.get(name)
    return {"id": value["id"]} if isinstance(value, dict) else module.value(record, name)


def list_users(call: ApiCall) -> ApiResponse:
    """Return the users of the organization, or those of the `type` in the query."""
    kind = call.request.query.get("type", "AllUsers")
    users = [call.user]
    if kind != "CurrentUser" and call.organization:
        organization_id = call.organization.organization_id
        users = [
            user
            for user in call.world.users
            if organization_id in {each.organization_id for each in user.organizations}
        ]
    wanted = call.route.values.get("id")
    found = [each for each in users if wanted in (None, str(each.zuid))]
    if not found:
        return NO_CONTENT
    body = ",".join(fill(call.route.endpoint.item, each.template_values) for each in found)
    return ApiResponse(200, f'{{"users":[{body}],"info":{to_json(_only_page(len(found)))}}}')


def _only_page(count: int) -> dict[str, Any]:
    """The `info` of a list that is always one page."""
    return {"per_page": MAX_PER_PAGE, "count": count, "page": 1, "more_records": False}


ACTIONS: dict[str, Action] = {
    "crm-list": refusable(list_records),
    "crm-get": refusable(get_record),
    "crm-count": refusable(count_records),
    "crm-deleted": refusable(list_deleted),
    "crm-related": refusable(list_related),
    "crm-search": refusable(search_records),
    "crm-query": refusable(run_query),
    "crm-users": list_users,
}
"""The actions by the name that an endpoint gives as its `action`."""
