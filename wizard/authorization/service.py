"""Begin and complete authorizations; accept or discard a grant for a different account.

An attempt is bound to the browser or process that began it. Every change of its state is a durable
commit.
"""

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from wizard.authorization.callback import (
    AuthorizationResponse,
    Parameters,
    check_callback,
    classify_exchange_failure,
    find_state,
    parse_pasted,
    unique_parameters,
)
from wizard.connection_details import (
    client_details,
    describe_organizations,
    expected_organizations,
)
from wizard.errors import Conflict, WizardError, fail, message
from wizard.model import (
    Attempt,
    AttemptMode,
    AttemptState,
    Client,
    Clock,
    Connection,
    Event,
    Failure,
    Grant,
    GrantState,
)
from wizard.oauth import OAuth, TokenResponse, new_code_verifier, new_state
from wizard.store import Store
from wizard.store.database import store_surely
from wizard.tokens.cached_tokens import ConnectionLocks
from wizard.tokens.request_log import ClientRequests, RequestLog
from wizard.tokens.service import TokenService
from wizard.zoho import DataCenter, Zoho, limits

MAX_WAITING_ATTEMPTS = 8
"""Attempts that can wait at the same time. Each has a cookie, and browsers keep few for a host."""

MAX_FAILED_TRIES = 5
"""Callbacks with a valid ``state`` and a wrong cookie after which the attempt is closed: the state
has leaked."""


class Attempts:
    """The attempts of all connections, and their changes of state."""

    def __init__(self, store: Store, locks: ConnectionLocks, clock: Clock) -> None:
        self._store = store
        self._locks = locks
        self._clock = clock

    def find(self, oauth_state: str) -> Attempt:
        """The attempt with this ``state``; raises ``callback-without-state`` or
        ``callback-unknown-state``."""
        if not oauth_state:
            raise fail("callback-without-state")
        attempt = self._store.attempts.find_by_state(oauth_state)
        if attempt is None:
            raise fail("callback-unknown-state")
        return attempt

    def advance(
        self, attempt: Attempt, target_state: AttemptState, failure: Failure | None = None
    ) -> None:
        """Change the state of an attempt; raises `Conflict` if it has changed meanwhile."""
        self._store.attempts.advance(attempt.id, attempt.state, target_state, failure=failure)

    def try_close(
        self, attempt: Attempt, target_state: AttemptState, failure: Failure | None
    ) -> None:
        """Close an attempt unless its state has changed meanwhile."""
        try:
            self.advance(attempt, target_state, failure)
        except Conflict:
            return

    def count_failed_try(self, attempt: Attempt) -> None:
        """Count a callback from the wrong browser; too many close the attempt."""
        self._store.attempts.count_failed_try(attempt.id)
        is_waiting = attempt.state is AttemptState.REDIRECTED
        if is_waiting and attempt.failed_tries + 1 >= MAX_FAILED_TRIES:
            failure = fail("too-many-wrong-tries", name=attempt.connection).failure
            self.try_close(attempt, AttemptState.FAILED, failure)

    def abandon_stale(self) -> None:
        """Abandon expired attempts, and the oldest if too many wait."""
        waiting = sorted(self._store.attempts.open(), key=lambda each: each.created_at)
        waiting = [each for each in waiting if each.state is AttemptState.REDIRECTED]
        own = [each for each in waiting if each.mode is not AttemptMode.FORWARDED]
        surplus = own[: max(0, len(own) - (MAX_WAITING_ATTEMPTS - 1))]
        for attempt in waiting:
            if attempt in surplus or attempt.is_expired(self._clock()):
                self.try_close(attempt, attempt.abandoned_state, no_answer(attempt))

    def close_in_place(self, name: str) -> None:
        """Close every open attempt to add scopes in place: only one is open at a time. Those of
        connection `name` whose outcome is unknown are replaced by its next one."""
        for attempt in self._store.attempts.open():
            if attempt.is_in_place and attempt.state is AttemptState.REDIRECTED:
                self.try_close(attempt, attempt.abandoned_state, no_answer(attempt))
        generation = self._store.connections.get(name).generation
        for attempt in self._store.attempts.undecided(name, generation):
            self.try_close(attempt, AttemptState.ABANDONED, None)

    def close_interrupted(self) -> None:
        """Close the attempts of processes that died after the callback. If the code may have been
        posted, the outcome is unknown, and the code is never posted again."""
        for attempt in self._store.attempts.open():
            if attempt.state is AttemptState.REDIRECTED:
                continue
            posted = attempt.state is AttemptState.EXCHANGE_INTENT
            code = "outcome-unknown" if posted else "callback-interrupted"
            failure = fail(code, name=attempt.connection, reason="interrupted").failure
            target_state = AttemptState.OUTCOME_UNKNOWN if posted else AttemptState.FAILED
            if attempt.is_in_place:
                target_state, failure = attempt.abandoned_state, no_answer(attempt)
            try:
                with self._locks.exchange(attempt.connection, wait=False):
                    self.try_close(attempt, target_state, failure)
            except WizardError:
                continue  # its process is alive and holds the lock


