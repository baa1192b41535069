"""Credentials are found in any format that programs use."""

import json

import pytest
from support.claims import over_rows

from wizard.delivery.destination_files import FormatError
from wizard.delivery.profiles import Profile, profiles
from wizard.importing import FoundCredentials, find_credentials

VALUES = {
    "client_id": "1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ1234",
    "client_secret": "0123456789abcdef0123456789abcdef0123456789",
    "refresh_token": "1000.0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef",
    "redirect_uri": "http://localhost:8723/callback",
    "scope": "ZohoCRM.org.READ",
    "location": "us",
    "data_center": "us",
    "accounts_server": "https://accounts.zoho.com",
    "authorization_endpoint": "https://accounts.zoho.com/oauth/v2/auth",
    "token_endpoint": "https://accounts.zoho.com/oauth/v2/token",
    "api_domain": "https://www.zohoapis.com",
    "organization_id": "1",
    "environment": "Production",
    "entry": "crm",
}
FILES = [each for each in profiles().values() if not each.is_command]


def required_values(credentials: FoundCredentials) -> dict[str, str]:
    return {
        name: credentials.values[name] for name in ("client_id", "client_secret", "refresh_token")
    }


EXPECTED = {name: VALUES[name] for name in ("client_id", "client_secret", "refresh_token")}


@over_rows("profile", FILES)
def test_delivered_files_can_be_imported(profile: Profile) -> None:
    text = profile.write(None, VALUES, {})
    (found,) = find_credentials(text)
    assert required_values(found) == EXPECTED


@pytest.mark.parametrize(
    "text",
    [
        (
            "export ZOHO_CRM_CLIENT_ID='{client_id}'\nZOHO_CRM_CLIENT_SECRET={client_secret}\n"
            "# a comment\nOTHER=1\nZOHO_CRM_REFRESH_TOKEN={refresh_token}\nZOHO_REGION=EU\n"
        ),
        "clientId={client_id}\r\nclientSecret={client_secret}\r\nrefreshToken={refresh_token}\r\n",
    ],
)
def test_names_are_read_by_their_meaning(text: str) -> None:
    (found,) = find_credentials(text.format(**VALUES))
    assert required_values(found) == EXPECTED
    assert found.profile == ""


def test_json_of_an_unknown_program_is_read_by_meaning() -> None:
    content = {
        "zohoClientId": VALUES["client_id"],
        "zohoClientSecret": VALUES["client_secret"],
        "zohoRefreshToken": VALUES["refresh_token"],
    }
    (found,) = find_credentials(json.dumps(content))
    assert required_values(found) == EXPECTED


def test_missing_values_are_named() -> None:
    (found,) = find_credentials(f"ZOHO_CLIENT_ID={VALUES['client_id']}\n")
    assert found.missing == ("client_secret", "refresh_token")


@over_rows("text", ["", "\n", "# nothing\n", "{}", "NAME=value\n"])
def test_a_file_without_credentials_has_no_entries(text: str) -> None:
    assert find_credentials(text) == ()


@over_rows("text", ["{", '{"client_id": }', "= =\n"])
def test_a_broken_file_reports_line_and_column(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        find_credentials(text)
    assert (caught.value.line, caught.value.column > 0) == (1, True)


def test_a_parsed_entry_shows_no_secret() -> None:
    (found,) = find_credentials(f"ZOHO_REFRESH_TOKEN={VALUES['refresh_token']}\n")
    assert VALUES["refresh_token"] not in repr(found)
