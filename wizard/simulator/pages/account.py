"""The account's own pages: change the password, see and revoke connected apps."""

from typing import Any

from flask import redirect, render_template, request, url_for

from wizard.simulator.pages import labels, page_context
from wizard.simulator.pages.passwords import new_password_errors

WRONG_CURRENT_PASSWORD = "This is not your current password."  # noqa: S105 - no secret

pages = page_context.location_blueprint("account", "accounts")


@pages.get("/home")
@page_context.sign_in_required
def home() -> str:
    """Show the form that changes the password."""
    return render_template("simulator/security.html", errors={})


@pages.post("/home/password")
@page_context.sign_in_required
def change_password() -> Any:
    """Change the password, then ask what else should end."""
    errors = _password_errors(request.form)
    if errors:
        return render_template("simulator/security.html", errors=errors)
    page_context.current_world().change_password(
        page_context.require_user(), request.form["new_password"]
    )
    return redirect(url_for(".sessions"))


@pages.get("/home/sessions")
@page_context.sign_in_required
def sessions() -> str:
    """Ask what should end with the old password. Nothing is ticked: nothing ends by itself."""
    return render_template("simulator/sessions.html")


@pages.post("/home/sessions")
@page_context.sign_in_required
def end_sessions() -> Any:
    """End what was ticked."""
    user, held = page_context.require_user(), page_context.current_session()
    page_context.current_world().change_password(
        user,
        user.password,
        end_sessions="end_sessions" in request.form,
        remove_tokens="remove_tokens" in request.form,
        keep_session=held.session_id if held else None,
    )
    return redirect(url_for(".password_changed"))


@pages.get("/home/password-changed")
@page_context.sign_in_required
def password_changed() -> str:
    """Say that it is done."""
    return render_template("simulator/security.html", errors={}, changed=True)


@pages.get("/home/connected-apps")
@page_context.sign_in_required
def connected_apps() -> str:
    """List the clients that hold a living refresh token of this person."""
    world, user = page_context.current_world(), page_context.require_user()
    entries = []
    for client in world.connected_apps(user):
        tokens = list(world.grants.active_refresh_tokens(user.zuid, client.client_id))
        scopes = list(dict.fromkeys(name for each in tokens for name in each.permission.scopes))
        entries.append((client, tokens, labels.describe_scopes(scopes)))
    return render_template("simulator/apps.html", entries=entries)


@pages.post("/home/connected-apps/<client_id>/revoke")
@page_context.sign_in_required
def revoke(client_id: str) -> Any:
    """Kill all tokens that a client holds of this person."""
    page_context.current_world().revoke_app(page_context.require_user(), client_id)
    return redirect(url_for(".connected_apps"))


def _password_errors(form: dict[str, str]) -> dict[str, str]:
    """Return field name → what is wrong with it; empty when the password may be changed."""
    user = page_context.require_user()
    errors = new_password_errors(
        user, form.get("new_password", ""), form.get("repeat_password", "")
    )
    if not user.check_password(form.get("current_password", "")):
        errors["current_password"] = WRONG_CURRENT_PASSWORD
    return errors
