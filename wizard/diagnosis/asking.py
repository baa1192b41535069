"""Evidence that is asked for: the cheapest asks that tell causes apart.

A diagnosis makes at most four asks, and no token request where a living access token serves. A
dead grant is not asked again; its relatives are, by who died together and who lived on. All asks
go through the broker and its budgets. Where one is too many, or the network is in the way, the
diagnosis makes do with what it has.
"""

from dataclasses import replace
from datetime import timedelta

from wizard.broker import Broker, Need
from wizard.diagnosis.evidence import Evidence, Heard
from wizard.diagnosis.grants import useful_witnesses
from wizard.diagnosis.records import ended
from wizard.errors import WizardError
from wizard.model import (
    AccessToken,
    AskKind,
    Client,
    Clock,
    Failure,
    Grant,
    GrantState,
    SecretState,
)
from wizard.resource import Resource, rejects_token
from wizard.store import Store
from wizard.zoho import product, products_of

MOST_ASKS = 4
"""Of the connection's own data centre in one diagnosis."""

SEARCH_REST = timedelta(days=1)
"""A client is looked for in other data centres at most this often."""

OF_CLIENTS = ("invalid-client", "multi-dc-off", "client-deleted", "zoho-page-invalid-client")
OF_SECRETS = ("invalid-client-secret", "wrong-secret")
VERDICTS = {
    "wrong-secret": ("invalid-client-secret", "invalid_client_secret"),
    "unknown-client": ("invalid-client", "invalid_client"),
}
"""What a pre-flight's verdict is as a failure, and Zoho's word for it."""
REFUSED_CLIENT = frozenset({*OF_CLIENTS, *OF_SECRETS, *VERDICTS})
TO_TOKENS = (AskKind.REFRESH, AskKind.PREFLIGHT)
ASKED = "asked"
"""The outcome of an ask whose answer has not come."""
OF_ACCESS = ("token-invalid", "not-authorized", "scope-missing", "no-permission")
OF_GRANTS = ("grant-dead", "invalid-code")


