"""The whole story as a person lives it, in a real browser against the simulated Zoho."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wizard.cli.pictures import Camera
from wizard.cli.window import LaunchLink
from wizard.house import House
from wizard.model import GrantState
from wizard.validation import headline
from wizard.zoho import product

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

    from wizard.sandbox.person.wizard_pages import NewConnection
    from wizard.sandbox.server import Sandbox

EMAIL = "anna@zylker.example"


@dataclass(frozen=True)
class Integration:
    """A task of somebody's, its connection, and the program that does it."""

    task: str
    connection: str
    profile: str
    file: str
    """Where its program reads the credentials, below the home of the tour."""
    path: str
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

FIRST_LIMIT, NEXT_LIMIT = 14, 4
"""Actions that a first connection with a client of one's own, and each next one, may take. By hand
the first takes 28."""
LATER = 11 * 60
"""Seconds after which Zoho may be asked for tokens again: three connections and their programs have
used up what it allows in ten minutes."""
REPAIR_LIMIT = len(INTEGRATIONS) + 2
"""One consent for each connection, one action to come to the repair and one to begin it."""


@dataclass(frozen=True)
class Proof:
    """One act of the story: what was to happen, what shows that it did."""

    title: str
    proved: bool
    evidence: str
    actions: int | None = None
    """Clicks, fields, choices, copies and pastes, signing in excluded; None where nobody acts."""
    limit: int | None = None

    @property
    def good(self) -> bool:
        """Proved, and in no more actions than it may take."""
        return self.proved and (self.limit is None or (self.actions or 0) <= self.limit)


