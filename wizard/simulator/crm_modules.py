"""CRM's modules: their records' fields, and the metadata that describes them."""

from collections.abc import Callable
from typing import Any

from wizard.simulator.api_calls import ApiCall, to_json
from wizard.simulator.products import ApiResponse, Collection, Field
from wizard.simulator.record_queries import QueryError
from wizard.simulator.records import OrganizationRecords, Record

SYSTEM_FIELDS = (
    Field("id", "bigint", 20, read_only=True),
    Field("Owner", "ownerlookup", 120),
    Field("Created_By", "ownerlookup", 120, read_only=True),
    Field("Modified_By", "ownerlookup", 120, read_only=True),
    Field("Created_Time", "datetime", 120, read_only=True),
    Field("Modified_Time", "datetime", 120, read_only=True),
)
"""The fields of every module."""

JSON_TYPES = {
    "integer": "integer",
    "double": "double",
    "currency": "double",
    "boolean": "boolean",
    "lookup": "jsonobject",
    "ownerlookup": "jsonobject",
}
"""Data type → JSON type; the others are strings."""


class Refused(Exception):
    """A call that CRM refuses as a whole."""

    def __init__(self, response: ApiResponse) -> None:
        super().__init__(response.status)
        self.response = response


class Module:
    """The module of a call, with its records."""

    def __init__(self, call: ApiCall, name: str) -> None:
        modules = call.product.collections
        found = next((each for each in modules if each.casefold() == name.casefold()), None)
        if found is None:
            raise Refused(call.error("module"))
        self.call = call
        self.collection = modules[found]
        self.fields = {each.name: each for each in (*SYSTEM_FIELDS, *self.collection.fields)}

    @property
    def stored(self) -> OrganizationRecords:
        return self.call.stored

    @property
    def records(self) -> dict[str, Record]:
        return self.stored.all(self.collection.name)

    def value(self, record: Record, name: str) -> Any:
        """Return the value of a field, or of a field of the record that it refers to (`A.B`)."""
        name, _, rest = name.partition(".")
        value = record.get(name)
        if not isinstance(value, dict):
            return None if rest else value
        if not rest or rest == "id":
            return value["id"]
        lookup = self.fields[name].lookup
        referenced = self.stored.all(lookup).get(value["id"], {}) if lookup else value
        return Module(self.call, lookup).value(referenced, rest) if lookup else value.get(rest)

    def has_field(self, name: str) -> bool:
        """Whether `value` knows the field."""
        name, _, rest = name.partition(".")
        if name not in self.fields:
            return False
        lookup = self.fields[name].lookup
        return not rest or (Module(self.call, lookup).has_field(rest) if lookup else True)


def call_version(call: ApiCall) -> float:
    """Return the version that was called: 2.1 for v2.1."""
    return float(call.route.version.removeprefix("v"))


def json_response(body: Any) -> ApiResponse:
    """Return a success."""
    return ApiResponse(200, to_json(body))


Action = Callable[[ApiCall], ApiResponse]


def refusable(action: Action) -> Action:
    """Make an action answer with the error that it raises."""

    def act(call: ApiCall) -> ApiResponse:
        try:
            return action(call)
        except Refused as refused:
            return refused.response
        except QueryError as error:
            return call.error(f"query_{error.case}", **error.values)

    return act


def list_modules(call: ApiCall) -> ApiResponse:
    """Return all modules."""
    described = [_module_metadata(call, each) for each in call.product.collections.values()]
    return json_response({"modules": described})


def get_module(call: ApiCall) -> ApiResponse:
    """Return one module, with its fields."""
    module = Module(call, call.route.values["module"])
    described = _module_metadata(call, module.collection)
    return json_response({"modules": [{**described, "fields": _fields_metadata(module)}]})


def list_fields(call: ApiCall) -> ApiResponse:
    """Return the fields of the module that the query names."""
    name = call.request.query.get("module")
    if not name:
        return call.error("required", parameter="module")
    return json_response({"fields": _fields_metadata(Module(call, name))})


