"""Parse a pasted client ID and secret in any format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import over_rows

from wizard.clients import parse_credentials, parse_secret
from wizard.errors import WizardError

ID = "1000.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123"
OTHER = "1000.ZYXWVUTSRQPONMLKJIHGFEDCBA9876"
SECRET = "0123456789abcdef0123456789abcdef0123456789"
TOKEN = f"1000.{'ab' * 16}.{'cd' * 16}"

SHAPES = {
    "two lines": f"{ID}\n{SECRET}",
    "swapped": f"{SECRET}\n{ID}",
    "blanks and empty lines": f"\n\n   {ID}   \r\n\t{SECRET} \n",
    "one line": f"{ID} {SECRET}",
    "with a comma": f"{ID},{SECRET}",
    "quoted": f"\"{ID}\"\n'{SECRET}'",
    "typographic quotes": f"“{ID}” „{SECRET}“",
    "JSON": f'{{"client_id": "{ID}", "client_secret": "{SECRET}"}}',
    "nested JSON": f'{{"web": {{"clientSecret":"{SECRET}","clientId":"{ID}"}}}}',
    "a .env file": f"ZOHO_CLIENT_ID={ID}\nexport ZOHO_CLIENT_SECRET='{SECRET}'\n",
    "YAML": f"client_id: {ID}\nclient_secret: {SECRET}\n",
    "the console's page": f"Client ID\n{ID}\nClient Secret\n{SECRET}\nCopy\n",
    "labels swapped": f"Client Secret: {ID}\nClient ID: {SECRET}",
    "Python": f'client_id = "{ID}"; client_secret = "{SECRET}"',
    "a query": f"grant_type=x&client_id={ID}&client_secret={SECRET}&scope=ZohoCRM.modules.READ",
    "each twice": f"{ID} {SECRET} {ID} {SECRET}",
    "invisible characters": f"\ufeff{ID}\u200b\n{SECRET}\u00a0",
    "a redirect URI beside": f"{ID}\n{SECRET}\nhttp://localhost:8723/callback",
    "joined": f"{ID}{SECRET}",
    "joined, the secret first": f"{SECRET}{ID}",
    "the console's page without separators": f"Client ID{ID}Client Secret{SECRET}Copy",
    "a table": f"| {ID} | {SECRET} |",
    "XML": f"<id>{ID}</id><secret>{SECRET}</secret>",
}


@over_rows("text", SHAPES.values())
def test_id_and_secret_are_found_in_any_format(text: str) -> None:
    found = parse_credentials(text)
    assert (found.client_id, found.client_secret) == (ID, SECRET)
    assert SECRET not in repr(found)
    assert all(SECRET not in note for note in found.notes)


@over_rows(
    ("shape", "note"),
    [
        ("swapped", "swapped"),
        ("labels swapped", "swapped"),
        ("JSON", "from-json"),
        ("a .env file", "from-dotenv"),
        ("quoted", "quotes-removed"),
        ("invisible characters", "invisible-removed"),
        ("blanks and empty lines", "spaces-removed"),
    ],
)
def test_the_parsed_values_are_shown(shape: str, note: str) -> None:
    assert note in parse_credentials(SHAPES[shape]).notes


@over_rows("shape", ["two lines", "JSON", "a .env file", "the console's page"])
def test_values_are_called_swapped_only_if_they_were(shape: str) -> None:
    assert not [note for note in parse_credentials(SHAPES[shape]).notes if "swapped" in note]


@over_rows(
    ("text", "code"),
    [
        ("", "credentials-empty"),
        (" \n\u200b ", "credentials-empty"),
        ("x " * 20_000, "credentials-too-long"),
        ("hello there", "credentials-missing-id"),
        (SECRET, "credentials-missing-id"),
        (ID, "credentials-missing-secret"),
        (f"Client ID: {ID}\nClient Secret:", "credentials-missing-secret"),
        (f"{ID}\n{OTHER}", "credentials-two-clients"),
        (f"{ID} {SECRET} {OTHER} {SECRET}", "credentials-two-clients"),
        (f"{ID} {SECRET} {SECRET[::-1]}", "credentials-two-secrets"),
        (f"{ID} {TOKEN}", "credentials-token"),
    ],
)
def test_a_paste_that_cannot_be_parsed_is_refused_with_the_reason(text: str, code: str) -> None:
    with pytest.raises(WizardError) as error:
        parse_credentials(text)
    assert error.value.failure.code == code
    assert SECRET not in repr(error.value.failure)


def test_a_token_pasted_with_the_pair_is_left_out_and_reported() -> None:
    found = parse_credentials(f"{ID} {SECRET} refresh_token={TOKEN}")
    assert found.client_secret == SECRET
    assert "token-ignored" in found.notes


def test_a_secret_of_a_new_format_is_accepted_with_its_label() -> None:
    found = parse_credentials(f"client_id={ID}\nclient_secret=short.one~9")
    assert found.client_secret == "short.one~9"


def test_a_new_secret_may_be_pasted_without_an_id_or_with_its_own() -> None:
    assert parse_secret(f"  {SECRET}\n", ID) == SECRET
    assert parse_secret(f"{ID}\n{SECRET}", ID) == SECRET
    assert parse_secret("short.one~9", ID) == "short.one~9"
    with pytest.raises(WizardError, match="credentials-other-client"):
        parse_secret(f"{OTHER}\n{SECRET}", ID)
    with pytest.raises(WizardError, match="credentials-missing-secret"):
        parse_secret(ID, ID)


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused_with_a_reason(text: str) -> None:
    try:
        found = parse_credentials(text)
    except WizardError as error:
        refused_by = error.failure.code
    else:
        refused_by = "credentials-" if found.client_id in text else ""
    assert refused_by.startswith("credentials-")


@given(
    st.permutations([ID, SECRET]),
    st.lists(st.sampled_from([" ", "\n", "\t", ",", ";", '"', "'", "=", ": ", "\u200b", "\r\n"])),
    st.sampled_from([" ", "\n", ",", "\t", "\r\n"]),
)
def test_any_mixture_of_separators_is_removed(
    pair: list[str], around: list[str], between: str
) -> None:
    junk = "".join(around)
    found = parse_credentials(junk + pair[0] + between + pair[1] + junk)
    assert (found.client_id, found.client_secret) == (ID, SECRET)
