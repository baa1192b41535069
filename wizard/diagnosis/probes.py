"""The cheapest requests that distinguish causes.

A diagnosis sends at most four requests, and no token request if a valid access token is enough. A
rejected grant isn't tried again, but related grants are, because grants that fail together show the
cause. Token requests are in the request log. Without the budget or the network for a request, the
diagnosis uses what it has.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from wizard.diagnosis.api_calls import NOT_AUTHORIZED, PERMISSION_REFUSED, SCOPE_MISSING
from wizard.diagnosis.clients import CLIENT_UNKNOWN, SECRET_REFUSED
from wizard.diagnosis.evidence import Evidence, ProbeResult
from wizard.diagnosis.tokens import (
    ACCESS_TOKEN_REFUSED,
    REFRESH_TOKEN_REFUSED,
    informative_related_grants,
)
from wizard.errors import WizardError
from wizard.model import (
    AccessToken,
    Client,
    Clock,
    Failure,
    FailureKind,
    Grant,
    GrantState,
    RequestKind,
    SecretState,
)
from wizard.model.failure import class_of, kind_of
from wizard.oauth import ClientVerdict
from wizard.product_api import ProductApi, rejects_token
from wizard.store import Store
from wizard.tokens.budgets import PENDING, RefreshPurpose
from wizard.tokens.request_log import ClientRequests
from wizard.tokens.service import TokenService
from wizard.zoho import product, products_of

MAX_REQUESTS = 4
"""To the connection's own data center in one diagnosis."""

SEARCH_INTERVAL = timedelta(days=1)
"""Other data centers are asked about a client at most once in this time."""

VERDICT_FAILURES: Mapping[str, tuple[str, str]] = {
    ClientVerdict.WRONG_SECRET: ("invalid-client-secret", "invalid_client_secret"),
    ClientVerdict.UNKNOWN_CLIENT: ("invalid-client", "invalid_client"),
}
"""A pre-flight's verdict as a failure code, and Zoho's word for it."""
CLIENT_REQUEST_KINDS = (RequestKind.REFRESH, RequestKind.PREFLIGHT)
GRANT_CLASSES = (
    *(REFRESH_TOKEN_REFUSED.code, ACCESS_TOKEN_REFUSED.code, NOT_AUTHORIZED.code),
    *(SCOPE_MISSING.code, PERMISSION_REFUSED.code),
)
"""Classes of failures for which a grant's refresh token and access token are tried."""


