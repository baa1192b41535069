"""Why a client is rejected: its id, its data center, its secret, or the form of the request."""

from wizard.diagnosis.evidence import (
    CauseEstimate,
    Evidence,
    EvidenceItem,
    FailureClass,
    Origin,
    TokenFormat,
    confirmed,
    evidence_item,
    likely,
    possible,
    ruled_out,
)
from wizard.model import Client

GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
CLIENT_KNOWN_VERDICTS = ("valid", "wrong-secret", "known-here")
"""Verdicts of a data center that knows the client."""


# --- An unknown client ----------------------------------------------------------------------------


def multi_dc_off(evidence: Evidence) -> CauseEstimate | None:
    """A client is known where it was registered, and elsewhere if multi-DC is on."""
    code, client, location = (
        "multi-dc-off",
        _matching_client(evidence),
        _requested_location(evidence),
    )
    if client is None:
        return possible(code)
    if location == client.location:
        return ruled_out(code, evidence_item("asked-at-home", location=location.upper()))
    verdict = evidence.client_verdicts.get(client.location)
    item = evidence_item("asked-elsewhere", asked=location.upper(), home=client.location.upper())
    if verdict in CLIENT_KNOWN_VERDICTS:
        known = evidence_item("known-at-home", home=client.location.upper())
        return confirmed(code, item, known)
    if verdict == "unknown-client":
        return ruled_out(code, evidence_item("unknown-at-home", home=client.location.upper()))
    if location and location not in client.locations:
        return likely(code, item)
    return possible(code, *((item,) if location else ()))


def client_deleted(evidence: Evidence) -> CauseEstimate | None:
    """A client that its own data center knew and no longer knows was deleted."""
    code, client = "client-deleted", _matching_client(evidence)
    if client is None:
        return possible(code)
    verdict, upper = evidence.client_verdicts.get(client.location), client.location.upper()
    if verdict in CLIENT_KNOWN_VERDICTS:
        return ruled_out(code, evidence_item("known-at-home", home=upper))
    if verdict == "unknown-client" or _requested_location(evidence) == client.location:
        known_before = evidence_item("was-known-at-home", home=upper)
        elsewhere = [
            location
            for location, each in evidence.client_verdicts.items()
            if each in CLIENT_KNOWN_VERDICTS
        ]
        if elsewhere:
            return possible(code, known_before)
        if verdict == "unknown-client":
            return confirmed(code, known_before, *_known_nowhere_evidence(evidence))
        return (
            likely(code, known_before)
            if _is_request_known(evidence)
            else possible(code, known_before)
        )
    return possible(code)


def client_from_other_data_center(evidence: Evidence) -> CauseEstimate | None:
    """The client was registered in another data center."""
    code = "client-of-other-data-center"
    home = evidence.client.location if evidence.client else ""
    sent = evidence.sent_request
    if not evidence.client and "" not in (sent.code_location, sent.location):
        asked, issued = sent.location.upper(), sent.code_location.upper()
        if asked != issued:
            return likely(code, evidence_item("code-sent-elsewhere", asked=asked, issued=issued))
    found = next(
        (
            location
            for location, each in evidence.client_verdicts.items()
            if each in CLIENT_KNOWN_VERDICTS and location != home
        ),
        "",
    )
    if found and evidence.client_verdicts.get(home, "unknown-client") == "unknown-client":
        return confirmed(code, evidence_item("known-elsewhere", found=found.upper()), found=found)
    return None if evidence.client or evidence.has_searched_everywhere else possible(code)


def client_id_wrong(evidence: Evidence) -> CauseEstimate | None:
    """The client id is mistyped, truncated, or something else."""
    sent, client = evidence.sent_request, evidence.client
    if sent.has_whitespace_in_client_id:
        return None
    if client and sent.client_id and sent.client_id != client.client_id:
        return likely(
            "client-id-wrong", evidence_item("other-than-stored", stored=client.client_id)
        )
    if client:
        return None  # verified when it was registered, and unchanged since
    return possible("client-id-wrong", *_known_nowhere_evidence(evidence))


def client_id_with_whitespace(evidence: Evidence) -> CauseEstimate | None:
    """A line end or a space was copied with the id."""
    if evidence.sent_request.has_whitespace_in_client_id:
        return confirmed("client-id-with-blank", evidence_item("blank-in-it"))
    known = evidence.client or evidence.sent_request.client_id
    return None if known else possible("client-id-with-blank")


def grant_type_wrong(evidence: Evidence) -> CauseEstimate | None:
    """Zoho returns the same error for an unknown ``grant_type`` as for an unknown client."""
    given = evidence.sent_request.grant_type
    known = _is_request_known(evidence) or evidence.origin is Origin.CONSENT
    if known and (given in GRANT_TYPES or not given):
        return None
    if given and given not in GRANT_TYPES:
        return confirmed("grant-type-wrong", evidence_item("grant-type-given", value=given[:40]))
    return possible("grant-type-wrong")


def self_client(evidence: Evidence) -> CauseEstimate | None:
    """A Self Client has no consent screen; there, Zoho calls it unknown."""
    client = evidence.client
    if evidence.origin is not Origin.CONSENT:
        return None
    if client is not None and not client.redirect_uri:
        return confirmed("self-client-in-browser", evidence_item("no-uri-stored"))
    return possible("self-client-in-browser")


def _matching_client(evidence: Evidence) -> Client | None:
    """The stored client, if exactly its id was sent."""
    client, sent = evidence.client, evidence.sent_request.client_id
    return client if client and sent in ("", client.client_id) else None


