"""What the controls do: one function of the world and JSON values for each verb."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from wizard.simulator import authorization_endpoint
from wizard.simulator.authorization_endpoint import (
    AlreadyConsented,
    AuthorizationRequest,
    ConsentRequired,
)
from wizard.simulator.catalog import data_centers, products_of, split_scopes
from wizard.simulator.clients import SERVER_BASED
from wizard.simulator.faults import Fault
from wizard.simulator.grants import Permission
from wizard.simulator.people import ANNOUNCEMENT_KINDS, Organization
from wizard.simulator.world import World, encode

Json = Any
"""A value that JSON can say."""


SECRET_FIELDS = ("password", "one_time_code_secret", "recovery_code", "trusted_browsers")
"""What is not shown of a person."""


def _now(world: World) -> Json:
    return world.clock().isoformat()


def _advance(world: World, seconds: float) -> Json:
    return world.clock.advance(seconds).isoformat()


def _reset(world: World, random_seed: int = 1) -> Json:
    world.reset(random_seed)
    world.people.add_samples()


def _state(world: World) -> Json:
    return {
        "now": world.clock().isoformat(),
        "origin": world.origin,
        "people": [_without(each, *SECRET_FIELDS) for each in world.people],
        "clients": [_without(each, "secrets") for each in world.clients],
        "active_refresh_tokens": len(list(world.grants.active_refresh_tokens())),
        "active_access_tokens": len(list(world.grants.active_access_tokens())),
        "faults": [asdict(each) for each in world.faults.pending],
    }


def _settings(world: World) -> Json:
    return world.settings.to_dict()


def _change_settings(world: World, **changes: Json) -> Json:
    world.settings = world.settings.with_changes(**changes)
    return world.settings.to_dict()


def _people(world: World) -> Json:
    now = world.clock()
    return [
        {
            **_without(each, "one_time_code_secret", "trusted_browsers"),
            "one_time_code": each.one_time_code(now) if each.one_time_code_secret else None,
            "is_waiting_for_push": world.sessions.find_waiting_for_push(each.zuid) is not None,
        }
        for each in world.people
    ]


def _add_person(world: World, email: str, **fields: Json) -> Json:
    organizations = [Organization(**each) for each in fields.pop("organizations", [])]
    return _without(world.people.add(email, **fields, organizations=organizations), *SECRET_FIELDS)


def _register_client(
    world: World,
    owner: str,
    redirect_uris: list[str],
    name: str,
    location: str = "",
    kind: str = SERVER_BASED,
    homepage: str = "http://localhost/",
) -> Json:
    user = world.people.get(owner)
    client = world.clients.register(
        user.zuid,
        location or user.location,
        name=name,
        homepage=homepage,
        redirect_uris=redirect_uris,
        kind=kind,
    )
    return encode(client)


def _enable_data_center(
    world: World, client_id: str, location: str, same_credentials: bool = False
) -> Json:
    world.clients.enable_data_center(client_id, location)
    world.clients.use_same_credentials(client_id, same_credentials)
    return world.clients.get(client_id).secret_in(location)


def _disable_data_center(world: World, client_id: str, location: str) -> Json:
    world.clients.disable_data_center(client_id, location)


def _authorize(world: World, url: str, email: str, organization_id: str = "") -> Json:
    user = world.people.get(email)
    parameters = dict(parse_qsl(urlsplit(url).query))
    request = AuthorizationRequest.read(user.location, parameters)
    chosen = {
        each.product: organization_id
        for each in user.organizations
        if each.organization_id == organization_id
    }
    match authorization_endpoint.judge(world, request, user, chosen):
        case ConsentRequired(organizations=organizations):
            picked = {key: each.organization_id for key, each in organizations.items()}
            return authorization_endpoint.accept(world, request, user, picked)
        case AlreadyConsented(organizations=remembered):
            return authorization_endpoint.accept(
                world, request, user, remembered, is_consent_shown=False
            )
        case authorization_endpoint.ErrorPage(title=title):
            raise ValueError(title)
        case authorization_endpoint.NoAccount():
            return authorization_endpoint.no_account(world, request)
        case _:
            raise ValueError(f"{email} has several organizations; organization_id must name one")


def _generate_code(
    world: World,
    client_id: str,
    scope: str,
    lifetime_seconds: int | None = None,
    organization_id: str = "",
) -> Json:
    client = world.clients.get(client_id)
    owner = world.people.by_zuid[client.owner]
    asked = split_scopes(scope)
    bound = {
        product.key: owned[0].organization_id
        for product in products_of(asked)
        if product.binds_organization and (owned := owner.organizations_in(product.key))
    }
    chosen = {
        each.product: organization_id
        for each in owner.organizations
        if each.organization_id == organization_id
    }
    permission = Permission(client_id, owner.zuid, client.location, asked, bound | chosen)
    code = authorization_endpoint.generate_code(world, permission, lifetime_seconds)
    if code is None:
        raise ValueError(authorization_endpoint.REQUEST_LIMIT_TEXT)
    return code.code


def _change_password(
    world: World, email: str, new_password: str = "", remove_tokens: bool = True
) -> Json:
    user = world.people.get(email)
    fresh = new_password or f"{user.password}-changed"
    world.change_password(user, fresh, end_sessions=remove_tokens, remove_tokens=remove_tokens)


def _forgot_password(
    world: World, email: str, new_password: str = "", remove_tokens: bool = False
) -> Json:
    _change_password(world, email, new_password, remove_tokens)


def _reset_password(
    world: World, email: str, temporary_password: str = "", remove_tokens: bool = False
) -> Json:
    user = world.people.get(email)
    fresh = temporary_password or f"{user.password}-for-once"
    world.reset_password(user, fresh, remove_tokens=remove_tokens)


def _move_account(world: World, email: str, location: str) -> Json:
    if location not in data_centers():
        raise LookupError(f"there is no data centre {location!r}")
    world.move_account(world.people.get(email), location)


def _announce(world: World, email: str, kind: str = "announcement") -> Json:
    if kind not in ANNOUNCEMENT_KINDS:
        raise ValueError(f"an announcement is one of {', '.join(ANNOUNCEMENT_KINDS)}, not {kind!r}")
    world.people.get(email).announcements.append(kind)


def _require_captcha(world: World, email: str) -> Json:
    world.people.get(email).wrong_passwords = world.settings.wrong_passwords_before_captcha


def _confirm_push(world: World, email: str) -> Json:
    world.confirm_push(world.people.get(email))


def _revoke_app(world: World, email: str, client_id: str) -> Json:
    world.revoke_app(world.people.get(email), client_id)


def _evict_refresh_token(world: World, email: str, client_id: str) -> Json:
    world.evict_oldest_refresh_token(world.people.get(email), client_id)


def _rotate_secret(world: World, client_id: str, location: str = "") -> Json:
    return world.clients.rotate_secret(client_id, location or None)


def _delete_client(world: World, client_id: str) -> Json:
    world.clients.delete(client_id)


def _deactivate_user(world: World, email: str, deactivated: bool = True) -> Json:
    world.deactivate(world.people.get(email), deactivated)


def _remove_api_access(world: World, email: str, product: str) -> Json:
    world.people.get(email).products_without_api_access.append(product)


def _inject_fault(world: World, **fields: Json) -> Json:
    world.faults.inject(Fault(**fields))


def _clear_faults(world: World) -> Json:
    world.faults.clear()


def _journal(world: World) -> Json:
    return encode(world.journal.entries())


def _clear_journal(world: World) -> Json:
    world.journal.clear()


def _without(record: Any, *hidden: str) -> dict[str, Json]:
    return {name: value for name, value in encode(record).items() if name not in hidden}


READ_ONLY_OPERATIONS = ("now", "state", "settings", "people", "journal")
"""Verbs that change nothing."""

OPERATIONS: dict[str, Callable[..., Json]] = {
    "now": _now,
    "advance": _advance,
    "reset": _reset,
    "state": _state,
    "settings": _settings,
    "change_settings": _change_settings,
    "people": _people,
    "add_person": _add_person,
    "register_client": _register_client,
    "enable_data_center": _enable_data_center,
    "disable_data_center": _disable_data_center,
    "authorize": _authorize,
    "generate_code": _generate_code,
    "change_password": _change_password,
    "forgot_password": _forgot_password,
    "reset_password": _reset_password,
    "move_account": _move_account,
    "announce": _announce,
    "require_captcha": _require_captcha,
    "confirm_push": _confirm_push,
    "revoke_app": _revoke_app,
    "evict_refresh_token": _evict_refresh_token,
    "rotate_secret": _rotate_secret,
    "delete_client": _delete_client,
    "deactivate_user": _deactivate_user,
    "remove_api_access": _remove_api_access,
    "inject_fault": _inject_fault,
    "clear_faults": _clear_faults,
    "journal": _journal,
    "clear_journal": _clear_journal,
}