class Asking:
    """The asks of one diagnosis."""

    def __init__(
        self,
        evidence: Evidence,
        store: Store,
        broker: Broker,
        resource: Resource,
        clock: Clock,
    ) -> None:
        self.evidence = evidence
        self._store = store
        self._broker = broker
        self._resource = resource
        self._clock = clock
        self._left = MOST_ASKS

    def ask(self, *, search: bool = False) -> Evidence:
        """Ask what decides between the causes of the failure, or, without one, whether there is
        any. `search`: other data centres may be asked for a client that is unknown at home."""
        evidence = self.evidence
        code = evidence.failure.code if evidence.failure else ""
        client, grant = evidence.client, evidence.grant
        if client and code in OF_CLIENTS:
            self._ask_for_client(client, search)
        elif client and code in OF_SECRETS:
            self._ask_about_secret(client)
        elif grant and code in ("", *OF_ACCESS, *OF_GRANTS):
            self._ask_about_grant(grant)
            if client and not evidence.failure and not ended(grant):
                self._ask_behind(client, grant, search)
        return self.evidence

    # a client and its secret

    def _ask_for_client(self, client: Client, search: bool) -> None:
        """Whether its home knows it; only where it does not, whether another data centre does."""
        said = self._preflight(client, client.location)
        if said != "unknown-client" or not search:
            return
        try:
            found = self._broker.find_home(
                client.client_id, rest=SEARCH_REST, apart_from=client.location
            )
        except WizardError:
            return
        known = {found: "known-here"} if found else {}
        verdicts = {**self.evidence.verdicts, **known}
        self.evidence = replace(self.evidence, verdicts=verdicts, searched=True)

    def _ask_about_secret(self, client: Client) -> None:
        details = self.evidence.failure.details if self.evidence.failure else {}
        grant = self.evidence.grant
        self._preflight(
            client, details.get("location") or (grant.location if grant else client.location)
        )

    def _preflight(self, client: Client, location: str) -> str:
        """What a data centre says about the client; empty where nothing may be asked."""
        try:
            secret = self._broker.secret(client, location)
            self._left -= 1
            said = self._broker.preflight(client.client_id, secret, location)
        except WizardError:
            return ""
        verdicts = {**self.evidence.verdicts, location: said}
        self.evidence = replace(self.evidence, verdicts=verdicts)
        return said

    # a grant and its access token

    def _ask_about_grant(self, grant: Grant) -> None:
        if not ended(grant):
            token = self._broker.cached_token(grant)
            if token is None:
                value = self._refresh(grant)
            else:
                self.evidence = replace(self.evidence, access_token_until=token.expires_at)
                value = self._proved(grant, token)
            if value:
                self._read(grant, value)
        heard = self.evidence.refresh
        died = heard is not None and heard.failure and heard.failure.code == "grant-dead"
        if died or grant.state is GrantState.DEAD:
            self._ask_itself(grant)
            self._ask_kin()

    def _ask_behind(self, client: Client, grant: Grant, search: bool) -> None:
        """Whether the client is refused: asked where the refresh said so, or, where none was made
        because an access token still works or the budget is spent, the last answer before."""
        heard = self.evidence.refresh
        if heard is not None and (heard.failure is None or heard.failure.sent):
            said = heard.failure.code if heard.failure else ""
        else:
            said = self._last_answer(grant.location)
            if said in REFUSED_CLIENT:
                said = self._preflight(client, grant.location)
        if said in VERDICTS:
            code, word = VERDICTS[said]
            failure = Failure(code, word, details={"location": grant.location})
            self.evidence = replace(self.evidence, failure=failure)
        if said in (*OF_CLIENTS, "unknown-client"):
            self._ask_for_client(client, search)

    def _last_answer(self, location: str) -> str:
        """What a data centre last said to a token request of this client; empty if nothing."""
        answers = (ask for ask in self.evidence.asks if ask.location == location)
        return next((a.outcome for a in answers if a.kind in TO_TOKENS and a.outcome != ASKED), "")

    def _proved(self, grant: Grant, token: AccessToken) -> str:
        """The cached access token where the accounts server takes it, else a fresh one."""
        heard = self._who_am_i(token.value, grant.location)
        self.evidence = replace(self.evidence, user_info=heard)
        self._reject_if_told(grant, token.value, heard)
        return self._refresh(grant) if heard and not heard.ok else token.value

    def _refresh(self, grant: Grant) -> str:
        """A fresh access token, within the budgets; empty where there is none to be had."""
        heard, value = self._renewed(grant)
        self.evidence = replace(self.evidence, refresh=heard)
        return value

    def _renewed(self, grant: Grant) -> tuple[Heard | None, str]:
        """Refresh once. A refusal is confirmed, which is a second ask."""
        each = 2 if _has_previous_secret(self.evidence.client) else 1
        if self._left < 2 * each:
            return None, ""
        self._left -= each
        try:
            token = self._broker.refresh_grant(grant, Need.SPARE)
        except WizardError as error:
            self._left -= each
            self._stop_if_temporary(error)
            return Heard(error.failure), ""
        self._broker.keep(grant, token)
        return Heard(), token.access_token

    def _who_am_i(self, value: str, location: str) -> Heard | None:
        """Whether the accounts server takes an access token; None where nothing was asked."""
        if self._left < 1:
            return None
        self._left -= 1
        try:
            _account, date = self._resource.who_am_i(value, location)
        except WizardError as error:
            self._stop_if_temporary(error)
            # A token without the scope for this question was taken all the same.
            return Heard() if error.failure.code == "scope-missing" else Heard(error.failure)
        if date is not None:
            self.evidence = replace(self.evidence, skew=self._clock() - date)
        return Heard()

    def _read(self, grant: Grant, value: str) -> None:
        """One cheap read of the product in question, else of the first."""
        reached = products_of(grant.scope)
        asked = product(self.evidence.product) if self.evidence.product else None
        chosen = asked or (reached[0] if reached else None)
        if chosen is None or self._left < 1:
            return
        own = [each for each in grant.organizations if each.product == chosen.id]
        self._left -= 1
        place = grant.location, own[0] if own else None
        reading = self._resource.read(chosen, value, *place, grant.scope)
        self._reject_if_told(grant, value, Heard(reading.failure))
        if reading.failure is None or reading.failure.sent:
            self.evidence = replace(self.evidence, read=Heard(reading.failure), product=chosen.id)

    def _reject_if_told(self, grant: Grant, value: str, heard: Heard | None) -> None:
        """Keep an access token from being handed out again that Zoho has just rejected."""
        if heard is None or not rejects_token(heard.failure):
            return
        try:
            self._broker.reject(grant, value)
        except WizardError as error:
            self._stop_if_temporary(error)

    # witnesses

    def _ask_itself(self, grant: Grant) -> None:
        """Whether a refresh token that never worked is an access token."""
        life = self.evidence.life
        if life is not None and life.refreshed_at is None:
            heard = self._who_am_i(grant.refresh_token, grant.location)
            self.evidence = replace(self.evidence, as_access_token=heard)

    def _ask_kin(self) -> None:
        """Whether relatives live, which a removal of tokens would not have left alive."""
        for witness in useful_witnesses(self.evidence):
            if self._lives(witness.connection):
                alive = self.evidence.alive | {witness.connection}
                self.evidence = replace(self.evidence, alive=alive)

    def _lives(self, name: str) -> bool:
        """Whether a relative's tokens work now."""
        grant = self._store.grant(name)
        token = self._broker.cached_token(grant) if grant else None
        if grant is None:
            return False
        if token is not None:
            heard = self._who_am_i(token.value, grant.location)
            if heard is None or heard.ok:
                return heard is not None
            self._reject_if_told(grant, token.value, heard)
            refused = self.evidence.refused | {name}
            self.evidence = replace(self.evidence, refused=refused)
        return bool(self._renewed(grant)[1])

    def _stop_if_temporary(self, error: WizardError) -> None:
        """Where Zoho or the network is in the way, more asks would only make it worse."""
        if error.failure.temporary:
            self._left = 0


def _has_previous_secret(client: Client | None) -> bool:
    """A refresh that meets a renewed secret is tried with the one before as well."""
    return client is not None and any(each.state is SecretState.PREVIOUS for each in client.secrets)
