"""The account's own pages: change the password, see and revoke connected apps."""

from typing import Any

from flask import redirect, render_template, request, url_for

from wizard.sandbox.pages import visit, words
from wizard.sandbox.pages.passwords import new_password_errors

WRONG_CURRENT = "This is not your current password."

pages = visit.located("account", "accounts")


@pages.get("/home")
@visit.signed_in
def home() -> str:
    """Show the form that changes the password."""
    return render_template("sandbox/security.html", errors={})


@pages.post("/home/password")
@visit.signed_in
def change_password() -> Any:
    """Change the password, then ask what else should end."""
    errors = _password_errors(request.form)
    if errors:
        return render_template("sandbox/security.html", errors=errors)
    visit.world().change_password(visit.present_user(), request.form["new_password"])
    return redirect(url_for(".sessions"))


@pages.get("/home/sessions")
@visit.signed_in
def sessions() -> str:
    """Ask what should end with the old password. Nothing is ticked: nothing ends by itself."""
    return render_template("sandbox/sessions.html")


@pages.post("/home/sessions")
@visit.signed_in
def end_sessions() -> Any:
    """End what was ticked."""
    user, held = visit.present_user(), visit.session()
    visit.world().change_password(
        user,
        user.password,
        end_sessions="end_sessions" in request.form,
        remove_tokens="remove_tokens" in request.form,
        keep_session=held.session_id if held else None,
    )
    return redirect(url_for(".password_changed"))


@pages.get("/home/password-changed")
@visit.signed_in
def password_changed() -> str:
    """Say that it is done."""
    return render_template("sandbox/security.html", errors={}, changed=True)


@pages.get("/home/connected-apps")
@visit.signed_in
def apps() -> str:
    """List the clients that hold a living refresh token of this person."""
    world, user = visit.world(), visit.present_user()
    entries = []
    for client in world.connected_apps(user):
        tokens = list(world.grants.live_refresh_tokens(user.zuid, client.client_id))
        scopes = list(dict.fromkeys(name for each in tokens for name in each.permission.scopes))
        entries.append((client, tokens, words.blocks(scopes)))
    return render_template("sandbox/apps.html", entries=entries)


@pages.post("/home/connected-apps/<client_id>/revoke")
@visit.signed_in
def revoke(client_id: str) -> Any:
    """Kill all tokens that a client holds of this person."""
    visit.world().revoke_app(visit.present_user(), client_id)
    return redirect(url_for(".apps"))


def _password_errors(form: dict[str, str]) -> dict[str, str]:
    """Return field name → what is wrong with it; empty when the password may be changed."""
    user = visit.present_user()
    errors = new_password_errors(
        user, form.get("new_password", ""), form.get("repeat_password", "")
    )
    if not user.password_is(form.get("current_password", "")):
        errors["current_password"] = WRONG_CURRENT
    return errors
