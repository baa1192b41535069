"""Begin an authorization and complete it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wizard.authorization.attempts import (
    AttemptLifecycle,
    cookie_name,
    is_bound,
    new_binding,
)
from wizard.authorization.callback import (
    AuthorizationResponse,
    Parameters,
    check_callback,
    classify_exchange_failure,
    find_state,
    parse_pasted,
    unique_parameters,
)
from wizard.errors import Conflict, WizardError, fail
from wizard.model import (
    Attempt,
    AttemptMode,
    AttemptState,
    Client,
    Clock,
    Connection,
    Failure,
)
from wizard.oauth import OAuth, TokenResponse, new_code_verifier, new_state
from wizard.store import Store
from wizard.tokens import TokenService
from wizard.tokens.client_requests import client_details
from wizard.zoho import DataCenter, Zoho

MAX_FAILED_TRIES = 5
"""Callbacks with a good state and a wrong cookie before the attempt closes: somebody has the
state who should not."""


@dataclass(frozen=True)
class StartedAttempt:
    """An attempt, the address to send the browser to, and what binds the two."""

    attempt: Attempt
    url: str
    cookie_name: str
    cookie_value: str = field(repr=False)
    """For a browser's cookie; a terminal keeps it as its binding secret."""


@dataclass(frozen=True)
class CompletedAttempt:
    """How an attempt ended. One of `generation` and `failure` is set."""

    attempt: Attempt
    connection: str
    generation: int | None = None
    failure: Failure | None = None


