"""The controls over HTTP, the journal as JSON Lines, and the OpenAPI document of all routes.

The methods of `Controls` are the only table of controls: it routes them, checks their arguments and
describes them in the OpenAPI document.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from wizard.simulator.catalog import data_centers, products
from wizard.simulator.controls import READ_ONLY_MARK, Controls, Json
from wizard.simulator.errors import InvalidValueError, NotFoundError, SimulatorError
from wizard.simulator.request_context import current_world, json_error
from wizard.simulator.schemas import Schema, answer_schema, arguments_schema, unknown
from wizard.simulator.traffic import JournalEntry
from wizard.simulator.world import World, encode

PREFIX = "/_simulator"


@dataclass(frozen=True)
class Control:
    """One control: its name, what it does, and the JSON Schemas of its arguments and result."""

    name: str
    description: str
    arguments: Schema
    result: Schema
    is_read_only: bool

    @property
    def summary(self) -> str:
        """The first sentences of the description."""
        return first_paragraph(self.description)


@cache
def controls() -> Mapping[str, Control]:
    """Return name → control, in the order of `Controls`."""
    return {
        name: Control(
            name,
            inspect.getdoc(method) or "",
            arguments_schema(method),
            answer_schema(get_type_hints(method, include_extras=True)["return"]),
            hasattr(method, READ_ONLY_MARK),
        )
        for name, method in vars(Controls).items()
        if not name.startswith("_")
    }


def perform(world: World, name: str, arguments: Mapping[str, Json]) -> Json:
    """Run a control by name; return its result as JSON."""
    if name not in controls():
        raise NotFoundError(f"There is no such control. {unknown('', name, controls())}")
    return encode(getattr(Controls(world), name)(**arguments))


def journal_line(entry: JournalEntry) -> str:
    """Return an entry of the journal as a line of JSON Lines."""
    return json.dumps(encode(entry), ensure_ascii=False) + "\n"


controls_api = Blueprint("controls", __name__, url_prefix=PREFIX)


@controls_api.get("/controls/<control>")
def read_control(control: str) -> Response:
    """Run a control that changes nothing."""
    found = controls().get(control)
    if found and not found.is_read_only:
        text = f"“{control}” may change something. Use POST."
        return json_error("use-post", text, 405, allow=("POST",))
    return jsonify(perform(current_world(), control, {}))


@controls_api.post("/controls/<control>")
def perform_control(control: str) -> Response:
    """Run a control with its arguments in a JSON object."""
    arguments = request.get_json(silent=True) if request.content_length else {}
    if not isinstance(arguments, dict):
        raise InvalidValueError(
            "The body must be a JSON object with the arguments, and the header Content-Type must "
            "be application/json."
        )
    return jsonify(perform(current_world(), control, arguments))


@controls_api.get("/journal.jsonl")
def journal() -> Response:
    """Return the redacted requests as JSON Lines, oldest first."""
    lines = "".join(journal_line(each) for each in current_world().journal.entries())
    return Response(lines, content_type="application/jsonl")


@controls_api.get("/openapi.json")
def openapi() -> Response:
    """Return the OpenAPI document of all routes and controls."""
    return jsonify(openapi_document(current_app, current_world().origin))


@controls_api.errorhandler(SimulatorError)
def refuse(error: SimulatorError) -> Response:
    """Return what is wrong with a request, in words."""
    return json_error(error.code, str(error), error.status)


@controls_api.errorhandler(Exception)
def fail(error: Exception) -> Response | HTTPException:
    """Return that the simulator failed; the details are in its log."""
    if isinstance(error, HTTPException):
        return error
    current_app.logger.exception("A control failed")
    hint = "Start it with `zoho-wizard --debug simulator` to see the details."
    return json_error("internal-error", f"The simulator failed. {hint}", 500)


# OpenAPI

_ERROR_RESPONSE = {
    "description": "The request is refused. `message` says what is wrong and what is expected.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
                "required": ["error", "message"],
                "additionalProperties": False,
            }
        }
    },
}
_DESCRIPTION = """The simulator’s own routes start with `/_simulator`; they control it. All others
are those of the simulated Zoho: `/{location}/{host}` stands for one of Zoho’s hosts. Their answers
are Zoho’s own, errors included."""


def openapi_document(app: Flask, origin: str) -> dict[str, Json]:
    """Return the OpenAPI 3.1 document of an application, from its routes and the controls."""
    paths: dict[str, dict[str, Json]] = {}
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.endswith("static"):
            for path, operations in _operations(app, rule):
                paths.setdefault(path, {}).update(operations)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Zoho simulator",
            "version": "1",
            "description": " ".join(_DESCRIPTION.split()),
        },
        "servers": [{"url": origin}],
        "tags": [{"name": "simulator"}, {"name": "controls"}, {"name": "zoho"}],
        "paths": dict(sorted(paths.items())),
    }


def _operations(app: Flask, rule: Rule) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield each path of a route with its operations by method."""
    endpoint = rule.endpoint
    if endpoint in ("controls.read_control", "controls.perform_control"):
        for control in controls().values():
            path = f"{PREFIX}/controls/{control.name}"
            if endpoint == "controls.perform_control":
                yield path, {"post": _control_operation(control, "post")}
            elif control.is_read_only:
                yield path, {"get": _control_operation(control, "get")}
        return
    text = inspect.getdoc(app.view_functions[endpoint]) or ""
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
    methods = sorted(each.lower() for each in (rule.methods or set()) - {"HEAD", "OPTIONS"})
    yield path, {each: _operation(path, each, first_paragraph(text)) for each in methods}
    if endpoint == "products.call_api":
        yield from _product_operations()


