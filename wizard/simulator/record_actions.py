"""What an endpoint can do to plain records: list, get, create, update, delete.

They are the records of Books, Inventory, Projects, and of a user's own products.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from wizard.simulator.api_calls import ApiCall, fill
from wizard.simulator.products import ApiResponse, Collection
from wizard.simulator.records import OrganizationRecords

MAX_PER_PAGE = 200


def _records(call: ApiCall) -> tuple[Collection, OrganizationRecords]:
    return call.product.collections[call.route.endpoint.collection], call.stored


def _answer(call: ApiCall, **values: Any) -> ApiResponse:
    endpoint = call.route.endpoint
    body = fill(endpoint.body, {**call.route.values, **values})
    return ApiResponse(endpoint.status, body, endpoint.content_type)


def list_records(call: ApiCall) -> ApiResponse:
    """Return a page of the records that have the values of the parameters named like fields."""
    collection, stored = _records(call)
    page, per_page = page_of(call.request.query)
    found = [
        each
        for each in stored.all(collection.name).values()
        if all(
            str(each[name]) == value for name, value in call.request.query.items() if name in each
        )
    ]
    shown = found[(page - 1) * per_page : page * per_page]
    more = len(found) > page * per_page
    return _answer(call, records=shown, page=page, per_page=per_page, more=more, count=len(shown))


def page_of(query: Mapping[str, str]) -> tuple[int, int]:
    """Return `page` and `per_page`, as close to the sent ones as is possible."""
    page, per_page = (query.get(name, "") for name in ("page", "per_page"))
    return (
        max(1, int(page)) if page.isdecimal() else 1,
        min(max(1, int(per_page)), MAX_PER_PAGE) if per_page.isdecimal() else MAX_PER_PAGE,
    )


def get_record(call: ApiCall) -> ApiResponse:
    """Return one record."""
    collection, stored = _records(call)
    record = stored.all(collection.name).get(call.route.values["id"])
    if record is None:
        return call.error("missing", singular=collection.singular)
    return _answer(call, record=record)


def create_record(call: ApiCall) -> ApiResponse:
    """Add a record with the fields of the JSON."""
    collection, stored = _records(call)
    values = call.request.json
    if not isinstance(values, dict):
        return call.error("body")
    missing = _missing(collection.mandatory, values)
    if missing:
        return call.error("mandatory", name=missing)
    record = stored.add(collection, values, call.user, call.now)
    return _answer(call, record=record)


def _missing(mandatory: Iterable[str], values: Mapping[str, Any]) -> str | None:
    return next((name for name in mandatory if values.get(name) in (None, "", [])), None)


def update_record(call: ApiCall) -> ApiResponse:
    """Change the fields of a record that the JSON contains."""
    collection, stored = _records(call)
    record = stored.all(collection.name).get(call.route.values["id"])
    values = call.request.json
    if record is None:
        return call.error("missing", singular=collection.singular)
    if not isinstance(values, dict):
        return call.error("body")
    missing = _missing(set(collection.mandatory) & values.keys(), values)
    if missing:
        return call.error("mandatory", name=missing)
    changes = {name: each for name, each in values.items() if name != collection.key}
    stored.change(collection, record, changes, call.user, call.now)
    return _answer(call, record=record)


def delete_record(call: ApiCall) -> ApiResponse:
    """Delete a record."""
    collection, stored = _records(call)
    if call.route.values["id"] not in stored.all(collection.name):
        return call.error("missing", singular=collection.singular)
    return _answer(call, record=stored.delete(collection.name, call.route.values["id"]))


ACTIONS: dict[str, Callable[[ApiCall], ApiResponse]] = {
    "list": list_records,
    "get": get_record,
    "create": create_record,
    "update": update_record,
    "delete": delete_record,
}
"""The actions by the name that an endpoint gives as its `action`."""
