"""Whether an announced person may take a connection over: a pure judge of two proved grants."""

from dataclasses import replace

from wizard.model import Failure, Grant, Receipt, RungState
from wizard.validation import other_than_before


def hindrance(
    new: Grant, before: Grant, receipt: Receipt | None, receipt_before: Receipt | None
) -> Failure | None:
    """What speaks against `new` in the place of `before`, the person apart: another data centre or
    organization, one that is no longer reached, fewer scopes, or a read that worked before and
    fails now. None: nothing does."""
    other = other_than_before(replace(new, account=before.account), before)
    if other is not None:
        return _by(new, other)
    gone = [each for each in before.organizations if each.product not in _products(new)]
    if gone:
        details = {"before": ", ".join(dict.fromkeys(each.name for each in gone)), "now": "none"}
        return _by(new, Failure("other-organization", details=details))
    failed = _passed(receipt_before) - _passed(receipt)
    if failed:
        return _by(new, Failure("read-lost", details={"reads": ", ".join(sorted(failed))}))
    return None


def _by(new: Grant, failure: Failure) -> Failure:
    details = {"name": new.connection, "now": new.account.email if new.account else ""}
    return replace(failure, details={**details, **failure.details})


def _products(grant: Grant) -> set[str]:
    return {each.product for each in grant.organizations}


def _passed(receipt: Receipt | None) -> set[str]:
    """The products that could be read."""
    rungs = receipt.rungs if receipt else ()
    passed = [each.name for each in rungs if each.state is RungState.PASSED]
    return {name.removeprefix("read:") for name in passed if name.startswith("read:")}