def _product_operations() -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield each path of the products' APIs; several versions are a parameter."""
    for product in products().values():
        for endpoint in product.endpoints:
            summary = f"{product.title}. Scope: {' or '.join(endpoint.scopes)}."
            method = endpoint.method.lower()
            versions = () if endpoint.bases else endpoint.versions or product.versions
            version = "/{version}" if len(versions) > 1 else "".join(f"/{v}" for v in versions)
            for root in endpoint.bases or product.roots:
                path = f"/{{location}}/{root}{version}{endpoint.path}"
                yield path, {method: _operation(path, method, summary, version=versions)}


def _control_operation(control: Control, method: str) -> dict[str, Json]:
    name = control.name if method == "post" else f"get_{control.name}"
    schema = control.arguments
    body = {
        "content": {"application/json": {"schema": schema}},
        "required": bool(schema["required"]),
    }
    return {
        "operationId": name,
        "summary": control.summary,
        "description": control.description,
        "tags": ["controls"],
        **({"requestBody": body} if method == "post" else {}),
        "responses": {
            "200": {
                "description": "The result.",
                "content": {"application/json": {"schema": control.result}},
            },
            "4XX": _ERROR_RESPONSE,
        },
    }


def _operation(path: str, method: str, summary: str, **choices: Sequence[str]) -> dict[str, Json]:
    """Return an operation; `choices` are the values of parameters of the path."""
    choices["location"] = [*data_centers()]
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", **({"enum": choices[name]} if name in choices else {})},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]
    is_own = path == "/" or path.startswith(PREFIX)
    return {
        "operationId": re.sub(r"\W+", "_", f"{method}{path}").strip("_"),
        "summary": summary,
        "tags": ["simulator" if is_own else "zoho"],
        **({"parameters": parameters} if parameters else {}),
        "responses": {"default": {"description": "The page or data." if is_own else "As at Zoho."}},
    }


def first_paragraph(text: str) -> str:
    """Return the first paragraph of a docstring in one line."""
    return " ".join(text.partition("\n\n")[0].split())


def arguments_from_form(control: str, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of a control from the texts of a form.

    A text that isn't what the control's schema says stays text, and the control refuses it.
    """
    properties = controls()[control].arguments["properties"] if control in controls() else {}
    return {
        name: _read_text(text, properties.get(name, {}).get("type")) for name, text in form.items()
    }


def _read_text(text: str, kind: str | None) -> Any:
    if kind == "boolean":
        return {"yes": True, "no": False}.get(text, text)
    pattern = {"integer": r"-?\d+", "number": r"-?\d+(\.\d+)?(e-?\d+)?"}.get(str(kind))
    if pattern and re.fullmatch(pattern, text, re.ASCII):
        return int(text) if kind == "integer" else float(text)
    return text
