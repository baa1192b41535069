"""The steps that verify one grant: live calls, and the evidence from each.

Verifying a grant takes all of them. Checking a verified one takes only a few, the cheapest first.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from wizard.errors import WizardError
from wizard.model import (
    AccessToken,
    Account,
    Clock,
    Failure,
    FailureKind,
    Grant,
    Organization,
    StepEvidence,
    StepState,
    VerificationReport,
    VerificationStep,
)
from wizard.model.failure import codes_of
from wizard.oauth import TokenResponse
from wizard.product_api import ProductApi, ReadResult, rejects_token
from wizard.store import Store
from wizard.timefmt import format_duration
from wizard.tokens.budgets import RefreshPurpose
from wizard.tokens.request_log import ClientRequests
from wizard.tokens.service import TokenService
from wizard.zoho import ACCOUNT_SCOPE, Product, missing_scopes, products_of

CLOCK_SKEW_TOLERANCE = timedelta(seconds=60)
"""Report a larger difference between our clock and Zoho's: it is half of the two minutes that a
token must have left to be served."""

INCONCLUSIVE_CODES = codes_of(FailureKind.LIMIT, FailureKind.BUSY) | {"zoho-paused"}
"""Failures that say nothing about the grant, because Zoho didn't test it."""

SUSPECTED_REJECTION = "refused-for-now"
"""Zoho rejected the access token, and the refresh token couldn't be tested."""

StepOutcome = tuple[StepState, tuple[StepEvidence, ...], Failure | None]
"""The state of a step, its evidence, and its failure if there is one."""

StepFunction = Callable[[], StepOutcome]
Result = TypeVar("Result")