def _is_request_known(evidence: Evidence) -> bool:
    """Whether the request is known: it was pasted, or the wizard sent it."""
    return bool(evidence.sent_request.grant_type) or bool(
        evidence.client and not evidence.sent_request.client_id
    )


CLIENT_UNKNOWN = FailureClass(
    "client-unknown",
    (
        multi_dc_off,
        client_from_other_data_center,
        client_id_wrong,
        client_id_with_whitespace,
        client_deleted,
        grant_type_wrong,
        self_client,
    ),
)


# --- A rejected secret ----------------------------------------------------------------------------


def secret_regenerated(evidence: Evidence) -> CauseEstimate | None:
    """A secret that was right was regenerated in the console."""
    client, location = evidence.client, _requested_location(evidence)
    if client is None:
        return possible("secret-renewed")
    if evidence.client_verdicts.get(location) == "valid":
        return ruled_out(
            "secret-renewed", evidence_item("secret-right-now", location=location.upper())
        )
    known = evidence.sent_request.secret_locations
    if known is not None and location not in known:
        return None
    if location in client.locations and (known or _is_request_known(evidence)):
        return likely(
            "secret-renewed", evidence_item("secret-was-right", location=location.upper())
        )
    return possible("secret-renewed")


def secret_from_other_data_center(evidence: Evidence) -> CauseEstimate | None:
    """Each data center has its own secret, unless the console says otherwise."""
    code, client, location = (
        "secret-of-other-data-center",
        evidence.client,
        _requested_location(evidence),
    )
    if client is None:
        return possible(code)
    known = evidence.sent_request.secret_locations
    if known and location and location not in known:
        names = ", ".join(sorted(each.upper() for each in known))
        return confirmed(
            code, evidence_item("secret-belongs-to", home=names, asked=location.upper())
        )
    if known is not None or location in client.locations:
        return None
    if not location:
        return possible(code)
    item = evidence_item(
        "common-secret-used", home=client.location.upper(), location=location.upper()
    )
    return likely(code, item) if _is_request_known(evidence) else possible(code, item)


def secret_mistyped(evidence: Evidence) -> CauseEstimate | None:
    """It was truncated or mistyped, or a space or line end was copied with it."""
    sent = evidence.sent_request
    if sent.secret_format is TokenFormat.WITH_WHITESPACE:
        return confirmed("secret-with-blank", evidence_item("blank-in-it"))
    if sent.secret_format in (TokenFormat.TRUNCATED, TokenFormat.CLIENT_ID, TokenFormat.OTHER):
        return confirmed("secret-mistyped", evidence_item("not-a-secrets-form"))
    if evidence.client is None:
        return possible("secret-mistyped")
    return None if sent.secret_locations or not sent.client_id else possible("secret-mistyped")


def secret_not_stored(evidence: Evidence) -> CauseEstimate | None:
    """A program sends another secret than the stored one, which may be right."""
    sent, client = evidence.sent_request, evidence.client
    compared = client is not None and _requested_location(evidence) in client.locations
    if not compared or sent.secret_locations is None or sent.secret_locations or sent.secret_format:
        return None
    return confirmed("secret-not-the-stored-one", evidence_item("secret-differs"))


SECRET_REFUSED = FailureClass(
    "secret-refused",
    (secret_not_stored, secret_mistyped, secret_from_other_data_center, secret_regenerated),
)


# --- Not a token request --------------------------------------------------------------------------


def sent_by_get(evidence: Evidence) -> CauseEstimate | None:
    """The token URL was opened in a browser, which sends GET."""
    method = evidence.sent_request.method.upper()
    if method == "GET":
        return confirmed("token-request-by-get", evidence_item("method-sent", method=method))
    if evidence.sent_request.is_url_alone:
        return likely("token-request-by-get", evidence_item("url-alone"))
    return None if method else possible("token-request-by-get")


def sent_as_json(evidence: Evidence) -> CauseEstimate | None:
    """The parameters were sent as JSON, which Zoho doesn't read."""
    content_type = evidence.sent_request.content_type.lower()
    if "json" in content_type:
        return confirmed(
            "token-request-as-json", evidence_item("content-type-sent", value=content_type[:60])
        )
    return None if content_type else possible("token-request-as-json")


def parameter_missing(evidence: Evidence) -> CauseEstimate | None:
    """Without ``grant_type`` it isn't a token request."""
    names = evidence.sent_request.parameters
    if names is not None and "grant_type" not in names:
        return likely(
            "token-request-incomplete", evidence_item("parameter-not-sent", value="grant_type")
        )
    return None if names else possible("token-request-incomplete")


NOT_A_TOKEN_REQUEST = FailureClass(
    "not-a-token-request",
    (sent_by_get, sent_as_json, parameter_missing),
)

CLASSES = (CLIENT_UNKNOWN, SECRET_REFUSED, NOT_A_TOKEN_REQUEST)


def _requested_location(evidence: Evidence) -> str:
    """The data center that rejected the client; empty if it isn't known."""
    if evidence.sent_request.location:
        return evidence.sent_request.location
    failure = evidence.failure
    if failure is not None and "location" in failure.details:
        return failure.details["location"]
    if evidence.origin is Origin.CONSENT:
        return ""
    return evidence.grant.location if evidence.grant else ""


def _known_nowhere_evidence(evidence: Evidence) -> tuple[EvidenceItem, ...]:
    return (evidence_item("known-nowhere"),) if evidence.has_searched_everywhere else ()
