"""The comparison finds every altered rule, reports no difference otherwise, and leaves nothing."""

import json
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from urllib.parse import parse_qsl, unquote

import pytest
from support.claims import over_rows
from support.harness import ANNA

from wizard import zoho
from wizard.clients import parse_credentials
from wizard.comparison.judgment import (
    KnownValues,
    Observation,
    Outcome,
    RuleComparison,
    compare,
    facts_of,
)
from wizard.comparison.probes import Fact, Probe, Request, probe_table
from wizard.comparison.service import Comparison
from wizard.errors import WizardError, message_table
from wizard.model import HttpExchange
from wizard.serialization import to_json
from wizard.services import transport_of, zoho_of
from wizard.settings import from_environment
from wizard.simulator.configuration import Configuration
from wizard.simulator.server import Simulator
from wizard.simulator.users import User
from wizard.transport import HttpResponse
from wizard.zoho import limits

REDIRECT_URI = "http://localhost:8733/callback"
NOW = datetime(2026, 11, 30, tzinfo=UTC)
TABLE = probe_table()
CODE_MEMBERS = {
    *("code", "error", "errorCode", "cause", "status", "summary", "title", "id"),
    *("token_type", "expires_in", "expires_in_sec", "param_name", "kty", "members"),
}
"""Members whose values can be shown: they have codes in every product."""


class Volunteer:
    """A person who registers a client and runs the steps, each request of which can be altered."""

    def __init__(self, simulator: Simulator, email: str = ANNA, *, has_crm: bool = True) -> None:
        self.simulator = simulator
        self.controls = simulator.controls
        self.email = email
        self.client = self.controls.register_client(email, [REDIRECT_URI])
        settings = from_environment({"ZOHO_WIZARD_HOME": "/"}, changes=simulator.environment)
        table, location = zoho_of(settings), self.client["location"]
        self.comparison = Comparison(
            transport_of(settings, table, simulator.clock),
            table,
            simulator.clock,
            table.data_center(location),
            REDIRECT_URI,
            has_crm=has_crm,
        )
        self.secret = self.client["secrets"][location]
        self.comparison.set_client(parse_credentials(f"{self.client['client_id']}\n{self.secret}"))

    def run(
        self,
        steps: Collection[str] = TABLE.steps,
        *,
        altered: Collection[str] = (),
        altered_code: str = "ALTERED",
        in_browser: Callable[[str], str] = lambda url: url,
        pasted: Callable[[str], str] = lambda url: url,
    ) -> dict[str, RuleComparison]:
        """Run `steps`, and return the result of each rule.

        An answer with `altered_code` replaces those to the requests `altered`. `in_browser`
        changes what the browser opens, `pasted` what it ends on.
        """
        for step in TABLE.steps:
            if step not in steps:
                continue
            if consent := TABLE.consent_of(step):
                url = in_browser(self.comparison.authorization_url(consent))
                self.comparison.complete(consent, pasted(self.controls.authorize(url, self.email)))
            for request in TABLE.requests_of(step):
                if request.id in altered:
                    self.controls.stub_response(
                        request.method,
                        request.path,
                        host=request.host,
                        status=299,
                        body=f'{{"code": "{altered_code}"}}\n',
                    )
                self.comparison.send(request)
        assert self.controls.state()["stubbed_responses"] == []
        self.comparison.revoke()
        return self.results()

    def results(self) -> dict[str, RuleComparison]:
        """The result of each rule, none of which contains a secret or names the account."""
        results = self.comparison.results()
        report = to_json(results)
        assert [each for each in self.private_values() if each in report] == []
        return {each.rule: each for each in results}

    @property
    def user(self) -> User:
        return self.simulator.world.users.get(self.email)

    def private_values(self) -> Iterator[str]:
        """The credentials, and what names the account and its organizations."""
        grants, user = self.simulator.world.grants, self.user
        yield from (self.client["client_id"], self.secret)
        yield from (*grants.refresh_tokens, *grants.access_tokens)
        yield from (user.email, str(user.zuid), user.display_name)
        for each in user.organizations:
            yield from (each.organization_id, each.name)


@pytest.fixture
def volunteer(zoho_simulator: Simulator) -> Volunteer:
    return Volunteer(zoho_simulator)


def differing(rules: dict[str, RuleComparison]) -> set[str]:
    return {name for name, each in rules.items() if each.outcome is Outcome.DIFFERS}


def rules_of(probes: Collection[str]) -> set[str]:
    """The rules that the answers to `probes` compare."""
    return {rule for rule, probe, _ in TABLE.expectations() if probe.id in probes}


