"""No paste of any kind or size makes the reader fail, hang, or show a secret."""

import json
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import over_rows
from support.harness import settings_for

from wizard.diagnosis.pasted_text import DiagnosisResult, PasteReader
from wizard.diagnosis.pasted_text.parsed_text import MAX_PASTE_CHARACTERS
from wizard.errors import WizardError
from wizard.services import Services

COUNT = 200_000_000
"""Reading a text takes less processor time than counting to this number, in the best of three runs.
It takes about a quarter of that; a text that takes time for the square of its length, hours."""
SHORT_SECONDS = 0.2
"""What takes less isn't compared."""
HEX = "0123456789abcdef"


@cache
def reader() -> PasteReader:
    """A reader with an empty store and no Zoho."""
    directory = Path(mkdtemp())
    return Services.open(settings_for(directory, "http://127.0.0.1:9")).reader


def read(text: str) -> DiagnosisResult | None:
    """Return the diagnosis of a text, or None if it is empty; is quick."""
    for tries_left in (2, 1, 0):
        began = time.process_time()
        try:
            reading = reader().explain_text(text)
        except WizardError as error:
            if error.failure.code != "nothing-pasted":
                raise
            return None
        took = time.process_time() - began
        if took < SHORT_SECONDS or took < counting_seconds():
            return reading
        assert tries_left, f"three runs took longer than counting to {COUNT:,}: {took:.1f} seconds"
    return None


def counting_seconds() -> float:
    """The processor time of counting to `COUNT` now, from a part of it."""
    began = time.process_time()
    for _ in range(COUNT // 100):
        pass
    return 100 * (time.process_time() - began)


def rendered_text(reading: DiagnosisResult) -> str:
    """All text of a diagnosis that could be rendered."""
    return repr(reading)


def hex_strings(size: int) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=size, max_size=size).filter(lambda t: len(set(t)) > 4)


TOKENS = st.builds("1000.{}.{}".format, hex_strings(32), hex_strings(32))
SECRETS = st.builds("{}{}".format, hex_strings(40), st.sampled_from(["1a", "f0"]))
PASSWORDS = st.text("abcdefghkmnpqrstuvwxyz23456789!#", min_size=12, max_size=24)
PASSPHRASES = st.lists(st.sampled_from(["correct", "horse", "battery", "staple"]), min_size=3).map(
    " ".join
)
AROUND_A_TOKEN = (
    "{}",
    '{{"access_token":"{}","expires_in":3600}}',
    "{{'refresh_token': '{}'}}",
    "Authorization: Zoho-oauthtoken {}",
    "curl -H 'Authorization: Bearer {}' https://www.zohoapis.eu/crm/v8/Leads",
    "http://localhost:8723/callback?code={}&location=eu",
    "https://accounts.zoho.eu/oauth/v2/token?grant_type=refresh_token&refresh_token={}",
    '{{"error":"{}"}}',
    '{{"code":"{}","message":"invalid oauth token"}}',
    "redirect_uri=http://localhost/{}",
    "log: {} is dead: INVALID_TOKEN",
    '{{\\"refresh_token\\":\\"{}\\"}}',
    "https://{}@accounts.zoho.eu/x",
    "grant_type={}",
    "Content-Type: {}\nPOST /oauth/v2/token",
)
AROUND_A_SECRET = ("{}", "client_secret={}", '{{"client_secret":"{}"}}', "secret: {}", "id {} x")
AROUND_A_PASSWORD = (
    *("password={}", '{{"password":"{}"}}', "Cookie: session={}", "pwd: {}", "Passwort: {}"),
    *("'password' => '{}'", "<password>{}</password>", "mot de passe : {}", "密码：{}"),
    *("curl -u anna@zylker.example:{} https://accounts.zoho.eu", "curl --cookie 'iamcsr={}' x"),
    'Content-Disposition: form-data; name="password"\r\n\r\n{}\r\n',
    "https://anna:{}@accounts.zoho.eu/",
)


