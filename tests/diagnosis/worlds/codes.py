"""Consents and codes that came to nothing."""

from collections.abc import Callable
from urllib.parse import quote

from core import ANNA, Core
from program import Program, Told, code_of, without
from scenes import client_of, exchange_outside, proved

from wizard.authorization import Begun
from wizard.model import Failure, Finding
from worlds.clients import of_the_attempt, page
from worlds.world import World, after, works

EMIL = "emil@zylker.example"


def _spoilt(spoil: str) -> Callable[[Core], Failure | None]:
    def happens(core: Core) -> Failure | None:
        core.connection("crm")
        begun = core.house.authorization.begin("crm")
        callback = core.consent(begun)
        if spoil == "used":
            exchange_outside(core, "crm", callback, begun.attempt.code_verifier)
        core.advance(minutes=3)
        core.finish(begun, callback)
        return of_the_attempt(core)

    return happens


# --- a program of somebody's exchanges a code -----------------------------------------------------


def _consent(core: Core) -> tuple[Program, Begun, str]:
    """Somebody accepts what a program asks for; nobody has exchanged the code yet."""
    core.connection("crm")
    begun = core.house.authorization.begin("crm")
    return Program(core), begun, core.consent(begun)


def log(*parts: str | Told) -> str:
    """A log of what happened one after the other."""
    return "\n\n".join(each if isinstance(each, str) else each.text for each in parts)


def _with_query(core: Core) -> str:
    program, begun, callback = _consent(core)
    pasted = callback.partition("code=")[2]
    return program.exchange(pasted, begun).as_curl


def _in_another_data_centre(core: Core) -> str:
    program, begun, callback = _consent(core)
    core.admin.enable(client_of(core, "crm").client_id, "us", same_credentials=True)
    told = program.exchange(code_of(callback), begun, "us")
    return log(f"GET {callback}", told)


def _with_another_client(core: Core) -> str:
    program, begun, callback = _consent(core)
    other = core.client("Another")
    values = {"client_id": other.client_id, "client_secret": other.secrets[0].value}
    return log(f"opened {begun.url}", program.exchange(code_of(callback), begun, **values))


def _without_verifier(core: Core) -> str:
    program, begun, callback = _consent(core)
    return log(f"opened {begun.url}", program.exchange(code_of(callback), begun, code_verifier=""))


def _with_wrong_verifier(core: Core) -> str:
    program, begun, callback = _consent(core)
    told = program.exchange(code_of(callback), begun, code_verifier="w" * 64)
    return log(f"opened {begun.url}", told)


def _late_without_pkce(core: Core) -> str:
    """Most programs know no verifier; that one is missing says nothing."""
    core.connection("crm")
    begun = core.house.authorization.begin("crm")
    address = without(begun.url, "code_challenge", "code_challenge_method")
    code = code_of(str(core.admin.authorize(address, ANNA)))
    core.advance(minutes=3)
    return Program(core).exchange(code, begun, code_verifier="").text


def _used_twice(core: Core) -> str:
    program, begun, callback = _consent(core)
    code = code_of(callback)
    first = program.exchange(code, begun)
    return log(first.request.body or "", program.exchange(code, begun))


def _used_before(core: Core) -> str:
    """As above, of which the first exchange is in nobody's log."""
    program, begun, callback = _consent(core)
    program.exchange(code_of(callback), begun)
    return program.exchange(code_of(callback), begun).text


def _exchanged_rightly(core: Core, _finding: Finding) -> None:
    """Repeat the consent, and exchange its code once, at once, with all that belongs to it."""
    begun = core.house.authorization.begin("crm")
    told = Program(core).exchange(code_of(core.consent(begun)), begun)
    assert "refresh_token" in told.answer.json()


# --- the redirect URI -----------------------------------------------------------------------------

DIFFERENCES = {
    "slash": ("/callback", "/callback/"),
    "path": ("/callback", "/oauth/callback"),
    "port": ("localhost:", "localhost:1"),
    "scheme": ("http://", "https://"),
    "loopback name": ("localhost", "127.0.0.1"),
    "host": ("localhost", "example.com"),
}


def _redirect_uri(right: str, wrong: str, *, at_the_page: bool = False) -> Callable[[Core], str]:
    def happens(core: Core) -> str:
        program, begun, callback = _consent(core)
        sent = begun.attempt.redirect_uri.replace(right, wrong)
        if at_the_page:
            address = begun.url.replace(quote(begun.attempt.redirect_uri, ""), quote(sent, ""))
            assert address != begun.url
            return page(core, address)
        return program.exchange(code_of(callback), begun, redirect_uri=sent).text

    return happens


def _never_registered(core: Core) -> str:
    """The client was made in the console with another redirect URI, and stored all the same."""
    made = core.admin.register_client(ANNA, ["http://localhost:1/"], name="Zylker")
    text = f"{made['client_id']}\n{made['secrets']['eu']}"
    uri = core.house.settings.redirect_uri
    core.connection("crm", core.house.clients.register(text, name="Zylker", redirect_uri=uri))
    return page(core, core.house.authorization.begin("crm").url)


def _added_in_the_console(core: Core) -> None:
    client = core.sandbox.world.clients.named(client_of(core, "crm").client_id)
    client.redirect_uris.append(core.house.settings.redirect_uri)


def _ten_minutes(core: Core) -> None:
    core.advance(minutes=11)


def _repeated(core: Core, _finding: Finding) -> None:
    """The consent is repeated once the redirect URI is right."""
    done = core.authorize("crm")
    assert done.generation is not None, done.failure
    core.climb("crm", done.generation)
    works(core)


# --- what comes back ------------------------------------------------------------------------------


