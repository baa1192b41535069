"""The table of requests: what is sent, in which step, and what the simulator answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from wizard.tables import read_table

Fact = str | int | tuple[str, ...]
"""One fact of an answer. It never contains a secret or names the account."""
Facts = Mapping[str, Fact]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One request, or one visit of the browser, whose answer is compared."""

    id: str
    step: str
    call: str
    """Method, host and path: ``GET www/crm/v8/org``."""
    expect: Mapping[str, Facts]
    """By rule: the facts of the simulator's answer."""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def facts(self) -> tuple[str, ...]:
        """The names of the facts that some rule expects."""
        return tuple(dict.fromkeys(name for facts in self.expect.values() for name in facts))

    @property
    def method(self) -> str:
        return self.call.partition(" ")[0]

    @property
    def host(self) -> str:
        """``www`` or the label that replaces ``accounts``."""
        return self.call.partition(" ")[2].partition("/")[0]

    @property
    def path(self) -> str:
        return "/" + self.call.partition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Request(Probe):
    """One request; `probes.toml` explains the fields."""

    content: str
    token: str = ""
    scheme: str = "Zoho-oauthtoken"
    basic: bool = False
    data_center: str = "own"
    needs: str = ""
    issues: Mapping[str, str] = field(default_factory=dict)
    identity: bool = False

    @property
    def is_token_request(self) -> bool:
        """Whether it's sent to the token endpoint."""
        return self.host == "accounts" and self.path == "/oauth/v2/token"

    @property
    def is_exchange(self) -> bool:
        """Whether its answer may have a refresh token."""
        return bool(self.issues) and "code" in self.parameters

    @property
    def counts_for_client(self) -> bool:
        """Whether Zoho counts it as a token request of the volunteer's client."""
        sends_client = self.basic or self.parameters.get("client_id") == "{client_id}"
        return self.is_token_request and sends_client and self.data_center == "own"


@dataclass(frozen=True, kw_only=True)
class Consent(Probe):
    """One visit of the browser to the authorization endpoint; `probes.toml` explains the fields."""

    requires: str
    scope_separator: str = ","


@dataclass(frozen=True)
class ProbeTable:
    """Everything in `probes.toml`."""

    steps: tuple[str, ...]
    scopes: Mapping[str, tuple[str, ...]]
    requests: tuple[Request, ...]
    consents: tuple[Consent, ...]
    not_compared: Mapping[str, str]
    """Rule → reason."""
    confidences: Mapping[str, str]
    """Every rule of the simulator → how certain it is."""

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Everything that is compared."""
        return (*self.requests, *self.consents)

    def requests_of(self, step: str) -> tuple[Request, ...]:
        """The requests of one step, in their order."""
        return tuple(each for each in self.requests if each.step == step)

    def consent_of(self, step: str) -> Consent | None:
        """The consent with which a step begins, if it has one."""
        return next((each for each in self.consents if each.step == step), None)

    def expectations(self) -> Iterator[tuple[str, Probe, Facts]]:
        """Rule, probe, and the facts that the simulator's answer has."""
        for each in self.probes:
            for rule, facts in each.expect.items():
                yield rule, each, facts

    @property
    def compared_rules(self) -> frozenset[str]:
        """The rules that some answer compares."""
        return frozenset(rule for rule, _, _ in self.expectations())


@cache
def probe_table() -> ProbeTable:
    """The table of this package."""
    table = read_table("comparison/probes.toml")
    rules = read_table("simulator/rules.toml")
    requests = tuple(_request(name, row) for name, row in table["requests"].items())
    consents = tuple(
        Consent(id=name, **{**row, "expect": _expect(row)})
        for name, row in table["consents"].items()
    )
    compared = {rule for each in (*requests, *consents) for rule in each.expect}
    reasons = {rule: reason for reason, named in table["not_compared"].items() for rule in named}
    return ProbeTable(
        steps=tuple(table["steps"]),
        scopes={name: tuple(scopes) for name, scopes in table["scopes"].items()},
        requests=requests,
        consents=consents,
        not_compared={
            rule: reasons.get(rule, "no-probe") for rule in rules if rule not in compared
        },
        confidences={name: row["confidence"] for name, row in rules.items()},
    )


def _request(name: str, row: Mapping[str, Any]) -> Request:
    content = "form" if row["call"].startswith("POST ") else "query"
    return Request(**{"id": name, "content": content, **row, "expect": _expect(row)})


def _expect(row: Mapping[str, Any]) -> Mapping[str, Facts]:
    return {rule: dict(_flatten(facts)) for rule, facts in row["expect"].items()}


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Fact]]:
    """Dotted name → value: TOML reads ``json.code = 14`` as a table in a table."""
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", tuple(value) if isinstance(value, list) else value