class VerificationRun:
    """One run of the steps, with what they share: access token, organizations, clock skew."""

    def __init__(
        self,
        grant: Grant,
        store: Store,
        tokens: TokenService,
        client_requests: ClientRequests,
        product_api: ProductApi,
        clock: Clock,
        known_token: TokenResponse | None = None,
    ) -> None:
        self._grant = grant
        self._known_token = known_token
        self._products = products_of(grant.scope)
        self._store = store
        self._tokens = tokens
        self._client_requests = client_requests
        self._product_api = product_api
        self._clock = clock
        self._organizations = list(grant.organizations)
        self._access_token = ""
        self._has_refreshed = False
        self._clock_skew: timedelta | None = None
        self.token: TokenResponse | None = None

    def has_all_steps(self, report: VerificationReport | None) -> bool:
        """Whether `report` is finished and has every step for this grant, passed or not."""
        names = {step.name for step in report.steps} if report else set()
        ended = report is not None and report.finished_at is not None
        return ended and {"refresh", "clock", *self._functions_after_refresh()} <= names

    def all_steps(self, purpose: RefreshPurpose) -> Iterator[VerificationStep]:
        """Run all steps in order; stop after a failed refresh or identity."""
        functions: dict[str, StepFunction] = {
            "refresh": partial(self._refresh, purpose),
            **self._functions_after_refresh(),
        }
        for name, function in functions.items():
            step = self._run_step(name, function)
            yield step
            if step.state is StepState.FAILED and name in ("refresh", "identity"):
                return
        yield self._run_step("clock", self._compare_clock)

    def cheapest_steps(
        self,
        previous_report: VerificationReport,
        purpose: RefreshPurpose,
        *,
        force_refresh: bool,
        is_confirmed: bool,
    ) -> Iterator[VerificationStep]:
        """Run as few steps as show whether a verified grant still works.

        A read with the cached access token tests the access token, its refresh token and the
        product. It is refreshed only if there is none, Zoho rejects it, or `force_refresh` is set.
        Steps that failed in `previous_report` run again. `is_confirmed`: see
        `TokenService.refresh_for_check`.

        Raises the failures of `INCONCLUSIVE_CODES`, or `SUSPECTED_REJECTION` instead if Zoho has
        rejected the last access token.
        """
        cached = self._tokens.cached_token(self._grant)
        self._access_token = cached.value if cached else ""
        if force_refresh or not cached or "refresh" in _failed_steps(previous_report):
            step = self._first_refresh(purpose, is_confirmed)
            yield step
            if step.state is StepState.FAILED:
                return
        for name in self._decisive_steps(previous_report):
            step = self._run_conclusive_step(name, self._functions_after_refresh()[name])
            if _may_reject_token(step) and not self._has_refreshed:
                again = self._confirm_rejection(step, purpose)
                yield again
                if again.state is StepState.FAILED:
                    return
                step = self._run_conclusive_step(name, self._functions_after_refresh()[name])
            yield step
        if self._clock_skew is not None:
            yield self._run_step("clock", self._compare_clock)

    def _functions_after_refresh(self) -> dict[str, StepFunction]:
        """The steps between the refresh and the clock, by name."""
        reads = {f"read:{each.id}": partial(self._read_product, each) for each in self._products}
        identity = {"identity": self._identity, "organization": self._find_organizations}
        return {**identity, **reads, "scope": self._compare_scope}

    def _decisive_steps(self, previous_report: VerificationReport) -> list[str]:
        """The steps that show whether an access token works: a read of each product, or identity
        if there is none; also the scope and what failed before."""
        reads = [each for each in self._products if each.probe_for(self._grant.scope)]
        names = {f"read:{each.id}" for each in reads} or {"identity"}
        names |= {"scope", *_failed_steps(previous_report)}
        return [name for name in self._functions_after_refresh() if name in names]

    def _first_refresh(self, purpose: RefreshPurpose, is_confirmed: bool) -> VerificationStep:
        """Refresh before anything else."""
        suspected = self._tokens.is_rejected(self._grant)
        try:
            return self._run_conclusive_step(
                "refresh", partial(self._refresh_for_check, purpose, is_confirmed=is_confirmed)
            )
        except WizardError as error:
            if not suspected:
                raise
            raise WizardError(_suspected_failure(error.failure, error.failure)) from None

    def _confirm_rejection(
        self, rejected_step: VerificationStep, purpose: RefreshPurpose
    ) -> VerificationStep:
        """Refresh after Zoho rejected the access token. If that isn't possible now, return
        `rejected_step` with the time of the next try."""
        self._has_refreshed = True
        try:
            return self._run_conclusive_step(
                "refresh", partial(self._refresh_for_check, purpose, is_confirmed=True)
            )
        except WizardError as error:
            failure = rejected_step.failure or error.failure
            return replace(rejected_step, failure=_suspected_failure(failure, error.failure))

    def _run_conclusive_step(self, name: str, function: StepFunction) -> VerificationStep:
        step = self._run_step(name, function)
        if step.failure is not None and step.failure.code in INCONCLUSIVE_CODES:
            raise WizardError(step.failure)
        return step

    def _run_step(self, name: str, function: StepFunction) -> VerificationStep:
        try:
            state, evidence, failure = function()
        except WizardError as error:
            state, evidence, failure = StepState.FAILED, (), error.failure
        if rejects_token(failure):
            self._tokens.reject(self._grant, self._access_token)
        return VerificationStep(name, state, evidence, self._clock(), failure)

    # the steps

    def _refresh(self, purpose: RefreshPurpose) -> StepOutcome:
        self.token = self._known_token or self._tokens.refresh_grant(self._grant, purpose)
        return self._refresh_outcome(self.token)

    def _refresh_for_check(self, purpose: RefreshPurpose, *, is_confirmed: bool) -> StepOutcome:
        token = self._tokens.refresh_for_check(
            self._grant, self._access_token, is_confirmed=is_confirmed, purpose=purpose
        )
        if isinstance(token, AccessToken):
            self._access_token = token.value
            return StepState.PASSED, (StepEvidence("access-token-shared"),), None
        return self._refresh_outcome(token)

    def _refresh_outcome(self, token: TokenResponse) -> StepOutcome:
        self._access_token, api_domain = token.access_token, token.api_domain
        self._clock_skew = token.exchange.at - token.server_time if token.server_time else None
        evidence = (
            StepEvidence("access-token-issued", {"expires_in": str(token.expires_in)}),
            StepEvidence("data-center", {"location": self._grant.location}),
            StepEvidence("api-domain", {"api_domain": api_domain}),
        )
        if token.rejected_api_domain is not None:
            details = {"value": token.rejected_api_domain[:100], "expected": api_domain}
            return StepState.FAILED, evidence, Failure("foreign-api-domain", details=details)
        return StepState.PASSED, evidence, None

    def _identity(self) -> StepOutcome:
        if missing_scopes(self._grant.scope, (ACCOUNT_SCOPE,)):  # an imported grant
            return StepState.SKIPPED, (StepEvidence("account-out-of-scope"),), None
        account, _date = self._with_access_token(
            lambda token: self._masked_api().account(token, self._grant.location)
        )
        self._save_account(account, self._grant.organizations)
        observed = {"name": account.display_name, "email": account.email, "zuid": account.zuid}
        evidence = (
            StepEvidence(f"account-{key}", {key: value}) for key, value in observed.items() if value
        )
        return StepState.PASSED, tuple(evidence), None

    def _find_organizations(self) -> StepOutcome:
        self._organizations = []
        for product in self._products:
            if not product.can_list_organizations(self._grant.scope):
                continue
            self._organizations.extend(self._organizations_of(product))
        if self._grant.account is not None:
            self._save_account(self._grant.account, tuple(self._organizations))
        if not self._organizations:
            return StepState.SKIPPED, (StepEvidence("organization-out-of-scope"),), None
        return StepState.PASSED, tuple(map(_organization_evidence, self._organizations)), None

    def _organizations_of(self, product: Product) -> tuple[Organization, ...]:
        return self._with_access_token(
            lambda token: self._masked_api().organizations(product, token, self._grant.location)
        )

    def _read_product(self, product: Product) -> StepOutcome:
        chosen = next((each for each in self._organizations if each.product == product.id), None)

        def read(token: str) -> ReadResult:
            reading = self._masked_api().read(
                product,
                token,
                self._grant.location,
                chosen,
                self._grant.scope,
            )
            if reading.failure is not None and reading.failure.code == "token-invalid":
                raise WizardError(reading.failure)
            return reading

        reading = self._with_access_token(read)
        if not reading.path:
            evidence = StepEvidence("no-cheap-read", {"product": product.id})
            return StepState.SKIPPED, (evidence,), None
        code = "read-failed" if reading.failure else "read-passed"
        evidence = StepEvidence(code, {"product": product.id, "path": reading.path})
        state = StepState.FAILED if reading.failure else StepState.PASSED
        return state, (evidence,), reading.failure

    def _compare_scope(self) -> StepOutcome:
        expected_scope = self._store.grants.expected_scope(
            self._grant.connection, self._grant.generation
        )
        missing = missing_scopes(self._grant.scope, expected_scope)
        granted = StepEvidence("scopes-granted", {"scope": ", ".join(self._grant.scope)})
        if not missing:
            return StepState.PASSED, (granted,), None
        not_granted = StepEvidence("scopes-not-granted", {"scope": ", ".join(missing)})
        details = {"name": self._grant.connection, "missing": ", ".join(missing)}
        failure = Failure("fewer-scopes", details=details)
        return StepState.PARTIAL, (granted, not_granted), failure

    def _compare_clock(self) -> StepOutcome:
        if self._clock_skew is None:
            return StepState.SKIPPED, (StepEvidence("clock-unknown"),), None
        difference = abs(self._clock_skew)
        seconds = {"seconds": str(round(difference.total_seconds()))}
        if difference <= CLOCK_SKEW_TOLERANCE:
            return StepState.PASSED, (StepEvidence("clock-agrees", seconds),), None
        direction = "ahead" if self._clock_skew > timedelta() else "behind"
        details = {"difference": format_duration(difference), "direction": direction}
        evidence = StepEvidence(f"clock-{direction}", seconds)
        return StepState.PARTIAL, (evidence,), Failure("clock-skew", details=details)

    def _save_account(self, account: Account, organizations: tuple[Organization, ...]) -> None:
        """Store the account and organizations of the grant."""
        previous = self._grant
        self._grant = replace(previous, account=account, organizations=organizations)
        self._store.grants.set_account(
            previous.connection, previous.generation, account, organizations
        )
        if self._grant != previous:
            self._tokens.update_cached_account(self._grant)

    def _masked_api(self) -> ProductApi:
        return self._product_api.masking(self._client_requests.secrets_of(self._grant))

    def _with_access_token(self, request: Callable[[str], Result]) -> Result:
        """Call `request` with the access token. In a run of all steps, refresh once and call it
        again if Zoho rejects the token: CRM sometimes rejects a valid one."""
        try:
            return request(self._access_token)
        except WizardError as error:
            if error.failure.code != "token-invalid" or self._has_refreshed or self.token is None:
                raise
        self._has_refreshed = True
        self.token = self._tokens.refresh_grant(self._grant)
        self._access_token = self.token.access_token
        return request(self._access_token)


def _suspected_failure(failure: Failure, obstacle: Failure) -> Failure:
    """`failure` as a suspected rejection: `obstacle` prevents a test of the refresh token."""
    details = {**failure.details, "obstacle": obstacle.code}
    return replace(failure, code=SUSPECTED_REJECTION, retry_at=obstacle.retry_at, details=details)


def _failed_steps(report: VerificationReport) -> set[str]:
    """The names of the steps that failed."""
    return {step.name for step in report.steps if step.state is StepState.FAILED}


def _may_reject_token(step: VerificationStep) -> bool:
    """Whether Zoho rejected the access token, or may have: Books returns code 57 for an invalid
    token and for a missing permission."""
    failure = step.failure
    return failure is not None and (
        failure.kind is FailureKind.ACCESS_TOKEN or failure.code == "not-authorized"
    )


def _organization_evidence(organization: Organization) -> StepEvidence:
    values = {"product": organization.product, "name": organization.name}
    if not organization.environment:
        return StepEvidence("organization", values)
    values["environment"] = organization.environment
    return StepEvidence("organization-environment", values)
