"""A process that kills itself: ``python -m soak.killed DIRECTORY SIMULATOR TIME STEP TASK NAME``.

The steps are those of `support.interrupted_swap`.
"""

import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from support.harness import query_parameters, settings_for
from support.interrupted_swap import kill_at_step

from wizard.errors import WizardError
from wizard.services import Services
from wizard.simulator.remote import RemoteSimulator


def perform(services: Services, simulator: str, task: str, name: str) -> None:
    """Request a token, check a connection, or authorize it again and swap its grant."""
    if task == "token":
        services.tokens.access_token(name, force_refresh=True)
    elif task == "check":
        services.checks.check([name])
    else:
        grant = services.store.grants.get(name)
        assert grant is not None
        services.reauthorization.begin([name])
        begun = services.authorization.begin(name)
        (organization,) = (each.id for each in grant.organizations if each.product == "crm")
        url = RemoteSimulator(simulator).controls.authorize(begun.url, grant.email, organization)
        cookies = {begun.cookie_name: begun.cookie_value}
        done = services.authorization.complete(query_parameters(url), cookies)
        assert done.generation is not None
        list(services.verification.verify(name, done.generation))
        services.reauthorization.continue_after_verification(name)


if __name__ == "__main__":
    directory, simulator, time, step, task, name = sys.argv[1:]
    now = datetime.fromisoformat(time)
    with Services.open(settings_for(Path(directory), simulator), lambda: now) as services:
        kill_at_step(int(step), services)
        with suppress(WizardError):
            perform(services, simulator, task, name)
