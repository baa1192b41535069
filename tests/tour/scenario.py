"""The steps of the tour, as a user takes them in a real browser."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import BrowserContext, Page
from support.wizard_pages import (
    ConnectionPage,
    NewConnectionPage,
    ReauthorizationPage,
)

from tour import program
from wizard.cli.flows.serving import BrowserLinkFactory
from wizard.connection_details import headline
from wizard.model import GrantState
from wizard.services import Services
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import (
    ConsentPage,
    ConsolePage,
    SecurityPage,
    SignInPage,
    SimulatedUser,
)
from wizard.zoho import product

EMAIL = "anna@zylker.example"


@dataclass(frozen=True)
class Integration:
    """What a program needs, its connection, and how it gets its credentials."""

    preset_title: str
    connection: str
    profile: str
    credentials_file: str
    """In the data directory of the tour."""
    api_path: str
    """The call by which the program finds out which organization or user it reaches."""


INTEGRATIONS = (
    Integration("Read CRM leads", "crm-read-leads", "dotenv", "leads.env", "/crm/v8/org"),
    Integration(
        "Read Books invoices",
        "books-read-invoices",
        "json",
        "invoices.json",
        "/books/v3/organizations",
    ),
    Integration(
        "Read and upload WorkDrive files",
        "workdrive-files",
        "dotenv",
        "files.env",
        "/workdrive/api/v1/users/me",
    ),
)

FIRST_CONNECTION_MAX_ACTIONS, NEXT_CONNECTION_MAX_ACTIONS = 16, 6
"""Actions for the first connection, client included, and for each one after it."""
CLOCK_ADVANCE_SECONDS = 11 * 60
"""Three connections and their programs use up Zoho's limit for ten minutes."""
REAUTHORIZATION_MAX_ACTIONS = len(INTEGRATIONS) + 3
"""One consent for each connection, one action to open the wizard, one to open the
re-authorization, one to start it."""
ASSISTED_FIRST_CONNECTION_ACTIONS = 4
"""In the assisted window: the command, CREATE, yes, Accept."""
ASSISTED_NEXT_CONNECTION_ACTIONS = 2
"""The command and Accept."""
ASSISTED_REAUTHORIZATION_ACTIONS = 2
"""The command and yes, however many connections there are."""


@dataclass(frozen=True)
class StepResult:
    """A step: what it does, whether it worked, and what shows that."""

    title: str
    has_succeeded: bool
    evidence: str
    actions: int | None = None
    """Commands, clicks, fields, choices, copies and pastes without those of signing in; None for no
    user."""
    max_actions: int | None = None

    @property
    def has_passed(self) -> bool:
        """Whether the step worked, in no more than `max_actions`."""
        return self.has_succeeded and (
            self.max_actions is None or (self.actions or 0) <= self.max_actions
        )


