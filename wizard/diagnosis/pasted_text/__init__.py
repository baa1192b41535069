"""Explain a pasted text.

The text is neither stored nor sent. It is compared with stored data, and shown again only with all
secrets masked.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import SequenceMatcher

from wizard.connection_details import client_details
from wizard.credential_formats import CLIENT_SECRET, TOKEN
from wizard.diagnosis.authorization_codes import REDIRECT_URI_REFUSED
from wizard.diagnosis.clients import CLIENT_UNKNOWN, SECRET_REFUSED
from wizard.diagnosis.evidence import Evidence, EvidenceItem, Origin, SentRequest, StoredTokenKind
from wizard.diagnosis.judgment import Diagnosis, judge_evidence
from wizard.diagnosis.pasted_text import product_errors, sent_requests, token_formats
from wizard.diagnosis.pasted_text.parsed_text import MAX_PASTE_CHARACTERS, ParsedText
from wizard.diagnosis.pasted_text.rules import RecognizedFailure, recognize_failure
from wizard.diagnosis.pasted_text.token_formats import masked_line
from wizard.diagnosis.rendering import render, render_items
from wizard.diagnosis.service import REQUEST_LOG_WINDOW, DiagnosisService
from wizard.errors import fail
from wizard.model import Client, Clock, Connection, Explanation, Failure, FailureKind
from wizard.model.failure import class_of
from wizard.store import Store
from wizard.tokens.cached_tokens import TokenCache
from wizard.zoho import OtherProduct, Product, Zoho, limits


@dataclass(frozen=True)
class UriComparison:
    """Two redirect URIs compared character by character."""

    sent: str
    registered: str
    common_prefix: str
    """What both begin with."""
    common_suffix: str
    """What both end with."""

    @classmethod
    def of(cls, sent: str, registered: str) -> "UriComparison":
        """Compare two different URIs."""
        before = _common_prefix_length(sent, registered)
        rest, other = sent[before:], registered[before:]
        after = _common_prefix_length(rest[::-1], other[::-1])
        return cls(sent, registered, sent[:before], rest[len(rest) - after :])

    @property
    def sent_difference(self) -> str:
        """The part of the sent URI that differs; empty if something is missing."""
        return self.sent[len(self.common_prefix) : len(self.sent) - len(self.common_suffix)]

    @property
    def registered_difference(self) -> str:
        """The part of the registered URI that differs."""
        return self.registered[
            len(self.common_prefix) : len(self.registered) - len(self.common_suffix)
        ]


def _common_prefix_length(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


STORED_CLIENT_CLASSES = (REDIRECT_URI_REFUSED.code, SECRET_REFUSED.code)
"""Classes of failures that the stored data of a client explains."""
MAX_EXCERPT_CHARACTERS = 4000
"""How many characters of a pasted text are shown again."""


@dataclass(frozen=True)
class DiagnosisResult:
    """What a pasted text means. It contains no secret."""

    explanation: Explanation
    understood: tuple[str, ...] = ()
    """Sentences about what was recognized."""
    has_secrets: bool = False
    """Whether there were secrets in it."""
    excerpt: str = ""
    """Its end, masked: a log ends with what failed."""
    comparison: UriComparison | None = None
    connection: str = ""
    """The stored connection that it is certainly about."""
    repeat_text: str = ""
    """The text that yields the same explanation again, to be sent with an answer: the name, or the
    excerpt if the masked parts don't matter; otherwise empty."""

    @property
    def is_explained(self) -> bool:
        """Whether the wizard recognized it."""
        return self.explanation.kind is not FailureKind.UNKNOWN

    @property
    def can_search(self) -> bool:
        """Whether asking every data center about the client could help."""
        return bool(self.connection) and self.explanation.failure_class == CLIENT_UNKNOWN.code


@dataclass(frozen=True)
class _Reading:
    """What was recognized in a text, without words."""

    parsed: ParsedText
    evidence: Evidence
    diagnosis: Diagnosis
    understood: tuple[EvidenceItem, ...]

    @property
    def conclusion(self) -> tuple[object, ...]:
        """Equal for two readings with the same meaning, independent of their time."""
        found = self.diagnosis
        causes = [
            (each.code, each.confidence, each.evidence_for, each.evidence_against)
            for each in (*found.causes, *found.ruled_out)
        ]
        return found.subject.code, found.possible_answers, causes, self.understood


