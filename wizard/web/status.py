"""The status page of the installation."""

import importlib.metadata

from flask import Blueprint, render_template

from wizard.errors import explain, fail, message
from wizard.model.states import Tone
from wizard.monitoring.notifications import target_name
from wizard.timefmt import format_age, format_time
from wizard.web.context import get_services, peers
from wizard.web.view_models import StatusBadge

pages = Blueprint("status", __name__)

NO_BACKUP = "never; in a terminal: zoho-wizard backup FILE"
NO_CHECK = "never; in a terminal: zoho-wizard monitor"
NO_NOTIFICATIONS = "none; in a terminal: zoho-wizard monitor --notify COMMAND|URL"
STRENGTH_BADGES = {
    "strong": StatusBadge("Strong", Tone.GOOD),
    "weak": StatusBadge("Weak", Tone.WAIT),
}


@pages.get("/status")
def show() -> str:
    """Show the encryption key, the store, the Zoho environment, and the version."""
    services = get_services()
    key_storage = services.vault.key_storage
    key = {"Kept in": key_storage.kind.replace("-", " "), "Exactly": key_storage.detail}
    stronger_options = [explain(fail(code).failure) for code in key_storage.stronger_options]
    if stronger_options:
        key["Better"] = " Or: ".join(f"{each.title}. {each.fix}" for each in stronger_options)
    store = {
        "Database": services.paths.database,
        "Data": services.paths.data_dir,
        "Configuration": services.paths.config_dir,
    }
    backed_up_at, deactivated_at = (
        services.store.installation.backed_up_at(),
        services.store.installation.deactivated_at(),
    )
    store["Last backup"] = format_age(backed_up_at, services.clock()) if backed_up_at else NO_BACKUP
    last_checked_at = services.store.monitoring.last_checked_at()
    store["Last monitor check"] = (
        format_age(last_checked_at, services.clock()) if last_checked_at else NO_CHECK
    )
    store["Notifications"] = (
        target_name(services.store.monitoring.notify_command()) or NO_NOTIFICATIONS
    )
    if deactivated_at:
        store["Moved away"] = format_time(deactivated_at, services.clock())
    zoho_facts = {
        "Which": "the real one"
        if services.zoho.is_live
        else f"made up, at {services.zoho.instance}",
        "Data centres": ", ".join(each.location for each in services.zoho.data_centers),
        "Redirect URI": services.settings.redirect_uri,
    }
    program = {
        "Version": importlib.metadata.version("zoho-wizard"),
        "Access": message("access-check", peers().access_check),
    }
    return render_template(
        "status.html",
        cautions=services.cautions.of_installation(),
        parts=[
            ("Key", key, STRENGTH_BADGES[key_storage.strength]),
            ("Store", store, None),
            ("Zoho", zoho_facts, None),
            ("Program", program, None),
        ],
    )
