"""Units of systemd, read as systemd does."""

import codecs
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from support.claims import over_rows

from wizard.cli.flows.units import (
    MONITOR,
    SERVICE,
    UnitFile,
    UnitOptions,
    monitor_units,
    serve_units,
)

ODD = ["a b", "C:\\data", 'say "hi"', "50%", "$HOME", "it's", "two\nlines", "two\rlines", "plain"]


def unquoted(text: str) -> str:
    """One word of a unit file, after its quotes, escapes and specifiers were read."""
    inner = text[1:-1] if text.startswith('"') else text
    return codecs.decode(inner, "unicode_escape").replace("%%", "%")


@over_rows("value", ODD)
def test_a_service_has_its_environment_and_its_options_unchanged(value: str) -> None:
    unit = serve_units(UnitOptions("user", {"NAME": value}), ["--share", value])[0].text
    environment, command = (
        next(line for line in re.split(r"[\r\n]", unit) if line.startswith(start)).partition("=")[2]
        for start in ("Environment=", "ExecStart=")
    )
    assert unquoted(environment) == f"NAME={value}"
    word = re.findall(r'"(?:[^"\\]|\\.)*"|\S+', command)[-1]
    assert unquoted(word).replace("$$", "$") == value


def units_in(directory: Path) -> list[UnitFile]:
    system = UnitOptions(
        "system", {"ZOHO_WIZARD_HOME": "/var/lib/zoho-wizard"}, user="root", writable=["/srv/a b"]
    )
    units = (
        *serve_units(system, ["--socket-only"]),
        *monitor_units(system, timedelta(hours=1), [], "/srv/a b/zoho.prom"),
    )
    for each in units:
        (directory / each.name).write_text(each.text)
    return list(units)


@pytest.mark.needs("systemd-analyze")
def test_systemd_accepts_the_system_units_and_finds_little_exposure(tmp_path: Path) -> None:
    paths = [f"./{each.name}" for each in units_in(tmp_path)]
    verified = subprocess.run(
        ["systemd-analyze", "verify", *paths],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # It also reports units of this machine that are needed.
    reported = [line for line in verified.stderr.splitlines() if "zoho-wizard" in line]
    assert (verified.returncode, reported) == (0, [])
    for service in (SERVICE, MONITOR):
        judged = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=25", f"./{service}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert judged.returncode == 0, judged.stdout


def test_a_unit_names_no_credentials_directory_of_one_run(tmp_path: Path) -> None:
    options = UnitOptions("user", {"CREDENTIALS_DIRECTORY": "/run/x", "NAME": "value"})
    (unit,) = serve_units(options, [])
    assert "/run/x" not in unit.text
    assert "LoadCredentialEncrypted=zoho-wizard-key\n" in unit.text
