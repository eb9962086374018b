"""A running station commanded over TLS, as a person does it: settings, keys and certificates."""

import sqlite3
from pathlib import Path

import pytest

from inspector.contract.bundle import Bundle
from inspector.contract.command import Command
from inspector.contract.errors import RecordError
from inspector.contract.strict import read_toml, resolved
from inspector.delivery.commander import CommanderSettings, send
from inspector.delivery.ledger import Ledger, ledger_path, read_audit
from inspector.supervise.door import ask
from tests.brokers import Mosquitto
from tests.certificates import make_authority
from tests.delivery.test_commands import make_ed25519
from tests.support import free_port, make_bundle, run_inspector, start_station, until, write_station


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


def tls(name: str) -> str:
    return (
        f'[mqtt.tls]\nca_file = "certs/ca.pem"\ncert_file = "certs/{name}.pem"\n'
        f'key_file = "certs/{name}.key"\n'
    )


def test_a_person_commands_a_station_over_tls_and_the_audit_says_who(
    bundle: Bundle, tmp_path: Path
) -> None:
    certs = make_authority(tmp_path / "certs", "localhost", "test", "foreman")
    make_ed25519(tmp_path, "foreman")
    with Mosquitto(tmp_path) as broker:
        broker.configure(
            f"cafile {certs}/ca.pem",
            f"certfile {certs}/broker.pem",
            f"keyfile {certs}/broker.key",
            "require_certificate true",
            "use_identity_as_username true",
        )
        mqtt = {"host": "localhost", "port": broker.start().port}
        path = write_station(
            tmp_path, bundle, mqtt=mqtt, camera={"loop": True}, metrics={"port": free_port()}
        )
        keys = '[[commands.keys]]\nname = "foreman"\nfile = "foreman.pub"\n'
        may = 'actions = ["status", "stop", "start"]\n'
        keys = f"{keys.replace('foreman', 'old', 1)}{may}schema_min = 1\n{keys}"
        path.write_text(f"{path.read_text()}\n{tls('test')}\n{keys}{may}", encoding="utf-8")
        commander = tmp_path / "commander.toml"
        commander.write_text(
            'sender = "foreman"\nkey_file = "foreman.key"\ntopic_root = "plant/line"\n'
            f'station = "test"\n[mqtt]\nhost = "localhost"\nport = {broker.port}\n{tls("foreman")}',
            encoding="utf-8",
        )
        checked = run_inspector("check", path)
        assert checked.returncode == 0, checked.stdout
        assert "commands: foreman may start, status, stop" in checked.stdout
        assert checked.stdout.count("schema_min 1: what it signs") == 1
        station = start_station(path)
        try:
            log = tmp_path / "station.log"
            assert until(lambda: "commands are taken from" in log.read_text())

            done = run_inspector("command", "--mqtt", commander, "stop")
            assert done.stdout.startswith("done: STOP"), done.stdout + done.stderr
            sender = resolved(read_toml(commander, CommanderSettings), tmp_path)
            refused = send(sender, "test", Command(schema=1, id="h", action="halt"))
            assert (refused.outcome, refused.reason) == ("refused", "foreman may not halt")
            assert ask(tmp_path, Command(schema=1, id="l", action="start")).outcome == "done"
            assert ask(tmp_path, Command(schema=1, id="s", action="status")).outcome == "done"
            audit = run_inspector("audit", path, "show")
            rows = [line.split() for line in audit.stdout.splitlines()]
            assert [(row[2], row[3], row[4]) for row in rows[:-2]] == [
                (event, "foreman", action)
                for action in ("stop", "halt")
                for event in ("begun", "answered")
            ]
            assert ") start done: START_CONTINUOUS" in audit.stdout.splitlines()[-2]
            head = audit.stdout.split()[-1]
            assert f"(audit {head})" in log.read_text()
        finally:
            station.terminate()
            assert station.wait(30.0) == 0, log.read_text()
        with sqlite3.connect(ledger_path(tmp_path / "journal.db")) as db:
            db.execute("DROP TRIGGER audit_unchanged")
            db.execute("UPDATE audit SET entry = replace(entry, 'may not halt', 'may halt')")
        done = run_inspector("audit", path, "verify", "--head", "9")
        assert (done.returncode, "must be ROW:HASH" in done.stderr) == (78, True)
        with pytest.raises(RecordError, match="is not as it was written"):
            list(read_audit(tmp_path / "journal.db", head))


@pytest.mark.parametrize(
    "row", ["0", "01", "٣", "9" * 5_000], ids=["none", "zeros", "other", "long"]
)
def test_a_head_that_names_no_row_is_refused_and_vouches_for_none(row: str, tmp_path: Path) -> None:
    """01 and 0 were held against no row: whatever the hash, no row was changed; thousands of digits
    ended in a traceback."""
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    ledger = Ledger(tmp_path / "journal.db", "b1")
    ledger.add(ledger.entry(event="begun", sender="foreman", nonce="n"))
    ledger.close()
    done = run_inspector("audit", path, "verify", "--head", f"{row}:{'f' * 64}")
    assert (done.returncode, "must be ROW:HASH" in done.stderr) == (78, True), done.stdout


def test_a_commander_is_told_what_is_wrong(bundle: Bundle, tmp_path: Path) -> None:
    make_ed25519(tmp_path, "foreman")
    commander = tmp_path / "commander.toml"
    base = 'sender = "foreman"\nkey_file = "foreman.key"\ntopic_root = "plant/line"\nwait_s = 1.0\n'
    commander.write_text(f'{base}[mqtt]\nhost = "localhost"\nport = {free_port()}\n')
    done = run_inspector("command", "--mqtt", commander, "status", "--station", "test")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    with Mosquitto(tmp_path).start() as broker:
        commander.write_text(f'{base}[mqtt]\nhost = "localhost"\nport = {broker.port}\n')
        done = run_inspector("command", "--mqtt", commander, "status", "--station", "test")
    assert done.returncode == 1
    assert "no reply came within 1 s: does it run?" in done.stderr


def test_a_commander_is_known_to_its_broker_by_the_client_id_that_it_was_given(
    tmp_path: Path,
) -> None:
    make_ed25519(tmp_path, "foreman")
    commander = tmp_path / "commander.toml"
    with Mosquitto(tmp_path, "clientid_prefixes plant-").start() as broker:
        commander.write_text(
            'sender = "foreman"\nkey_file = "foreman.key"\n'
            'topic_root = "plant/line"\nwait_s = 1.0\n'
            f'[mqtt]\nhost = "localhost"\nport = {broker.port}\nclient_id = "plant-foreman"\n'
        )
        done = run_inspector("command", "--mqtt", commander, "status", "--station", "test")
    assert "no reply came within 1 s: does it run?" in done.stderr
