"""Reads whatever a person pastes, and explains it.

Nothing of a paste is kept or sent anywhere: it is compared with what is stored, judged, and shown
again only with everything masked that is a secret or could be one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import SequenceMatcher

from wizard.cache import Cache
from wizard.diagnosis import Diagnosis
from wizard.diagnosis.evidence import Evidence, Holder, Met, Sent
from wizard.diagnosis.judge import judge
from wizard.diagnosis.reading import request, shapes
from wizard.diagnosis.reading.clues import LONGEST_PASTE, Clues
from wizard.diagnosis.reading.comparison import Comparison
from wizard.diagnosis.reading.meaning import Meaning
from wizard.diagnosis.reading.rules import meaning_of
from wizard.errors import fail, phrase
from wizard.model import Client, Clock, Connection, Failure, Finding
from wizard.store import Store
from wizard.zoho import Zoho, limits, product

__all__ = ["LONGEST_PASTE", "UNKNOWN", "Comparison", "Reader", "Reading"]

UNKNOWN = frozenset(
    ("unknown", "unknown-oauth-error", "callback-error", "product-error", "not-understood")
)
"""Codes of findings that explain nothing: what was pasted is new to the wizard."""

REDIRECT_CODES = ("invalid-redirect-uri", "zoho-page-invalid-redirect-uri")
CLIENT_CODES = (*REDIRECT_CODES, "invalid-client-secret")
"""Failures of what is stored about a client."""
UNKNOWN_CLIENT = ("invalid-client", "zoho-page-invalid-client")
LEDGER_SPAN = timedelta(hours=1)
SHOWN = 4000
"""Characters of a paste that are shown again; an answer of Zoho's has some hundred."""


@dataclass(frozen=True)
class Reading:
    """What was understood of a paste. It holds no secret."""

    finding: Finding
    understood: tuple[str, ...] = ()
    """Sentences about what was read."""
    secrets: bool = False
    """Whether secrets were in it."""
    excerpt: str = ""
    """Its end, masked: there a log says what failed."""
    comparison: Comparison | None = None
    connection: str = ""
    """The stored connection that it certainly is about."""
    again: str = ""
    """What is read to the same finding once more, to go with an answer: the name, or the excerpt
    where what was masked does not matter; empty: nothing."""

    @property
    def explained(self) -> bool:
        """Whether the wizard knows what this is."""
        return self.finding.code not in UNKNOWN

    @property
    def may_search(self) -> bool:
        """Whether asking every data centre for the client could tell more."""
        return bool(self.connection) and self.finding.failure_class == "client-unknown"


