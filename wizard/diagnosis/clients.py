"""Why a client is refused: its id, its data centre, its secret, and how the request was made."""

from wizard.diagnosis.evidence import Evidence, Met, Shape
from wizard.diagnosis.weighing import (
    FailureClass,
    Sign,
    Suspicion,
    certain,
    likely,
    possible,
    ruled_out,
    sign,
)
from wizard.model import Client

GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
KNOWN_THERE = ("valid", "wrong-secret", "known-here")
"""Verdicts of a data centre that knows the client."""


# --- Zoho does not know the client ----------------------------------------------------------------


def multi_dc_off(evidence: Evidence) -> Suspicion | None:
    """A client is known where it was registered, and where its multi-DC switch is on."""
    code, client, asked = "multi-dc-off", _named(evidence), _asked(evidence)
    if client is None:
        return possible(code)
    if asked == client.location:
        return ruled_out(code, sign("asked-at-home", location=asked.upper()))
    home = evidence.verdicts.get(client.location)
    seen = sign("asked-elsewhere", asked=asked.upper(), home=client.location.upper())
    if home in KNOWN_THERE:
        known = sign("known-at-home", home=client.location.upper())
        return certain(code, seen, known)
    if home == "unknown-client":
        return ruled_out(code, sign("unknown-at-home", home=client.location.upper()))
    if asked and asked not in client.locations:
        return likely(code, seen)
    return possible(code, *((seen,) if asked else ()))


def client_deleted(evidence: Evidence) -> Suspicion | None:
    """A client that was known and is no longer known at home was deleted."""
    code, client = "client-deleted", _named(evidence)
    if client is None:
        return possible(code)
    home, upper = evidence.verdicts.get(client.location), client.location.upper()
    if home in KNOWN_THERE:
        return ruled_out(code, sign("known-at-home", home=upper))
    if home == "unknown-client" or _asked(evidence) == client.location:
        was = sign("was-known-at-home", home=upper)
        elsewhere = [place for place, said in evidence.verdicts.items() if said in KNOWN_THERE]
        if elsewhere:
            return possible(code, was)
        if home == "unknown-client":
            return certain(code, was, *_nowhere(evidence))
        return likely(code, was) if _whole_request(evidence) else possible(code, was)
    return possible(code)


def client_of_other_data_centre(evidence: Evidence) -> Suspicion | None:
    """A client that was registered in another data centre than the one that was asked."""
    code = "client-of-other-data-centre"
    home = evidence.client.location if evidence.client else ""
    found = next(
        (at for at, said in evidence.verdicts.items() if said in KNOWN_THERE and at != home), ""
    )
    if found and evidence.verdicts.get(home, "unknown-client") == "unknown-client":
        return certain(code, sign("known-elsewhere", found=found.upper()), found=found)
    return None if evidence.client or evidence.searched else possible(code)


def client_id_wrong(evidence: Evidence) -> Suspicion | None:
    """The client id is mistyped, cut off or of something else."""
    sent, client = evidence.sent, evidence.client
    if sent.client_id_blank:
        return None
    if client and sent.client_id and sent.client_id != client.client_id:
        return likely("client-id-wrong", sign("other-than-stored", stored=client.client_id))
    if client:
        return None  # proved when it was registered, and unchanged since
    return possible("client-id-wrong", *_nowhere(evidence))


def client_id_with_blank(evidence: Evidence) -> Suspicion | None:
    """A line end or blank was copied along with the id."""
    if evidence.sent.client_id_blank:
        return certain("client-id-with-blank", sign("blank-in-it"))
    known = evidence.client or evidence.sent.client_id
    return None if known else possible("client-id-with-blank")


def grant_type_wrong(evidence: Evidence) -> Suspicion | None:
    """An unknown ``grant_type`` is answered as an unknown client."""
    given = evidence.sent.grant_type
    known = _whole_request(evidence) or evidence.met is Met.CONSENT
    if known and (given in GRANT_TYPES or not given):
        return None
    if given and given not in GRANT_TYPES:
        return certain("grant-type-wrong", sign("grant-type-given", given=given[:40]))
    return possible("grant-type-wrong")


def self_client(evidence: Evidence) -> Suspicion | None:
    """A Self Client has no page of consent; asked for one, Zoho does not know it."""
    client = evidence.client
    if evidence.met is not Met.CONSENT:
        return None
    if client is not None and not client.redirect_uri:
        return certain("self-client-in-browser", sign("no-uri-stored"))
    return possible("self-client-in-browser")


def _named(evidence: Evidence) -> Client | None:
    """The stored client that was asked about, to the letter of its id."""
    client, sent = evidence.client, evidence.sent.client_id
    return client if client and sent in ("", client.client_id) else None


def _whole_request(evidence: Evidence) -> bool:
    """Whether it is known how the request was made: it is in the paste, or was the wizard's."""
    return bool(evidence.sent.grant_type) or bool(evidence.client and not evidence.sent.client_id)


