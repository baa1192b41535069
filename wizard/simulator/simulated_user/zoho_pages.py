"""The simulator's pages as a user sees them: by role and label."""

from playwright.sync_api import Locator, expect

from wizard.simulator.simulated_user.actions import SimulatedUser


class SignInPage:
    """The sign-in page with all its steps. Its actions count as `sign_in_actions`."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.login_id = self.page.get_by_label("Email address or mobile number")
        self.password = self.page.get_by_label("Enter password", exact=True)
        self.first_digit = self.page.get_by_label("Digit 1")
        self.next = self.page.locator("#nextbtn")
        self.trust_heading = self.page.get_by_role("heading", name="Trust this browser?")
        self.error = self.page.locator(".fielderror:visible")
        self.captcha = self.page.get_by_label("Characters in the picture")
        self.push_heading = self.page.get_by_role("heading", name="Verify on your device")

    def enter_login_id(self, login_id: str) -> None:
        with self.user.signing_in():
            self.user.fill(self.login_id, login_id)
            self.user.click(self._button("Next"))

    def enter_password(self, password: str) -> None:
        with self.user.signing_in():
            self.user.fill(self.password, password)
            self.user.click(self._button("Sign in"))

    def enter_code(self, code: str) -> None:
        with self.user.signing_in():
            self.user.type(self.first_digit, code)
            self.user.click(self._button("Verify"))

    def enter_captcha(self, letters: str) -> None:
        with self.user.signing_in():
            self.user.fill(self.captcha, letters)
            self.user.click(self._button("Next"))

    def open_recovery(self) -> None:
        """Follow "Forgot Password?" from the step that asks for the password."""
        with self.user.signing_in():
            self.user.click(self.page.get_by_role("link", name="Forgot Password?"))

    def trust(self, is_trusted: bool) -> None:
        with self.user.signing_in():
            self.user.click(self._button("Trust" if is_trusted else "Not now"))

    def sign_in(self, login_id: str, password: str) -> None:
        """Sign in with only a password, and wait until the sign-in page is gone.

        For an account in another data center, the browser is redirected there.
        """
        self.enter_login_id(login_id)
        self.enter_password(password)
        self.wait_until_done()

    def wait_until_done(self) -> None:
        self.page.wait_for_url(lambda url: "/accounts/signin" not in url)

    def _button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)


class RecoveryPages:
    """The pages of "Forgot Password", and of choosing a password after an administrator's reset.

    Their actions count as `sign_in_actions`.
    """

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.captcha = self.page.get_by_label("Characters in the picture")
        self.code = self.page.get_by_label("Code from the mail")
        self.new_password = self.page.get_by_label("New password", exact=True)
        self.end_sessions = self.page.get_by_label("End all other active sessions")
        self.remove_tokens = self.page.get_by_label("Remove API tokens and revoke connected apps")
        self.errors = self.page.locator(".fielderror:visible")

    def request_code(self, login_id: str, letters: str) -> None:
        self._fill(self.page.get_by_label("Email address or mobile number"), login_id)
        self._fill(self.captcha, letters)
        self._press("Send OTP")

    def enter_code(self, code: str) -> None:
        self._fill(self.code, code)
        self._press("Verify")

    def choose_password(self, new_password: str, repeated_password: str | None = None) -> None:
        self._fill(self.new_password, new_password)
        self._fill(self.page.get_by_label("Repeat new password"), repeated_password or new_password)
        self._press("Change Password")

    def submit_session_choices(self) -> None:
        """Submit the question after a change without changing the boxes."""
        self._press("Continue")

    def _fill(self, target: Locator, text: str) -> None:
        with self.user.signing_in():
            self.user.fill(target, text)

    def _press(self, name: str) -> None:
        with self.user.signing_in():
            self.user.click(self.page.get_by_role("button", name=name, exact=True))


class AnnouncementPage:
    """A page that can follow a sign-in."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.heading = self.page.get_by_role("heading", level=1)

    def skip(self) -> None:
        self._press("Skip for now")

    def remind_later(self) -> None:
        self._press("Remind me later")

    def press_continue(self) -> None:
        self._press("Continue")

    def _press(self, name: str) -> None:
        self.user.click(self.page.get_by_role("button", name=name, exact=True))


