"""Whether an announced person may take a connection over: a pure judge of two proved grants."""

from dataclasses import replace

from wizard.model import Failure, Grant, StepState, VerificationReport
from wizard.verification import find_mismatch


def transfer_failure(
    new: Grant,
    previous: Grant,
    report: VerificationReport | None,
    previous_report: VerificationReport | None,
) -> Failure | None:
    """What speaks against `new` in the place of `before`, the person apart: another data centre or
    organization, one that is no longer reached, fewer scopes, or a read that worked before and
    fails now. None: nothing does."""
    other = find_mismatch(replace(new, account=previous.account), previous)
    if other is not None:
        return _with_account(new, other)
    gone = [each for each in previous.organizations if each.product not in _product_ids(new)]
    if gone:
        details = {"before": ", ".join(dict.fromkeys(each.name for each in gone)), "actual": "none"}
        return _with_account(new, Failure("other-organization", details=details))
    failed = _readable_products(previous_report) - _readable_products(report)
    if failed:
        return _with_account(
            new, Failure("read-lost", details={"reads": ", ".join(sorted(failed))})
        )
    return None


def _with_account(new: Grant, failure: Failure) -> Failure:
    details = {"name": new.connection, "actual": new.account.email if new.account else ""}
    return replace(failure, details={**details, **failure.details})


def _product_ids(grant: Grant) -> set[str]:
    return {each.product for each in grant.organizations}


def _readable_products(report: VerificationReport | None) -> set[str]:
    """The products that could be read."""
    steps = report.steps if report else ()
    passed = [each.name for each in steps if each.state is StepState.PASSED]
    return {name.removeprefix("read:") for name in passed if name.startswith("read:")}
