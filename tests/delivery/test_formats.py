"""File formats: our values change, everything else stays, and errors have a position."""

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st
from support.claims import over_rows

from wizard.delivery.destination_files import (
    DOTENV,
    INI,
    JSON,
    SDK_CSV,
    FormatError,
    UnwritableValueError,
)

ENV = """\
# Zoho, for the invoices
export ZOHO_CLIENT_ID=1000.OLD   # the first one

COLOUR='dark blue'
ZOHO_REFRESH_TOKEN="1000.old.old"
LAST=1"""


def test_a_dotenv_keeps_comments_order_and_every_other_line() -> None:
    written = DOTENV.write(
        ENV, (), {"ZOHO_CLIENT_ID": "1000.NEW", "ZOHO_REFRESH_TOKEN": "1000.n.n", "ZOHO_DC": "eu"}
    )
    assert (
        written
        == ENV.replace("1000.OLD", "1000.NEW").replace('"1000.old.old"', "1000.n.n")
        + "\nZOHO_DC=eu\n"
    )


def test_a_repeated_dotenv_name_is_changed_everywhere_and_read_as_programs_do() -> None:
    written = DOTENV.write("A=1\nB=2\nA=3\n", (), {"A": "4"})
    assert written == "A=4\nB=2\nA=4\n"
    assert DOTENV.read("A=1\nA=3\n") == {(): {"A": "3"}}


def test_a_dotenv_name_without_a_value_gets_one() -> None:
    assert DOTENV.write("A\nB=1\n", (), {"A": "2"}) == "A=2\nB=1\n"


PROBE = "touch pwned; echo pwned > pwned"
VALUES = [
    "1000.0123456789abcdef.0123456789abcdef",
    "eyJ-_.~+/==",
    "~",
    "~root/x",
    "a:~",
    "two words",
    "#none",
    "a # b",
    "$HOME",
    "$(touch pwned)",
    "`touch pwned`",
    f'"; {PROBE}; "',
    "a&b|c;d",
    "*",
    "!!",
    "Größe ✓",
    "x'$(touch pwned)'",
    "'; touch pwned; '",
    "\\'$(touch pwned)",
    "x\\",
    "a\\\\b",
    "${HOME}",
    "a\nb=c",
    "a\rb",
    "a\x00b",
    "a\x1b[2Jb",
    "\ud800",
]
REFUSED = VALUES[16:]
"""Values on which readers of such files disagree, however they are written."""