class Reader:
    """Explains names of connections, and anything pasted."""

    def __init__(
        self, store: Store, cache: Cache, diagnosis: Diagnosis, zoho: Zoho, clock: Clock
    ) -> None:
        self._store = store
        self._cache = cache
        self._diagnosis = diagnosis
        self._zoho = zoho
        self._clock = clock

    def named(self, text: str) -> Connection | None:
        """The connection whose name `text` is, regardless of capital letters."""
        name = text.strip().casefold()
        if not 0 < len(name) < 64:
            return None
        connections = self._store.connections()
        return next((each for each in connections if each.name.casefold() == name), None)

    def diagnose(self, text: str, *, search: bool = False, told: tuple[str, ...] = ()) -> Reading:
        """Explain connection `text` by asking Zoho what decides, or read `text` and ask nobody.

        Raises ``nothing-pasted``. `search` and `told` are as for `Diagnosis.diagnose`.
        """
        connection = self.named(text)
        if connection is None:
            return self.read(text, told)
        name = connection.name
        finding = self._diagnosis.diagnose(name, search=search, told=told)
        return Reading(finding, connection=name, again=name)

    def read(self, text: str, told: tuple[str, ...] = ()) -> Reading:
        """Explain a paste by its text and by what is stored, and by what a person has `told`;
        raises ``nothing-pasted``."""
        reading = self._read(text, told)
        if not reading.finding.answers:
            return reading
        same = _judgement(self._read(reading.excerpt, told)) == _judgement(reading)
        return replace(reading, again=reading.excerpt if same else "")

    def _read(self, text: str, told: tuple[str, ...]) -> Reading:
        clues = Clues.of(text)
        if not clues.text.strip():
            raise fail("nothing-pasted")
        meaning = meaning_of(clues, self._zoho)
        evidence = self._evidence(clues, meaning)
        evidence = replace(self._completed(clues, evidence), told=told)
        return Reading(
            finding=judge(evidence),
            understood=tuple(self._understood(clues, evidence, cut=len(text) > LONGEST_PASTE)),
            secrets=shapes.holds_secret(clues.text),
            excerpt=_excerpt(clues.text),
            comparison=self._comparison(clues, evidence),
            connection=evidence.connection.name if evidence.connection else "",
        )

    # --- from clues to evidence

    def _evidence(self, clues: Clues, meaning: Meaning) -> Evidence:
        """What the paste says, and what is stored about whom it certainly speaks of."""
        called = request.product_in(clues, self._zoho) if meaning.met is Met.PRODUCT else None
        sent = request.sent_in(clues, self._zoho)
        holder, connection, issued_at = self._holder(clues.token)
        age = clues.answered_at - issued_at if clues.answered_at and issued_at else None
        sent = replace(sent, token_is=holder, age=age)
        failure = Failure(meaning.code, meaning.word, details=dict(meaning.details))
        if meaning.code == "throttled":
            pause = timedelta(seconds=limits().throttle_pause)
            failure = replace(failure, retry_at=self._clock() + pause)
        base = Evidence(failure=failure, now=self._clock())
        if connection is not None:
            base = self._diagnosis.evidence(connection.name, failure)
        elif client := self._client(sent, meaning):
            since = self._clock() - LEDGER_SPAN
            asks = tuple(self._store.asks(since=since, client_id=client.client_id))
            base = replace(base, client=client, asks=asks)
        sent = replace(sent, secret_of=_secret_of(clues, base.client))
        place = self._place(sent)
        details = {**self._details(sent, base.client), **base.details, **place}
        return replace(
            base,
            met=meaning.met,
            sent=sent,
            product=called.id if called else "",
            details={**details, **({"product": called.title} if called else {})},
        )

    def _completed(self, clues: Clues, evidence: Evidence) -> Evidence:
        """`evidence` of a token, an id or an address that stands alone, by what is stored."""
        code = evidence.failure.code if evidence.failure else ""
        client, connection = evidence.client, evidence.connection
        if code == "token-alone" and connection is not None and evidence.sent.token_is:
            kind = evidence.sent.token_is.value.replace("-", " ")
            return _as(evidence, "token-stored", kind=kind, name=connection.name)
        if code == "client-id-alone" and client is not None:
            return _as(evidence, code, known=f"This one is the client {client.name}")
        if code.startswith("authorization-url-") and client is not None:
            differs = evidence.sent.redirect_uri not in ("", client.redirect_uri)
            return _as(evidence, "invalid-redirect-uri") if differs else evidence
        if code == "not-understood":
            return self._address_alone(clues, evidence)
        return evidence

    def _address_alone(self, clues: Clues, evidence: Evidence) -> Evidence:
        """A bare address that could be a redirect URI is compared with the client's."""
        addresses = request.other_addresses(clues, self._zoho)
        clients = [each for each in self._store.clients() if each.redirect_uri]
        if len(addresses) != 1 or not clients:
            return evidence
        sent = addresses[0]
        near = max(clients, key=lambda each: _likeness(sent, each.redirect_uri))
        if not _LOOPBACK.match(sent) and _likeness(sent, near.redirect_uri) < ALIKE:
            return evidence
        evidence = replace(
            evidence, client=near, sent=replace(evidence.sent, redirect_uri=sent, client_id="")
        )
        details = dict(self._details(Sent(), near))
        if sum(each.redirect_uri == near.redirect_uri for each in clients) > 1:
            # The wizard's clients share its redirect URI: which one is meant is not known.
            details.pop("client_id")
            details |= {
                "client": "your clients",
                "console": self._zoho.data_centre(near.location).console,
            }
        code = "redirect-uri-same" if sent == near.redirect_uri else "invalid-redirect-uri"
        return _as(evidence, code, **details)

    def _holder(self, token: str) -> tuple[Holder | None, Connection | None, datetime | None]:
        """What a pasted token is, and whose, because it equals one that is stored; of an access
        token, when it was made."""
        bare = "".join(token.strip("\"'`").split())
        if not shapes.WHOLE_TOKEN.fullmatch(bare):
            return None, None, None
        for row in self._store.overview():
            if any(each and each.refresh_token == bare for each in (row.grant, row.candidate)):
                return Holder.REFRESH_TOKEN, row.connection, None
            cached = self._cache.get(row.connection.name)
            if cached is not None and cached.value == bare:
                return Holder.ACCESS_TOKEN, row.connection, cached.issued_at
        return None, None, None

    def _client(self, sent: Sent, meaning: Meaning) -> Client | None:
        """The stored client that the paste names; where it names none, the only one there is, for
        what is stored about a client; where Zoho does not know it, the one that was nearly named.
        """
        clients = self._store.clients()
        if not sent.client_id:
            return clients[0] if len(clients) == 1 and meaning.code in CLIENT_CODES else None
        likeness = {each.client_id: _likeness(sent.client_id, each.client_id) for each in clients}
        least = SLIP if meaning.code in UNKNOWN_CLIENT else 1
        near = max(clients, key=lambda each: likeness[each.client_id], default=None)
        return near if near and likeness[near.client_id] >= least else None

    def _place(self, sent: Sent) -> Mapping[str, str]:
        """The data centre that was asked, which is not always that of the connection."""
        place = self._zoho.data_centre(sent.location) if sent.location else None
        return {"location": place.location, "data_centre": place.name} if place else {}

    def _details(self, sent: Sent, client: Client | None) -> Mapping[str, str]:
        """What the words need, as far as it is known; the gaps of an unknown client are not ours
        to fill."""
        if client is None:
            # Its id is said beside the finding; a command of ours could do nothing with it.
            place = self._zoho.data_centre(sent.location) if sent.location else None
            return {"console": place.console} if place else {}
        home = self._zoho.data_centre(client.location)
        return {
            "data_centre": home.name,
            "location": home.location,
            "client": client.name,
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uri,
            "home": home.name,
            "console": home.console_client(client.client_id),
        }

    # --- what is shown beside the finding

    def _comparison(self, clues: Clues, evidence: Evidence) -> Comparison | None:
        """The redirect URI that was sent beside the registered one, or two that were pasted."""
        sent, client = evidence.sent.redirect_uri, evidence.client
        registered = client.redirect_uri if client else ""
        others = request.other_addresses(clues, self._zoho)
        asked = evidence.failure is not None and evidence.failure.code in REDIRECT_CODES
        if not registered and asked and len(others) == 2:
            sent, registered = others
        if not sent or not registered or sent == registered:
            return None
        return Comparison.of(sent, registered)

    def _understood(self, clues: Clues, evidence: Evidence, *, cut: bool) -> Iterator[str]:
        sent, connection, client = evidence.sent, evidence.connection, evidence.client
        said = {
            "cut": cut,
            "curl": clues.is_curl,
            "page": clues.is_page,
            "request": bool(sent.method) and not clues.is_curl,
            "status": bool(clues.statuses),
            "location": bool(sent.location),
            "product": bool(evidence.product),
            "connection": connection is not None,
            "client": client is not None and client.client_id == sent.client_id and not connection,
            "unknown-client": client is None and bool(sent.client_id),
        }
        known = {
            "method": sent.method,
            "status": str(clues.statuses[-1]) if clues.statuses else "",
            "data_centre": self._zoho.data_centre(sent.location).name if sent.location else "",
            "product": product(evidence.product).title if evidence.product else "",
            "name": connection.name if connection else "",
            "client": client.name if client else "",
            "client_id": sent.client_id,
        }
        return (phrase("readings", code, **known) for code, seen in said.items() if seen)


