"""How CRM's records are created, changed and deleted: one result for each record."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from wizard.simulator.api_calls import ApiCall, to_json
from wizard.simulator.crm_modules import Action, Module, Refused, call_version, refusable
from wizard.simulator.products import ApiResponse, Field
from wizard.simulator.records import Record

MAX_RECORDS_PER_CALL = 100

Result = tuple[bool, str]
"""Whether a record was changed, and its part of the response, as JSON."""


def create_records(call: ApiCall) -> ApiResponse:
    """Add records."""
    module = Module(call, call.route.values["module"])
    results = [_create(module, number, each) for number, each in enumerate(_rows(call))]
    return _results(call, results, 201)


def update_records(call: ApiCall) -> ApiResponse:
    """Change records: that of the path, or those whose IDs are in the JSON."""
    module = Module(call, call.route.values["module"])
    rows = _rows(call)
    if "id" in call.route.values:
        rows = [{**each, "id": call.route.values["id"]} for each in rows[:1]]
    return _results(call, [_update(module, number, each) for number, each in enumerate(rows)], 200)


def upsert_records(call: ApiCall) -> ApiResponse:
    """Change the records that have the same value in a duplicate check field; add the others."""
    module = Module(call, call.route.values["module"])
    checked = call.request.json.get("duplicate_check_fields") if _rows(call) else None
    names = checked if isinstance(checked, list) else [module.collection.duplicate_check]
    results = []
    for number, row in enumerate(_rows(call)):
        name, known = _duplicate(module, names, row)
        if known is None:
            results.append(_create(module, number, row, action="insert"))
        else:
            changes = {**row, "id": known["id"]}
            results.append(_update(module, number, changes, action="update", duplicate_field=name))
    return _results(call, results, 200)


def _duplicate(
    module: Module, names: list[Any], row: Mapping[str, Any]
) -> tuple[str | None, Record | None]:
    for name in names:
        for record in module.records.values():
            if row.get(name) not in (None, "") and record.get(name) == row.get(name):
                return name, record
    return None, None


def delete_records(call: ApiCall) -> ApiResponse:
    """Delete records: that of the path, or those of `ids`."""
    module = Module(call, call.route.values["module"])
    ids = call.route.values.get("id") or call.request.query.get("ids")
    if not ids:
        return call.error("required", parameter="ids")
    return _results(call, [_delete(module, each) for each in ids.split(",")], 200)


def _rows(call: ApiCall) -> list[dict[str, Any]]:
    sent = call.request.json
    if not isinstance(sent, dict):
        raise Refused(call.error("body"))
    rows = sent.get("data")
    if rows is None:
        raise Refused(call.error("mandatory", api_name="data", json_path="$.data"))
    if not isinstance(rows, list) or not rows or not all(isinstance(each, dict) for each in rows):
        raise Refused(
            call.error("invalid", api_name="data", expected="jsonarray", json_path="$.data")
        )
    if len(rows) > MAX_RECORDS_PER_CALL:
        raise Refused(call.error("limit", limit=MAX_RECORDS_PER_CALL, name="data"))
    return rows


def _results(call: ApiCall, results: list[Result], success: int) -> ApiResponse:
    """Return one response for all records. Version 2 has 202 for any failure; later, 207 or 400."""
    done = [each for each, _ in results]
    status = success
    if not all(done):
        status = 202 if call_version(call) < 3 else 207 if any(done) else 400
    return ApiResponse(status, f'{{"data":[{",".join(body for _, body in results)}]}}')


def _create(module: Module, number: int, row: Mapping[str, Any], **details: Any) -> Result:
    values, failure = _checked(module, number, row, module.collection.mandatory)
    if failure:
        return False, failure
    record = module.stored.add(module.collection, values, module.call.user, module.call.now)
    return True, _success(module, record, "record added", **details)


def _update(module: Module, number: int, row: Mapping[str, Any], **details: Any) -> Result:
    if "id" not in row:
        return False, _failure(module, "mandatory", number, "id")
    record = module.records.get(str(row["id"]))
    if record is None:
        return False, _failure(module, "id_in_data", number, "id")
    mandatory = [name for name in module.collection.mandatory if name in row]
    values, failure = _checked(module, number, row, mandatory)
    if failure:
        return False, failure
    module.stored.change(module.collection, record, values, module.call.user, module.call.now)
    return True, _success(module, record, "record updated", **details)


def _delete(module: Module, record_id: str) -> Result:
    if record_id not in module.records:
        return False, module.call.error("not_deleted", id=record_id).body
    record = module.records[record_id]
    module.stored.change(module.collection, record, {}, module.call.user, module.call.now)
    module.stored.delete(module.collection.name, record_id)
    body = {"code": "SUCCESS", "details": {"id": record_id}, "message": "record deleted"}
    return True, to_json({**body, "status": "success"})


def _success(
    module: Module,
    record: Record,
    message: str,
    *,
    action: str | None = None,
    duplicate_field: str | None = None,
) -> str:
    details = {name: record[name] for name in ("Modified_Time", "Created_Time", "id")} | {
        name: {"name": record[name]["name"], "id": record[name]["id"]}
        for name in ("Modified_By", "Created_By")
    }
    if call_version(module.call) >= 5:
        details["$approval_state"] = "approved"
    body: dict[str, Any] = {"code": "SUCCESS", "details": details, "message": message}
    if action:
        body |= {"action": action, "duplicate_field": duplicate_field}
    return to_json({**body, "status": "success"})


def _failure(module: Module, case: str, number: int, name: str, **values: Any) -> str:
    path = f"$.data[{number}].{name}"
    return module.call.error(case, api_name=name, json_path=path, **values).body


def _checked(
    module: Module, number: int, row: Mapping[str, Any], mandatory: Iterable[str]
) -> tuple[Record, str | None]:
    """Return the values to store, and the error if one of them is missing or invalid.

    Unknown and read-only fields are ignored.
    """
    for name in mandatory:
        if row.get(name) in (None, ""):
            return {}, _failure(module, "mandatory", number, name)
    values: Record = {}
    for name, value in row.items():
        field = module.fields.get(name)
        if field is None or field.read_only:
            continue
        if value is None or value == "":
            values[name] = None
            continue
        if field.lookup or field.data_type == "ownerlookup":
            referenced = _reference(module, field, value)
            if referenced is None:
                return {}, _failure(module, "id_in_data", number, name)
            values[name] = referenced
            continue
        if not _is_valid(field.data_type, value):
            return {}, _failure(module, "invalid", number, name, expected=field.data_type)
        if isinstance(value, str) and len(value) > field.length:
            return {}, _failure(module, "too_long", number, name, limit=field.length)
        values[name] = value
    return values, None


def _reference(module: Module, field: Field, value: Any) -> dict[str, Any] | None:
    """Return the reference to a record or user whose ID was sent, as an object or text."""
    record_id = str(value.get("id")) if isinstance(value, dict) else str(value)
    if not field.lookup:
        users = module.call.world.users
        return next((each.reference for each in users if str(each.zuid) == record_id), None)
    target = Module(module.call, field.lookup)
    record = target.records.get(record_id)
    return record and {"name": record[target.collection.title], "id": record_id}


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def _is_valid(data_type: str, value: Any) -> bool:
    if data_type == "boolean":
        return isinstance(value, bool)
    if data_type == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if data_type in ("double", "currency"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, str):
        return False
    if data_type == "email":
        return _EMAIL.fullmatch(value) is not None
    if data_type in ("date", "datetime"):
        return _is_date(value, date if data_type == "date" else datetime)
    return True


def _is_date(text: str, kind: type[date]) -> bool:
    try:
        kind.fromisoformat(text)
    except ValueError:
        return False
    return True


ACTIONS: dict[str, Action] = {
    "crm-create": refusable(create_records),
    "crm-update": refusable(update_records),
    "crm-upsert": refusable(upsert_records),
    "crm-delete": refusable(delete_records),
}
"""The actions by the name that an endpoint gives as its `action`."""
