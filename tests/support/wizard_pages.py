"""The wizard's pages as a user sees them: by role and label."""

import re

from playwright.sync_api import Locator, Page

from wizard.simulator.simulated_user import SignInPage, SimulatedUser


class NewConnectionPage:
    """The two pages that create a connection: choose a preset, then a client."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.data_center = self.page.get_by_label("Which data center is your account in?")
        self.zoho_url = self.page.get_by_label("Paste any Zoho URL")
        self.scopes = self.page.get_by_label("Scopes", exact=True)
        self.preset_search = self.page.get_by_label("Search presets")
        self.open_console = self.page.get_by_role("link", name="open the API Console")
        self.credentials = self.page.get_by_label("Client ID and client secret")
        self.has_common_secret = self.page.get_by_label("Same credentials for all data centers")
        self.client = self.page.get_by_label("Client", exact=True)
        self.name = self.page.get_by_label("Connection name")
        self.connect_button = self.page.get_by_role("button", name="onnect to Zoho")
        self.explanation = self.page.locator(".explanation")

    def open(self) -> None:
        """Start from the list of connections. If it's empty, its page is this one."""
        self.user.click(self.page.get_by_role("link", name="New connection"))

    def choose_data_center(self, name: str) -> None:
        """Choose by the text in the list: `Europe (zoho.eu)`."""
        self.user.choose(self.data_center, name)

    def preset(self, title: str) -> Locator:
        """Return the checkbox of a preset."""
        return self.page.get_by_label(title)

    def choose_preset(self, title: str) -> None:
        """Choose a preset and continue."""
        self.user.choose(self.preset(title))
        self.press_continue()

    def choose_scopes(self, scope: str) -> None:
        """Enter scopes instead of choosing a preset, and continue."""
        self.user.click(self.page.get_by_text("Enter scopes myself"))
        self.user.fill(self.scopes, scope)
        self.press_continue()

    def press_continue(self) -> None:
        """Go to the second page."""
        self.user.click(self.page.get_by_role("button", name="Continue"))

    def go_to_console(self) -> Page:
        """Copy the redirect URI and open the API console, in one click; return the new tab."""
        with self.page.expect_popup() as opened:
            self.user.click(self.open_console)
        return opened.value

    def copyable_text(self, label: str) -> str:
        """Return a text that the page offers to copy: `redirect URI`, `client name` …"""
        line = self.page.get_by_role("button", name=f"Copy the {label}", include_hidden=True)
        return line.get_attribute("data-copy") or ""

    def paste_credentials(self, *texts: str) -> None:
        """Paste the texts into the box, one after the other; each paste is one action."""
        pasted = ""
        for text in texts:
            pasted += f"{text}\n"
            self.user.paste(self.credentials, pasted)

    def connect(self) -> None:
        """Check the client and go to Zoho."""
        self.user.click(self.connect_button)


class ConnectionPage:
    """The page of a connection: its state, its verification report, how to use it."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.report = self.page.locator(".report")
        self.headline = self.report.locator(".headline")
        self.report_badge = self.report.locator(".report-badge")
        self.status = self.page.locator("#status .badge").first
        self.explanation = self.page.locator(".explanation")

    def open(self, base_url: str, name: str) -> None:
        """Go to the page of connection `name`."""
        self.user.go(f"{base_url}/connections/{name}")

    def wait_until_verified(self) -> None:
        """Wait for the end of the verification."""
        self.report_badge.get_by_text("Verified", exact=True).wait_for()

    def step(self, title: str) -> Locator:
        """Return a step of the verification report, by its text."""
        return self.report.get_by_role("listitem").filter(has_text=title)

    def expand(self, title: str) -> None:
        """Open a collapsed part."""
        self.user.click(self.page.locator("summary", has_text=title))

    def press(self, label: str) -> None:
        """Press the first button with this label."""
        self.user.click(self.page.get_by_role("button", name=label, exact=True).first)

    def reauthorize(self) -> None:
        """Go to Zoho again."""
        self.press("Re-authorize")

    def verify_again(self) -> None:
        """Run every check again; return when the page shows it."""
        again = self.explanation.get_by_role("button", name="Check again")
        if not again.is_visible():
            if not self.report.is_visible():
                self.expand("Verification report")
            again = self.page.get_by_role("button", name="Full check")
        with self.page.expect_navigation():
            self.user.click(again)

    def open_removal(self) -> None:
        """Go to the page that offers to revoke or to remove."""
        self.user.click(self.page.get_by_role("link", name="Remove…"))

    def follow(self, label: str) -> None:
        """Follow a link of the explanation."""
        self.user.click(self.explanation.get_by_role("link", name=label, exact=True))

    def zoho_page_choice(self, title: str) -> Locator:
        """Return one of the errors that Zoho's page may have shown, by its title."""
        return (
            self.page.get_by_role("region", name="Did Zoho show an error instead?")
            .get_by_role("group")
            .filter(has_text=title)
        )

    def link_for_private_window(self) -> str:
        """Create the one-time link and read it from the page."""
        self.expand("Access")
        self.expand("Wrong account or organization?")
        self.press("Create a link for a private window")
        copier = self.page.get_by_role("button", name="Copy the link")
        return copier.get_attribute("data-copy") or ""