def no_answer(attempt: Attempt) -> Failure:
    """Why an attempt ended without an answer."""
    if attempt.is_in_place:
        return in_place_failure("added-scopes-unknown", attempt)
    return fail("attempt-expired").failure


def in_place_failure(code: str, attempt: Attempt, **details: str) -> Failure:
    """A failure of an attempt in place, with the scopes to add in the usual way."""
    scope = ",".join(attempt.scope)
    return Failure(code, details={"name": attempt.connection, "scope": scope, **details})


def cookie_name(attempt_id: str) -> str:
    """The name of the cookie that binds an attempt to a browser; one cookie for each attempt."""
    return f"zw_flow_{attempt_id}"


def new_binding() -> tuple[str, str]:
    """A new secret for the cookie, and its hash for the store. The secret has 256 random bits, so
    the hash needs no key."""
    value = secrets.token_urlsafe(32)
    return value, _hash(value)


def is_bound(attempt: Attempt, value: str) -> bool:
    """Whether `value` is the secret of `attempt`; an empty one never is."""
    return bool(value) and hmac.compare_digest(attempt.binding, _hash(value))


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


@dataclass(frozen=True)
class StartedAttempt:
    """An attempt, the URL for the browser, and the cookie that binds them."""

    attempt: Attempt
    url: str
    cookie_name: str
    cookie_value: str = field(repr=False)
    """The binding secret: a browser gets it as a cookie, a terminal keeps it."""


@dataclass(frozen=True)
class CompletedAttempt:
    """How an attempt ended: either `generation` or `failure` is set."""

    attempt: Attempt
    connection: str
    generation: int | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class ConsentRequest:
    """An attempt whose link is forwarded to the account owner."""

    started: StartedAttempt
    email: str
    """Who must sign in; empty if unknown."""
    message: str
    """What to send to the account owner: the link, whom to sign in as, what to send back."""