NEEDED_LATER = {"exchange", "refresh", "second-exchange"}
ANSWERS_NOT_NEEDED_LATER = {
    each.id for each in TABLE.requests if each.id not in NEEDED_LATER and each.method != "HEAD"
}


# --- The table ------------------------------------------------------------------------------------


def test_every_rule_in_the_table_is_one_of_the_simulator() -> None:
    text = files("wizard.comparison").joinpath("probes.toml").read_text("utf-8")
    named = [each for rules in tomllib.loads(text)["not_compared"].values() for each in rules]
    assert {*named, *TABLE.compared_rules} <= TABLE.confidences.keys()
    assert len({*named}) == len(named)
    assert {*named} & TABLE.compared_rules == set()
    assert len(TABLE.compared_rules) >= 25


def test_every_step_and_reason_has_its_words() -> None:
    words = message_table()
    assert {*TABLE.steps} == words["comparison-steps"].keys()
    assert {*TABLE.not_compared.values()} <= words["comparison-reasons"].keys()


@over_rows(("rule", "probe", "facts"), TABLE.expectations())
def test_only_codes_are_read_from_an_answer(
    rule: str, probe: str, facts: dict[str, object]
) -> None:
    members = [name.rpartition(".")[2] for name in facts if name.startswith("json.")]
    assert {*members} <= CODE_MEMBERS, (rule, probe)


def test_token_requests_stay_two_below_the_rate_limit() -> None:
    counted = [each.id for each in TABLE.requests if each.counts_for_client]
    assert 0 < len(counted) <= limits().token_requests - 2


@over_rows("request_", TABLE.requests)
def test_every_request_goes_to_a_host_of_the_table(request_: Request) -> None:
    live = zoho.load()
    for each in live.data_centers:
        assert live.is_allowed_url(each.base_url_of(request_.host) + request_.path)


def test_every_request_only_reads_or_concerns_the_tokens_of_the_comparison() -> None:
    paths = "auth", "token", "token/scopeenhance", "token/revoke", "revoke/token"
    changing = {
        f"{each.host}{each.path}" for each in TABLE.requests if each.method not in ("GET", "HEAD")
    }
    assert changing == {f"accounts/oauth/v2/{each}" for each in paths}


# --- The judgment ---------------------------------------------------------------------------------


@pytest.mark.slow
@over_rows(("rule", "probe", "facts"), TABLE.expectations())
def test_every_expected_fact_decides(rule: str, probe: Probe, facts: dict[str, Fact]) -> None:
    seen: dict[str, dict[str, Fact]] = {each.id: {} for each in TABLE.probes}
    for _, each, expected in TABLE.expectations():
        seen[each.id] |= expected
    for name in facts:
        observations = {
            each: Observation({**found, name: "altered"} if each == probe.id else found)
            for each, found in seen.items()
        }
        results = {each.rule: each.outcome for each in compare(TABLE, observations)}
        assert results[rule] is Outcome.DIFFERS, name


def test_a_value_that_could_name_a_person_or_an_account_is_never_a_fact() -> None:
    body = {
        "code": "anna@zylker.example",
        "title": "Anna Berg",
        "status": "Berg",
        "id": 20090000001,
        "error": "20090000001",
        "cause": "x" * 100,
        "20090000001": {"Anna": 1},
    }
    exchange = HttpExchange("GET", "https://www.zohoapis.eu", {}, 200, "", NOW)
    response = HttpResponse(200, {}, json.dumps(body).encode(), exchange)
    known = KnownValues(zoho.load(), zoho.load().data_center("eu"), ())
    names = [f"json.{each}" for each in body]
    facts = facts_of(response, names, known)
    assert [facts[each] for each in names] == [
        *["other text"] * 3,
        "a long number",
        *["other text"] * 2,
        "an object",
    ]
    assert facts["members"] == ("(other name)", "cause", "code", "error", "id", "status", "title")


@over_rows("value", ["\u00b2", "9" * 5000, ["x"], {"x": 1}, "\ud800", -(10**30), 1.5, None])
def test_no_value_of_an_answer_breaks_the_judgment(value: object) -> None:
    body = dict.fromkeys(("access_token", "code", "id_token", "locations", "scope"), value)
    exchange = HttpExchange("GET", "https://www.zohoapis.eu", {}, 200, "", NOW)
    response = HttpResponse(200, {}, json.dumps(body).encode(), exchange)
    known = KnownValues(zoho.load(), zoho.load().data_center("eu"), ())
    names = {name for each in TABLE.requests for name in each.facts}
    assert facts_of(response, names, known).keys() == names | {"status", "body", "members"}


