"""Send the requests of a comparison, keep what was seen, and revoke what was issued."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from wizard.authorization.callback import check_callback, parse_pasted, unique_parameters
from wizard.clients import Credentials
from wizard.comparison.judgment import (
    ABSENT,
    KnownValues,
    Observation,
    RuleComparison,
    callback_facts,
    compare,
    facts_of,
    redirect_facts,
)
from wizard.comparison.probes import Consent, Request, probe_table
from wizard.errors import WizardError, fail
from wizard.model import Attempt, AttemptMode, AttemptState, Clock, Failure
from wizard.oauth import OAuth, is_rate_limited, new_code_verifier, new_state
from wizard.transport import HttpResponse, Transport, ZohoAuth, mask_text
from wizard.zoho import DataCenter, Zoho

UNKNOWN = {
    "unknown_client_id": f"1000.{'0' * 30}",
    "unknown_token": f"1000.{'0' * 32}.{'0' * 32}",
    "wrong_secret": "0" * 42,
    "wrong_redirect_uri": "http://localhost/wrong",
    "wrong_verifier": "0" * 64,
}
"""Values of the right form that Zoho has never issued."""


class Comparison:
    """One comparison of the simulator's rules with a data center, step by step.

    Nothing is stored. `revoke` must be called at the end, whatever happened before.
    """

    def __init__(
        self,
        transport: Transport,
        zoho: Zoho,
        clock: Clock,
        data_center: DataCenter,
        redirect_uri: str,
        *,
        has_crm: bool = True,
    ) -> None:
        self.table = probe_table()
        self._transport = transport
        self._zoho = zoho
        self._clock = clock
        self._oauth = OAuth(transport, zoho, clock)
        self._data_center = data_center
        self._has_crm = has_crm
        self._values = {**UNKNOWN, "redirect_uri": redirect_uri}
        scopes = (*self.table.scopes["account"], *(self.table.scopes["crm"] if has_crm else ()))
        self._known = KnownValues(zoho, data_center, scopes)
        skipped = Observation(None, "step-skipped")
        self._observations = {each.id: skipped for each in self.table.probes}
        self._secrets: tuple[str, ...] = ()
        self._refresh_tokens: tuple[str, ...] = ()
        self._attempt: Attempt | None = None
        self._is_rate_limited = False
        self._may_have_lost_a_token = False

    def set_client(self, credentials: Credentials) -> None:
        """Use the client that was registered for the comparison."""
        self._values["client_id"] = credentials.client_id
        self._values["client_secret"] = credentials.client_secret
        self._secrets += (credentials.client_id, credentials.client_secret)

    @property
    def client_id(self) -> str:
        """The client's ID; empty if there is none yet."""
        return self._values.get("client_id", "")

    def can_run(self, step: str) -> bool:
        """Whether any request of a step, or its consent, can be sent now."""
        if consent := self.table.consent_of(step):
            return self._is_available(consent.requires)
        return not all(map(self._obstacle, self.table.requests_of(step)))

    # --- The consent ------------------------------------------------------------------------------

    def authorization_url(self, consent: Consent) -> str:
        """The URL to open in a browser."""
        state, verifier = new_state(), new_code_verifier()
        self._known = replace(self._known, state=state)
        self._values["code_verifier"] = verifier
        self._values.pop("code", None)
        self._secrets += (state, verifier)
        self._attempt = self._new_attempt(state, verifier)
        address, _, query = self._oauth.authorization_url(
            self._data_center,
            self._values["client_id"],
            self._values["redirect_uri"],
            self._known.scope,
            state,
            verifier,
        ).partition("?")
        scope = consent.scope_separator.join(self._known.scope)
        parameters = {**dict(parse_qsl(query)), "scope": scope, **consent.parameters}
        sent = {name: value for name, value in parameters.items() if value}
        return f"{address}?{urlencode(sent)}"

    def complete(self, consent: Consent, text: str) -> None:
        """Check the callback URL that the user pasted, and keep its code.

        Raises ``paste-not-understood``, ``paste-not-callback`` or ``callback-unknown-state`` for a
        wrong paste, ``comparison-elsewhere`` for an account in another data center, and what
        `check_callback` raises.
        """
        attempt = self._attempt
        params = unique_parameters(parse_pasted(text, self._values["redirect_uri"]))
        if attempt is None or "state" not in params:
            raise fail("paste-not-understood")
        if "code" in params:
            facts = callback_facts(text, consent.facts, self._known)
            self._observations[consent.id] = Observation(facts)
        if params["state"] != attempt.oauth_state:
            raise fail("callback-unknown-state")
        response = check_callback(params, attempt, self._zoho)
        if response.data_center != self._data_center:
            raise fail("comparison-elsewhere", data_center=response.data_center.location)
        self._values["code"] = response.code
        self._secrets += (response.code,)

    def refuse(self, consent: Consent) -> None:
        """Record that Zoho showed an error page instead of returning to the redirect URI. That says
        something only about rules that expect no more than a code."""
        if set(consent.facts) == {"code"}:
            self._observations[consent.id] = Observation({"code": ABSENT})

    def _new_attempt(self, state: str, verifier: str) -> Attempt:
        return Attempt(
            id="",
            connection="",
            client_id=self._values["client_id"],
            mode=AttemptMode.PASTE,
            state=AttemptState.REDIRECTED,
            location=self._data_center.location,
            authorization_endpoint=self._data_center.authorization_endpoint,
            token_endpoint=self._data_center.token_endpoint,
            redirect_uri=self._values["redirect_uri"],
            scope=self._known.scope,
            created_at=self._clock(),
            oauth_state=state,
            code_verifier=verifier,
            binding="",
        )

    # --- Requests ---------------------------------------------------------------------------------

    def send(self, request: Request) -> None:
        """Send a request and keep the facts of its answer. A failure is kept, too."""
        obstacle = self._obstacle(request)
        self._observations[request.id] = (
            Observation(None, obstacle) if obstacle else self._observe(request)
        )

    def _observe(self, request: Request) -> Observation:
        names = request.facts
        try:
            response = self._transport.send(
                request.method,
                self._url_of(request),
                known_secrets=self._secrets,
                **self._content_of(request),
            )
        except WizardError as error:
            failure = error.failure
            if failure.code == "unexpected-redirect":
                return Observation(self._redirect_facts(request, failure))
            self._may_have_lost_a_token |= failure.sent and request.is_exchange
            return Observation(None, "no-answer")
        if request.is_token_request and is_rate_limited(response):
            self._is_rate_limited |= request.counts_for_client
            return Observation(None, "rate-limited")
        facts = facts_of(response, names, self._known)
        self._keep_issued(request, response)
        return Observation(facts)

    def _redirect_facts(self, request: Request, failure: Failure) -> Mapping[str, Any]:
        status = failure.exchange.status if failure.exchange else None
        names = request.facts
        return redirect_facts(status or 0, failure.details["to"], names, self._known)

    def _keep_issued(self, request: Request, response: HttpResponse) -> None:
        """Keep the tokens of an answer, and mask what identifies the account from now on."""
        for name in ("access_token", "refresh_token", "id_token"):
            issued = tuple(each for each in response.issued_values(name) if isinstance(each, str))
            self._secrets += issued
            if name == "refresh_token":
                self._refresh_tokens += issued
            if issued and name in request.issues:
                self._values[request.issues[name]] = issued[0]
            if name == "access_token":
                self._known = replace(self._known, issued=self._known.issued.union(issued))
        if request.identity and response.status == 200:
            self._secrets += tuple(_scalars(response.json))

    def _obstacle(self, request: Request) -> str:
        """Why a request can't be sent; empty if it can. A key of the table of reasons."""
        needed = [request.token] if request.token else []
        needed += [value[1:-1] for value in request.parameters.values() if value.startswith("{")]
        needed += ["client_id"] if request.basic else []
        if request.needs == "crm" and not self._has_crm:
            return "no-crm"
        if request.needs == "other-data-centers" and self._other_data_center() is None:
            return "no-other-data-center"
        if not all(map(self._is_available, needed)):
            return "earlier-step-failed"
        return "rate-limited" if self._is_rate_limited and request.counts_for_client else ""

    def _is_available(self, name: str) -> bool:
        return name in self._values

    def _url_of(self, request: Request) -> str:
        other = self._other_data_center() if request.data_center == "other" else None
        return (other or self._data_center).base_url_of(request.host) + request.path

    def _other_data_center(self) -> DataCenter | None:
        """A data center that shares clients with the account's; None for China."""
        rows = self._zoho.data_centers
        own = self._data_center
        return next(
            (each for each in rows if each != own and not each.is_separate and not own.is_separate),
            None,
        )

    def _content_of(self, request: Request) -> dict[str, Any]:
        """The arguments for requests that make up the rest of the request."""
        sent = {name: self._filled(value) for name, value in request.parameters.items()}
        arguments: dict[str, dict[str, Any]] = {
            "query": {"params": sent},
            "form": {"data": sent},
            "json": {"json": sent},
            "multipart": {"files": {name: (None, value) for name, value in sent.items()}},
        }
        content = arguments[request.content]
        if request.token:
            content["auth"] = ZohoAuth(self._values[request.token], request.scheme)
        if request.basic:
            content["auth"] = (self._values["client_id"], self._values["client_secret"])
        return content

    def _filled(self, value: str) -> str:
        return self._values[value[1:-1]] if value.startswith("{") else value

    # --- The end ----------------------------------------------------------------------------------

    def revoke(self) -> str:
        """Revoke every refresh token that was issued, with its access tokens.

        Returns ``revoked``, ``not-issued``, or ``failed`` if one may still be valid.
        """
        failed = self._may_have_lost_a_token
        for token in dict.fromkeys(self._refresh_tokens):
            try:
                self._oauth.revoke(
                    self._data_center,
                    self._values["client_id"],
                    self._values["client_secret"],
                    token,
                )
            except WizardError:
                failed = True
        return "failed" if failed else "revoked" if self._refresh_tokens else "not-issued"

    def results(self) -> tuple[RuleComparison, ...]:
        """What was found about each rule, with everything masked that identifies the account."""
        return tuple(
            replace(
                each,
                differences=tuple(
                    replace(
                        difference,
                        seen={
                            name: mask_text(value, self._secrets)
                            for name, value in difference.seen.items()
                        },
                    )
                    for difference in each.differences
                ),
            )
            for each in compare(self.table, self._observations)
        )


def _scalars(document: Any) -> list[str]:
    """Every text and number in a JSON value."""
    if isinstance(document, dict):
        return [text for value in document.values() for text in _scalars(value)]
    if isinstance(document, list):
        return [text for value in document for text in _scalars(value)]
    return [str(document)] if isinstance(document, str | int) else []