class DiagnosisProbes:
    """The requests of one diagnosis."""

    def __init__(
        self,
        evidence: Evidence,
        store: Store,
        tokens: TokenService,
        client_requests: ClientRequests,
        product_api: ProductApi,
        clock: Clock,
    ) -> None:
        self.evidence = evidence
        self._store = store
        self._tokens = tokens
        self._client_requests = client_requests
        self._product_api = product_api
        self._clock = clock
        self._requests_left = MAX_REQUESTS

    def run(self, *, search: bool = False) -> Evidence:
        """Send the requests that decide between the causes of the failure, or find a failure.
        `search` allows asking other data centers about a client that its own doesn't know."""
        evidence = self.evidence
        failure_class = class_of(evidence.failure.code) if evidence.failure else ""
        client, grant = evidence.client, evidence.grant
        if client and failure_class == CLIENT_UNKNOWN.code:
            self._probe_client(client, search)
        elif client and failure_class == SECRET_REFUSED.code:
            self._probe_secret(client)
        elif grant and (evidence.failure is None or failure_class in GRANT_CLASSES):
            self._probe_grant(grant)
            if client and not evidence.failure and not grant.state.is_ended:
                self._probe_client_behind_grant(client, grant, search)
        return self.evidence

    # a client and its secret

    def _probe_client(self, client: Client, search: bool) -> None:
        """Ask its own data center about the client; the others only if that doesn't know it."""
        verdict = self._preflight(client, client.location)
        if verdict != "unknown-client" or not search:
            return
        try:
            found = self._client_requests.find_client_location(
                client.client_id, max_age=SEARCH_INTERVAL, excluded_location=client.location
            )
        except WizardError:
            return
        known = {found: "known-here"} if found else {}
        verdicts = {**self.evidence.client_verdicts, **known}
        self.evidence = replace(
            self.evidence, client_verdicts=verdicts, has_searched_everywhere=True
        )

    def _probe_secret(self, client: Client) -> None:
        details = self.evidence.failure.details if self.evidence.failure else {}
        grant = self.evidence.grant
        self._preflight(
            client, details.get("location") or (grant.location if grant else client.location)
        )

    def _preflight(self, client: Client, location: str) -> str:
        """A data center's verdict about the client; empty if it can't be asked."""
        try:
            secret = self._client_requests.secret_for(client, location)
            self._requests_left -= 1
            verdict = self._client_requests.preflight(client.client_id, secret, location)
        except WizardError:
            return ""
        verdicts = {**self.evidence.client_verdicts, location: verdict}
        self.evidence = replace(self.evidence, client_verdicts=verdicts)
        return verdict

    # a grant and its access token

    def _probe_grant(self, grant: Grant) -> None:
        if not grant.state.is_ended:
            token = self._tokens.cached_token(grant)
            if token is None:
                value = self._refresh(grant)
            else:
                self.evidence = replace(self.evidence, access_token_expires_at=token.expires_at)
                value = self._accepted_token(grant, token)
            if value:
                self._probe_product(grant, value)
        probe_result = self.evidence.refresh_result
        is_rejected = (
            probe_result is not None
            and probe_result.failure
            and probe_result.failure.code == "refresh-token-rejected"
        )
        if is_rejected or grant.state is GrantState.NEEDS_REAUTHORIZATION:
            self._probe_as_access_token(grant)
            self._probe_related_grants()

    def _probe_client_behind_grant(self, client: Client, grant: Grant, search: bool) -> None:
        """Find out whether the client is rejected: from the refresh, or, if none was sent, from the
        last response before."""
        probe_result = self.evidence.refresh_result
        if probe_result is not None and (probe_result.failure is None or probe_result.failure.sent):
            verdict = probe_result.failure.code if probe_result.failure else ""
        else:
            verdict = self._last_outcome(grant.location)
            if verdict in VERDICT_FAILURES or kind_of(verdict) is FailureKind.CLIENT:
                verdict = self._preflight(client, grant.location)
        if verdict in VERDICT_FAILURES:
            code, word = VERDICT_FAILURES[verdict]
            failure = Failure(code, word, details={"location": grant.location})
            self.evidence = replace(self.evidence, failure=failure)
        if verdict == "unknown-client" or class_of(verdict) == CLIENT_UNKNOWN.code:
            self._probe_client(client, search)

    def _last_outcome(self, location: str) -> str:
        """The outcome of the last token request of this client; empty if there is none."""
        answers = (request for request in self.evidence.requests if request.location == location)
        return next(
            (a.outcome for a in answers if a.kind in CLIENT_REQUEST_KINDS and a.outcome != PENDING),
            "",
        )

    def _accepted_token(self, grant: Grant, token: AccessToken) -> str:
        """The cached access token if the accounts server accepts it, otherwise a new one."""
        probe_result = self._probe_account(grant, token.value)
        self.evidence = replace(self.evidence, user_info_result=probe_result)
        self._reject_if_rejected(grant, token.value, probe_result)
        return self._refresh(grant) if probe_result and not probe_result.is_success else token.value

    def _refresh(self, grant: Grant) -> str:
        """A new access token, within the budgets; empty if there is none."""
        probe_result, value = self._refresh_once(grant)
        self.evidence = replace(self.evidence, refresh_result=probe_result)
        return value

    def _refresh_once(self, grant: Grant) -> tuple[ProbeResult | None, str]:
        """Refresh once. A rejection is confirmed by a second request."""
        each = 2 if _has_previous_secret(self.evidence.client) else 1
        if self._requests_left < 2 * each:
            return None, ""
        self._requests_left -= each
        try:
            token = self._tokens.refresh_grant(grant, RefreshPurpose.EARLY)
        except WizardError as error:
            self._requests_left -= each
            self._stop_if_temporary(error)
            return ProbeResult(error.failure), ""
        self._tokens.cache_access_token(grant, token)
        return ProbeResult(), token.access_token

    def _probe_account(self, grant: Grant, access_token: str) -> ProbeResult | None:
        """Whether the accounts server accepts an access token; None if it wasn't asked."""
        if self._requests_left < 1:
            return None
        self._requests_left -= 1
        try:
            _account, date = self._masked_api(grant).account(access_token, grant.location)
        except WizardError as error:
            self._stop_if_temporary(error)
            # The scope is missing, but the token was accepted.
            return (
                ProbeResult()
                if error.failure.code == "scope-missing"
                else ProbeResult(error.failure)
            )
        if date is not None:
            self.evidence = replace(self.evidence, clock_skew=self._clock() - date)
        return ProbeResult()

    def _probe_product(self, grant: Grant, access_token: str) -> None:
        """One cheap read of the product in question, otherwise of the first."""
        reached = products_of(grant.scope)
        asked = product(self.evidence.product) if self.evidence.product else None
        chosen = asked or (reached[0] if reached else None)
        if chosen is None or self._requests_left < 1:
            return
        own = [each for each in grant.organizations if each.product == chosen.id]
        self._requests_left -= 1
        place = grant.location, own[0] if own else None
        reading = self._masked_api(grant).read(chosen, access_token, *place, grant.scope)
        self._reject_if_rejected(grant, access_token, ProbeResult(reading.failure))
        if reading.failure is None or reading.failure.sent:
            self.evidence = replace(
                self.evidence, read_result=ProbeResult(reading.failure), product=chosen.id
            )

    def _masked_api(self, grant: Grant) -> ProductApi:
        return self._product_api.masking(self._client_requests.secrets_of(grant))

    def _reject_if_rejected(self, grant: Grant, value: str, response: ProbeResult | None) -> None:
        """Keep an access token that Zoho has just rejected from being served again."""
        if response is None or not rejects_token(response.failure):
            return
        try:
            self._tokens.reject(grant, value)
        except WizardError as error:
            self._stop_if_temporary(error)

    # related grants

    def _probe_as_access_token(self, grant: Grant) -> None:
        """Whether a refresh token that never worked is an access token."""
        grant_record = self.evidence.grant_record
        if grant_record is not None and grant_record.last_refreshed_at is None:
            probe_result = self._probe_account(grant, grant.refresh_token)
            self.evidence = replace(self.evidence, as_access_token_result=probe_result)

    def _probe_related_grants(self) -> None:
        """Find out whether related grants work: then not all tokens were removed."""
        for related_grant in informative_related_grants(self.evidence):
            if self._is_working(related_grant.connection):
                alive = self.evidence.working_connections | {related_grant.connection}
                self.evidence = replace(self.evidence, working_connections=alive)

    def _is_working(self, name: str) -> bool:
        """Whether the tokens of a related connection work now."""
        grant = self._store.grants.get(name)
        token = self._tokens.cached_token(grant) if grant else None
        if grant is None:
            return False
        if token is not None:
            probe_result = self._probe_account(grant, token.value)
            if probe_result is None or probe_result.is_success:
                return probe_result is not None
            self._reject_if_rejected(grant, token.value, probe_result)
            refused = self.evidence.rejected_connections | {name}
            self.evidence = replace(self.evidence, rejected_connections=refused)
        return bool(self._refresh_once(grant)[1])

    def _stop_if_temporary(self, error: WizardError) -> None:
        """Send no more requests after a failure of Zoho or the network."""
        if error.failure.temporary:
            self._requests_left = 0


def _has_previous_secret(client: Client | None) -> bool:
    """A refresh with a regenerated secret is tried with the previous one as well."""
    return client is not None and any(each.state is SecretState.PREVIOUS for each in client.secrets)