# --- A simulator as it is -------------------------------------------------------------------------


def test_an_unaltered_simulator_is_as_simulated_in_every_rule_and_keeps_no_token(
    volunteer: Volunteer,
) -> None:
    rules = volunteer.run()
    outcomes = {each.outcome for name, each in rules.items() if name in TABLE.compared_rules}
    assert outcomes == {Outcome.AS_SIMULATED}
    answers = sum(each.answers for each in rules.values())
    assert answers == sum(1 for _ in TABLE.expectations())
    state = volunteer.controls.state()
    assert (state["active_refresh_tokens"], state["active_access_tokens"]) == (0, 0)
    outcomes_at_zoho = {each["outcome"] for each in volunteer.controls.journal()}
    assert outcomes_at_zoho.isdisjoint({"Access Denied", "HTTP 429"})


def test_at_zohos_real_host_names_the_answers_name_the_hosts_of_the_table() -> None:
    with Simulator(Configuration(port=0, real_hostnames=True)) as simulator:
        rules = Volunteer(simulator).run(("consent", "second-consent", "revocation"))
    outcomes = {each.outcome for each in rules.values()}
    assert outcomes == {Outcome.AS_SIMULATED, Outcome.NOT_COMPARED}


@pytest.mark.parametrize(
    ("email", "has_crm", "reason"),
    [
        ("nils@zylker.example", False, "no-crm"),
        ("mei@zylker.example", True, "no-other-data-center"),
    ],
)
def test_an_account_without_crm_or_in_china_has_fewer_rules_and_no_difference(
    zoho_simulator: Simulator, email: str, has_crm: bool, reason: str
) -> None:
    rules = Volunteer(zoho_simulator, email, has_crm=has_crm).run()
    compared = [rules[each] for each in TABLE.compared_rules]
    assert {each.outcome for each in compared} == {Outcome.AS_SIMULATED, Outcome.NOT_COMPARED}
    assert {each.reason for each in compared} == {None, reason}


def test_what_names_the_organization_is_masked_before_and_after_it_is_known(
    volunteer: Volunteer,
) -> None:
    domain = f"org{volunteer.user.organizations[0].organization_id}"
    altered = {"bigin-no-token", "crm-missing-scope"}
    rules = volunteer.run(("public", "consent", "token"), altered=altered, altered_code=domain)
    (before,), (after,) = (rules[f"{each}-errors"].differences for each in ("bigin", "crm"))
    assert [each.seen["json.code"] for each in (before, after)] == ["org(masked)", "other text"]


def test_a_refresh_token_that_may_remain_is_reported(volunteer: Volunteer) -> None:
    (exchange,) = (each for each in TABLE.requests if each.id == "exchange")
    (consent, _) = TABLE.consents
    comparison, controls = volunteer.comparison, volunteer.controls
    assert comparison.revoke() == "not-issued"
    comparison.complete(
        consent, controls.authorize(comparison.authorization_url(consent), volunteer.email)
    )
    controls.inject_fault("connection-closed", endpoint="oauth/v2/token", processed=True)
    comparison.send(exchange)
    assert comparison.revoke() == "failed"
    comparison.complete(
        consent, controls.authorize(comparison.authorization_url(consent), volunteer.email)
    )


def test_a_rate_limit_is_no_difference(volunteer: Volunteer) -> None:
    volunteer.controls.change_settings(token_request_limit=0)
    rules = volunteer.run(("client",))
    assert differing(rules) == set()
    assert rules["invalid-client-secret"].reason == "rate-limited"


# --- A simulator with altered rules ---------------------------------------------------------------


def with_settings(volunteer: Volunteer) -> dict[str, RuleComparison]:
    """Every setting of a compared rule is changed, but the one that excludes another."""
    volunteer.controls.change_settings(
        scope_separator=",",
        legacy_expires_in_sec=True,
        get_token_status=405,
        trailing_ampersand=True,
        pkce_mismatch_error="general_error",
        crm_authentication_failure=True,
        workdrive_500=False,
        access_token_reuse=True,
        unknown_path_check="token",
        head_requests="refused",
        projects_scope_error="INVALID_OAUTHSCOPE",
        callback_order="state_last",
        id_token_key_id=False,
    )
    return volunteer.run()