def _module_metadata(call: ApiCall, collection: Collection) -> dict[str, Any]:
    names = list(call.product.collections)
    return {
        "id": _metadata_id(names.index(collection.name)),
        "api_name": collection.name,
        "module_name": collection.name,
        "singular_label": collection.singular,
        "plural_label": collection.name,
        "actual_singular_label": collection.singular,
        "actual_plural_label": collection.name,
        "generated_type": "default",
        "status": "visible",
        "sequence_number": names.index(collection.name) + 1,
        "business_card_field_limit": 5,
        "visibility": 1,
        **dict.fromkeys(_MODULE_FLAGS, True),
        "parent_module": {},
        "arguments": [],
        "profiles": [],
        "modified_by": None,
        "modified_time": None,
        "web_link": None,
        "description": None,
    }


_MODULE_FLAGS = (
    *("api_supported", "viewable", "creatable", "editable", "deletable", "show_as_tab"),
    *("visible", "quick_create", "presence_sub_menu", "sub_menu_available", "convertable"),
    *("feeds_required", "global_search_supported", "filter_supported", "triggers_supported"),
)


def _fields_metadata(module: Module) -> list[dict[str, Any]]:
    fields = enumerate(module.fields.values())
    return [_field_metadata(module, number, each) for number, each in fields]


def _field_metadata(module: Module, number: int, field: Field) -> dict[str, Any]:
    names = list(module.call.product.collections)
    label = "Record Id" if field.name == "id" else field.name.replace("_", " ")
    is_listed = field.name != "id"
    lookup: Any = {}
    if field.lookup and call_version(module.call) < 3:
        lookup = {"module": field.lookup, "id": _metadata_id(names.index(field.lookup))}
    elif field.lookup:
        target = {"api_name": field.lookup, "id": _metadata_id(names.index(field.lookup))}
        lookup = {"module": target, "display_label": label, "api_name": field.name}
    return {
        "id": _metadata_id(1000 * (names.index(module.collection.name) + 1) + number),
        "api_name": field.name,
        "field_label": label,
        "display_label": label,
        "data_type": field.data_type,
        "json_type": JSON_TYPES.get(field.data_type, "string"),
        "length": field.length,
        "decimal_place": 2 if field.data_type in ("double", "currency") else None,
        "system_mandatory": field.name in module.collection.mandatory,
        "read_only": False,
        "field_read_only": field.read_only,
        "custom_field": False,
        "visible": True,
        "view_type": {
            "view": is_listed,
            "edit": is_listed and not field.read_only,
            "create": is_listed and not field.read_only,
            "quick_create": False,
        },
        "operation_type": {
            "web_update": not field.read_only,
            "api_create": not field.read_only,
            "web_create": not field.read_only,
            "api_update": not field.read_only,
        },
        "pick_list_values": [
            {
                "id": _metadata_id(100000 * (number + 1) + position),
                "display_value": each,
                "actual_value": each,
                "reference_value": each,
                "sequence_number": position + 1,
                "type": "used",
            }
            for position, each in enumerate(field.values)
        ],
        "lookup": lookup,
        "currency": _CURRENCY if field.data_type == "currency" else {},
        **_FIELD_DEFAULTS,
    }


_CURRENCY = {"rounding_option": "normal", "precision": 2}
_FIELD_DEFAULTS: dict[str, Any] = {
    **{name: {} for name in ("multiselectlookup", "formula", "auto_number", "unique")},
    **dict.fromkeys(("searchable", "filterable", "sortable", "webhook"), True),
    **dict.fromkeys(("default_value", "tooltip", "crypt", "external", "private"), None),
    "virtual_field": False,
    "display_type": -1,
    "created_source": "default",
}


def _metadata_id(number: int) -> str:
    return f"4150868000{number + 2001:09d}"


ACTIONS: dict[str, Action] = {
    "crm-modules": refusable(list_modules),
    "crm-module": refusable(get_module),
    "crm-fields": refusable(list_fields),
}
"""The actions by the name that an endpoint gives as its `action`."""
