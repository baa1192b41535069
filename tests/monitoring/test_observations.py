"""What an operator watches: metrics, read by an independent parser, and early warnings."""

import json
import os
import signal
import stat
from datetime import timedelta
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from support.harness import ANNA, Harness
from support.local_api import SocketClient, allow
from support.shell import Shell

from wizard.model.states import ConnectionState
from wizard.monitoring.metrics import render_metrics
from wizard.tables import read_table

DORA = "dora@zylker.example"

Parsed = dict[str, dict[tuple[str, ...], float]]


def parse(text: str) -> Parsed:
    """The values by metric and by the values of its labels, as Prometheus reads them."""
    found: Parsed = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def warned(harness: Harness) -> set[str]:
    return {each.code for each in harness.services.observer.observe().warnings}


def test_the_metrics_count_states_times_and_budgets(harness: Harness) -> None:
    harness.add_verified_connection("crm")
    harness.add_connection("books")
    now = harness.now().timestamp()
    found = parse(render_metrics(harness.services.observer.observe(), '1 "quoted" \\ version'))
    assert found["zoho_wizard_info"] == {('1 "quoted" \\ version',): 1}
    states = found["zoho_wizard_connections"]
    assert states.keys() == {(each.value,) for each in ConnectionState}
    assert {state for (state,), count in states.items() if count} == {"verified", "not_authorized"}
    assert found["zoho_wizard_connection_verified"] == {("crm",): 1, ("books",): 0}
    success = found["zoho_wizard_connection_last_success_timestamp_seconds"]
    assert success.keys() == {("crm",)}
    assert now - 60 < success["crm",] <= now
    assert found["zoho_wizard_connection_token_requests"]["books",] == 0
    assert found["zoho_wizard_connection_token_requests"]["crm",] >= 1
    assert "zoho_wizard_last_backup_timestamp_seconds" not in found
    assert found["zoho_wizard_warning"]["backup-old",] == 1
    assert found["zoho_wizard_key_strong"] == {(): 0}
    harness.services.store.installation.record_backup(harness.now())
    found = parse(render_metrics(harness.services.observer.observe(), "1"))
    assert found["zoho_wizard_warning"]["backup-old",] == 0
    assert found["zoho_wizard_last_backup_timestamp_seconds"].keys() == {()}
    listed = read_table("monitoring/metrics.toml").keys()
    assert listed - found.keys() == {"zoho_wizard_last_check_timestamp_seconds"}


def test_a_backup_is_old_after_thirty_days(harness: Harness) -> None:
    assert warned(harness) == set(), "nothing is stored"
    harness.add_verified_connection("crm")
    harness.services.store.installation.record_backup(harness.now() - timedelta(days=29))
    assert warned(harness) == {"key-weak"}
    harness.services.store.installation.record_backup(harness.now() - timedelta(days=31))
    assert warned(harness) == {"key-weak", "backup-old"}


def test_a_connection_that_uses_up_its_token_requests_is_warned_of(harness: Harness) -> None:
    harness.add_verified_connection("crm")
    assert "budget-nearly-used" not in warned(harness)
    tokens = harness.services.tokens
    for _ in range(3):
        harness.controls.advance(61)
        tokens.access_token("crm", rejected=tokens.access_token("crm").value)
    assert "budget-nearly-used" in warned(harness)
    harness.controls.advance(601)
    assert "budget-nearly-used" not in warned(harness)


def test_an_account_whose_tokens_are_all_rejected_is_gone_if_its_client_works(
    harness: Harness,
) -> None:
    harness.add_verified_connection("crm")
    harness.controls.change_password(ANNA)
    harness.services.checks.check(["crm"])
    states = [each.state for each in harness.services.observer.observe().connections]
    assert states == [ConnectionState.NEEDS_REAUTHORIZATION]
    assert "account-gone" not in warned(harness), "perhaps the client is at fault"
    connection = harness.services.store.connections.get("crm")
    harness.add_connection("other", harness.services.store.clients.get(connection.client_id))
    done = harness.authorize("other", DORA)
    assert done.generation is not None
    harness.verify("other", done.generation)
    (gone,) = (e for e in harness.services.observer.observe().warnings if e.code == "account-gone")
    assert gone.details == {"email": ANNA, "count": "1"}


def test_the_file_of_metrics_is_replaced_and_every_user_may_read_it(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_verified_connection("crm")
    file = shell.directory / "zoho.prom"
    file.write_text("old")
    wrote = shell.run("status", "--metrics", "--output", str(file))
    assert (wrote.exit_code, wrote.stdout, wrote.stderr) == (0, "", "")
    assert parse(file.read_text())["zoho_wizard_connection_verified"] == {("crm",): 1}
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    failed = shell.run("status", "--metrics", "--output", str(file / "in-a-file"))
    assert (failed.exit_code, "metrics-unwritable" in failed.stderr) == (1, True)


def test_status_has_the_same_numbers_and_the_warnings(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_verified_connection("crm")
    found = json.loads(shell.run("status", "--json").stdout)
    assert (found["states"]["verified"], found["states"]["revoked"]) == (1, 0)
    assert found["oldest_success_at"] is not None
    (used,) = found["token_requests"]
    assert used["requests"] + used["left"] == 6
    assert {each["code"] for each in found["warnings"]} == {"backup-old", "key-weak"}
    assert "There is no backup" in shell.run("status").stderr


def test_a_permitted_user_gets_the_metrics_of_their_connections_only(
    shell: Shell, shell_harness: Harness
) -> None:
    for name in ("crm", "other"):
        shell_harness.add_connection(name)
    directory = shell.directory / "shared"
    serving = shell.start("serve", "--socket-only", "--share", str(directory))
    serving.wait_for_stderr("Ctrl-C to stop")
    text = shell.run("status", "--metrics").stdout
    assert parse(text)["zoho_wizard_connection_verified"].keys() == {("crm",), ("other",)}
    allow(shell_harness, os.getuid())
    shell.run("access", "list")
    path = Path(shell_harness.services.paths.socket)
    opened = SocketClient(path).request("/shared-socket", "POST")[1]["socket"]
    shared = SocketClient(Path(opened)).request_text("/metrics")
    assert shared[0] == 200
    found = parse(shared[1])
    assert found["zoho_wizard_connection_verified"].keys() == {("crm",)}
    assert "zoho_wizard_connections" not in found
    shell_harness.services.store.access_permissions.remove("crm", os.getuid())
    assert SocketClient(Path(opened)).request_text("/metrics")[0] == 403
    serving.finish(signal.SIGTERM)
