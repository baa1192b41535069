"""Add scopes to a refresh token in place: Zoho's incremental authorization.

The client exchanges its refresh token for an enhancement token, with which the user approves the
additional scopes. The refresh token stays the same. The callback has neither a ``state`` nor an
account, so it proves nothing: only a refresh shows whether Zoho has added the scopes. Until one
does, the grant keeps its recorded scopes.

The enhancement token is in the redirect to Zoho, and nowhere else. One attempt is open at a time,
bound to the browser by a cookie, and only that attempt accepts a callback without ``state``. Any
page can send this browser to the callback, so an error there doesn't keep a consent from counting.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wizard.authorization.callback import MAX_ERROR_CHARACTERS, Parameters, unique_parameters
from wizard.authorization.service import (
    Attempts,
    CompletedAttempt,
    in_place_failure,
    is_bound,
    new_binding,
    no_answer,
)
from wizard.errors import Conflict, WizardError, fail
from wizard.model import (
    ATTEMPT_LIFETIME,
    Attempt,
    AttemptMode,
    AttemptState,
    Clock,
    Connection,
    Event,
    Failure,
    FailureKind,
    Grant,
    GrantState,
)
from wizard.model.failure import codes_with
from wizard.oauth import TokenResponse, extra_scope_url, new_state
from wizard.product_api import ProductApi
from wizard.store import Store
from wizard.tokens.cached_tokens import ConnectionLocks
from wizard.tokens.request_log import ClientRequests, RequestLog
from wizard.tokens.service import TokenService
from wizard.transport import sanitize_line
from wizard.verification.service import find_mismatch
from wizard.zoho import Zoho, has_added_scopes, missing_scopes, products_of

UNKNOWN = "added-scopes-unknown"

_CALLBACK_ERRORS = codes_with("in_place_callback_error")
_UNDECIDED = (UNKNOWN, "scopes-not-added", *_CALLBACK_ERRORS)
"""Failures after which the user may still consent; the next refresh decides."""

COOKIE_NAME = "zw_in_place"
"""One for all attempts, so that a browser has at most one."""

_PASSED_ON = (
    *(FailureKind.OUTAGE, FailureKind.LIMIT, FailureKind.BUSY, FailureKind.STORE),
    FailureKind.NETWORK,
)
"""Kinds of failures of an enhancement request that say nothing about the client or the grant."""


@dataclass(frozen=True)
class StartedAddition:
    """An attempt, the URL for the redirect, and the cookie that binds them."""

    attempt: Attempt
    url: str = field(repr=False)
    """Contains the enhancement token: for a ``Location`` header only."""
    cookie_value: str = field(repr=False)


class ScopeAddition:
    """Begins attempts to add scopes in place, and completes them."""

    def __init__(
        self,
        store: Store,
        tokens: TokenService,
        client_requests: ClientRequests,
        request_log: RequestLog,
        product_api: ProductApi,
        zoho: Zoho,
        locks: ConnectionLocks,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._client_requests = client_requests
        self._request_log = request_log
        self._product_api = product_api
        self._zoho = zoho
        self._locks = locks
        self._clock = clock
        self._attempts = Attempts(store, locks, clock)

    def begin(self, name: str, scope: tuple[str, ...]) -> StartedAddition:
        """Begin to add `scope` to the current grant of connection `name`.

        Raises ``unknown-connection``, ``in-place-unavailable``, ``scopes-already-granted``,
        ``in-place-refused`` or ``in-place-client`` if Zoho issues no enhancement token,
        ``codes-budget``, and what `TokenService.request_enhancement_token` raises.
        """
        connection = self._store.connections.get(name)
        grant = self._grant_to_widen(connection, scope)
        client = self._store.clients.get(connection.client_id)
        added = missing_scopes(grant.scope, scope)
        if not added:
            raise fail("scopes-already-granted", name=name)
        self._request_log.check_consent(client)
        cookie, binding = new_binding()
        data_center = self._zoho.data_center(grant.location)
        attempt = Attempt(
            id=secrets.token_hex(8),
            connection=name,
            client_id=client.client_id,
            mode=AttemptMode.BROWSER,
            state=AttemptState.REDIRECTED,
            location=grant.location,
            authorization_endpoint=data_center.extra_scope_page,
            token_endpoint=data_center.enhancement_endpoint,
            redirect_uri=client.redirect_uri,
            scope=added,
            created_at=self._clock(),
            oauth_state=new_state(),  # never sent: Zoho has no such parameter here
            code_verifier="",
            binding=binding,
            widened_generation=grant.generation,
        )
        try:
            enhancement_token = self._tokens.request_enhancement_token(grant)
        except WizardError as error:
            raise WizardError(classify_enhancement_failure(error.failure, attempt)) from error
        self._attempts.close_in_place(name)
        self._store.attempts.add(attempt)
        self._request_log.record_authorization(client.client_id, grant.location, name)
        url = extra_scope_url(
            data_center, client.client_id, client.redirect_uri, added, enhancement_token
        )
        return StartedAddition(attempt, url, f"{attempt.id}.{cookie}")

    def can_begin(self, name: str) -> bool:
        """Whether scopes can be added to connection `name` in place, as far as is known here."""
        try:
            self._grant_to_widen(self._store.connections.get(name), ())
        except WizardError:
            return False
        return True

    def _grant_to_widen(self, connection: Connection, scope: tuple[str, ...]) -> Grant:
        grant = self._store.grants.get(connection.name)
        client = self._store.clients.get(connection.client_id)
        is_possible = (
            grant is not None
            and grant.state is GrantState.VERIFIED
            and grant.account is not None
            and grant.client_id == client.client_id
            and client.redirect_uri
        )
        if grant is None or not is_possible:
            raise fail("in-place-unavailable", name=connection.name, scope=",".join(scope))
        return grant

    def complete(self, params: Parameters, cookies: Mapping[str, str]) -> CompletedAttempt:
        """Complete the attempt of this browser with the parameters of a callback without ``state``.

        Raises ``callback-repeated-parameter``, ``callback-without-state`` if this browser has no
        attempt, ``callback-wrong-browser``, ``callback-repeated``. Any later failure is stored and
        returned.
        """
        found = unique_parameters(params)
        attempt_id, _, secret = cookies.get(COOKIE_NAME, "").partition(".")
        try:
            attempt = self._store.attempts.get(attempt_id)
        except WizardError:
            raise fail("callback-without-state") from None
        if not attempt.is_in_place or not is_bound(attempt, secret):
            raise fail("callback-wrong-browser")
        if not self._is_open(attempt, found):
            raise fail("callback-repeated", name=attempt.connection)
        with self._locks.exchange(attempt.connection):
            return self._complete(attempt, found)

    def _is_open(self, attempt: Attempt, params: Mapping[str, str]) -> bool:
        """Whether an attempt accepts a callback: a success also after an error."""
        code = attempt.failure.code if attempt.failure else ""
        return attempt.state is AttemptState.REDIRECTED or (
            attempt.state is AttemptState.OUTCOME_UNKNOWN
            and code in _CALLBACK_ERRORS
            and params.get("status") == "success"
            and self._clock() - attempt.created_at < ATTEMPT_LIFETIME
        )

    def _complete(self, attempt: Attempt, params: dict[str, str]) -> CompletedAttempt:
        is_expired = attempt.is_expired(self._clock())
        try:
            attempt = self._advance(attempt, AttemptState.CALLBACK_RECEIVED)
        except Conflict:
            repeated = fail("callback-repeated", name=attempt.connection).failure
            stored = self._store.attempts.get(attempt.id)
            return CompletedAttempt(stored, stored.connection, failure=repeated)
        failure = no_answer(attempt) if is_expired else judge_callback(params, attempt)
        if failure is not None:
            return self._close(attempt, failure)
        return self._check(self._advance(attempt, AttemptState.EXCHANGE_INTENT))

    def _advance(self, attempt: Attempt, target_state: AttemptState) -> Attempt:
        self._attempts.advance(attempt, target_state)
        return replace(attempt, state=target_state)

    def _check(self, attempt: Attempt) -> CompletedAttempt:
        """Refresh the grant, and record its scopes if Zoho has added some and nothing else
        changed."""
        name = attempt.connection
        grant = self._store.grants.get(name)
        if grant is None or grant.generation != attempt.widened_generation:
            return self._close(attempt, in_place_failure("in-place-unavailable", attempt))
        try:
            token = self._tokens.refresh_grant(grant)
            observed = self._observe(grant, token)
        except WizardError as error:
            unknown = replace(no_answer(attempt), exchange=error.failure.exchange)
            return self._close(attempt, unknown)
        failure = judge_addition(attempt, grant, observed)
        if failure is not None:
            return self._close(attempt, failure)
        try:
            self._store.grants.add_scope(grant, attempt, observed.scope)
        except Conflict:  # the grant was replaced, or its scopes changed, during the check
            return self._close(attempt, no_answer(attempt))
        self._tokens.cache_access_token(observed, token)
        self._record_event("scopes-added", name, scope=", ".join(attempt.scope))
        done = self._store.attempts.get(attempt.id)
        return CompletedAttempt(done, name, generation=grant.generation)

    def _observe(self, grant: Grant, token: TokenResponse) -> Grant:
        """`grant` with the scopes, account and organizations that Zoho reports now."""
        api = self._product_api.masking(self._client_requests.secrets_of(grant))
        account, _date = api.account(token.access_token, grant.location)
        organizations = tuple(
            organization
            for product in products_of(grant.scope)
            if product.can_list_organizations(grant.scope)
            for organization in api.organizations(product, token.access_token, grant.location)
        )
        return replace(grant, scope=token.scope, account=account, organizations=organizations)

    def _close(self, attempt: Attempt, failure: Failure) -> CompletedAttempt:
        """End an attempt; the grant keeps its scopes. If Zoho may have added some, the next refresh
        decides."""
        is_undecided = failure.code in _UNDECIDED
        self._attempts.advance(
            attempt, attempt.abandoned_state if is_undecided else AttemptState.FAILED, failure
        )
        self._record_event("scopes-not-added", attempt.connection, code=failure.code)
        done = self._store.attempts.get(attempt.id)
        return CompletedAttempt(done, attempt.connection, failure=failure)

    def _record_event(self, kind: str, connection: str, **details: str) -> None:
        self._store.events.record(Event(self._clock(), connection, kind, details))


def classify_enhancement_failure(failure: Failure, attempt: Attempt) -> Failure:
    """Why there is no enhancement token: ``in-place-client`` if Zoho doesn't do this for the
    client, ``in-place-refused`` for any other answer; other failures stay as they are."""
    is_answer = failure.code == "not-json" or failure.kind not in _PASSED_ON
    if not failure.sent or not is_answer or failure.code == "invalid-client-secret":
        return failure
    code = "in-place-client" if failure.code == "invalid-client" else "in-place-refused"
    refused = in_place_failure(code, attempt)
    return replace(refused, zoho_error=failure.zoho_error, exchange=failure.exchange)


def judge_callback(params: Mapping[str, str], attempt: Attempt) -> Failure | None:
    """Why a callback isn't followed by a check: ``in-place-denied``, ``in-place-refused``, or
    ``added-scopes-unknown`` if it is neither a success nor an error; None if it is a success."""
    if "error" in params:
        word = sanitize_line(params["error"], MAX_ERROR_CHARACTERS)
        code = "in-place-denied" if word == "access_denied" else "in-place-refused"
        return replace(in_place_failure(code, attempt), zoho_error=word)
    return None if params.get("status") == "success" else no_answer(attempt)


def judge_addition(attempt: Attempt, grant: Grant, observed: Grant) -> Failure | None:
    """Why the scopes of `observed`, which is `grant` as Zoho reports it now, aren't recorded:
    ``added-scopes-mismatch`` if its account or organization is a different one or a scope is gone,
    ``scopes-not-added``, or ``added-scopes-unknown`` if Zoho names no scopes. None: record them."""
    if not observed.scope:
        return no_answer(attempt)
    mismatch = find_mismatch(observed, grant)
    if mismatch is not None:
        return in_place_failure("added-scopes-mismatch", attempt, reason=mismatch.code)
    if not has_added_scopes(observed.scope, grant.scope, attempt.scope):
        return in_place_failure("scopes-not-added", attempt)
    return None