class AuthorizationService:
    """Begins attempts and completes them."""

    def __init__(
        self,
        store: Store,
        tokens: TokenService,
        client_requests: ClientRequests,
        request_log: RequestLog,
        oauth: OAuth,
        zoho: Zoho,
        locks: ConnectionLocks,
        clock: Clock,
        sleep: Callable[[float], None],
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._client_requests = client_requests
        self._request_log = request_log
        self._oauth = oauth
        self._zoho = zoho
        self._locks = locks
        self._clock = clock
        self._sleep = sleep
        self._attempts = Attempts(store, locks, clock)

    # begin

    def begin(
        self,
        name: str,
        mode: AttemptMode = AttemptMode.BROWSER,
        redirect_uri: str | None = None,
        *,
        force: bool = False,
        additional_scope: tuple[str, ...] = (),
    ) -> StartedAttempt:
        """Begin an attempt for connection `name` at its client's own data center.

        The client's redirect URI is used unless `redirect_uri` is given. `force` ignores a rate
        limit, and that the user has nearly as many refresh tokens as Zoho keeps. A forwarded
        attempt counts for the rate limit when it is answered.
        `additional_scope` becomes part of the connection when the new grant is verified.

        Raises ``unknown-connection``, ``self-client``, ``missing-secret``, ``codes-budget``,
        ``throttled``, ``refresh-tokens-budget``; then nothing was stored.
        """
        connection = self._store.connections.get(name)
        client = self._store.clients.get(connection.client_id)
        redirect_uri = client.redirect_uri if redirect_uri is None else redirect_uri
        if not redirect_uri:
            raise fail("self-client", name=name, client=client.name)
        self._client_requests.secret_for(client, client.location)
        is_forwarded = mode is AttemptMode.FORWARDED
        self._request_log.check_consent(
            client, self._zuid_of(name), force=force, is_forwarded=is_forwarded
        )
        self._attempts.abandon_stale()
        cookie, binding = new_binding()
        scope = tuple(dict.fromkeys((*connection.scope, *additional_scope)))
        attempt = self._new_attempt(
            replace(connection, scope=scope),
            client,
            mode,
            redirect_uri=redirect_uri,
            code_verifier=new_code_verifier(),
            binding=binding,
        )
        self._store.attempts.add(attempt)
        if not is_forwarded:  # else when it is answered
            self._request_log.record_authorization(client.client_id, attempt.location, name)
        url = self._oauth.authorization_url(
            self._zoho.data_center(attempt.location),
            client.client_id,
            attempt.redirect_uri,
            attempt.scope,
            attempt.oauth_state,
            attempt.code_verifier,
        )
        return StartedAttempt(attempt, url, cookie_name(attempt.id), cookie)

    def request_consent(
        self, name: str, email: str = "", additional_scope: tuple[str, ...] = ()
    ) -> ConsentRequest:
        """Begin an attempt for connection `name` that the account owner answers within a day;
        `complete_forwarded` takes the answer.

        `email` is who must sign in (default: the account of the connection, or the expected one).
        Raises what `begin` raises.
        """
        email = email or self.expected_email(name)
        started = self.begin(name, AttemptMode.FORWARDED, additional_scope=additional_scope)
        return ConsentRequest(started, email, self.request_message([started], email))

    def expected_email(self, name: str) -> str:
        """The account that must consent for connection `name`; empty if any may."""
        grant = self._store.grants.get(name)
        return grant.email if grant else self._store.connections.get(name).expected_email

    def expected_organization(self, name: str) -> str:
        """What the consent for connection `name` must choose if Zoho asks; empty: any."""
        connection, grant = self._store.connections.get(name), self._store.grants.get(name)
        return describe_organizations(expected_organizations(connection, grant))

    def request_message(self, started: Sequence[StartedAttempt], email: str) -> str:
        """The message for the owner of account `email` (empty: unknown), with the links of all
        their attempts, to be opened one after the other: a code is valid for two minutes. The links
        are useless to others: the PKCE verifier and the client secret stay here."""
        attempts = [each.attempt for each in started]
        clients = (self._store.clients.get(each.client_id).name for each in attempts)
        hosts = (self._zoho.data_center(each.location).accounts_server for each in attempts)
        chosen = [self.expected_organization(each.connection) for each in attempts]
        is_same = len(set(chosen)) == 1
        links = "\n".join(
            message(
                "letters",
                "consent-link",
                name=each.attempt.connection,
                organization="" if is_same else organization,
                url=each.url,
            )
            for each, organization in zip(started, chosen, strict=True)
        )
        most = max(Counter(each.client_id for each in attempts).values())
        limit = limits().codes_budget
        return message(
            "letters",
            "consent-request",
            email=email,
            again="again" if self._store.grants.get(attempts[0].connection) else "",
            client="” or “".join(dict.fromkeys(clients)),
            redirect_uri=" or ".join(dict.fromkeys(each.redirect_uri for each in attempts)),
            host=" or ".join(dict.fromkeys(hosts)),
            links=links,
            organization=chosen[0] if is_same else message("letters", "organization-of-link"),
            count=str(len(started)),
            several=str(len(started)) if len(started) > 1 else "",
            limit=str(limit) if most > limit else "",
        )

    def _new_attempt(
        self,
        connection: Connection,
        client: Client,
        mode: AttemptMode,
        *,
        redirect_uri: str = "",
        code_verifier: str = "",
        binding: str = "",
        state: AttemptState = AttemptState.REDIRECTED,
    ) -> Attempt:
        data_center = self._zoho.data_center(client.location)
        return Attempt(
            id=secrets.token_hex(8),
            connection=connection.name,
            client_id=client.client_id,
            mode=mode,
            state=state,
            location=data_center.location,
            authorization_endpoint=data_center.authorization_endpoint,
            token_endpoint=data_center.token_endpoint,
            redirect_uri=redirect_uri,
            scope=connection.scope,
            created_at=self._clock(),
            oauth_state=new_state(),
            code_verifier=code_verifier,
            binding=binding,
        )

    def _zuid_of(self, name: str) -> str:
        grant = self._store.grants.get(name) or self._store.grants.candidate(name)
        return grant.account.zuid if grant and grant.account else ""

    # complete

    def complete(self, params: Parameters, cookies: Mapping[str, str]) -> CompletedAttempt:
        """Complete an attempt with the parameters of a callback and the browser's cookies.

        Raises ``callback-repeated-parameter``, ``callback-without-state``,
        ``callback-unknown-state``, ``callback-wrong-browser``, or ``callback-repeated`` for one
        that was redeemed and comes again without its cookie. Any later failure is stored and
        returned.
        """
        found = unique_parameters(params)
        attempt = self._attempts.find(found.get("state", ""))
        value = cookies.get(cookie_name(attempt.id), "")
        if not value and attempt.state is not AttemptState.REDIRECTED:
            # The cookie is removed when an attempt is complete.
            raise fail("callback-repeated", name=attempt.connection)
        self._require_bound(attempt, AttemptMode.BROWSER, value)
        return self._redeem_state(attempt, found)

    def complete_pasted(self, attempt_id: str, binding: str, text: str) -> CompletedAttempt:
        """Complete an attempt of this process with what the user pasted: the URL that the browser
        ended on, or only the code, which PKCE protects.

        Raises ``paste-not-understood`` or ``paste-not-callback`` (the attempt still waits), and as
        `complete` does.
        """
        attempt = self._store.attempts.get(attempt_id)
        found = unique_parameters(parse_pasted(text, attempt.redirect_uri))
        is_code_only = "state" not in found and "://" not in text
        if not is_code_only and self._attempts.find(found.get("state", "")).id != attempt.id:
            raise fail("callback-unknown-state")
        self._require_bound(attempt, AttemptMode.PASTE, binding)
        return self._redeem_state(attempt, found)

    def complete_forwarded(self, text: str) -> CompletedAttempt:
        """Complete an attempt whose link was forwarded, with the URL that the account owner's
        browser ended on. It is bound to this data directory, the only one with the verifier.

        Raises ``callback-without-state``, ``callback-unknown-state``, ``callback-wrong-browser``
        for an attempt that wasn't forwarded, and as `complete_pasted` does.
        """
        attempt = self._attempts.find(find_state(text))
        if attempt.mode is not AttemptMode.FORWARDED:
            self._attempts.count_failed_try(attempt)
            raise fail("callback-wrong-browser")
        params = unique_parameters(parse_pasted(text, attempt.redirect_uri))
        if attempt.state is AttemptState.REDIRECTED:
            self._request_log.record_authorization(
                attempt.client_id, attempt.location, attempt.connection
            )
        return self._redeem_state(attempt, params)

    def complete_self_client(self, name: str, code: str) -> CompletedAttempt:
        """Exchange the code of a Self Client once. It has neither redirect URI nor PKCE."""
        connection = self._store.connections.get(name)
        client = self._store.clients.get(connection.client_id)
        found = unique_parameters(parse_pasted(code, ""))
        attempt = self._new_attempt(
            connection, client, AttemptMode.SELF_CLIENT, state=AttemptState.CALLBACK_RECEIVED
        )
        with self._locks.exchange(name):
            self._store.attempts.add(attempt)
            return self._check_and_exchange(attempt, found)

    def _require_bound(self, attempt: Attempt, mode: AttemptMode, secret: str) -> None:
        if attempt.mode is not mode or not is_bound(attempt, secret):
            self._attempts.count_failed_try(attempt)
            raise fail("callback-wrong-browser")

    def _redeem_state(self, attempt: Attempt, params: dict[str, str]) -> CompletedAttempt:
        if attempt.state is AttemptState.REDIRECTED and attempt.is_expired(self._clock()):
            failure = fail("attempt-expired", name=attempt.connection).failure
            self._attempts.try_close(attempt, AttemptState.FAILED, failure)
            return CompletedAttempt(attempt, attempt.connection, failure=failure)
        with self._locks.exchange(attempt.connection):
            stored = self._store.attempts.get(attempt.id)
            if stored.connection != attempt.connection:  # renamed before the lock was acquired
                return self._redeem_state(stored, params)
            try:
                self._store.attempts.advance(
                    attempt.id, AttemptState.REDIRECTED, AttemptState.CALLBACK_RECEIVED
                )
            except Conflict:
                return self._repeated_callback(attempt)
            return self._check_and_exchange(
                replace(attempt, state=AttemptState.CALLBACK_RECEIVED), params
            )

    def _repeated_callback(self, attempt: Attempt) -> CompletedAttempt:
        """After a reload, the Back button or in a second tab: return the current state."""
        failure = fail("callback-repeated", name=attempt.connection).failure
        return CompletedAttempt(
            self._store.attempts.get(attempt.id), attempt.connection, failure=failure
        )

    def _check_and_exchange(self, attempt: Attempt, params: dict[str, str]) -> CompletedAttempt:
        """Check the parameters and exchange the code. Every failure ends the attempt."""
        client = self._store.clients.get(attempt.client_id)
        try:
            response = check_callback(params, attempt, self._zoho)
            self._client_requests.secret_for(client, response.data_center.location)
            with self._store.database.reserve_space():  # store no intent if the grant can't be
                pass
            self._attempts.advance(attempt, AttemptState.EXCHANGE_INTENT)
        except Conflict:
            return self._repeated_callback(attempt)
        except WizardError as error:
            return self._close(attempt, AttemptState.FAILED, error.failure)
        intent = replace(attempt, state=AttemptState.EXCHANGE_INTENT)
        return self._exchange_code(intent, client, response)

    def _exchange_code(
        self, attempt: Attempt, client: Client, response: AuthorizationResponse
    ) -> CompletedAttempt:
        data_center = response.data_center
        try:
            token = self._client_requests.exchange_code(attempt, client, response.code, data_center)
        except WizardError as error:
            details = client_details(client, self._zoho, data_center.location)
            details = {**details, "name": attempt.connection}
            state, failure = classify_exchange_failure(error.failure, client, data_center, details)
            return self._close(attempt, state, failure)
        if token.refresh_token is None:
            failure = Failure(
                "no-refresh-token", details={"name": attempt.connection}, exchange=token.exchange
            )
            return self._close(attempt, AttemptState.FAILED, failure)
        return self._store_grant(attempt, token, token.refresh_token, data_center)

    def _store_grant(
        self, attempt: Attempt, token: TokenResponse, refresh_token: str, data_center: DataCenter
    ) -> CompletedAttempt:
        """Commit the grant right after Zoho's answer."""
        grant = store_surely(
            partial(
                self._store.grants.add,
                attempt.connection,
                attempt.client_id,
                refresh_token,
                token.scope or attempt.scope,
                data_center.location,
                attempt.id,
                self._clock(),
            ),
            self._sleep,
        )
        if self._store.connections.get(attempt.connection).location is None:
            self._store.connections.set_location(attempt.connection, data_center.location)
        self._record_event("grant-stored", grant.connection, generation=str(grant.generation))
        done = self._store.attempts.get(attempt.id)
        return CompletedAttempt(done, grant.connection, generation=grant.generation)

    def _close(
        self, attempt: Attempt, target_state: AttemptState, failure: Failure
    ) -> CompletedAttempt:
        self._attempts.advance(attempt, target_state, failure)
        self._record_event("authorization-failed", attempt.connection, code=failure.code)
        return CompletedAttempt(
            self._store.attempts.get(attempt.id), attempt.connection, failure=failure
        )

    # attempts that end without a callback

    def abandon(self, attempt_id: str, failure: Failure | None = None) -> None:
        """Close an attempt that still waits for its consent: the user gave up, or a page at Zoho
        that never redirects back has shown `failure`."""
        attempt = self._store.attempts.get(attempt_id)
        if attempt.state is AttemptState.REDIRECTED:
            target_state = AttemptState.FAILED if failure else attempt.abandoned_state
            self._attempts.try_close(attempt, target_state, failure)

    def close_interrupted(self) -> None:
        """Close attempts whose process died after the callback. Call it at startup."""
        self._attempts.close_interrupted()

    # mismatched grants

    def accept(self, name: str, generation: int) -> Grant:
        """Make a mismatched grant current, as the user decided.

        Raises ``nothing-to-decide``, or ``not-verified`` if it wasn't verified.
        """
        grant = self._mismatched_grant(name, generation)
        report = self._store.verification_reports.get(name, generation)
        if report is None or not report.is_verified:
            raise fail("not-verified", name=name)
        self._tokens.activate_grant(grant, self._store.connections.get(name).generation)
        self._record_event("grant-accepted", name, generation=str(generation))
        return replace(grant, state=GrantState.VERIFIED)

    def discard(self, name: str, generation: int) -> None:
        """Revoke a mismatched or unverified grant at Zoho. The current grant stays current. Raises
        ``nothing-to-decide`` and what `TokenService.revoke` raises."""
        self._tokens.revoke(self._mismatched_grant(name, generation, GrantState.NOT_VERIFIED))

    def _mismatched_grant(self, name: str, generation: int, *other_states: GrantState) -> Grant:
        grant = self._store.grants.get(name, generation)
        if grant is None or grant.state not in (GrantState.MISMATCH, *other_states):
            raise fail("nothing-to-decide", name=name)
        return grant

    def _record_event(self, kind: str, connection: str, **details: str) -> None:
        self._store.events.record(Event(self._clock(), connection, kind, details))