def with_rotation_and_a_second_consent(volunteer: Volunteer) -> dict[str, RuleComparison]:
    """A refresh rotates the token, and the second visit shows the consent page again."""
    volunteer.controls.change_settings(refresh_token_rotation="on")
    steps = ("consent", "token", "second-consent")
    return volunteer.run(steps, in_browser=lambda url: f"{url}&prompt=consent")


def with_another_callback(volunteer: Volunteer) -> dict[str, RuleComparison]:
    """The callback isn't encoded, has another parameter, and another form of code."""

    def altered(url: str) -> str:
        address, _, query = unquote(url).partition("?")
        code = dict(parse_qsl(query))["code"]
        return f"{address}?{query.replace(code, code[5:])}&another=1"

    return volunteer.run(("consent",), pasted=altered)


def with_another_state(volunteer: Volunteer) -> dict[str, RuleComparison]:
    """The callback doesn't return the state unchanged."""
    with pytest.raises(WizardError, match="callback-unknown-state"):
        volunteer.run(("consent",), pasted=lambda url: url.replace("state=", "state=0"))
    return volunteer.results()


def with_a_refused_second_visit(volunteer: Volunteer) -> dict[str, RuleComparison]:
    """Zoho shows an error page for an unknown parameter, or for scopes with spaces."""
    (consent,) = (each for each in TABLE.consents if each.step == "second-consent")
    volunteer.comparison.authorization_url(consent)
    volunteer.comparison.refuse(consent)
    return volunteer.results()


def with_other_answers(volunteer: Volunteer) -> dict[str, RuleComparison]:
    """Every answer that isn't needed later is another."""
    return volunteer.run(altered=ANSWERS_NOT_NEEDED_LATER)


def with_another_exchange(volunteer: Volunteer) -> dict[str, RuleComparison]:
    """The answer to the code isn't a token."""
    return volunteer.run(("consent",), altered={"exchange"})


def with_other_later_exchanges(volunteer: Volunteer) -> dict[str, RuleComparison]:
    """The answers to the refresh token and to the second code aren't tokens."""
    return volunteer.run(
        ("consent", "token", "second-consent"), altered={"refresh", "second-exchange"}
    )


NO_EXCHANGE = rules_of({"exchange"}) - {"legacy-milliseconds"}
"""The rules that differ if the code isn't exchanged; the exception expects a member's absence."""

ALTERATIONS: Mapping[Callable[[Volunteer], dict[str, RuleComparison]], set[str]] = {
    with_settings: {
        "scope-is-echoed-with-spaces",
        "legacy-milliseconds",
        "token-response-shape",
        "token-endpoint-is-post-only",
        "missing-grant-type",
        "json-body-is-ignored",
        "callback-may-end-in-ampersand",
        "pkce-s256",
        "crm-errors",
        "crm-sometimes-returns-authentication-failure",
        "api-of-another-data-center",
        "token-before-anything-else",
        "trailing-slash",
        "workdrive-errors",
        "a-refresh-may-repeat-its-access-token",
        "unknown-path-before-the-token",
        "head-requests",
        "projects-missing-scope",
        "callback-order",
        "id-token-key-id",
    },
    with_rotation_and_a_second_consent: {
        "refresh-tokens-do-not-rotate",
        "token-response-shape",
        "silent-code-returns-no-refresh-token",
    },
    with_another_callback: {
        "callback-parameters",
        "accounts-server-is-percent-encoded",
        "code-format",
        "callback-order",
        *(NO_EXCHANGE - {"token-response-is-one-line"}),
    },
    with_another_state: {"state-is-echoed"},
    with_a_refused_second_visit: {"unknown-parameters-are-ignored", "scope-separators"},
    with_other_answers: rules_of(ANSWERS_NOT_NEEDED_LATER),
    with_another_exchange: NO_EXCHANGE,
    with_other_later_exchanges: {
        "a-refresh-may-repeat-its-access-token",
        "refresh-keeps-the-scopes",
        "refresh-tokens-do-not-rotate",
        "token-response-shape",
        "failed-exchange-keeps-the-code",
    },
}
"""The rules that differ in a simulator that is altered so."""


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda each: each.__name__)
def test_exactly_the_altered_rules_differ(
    volunteer: Volunteer, alter: Callable[[Volunteer], dict[str, RuleComparison]]
) -> None:
    assert differing(alter(volunteer)) == ALTERATIONS[alter]


def test_every_compared_rule_is_altered() -> None:
    assert set().union(*ALTERATIONS.values()) == TABLE.compared_rules
