"""A plan in words, for the terminal and the page. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wizard.connections_file.plan import (
    ChangeKind,
    Declined,
    Difference,
    FilePlan,
    destination_key,
)
from wizard.errors import explain, message
from wizard.timefmt import format_duration

MARKS = {ChangeKind.ADD: "+", ChangeKind.CHANGE: "~", ChangeKind.REMOVE: "-"}


@dataclass(frozen=True)
class PlanSection:
    """One kind of change."""

    code: str
    heading: str
    lines: tuple[str, ...]


def describe(plan: FilePlan) -> tuple[PlanSection, ...]:
    """The parts of the plan that have something, in order."""
    parts = {
        "clients": _clients(plan),
        "connections": _connections(plan),
        "programs": _programs(plan),
        "consents": _consents(plan),
        "requested": _requested(plan),
        "deliveries": _deliveries(plan),
        "declined": _reasons(plan.declined),
        "warnings": _reasons(plan.warnings),
        "removed" if plan.is_pruning else "unmanaged": _unmanaged(plan),
    }
    sections = (PlanSection(code, _text(code), tuple(lines)) for code, lines in parts.items())
    return tuple(each for each in sections if each.lines)


def summary(plan: FilePlan) -> str:
    """What the plan comes to, in one sentence."""
    if not plan.has_changes:
        is_rest = plan.declined or plan.requested
        return message("plan-summary", "nothing-else" if is_rest else "nothing")
    new = sum(each.kind is ChangeKind.ADD for each in plan.connections)
    changed = len(plan.connections) - new + len(_new_accounts(plan))
    left = plan.unmanaged
    removed = [*left.connections, *left.destinations, *left.permissions, *left.clients]
    count = len(plan.consents)
    return message(
        "plan-summary",
        "changes",
        new=str(new or ""),
        changed=str(changed or ""),
        removed=str(len(removed) or "") if plan.is_pruning else "",
        consents=str(count or ""),
        sign_ins=str(plan.round.sign_in_count or ""),
        deliveries=str(len(plan.deliveries) or ""),
        secrets=str(len(plan.missing_secrets) or ""),
        duration=format_duration(plan.round.wait) if plan.round.wait else "",
    )


def _text(code: str, **details: str) -> str:
    return message("plan-texts", code, **details)


def _clients(plan: FilePlan) -> Iterator[str]:
    for each in plan.clients:
        yield f"{MARKS[each.kind]} {each.name} ({each.client_id})" + _text(
            "secrets",
            count=str(len(each.missing_secrets) or ""),
            locations=", ".join(one.upper() for one in each.missing_secrets),
        )


def _connections(plan: FilePlan) -> Iterator[str]:
    emails = {each.connection: each.new_account_email for each in plan.consents}
    for each in plan.connections:
        email = emails.get(each.name, "")
        account = _text("new-account", email=email) if email else ""
        yield f"{MARKS[each.kind]} {each.name}{_differences(each.differences, account)}"
    for name, email in _new_accounts(plan).items():
        yield f"{MARKS[ChangeKind.CHANGE]} {name}: {_text('new-account', email=email)}"


def _new_accounts(plan: FilePlan) -> Mapping[str, str]:
    """By connection, the account that takes it over, where nothing else of it changes."""
    changed = {each.name for each in plan.connections}
    return {
        each.connection: each.new_account_email
        for each in plan.consents
        if each.new_account_email and each.connection not in changed
    }


def _differences(differences: Sequence[Difference], more: str = "") -> str:
    texts = [more] if more else []
    for each in differences:
        is_narrower = each.field == "scopes" and not each.after
        code = "fewer-scopes" if is_narrower else "difference"
        texts.append(_text(code, field=each.field, before=each.before, after=each.after))
    return f": {'; '.join(texts)}" if texts else ""


def _reasons(parts: Sequence[Declined]) -> Iterator[str]:
    """Each reason once, with all parts of the file that it is about."""
    paths: dict[str, list[str]] = defaultdict(list)
    for each in parts:
        explanation = explain(each.failure)
        paths[f"{explanation.title}. {explanation.cause}"].append(each.path)
    yield from (f"{', '.join(of_reason)}: {reason}" for reason, of_reason in paths.items())


def _programs(plan: FilePlan) -> Iterator[str]:
    """What changes for programs; a new destination is among the deliveries."""
    due = {destination_key(each) for each in plan.deliveries}
    for each in plan.destinations:
        if each.kind is ChangeKind.ADD and each.key in due:
            continue
        place = _text(
            "destination",
            name=each.connection,
            target=each.target,
            entry=each.entry,
            profile=each.profile,
        )
        yield f"{MARKS[each.kind]} {place}{_differences(each.differences)}"
    for user in plan.access:
        yield f"{MARKS[user.kind]} " + _text("access", name=user.connection, user=user.user)
    if plan.monitor is not None:
        yield f"{MARKS[ChangeKind.CHANGE]} monitor{_differences([plan.monitor])}"


def _consents(plan: FilePlan) -> Iterator[str]:
    for group in plan.round.groups:
        yield _text(
            "group",
            email=group.email,
            location=group.location.upper(),
            client=group.client_name,
            names=", ".join(group.names),
            duration=format_duration(group.wait) if group.wait else "",
        )


def _requested(plan: FilePlan) -> Iterator[str]:
    if plan.requested:
        yield _text("requested-names", names=", ".join(each.connection for each in plan.requested))


def _deliveries(plan: FilePlan) -> Iterator[str]:
    changes = {each.key: each for each in plan.destinations}
    for each in plan.deliveries:
        change = changes.get(destination_key(each))
        mark = f"{MARKS[change.kind]} " if change else ""
        new = change if change and change.kind is ChangeKind.ADD else None
        added = [one for one in new.differences if one.field != "then"] if new else []
        text = _text(
            "delivery",
            name=each.connection,
            target=each.target,
            entry=each.entry,
            profile=new.profile if new else "",
            command=each.reload_command,
        )
        yield f"{mark}{text}{_differences(added)}"


def _unmanaged(plan: FilePlan) -> Iterator[str]:
    left = plan.unmanaged
    yield from (_text("connection", name=name) for name in left.connections)
    for each in left.destinations:
        yield _text("destination", name=each.connection, target=each.target, entry=each.entry)
    for user in left.permissions:
        yield _text("access", name=user.connection, user=user.user)
    yield from (_text("client", client=each.name) for each in left.clients)
