"""The whole story as a person lives it, in a real browser against the simulated Zoho."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wizard.cli.browser import BrowserLinkFactory
from wizard.cli.screenshots import Screenshots
from wizard.model import GrantState
from wizard.services import Services
from wizard.verification import headline
from wizard.zoho import product

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

    from wizard.simulator.server import Simulator
    from wizard.simulator.simulated_user.wizard_pages import NewConnectionPage

EMAIL = "anna@zylker.example"


@dataclass(frozen=True)
class Integration:
    """A task of somebody's, its connection, and the program that does it."""

    preset_title: str
    connection: str
    profile: str
    credentials_file: str
    """Where its program reads the credentials, below the home of the tour."""
    api_path: str
    """What the program asks of the API domain to learn whom it reaches."""


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

FIRST_CONNECTION_MAX_ACTIONS, NEXT_CONNECTION_MAX_ACTIONS = 14, 4
"""Actions that a first connection with a client of one's own, and each next one, may take. By hand
the first takes 28."""
CLOCK_ADVANCE_SECONDS = 11 * 60
"""Seconds after which Zoho may be asked for tokens again: three connections and their programs have
used up what it allows in ten minutes."""
REAUTHORIZATION_MAX_ACTIONS = len(INTEGRATIONS) + 2
"""One consent for each connection, one action to come to the repair and one to begin it."""


@dataclass(frozen=True)
class TourStepResult:
    """One act of the story: what was to happen, what shows that it did."""

    title: str
    has_succeeded: bool
    evidence: str
    actions: int | None = None
    """Clicks, fields, choices, copies and pastes, signing in excluded; None where nobody acts."""
    max_actions: int | None = None

    @property
    def is_passed(self) -> bool:
        """Proved, and in no more actions than it may take."""
        return self.has_succeeded and (
            self.max_actions is None or (self.actions or 0) <= self.max_actions
        )