NODE = """
const read = require('fs').readFileSync('env', 'utf8');
process.stdout.write(require('util').parseEnv(read).TOKEN)
"""
READERS = {
    "sh": ["sh", "-c", '. ./env; printf %s "$TOKEN"'],
    "bash": ["bash", "-c", 'set -a; source ./env; printf %s "$TOKEN"'],
    "python-dotenv": [
        sys.executable,
        "-c",
        "import dotenv; print(dotenv.dotenv_values('env')['TOKEN'], end='')",
    ],
    "node": ["node", "-e", NODE],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "reader",
    [
        "python-dotenv",
        *(pytest.param(e, marks=pytest.mark.needs(e)) for e in ("sh", "bash", "node")),
    ],
)
@over_rows("value", [each for each in VALUES if each not in REFUSED])
def test_every_dotenv_reader_gets_the_same_value_and_none_executes_it(
    tmp_path: Path, reader: str, value: str
) -> None:
    (tmp_path / "env").write_text(DOTENV.write("A=1\n", (), {"TOKEN": value}), "utf-8")
    done = subprocess.run(
        READERS[reader], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == value
    assert os.listdir(tmp_path) == ["env"]


@over_rows("value", REFUSED)
def test_a_value_that_dotenv_readers_parse_differently_is_not_written(value: str) -> None:
    with pytest.raises(UnwritableValueError):
        DOTENV.write("A=1\n", (), {"TOKEN": value})


@given(st.text(max_size=40))
def test_a_dotenv_returns_what_was_written_or_refuses_it(value: str) -> None:
    try:
        written = DOTENV.write("# first\nX = y # z\n", (), {"TOKEN": value})
    except UnwritableValueError:
        return
    assert dotenv_values(stream=io.StringIO(written))["TOKEN"] == value
    assert written.startswith("# first\nX = y # z\n")
    assert shlex.split(written.partition("TOKEN=")[2]) == ([value] if value else [])


@over_rows(
    ("write", "text", "spot", "value"),
    [
        (INI.write, "", ("zoho",), "a\nclient_secret = mine"),
        (INI.write, "", ("zoho",), "a\x00"),
        (INI.write, "", ("zoho",), '"a"'),
        (INI.write, "", ("zoho",), " a"),
        (SDK_CSV.write, "id,user_name,refresh_token\n", ("zoho",), "a,b"),
        (SDK_CSV.write, "id,user_name,refresh_token\n", ("zoho",), 'a"b'),
        (SDK_CSV.write, "id,user_name,refresh_token\n", ("zoho",), "a\nb,c,d"),
    ],
)
def test_a_value_that_would_add_a_line_or_a_column_is_not_written(
    write: Callable[..., str], text: str, spot: tuple[str, ...], value: str
) -> None:
    with pytest.raises(UnwritableValueError):
        write(text, spot, {"refresh_token": value})


@over_rows(
    ("text", "line", "column"),
    [
        ("A=1\n\n  B C=2\n", 3, 5),
        ('A="never closed\nB=1\n', 1, 3),
        ("A=1\n=2\n", 2, 2),
    ],
)
def test_a_broken_dotenv_reports_line_and_column(text: str, line: int, column: int) -> None:
    assert error_position(DOTENV.read, text) == (line, column)


def test_text_that_would_hang_a_dotenv_reader_is_refused_at_once() -> None:
    blanks = " " * 900_000
    assert error_position(DOTENV.read, f"NAME=value\nA=a{blanks}b\n") == (2, 4)
    assert error_position(INI.read, f"[a]\n{blanks}x") == (2, 900_001)
    assert INI.read(f"[a]\nkey{blanks}={blanks}value") == {("a",): {"key": "value"}}


def test_json_keeps_order_and_indentation() -> None:
    before = '{\n    "b": 1,\n    "a": {"x": [1, 2]},\n    "é": null\n}'
    written = JSON.write(before, ("a", "env"), {"TOKEN": "t", "deep.er": "v"})
    assert written.startswith('{\n    "b": 1,\n    "a": {\n        "x": [\n')
    assert not written.endswith("\n")
    document = json.loads(written)
    assert document == {
        "b": 1,
        "a": {"x": [1, 2], "env": {"TOKEN": "t", "deep": {"er": "v"}}},
        "é": None,
    }
    assert JSON.read(written)[("a", "env")] == {"TOKEN": "t", "deep.er": "v"}


@over_rows(
    ("text", "line", "column"),
    [
        ('{\n  "a": 1,\n  // why\n}', 3, 3),
        ("[1]", 1, 1),
        ('{"a": 1', 1, 8),
        ('{"a":' * 100_000, 1, 1),
        ('{"a":' * 900 + "1" + "}" * 900, 1, 1),
        ('{"a":' + "[" * 900 + "]" * 900 + "}", 1, 1),
        ('{"a": ' + "9" * 5_000 + "}", 1, 1),
    ],
)
def test_broken_json_reports_line_and_column(text: str, line: int, column: int) -> None:
    assert error_position(JSON.read, text) == (line, column)


def test_json_never_replaces_a_value_with_an_object() -> None:
    with pytest.raises(FormatError, match="entry-not-an-object"):
        JSON.write('{"mcpServers": []}', ("mcpServers", "zoho"), {"TOKEN": "t"})


RCLONE = """\
; by hand
[other]
type = s3

[files]
# the shared drive
type = zoho
region = eu
token = {"access_token":"a","refresh_token":"old","expires_in":3600}
root_folder_id = abc
"""


def test_an_ini_keeps_the_other_values_of_its_program() -> None:
    written = INI.write(RCLONE, ("files",), {"region": "com", "token.refresh_token": "new"})
    token = '{"access_token":"a","refresh_token":"new","expires_in":3600}'
    assert written == RCLONE.replace("region = eu", "region = com").replace(
        '{"access_token":"a","refresh_token":"old","expires_in":3600}', token
    )
    assert INI.read(written)[("files",)]["token.refresh_token"] == "new"


def test_an_ini_gets_a_new_section_at_its_end_and_a_new_key_in_its_section() -> None:
    assert INI.write("", ("a",), {"k": "v"}) == "[a]\nk = v\n"
    assert INI.write("[b]\nx = 1\n", ("a",), {"k": "v"}) == "[b]\nx = 1\n\n[a]\nk = v\n"
    written = INI.write("[a]\nx = 1\n\n[b]\ny = 2", ("a",), {"k": "v"})
    assert written == "[a]\nx = 1\nk = v\n\n[b]\ny = 2"
    assert INI.write("[a]", ("a",), {"k": "v"}) == "[a]\nk = v\n"


@over_rows(
    ("text", "line", "column"),
    [
        ("[a]\n  nonsense\n", 2, 3),
        ("k = v\n", 1, 1),
        ("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nabc=\n", 3, 1),
    ],
)
def test_a_broken_or_encrypted_ini_reports_line_and_column(
    text: str, line: int, column: int
) -> None:
    assert error_position(INI.read, text) == (line, column)


HEADING = "id,user_name,client_id,client_secret,refresh_token,access_token,grant_token,expiry_time"


def test_a_token_store_keeps_its_other_rows() -> None:
    before = f'{HEADING},redirect_uri\n7,"a,b",c,s,old,acc,,123,\n'
    written = SDK_CSV.write(before, ("8",), {"id": "8", "refresh_token": "r", "api_domain": "d"})
    assert written.splitlines()[0] == f"{HEADING},redirect_uri,api_domain"
    assert SDK_CSV.read(written)[("7",)]["user_name"] == "a,b"
    assert SDK_CSV.read(written)[("8",)]["api_domain"] == "d"


@over_rows(
    ("text", "line", "column"),
    [
        (f"{HEADING},redirect_uri\n1,2,3,4,5,6,7,8,9\n1,b\n", 3, 4),
        (f'{HEADING},redirect_uri\n1,2,"x"y,4,5,6,7,8,9\n', 2, 5),
        (f'{HEADING},redirect_uri\n1,2,"never closed\n', 2, 5),
        ("name,token\na,b\n", 1, 1),
    ],
)
def test_a_broken_token_store_reports_line_and_column(text: str, line: int, column: int) -> None:
    assert error_position(SDK_CSV.read, text) == (line, column)


def error_position(parse: Callable[[str], object], text: str) -> tuple[int, int]:
    with pytest.raises(FormatError) as raised:
        parse(text)
    return raised.value.line, raised.value.column
