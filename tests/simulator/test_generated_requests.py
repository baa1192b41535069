"""Schemathesis sends requests, valid and not, to every operation of the OpenAPI document."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from support.zoho_driver import ANNA

from wizard.simulator.catalog import default_catalog
from wizard.simulator.server import Simulator

pytestmark = pytest.mark.slow

DISRUPTIVE = ("inject_fault", "stub_response")
"""Controls that make other requests fail."""


def run_schemathesis(simulator: Simulator, directory: Path, *options: str) -> None:
    """Send the requests; fail with the report if a response isn't as it should be."""
    (directory / "schemathesis.toml").write_text('[parameters]\n"path.location" = "eu"\n')
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", "schemathesis.toml", "run", "--no-color"),
        f"{simulator.url}/_simulator/openapi.json",
        *("--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "1", "--no-shrink"),
        *("--generation-deterministic", "--request-timeout", "10", "--warnings", "off"),
        *options,
    ]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def test_the_simulators_own_routes_answer_as_their_document_says(
    zoho_simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checks = (
        *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
        *("response_schema_conformance", "negative_data_rejection", "unsupported_method"),
    )
    left_out = [each for name in DISRUPTIVE for each in ("--exclude-operation-id", name)]
    options = ("--include-path-regex", "^/(_simulator|$)", "--checks", ",".join(checks), *left_out)
    run_schemathesis(zoho_simulator, tmp_path, *options)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


def test_no_request_to_the_simulated_zoho_makes_it_fail(
    zoho_simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Zoho has answers with status 500: a defect is in the log."""
    scope = {
        scope
        for product in default_catalog().products.values()
        for endpoint in product.endpoints
        for scope in endpoint.scopes[:1]
        if "$" not in scope
    } | {"ZohoCRM.modules.ALL", "ZohoCRM.settings.ALL"}
    tokens = zoho_simulator.controls.issue_tokens(ANNA, ",".join(sorted(scope)))
    header = f"Authorization: Zoho-oauthtoken {tokens['access_token']}"
    options = ("--exclude-path-regex", "^/(_simulator|$)", "--header", header)
    checks = ("--checks", "missing_required_header", "--max-response-time", "10")
    run_schemathesis(zoho_simulator, tmp_path, *options, *checks)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