ALIKE = 0.6
"""How much of two addresses must be the same to take one for a slip of the other."""
SLIP = 0.9
"""How much of two client ids must be the same to take one for a slip of the other: all but three
of their 35 characters. Two that Zoho made have hardly a third in common."""
_LOOPBACK = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)")
"""An address on this machine; alone in a paste it can be nothing but a redirect URI."""


def _judgement(reading: Reading) -> tuple[object, ...]:
    """What two readings have in common that come to the same, at whatever moment."""
    found = reading.finding
    causes = (*found.causes, *found.ruled_out)
    weighed = [(e.code, e.confidence, e.evidence_for, e.evidence_against) for e in causes]
    return found.code, found.answers, weighed, reading.understood


def _as(evidence: Evidence, code: str, **details: str) -> Evidence:
    """`evidence` of another failure."""
    failure = evidence.failure or Failure(code)
    failure = replace(failure, code=code, details={**failure.details, **details})
    return replace(evidence, failure=failure)


def _secret_of(clues: Clues, client: Client | None) -> frozenset[str] | None:
    """The data centres whose stored secret of `client` was sent; None: none was shown whole."""
    shown = [each for each in clues.values("client_secret") if shapes.SECRET.fullmatch(each)]
    if client is None or not shown:
        return None
    places = client.locations
    return frozenset(place for place in places if client.secret_for(place) == shown[-1])


def _excerpt(text: str) -> str:
    """The end of a text, masked from so far before it that no secret is shown in halves."""
    return shapes.masked(text.rstrip()[-SHOWN * 25 :])[-SHOWN:]


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one[:500], other[:500], autojunk=False).ratio()