def _answered(error: str) -> Callable[[Core], Failure | None]:
    """The browser comes back with an error, as Zoho's pages send it."""

    def happens(core: Core) -> Failure | None:
        core.connection("crm")
        _come_back(core, error)
        return of_the_attempt(core)

    return happens


def _come_back(core: Core, error: str) -> None:
    begun = core.house.authorization.begin("crm")
    answer = [("error", error), ("state", begun.attempt.oauth_state)]
    core.house.authorization.complete(answer, {begun.cookie_name: begun.cookie_value})


def _codes_of_others(core: Core) -> Failure | None:
    """Another program has begun so many consents with the client that Zoho gives no more."""
    core.connection("crm")
    begun = core.house.authorization.begin("crm")
    for _ in range(10):
        core.admin.authorize(begun.url, ANNA)
    core.finish(begun, core.consent(begun))
    return of_the_attempt(core)


def _page_of_too_many(core: Core) -> str:
    core.admin.change_settings(codes_overflow="page")
    core.connection("crm")
    begun = core.house.authorization.begin("crm")
    for _ in range(10):
        core.admin.authorize(begun.url, ANNA)
    return page(core, without(begun.url, "prompt"))


def _without_organization(core: Core) -> Failure | None:
    core.connection("crm")
    return _accepted_by_emil(core)


def _somebody_else(core: Core) -> Failure | None:
    """The browser is signed in as somebody without an account in the product."""
    proved(core, "crm")
    return _accepted_by_emil(core)


def _accepted_by_emil(core: Core) -> Failure | None:
    """He has an account at Zoho, and none in CRM."""
    name = {"first_name": "Emil", "last_name": "Ek"}
    core.admin.add_person(EMIL, location="eu", password="made up", **name)
    begun = core.house.authorization.begin("crm")
    core.finish(begun, core.consent(begun, EMIL))
    return of_the_attempt(core)


def _asked_for_online(*left_out: str) -> Callable[[Core], str]:
    """A program asks without `left_out`, and gets no refresh token."""

    def happens(core: Core) -> str:
        proved(core, "crm")
        program, begun = Program(core), core.house.authorization.begin("crm")
        address = without(begun.url, *left_out)
        told = program.exchange(code_of(str(core.admin.authorize(address, ANNA))), begun)
        assert "refresh_token" not in told.answer.json()
        return log(f"opened {address}", told)

    return happens


def _answer_alone(core: Core) -> str:
    proved(core, "crm")
    program, begun = Program(core), core.house.authorization.begin("crm")
    address = without(begun.url, "prompt")
    return program.exchange(code_of(str(core.admin.authorize(address, ANNA))), begun).answer.text


_CODE, _URI, _NONE = "code-refused", "redirect-uri-refused", "no-refresh-token-given"
_TWO = "code-or-refresh-token-refused"

WORLDS = (
    World("code too late", _spoilt("late"), _CODE, "code-expired"),
    World("code used", _spoilt("used"), _CODE, "code-used"),
    World("code with the query", _with_query, _CODE, "code-with-query", True, _exchanged_rightly),
    World(
        "code of another data centre",
        _in_another_data_centre,
        _CODE,
        "code-of-other-data-centre",
        True,
        _exchanged_rightly,
    ),
    World(
        "code of another client",
        _with_another_client,
        _CODE,
        "code-of-other-client",
        True,
        _exchanged_rightly,
    ),
    World(
        "verifier missing", _without_verifier, _CODE, "verifier-missing", True, _exchanged_rightly
    ),
    World(
        "verifier wrong", _with_wrong_verifier, _CODE, "verifier-missing", True, _exchanged_rightly
    ),
    World(
        "code too late, without PKCE",
        _late_without_pkce,
        _CODE,
        "code-expired",
        mended=_exchanged_rightly,
    ),
    World("code sent twice", _used_twice, _CODE, "code-used", mended=_exchanged_rightly),
    World("code used before", _used_before, _CODE, "code-used", mended=_exchanged_rightly),
    *(
        World(
            f"redirect URI differs: {part}",
            _redirect_uri(*change),
            _URI,
            "redirect-uri-differs",
            True,
            _exchanged_rightly,
        )
        for part, change in DIFFERENCES.items()
    ),
    World(
        "redirect URI differs, page pasted",
        _redirect_uri(*DIFFERENCES["slash"], at_the_page=True),
        _URI,
        "redirect-uri-differs",
        True,
        _repeated,
    ),
    World(
        "redirect URI never registered, page pasted",
        _never_registered,
        _URI,
        "redirect-uri-unregistered",
        True,
        after(_added_in_the_console, _repeated),
    ),
    World("rejected", _answered("access_denied"), "consent-refused", "consent-rejected"),
    World("codes used up by others", _codes_of_others, "consent-refused", "codes-used-up"),
    World(
        "codes used up, page pasted",
        _page_of_too_many,
        "consents-used-up",
        "codes-used-up",
        mended=after(_ten_minutes, _repeated),
    ),
    World("no organization", _without_organization, "no-organization-there", "product-not-set-up"),
    World("somebody else", _somebody_else, "no-organization-there", "wrong-person-signed-in"),
    World(
        "access_type left out, pasted",
        _asked_for_online("access_type", "prompt"),
        _NONE,
        "access-type-online",
        True,
        _exchanged_rightly,
    ),
    World(
        "prompt left out, pasted",
        _asked_for_online("prompt"),
        _NONE,
        "consent-not-shown",
        True,
        _exchanged_rightly,
    ),
    World(
        "no refresh token, answer alone",
        _answer_alone,
        _NONE,
        "consent-not-shown",
        mended=_exchanged_rightly,
    ),
)
