"""One refresh of a grant, asked as often as that is worth it; and how a grant is found dead."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from wizard.broker import retries
from wizard.broker.budgets import Need
from wizard.broker.clients import ClientAsks
from wizard.broker.ledger import wait
from wizard.broker.lock import held
from wizard.cache import CLOCK_STEP
from wizard.errors import Conflict, WizardError, explain, fail, spoken
from wizard.model import AccessToken, AskKind, Failure, Grant, GrantState
from wizard.oauth import TokenResponse

Answer = TypeVar("Answer")

LOCK_DEADLINE = 65.0
"""Seconds to wait for another process's refresh: all its tries and some air."""

FORCED_REST = timedelta(seconds=60)
"""At most one forced refresh in this span, whoever asks for it: a program that loops on 401, or one
that reports every token as rejected, must not drain the budget."""

DEAD_WORDS = frozenset({"invalid-code"})
"""The one explicit word that says a refresh token is gone (RFC 6749's invalid_grant is read as
the same by the accounts server's judge)."""


STORING_TRIES = 3
"""Tries to store a new refresh token, which is lost with its process."""


class Refreshes(ClientAsks):
    """Refreshes grants under the lock of their connection."""

    def _cached(self, grant: Grant) -> AccessToken | None:
        token = self._cache.get(grant.connection)
        if token is None or token.generation != grant.generation:
            return None
        issued_at = token.issued_at or token.expires_at
        if issued_at > self._clock() + timedelta(seconds=CLOCK_STEP):
            return None
        return None if self._was_rejected(token.connection, token.value) else token

    def _left(self, token: AccessToken) -> float:
        return (token.expires_at - self._clock()).total_seconds()

    @contextmanager
    def _locked(
        self, name: str, wait: bool = True, needless: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        deadline, path = LOCK_DEADLINE if wait else 0, self._home.lock_file(name)
        with held(path, deadline, "refresh-under-way", name, needless):
            yield

    def _cache_drop_if_of(self, grant: Grant) -> None:
        """Drop the cached token unless it is of a later grant. One that can't be read, or that was
        issued in the future, goes too: the fast path may be able to use it later."""
        token = self._cache.get(grant.connection)
        if token is None or token.generation <= grant.generation:
            self._cache.drop(grant.connection)

    # rejected access tokens

    def reject(self, grant: Grant, access_token: str) -> None:
        """Make sure that no path hands out `access_token` again, which a product of Zoho's has
        rejected. If it isn't the cached one, there is nothing to do.

        The file goes first: whatever happens then, the fast path can't print it.
        """
        name = grant.connection

        def cached() -> AccessToken | None:
            token = self._cache.get(name)
            return token if token is not None and token.value == access_token else None

        if cached() is None:
            return
        with self._locked(name):
            token = cached()
            if token is None:  # another program reported it too, and was faster
                return
            self._cache.drop(name)
            self._store.reject_access_token(name, token.generation, _digest(access_token))
            self._note("token-rejected", name, generation=str(token.generation))

    def is_rejected(self, grant: Grant) -> bool:
        """Whether the last access token of `grant` was rejected, and none was issued since."""
        known = self._store.rejection(grant.connection)
        return known is not None and known.pending and known.generation == grant.generation

    def _was_rejected(self, name: str, access_token: str) -> bool:
        known = self._store.rejection(name)
        return known is not None and known.fingerprint == _digest(access_token)

    def _replace(
        self, grant: Grant, need: Need, *, forced: bool = False, witnessed: bool = False
    ) -> TokenResponse:
        """Refresh `grant`, under its lock. What replaces a rejected access token, or is `forced`
        otherwise, counts as the forced refresh of this minute; a rejected one waits for its turn.
        """
        rejected = self.is_rejected(grant)
        if rejected:
            self._check_forced_rest(grant)
            need = Need.REJECTED if need is Need.TOKEN else need
        response = self._refresh_or_bury(grant, need, witnessed=witnessed)
        if rejected or forced:
            with suppress(WizardError):  # the token is worth more than the line about it
                self._store.note_forced(grant.connection, grant.generation, self._clock())
        return response

    def _check_forced_rest(self, grant: Grant) -> None:
        known, now = self._store.rejection(grant.connection), self._clock()
        forced_at = known.forced_at if known else None
        if forced_at is None or forced_at > now + timedelta(seconds=CLOCK_STEP):
            return
        if now < forced_at + FORCED_REST:
            raise wait("token-rejected", forced_at + FORCED_REST, name=grant.connection)

    def _refresh_or_bury(
        self, grant: Grant, need: Need, *, witnessed: bool = False
    ) -> TokenResponse:
        """Refresh; when Zoho says the grant is gone, read the row again and confirm once: by a
        second ask, or by what has `witnessed` the death already. Where a rotated refresh token was
        lost, the old one is presented once and no more."""
        grant = self._as_stored(grant)
        lost = self._ledger.unanswered(grant) is not None
        if self._store.rejected(_fingerprint(grant)):
            raise WizardError(self._bury(grant, grant.failure or Failure("invalid-code")))
        try:
            return self._refresh(grant, need)
        except WizardError as first:
            if first.failure.code not in DEAD_WORDS:
                raise
            said = first.failure
        again = self._store.grant(grant.connection, grant.generation)
        if again is None:
            raise fail("no-grant", name=grant.connection)
        if lost or (witnessed and again == grant):
            raise WizardError(self._bury(again, said, times=""))
        try:
            # Its answer has shown that no wait is in the way, so that none is to be ignored.
            return self._refresh(again, Need.VERDICT if need is Need.INSISTED else need)
        except WizardError as second:
            if second.failure.code not in DEAD_WORDS:
                raise
            raise WizardError(self._bury(again, second.failure)) from None

    def _as_stored(self, grant: Grant) -> Grant:
        """`grant` with the refresh token that is stored now: under the lock, the only one that may
        be sent. Raises ``no-grant``."""
        stored = self._store.grant(grant.connection, grant.generation)
        if stored is None:
            raise fail("no-grant", name=grant.connection)
        token, rotated_at = stored.refresh_token, stored.rotated_at
        return replace(grant, refresh_token=token, rotated_at=rotated_at)

    def _bury(self, grant: Grant, failure: Failure, **details: str) -> Failure:
        details = {"name": grant.connection, **details}
        dead = replace(failure, code="grant-dead", details=details)
        self._cache_drop_if_of(grant)
        if grant.state is not GrantState.DEAD:
            self._store.reject(_fingerprint(grant))
            self._store.mark_grant(
                grant.connection,
                grant.generation,
                GrantState.DEAD,
                failure=dead,
                expected=grant.state,
            )
            self._note("grant-died", grant.connection, generation=str(grant.generation))
        return dead

    def _refresh(self, grant: Grant, need: Need) -> TokenResponse:
        """Ask once; with a secret that was replaced and is refused, once more with the old one."""
        client = self._store.client(grant.client_id)
        secret = self.secret(client, grant.location)
        try:
            response = self._ask_refresh(grant, secret, need)
        except WizardError as error:
            previous = client.previous_secret_for(grant.location)
            if error.failure.code != "invalid-client-secret" or previous is None:
                raise
            response = self._ask_refresh(grant, previous, need)
            self._store.restore_secret(client.client_id, grant.location)
            self._note("secret-restored", grant.connection, location=grant.location)
            return response
        if client.previous_secret_for(grant.location) is not None:
            self._store.confirm_secret(client.client_id, grant.location)
        return response

    def _ask_refresh(self, grant: Grant, secret: str, need: Need) -> TokenResponse:
        """Ask; where the way there fails and no token is left to go on with, ask again. A refresh
        token that rotates is sent once: see `retries`."""
        if need is Need.INSISTED:
            self._note_insisted(grant)
        if need in (Need.SPARE, Need.INSISTED) or grant.rotated_at is not None:
            return self._ask_once(grant, secret, need)
        return self._again(lambda: self._ask_once(grant, secret, need))

    def _again(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` returns, asked again after a pause as long as that is worth it."""
        begun, tried = self._clock(), 0
        while True:
            try:
                return ask()
            except WizardError as error:
                tried, now = tried + 1, self._clock()
                pause = retries.pause(error.failure, tried, now - begun, now)
                if pause is None:
                    raise
            self._pause(pause.total_seconds())

    def _note_insisted(self, grant: Grant) -> None:
        """Note in the history that a person has it asked in spite of a wait, if there is one."""
        until = self._ledger.named_wait(grant)
        if until is not None:
            self._note("wait-ignored", grant.connection, until=spoken(until))

    def _ask_once(self, grant: Grant, secret: str, need: Need) -> TokenResponse:
        data_centre = self._zoho.data_centre(grant.location)

        def refresh() -> TokenResponse:
            with self._store.room() if grant.rotated_at else nullcontext():
                response = self._oauth.refresh(
                    data_centre, grant.client_id, secret, grant.refresh_token
                )
            self._rotate(grant, response.refresh_token)
            return response

        try:
            return self._ledger.record(
                self._ask(AskKind.REFRESH, grant.client_id, grant.location, grant),
                refresh,
                allow=partial(self._ledger.allow_refresh, grant, need),
            )
        except WizardError as error:
            if error.failure.code == "throttled":
                self._note("counted-by-client", grant.connection, location=grant.location)
            raise

    def _rotate(self, grant: Grant, refresh_token: str | None) -> None:
        """Commit the refresh token that replaces the one that was sent, before anything else is
        done with the answer. Raises ``rotation-not-stored``: the answer is then not used."""
        if refresh_token in (None, grant.refresh_token):
            return
        for left in reversed(range(STORING_TRIES)):
            try:
                self._store.rotate(grant, str(refresh_token), self._clock())
            except WizardError as error:
                if not left or isinstance(error, Conflict):
                    details = {"name": grant.connection, "reason": explain(error.failure).title}
                    raise WizardError(Failure("rotation-not-stored", details=details)) from error
            else:
                return
            self._pause(1)


def _fingerprint(grant: Grant) -> str:
    """Enough to know a rejected token again: 256 random bits need no key to stay unguessable. Its
    client and data centre belong to it: elsewhere the same token may be good.
    """
    whole = f"{grant.client_id} {grant.location} {grant.refresh_token}"
    return _digest(whole)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
