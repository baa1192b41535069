"""The status page of the installation."""

import importlib.metadata

from flask import Blueprint, render_template

from wizard.errors import explain, fail, message
from wizard.model.states import Tone
from wizard.monitoring.notifications import target_name
from wizard.web.context import get_services, peers, reads_snapshot

pages = Blueprint("status", __name__)


@pages.get("/status")
@reads_snapshot
def show() -> str:
    """Show whether all is well, what is recommended, and where everything is."""
    services = get_services()
    store, now = services.store, services.clock()
    key_storage = services.vault.key_storage
    unsettled = [each.status(now).state.tone for each in store.overviews.unsettled()]
    access_check = peers().access_check
    return render_template(
        "status.html",
        cautions=services.cautions.of_installation(),
        connection_count=len(store.connections.all()),
        failing_count=unsettled.count(Tone.BAD),
        destination_count=len(store.destinations.all()),
        destination_problems=services.delivery.problems(),
        key_is_strong=key_storage.strength == "strong",
        key_place=message("key-places", key_storage.kind),
        key_readers=message("key-readers", key_storage.kind),
        key_detail=key_storage.detail,
        key_options=[explain(fail(code).failure) for code in key_storage.stronger_options],
        machines=store.machines.all(),
        backed_up_at=store.installation.backed_up_at(),
        deactivated_at=store.installation.deactivated_at(),
        last_checked_at=store.monitoring.last_checked_at(),
        notify_target=target_name(store.monitoring.notify_command()),
        notify_failed=store.monitoring.notify_failure() is not None,
        is_user_checked=access_check == "user",
        access_check=message("access-check", access_check),
        redirect_uri=services.settings.redirect_uri,
        data_center_names=[each.name for each in services.zoho.data_centers],
        paths=services.paths,
        database=store.database.path,
        version=importlib.metadata.version("zoho-wizard"),
    )