class TourScenario:
    """The acts, each of which returns its proof. They are played in the order they stand in.

    `browsing` is one person's browser, `elsewhere` somebody else's; `launch_link` lets the first
    into the wizard's pages, `environment` is what a command needs to reach the same wizard, and
    programs find their credentials in `directory`.
    """

    def __init__(
        self,
        services: Services,
        simulator: "Simulator",
        user_context: "BrowserContext",
        other_context: "BrowserContext",
        create_browser_link: BrowserLinkFactory,
        screenshots: Screenshots,
        environment: Mapping[str, str],
        directory: Path,
    ) -> None:
        from wizard.simulator.simulated_user import SimulatedUser
        from wizard.simulator.simulated_user.wizard_pages import ConnectionPage

        self._services = services
        self._simulator = simulator
        self._other_context = other_context
        self._screenshots = screenshots
        self._environment = environment
        self._directory = directory
        self._user = SimulatedUser(user_context.new_page())
        self._connection_page = ConnectionPage(self._user)
        self._user.go(create_browser_link("/", False))

    # acts

    def first_connection(self) -> TourStepResult:
        """From nothing to a proved refresh token, with a client registered on the way."""
        from wizard.simulator.simulated_user.wizard_pages import NewConnectionPage

        form, before = NewConnectionPage(self._user), self._user.actions
        self._screenshots.take(self._user.page, "new-connection")
        form.choose_data_center("Europe (eu)")
        form.choose_preset(INTEGRATIONS[0].preset_title)
        self._screenshots.take(self._user.page, "register-a-client")
        form.paste_credentials(self._register_client(form))
        form.connect()
        self._screenshots.take(self._user.page, "consent")
        result = self._accept_and_verify(
            "First connection, own client", before, FIRST_CONNECTION_MAX_ACTIONS
        )
        self._screenshots.take(self._user.page, "receipt")
        return result

    def next_connection(self, title: str, integration: Integration) -> TourStepResult:
        """Another task with the client that is there."""
        from wizard.simulator.simulated_user.wizard_pages import NewConnectionPage

        self._go("/")
        before = self._user.actions
        form = NewConnectionPage(self._user)
        form.open()
        form.choose_preset(integration.preset_title)
        form.connect()
        return self._accept_and_verify(title, before, NEXT_CONNECTION_MAX_ACTIONS)

    def run_script(self) -> TourStepResult:
        """A script asks the installed command for a token, and calls CRM with it."""
        title, name = "A script asks for a token", INTEGRATIONS[0].connection
        process = self._command("token", name)
        grant = self._services.store.grants.get(name)
        if process.returncode or grant is None:
            return TourStepResult(
                title, False, f"zoho-wizard token ended with {process.returncode}"
            )
        token = process.stdout.strip()
        api = self._services.product_api.masking(self._services.tokens.secrets_of(grant))
        reached = api.organizations(product("crm"), token, grant.location)
        organizations = ", ".join(each.name for each in reached)
        return TourStepResult(
            title, bool(organizations), f"zoho-wizard token {name}; CRM answers as {organizations}"
        )

    def deliver_credentials(self) -> TourStepResult:
        """Each program is given the credentials of its connection, in the file that it reads."""
        processes = [
            self._command(
                "deliver",
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
        return TourStepResult(
            "Handed to three programs", not any(each.returncode for each in processes), files
        )

    def run_programs(self, title: str) -> TourStepResult:
        """Each program renews its own access token with what it was given, and calls its API."""
        from wizard.simulator import sample_program

        processes = [
            self._run(str(sample_program.__file__), each.credentials_file, each.api_path)
            for each in INTEGRATIONS
        ]
        reached = [each.stdout.strip() or each.stderr.strip() for each in processes]
        evidence = "; ".join(
            f"{each.credentials_file} reaches {who}"
            for each, who in zip(INTEGRATIONS, reached, strict=True)
        )
        has_succeeded = all(each.returncode == 0 and each.stdout.strip() for each in processes)
        return TourStepResult(title, has_succeeded, evidence)

    def change_password(self) -> TourStepResult:
        """The password is changed elsewhere, and both boxes ticked: sessions and tokens end."""
        from wizard.simulator.simulated_user import SecurityPage, SignInPage, SimulatedUser

        user = SimulatedUser(self._other_context.new_page())
        security = SecurityPage(user)
        user.go(f"{self._simulator.url}/eu/accounts/home")
        password = self._password()
        SignInPage(user).sign_in(EMAIL, password)
        security.change_password(password, "another-made-up-password")
        user.choose(security.end_sessions)
        user.choose(security.remove_tokens)
        security.submit_endings()
        user.page.close()
        active_tokens = self._simulator.controls.state()["active_refresh_tokens"]
        return TourStepResult(
            "Password changed, tokens removed",
            active_tokens == 0,
            f"{active_tokens} refresh tokens live at Zoho",
        )

    def detect_failure(self) -> TourStepResult:
        """The wizard finds out, and tells one cause for all."""
        self._simulator.controls.advance(CLOCK_ADVANCE_SECONDS)
        self._services.monitoring.run_checks([each.connection for each in INTEGRATIONS])
        self._go("/")
        headings = self._user.page.locator(".explanation").get_by_role("heading", level=2)
        headings.first.wait_for()
        self._screenshots.take(self._user.page, "one-cause")
        titles = headings.all_inner_texts()
        self._go(f"/connections/{INTEGRATIONS[0].connection}")
        self._screenshots.take(self._user.page, "found-dead")
        rejected = self._services.reauthorization.rejected_connections()
        is_single_cause = len(rejected) == len(INTEGRATIONS) and len(titles) == 1
        return TourStepResult("Found out", is_single_cause, "; ".join(titles))

    def reauthorize(self) -> TourStepResult:
        """All are authorized again with one sign-in: same names, same scopes, next generation."""
        from wizard.simulator.simulated_user import ConsentPage, SignInPage
        from wizard.simulator.simulated_user.wizard_pages import ReauthorizationPage

        self._go("/")
        before = self._user.actions
        page = ReauthorizationPage(self._user)
        self._user.click(
            self._user.page.get_by_role("link", name=f"Repair {len(INTEGRATIONS)} connections")
        )
        page.begin()
        SignInPage(self._user).sign_in(EMAIL, self._password())
        for _ in INTEGRATIONS:
            ConsentPage(self._user).accept()
            page.wait_for_next_step()
        self._screenshots.take(self._user.page, "repaired")
        grants = [self._services.store.grants.get(each.connection) for each in INTEGRATIONS]
        renewed = [
            grant
            for grant in grants
            if grant and grant.state is GrantState.VERIFIED and grant.generation > 1
        ]
        self._go("/")
        self._screenshots.take(self._user.page, "connections")
        return TourStepResult(
            "Repaired with one sign-in",
            len(renewed) == len(INTEGRATIONS),
            f"{len(renewed)} connections with a new grant, each proved",
            self._user.actions - before,
            REAUTHORIZATION_MAX_ACTIONS,
        )

    # what acts are made of

    def _register_client(self, form: "NewConnectionPage") -> str:
        """Register a client in the console, in a tab of its own; return what was copied there."""
        from wizard.simulator.simulated_user import ConsolePage, SignInPage, SimulatedUser

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
        copied = console.copy_id_and_secret()
        tab.page.close()
        return copied

    def _accept_and_verify(self, title: str, before: int, max_actions: int) -> TourStepResult:
        from wizard.simulator.simulated_user import ConsentPage

        ConsentPage(self._user).accept()
        self._connection_page.wait_until_verified()
        name = self._user.page.url.rstrip("/").rpartition("/")[2]
        grant = self._services.store.grants.get(name)
        is_verified = grant is not None and grant.state is GrantState.VERIFIED
        evidence = headline(grant) if grant else "no grant is stored"
        return TourStepResult(
            title, is_verified, evidence, self._user.actions - before, max_actions
        )

    def _go(self, path: str) -> None:
        self._user.go(f"{self._services.settings.base_url}{path}")

    def _password(self) -> str:
        """The made-up password that is right now."""
        people = {each["email"]: each["password"] for each in self._simulator.controls.users()}
        return str(people[EMAIL])

    def _command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self._run("-m", "wizard", *arguments)

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run Python where the programs find their files."""
        return subprocess.run(  # noqa: S603 - our own commands, and no shell
            [sys.executable, *arguments],
            env=dict(self._environment),
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
        )