CLIENT_UNKNOWN = FailureClass(
    "client-unknown",
    frozenset({"invalid-client", "multi-dc-off", "client-deleted", "zoho-page-invalid-client"}),
    (
        multi_dc_off,
        client_of_other_data_centre,
        client_id_wrong,
        client_id_with_blank,
        client_deleted,
        grant_type_wrong,
        self_client,
    ),
)


# --- Zoho does not take the secret ----------------------------------------------------------------


def secret_renewed(evidence: Evidence) -> Suspicion | None:
    """A secret that was right once was made anew in the console."""
    client, asked = evidence.client, _asked(evidence)
    if client is None:
        return possible("secret-renewed")
    if evidence.verdicts.get(asked) == "valid":
        return ruled_out("secret-renewed", sign("secret-right-now", location=asked.upper()))
    known = evidence.sent.secret_of
    if known is not None and asked not in known:
        return None
    if asked in client.locations and (known or _whole_request(evidence)):
        return likely("secret-renewed", sign("secret-was-right", location=asked.upper()))
    return possible("secret-renewed")


def secret_of_other_data_centre(evidence: Evidence) -> Suspicion | None:
    """Each data centre has a secret of its own unless the console says otherwise."""
    code, client, asked = "secret-of-other-data-centre", evidence.client, _asked(evidence)
    if client is None:
        return possible(code)
    known = evidence.sent.secret_of
    if known and asked and asked not in known:
        names = ", ".join(sorted(each.upper() for each in known))
        return certain(code, sign("secret-belongs-to", home=names, asked=asked.upper()))
    if known is not None or asked in client.locations:
        return None
    if not asked:
        return possible(code)
    seen = sign("common-secret-used", home=client.location.upper(), location=asked.upper())
    return likely(code, seen) if _whole_request(evidence) else possible(code, seen)


def secret_mistyped(evidence: Evidence) -> Suspicion | None:
    """It was cut off or mistyped, or a blank or line end was copied along."""
    sent = evidence.sent
    if sent.secret_shape is Shape.BLANK:
        return certain("secret-with-blank", sign("blank-in-it"))
    if sent.secret_shape in (Shape.TRUNCATED, Shape.CLIENT_ID, Shape.OTHER):
        return certain("secret-mistyped", sign("not-a-secrets-form"))
    if evidence.client is None:
        return possible("secret-mistyped")
    return None if sent.secret_of or not sent.client_id else possible("secret-mistyped")


def secret_not_ours(evidence: Evidence) -> Suspicion | None:
    """A program sends another secret than the one that is stored here, which may be right."""
    sent, client = evidence.sent, evidence.client
    compared = client is not None and _asked(evidence) in client.locations
    if not compared or sent.secret_of is None or sent.secret_of or sent.secret_shape:
        return None
    return certain("secret-not-the-stored-one", sign("secret-differs"))


SECRET_REFUSED = FailureClass(
    "secret-refused",
    frozenset({"invalid-client-secret", "wrong-secret"}),
    (secret_not_ours, secret_mistyped, secret_of_other_data_centre, secret_renewed),
)


# --- The request was not one ----------------------------------------------------------------------


def by_get(evidence: Evidence) -> Suspicion | None:
    """The token URL was opened in a browser, which is a GET."""
    method = evidence.sent.method.upper()
    if method == "GET":
        return certain("token-request-by-get", sign("method-sent", method=method))
    return None if method else possible("token-request-by-get")


def as_json(evidence: Evidence) -> Suspicion | None:
    """The parameters were sent as JSON, which Zoho does not read."""
    content_type = evidence.sent.content_type.lower()
    if "json" in content_type:
        return certain("token-request-as-json", sign("content-type-sent", given=content_type[:60]))
    return None if content_type else possible("token-request-as-json")


def parameter_missing(evidence: Evidence) -> Suspicion | None:
    """Without ``grant_type`` it is no request."""
    names = evidence.sent.parameters
    if names is not None and "grant_type" not in names:
        return likely("token-request-incomplete", sign("parameter-not-sent", given="grant_type"))
    return None if names else possible("token-request-incomplete")


NOT_A_TOKEN_REQUEST = FailureClass(
    "not-a-token-request",
    frozenset({"token-request-refused"}),
    (by_get, as_json, parameter_missing),
)

CLASSES = (CLIENT_UNKNOWN, SECRET_REFUSED, NOT_A_TOKEN_REQUEST)


def _asked(evidence: Evidence) -> str:
    """The data centre that refused the client; empty where nobody knows."""
    if evidence.sent.location:
        return evidence.sent.location
    failure = evidence.failure
    if failure is not None and "location" in failure.details:
        return failure.details["location"]
    if evidence.met is Met.CONSENT:
        return ""
    return evidence.grant.location if evidence.grant else ""


def _nowhere(evidence: Evidence) -> tuple[Sign, ...]:
    return (sign("known-nowhere"),) if evidence.searched else ()