class ConsentPage:
    """The page that asks for consent."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.accept_button = self.page.get_by_role("button", name="Accept", exact=True)
        self.reject_button = self.page.get_by_role("button", name="Reject", exact=True)
        self.back_to_app_button = self.page.get_by_role("button", name="Back to app")
        self.submit_button = self.page.get_by_role("button", name="Submit", exact=True)

    def choose_organization(self, name: str, environment: str = "Production") -> None:
        self.user.choose(self.page.get_by_role("radio", name=f"{name} {environment}"))
        self.user.click(self.submit_button)

    def accept(self) -> None:
        self._decide(self.accept_button)

    def reject(self) -> None:
        self._decide(self.reject_button)

    def back_to_app(self) -> None:
        self._decide(self.back_to_app_button)

    def sign_out(self) -> None:
        """Sign out; Zoho then asks another user to sign in."""
        self.user.click(self.page.get_by_role("link", name="Sign out"))

    def _decide(self, button: Locator) -> None:
        self.user.click(button)
        self.page.wait_for_url(lambda url: "/accounts/oauth/v2/auth" not in url)


class ConsolePage:
    """The API console of one data center."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.client_id = self.page.get_by_label("Client ID", exact=True)
        self.client_secret = self.page.get_by_label("Client Secret", exact=True)
        self.client_name = self.page.get_by_label("Client Name")
        self.homepage_url = self.page.get_by_label("Homepage URL")
        self.redirect_uris = self.page.get_by_label("Authorized Redirect URIs")
        self.generated_code = self.page.get_by_label("Generated code", exact=True)
        self.errors = self.page.locator(".fielderror:visible")

    def open_new_client_form(self, kind: str = "Server-based Applications") -> None:
        """Go from the console's first page to the form for a new client."""
        started = self.page.get_by_role("link", name="ADD CLIENT", exact=True)
        first = self.page.get_by_role("link", name="GET STARTED", exact=True)
        self.user.click(first.or_(started))
        self.choose_client_type(kind)

    def choose_client_type(self, kind: str = "Server-based Applications") -> None:
        card = self.page.get_by_role("article").filter(
            has=self.page.get_by_role("heading", name=kind)
        )
        self.user.click(card.get_by_role("link", name="CREATE NOW"))

    def create(self) -> None:
        self.user.click(self._button("CREATE"))

    def update(self) -> None:
        self.user.click(self._button("UPDATE"))

    def copy_id_and_secret(self) -> str:
        """Select the two adjacent lines and copy them at once."""
        return self.user.copy(self.client_id, self.client_secret)

    def open_tab(self, name: str) -> None:
        self.user.click(self.page.get_by_role("link", name=name, exact=True))

    def data_center_switch(self, location: str) -> Locator:
        return self.page.get_by_role("switch", name=location.upper(), exact=True)

    def toggle_data_center(self, location: str) -> None:
        switch = self.data_center_switch(location)
        before = switch.get_attribute("aria-checked")
        self.user.click(switch)
        expect(switch).to_have_attribute("aria-checked", "false" if before == "true" else "true")

    def secret_at(self, location: str) -> Locator:
        return self.page.get_by_label(f"Client Secret {location.upper()}", exact=True)

    def share_credentials(self) -> None:
        """Use the same OAuth credentials in all data centers."""
        box = "Use the same OAuth credentials for all data centers"
        self.user.choose(self.page.get_by_label(box))
        self.user.click(self._button("OK"))

    def generate_code(self, scope: str, minutes: int, description: str) -> None:
        self.user.fill(self.page.get_by_label("Scope", exact=True), scope)
        self.user.choose(self.page.get_by_label("Time Duration"), f"{minutes} minutes")
        self.user.fill(self.page.get_by_label("Scope Description"), description)
        self.create()

    def choose_portal(self, name: str, environment: str = "Production") -> None:
        self.user.choose(self.page.get_by_role("radio", name=f"{name} {environment}"))
        self.create()

    def _button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)


class SecurityPage:
    """The page that changes the password."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page
        self.end_sessions = self.page.get_by_label("End all other active sessions")
        self.remove_tokens = self.page.get_by_label("Remove API tokens and revoke connected apps")
        self.errors = self.page.locator(".fielderror:visible")

    def change_password(
        self, current_password: str, new_password: str, repeated_password: str | None = None
    ) -> None:
        """Fill the three fields and submit them; the question about sessions follows."""
        with self.user.signing_in():
            self.user.fill(self.page.get_by_label("Current password"), current_password)
            self.user.fill(self.page.get_by_label("New password", exact=True), new_password)
            self.user.fill(
                self.page.get_by_label("Repeat new password"), repeated_password or new_password
            )
            self.user.click(self.page.get_by_role("button", name="Change Password"))

    def submit_session_choices(self) -> None:
        """Submit the question after a change without changing the boxes."""
        self.user.click(self.page.get_by_role("button", name="Continue"))
        self.page.get_by_role("status").wait_for()


class ConnectedAppsPage:
    """The clients that have refresh tokens of this account."""

    def __init__(self, user: SimulatedUser) -> None:
        self.user = user
        self.page = user.page

    def entry(self, client_name: str) -> Locator:
        return self.page.get_by_role("listitem").filter(has_text=client_name)

    def revoke(self, client_name: str) -> None:
        self.user.click(self.entry(client_name).get_by_role("button", name="Revoke"))
        expect(self.entry(client_name)).to_have_count(0)