@given(token=TOKENS, around=st.sampled_from(AROUND_A_TOKEN), noise=st.text(max_size=60))
def test_no_token_is_shown(token: str, around: str, noise: str) -> None:
    reading = read(f"{noise}\n{around.format(token)}\n{noise}")
    assert reading is not None
    assert token not in rendered_text(reading)
    assert token[5:37] not in rendered_text(reading)
    assert reading.has_secrets


@given(secret=SECRETS, around=st.sampled_from(AROUND_A_SECRET))
def test_no_client_secret_is_shown(secret: str, around: str) -> None:
    reading = read(around.format(secret))
    assert reading is not None
    assert secret not in rendered_text(reading)
    assert reading.has_secrets


@given(password=PASSWORDS, around=st.sampled_from(AROUND_A_PASSWORD))
def test_no_password_is_shown(password: str, around: str) -> None:
    reading = read(around.format(password))
    assert reading is not None
    assert password not in rendered_text(reading)


@given(phrase=PASSPHRASES, quote=st.sampled_from("\"'"))
def test_no_words_of_a_passphrase_are_shown(phrase: str, quote: str) -> None:
    reading = read(f"password = {quote}{phrase}{quote}")
    assert reading is not None
    assert not {"correct", "horse", "battery", "staple"} & set(rendered_text(reading).split())


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("utf-8", "replace"))))
def test_any_text_is_parsed(text: str) -> None:
    reading = read(text)
    assert reading is None or reading.explanation.title


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "code", "status", "scope", "location", "expires_in", "id"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_parsed(value: object) -> None:
    reading = read(json.dumps(value))
    assert reading is not None
    assert reading.explanation.fix


TEMPLATE_VALUES = (
    *("a", "<", '"', "a:", 'a:"', "a='", "a-", "_-", "1000.", "1000.a1", "http://", "https://a?b="),
    *(
        "GET /",
        "curl -d ",
        "\\",
        '\\\\"',
        "&",
        "%25",
        "{",
        "[",
        "(",
        "\n",
        " ",
        "<title>",
        "é",
        "0",
    ),
    *("token=", "code=x&", "Bearer a", "status: 4", "a.b.c.", "ZohoCRM.", "Cookie: a\n", "://a@"),
    *(
        "error_",
        "Zoho-oauthtoken '",
        "client_secret=\n",
        "-_token",
        "HTTP/1.1 ",
        "\u202e",
        "invalid_",
        "a.b.c.http://",
        "code: 57 ",
        "://a@b@",
        "-u a:",
        '[{"a":',
        "token=abcd&",
    ),
)


@pytest.mark.parametrize(
    "share", [4, pytest.param(1, marks=pytest.mark.slow)], ids=["a quarter", "all"]
)
@pytest.mark.parametrize("filling", TEMPLATE_VALUES)
def test_a_million_characters_are_read_quickly(filling: str, share: int) -> None:
    text = filling * (MAX_PASTE_CHARACTERS // share // len(filling))
    reading = read(text)
    assert reading is None or len(reading.excerpt) <= 4000


def processor_seconds(text: str) -> float:
    """The least time of three runs: the machine may be busy."""
    took = []
    for _ in range(3):
        began = time.process_time()
        assert read(text)
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.slow
def test_a_hundred_times_the_text_takes_less_than_fifty_times_the_time() -> None:
    lines = (
        f"10:00:01 INFO worker-{n % 7} GET https://www.zohoapis.eu/crm/v8/Leads?page={n} -> 200\n"
        for n in range(13_000)
    )
    log, end = "".join(lines), "HTTPError: 401 Client Error:  for url: https://www.zohoapis.eu/x\n"
    assert processor_seconds(log[:990_000] + end) < 50 * processor_seconds(log[:9_900] + end)


@over_rows("blank", [" ", "\n", "\u3000"])
def test_a_text_with_endless_trailing_blanks_is_parsed(blank: str) -> None:
    reading = read('{"error":"invalid_code"}' + blank * 100_000)
    assert reading is not None
    assert "invalid_code" in reading.excerpt


def test_the_end_of_a_text_that_is_too_long_is_parsed() -> None:
    reading = read("x " * MAX_PASTE_CHARACTERS + '{"error":"invalid_client"}')
    assert reading is not None
    assert reading.explanation.code == "invalid-client"
    assert any("million" in sentence for sentence in reading.understood)
