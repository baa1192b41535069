"""What the controls do: one function of the world and JSON values for each verb."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from wizard.sandbox import authorize, codec, scopes, seed, self_client
from wizard.sandbox.authorize import AlreadyAllowed, AskConsent, AuthorizationRequest
from wizard.sandbox.catalogue import products_of
from wizard.sandbox.clients import SERVER_BASED
from wizard.sandbox.data_centres import data_centres
from wizard.sandbox.faults import Fault
from wizard.sandbox.grants import Permission
from wizard.sandbox.people import ANNOUNCEMENTS, Organization
from wizard.sandbox.world import World

Json = Any
"""A value that JSON can say."""


SECRETS = ("password", "one_time_code_secret", "mailed_code", "trusted_browsers")
"""What is not shown of a person."""


def _now(world: World) -> Json:
    return world.clock().isoformat()


def _advance(world: World, seconds: float) -> Json:
    return world.clock.advance(seconds).isoformat()


def _reset(world: World, random_seed: int = 1) -> Json:
    world.reset(random_seed)
    seed.populate(world)


def _state(world: World) -> Json:
    return {
        "now": world.clock().isoformat(),
        "origin": world.origin,
        "people": [_without(each, *SECRETS) for each in world.people],
        "clients": [_without(each, "secrets") for each in world.clients],
        "live_refresh_tokens": len(list(world.grants.live_refresh_tokens())),
        "live_access_tokens": len(list(world.grants.live_access_tokens())),
        "faults": [asdict(each) for each in world.faults.waiting],
    }


def _settings(world: World) -> Json:
    return world.settings.to_dict()


def _change_settings(world: World, **changes: Json) -> Json:
    world.settings = world.settings.changed(**changes)
    return world.settings.to_dict()


def _people(world: World) -> Json:
    now = world.clock()
    return [
        {
            **_without(each, "one_time_code_secret", "trusted_browsers"),
            "one_time_code": each.one_time_code(now) if each.one_time_code_secret else None,
            "waits_for_push": world.sessions.waiting_for_push(each.zuid) is not None,
        }
        for each in world.people
    ]


def _add_person(world: World, email: str, **facts: Json) -> Json:
    organizations = [Organization(**each) for each in facts.pop("organizations", [])]
    return _without(world.people.add(email, **facts, organizations=organizations), *SECRETS)


def _register_client(
    world: World,
    owner: str,
    redirect_uris: list[str],
    name: str,
    location: str = "",
    kind: str = SERVER_BASED,
    homepage: str = "http://localhost/",
) -> Json:
    user = world.people.named(owner)
    client = world.clients.register(
        user.zuid,
        location or user.location,
        name=name,
        homepage=homepage,
        redirect_uris=redirect_uris,
        kind=kind,
    )
    return codec.plain(client)


def _enable(world: World, client_id: str, location: str, same_credentials: bool = False) -> Json:
    world.clients.enable(client_id, location)
    world.clients.use_same_credentials(client_id, same_credentials)
    return world.clients.named(client_id).secret_in(location)


def _disable(world: World, client_id: str, location: str) -> Json:
    world.clients.disable(client_id, location)


def _authorize(world: World, url: str, email: str, organization_id: str = "") -> Json:
    user = world.people.named(email)
    parameters = dict(parse_qsl(urlsplit(url).query))
    request = AuthorizationRequest.read(user.location, parameters)
    chosen = {
        each.product: organization_id
        for each in user.organizations
        if each.organization_id == organization_id
    }
    match authorize.judge(world, request, user, chosen):
        case AskConsent(organizations=organizations):
            picked = {key: each.organization_id for key, each in organizations.items()}
            return authorize.accept(world, request, user, picked)
        case AlreadyAllowed(organizations=remembered):
            return authorize.accept(world, request, user, remembered, consent_shown=False)
        case authorize.ErrorPage(title=title):
            raise ValueError(title)
        case authorize.NoAccount():
            return authorize.no_account(world, request)
        case _:
            raise ValueError(f"{email} has several organizations; organization_id must name one")


def _generate_code(
    world: World, client_id: str, scope: str, life: int | None = None, organization_id: str = ""
) -> Json:
    client = world.clients.named(client_id)
    owner = world.people.by_zuid[client.owner]
    asked = scopes.split(scope)
    bound = {
        product.key: owned[0].organization_id
        for product in products_of(asked)
        if product.binds and (owned := owner.organizations_in(product.key))
    }
    chosen = {
        each.product: organization_id
        for each in owner.organizations
        if each.organization_id == organization_id
    }
    permission = Permission(client_id, owner.zuid, client.location, asked, bound | chosen)
    code = self_client.generate_code(world, permission, life)
    if code is None:
        raise ValueError(authorize.REQUEST_LIMIT_TEXT)
    return code.code


def _password_change(
    world: World, email: str, new_password: str = "", remove_tokens: bool = True
) -> Json:
    user = world.people.named(email)
    fresh = new_password or f"{user.password}-changed"
    world.change_password(user, fresh, end_sessions=remove_tokens, remove_tokens=remove_tokens)


def _forgot_password(
    world: World, email: str, new_password: str = "", remove_tokens: bool = False
) -> Json:
    _password_change(world, email, new_password, remove_tokens)


def _admin_reset(
    world: World, email: str, temporary_password: str = "", remove_tokens: bool = False
) -> Json:
    user = world.people.named(email)
    fresh = temporary_password or f"{user.password}-for-once"
    world.reset_password(user, fresh, remove_tokens=remove_tokens)


def _move_account(world: World, email: str, location: str) -> Json:
    if location not in data_centres():
        raise LookupError(f"there is no data centre {location!r}")
    world.move_account(world.people.named(email), location)


def _announce(world: World, email: str, kind: str = "announcement") -> Json:
    if kind not in ANNOUNCEMENTS:
        raise ValueError(f"an announcement is one of {', '.join(ANNOUNCEMENTS)}, not {kind!r}")
    world.people.named(email).announcements.append(kind)


def _demand_captcha(world: World, email: str) -> Json:
    world.people.named(email).wrong_passwords = world.settings.wrong_passwords_before_captcha


def _confirm_push(world: World, email: str) -> Json:
    world.confirm_push(world.people.named(email))


def _revoke_app(world: World, email: str, client_id: str) -> Json:
    world.revoke_app(world.people.named(email), client_id)


def _evict(world: World, email: str, client_id: str) -> Json:
    world.evict_oldest(world.people.named(email), client_id)


def _rotate_secret(world: World, client_id: str, location: str = "") -> Json:
    return world.clients.rotate_secret(client_id, location or None)


def _delete_client(world: World, client_id: str) -> Json:
    world.clients.delete(client_id)


def _deactivate_user(world: World, email: str, deactivated: bool = True) -> Json:
    world.deactivate(world.people.named(email), deactivated)


def _bar(world: World, email: str, product: str) -> Json:
    world.people.named(email).barred_from.append(product)


def _fault(world: World, **aim: Json) -> Json:
    world.faults.lay(Fault(**aim))


def _clear_faults(world: World) -> Json:
    world.faults.clear()


def _journal(world: World) -> Json:
    return codec.plain(world.journal.entries())


def _clear_journal(world: World) -> Json:
    world.journal.clear()


def _without(record: Any, *hidden: str) -> dict[str, Json]:
    return {name: value for name, value in codec.plain(record).items() if name not in hidden}


READS = ("now", "state", "settings", "people", "journal")
"""Verbs that change nothing."""

VERBS: dict[str, Callable[..., Json]] = {
    "now": _now,
    "advance": _advance,
    "reset": _reset,
    "state": _state,
    "settings": _settings,
    "change_settings": _change_settings,
    "people": _people,
    "add_person": _add_person,
    "register_client": _register_client,
    "enable": _enable,
    "disable": _disable,
    "authorize": _authorize,
    "generate_code": _generate_code,
    "password-change": _password_change,
    "forgot-password": _forgot_password,
    "admin-reset": _admin_reset,
    "move-account": _move_account,
    "announce": _announce,
    "demand-captcha": _demand_captcha,
    "confirm-push": _confirm_push,
    "revoke-app": _revoke_app,
    "evict": _evict,
    "rotate-secret": _rotate_secret,
    "delete-client": _delete_client,
    "deactivate-user": _deactivate_user,
    "bar": _bar,
    "fault": _fault,
    "clear_faults": _clear_faults,
    "journal": _journal,
    "clear_journal": _clear_journal,
}
