"""Describe what a grant reaches, and compare that with the previous grant."""

from wizard.model import Account, Failure, Grant, Organization
from wizard.zoho import missing_scopes


def headline(grant: Grant) -> str:
    """The headline of a verification report: what `grant` reaches or, if it was revoked or needs
    re-authorization, what it reached."""
    if grant.account is None:
        return f"This reaches an account in {grant.location.upper()} that has not been named yet"
    if grant.state.is_ended:
        return f"This reached {describe_access(grant)}. It no longer does."
    return f"This reaches {describe_access(grant)}"


def describe_access(grant: Grant) -> str:
    """The organizations, environments, data center and account of `grant`, as a phrase."""
    names = dict.fromkeys(organization.name for organization in grant.organizations)
    environments = dict.fromkeys(
        organization.environment for organization in grant.organizations if organization.environment
    )
    parts = [", ".join(names), ", ".join(environments), grant.location.upper()]
    where = ", ".join(part for part in parts if part)
    if grant.account is None:
        return where
    if not names:  # a product without organizations
        return f"the account of {grant.account.email}, {where}"
    return f"{where}, as {grant.account.email}"


def find_mismatch(
    grant: Grant, previous: Grant, expected_scope: tuple[str, ...] | None = None
) -> Failure | None:
    """How `grant` differs from `previous`: ``other-account``, ``account-moved``,
    ``other-organization`` or ``scopes-lost``; None if it doesn't, or if an account is unknown.

    An account is a ZUID in a data center; with the same e-mail address in a different data center,
    it has moved. An organization differs if `grant` reaches the same product but none of its
    organizations. Scopes are lost only if they are in `expected_scope`, if given.
    """
    if grant.account is None or previous.account is None:
        return None
    details = {
        "name": grant.connection,
        "before": previous.account.email,
        "actual": grant.account.email,
        "location_before": previous.location.upper(),
        "location": grant.location.upper(),
    }
    if (grant.account.zuid, grant.location) != (previous.account.zuid, previous.location):
        moved = (
            _is_same_email(grant.account, previous.account) and grant.location != previous.location
        )
        return Failure("account-moved" if moved else "other-account", details=details)
    for product in dict.fromkeys(each.product for each in previous.organizations):
        old = [each for each in previous.organizations if each.product == product]
        new = [each for each in grant.organizations if each.product == product]
        if new and not any(_is_same_organization(one, other) for one in old for other in new):
            names = {
                "before": _organization_names(old),
                "actual": _organization_names(new),
                "product": product,
            }
            return Failure("other-organization", details={**details, **names})
    lost = missing_scopes(grant.scope, previous.scope)
    lost = (
        lost
        if expected_scope is None
        else tuple(each for each in lost if not missing_scopes(expected_scope, (each,)))
    )
    if lost:
        return Failure("scopes-lost", details={**details, "missing": ", ".join(lost)})
    return None


def _is_same_email(one: Account, other: Account) -> bool:
    return one.email.casefold() == other.email.casefold()


def _is_same_organization(one: Organization, other: Organization) -> bool:
    known = one.environment and other.environment
    return one.id == other.id and (not known or one.environment == other.environment)


def _organization_names(organizations: list[Organization]) -> str:
    return ", ".join(
        f"{each.name} ({each.environment})" if each.environment else each.name
        for each in organizations
    )
