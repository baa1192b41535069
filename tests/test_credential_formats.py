"""The formats of Zoho's credentials: each is recognized, and only secrets are masked."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wizard import credential_formats
from wizard.cli.commands.token import Masker
from wizard.clients import parse_credentials
from wizard.credential_formats import MASK, SECRET_TOKEN, Identifier, Token, short_client_id
from wizard.diagnosis.evidence import TokenFormat
from wizard.diagnosis.pasted_text.token_formats import mask_secrets, token_format_of
from wizard.transport import mask_text

HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
TOKENS = st.builds("1{}.{}.{}".format, st.from_regex(r"\A[0-9]{3}\Z"), HEX, HEX)
CLIENT_IDS = st.from_regex(r"\A1000\.[A-Z0-9]{20,64}\Z")
SECRETS = st.from_regex(r"\A[0-9a-f]{39}[0-9]\Z")


@given(TOKENS)
def test_a_token_is_masked_alike_everywhere(token: str) -> None:
    text = f'{{"is": "{token}"}}'
    masked = text.replace(token, MASK)
    masker = Masker("another")
    assert mask_text(text) == mask_secrets(text) == masked
    assert masker.feed(text.encode()) + masker.flush() == masked.encode()


@given(TOKENS, st.integers(13, 69))
def test_the_start_of_a_token_is_masked_too(token: str, length: int) -> None:
    assert token[:length] not in mask_text(f"cut off: {token[:length]}")
    assert token[:length] not in mask_secrets(f"cut off: {token[:length]}")


@given(CLIENT_IDS)
def test_a_client_id_is_never_masked(client_id: str) -> None:
    assert mask_text(f"client {client_id}, eu") == f"client {client_id}, eu"
    assert mask_secrets(f"client {client_id}, eu") == f"client {client_id}, eu"


@given(CLIENT_IDS, SECRETS, TOKENS)
def test_each_credential_is_recognized_as_its_type(client_id: str, secret: str, token: str) -> None:
    formats = TokenFormat.CLIENT_ID, TokenFormat.CLIENT_SECRET, TokenFormat.COMPLETE
    assert tuple(map(token_format_of, (client_id, secret, token))) == formats
    found = parse_credentials(f"{token} {secret} {client_id}")
    assert (found.client_id, found.client_secret) == (client_id, secret)


@pytest.mark.parametrize("text", ["", "a b", "a\n", "ä", "a'b"])
def test_a_value_with_a_different_alphabet_is_neither_type(text: str) -> None:
    for kind in (Token, Identifier):
        assert kind.of(text) is None
        with pytest.raises(ValueError, match=f"not a valid {kind.__name__}") as error:
            kind(text or "\n")
        assert not text or text not in str(error.value)


def test_a_short_client_id_has_its_start_and_its_end() -> None:
    assert short_client_id("1000.4SVBI2OGTZYNPS2SORBBZ9VOGS91T4") == "1000.4SVB…91T4"
    assert short_client_id("1000.SHORT") == "1000.SHORT"


def test_no_other_module_describes_a_credential() -> None:
    """A pattern with the prefix of a token or a client ID."""
    package = Path(credential_formats.__file__).parent
    own = {"credential_formats.py"}
    found = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] != "simulator"
        and re.search(r"\b1(000|\\d\{3\})\\\.", path.read_text("utf-8"))
    ]
    assert set(found) == own


def test_a_masked_token_leaves_nothing_to_mask() -> None:
    assert not SECRET_TOKEN.search(MASK)
