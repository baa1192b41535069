"""`simulator run`: a command for which Zoho's real host names lead to a simulated Zoho."""

import json
import signal
import sys

from support.shell import Shell

from wizard.simulator.network_namespace import IsolatedCommand

ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"
GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=30).read())"
REACH = "import socket, sys; socket.create_connection((sys.argv[1], 443), 5)"


def test_the_command_gets_what_programs_read_and_its_exit_code_is_passed_on(shell: Shell) -> None:
    said = {"ALL_PROXY": "socks5://127.0.0.1:9", "ZOHO_CLIENT_ID": "1000.MINE", "NO_PROXY": "*"}
    done = shell.run("simulator", "run", "--", sys.executable, "-c", ENVIRONMENT, **said)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    proxies = {found[name] for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
    assert len(proxies) == 1
    assert found["NO_PROXY"] == found["no_proxy"] == "127.0.0.1,localhost,::1"
    bundles = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    assert len({found[name] for name in bundles}) == 1
    assert found["NODE_USE_ENV_PROXY"] == "1"
    assert found["ZOHO_WIZARD_SIMULATOR_URL"].startswith("http://127.0.0.1:")
    assert found["ZOHO_CLIENT_ID"] == "1000.MINE"
    assert "ALL_PROXY" not in found

    assert shell.run("simulator", "run", "--", "sh", "-c", "exit 9").exit_code == 9
    assert shell.run("simulator", "run", "--", "sh", "-c", "kill -9 $$").exit_code == 137
    missing = shell.run("simulator", "run", "--", "no-such-program-here")
    assert missing.exit_code == 2
    assert "no-such-command" in missing.stderr


def test_the_command_reaches_zohos_names_and_its_other_hosts_are_listed(shell: Shell) -> None:
    url = "https://accounts.zoho.eu/oauth/serverinfo"
    done = shell.run("simulator", "run", "--", sys.executable, "-c", GET, url)
    assert "https://accounts.zohocloud.ca" in done.stdout, done.stderr
    done = shell.run("simulator", "run", "--", sys.executable, "-c", GET, "https://a.example/")
    assert done.exit_code == 1
    assert "403" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("a.example.")


def test_an_isolated_command_reaches_nothing_but_the_simulator(shell: Shell) -> None:
    try:
        IsolatedCommand().close()
    except OSError:
        refused = shell.run("simulator", "run", "--isolated", "--", "true")
        assert refused.exit_code == 1
        assert "isolation-unavailable" in refused.stderr
        return
    run = ("simulator", "run", "--isolated", "--", sys.executable, "-c")
    done = shell.run(*run, GET, "https://www.zohoapis.eu/crm/v8/org")
    assert "HTTP Error 401" in done.stderr
    outside = shell.run(*run, REACH, "192.0.2.1")
    assert "Network is unreachable" in outside.stderr


def test_a_signal_reaches_the_command(shell: Shell) -> None:
    script = "trap 'echo ended >&2; exit 3' TERM; echo ready >&2; while :; do sleep 0.05; done"
    running = shell.start("simulator", "run", "--", "sh", "-c", script)
    running.wait_for_stderr("ready")
    assert running.finish(signal.SIGTERM).exit_code == 3