class PasteReader:
    """Explains names of connections and pasted texts."""

    def __init__(
        self,
        store: Store,
        token_cache: TokenCache,
        diagnosis: DiagnosisService,
        zoho: Zoho,
        clock: Clock,
    ) -> None:
        self._store = store
        self._token_cache = token_cache
        self._diagnosis = diagnosis
        self._zoho = zoho
        self._clock = clock

    def find_connection(self, text: str) -> Connection | None:
        """The connection with the name `text`, regardless of case."""
        name = text.strip().casefold()
        if not 0 < len(name) < 64:
            return None
        connections = self._store.connections.all()
        return next((each for each in connections if each.name.casefold() == name), None)

    def diagnose(
        self, text: str, *, search: bool = False, answers: tuple[str, ...] = ()
    ) -> DiagnosisResult:
        """Explain connection `text` with requests to Zoho, or explain a pasted text without any.

        `search` and `answers` are those of `DiagnosisService.diagnose`. Raises ``nothing-pasted``.
        """
        connection = self.find_connection(text)
        if connection is None:
            return self.explain_text(text, answers)
        name = connection.name
        explanation = self._diagnosis.diagnose(name, search=search, answers=answers)
        return DiagnosisResult(explanation, connection=name, repeat_text=name)

    def explain_text(
        self, text: str, answers: tuple[str, ...] = (), name: str = ""
    ) -> DiagnosisResult:
        """Explain a pasted text by itself, stored data, and the user's answers.

        `name` is the connection of the program that wrote the text, if the user says so: its stored
        grant, scopes and request log are compared. Raises ``nothing-pasted`` and
        ``unknown-connection``.
        """
        reading = self._read(text, answers, name)
        excerpt, connection = _excerpt(reading.parsed.text), reading.evidence.connection
        is_repeatable = (
            reading.diagnosis.possible_answers
            and self._read(excerpt, answers, name).conclusion == reading.conclusion
        )
        return DiagnosisResult(
            explanation=render(reading.diagnosis),
            understood=render_items("pasted-text", reading.understood, reading.diagnosis.now),
            has_secrets=token_formats.has_secret(reading.parsed.text),
            excerpt=excerpt,
            comparison=self._comparison(reading.parsed, reading.evidence),
            connection=connection.name if connection else "",
            repeat_text=excerpt if is_repeatable else "",
        )

    def _read(self, text: str, answers: tuple[str, ...], name: str = "") -> _Reading:
        parsed = ParsedText.parse(text)
        if not parsed.text.strip():
            raise fail("nothing-pasted")
        evidence = self._evidence(parsed, recognize_failure(parsed, self._zoho), name)
        evidence = replace(self._complete_evidence(parsed, evidence), answers=answers)
        is_truncated = len(text) > MAX_PASTE_CHARACTERS
        understood = tuple(self._understood(parsed, evidence, is_truncated=is_truncated))
        return _Reading(parsed, evidence, judge_evidence(evidence), understood)

    # --- evidence

    def _evidence(self, parsed: ParsedText, recognized: RecognizedFailure, name: str) -> Evidence:
        """The evidence in the text, and what is stored about the connection or client that it
        certainly names."""
        called = product_errors.find_called_product(parsed, self._zoho)
        if recognized.origin is not Origin.PRODUCT and not isinstance(called, OtherProduct):
            called = None
        sent = sent_requests.parse_sent_request(parsed, self._zoho)
        holder, connection, issued_at = self._stored_token(parsed.token)
        age = parsed.answered_at - issued_at if parsed.answered_at and issued_at else None
        needed = recognized.details.get("scope_needed") or sent.required_scope
        sent = replace(sent, stored_token_kind=holder, access_token_age=age, required_scope=needed)
        failure = Failure(recognized.code, recognized.zoho_error, details=dict(recognized.details))
        if recognized.code == "throttled":
            pause = timedelta(seconds=limits().rate_limit_pause_seconds)
            failure = replace(failure, retry_at=self._clock() + pause)
        base = Evidence(failure=failure, now=self._clock())
        if connection is not None or name:
            base = self._diagnosis.evidence(connection.name if connection else name, failure)
        elif client := self._client(sent, recognized):
            since = self._clock() - REQUEST_LOG_WINDOW
            requests = tuple(
                self._store.request_log.requests(since=since, client_id=client.client_id)
            )
            base = replace(base, client=client, requests=requests)
        sent = replace(sent, secret_locations=_secret_locations(parsed, base.client))
        place = self._location_details(sent)
        details = {**self._details(sent, base.client), **base.details, **place}
        return replace(
            base,
            origin=recognized.origin,
            sent_request=sent,
            product=called.id if isinstance(called, Product) else "",
            details={**details, **_program_details(parsed), **_product_details(called)},
        )

    def _complete_evidence(self, parsed: ParsedText, evidence: Evidence) -> Evidence:
        """Complete the evidence of a token, an id or a URL by itself, from the store."""
        code = evidence.failure.code if evidence.failure else ""
        client, connection = evidence.client, evidence.connection
        if (
            code == "token-alone"
            and connection is not None
            and evidence.sent_request.stored_token_kind
        ):
            kind = evidence.sent_request.stored_token_kind.value
            return _with_failure(evidence, "token-stored", kind=kind, name=connection.name)
        if code == "client-id-alone" and client is not None:
            return _with_failure(evidence, code, stored_client=client.name)
        if code.startswith("authorization-url-") and client is not None:
            differs = evidence.sent_request.redirect_uri not in ("", client.redirect_uri)
            return _with_failure(evidence, "invalid-redirect-uri") if differs else evidence
        if code == "not-understood":
            return self._compare_single_address(parsed, evidence)
        return evidence

    def _compare_single_address(self, parsed: ParsedText, evidence: Evidence) -> Evidence:
        """Compare a bare URL that may be a redirect URI with the client's."""
        addresses = sent_requests.other_addresses(parsed, self._zoho)
        clients = [each for each in self._store.clients.all() if each.redirect_uri]
        if len(addresses) != 1 or not clients:
            return evidence
        sent = addresses[0]
        near = max(clients, key=lambda each: _similarity(sent, each.redirect_uri))
        if (
            not _LOOPBACK.match(sent)
            and _similarity(sent, near.redirect_uri) < MIN_ADDRESS_SIMILARITY
        ):
            return evidence
        evidence = replace(
            evidence,
            client=near,
            sent_request=replace(evidence.sent_request, redirect_uri=sent, client_id=""),
        )
        details = dict(self._details(SentRequest(), near))
        if sum(each.redirect_uri == near.redirect_uri for each in clients) > 1:
            # The wizard's clients share its redirect URI, so the client is unknown.
            for name in ("client", "client_id"):
                details.pop(name)
            details["console"] = self._zoho.data_center(near.location).console_url
        code = "redirect-uri-same" if sent == near.redirect_uri else "invalid-redirect-uri"
        return _with_failure(evidence, code, **details)

    def _stored_token(
        self, token: str
    ) -> tuple[StoredTokenKind | None, Connection | None, datetime | None]:
        """The kind and the connection of a pasted token, if it equals a stored one; for an access
        token also when it was issued."""
        bare = "".join(token.strip("\"'`").split())
        if not TOKEN.fullmatch(bare):
            return None, None, None
        for row in self._store.overviews.all():
            if any(each and each.refresh_token == bare for each in (row.grant, row.candidate)):
                return StoredTokenKind.REFRESH_TOKEN, row.connection, None
            cached = self._token_cache.get(row.connection.name)
            if cached is not None and cached.value == bare:
                return StoredTokenKind.ACCESS_TOKEN, row.connection, cached.issued_at
        return None, None, None

    def _client(self, sent_request: SentRequest, recognized: RecognizedFailure) -> Client | None:
        """The stored client that the text names. If it names none, the only one there is, if the
        failure is about stored data; if Zoho doesn't know it, a similar one."""
        clients = self._store.clients.all()
        failure_class = class_of(recognized.code)
        if not sent_request.client_id:
            return (
                clients[0] if len(clients) == 1 and failure_class in STORED_CLIENT_CLASSES else None
            )
        likeness = {
            each.client_id: _similarity(sent_request.client_id, each.client_id) for each in clients
        }
        least = MIN_CLIENT_ID_SIMILARITY if failure_class == CLIENT_UNKNOWN.code else 1
        near = max(clients, key=lambda each: likeness[each.client_id], default=None)
        return near if near and likeness[near.client_id] >= least else None

    def _location_details(self, sent_request: SentRequest) -> Mapping[str, str]:
        """The data center of the request, which isn't always that of the connection."""
        place = self._zoho.data_center(sent_request.location) if sent_request.location else None
        return {"location": place.location, "data_center": place.name} if place else {}

    def _details(self, sent_request: SentRequest, client: Client | None) -> Mapping[str, str]:
        """Values of the messages, as far as they are known."""
        if client is None:
            # Its id is shown with the diagnosis; no command of ours accepts it.
            place = self._zoho.data_center(sent_request.location) if sent_request.location else None
            return {"console": place.console_url} if place else {}
        return client_details(client, self._zoho, sent_request.location)

    # --- shown with the diagnosis

    def _comparison(self, parsed: ParsedText, evidence: Evidence) -> UriComparison | None:
        """The redirect URI that was sent and the registered one, or two that were pasted."""
        sent, client = evidence.sent_request.redirect_uri, evidence.client
        registered = client.redirect_uri if client else ""
        others = sent_requests.other_addresses(parsed, self._zoho)
        asked = (
            evidence.failure is not None
            and class_of(evidence.failure.code) == REDIRECT_URI_REFUSED.code
        )
        if not registered and asked and len(others) == 2:
            sent, registered = others
        if not sent or not registered or sent == registered:
            return None
        return UriComparison.of(sent, registered)

    def _understood(
        self, parsed: ParsedText, evidence: Evidence, *, is_truncated: bool
    ) -> Iterator[EvidenceItem]:
        sent, connection, client = evidence.sent_request, evidence.connection, evidence.client
        is_seen = {
            "cut": is_truncated,
            "curl": parsed.is_curl,
            "page": parsed.is_page,
            "request": bool(sent.method) and not parsed.is_curl,
            "page-title": bool(parsed.title),
            "status": bool(parsed.statuses),
            "program": parsed.program is not None,
            "grant-type": bool(sent.grant_type),
            "granted-scopes": bool(sent.granted_scopes),
            "required-scope": bool(sent.required_scope),
            "token": bool(parsed.token),
            "location": bool(sent.location),
            "product": "product" in evidence.details,
            "connection": connection is not None,
            "client": client is not None and client.client_id == sent.client_id and not connection,
            "unknown-client": client is None and bool(sent.client_id),
        }
        known = {
            "method": sent.method,
            "title": masked_line(parsed.title, 80),
            "program": parsed.program.title if parsed.program else "",
            "grant_type": sent.grant_type,
            "scopes": ", ".join(sent.granted_scopes[:MAX_LISTED_SCOPES]),
            "needed": sent.required_scope,
            "status": str(parsed.statuses[-1]) if parsed.statuses else "",
            "data_center": self._zoho.data_center(sent.location).name if sent.location else "",
            "product": evidence.details.get("product", ""),
            "name": connection.name if connection else "",
            "client": client.name if client else "",
            "client_id": sent.client_id,
        }
        return (EvidenceItem(code, known) for code, seen in is_seen.items() if seen)


