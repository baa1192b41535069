"""Observations in the text format of Prometheus (version 0.0.4).

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache

from wizard.model.states import ConnectionState
from wizard.monitoring.observations import Observations, warning_codes
from wizard.tables import read_table
from wizard.tokens.budgets import LIMITS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[str, Mapping[str, str], float]
"""A metric's name without its prefix, the labels, and the value."""

PREFIX = "zoho_wizard_"
CONNECTION_LABEL = "connection"


def render_metrics(
    observed: Observations, version: str, only: Collection[str] | None = None
) -> str:
    """All metrics; with `only`, those of the connections in it and nothing else."""
    samples: dict[str, list[str]] = {}
    for name, labels, value in _samples(observed, version):
        if only is None or labels.get(CONNECTION_LABEL) in only:
            samples.setdefault(PREFIX + name, []).append(_line(PREFIX + name, labels, value))
    lines = []
    for name, row in _metrics().items():
        if name in samples:
            lines += [f"# HELP {name} {row['help']}", f"# TYPE {name} gauge", *samples[name]]
    return "".join(f"{line}\n" for line in lines)


def _samples(observed: Observations, version: str) -> Iterator[Sample]:
    yield "info", {"version": version}, 1
    for state, count in observed.states.items():
        yield "connections", {"state": state}, count
    for each in observed.connections:
        label = {CONNECTION_LABEL: each.name}
        yield "connection_verified", label, each.state is ConnectionState.VERIFIED
        yield from _time("connection_last_success", label, each.last_success_at)
        yield "connection_token_requests", label, each.token_requests
    yield "token_requests_budget", {}, LIMITS.token_requests_budget
    yield "destinations", {}, observed.destinations
    yield "destination_problems", {}, len(observed.destination_problems)
    yield from _time("last_check", {}, observed.last_checked_at)
    yield from _time("last_backup", {}, observed.last_backup_at)
    yield "key_strong", {}, observed.key.strength == "strong"
    yield "notification_failed", {}, observed.has_notify_failure
    yield "deactivated", {}, observed.is_deactivated
    active = {each.code for each in observed.warnings}
    for code in warning_codes():
        yield "warning", {"code": code}, code in active


def _time(name: str, labels: Mapping[str, str], at: datetime | None) -> Iterable[Sample]:
    """A time in seconds since 1970; nothing if it never happened."""
    return [] if at is None else [(f"{name}_timestamp_seconds", labels, at.timestamp())]


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    shown = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
    number = repr(float(value)).removesuffix(".0")
    return f"{name}{{{shown}}} {number}" if shown else f"{name} {number}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@cache
def _metrics() -> Mapping[str, Mapping[str, str]]:
    return read_table("monitoring/metrics.toml")