class AuthorizationService(AttemptLifecycle):
    """Begins attempts and completes them."""

    def __init__(
        self, store: Store, tokens: TokenService, oauth: OAuth, zoho: Zoho, clock: Clock
    ) -> None:
        super().__init__(store, tokens, clock)
        self._oauth = oauth
        self._zoho = zoho

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
        """Begin an attempt for connection `name`, at its client's home data centre.

        `redirect_uri` is the client's own unless given. `force` goes on although the user has
        nearly as many refresh tokens as Zoho keeps, or Zoho wants to be left alone. `scope` is
        asked for beside what the connection has, and becomes part of it when the new grant is
        proved.

        Raises ``unknown-connection``, ``self-client``, ``missing-secret``, ``codes-budget``,
        ``throttled``, ``refresh-tokens-budget``. Nothing is begun then.
        """
        connection = self._store.connections.get(name)
        client = self._store.clients.get(connection.client_id)
        redirect_uri = client.redirect_uri if redirect_uri is None else redirect_uri
        if not redirect_uri:
            raise fail("self-client", name=name, client=client.name)
        self._tokens.secret_for(client, client.location)
        self._tokens.check_consent(client, self._zuid_of(name), force=force)
        self._abandon_stale_attempts()
        cookie, binding = new_binding()
        wider = tuple(dict.fromkeys((*connection.scope, *additional_scope)))
        attempt = self._new_attempt(
            replace(connection, scope=wider),
            client,
            mode,
            redirect_uri=redirect_uri,
            code_verifier=new_code_verifier(),
            binding=binding,
        )
        self._store.attempts.add(attempt)
        self._tokens.record_authorization(client.client_id, attempt.location, name)
        url = self._oauth.authorization_url(
            self._zoho.data_center(attempt.location),
            client.client_id,
            attempt.redirect_uri,
            attempt.scope,
            attempt.oauth_state,
            attempt.code_verifier,
        )
        return StartedAttempt(attempt, url, cookie_name(attempt.id), cookie)

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

        A callback that is not ours raises, and nothing is exchanged or redirected:
        ``callback-repeated-parameter``, ``callback-without-state``, ``callback-unknown-state``,
        ``callback-wrong-browser``, and ``callback-repeated`` for one that was redeemed and now
        comes without its cookie. After that every end, refusals included, is returned and stored.
        """
        found = unique_parameters(params)
        attempt = self._attempt_for_state(found)
        value = cookies.get(cookie_name(attempt.id), "")
        if not value and attempt.state is not AttemptState.REDIRECTED:
            # A browser that has finished was told to forget its cookie.
            raise fail("callback-repeated", name=attempt.connection)
        if attempt.mode is not AttemptMode.BROWSER or not is_bound(attempt, value):
            self._count_failed_try(attempt)
            raise fail("callback-wrong-browser")
        return self._redeem_state(attempt, found)

    def complete_pasted(self, attempt_id: str, binding: str, text: str) -> CompletedAttempt:
        """Complete an attempt that this process began, with what the person pasted: the whole
        address the browser ended on, or a bare code, which PKCE alone protects.

        Raises ``paste-not-understood``, ``paste-not-callback`` (the attempt still waits then),
        and for an address as `complete` does.
        """
        attempt = self._store.attempts.get(attempt_id)
        found = unique_parameters(parse_pasted(text, attempt.redirect_uri))
        bare = "state" not in found and "://" not in text
        if not bare and self._attempt_for_state(found).id != attempt.id:
            raise fail("callback-unknown-state")
        if attempt.mode is not AttemptMode.PASTE or not is_bound(attempt, binding):
            self._count_failed_try(attempt)
            raise fail("callback-wrong-browser")
        return self._redeem_state(attempt, found)

    def complete_forwarded(self, text: str) -> CompletedAttempt:
        """Complete an attempt whose link was forwarded, with the whole address at which that
        person's browser ended. What binds it is this home: it alone has the verifier and the
        client secret.

        Raises ``callback-without-state``, ``callback-unknown-state``, ``callback-wrong-browser``
        for an attempt that was not forwarded, and as `complete_pasted` does.
        """
        attempt = self._attempt_for_state({"state": find_state(text)})
        if attempt.mode is not AttemptMode.FORWARDED:
            self._count_failed_try(attempt)
            raise fail("callback-wrong-browser")
        return self._redeem_state(
            attempt, unique_parameters(parse_pasted(text, attempt.redirect_uri))
        )

    def complete_self_client(self, name: str, code: str) -> CompletedAttempt:
        """Exchange the code of a Self Client, which has neither redirect URI nor PKCE, once."""
        connection = self._store.connections.get(name)
        client = self._store.clients.get(connection.client_id)
        found = unique_parameters(parse_pasted(code, ""))
        attempt = self._new_attempt(
            connection, client, AttemptMode.SELF_CLIENT, state=AttemptState.CALLBACK_RECEIVED
        )
        with self._tokens.exchange_lock(name):
            self._store.attempts.add(attempt)
            return self._check_and_exchange(attempt, found)

    def _attempt_for_state(self, params: Mapping[str, str]) -> Attempt:
        state = params.get("state", "")
        if not state:
            raise fail("callback-without-state")
        attempt = self._store.attempts.find_by_state(state)
        if attempt is None:
            raise fail("callback-unknown-state")
        return attempt

    def _count_failed_try(self, attempt: Attempt) -> None:
        self._store.attempts.count_failed_try(attempt.id)
        if (
            attempt.failed_tries + 1 >= MAX_FAILED_TRIES
            and attempt.state is AttemptState.REDIRECTED
        ):
            failure = fail("too-many-wrong-tries", name=attempt.connection).failure
            self._try_close(attempt, AttemptState.FAILED, failure)

    def _redeem_state(self, attempt: Attempt, params: dict[str, str]) -> CompletedAttempt:
        if attempt.state is AttemptState.REDIRECTED and attempt.is_expired(self._clock()):
            failure = fail("attempt-expired", name=attempt.connection).failure
            self._try_close(attempt, AttemptState.FAILED, failure)
            return CompletedAttempt(attempt, attempt.connection, failure=failure)
        with self._tokens.exchange_lock(attempt.connection):
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
        """A reload, the Back button, a second tab: nothing happens, the page shows what is."""
        failure = fail("callback-repeated", name=attempt.connection).failure
        return CompletedAttempt(
            self._store.attempts.get(attempt.id), attempt.connection, failure=failure
        )

    def _check_and_exchange(self, attempt: Attempt, params: dict[str, str]) -> CompletedAttempt:
        """The state is redeemed: from here on every failure is this attempt's end."""
        client = self._store.clients.get(attempt.client_id)
        try:
            response = check_callback(params, attempt, self._zoho)
            self._tokens.secret_for(client, response.data_center.location)
            with (
                self._store.database.reserve_space()
            ):  # else an intent would stand there that nobody could carry out
                pass
            self._advance(attempt, AttemptState.EXCHANGE_INTENT)
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
            token = self._tokens.exchange_code(attempt, client, response.code, data_center)
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
        """Between the answer and the commit nothing happens but this."""
        grant = self._store.grants.add(
            attempt.connection,
            attempt.client_id,
            refresh_token,
            token.scope or attempt.scope,
            data_center.location,
            attempt.id,
            self._clock(),
        )
        if self._store.connections.get(attempt.connection).location is None:
            self._store.connections.set_location(attempt.connection, data_center.location)
        self._record_event("grant-stored", grant.connection, generation=str(grant.generation))
        done = self._store.attempts.get(attempt.id)
        return CompletedAttempt(done, grant.connection, generation=grant.generation)

    def _close(
        self, attempt: Attempt, target_state: AttemptState, failure: Failure
    ) -> CompletedAttempt:
        self._advance(attempt, target_state, failure)
        self._record_event("authorization-failed", attempt.connection, code=failure.code)
        return CompletedAttempt(
            self._store.attempts.get(attempt.id), attempt.connection, failure=failure
        )