class RemovalPage:
    """The page that shows what a connection's token is used for, and asks what to do."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page

    def revoke(self) -> None:
        """Revoke the refresh token at Zoho and keep the connection."""
        self._press("Revoke at Zoho")

    def revoke_and_remove(self) -> None:
        """Revoke the refresh token at Zoho and remove the connection."""
        self._press("Revoke and remove")

    def remove(self) -> None:
        """Remove the connection; its refresh token stays valid at Zoho."""
        self._press("Remove")

    def _press(self, label: str) -> None:
        self.user.click(self.page.get_by_role("button", name=label, exact=True))


class ClientPage:
    """The page of one client: its secrets and its connections."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.data_center = self.page.get_by_label("Data center", exact=True)
        self.secret = self.page.get_by_label("Client secret", exact=True)
        self.secrets = self.page.get_by_role("region", name="Secrets")
        self.uses = self.page.get_by_role("region", name="Connections", exact=True)
        self.explanation = self.page.locator(".explanation")

    def go_to_console(self) -> Page:
        """Open the client in the API console; return the new tab."""
        with self.page.expect_popup() as opened:
            self.user.click(self.page.get_by_role("link", name="Open in the API Console"))
        return opened.value

    def open_secret_form(self) -> None:
        """Open the form for a secret."""
        self.user.click(self.page.get_by_text("Set a secret", exact=True))

    def check(self) -> None:
        """Check every stored secret with Zoho."""
        self.user.click(self.page.get_by_role("button", name="Check now"))

    def store_secret(self, secret: str) -> None:
        """Paste a secret for the chosen data center, and check and save it."""
        self.user.paste(self.secret, secret)
        self.user.click(self.page.get_by_role("button", name="Check and save"))

    def open_connection(self, name: str) -> None:
        """Follow the link to a connection of this client."""
        self.user.click(self.uses.get_by_role("link", name=name, exact=True))


class ConnectionListPage:
    """The list of connections."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.rows = self.page.get_by_role("region", name="All connections").get_by_role("listitem")

    def row(self, name: str) -> Locator:
        """Return the row of a connection."""
        return self.rows.filter(has=self.page.get_by_role("link", name=name, exact=True))

    def open(self, name: str) -> None:
        """Follow the link to a connection."""
        self.user.click(self.row(name).get_by_role("link"))


class ReauthorizationPage:
    """The page that re-authorizes several connections: the plan, the next step, every row."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.heading = self.page.get_by_role("heading", level=1)
        self.next_step = self.page.get_by_role("region", name="Next step")
        self.rows = self.page.locator(".rows").get_by_role("listitem")

    @property
    def is_at_consent(self) -> bool:
        """Whether Zoho's next consent has opened."""
        return "/accounts/oauth/v2/auth" in self.page.url

    def row(self, name: str) -> Locator:
        """Return the row of a connection."""
        return self.rows.filter(has=self.page.get_by_role("link", name=name, exact=True))

    def begin(self) -> None:
        """Start the plan, in this tab."""
        self.user.click(
            self.page.get_by_role("button", name=re.compile("^Re-authorize( as|$| in this tab)"))
        )

    def press(self, label: str) -> None:
        """Press the button with this label."""
        self.user.click(self.page.get_by_role("button", name=label, exact=True))

    def sign_in_as(self, email: str) -> None:
        """Go to Zoho, where another user must sign in."""
        self.user.click(self.page.get_by_role("button", name=f"Sign in as {email}"))

    def switch_to(self, email: str) -> None:
        """Go to Zoho's sign-in page, and sign the previous user out; all of it counts as signing
        in."""
        with self.user.signing_in():
            self.sign_in_as(email)
            sign_out = self.page.get_by_role("link", name="Sign out")
            sign_out.or_(SignInPage(self.user).login_id).first.wait_for()
            if sign_out.is_visible():
                self.user.click(sign_out)

    def wait_for_next_step(self) -> None:
        """Wait for Zoho's next consent, or for a page that asks for something."""
        accept = self.page.get_by_role("button", name="Accept", exact=True)
        question = self.page.locator(
            "#state:not([data-poll-url]) #next-action:not(:has([data-auto-submit]))"
        )
        accept.or_(question.get_by_role("button").first).first.wait_for()
