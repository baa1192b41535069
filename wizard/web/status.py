"""Where everything is and how well it is kept."""

import importlib.metadata

from flask import Blueprint, render_template

from wizard.errors import explain, fail, phrase
from wizard.watch import shown
from wizard.web.presenter import Status, ago, moment
from wizard.web.rooms import house, peers

pages = Blueprint("status", __name__)

NEVER = "never; in a terminal: zoho-wizard backup FILE"
UNWATCHED = "never; in a terminal: zoho-wizard watch"
UNTOLD = "none; in a terminal: zoho-wizard watch --notify COMMAND|URL"
STRENGTH = {"strong": Status("Strong", "good"), "weak": Status("Weak", "wait")}


@pages.get("/status")
def show() -> str:
    """The key, the store, the Zoho that is asked, and the program."""
    rooms = house()
    where = rooms.vault.where
    key = {"Kept in": where.kind.replace("-", " "), "Exactly": where.detail}
    better = [explain(fail(code).failure) for code in where.better]
    if better:
        key["Better"] = " Or: ".join(f"{each.title}. {each.remedy}" for each in better)
    store = {
        "Database": rooms.home.database,
        "Data": rooms.home.data_dir,
        "Configuration": rooms.home.config_dir,
    }
    backed_up_at, retired_at = rooms.store.backed_up_at(), rooms.store.retired_at()
    store["Last backup"] = ago(backed_up_at, rooms.clock()) if backed_up_at else NEVER
    watched_at = rooms.store.watched_at()
    store["Last watch"] = ago(watched_at, rooms.clock()) if watched_at else UNWATCHED
    store["Alarm"] = shown(rooms.store.notify_command()) or UNTOLD
    if retired_at:
        store["Moved away"] = moment(retired_at)
    upstream = {
        "Which": "the real one" if rooms.zoho.live else f"made up, at {rooms.zoho.mark}",
        "Data centres": ", ".join(each.location for each in rooms.zoho.data_centres),
        "Redirect URI": rooms.settings.redirect_uri,
    }
    program = {
        "Version": importlib.metadata.version("zoho-wizard"),
        "Access": phrase("access-check", peers().access_check),
    }
    return render_template(
        "status.html",
        cautions=rooms.cautions.of_home(),
        parts=[
            ("Key", key, STRENGTH[where.strength]),
            ("Store", store, None),
            ("Zoho", upstream, None),
            ("Program", program, None),
        ],
    )