class Story:
    """The acts, each of which returns its proof. They are played in the order they stand in.

    `browsing` is one person's browser, `elsewhere` somebody else's; `launch_link` lets the first
    into the wizard's pages, `environment` is what a command needs to reach the same wizard, and
    programs find their credentials in `directory`.
    """

    def __init__(
        self,
        house: House,
        simulated: "Sandbox",
        browsing: "BrowserContext",
        elsewhere: "BrowserContext",
        launch_link: LaunchLink,
        camera: Camera,
        environment: Mapping[str, str],
        directory: Path,
    ) -> None:
        from wizard.sandbox.person import Person
        from wizard.sandbox.person.wizard_pages import ConnectionPage

        self._house = house
        self._simulated = simulated
        self._elsewhere = elsewhere
        self._camera = camera
        self._environment = environment
        self._directory = directory
        self._person = Person(browsing.new_page())
        self._page = ConnectionPage(self._person)
        self._person.go(launch_link("/", False))

    # acts

    def first_connection(self) -> Proof:
        """From nothing to a proved refresh token, with a client registered on the way."""
        from wizard.sandbox.person.wizard_pages import NewConnection

        form, before = NewConnection(self._person), self._person.actions
        self._camera.take(self._person.page, "new-connection")
        form.choose_data_centre("Europe (eu)")
        form.choose_task(INTEGRATIONS[0].task)
        self._camera.take(self._person.page, "register-a-client")
        form.paste_credentials(self._register_client(form))
        form.connect()
        self._camera.take(self._person.page, "consent")
        proof = self._accept_and_prove("First connection, own client", before, FIRST_LIMIT)
        self._camera.take(self._person.page, "receipt")
        return proof

    def next_connection(self, title: str, integration: Integration) -> Proof:
        """Another task with the client that is there."""
        from wizard.sandbox.person.wizard_pages import NewConnection

        self._go("/")
        before = self._person.actions
        form = NewConnection(self._person)
        form.begin()
        form.choose_task(integration.task)
        form.connect()
        return self._accept_and_prove(title, before, NEXT_LIMIT)

    def script(self) -> Proof:
        """A script asks the installed command for a token, and calls CRM with it."""
        title, name = "A script asks for a token", INTEGRATIONS[0].connection
        ran = self._command("token", name)
        grant = self._house.store.grant(name)
        if ran.returncode or grant is None:
            return Proof(title, False, f"zoho-wizard token ended with {ran.returncode}")
        token = ran.stdout.strip()
        reached = self._house.resource.organizations(product("crm"), token, grant.location)
        who = ", ".join(each.name for each in reached)
        return Proof(title, bool(who), f"zoho-wizard token {name}; CRM answers as {who}")

    def handing_over(self) -> Proof:
        """Each program is given the credentials of its connection, in the file that it reads."""
        ran = [
            self._command(
                "deliver", each.connection, "--profile", each.profile, "--to", each.file, "--yes"
            )
            for each in INTEGRATIONS
        ]
        files = ", ".join(each.file for each in INTEGRATIONS)
        return Proof("Handed to three programs", not any(each.returncode for each in ran), files)

    def programs(self, title: str) -> Proof:
        """Each program renews its own access token with what it was given, and calls its API."""
        from wizard.sandbox import program

        ran = [self._run(str(program.__file__), each.file, each.path) for each in INTEGRATIONS]
        reached = [each.stdout.strip() or each.stderr.strip() for each in ran]
        evidence = "; ".join(
            f"{each.file} reaches {who}" for each, who in zip(INTEGRATIONS, reached, strict=True)
        )
        good = all(each.returncode == 0 and each.stdout.strip() for each in ran)
        return Proof(title, good, evidence)

    def password_change(self) -> Proof:
        """The password is changed elsewhere, and both boxes ticked: sessions and tokens end."""
        from wizard.sandbox.person import Person, Security, SignIn

        person = Person(self._elsewhere.new_page())
        security = Security(person)
        person.go(f"{self._simulated.url}/eu/accounts/home")
        password = self._password()
        SignIn(person).sign_in(EMAIL, password)
        security.change_password(password, "another-made-up-password")
        person.choose(security.end_sessions)
        person.choose(security.remove_tokens)
        security.go_on()
        person.page.close()
        living = self._simulated.admin.state()["live_refresh_tokens"]
        return Proof(
            "Password changed, tokens removed", living == 0, f"{living} refresh tokens live at Zoho"
        )

    def finding(self) -> Proof:
        """The wizard finds out, and tells one cause for all."""
        self._simulated.admin.advance(LATER)
        self._house.alarm.look([each.connection for each in INTEGRATIONS])
        self._go("/")
        told = self._person.page.locator(".finding").get_by_role("heading", level=2)
        told.first.wait_for()
        self._camera.take(self._person.page, "one-cause")
        titles = told.all_inner_texts()
        self._go(f"/connections/{INTEGRATIONS[0].connection}")
        self._camera.take(self._person.page, "found-dead")
        dead = self._house.repairs.refused()
        found = len(dead) == len(INTEGRATIONS) and len(titles) == 1
        return Proof("Found out", found, "; ".join(titles))

    def repair(self) -> Proof:
        """All are authorized again with one sign-in: same names, same scopes, next generation."""
        from wizard.sandbox.person import Consent, SignIn
        from wizard.sandbox.person.wizard_pages import RepairPage

        self._go("/")
        before = self._person.actions
        page = RepairPage(self._person)
        self._person.click(
            self._person.page.get_by_role("link", name=f"Repair {len(INTEGRATIONS)} connections")
        )
        page.begin()
        SignIn(self._person).sign_in(EMAIL, self._password())
        for _ in INTEGRATIONS:
            Consent(self._person).accept()
            page.wait_for_what_comes_next()
        self._camera.take(self._person.page, "repaired")
        grants = [self._house.store.grant(each.connection) for each in INTEGRATIONS]
        renewed = [
            grant
            for grant in grants
            if grant and grant.state is GrantState.PROVED and grant.generation > 1
        ]
        self._go("/")
        self._camera.take(self._person.page, "connections")
        return Proof(
            "Repaired with one sign-in",
            len(renewed) == len(INTEGRATIONS),
            f"{len(renewed)} connections with a new grant, each proved",
            self._person.actions - before,
            REPAIR_LIMIT,
        )

    # what acts are made of

    def _register_client(self, form: "NewConnection") -> str:
        """Register a client in the console, in a tab of its own; return what was copied there."""
        from wizard.sandbox.person import Console, Person, SignIn

        shown = {what: form.shown(what) for what in ("client name", "homepage URL")}
        redirect_uri = form.shown("redirect URI")
        tab = Person(form.go_to_console(), self._person.counter)
        SignIn(tab).sign_in(EMAIL, self._password())
        console = Console(tab)
        console.create_now()
        tab.fill(console.client_name, shown["client name"])
        tab.fill(console.homepage_url, shown["homepage URL"])
        tab.paste(console.redirect_uris, redirect_uri)
        console.create()
        copied = console.copy_id_and_secret()
        tab.page.close()
        return copied

    def _accept_and_prove(self, title: str, before: int, limit: int) -> Proof:
        from wizard.sandbox.person import Consent

        Consent(self._person).accept()
        self._page.wait_until_proved()
        name = self._person.page.url.rstrip("/").rpartition("/")[2]
        grant = self._house.store.grant(name)
        proved = grant is not None and grant.state is GrantState.PROVED
        evidence = headline(grant) if grant else "no grant is stored"
        return Proof(title, proved, evidence, self._person.actions - before, limit)

    def _go(self, path: str) -> None:
        self._person.go(f"{self._house.settings.base_url}{path}")

    def _password(self) -> str:
        """The made-up password that is right now."""
        people = {each["email"]: each["password"] for each in self._simulated.admin.people()}
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