class Screenshots:
    """Takes screenshots in light and dark mode; takes none if `directory` is None."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def take(self, page: Page, name: str) -> None:
        """Write `<name>-light.png` and `<name>-dark.png`."""
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=self._directory / f"{name}-{scheme}.png", animations="disabled")
        page.emulate_media(color_scheme=None)


class TourScenario:
    """The steps, to be called in this order.

    `user_context` is the browser of the wizard's user, `other_context` another browser of the same
    user. `environment` lets commands reach the same wizard. Programs run in `directory`.
    """

    def __init__(
        self,
        services: Services,
        simulator: Simulator,
        user_context: BrowserContext,
        other_context: BrowserContext,
        create_browser_link: BrowserLinkFactory,
        screenshots: Screenshots,
        environment: Mapping[str, str],
        directory: Path,
    ) -> None:

        self._services = services
        self._simulator = simulator
        self._other_context = other_context
        self._screenshots = screenshots
        self._environment = environment
        self._directory = directory
        self._user = SimulatedUser(user_context.new_page())
        self._connection_page = ConnectionPage(self._user)
        self._create_browser_link = create_browser_link

    def first_connection(self) -> StepResult:
        """Register a client, authorize, verify."""
        before = self._user.actions
        self._open_wizard()
        form = NewConnectionPage(self._user)
        self._screenshots.take(self._user.page, "new-connection")
        form.choose_data_center("Europe (zoho.eu)")
        form.choose_preset(INTEGRATIONS[0].preset_title)
        self._screenshots.take(self._user.page, "register-a-client")
        form.paste_credentials(*self._register_client(form))
        form.connect()
        self._screenshots.take(self._user.page, "consent")
        result = self._accept_and_verify(
            "First connection, own client", before, FIRST_CONNECTION_MAX_ACTIONS
        )
        self._screenshots.take(self._user.page, "verification-report")
        return result

    def next_connection(self, title: str, integration: Integration) -> StepResult:
        """Authorize another connection with the client that is there."""
        before = self._user.actions
        self._open_wizard()
        form = NewConnectionPage(self._user)
        form.open()
        form.choose_preset(integration.preset_title)
        form.connect()
        return self._accept_and_verify(title, before, NEXT_CONNECTION_MAX_ACTIONS)

    def run_script(self) -> StepResult:
        """Get a token with `zoho-wizard token` and call CRM with it."""
        title, name = "A script gets a token", INTEGRATIONS[0].connection
        process = self._command("token", name)
        grant = self._services.store.grants.get(name)
        if process.returncode or grant is None:
            return StepResult(title, False, f"zoho-wizard token ended with {process.returncode}")
        token = process.stdout.strip()
        api = self._services.product_api.masking(self._services.client_requests.secrets_of(grant))
        reached = api.organizations(product("crm"), token, grant.location)
        organizations = ", ".join(each.name for each in reached)
        return StepResult(
            title, bool(organizations), f"zoho-wizard token {name}; CRM answers as {organizations}"
        )

    def deliver_credentials(self) -> StepResult:
        """Deliver the credentials of each connection to the file that its program reads."""
        processes = [
            self._command(
                "destination",
                "add",
                each.connection,
                "--profile",
                each.profile,
                "--to",
                each.credentials_file,
                "--yes",
            )
            for each in INTEGRATIONS
        ]
        files = ", ".join(each.credentials_file for each in INTEGRATIONS)
        return StepResult(
            "Delivered to three programs", not any(each.returncode for each in processes), files
        )

    def run_programs(self, title: str) -> StepResult:
        """Let each program refresh its own access token and call its API."""
        processes = [
            self._run(str(program.__file__), each.credentials_file, each.api_path)
            for each in INTEGRATIONS
        ]
        reached = [each.stdout.strip() or each.stderr.strip() for each in processes]
        evidence = "; ".join(
            f"{each.credentials_file} reaches {who}"
            for each, who in zip(INTEGRATIONS, reached, strict=True)
        )
        has_succeeded = all(each.returncode == 0 and each.stdout.strip() for each in processes)
        return StepResult(title, has_succeeded, evidence)

    def change_password(self) -> StepResult:
        """Change the password in another browser, and revoke all sessions and tokens."""
        user = SimulatedUser(self._other_context.new_page())
        security = SecurityPage(user)
        user.go(f"{self._simulator.url}/eu/accounts/home")
        password = self._password()
        SignInPage(user).sign_in(EMAIL, password)
        security.change_password(password, "another-simulated-password")
        user.choose(security.end_sessions)
        user.choose(security.remove_tokens)
        security.submit_session_choices()
        user.page.close()
        active_tokens = self._simulator.controls.state()["active_refresh_tokens"]
        return StepResult(
            "Password changed, tokens removed",
            active_tokens == 0,
            f"{active_tokens} active refresh tokens at Zoho",
        )

    def detect_failure(self) -> StepResult:
        """Run the checks; the wizard shows one cause for all connections."""
        self._simulator.controls.advance(CLOCK_ADVANCE_SECONDS)
        self._services.monitoring.run_checks([each.connection for each in INTEGRATIONS])
        self._go("/")
        headings = self._user.page.locator(".explanation").get_by_role("heading", level=2)
        headings.first.wait_for()
        self._screenshots.take(self._user.page, "one-cause")
        titles = headings.all_inner_texts()
        self._go(f"/connections/{INTEGRATIONS[0].connection}")
        self._screenshots.take(self._user.page, "needs-reauthorization")
        rejected = self._services.reauthorization.rejected_connections()
        is_single_cause = len(rejected) == len(INTEGRATIONS) and len(titles) == 1
        return StepResult("Failure detected", is_single_cause, "; ".join(titles))

    def reauthorize(self) -> StepResult:
        """Re-authorize all connections with one sign-in."""
        before = self._user.actions
        self._open_wizard()
        page = ReauthorizationPage(self._user)
        self._user.click(
            self._user.page.get_by_role(
                "link", name=f"Re-authorize {len(INTEGRATIONS)} connections"
            )
        )
        page.begin()
        SignInPage(self._user).sign_in(EMAIL, self._password())
        for _ in INTEGRATIONS:
            ConsentPage(self._user).accept()
            page.wait_for_next_step()
        self._screenshots.take(self._user.page, "reauthorized")
        grants = [self._services.store.grants.get(each.connection) for each in INTEGRATIONS]
        renewed = [
            grant
            for grant in grants
            if grant and grant.state is GrantState.VERIFIED and grant.generation > 1
        ]
        self._go("/")
        self._screenshots.take(self._user.page, "connections")
        return StepResult(
            "Re-authorized with one sign-in",
            len(renewed) == len(INTEGRATIONS),
            f"{len(renewed)} connections with a new grant, each verified",
            self._user.actions - before,
            REAUTHORIZATION_MAX_ACTIONS,
        )

    def _open_wizard(self) -> None:
        """Run `zoho-wizard`, which opens the list of connections: one action."""
        self._user.counter.record("command zoho-wizard", is_signing_in=False)
        self._user.go(self._create_browser_link("/", False))

    def _register_client(self, form: NewConnectionPage) -> tuple[str, str]:
        """Register a client in the console, in a new tab; return its ID and secret.

        The user types the client name and the homepage URL, and copies the two values one at a
        time.
        """
        shown = {what: form.copyable_text(what) for what in ("client name", "homepage URL")}
        redirect_uri = form.copyable_text("redirect URI")
        tab = SimulatedUser(form.go_to_console(), self._user.counter)
        SignInPage(tab).sign_in(EMAIL, self._password())
        console = ConsolePage(tab)
        console.choose_client_type()
        tab.fill(console.client_name, shown["client name"])
        tab.fill(console.homepage_url, shown["homepage URL"])
        tab.paste(console.redirect_uris, redirect_uri)
        console.create()
        copied = tab.copy(console.client_id), tab.copy(console.client_secret)
        tab.page.close()
        return copied

    def _accept_and_verify(self, title: str, before: int, max_actions: int) -> StepResult:

        ConsentPage(self._user).accept()
        self._connection_page.wait_until_verified()
        name = self._user.page.url.rstrip("/").rpartition("/")[2]
        grant = self._services.store.grants.get(name)
        is_verified = grant is not None and grant.state is GrantState.VERIFIED
        evidence = headline(grant) if grant else "no grant is stored"
        return StepResult(title, is_verified, evidence, self._user.actions - before, max_actions)

    def _go(self, path: str) -> None:
        self._user.go(f"{self._services.settings.base_url}{path}")

    def _password(self) -> str:
        """Return the current password."""
        passwords = {each["email"]: each["password"] for each in self._simulator.controls.users()}
        return str(passwords[EMAIL])

    def _command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("-m", "wizard", *arguments)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the data directory."""
        return subprocess.run(
            [sys.executable, *arguments],
            env=dict(self._environment),
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
        )