MAX_LISTED_SCOPES = 8
MIN_ADDRESS_SIMILARITY = 0.6
"""The minimum similarity of two URLs to consider one a misspelling of the other."""
MIN_CLIENT_ID_SIMILARITY = 0.9
"""The minimum similarity of two client ids to consider one a misspelling of the other: all but
three of 35 characters. Two real ones have less than a third in common."""
_LOOPBACK = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)")
"""A URL on this computer. By itself, it can only be a redirect URI."""


def _program_details(parsed: ParsedText) -> Mapping[str, str]:
    """The program that wrote the text, and how its users see the response body."""
    program = parsed.program
    return {"program": program.title, "command": program.command} if program else {}


def _product_details(called: Product | OtherProduct | None) -> Mapping[str, str]:
    """The name of a product, and which credential it accepts if not an access token."""
    if called is None:
        return {}
    own = {} if isinstance(called, Product) else {"key": called.key, "where": called.where}
    return {"product": called.title, **own}


def _with_failure(evidence: Evidence, code: str, **details: str) -> Evidence:
    """The evidence with another failure."""
    failure = evidence.failure or Failure(code)
    failure = replace(failure, code=code, details={**failure.details, **details})
    return replace(evidence, failure=failure)


def _secret_locations(parsed: ParsedText, client: Client | None) -> frozenset[str] | None:
    """The data centers whose stored secret of `client` was sent; None: no complete one is shown."""
    shown = [each for each in parsed.values("client_secret") if CLIENT_SECRET.fullmatch(each)]
    if client is None or not shown:
        return None
    places = client.locations
    return frozenset(place for place in places if client.secret_for(place) == shown[-1])


def _excerpt(text: str) -> str:
    """The end of a text, masked from earlier so that no secret is cut in half."""
    return token_formats.mask_secrets(text.rstrip()[-MAX_EXCERPT_CHARACTERS * 25 :])[
        -MAX_EXCERPT_CHARACTERS:
    ]


def _similarity(one: str, other: str) -> float:
    return SequenceMatcher(None, one[:500], other[:500], autojunk=False).ratio()
