"""The guide for a change of password: what hangs on it, what to leave unticked, a check after."""

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from wizard.diagnosis.password_change import Risk, Stake, advice, risks
from wizard.errors import fail
from wizard.model import GrantState
from wizard.web.presenter import CHECK_FAILED, CHECKING, GRANT_STATUS, Status
from wizard.web.rooms import house

pages = Blueprint("password_change", __name__)

PATH = "/password-change"


@pages.get(PATH)
def show() -> str:
    """Each account, and what hangs on its password."""
    found = _risks(request.args.get("email", ""))
    round_ = house().rounds.progress()
    left = round_.left if round_ else frozenset()
    stakes = [stake for risk in found for stake in risk.stakes]
    status = {each.name: CHECKING if each.name in left else _status(each) for each in stakes}
    names = {each.name for each in stakes}
    troubles = house().troubles.stored()
    return render_template(
        "password_change.html",
        risks=found,
        status=status,
        advice=advice(),
        live=bool(left & names),
        to_repair=[name for each in troubles for name in each.to_repair if name in names],
        checked="checked" in request.args,
        path=request.full_path.rstrip("?"),
        places={each.location: each.name for each in house().zoho.data_centres},
    )


@pages.post(f"{PATH}/check")
def check() -> Response:
    """Have everything checked that hangs on an account; the page shows how it goes."""
    email = request.form.get("email", "")
    house().rounds.begin(name for risk in _risks(email) for name in risk.names)
    return redirect(f"{PATH}?checked=yes", 303)


def _risks(email: str) -> tuple[Risk, ...]:
    store = house().store
    found = risks(store.overview(), store.destinations(), store.last_refreshes(), email)
    if email and not found:
        raise fail("no-account", email=email)
    return found


def _status(stake: Stake) -> Status:
    if stake.state is GrantState.PROVED and stake.check_failed:
        return CHECK_FAILED
    return GRANT_STATUS[stake.state]
